"""Offline features: the batch and Spark drivers against hand-written DuckDB and Spark SQL, on the same files.

`python tests/bench/offline.py` prints one JSON line per figure; `--scale 0.01` ends within a minute or two. Ratios are
the rival's CPU time over ours, warm against warm, in interleaved rounds, after all answers were found equal.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[0] = str(ROOT)

from tests.bench.comparing import assert_equal  # noqa: E402
from tests.bench.data import Size, folder  # noqa: E402
from tests.bench.make_rivals import rival_python  # noqa: E402
from tests.bench.measure import Run, Worker, describe_machine, print_figure, print_ratio, say  # noqa: E402

# The variant that measures what a query costs the Spark driver apart from its rows, and what a row costs it.
COST = "cost"
# Scale of a query on a few rows, and the two parts of the scale asked for whose difference gives the cost of a row.
FEW, PARTS = 0.0002, (0.25, 1.0)
RIVALS = ROOT / "tests" / "bench" / "rivals"
STAGES: dict[str, tuple[str, ...]] = {stage: (stage,) for stage in ("read", "encode", "sort", "walk", "join")}
STAGES["write"] = ("decode", "write")
# (figure, ours, rival) of every variant of the data and query
RATIOS = {
    "even": (
        ("offline.batch_vs_duckdb", "batch", "duckdb"),
        ("offline.batch_vs_sparksql", "batch", "sparksql"),
        ("offline.spark_vs_sparksql", "spark", "sparksql"),
    ),
    "skew": (
        ("offline.batch_vs_duckdb_skew", "batch", "duckdb"),
        ("offline.spark_vs_sparksql_skew", "spark", "sparksql"),
    ),
    "unlimited": (("offline.batch_vs_duckdb_no_maxsize", "batch", "duckdb"),),
}


def main() -> None:
    arguments = _arguments()
    say(describe_machine())
    with tempfile.TemporaryDirectory() as out, ExitStack() as stack:
        ratios = {variant: RATIOS[variant] for variant in arguments.variants if variant != COST}
        engines = {name for rows in ratios.values() for row in rows for name in row[1:]} & set(arguments.engines)
        engines |= {"spark"} if COST in arguments.variants else set()
        workers = {name: _start(name, arguments) for name in sorted(engines)}
        for worker in workers.values():
            stack.callback(worker.stop)
        for variant, rows in ratios.items():
            _measure(variant, [row for row in rows if {*row[1:]} <= engines], workers, Path(out), arguments)
        if COST in arguments.variants:
            _print_cost(workers["spark"], Path(out) / "cost.parquet", arguments)


def _start(name: str, arguments: argparse.Namespace) -> Worker:
    session = {"threads": arguments.threads, "partitions": arguments.partitions, "memory": arguments.memory}
    match name:
        case "batch":
            return Worker(sys.executable, ["-m", "tests.bench.ours", "batch"], threads=arguments.threads)
        case "spark":
            return Worker(sys.executable, ["-m", "tests.bench.ours", "spark"], **session)
        case "duckdb":
            python = sys.executable if arguments.rivals_here else rival_python("duckdb")
            return Worker(python, [RIVALS / "duckdb_sql.py"], threads=arguments.threads)
        case _:
            python = sys.executable if arguments.rivals_here else rival_python("spark")
            return Worker(python, [RIVALS / "spark_sql.py"], **session)


def _measure(
    variant: str,
    rows: list[tuple[str, str, str]],
    workers: dict[str, Worker],
    out: Path,
    arguments: argparse.Namespace,
) -> None:
    """One variant: a round that is not measured but compared, then the measured rounds, then memory."""
    size = Size(arguments.scale, 0.2 if variant == "skew" else 0.0)
    files = {name: out / f"{name}.parquet" for name in workers}
    data = str(folder(size))
    maxsize = variant != "unlimited"
    names = sorted({name for row in rows for name in row[1:]})

    def run(name: str) -> Run:
        done = workers[name].run(data=data, out=str(files[name]), maxsize=maxsize)
        say(f"{variant} {name}: {done.cpu:.2f} CPU s, {done.wall:.2f} s")
        return done

    for name in names:
        run(name)
    for name in names:
        if name != names[0]:
            assert_equal(files[names[0]], files[name], name)
    say(f"{variant}: {', '.join(names)} agree in every cell")
    warm: dict[str, list[Run]] = {name: [] for name in names}
    for _ in range(arguments.rounds):
        for name in names:
            warm[name].append(run(name))
    for figure, mine, rival in rows:
        print_ratio(figure, warm[mine], warm[rival], workers[rival].name)
    if variant == "even" and "batch" in warm:
        _print_batch(workers["batch"], warm["batch"], {"data": data, "out": str(files["batch"])})


def _print_batch(batch: Worker, warm: list[Run], run: dict[str, str]) -> None:
    """Shares of the stages, and memory."""
    stages = [run.notes["seconds"] for run in warm]
    total = statistics.median(sum(seconds.values()) for seconds in stages)
    for stage, parts in STAGES.items():
        spent = statistics.median(sum(seconds.get(part, 0.0) for part in parts) for seconds in stages)
        print_figure(f"offline.batch_share_{stage}", spent / total, "share")
    print_figure("offline.batch_peak_mib", batch.peak_memory(**run, maxsize=True), "MiB")


def _print_cost(spark: Worker, out: Path, arguments: argparse.Namespace) -> None:
    """What a query costs in a warm session whatever its rows, and what each further request row costs."""
    sizes = [Size(scale) for scale in (FEW, *(part * arguments.scale for part in PARTS))]
    runs: dict[Size, list[Run]] = {size: [] for size in sizes}
    for number in range(arguments.rounds + 1):
        for size in sizes:
            for _ in range(arguments.warm_ups if number == 0 and size == sizes[0] else 1):
                done = spark.run(data=str(folder(size)), out=str(out), maxsize=True, spread=False)
            say(f"cost, {size.requests} requests: {done.cpu:.2f} CPU s, {done.wall:.2f} s")
            # The first round is a session's first sight of the query.
            runs[size] += [done] if number else []
    few, part, whole = ([run.cpu for run in runs[size]] for size in sizes)
    print_figure("offline.spark_fixed_s", statistics.median(run.wall for run in runs[sizes[0]]), "s")
    print_figure("offline.spark_fixed_cpu_s", statistics.median(few), "cpu_s")
    rows = sizes[2].requests - sizes[1].requests
    print_figure("offline.spark_us_row", 1e6 * (statistics.median(whole) - statistics.median(part)) / rows, "cpu_us")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="1 is 100,000 requests and 1,000,000 actions")
    parser.add_argument("--rounds", type=int, default=5)
    # A session's first queries are slow: the JVM compiles what it runs often.
    parser.add_argument("--warm-ups", type=int, default=5, help="queries on a few rows before the cost is measured")
    parser.add_argument("--threads", type=int, default=1, help="threads of every engine")
    parser.add_argument("--partitions", type=int, default=8, help="shuffle partitions of both Spark sessions")
    parser.add_argument("--memory", default="4g", help="memory of each of the two Spark sessions")
    parser.add_argument("--variants", nargs="+", choices=[*RATIOS, COST], default=["even", "skew"])
    parser.add_argument("--engines", nargs="+", default=["batch", "spark", "duckdb", "sparksql"])
    parser.add_argument("--rivals-here", action="store_true", help="run rivals in this environment: for a smoke test")
    parser.add_argument("-v", action="store_true", help="show what the engines print")
    return parser.parse_args()


if __name__ == "__main__":
    main()
