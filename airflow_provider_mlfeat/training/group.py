"""The processes that train one model together: what they send each other.

A process alone is a group of one, whose sums and gatherings are what it has: the trainer does not ask how many
there are.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, distributed


class Group:
    """All processes that torchrun started, or this one alone.

    :param rank: which of them this is.
    :param size: how many there are.
    """

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank = rank
        self.size = size

    @classmethod
    def join(cls) -> Group:
        """The group that torchrun's environment describes; its member on a GPU takes the GPU of its local rank."""
        if int(os.environ.get("WORLD_SIZE", "1")) == 1:
            return cls()
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
        return cls(distributed.get_rank(), distributed.get_world_size())

    def leave(self) -> None:
        """End the connections."""
        if self.size > 1:
            distributed.destroy_process_group()

    @property
    def is_first(self) -> bool:
        """Whether this process speaks for all."""
        return self.rank == 0

    def share(self, rows: int) -> slice:
        """This process's part of a batch; all parts are equally long, so fewer rows than processes may be left out."""
        length = rows // self.size
        return slice(self.rank * length, (self.rank + 1) * length)

    def gather(self, tensor: Tensor) -> Tensor:
        """The tensors of all, one behind the other; they are equally long."""
        if self.size == 1:
            return tensor
        gathered = tensor.new_empty(self.size * len(tensor), *tensor.shape[1:])
        distributed.all_gather_single(gathered, tensor.contiguous())
        return gathered

    def sum_and_share(self, tensor: Tensor) -> Tensor:
        """This process's part of the sum over all."""
        if self.size == 1:
            return tensor
        part = tensor.new_empty(len(tensor) // self.size, *tensor.shape[1:])
        distributed.reduce_scatter_single(part, tensor.contiguous())
        return part

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors by their mean over all."""
        if self.size == 1:
            return
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        distributed.all_reduce(flat)
        flat /= self.size
        parts = torch.split(flat, [tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.view_as(tensor))

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum over all, in place."""
        if self.size > 1:
            distributed.all_reduce(tensor)
        return tensor

    def agree(self, thing: Any) -> Any:
        """What the first process has, on every process."""
        if self.size == 1:
            return thing
        things = [thing]
        distributed.broadcast_object_list(things, src=0)
        return things[0]

    def every(self, holds: bool) -> bool:
        """Whether something holds on every process."""
        if self.size == 1:
            return holds
        answers: list[Any] = [None] * self.size
        distributed.all_gather_object(answers, holds)
        return all(answers)

    def wait(self) -> None:
        """Until all are here."""
        if self.size > 1:
            distributed.barrier()
