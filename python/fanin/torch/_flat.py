"""FSDP1: the parameters that a flat parameter holds, and which runs of them are here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import nn

from ._names import unwrapped, within

__all__ = ["Run", "flat_runs"]


class Run(NamedTuple):
    """A run of one flattened parameter inside a flat parameter of this process."""

    name: str
    shape: tuple[int, ...]
    start: int
    """Where the run begins in the flattened parameter."""
    length: int
    flat: torch.Tensor
    offset: int
    """Where it begins in the flat parameter."""

    def view(self) -> torch.Tensor:
        """The run's own memory."""
        return self.flat.detach()[self.offset : self.offset + self.length]


def flat_runs(root: nn.Module) -> Iterator[Run]:
    """Every run of every parameter that this process holds in FSDP1's flat parameters."""
    leading, _ = within(root)
    for prefix, module in root.named_modules():
        handle: Any = getattr(module, "_handle", None)
        flat: Any = getattr(handle, "flat_param", None)
        if flat is None or not hasattr(flat, "_fqns"):
            continue
        sharded = handle.uses_sharded_strategy
        for name, shape, offset, held in zip(
            flat._fqns, flat._shapes, _offsets(flat), flat._shard_param_infos, strict=True
        ):
            full = unwrapped(f"{prefix}.{name}" if prefix else name, leading)
            if not sharded:
                yield Run(full, tuple(shape), 0, shape.numel(), flat, offset)
            elif held.in_shard:
                start = int(held.intra_param_start_idx)
                length = int(held.intra_param_end_idx) + 1 - start
                yield Run(full, tuple(shape), start, length, flat, int(held.offset_in_shard))
            else:
                yield Run(full, tuple(shape), 0, 0, flat, 0)


def _offsets(flat: Any) -> list[int]:
    """Where each parameter begins in the whole flat parameter; padding lies between them."""
    offsets, at = [], 0
    for count, is_padding in zip(flat._numels_with_padding, flat._is_padding_mask, strict=True):
        if not is_padding:
            offsets.append(at)
        at += int(count)
    return offsets
