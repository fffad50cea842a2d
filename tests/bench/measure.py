"""Measuring workers: CPU time of a whole process tree, its peak memory, medians, and one JSON line per figure."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_TICKS = os.sysconf("SC_CLK_TCK")
SAMPLE_SECONDS = 0.05
# One thread wherever a library would take more; the workers' own options say how many an engine may use.
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS", "ARROW_NUM_THREADS"), "1"
)


@dataclass(frozen=True)
class Run:
    """One measured run.

    :param cpu: seconds of CPU, user and system, of the whole process tree.
    :param wall: seconds by the clock, as the worker says.
    :param notes: what else the worker says.
    """

    cpu: float
    wall: float
    notes: dict[str, Any]


class Worker:
    """A process that runs one engine as often as it is told to.

    :param python: the interpreter.
    :param script: a script that calls ``serve``, with its arguments.
    :param options: what its ``start`` gets.
    """

    def __init__(self, python: str | Path, script: Sequence[str | Path], **options: Any) -> None:
        root = Path(__file__).resolve().parents[2]
        self._process = subprocess.Popen(
            [python, *script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None if "-v" in sys.argv else subprocess.DEVNULL,
            text=True,
            cwd=root,
            env={**os.environ, **ONE_THREAD, "PYTHONPATH": str(root)},
        )
        try:
            self.name = self._ask(options)["name"]
        except BaseException:
            self.stop()
            raise

    def run(self, **arguments: Any) -> Run:
        """Run once and measure."""
        before = tree_cpu(self._process.pid)
        notes = self._ask(arguments)
        return Run(tree_cpu(self._process.pid) - before, notes.pop("wall"), notes)

    def peak_memory(self, **arguments: Any) -> float:
        """Run once and sample memory: the peak of the tree's proportional set size in MiB."""
        peak, done = [0], threading.Event()

        def sample() -> None:
            ended = False
            # The last look comes after the run: even the shortest one is seen.
            while not ended:
                ended = done.wait(SAMPLE_SECONDS)
                peak[0] = max(peak[0], sum(map(_pss, tree(self._process.pid))))

        sampler = threading.Thread(target=sample)
        sampler.start()
        try:
            self._ask(arguments)
        finally:
            done.set()
            sampler.join()
        return peak[0] / 1024

    def stop(self) -> None:
        """End the process and everything below it."""
        below = tree(self._process.pid)
        if self._process.stdin:
            self._process.stdin.close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            for process in below:
                try:
                    os.kill(process, 9)
                except ProcessLookupError:
                    continue
            self._process.wait()

    def _ask(self, message: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(message) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        reply: dict[str, Any] = json.loads(line) if line else {"error": "the process ended"}
        if "error" in reply:
            raise RuntimeError(f"{self._process.args!r}: {reply['error']}")
        return reply


def tree(root: int) -> list[int]:
    """A process and all that descend from it."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and (fields := _stat(int(name))) is not None:
            children.setdefault(int(fields[1]), []).append(int(name))
    found = [root]
    for process in found:
        found += children.get(process, [])
    return found


def tree_cpu(root: int) -> float:
    """Seconds of CPU of a process and of its descendants, of those that ended included."""
    total = 0
    for process in tree(root):
        fields = _stat(process)
        if fields is not None:
            # utime, stime, and those of children that were waited for
            total += sum(map(int, fields[11:15]))
    return total / _TICKS


def _stat(process: int) -> list[str] | None:
    """The fields of /proc/PID/stat after the name; None when the process is gone."""
    try:
        text = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return None
    return text[text.rindex(")") + 2 :].split()


def _pss(process: int) -> int:
    """Proportional set size in KiB; 0 when the process is gone."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


def print_figure(
    figure: str, value: float, unit: str, rival: str | None = None, rival_value: float | None = None,
    ratio: float | None = None,
) -> None:  # fmt: skip
    """One JSON line."""
    numbers = {"value": value, "rival_value": rival_value, "ratio": ratio}
    rounded = {name: number if number is None else float(f"{number:.4g}") for name, number in numbers.items()}
    line = {"figure": figure, "value": rounded["value"], "unit": unit, "rival": rival}
    print(json.dumps({**line, "rival_value": rounded["rival_value"], "ratio": rounded["ratio"]}), flush=True)


def print_ratio(figure: str, ours: Sequence[Run], rivals: Sequence[Run], rival: str) -> None:
    """The rival's CPU over ours, per round, then its median; the spread goes to standard error."""
    ratios = [theirs.cpu / mine.cpu for mine, theirs in zip(ours, rivals, strict=True)]
    own, other = (statistics.median(run.cpu for run in runs) for runs in (ours, rivals))
    print_figure(figure, own, "cpu_s", rival, other, statistics.median(ratios))
    say(f"{figure}: {len(ratios)} rounds, ratio {min(ratios):.2f} … {max(ratios):.2f}")


def say(text: str) -> None:
    """A line for the person who watches."""
    print(text, file=sys.stderr, flush=True)


def describe_machine() -> str:
    """What figures depend on: processor, cores and load."""
    model = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "")
    load = " ".join(f"{number:.1f}" for number in os.getloadavg())
    return f"{model.partition(':')[2].strip()}, {os.cpu_count()} cores, load {load}"
