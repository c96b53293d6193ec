"""The processes of one training run: how many, which one this is, and what they tell each other.

A run under ``torchrun`` has one process a GPU (NCCL) or CPU (gloo), on one machine or several; each draws its own batch
and all take the same step, along the mean of their gradients. Without ``torchrun`` there is one process and nothing
here communicates.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from datetime import timedelta

import torch
import torch.distributed as dist

# Its functions have the group of that moment as a default argument. The first optimizer imports it, and a group that
# exists by then lives for ever: its threads then end with the interpreter, which now and then aborts the process.
import torch.distributed.nn.functional  # noqa: F401

#: The others wait at the next step while the first validates or writes a checkpoint.
PATIENCE = timedelta(hours=2)


class Ranks:
    """This process among those of the run.

    Attributes:
        rank, world: its number and how many there are. device: where its batch lives.
    """

    def __init__(self, rank: int = 0, world: int = 1, device: torch.device | str = "cpu") -> None:
        self.rank, self.world, self.device = rank, world, torch.device(device)

    @classmethod
    def join(cls, device: str) -> Ranks:
        """As ``torchrun``'s environment says; ``cuda`` then means this process's own GPU."""
        world = int(os.environ.get("WORLD_SIZE", 1))
        if world == 1:
            return cls(device=device)
        if device == "cuda":
            device = f"cuda:{os.environ['LOCAL_RANK']}"
        place = torch.device(device)
        if place.type == "cuda":
            torch.cuda.set_device(place)
        dist.init_process_group("nccl" if place.type == "cuda" else "gloo", timeout=PATIENCE)
        return cls(dist.get_rank(), world, place)

    @property
    def first(self) -> bool:
        """Whether this process validates, writes and prints."""
        return self.rank == 0

    def seed(self, seed: int) -> int:
        """A seed of this process's own; the first one's is ``seed`` itself."""
        return seed + 1_000_003 * self.rank

    def mean(self, value: torch.Tensor) -> torch.Tensor:
        """Mean of a tensor over the processes, without gradient."""
        if self.world == 1:
            return value.detach()
        total = value.detach().clone()
        dist.all_reduce(total)
        return total / self.world

    def any(self, here: bool) -> bool:
        """Whether it is so on some process."""
        if self.world == 1:
            return here
        value = torch.tensor(float(here), device=self.device)
        dist.all_reduce(value)
        return value.item() > 0

    def average_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Replaces every gradient by its mean over the processes, in one message."""
        if self.world == 1:
            return
        gradients = []
        for p in parameters:  # one that this batch did not touch counts as zero
            p.grad = torch.zeros_like(p) if p.grad is None else p.grad
            gradients.append(p.grad)
        flat = torch.cat([g.flatten() for g in gradients])
        dist.all_reduce(flat)
        parts = (flat / self.world).split([g.numel() for g in gradients])
        torch._foreach_copy_(gradients, [part.view_as(g) for part, g in zip(parts, gradients)])

    def follow_first(self, tensors: Iterable[torch.Tensor]) -> None:
        """Overwrites tensors, in place, by those of the first process."""
        if self.world > 1:
            for tensor in tensors:
                dist.broadcast(tensor, 0)

    def clock(self) -> float:
        """Seconds on the first process's monotonic clock, by which all of them decide."""
        now = time.monotonic()
        if self.world == 1:
            return now
        value = torch.tensor(now, dtype=torch.float64, device=self.device)
        dist.broadcast(value, 0)
        return value.item()

    def gather(self, state: torch.Tensor) -> list[torch.Tensor]:
        """The tensors of all processes, which must have one shape, on the CPU, in the order of the ranks."""
        if self.world == 1:
            return [state.cpu()]
        mine = state.to(self.device)
        parts = [torch.empty_like(mine) for _ in range(self.world)]
        dist.all_gather(parts, mine)
        return [part.cpu() for part in parts]

    def leave(self) -> None:
        """Ends the group and its threads after everybody came here."""
        if self.world > 1:
            dist.barrier()
            dist.destroy_process_group()
