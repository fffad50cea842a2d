"""What a model on Triton costs and gives: latency, throughput, roll-outs under load.

Run `python -m tests.bench.triton` (some minutes), with `--small` for a check that it works. Rivals in the same run: a
bare ONNX Runtime loop in this process, and `mlflow models serve` on the same model. Everything is on this machine, so
client and server share its cores.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from airflow_provider_mlfeat.errors import MlfeatError, UserError
from airflow_provider_mlfeat.jobs.progress import Progress
from airflow_provider_mlfeat.serving.triton.client import Access, TritonClient
from airflow_provider_mlfeat.serving.triton.configuration import Tuning
from airflow_provider_mlfeat.serving.triton.fleet import Fleet
from airflow_provider_mlfeat.serving.triton.local_server import LocalServer
from airflow_provider_mlfeat.serving.triton.model_folder import GoldenRows, ServedModel
from airflow_provider_mlfeat.serving.triton.repository import ModelRepository
from airflow_provider_mlfeat.serving.triton.rollout import Rollout
from tests.bench.measure import ONE_THREAD, describe_machine, print_figure, say, tree_cpu
from tests.triton.load import Load
from tests.triton.models import write_model

FIELDS, ROWS_OF_A_FIELD, WIDTH, HIDDEN = 41, 20_000, 16, (400, 400, 400)
MODEL = "bench"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--small", action="store_true", help="a moment per figure, to see that it works")
    parser.add_argument("--without-mlflow", action="store_true")
    parser.add_argument("--without-roll-outs", action="store_true")
    options = parser.parse_args()
    seconds, rounds = (1.0, 2) if options.small else (8.0, 20)
    say(describe_machine())
    with tempfile.TemporaryDirectory(prefix="mlfeat-bench-") as folder:
        home = Path(folder)
        shape: dict[str, Any] = {"fields": FIELDS, "size": ROWS_OF_A_FIELD, "width": WIDTH, "hidden": HIDDEN}
        models = [
            ServedModel.open(str(write_model(home / f"m{seed}", seed, golden_rows=256, **shape))) for seed in (1, 2)
        ]
        shifted = write_model(home / "wrong", 3, golden_rows=256, golden_shift=0.1, **shape)
        with LocalServer(home / "repository") as server, Fleet([server.grpc_address], Access("grpc")) as fleet:
            rollout = Rollout(ModelRepository(str(home / "repository")).model(MODEL), fleet, Progress())
            if not options.without_roll_outs:
                measure_roll_outs(rollout, server, models, ServedModel.open(str(shifted)), rounds)
            latencies(rollout, server, models[0], seconds)
            triton_rows = throughput(rollout, server, models[0], seconds)
        if not options.without_mlflow:
            against_mlflow(models[0], home, triton_rows, seconds)


def measure_roll_outs(
    rollout: Rollout, server: LocalServer, models: list[ServedModel], wrong: ServedModel, rounds: int
) -> None:
    """Roll out, fail to, and roll back, `rounds` times each, under 200 requests a second."""
    deploys, rollbacks, first = [], [], rollout.deploy(models[0], 1)
    known = [model.golden_rows() for model in models]
    with Load(server.grpc_address, MODEL, known, rate=200) as load:
        time.sleep(1)
        for _ in range(rounds):
            # A version that is not in the repository yet: as in life, it is copied, loaded and proven.
            deploys.append(rollout.deploy(models[1], 2).seconds)
            with contextlib.suppress(UserError):
                rollout.deploy(wrong, 3)
                raise SystemExit("a wrong model went live")
            began = time.perf_counter()
            rollout.roll_back()
            rollbacks.append(time.perf_counter() - began)
            rollout._wait_gone(frozenset({1}), 30)
            rollout.directory.remove_version(2)
        time.sleep(1)
    say(f"{load.sent} requests, slowest {max(load.latencies):.3f} s, first deploy {first.seconds:.2f} s")
    for message in (load.failures + load.wrong)[:3]:
        say(message)
    print_figure("triton.failed_requests", len(load.failures), "requests")
    print_figure("triton.wrong_answers", len(load.wrong), "requests")
    print_figure("triton.deploy_s", statistics.median(deploys), "s")
    print_figure("triton.deploy_slowest_s", max(deploys), "s")
    print_figure("triton.rollback_s", statistics.median(rollbacks), "s")
    print_figure("triton.rollback_slowest_s", max(rollbacks), "s")


def latencies(rollout: Rollout, server: LocalServer, model: ServedModel, seconds: float) -> None:
    """One client that sends one row at a time, beside the same model in this process."""
    rollout.deploy(model, 1)
    client, golden, session = TritonClient(server.grpc_address, Access("grpc")), model.golden_rows(), bare(model)
    taken, bare_taken, row, until = [], [], 0, time.monotonic() + seconds
    while time.monotonic() < until:
        inputs = golden.row(row)
        for target, ask in (
            (taken, lambda inputs=inputs: client.infer(MODEL, inputs)["OUTPUT_0"]),
            (bare_taken, lambda inputs=inputs: session.run(["OUTPUT_0"], inputs)[0]),
        ):
            start = time.perf_counter()
            answer = ask()
            target.append(1000 * (time.perf_counter() - start))
            assert abs(float(answer[0, 0]) - golden.outputs[row % len(golden)]) < 1e-5
        row += 1
    client.close()
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        ours, other = (float(np.quantile(values, share)) for values in (taken, bare_taken))
        print_figure(f"triton.{name}_ms", ours, "ms", "onnxruntime in process", other, other / ours)
    say(f"{len(taken)} requests one by one")


def throughput(rollout: Rollout, server: LocalServer, model: ServedModel, seconds: float) -> float:
    """Rows a second at 64 rows a request, by one and two copies and a few clients; the best by the clock is printed,
    the best by CPU seconds of the server and its stubs, which other work on the machine changes less, is returned."""
    golden = model.golden_rows()
    inputs = {"INPUT_0": np.ascontiguousarray(golden.inputs["INPUT_0"][:64])}
    best, best_by_cpu = 0.0, 0.0
    assert server.process_id is not None
    for instances, clients in ((1, 2), (1, 4), (2, 2), (2, 4)):
        rollout.deploy(model, 1, tuning=Tuning(instances=instances))
        before = tree_cpu(server.process_id)
        connect = lambda: TritonClient(server.grpc_address, Access("grpc"))  # noqa: E731
        rows, rate = _rate(connect, inputs, golden, clients, seconds / 2)
        by_cpu = rows / (tree_cpu(server.process_id) - before)
        say(f"{instances} instances, {clients} clients: {rate:.0f} rows/s, {by_cpu:.0f} rows a CPU second")
        best, best_by_cpu = max(best, rate), max(best_by_cpu, by_cpu)
    session, done, until = bare(model), 0, time.monotonic() + seconds / 2
    began, began_cpu = time.monotonic(), time.thread_time()
    while time.monotonic() < until:
        session.run(["OUTPUT_0"], inputs)
        done += 64
    loop = done / (time.monotonic() - began)
    print_figure("triton.rows_s_64", best, "rows/s", "onnxruntime loop, one thread", loop, best / loop)
    loop_by_cpu = done / (time.thread_time() - began_cpu)
    print_figure(
        "triton.rows_cpu_s_64", best_by_cpu, "rows/cpu_s", "onnxruntime loop", loop_by_cpu, best_by_cpu / loop_by_cpu
    )
    return best_by_cpu


def _rate(
    connect: Callable[[], TritonClient], inputs: dict[str, Any], golden: GoldenRows, clients: int, seconds: float
) -> tuple[int, float]:
    """Rows that were answered, and rows a second."""
    done, until = [0] * clients, time.monotonic() + seconds
    began = time.monotonic()

    def work(place: int) -> None:
        client = connect()
        while time.monotonic() < until:
            answer = client.infer(MODEL, inputs)["OUTPUT_0"]
            done[place] += len(answer)
        assert np.abs(answer.reshape(-1) - golden.outputs[:64]).max() < 1e-5
        client.close()

    threads = [threading.Thread(target=work, args=(place,)) for place in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(done), sum(done) / (time.monotonic() - began)


def bare(model: ServedModel) -> Any:
    """The model in this process, with one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(model.folder / "model.onnx"), options, providers=["CPUExecutionProvider"])


