"""What a model on Triton costs and gives: latency, throughput, roll-outs under load.

Run `python -m tests.bench.triton` (some minutes), with `--small` for a check that it works. Rivals in the same run: a
bare ONNX Runtime loop in this process, and `mlflow models serve` on the same model. Everything is on this machine, so
client and server share its cores; the load generator of the comparison takes little of them.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
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
from airflow_provider_mlfeat.serving.triton.http_calls import HttpCalls
from airflow_provider_mlfeat.serving.triton.local_server import LocalServer
from airflow_provider_mlfeat.serving.triton.model_folder import GoldenRows, ServedModel
from airflow_provider_mlfeat.serving.triton.repository import ModelRepository
from airflow_provider_mlfeat.serving.triton.rollout import Rollout
from tests.bench import mlflow_serving
from tests.bench.http_load import ask, body_of, post
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
    parser.add_argument("--only-mlflow", action="store_true", help="nothing but the comparison")
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
            if not (options.without_roll_outs or options.only_mlflow):
                measure_roll_outs(rollout, server, models, ServedModel.open(str(shifted)), rounds)
            if not options.only_mlflow:
                latencies(rollout, server, models[0], seconds)
                throughput(rollout, server, models[0], seconds)
            if not options.without_mlflow:
                against_mlflow(rollout, server, models[0], home, seconds)


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
            rollout.wait_gone(frozenset({1}), 30)
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
    taken, bare_taken = list[float](), list[float]()
    row, until = 0, time.monotonic() + seconds
    while time.monotonic() < until:
        inputs = golden.row(row)
        for target, answer_one in (
            (taken, lambda inputs=inputs: client.infer(MODEL, inputs)["OUTPUT_0"]),
            (bare_taken, lambda inputs=inputs: session.run(["OUTPUT_0"], inputs)[0]),
        ):
            start = time.perf_counter()
            answer = answer_one()
            target.append(1000 * (time.perf_counter() - start))
            assert abs(float(answer[0, 0]) - golden.outputs[row % len(golden)]) < 1e-5
        row += 1
    client.close()
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        ours, other = (float(np.quantile(values, share)) for values in (taken, bare_taken))
        print_figure(f"triton.{name}_ms", ours, "ms", "onnxruntime in process", other, other / ours)
    say(f"{len(taken)} requests one by one")


def throughput(rollout: Rollout, server: LocalServer, model: ServedModel, seconds: float) -> None:
    """Rows a second at 64 rows a request, by one and two copies and a few clients: the best by the clock, and the best
    by CPU seconds of the server and its stubs, which other work on the machine changes less."""
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


def against_mlflow(rollout: Rollout, server: LocalServer, model: ServedModel, home: Path, seconds: float) -> None:
    """The same rows to `mlflow models serve` and to Triton, over HTTP, from one and the same load generator: one row a
    request and 64, each server as it is fastest of those ways to run it that are tried, by the clock and by CPU."""
    golden, saved = model.golden_rows(), home / "mlflow-model"
    mlflow_serving.save(model.folder / "model.onnx", saved)
    ids = golden.inputs["INPUT_0"]
    parts = {rows: [slice(start, start + rows) for start in range(0, len(golden), rows)] for rows in (1, 64)}
    theirs = {rows: [mlflow_serving.request(ids[part]) for part in parts[rows]] for rows in parts}
    ours = {rows: [_triton_request(ids[part]) for part in parts[rows]] for rows in parts}
    best: dict[tuple[str, int, str], float] = {}

    def measure(who: str, address: tuple[str, int], process: int, rows: int, connections: int, way: str) -> None:
        requests = (ours if who == "triton" else theirs)[rows]
        ask(address, requests, connections, seconds / 16)
        before = tree_cpu(process)
        found = ask(address, requests, connections, seconds / 4)
        by_cpu = rows * len(found.latencies) / (tree_cpu(process) - before)
        for number, answer in found.last:
            answered = (_triton_scores if who == "triton" else mlflow_serving.scores)(answer)
            assert np.abs(answered - golden.outputs[parts[rows][number]]).max() < 1e-5, f"{who} answers otherwise"
        p99 = 1000 * float(np.quantile(found.latencies, 0.99))
        say(
            f"{who}, {way}, {rows} rows a request, {connections} connections: {rows * found.rate:.0f} rows/s, "
            f"{by_cpu:.0f} rows a CPU second, p99 {p99:.1f} ms"
        )
        for kind, value in (("clock", rows * found.rate), ("cpu", by_cpu)):
            best[who, rows, kind] = max(best.get((who, rows, kind), 0.0), value)

    host, port = server.http_address.split(":")
    assert server.process_id is not None
    for instances, delay in ((1, 0), (2, 0), (2, 500)):
        rollout.deploy(model, 1, tuning=Tuning(instances=instances, queue_delay_us=delay))
        for rows, connections in ((1, 16), (1, 64), (64, 4), (64, 8)):
            way = f"{instances} instances, {delay} us of delay"
            measure("triton", (host, int(port)), server.process_id, rows, connections, way)
    for way, options, variables in (
        ("as it starts", (), {}),
        ("two workers", ("--workers", "2"), {}),
        ("two workers of one thread", ("--workers", "2"), ONE_THREAD),
    ):
        with mlflow_serving.serving(saved, options, variables, home / "mlflow.log") as rival:
            for rows, connections in ((1, 2), (1, 16), (64, 2), (64, 4)):
                measure("mlflow", rival.address, rival.process_id, rows, connections, way)
    for figure, rows, kind, unit in (
        ("triton.vs_mlflow_serve", 1, "clock", "rows/s"),
        ("triton.vs_mlflow_serve_cpu", 1, "cpu", "rows/cpu_s"),
        ("triton.vs_mlflow_serve_64", 64, "clock", "rows/s"),
        ("triton.vs_mlflow_serve_64_cpu", 64, "cpu", "rows/cpu_s"),
    ):
        mine, other = best["triton", rows, kind], best["mlflow", rows, kind]
        print_figure(figure, mine, unit, "mlflow models serve", other, mine / other)


def _triton_request(ids: Any) -> bytes:
    call = HttpCalls().infer(MODEL, None, {"INPUT_0": np.ascontiguousarray(ids)}, ("OUTPUT_0",))
    return post(call.target.partition(" ")[2], dict(call.headers), call.content)


def _triton_scores(answer: bytes) -> Any:
    head, body = body_of(answer)
    skipped = int(head.lower().partition(b"inference-header-content-length:")[2].split(b"\r\n", 1)[0])
    return np.frombuffer(body[skipped:], np.float32)


if __name__ == "__main__":
    try:
        main()
    except MlfeatError as error:
        raise SystemExit(str(error)) from None
