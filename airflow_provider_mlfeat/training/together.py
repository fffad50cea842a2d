"""Several processes on this machine that train one model: one per GPU, or some on a CPU."""

from __future__ import annotations

import json
import os
import selectors
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO

import torch

from airflow_provider_mlfeat import errors, files
from airflow_provider_mlfeat.errors import JobFailedError, UserError
from airflow_provider_mlfeat.training.examples import TrainingData
from airflow_provider_mlfeat.training.member import STORY, WEIGHTS
from airflow_provider_mlfeat.training.models import build_model
from airflow_provider_mlfeat.training.reporting import TrainingCancellation, TrainingProgress
from airflow_provider_mlfeat.training.settings import TrainSettings
from airflow_provider_mlfeat.training.trained import Trained

PATIENCE = 0.5
LAST_WORDS = 20.0


def train_together(
    data: TrainingData,
    settings: TrainSettings,
    progress: TrainingProgress,
    cancellation: TrainingCancellation,
    checkpoint_directory: Path | None,
) -> Trained:
    """Train with ``settings.processes`` processes and wait for them; when one fails or the work is stopped, all end.

    :param data: with the folder that it comes from, which every process opens for itself.
    :param settings: how.
    :param progress: told what the first process tells.
    :param cancellation: asked whether to go on.
    :param checkpoint_directory: where checkpoints are kept.
    """
    if data.folder is None:
        raise UserError("several processes train from a dataset's folder, and this data has none: set processes to 1")
    gpus = torch.cuda.device_count() if settings.device != "cpu" else 0
    if gpus and settings.processes > gpus:
        raise UserError(f"processes is {settings.processes}, but there are {gpus} GPUs here: one process takes one GPU")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mlfeat-train-")))
        work = folder / "work.json"
        document = {
            "dataset": str(data.folder),
            "settings": settings.model_dump(mode="json"),
            "checkpoints": str(checkpoint_directory or folder / "checkpoints"),
        }
        files.write_json(work, document)
        members = _start(work, settings.processes)
        stack.callback(_end, members)
        _follow(members, progress, cancellation)
        for member in members:
            member.wait()
        if any(member.returncode for member in members):
            raise _failure(folder, members)
        model = build_model(settings, data.layout)
        model.load_state_dict(torch.load(folder / WEIGHTS, map_location="cpu", weights_only=True))
        story = json.loads((folder / STORY).read_text(encoding="utf-8"))
        return Trained.of(story, model.eval(), settings, data.layout)


def _start(work: Path, processes: int) -> list[subprocess.Popen[str]]:
    """The members, with the environment that torchrun would give them."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    members = []
    for rank in range(processes):
        place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": processes, "MASTER_PORT": port}
        environment = {**os.environ, **{name: str(value) for name, value in place.items()}, "MASTER_ADDR": "127.0.0.1"}
        members.append(
            subprocess.Popen(
                [sys.executable, "-m", "airflow_provider_mlfeat.training.member", str(work)],
                stdout=subprocess.PIPE if rank == 0 else subprocess.DEVNULL,
                env=environment,
                text=True,
            )
        )
    return members


def _follow(
    members: Sequence[subprocess.Popen[str]], progress: TrainingProgress, cancellation: TrainingCancellation
) -> None:
    """Pass on what the first member tells, until it ends or another one fails."""
    output = members[0].stdout
    assert output is not None
    with selectors.DefaultSelector() as selector:
        selector.register(output, selectors.EVENT_READ)
        while True:
            cancellation.check()
            if any(member.poll() for member in members):
                return
            if selector.select(PATIENCE) and not _pass_on(output, progress):
                return


def _pass_on(output: IO[str], progress: TrainingProgress) -> bool:
    """One line; whether there was one."""
    line = output.readline()
    if not line:
        return False
    told = json.loads(line)
    getattr(progress, told["call"])(**told["arguments"])
    return True


def _end(members: Sequence[subprocess.Popen[str]]) -> None:
    """Whoever still runs is asked to stop, and then made to."""
    for member in members:
        if member.poll() is None:
            member.terminate()
    for member in members:
        try:
            member.wait(LAST_WORDS)
        except subprocess.TimeoutExpired:
            member.kill()
            member.wait()
        if member.stdout is not None:
            member.stdout.close()


def _failure(folder: Path, members: Sequence[subprocess.Popen[str]]) -> errors.MlfeatError:
    """What the first member to fail says, as the error that it was."""
    for path in sorted(folder.glob("error-*.json")):
        told = json.loads(path.read_text(encoding="utf-8"))
        kind = getattr(errors, told["type"], UserError)
        return kind(told["message"])
    codes = ", ".join(f"{rank}: {member.returncode}" for rank, member in enumerate(members) if member.returncode)
    return JobFailedError(f"a training process ended without a word (process: exit status {codes}); see the log")
