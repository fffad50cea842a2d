# The commands of the project. Each works on a fresh clone: what it needs is installed first.
export NO_MKDOCS_2_WARNING := 1
PYTHON_BIN := .venv/bin
DAG ?= jd_purchase_intention
PORT ?= 8080

.PHONY: help install triton demo up down test test-quick test-docker conformance soak bench lint format docs lock docker-engine docker-image clean

help: ## list the commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

install: ## make .venv with the locked packages
	@scripts/install

triton: ## make .venv-triton: a Triton server from PyPI with what its models import
	@scripts/install_triton

demo: install ## run an example pipeline in a real local Airflow, start to end
	@$(PYTHON_BIN)/python scripts/demo.py --dag $(DAG) $(if $(ENGINE),--engine $(ENGINE)) $(if $(SCALE),--scale $(SCALE))

up: install ## leave Airflow running with the example DAGs, for a browser
	@$(PYTHON_BIN)/python scripts/local_airflow.py up --port $(PORT)

down: install ## stop what `make up` started
	@$(PYTHON_BIN)/python scripts/local_airflow.py down

test: install ## run all tests
	@$(PYTHON_BIN)/python -m pytest

test-quick: install ## run the tests that need no whole Airflow and no Spark
	@$(PYTHON_BIN)/python -m pytest -m "not live and not spark"

test-docker: install docker-image ## run the container tests on a Docker engine that is set up for it (Debian, as root)
	@$(PYTHON_BIN)/python -m pytest tests/runtimes

docker-engine: ## set up and start a Docker engine (Debian, as root)
	@docker/engine.sh up

docker-image: docker-engine ## build the image that container jobs run in
	@docker/job/build.sh

conformance: install ## run the OpenMLDB cases beside the clone, if there are any, on all three drivers
	@for engine in batch request spark; do \
	    $(PYTHON_BIN)/python tests/conformance/run.py --cases ../shared/conformance/openmldb_cases.jsonl --engine $$engine || exit 1; \
	done

soak: install ## compare the drivers and the slow evaluator on random queries (SECONDS, SEED)
	@$(PYTHON_BIN)/python -m tests.differential.soak --seconds $(or $(SECONDS),300) --seed $(or $(SEED),0)

bench: install ## measure the feature engine beside its rivals (full size, many minutes)
	@$(PYTHON_BIN)/python -m tests.bench.offline
	@$(PYTHON_BIN)/python -m tests.bench.request

lint: install ## check style, types and the rooms' borders
	@$(PYTHON_BIN)/ruff check -q .
	@$(PYTHON_BIN)/ruff format -q --check .
	@$(PYTHON_BIN)/mypy --no-error-summary
	@report=$$($(PYTHON_BIN)/lint-imports --no-logo 2>&1) || { echo "$$report"; exit 1; }
	@$(PYTHON_BIN)/mkdocs build -q --strict

format: install ## format the code
	@$(PYTHON_BIN)/ruff check -q --fix . || true
	@$(PYTHON_BIN)/ruff format -q .

docs: install ## build the documentation into site/
	@$(PYTHON_BIN)/mkdocs build -q --strict && echo site/index.html

lock: ## resolve the locked packages anew (needs uv)
	@scripts/lock

clean: ## remove what tests and builds leave behind; keeps .venv and .mlfeat
	@rm -rf build dist site .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