def against_mlflow(model: ServedModel, home: Path, ours: float, seconds: float) -> None:
    """`mlflow models serve` with the same ONNX model, the same 64 rows a request, in its fastest JSON form."""
    import httpx
    import mlflow
    import onnx

    path = home / "mlflow-model"
    mlflow.onnx.save_model(onnx.load(model.folder / "model.onnx"), str(path))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", str(path), "-p", str(port)]
    golden = model.golden_rows()
    body = json.dumps({"inputs": {"INPUT_0": golden.inputs["INPUT_0"][:64].tolist()}}).encode()
    headers, url = {"Content-Type": "application/json"}, f"http://127.0.0.1:{port}/invocations"
    log = (home / "mlflow.log").open("wb")
    server = subprocess.Popen(
        [*command, "--env-manager", "local", "--workers", "2"],
        stdout=log, stderr=log, start_new_session=True,
        env={**os.environ, **ONE_THREAD, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"},
    )  # fmt: skip
    try:
        with httpx.Client(timeout=30, trust_env=False) as client:
            deadline = time.monotonic() + 120
            while True:
                try:
                    if client.get(f"http://127.0.0.1:{port}/ping").status_code == 200:
                        break
                except httpx.TransportError:
                    pass
                if time.monotonic() > deadline or server.poll() is not None:
                    raise SystemExit("mlflow models serve did not start: " + (home / "mlflow.log").read_text()[-2000:])
                time.sleep(0.2)
            answer = client.post(url, content=body, headers=headers).json()["predictions"]
            found = np.asarray(answer["OUTPUT_0"] if isinstance(answer, dict) else answer).reshape(-1)
            assert np.abs(found - golden.outputs[:64]).max() < 1e-5, "mlflow answers otherwise"
        done, until, before = [0] * 4, time.monotonic() + seconds, tree_cpu(server.pid)

        def work(place: int) -> None:
            with httpx.Client(timeout=30, trust_env=False) as client:
                while time.monotonic() < until:
                    client.post(url, content=body, headers=headers).raise_for_status()
                    done[place] += 64

        threads = [threading.Thread(target=work, args=(place,)) for place in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        theirs = sum(done) / (tree_cpu(server.pid) - before)
        print_figure("triton.vs_mlflow_serve", ours, "rows/cpu_s", "mlflow models serve", theirs, ours / theirs)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, 15)
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, 9)
            server.wait()
        log.close()


if __name__ == "__main__":
    try:
        main()
    except MlfeatError as error:
        raise SystemExit(str(error)) from None
