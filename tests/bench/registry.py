"""What logging a run costs the training.

``python -m tests.bench.registry``: a process says one set of metrics a second, as a training does, and its CPU is
measured beside that of the same process without a log. The server's own CPU is not the training's; with the embedded
database there is no server, and writing to it counts.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[0] = str(ROOT)

from tests.bench.measure import describe_machine, print_figure, say  # noqa: E402

# A set as a training has one: loss, AUC, rates, counts.
METRICS = 10


def train(seconds: float, address: str) -> None:
    """The child: warm up, then say one set a second, and print the CPU that it took from then on."""
    from airflow_provider_mlfeat.registry import RunLog, Tracking

    run = RunLog(Tracking({"MLFLOW_TRACKING_URI": address}), "bench", "bench") if address else None
    while run is not None and not run.run_id:
        # Loading MLflow and opening the run are done once, however long the training takes.
        time.sleep(0.2)
    time.sleep(6)
    before, began = time.process_time(), time.monotonic()
    longest, step = 0.0, 0
    while time.monotonic() - began < seconds:
        time.sleep(1)
        step += 1
        start = time.perf_counter()
        if run is not None:
            run.metrics({f"metric_{number}": step / (number + 1) for number in range(METRICS)}, step)
        longest = max(longest, time.perf_counter() - start)
    spent, wall = time.process_time() - before, time.monotonic() - began
    if run is not None:
        run.close()
    print(json.dumps({"cpu": spent, "wall": wall, "longest": longest}))


def measure(seconds: float, address: str, state: str) -> dict[str, float]:
    """Run a child and read what it says."""
    command = [sys.executable, "-m", "tests.bench.registry", "--child", address or "none", "--seconds", str(seconds)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MLFEAT_STATE": state, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True, text=True
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Measure both, and print the difference as a share of one core."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--server", default="", help="address of a running MLflow server, to measure it as well")
    parser.add_argument("--child", default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        train(options.seconds, "" if options.child == "none" else options.child)
        return
    say(describe_machine())
    with tempfile.TemporaryDirectory() as folder:
        silent = measure(options.seconds, "", folder)
        places = {"registry.logging_overhead": f"sqlite:///{folder}/mlflow.db"}
        if options.server:
            places["registry.logging_overhead_server"] = options.server
        for figure, address in places.items():
            logged = measure(options.seconds, address, folder)
            share = 100 * (logged["cpu"] - silent["cpu"]) / logged["wall"]
            print_figure(figure, share, "% of one core")
            print_figure(f"{figure}_longest_ms", logged["longest"] * 1e3, "ms in the loop")
            say(
                f"{figure}: {logged['cpu']:.2f} s of CPU in {logged['wall']:.0f} s, without a log {silent['cpu']:.2f} s"
            )


if __name__ == "__main__":
    main()
