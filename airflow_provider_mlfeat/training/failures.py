"""Whose fault a failure of training is: the user's, who is told what to change, or the machine's, and worth a retry."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from airflow_provider_mlfeat.errors import TransientError, UserError
from airflow_provider_mlfeat.files import staged_file
from airflow_provider_mlfeat.training.loader import Batch
from airflow_provider_mlfeat.training.settings import TrainSettings

KEPT_BATCH = "broken-batch.npz"
_NO_MEMORY = ("can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED")


@contextmanager
def explained(settings: TrainSettings, device: torch.device) -> Iterator[None]:
    """Turn PyTorch's errors of memory and hardware into ours."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise UserError(_advice(settings, device)) from error
    except MemoryError as error:
        raise UserError(_advice(settings, device)) from error
    except (torch.AcceleratorError, torch.distributed.DistError) as error:
        # Memory that runs out while a GPU records a step ends in an error about the recording.
        if _began_with_memory(error):
            raise UserError(_advice(settings, device)) from error
        raise TransientError(f"the device or a process of the group failed: {_first_line(error)}") from error
    except RuntimeError as error:
        if any(text in str(error) for text in _NO_MEMORY) or _began_with_memory(error):
            raise UserError(_advice(settings, device)) from error
        raise


def _advice(settings: TrainSettings, device: torch.device) -> str:
    advice = [f"a batch_size below {settings.batch_size}", "a smaller embedding_size"]
    if settings.precision == "fp32" and device.type == "cuda":
        advice.insert(1, "precision 'bf16'")
    if settings.resident == "auto" and device.type == "cuda":
        advice.append("resident 'never'")
    if settings.table == "copy" and device.type == "cuda":
        advice.append("more GPUs with table 'rows'")
    where = "the GPU's memory" if device.type == "cuda" else "memory"
    return f"training needs more than {where} holds: take {', '.join(advice[:-1])} or {advice[-1]}"


def _began_with_memory(error: BaseException | None) -> bool:
    """Whether memory ran out before an error came of it."""
    while error is not None:
        if isinstance(error, torch.OutOfMemoryError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def keep_broken_batch(directory: Path | None, batch: Batch) -> str:
    """Write the batch whose loss was no number, for a look; where it is, as the end of a sentence."""
    if directory is None:
        return ""
    directory.mkdir(parents=True, exist_ok=True)
    target = directory / KEPT_BATCH
    arrays = {"ids": batch.ids, "values": batch.values, "labels": batch.labels}
    with staged_file(target) as staging, staging.open("wb") as file:
        np.savez(file, allow_pickle=False, **{name: tensor.cpu().numpy() for name, tensor in arrays.items()})
    return f"; the batch is kept in {target}"
