"""Which part of a tensor this process holds: DTensors by their placements, never by a message."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

__all__ = ["check_sharded", "is_distributed", "local_parts"]


def is_distributed(tensor: torch.Tensor) -> bool:
    """Whether the tensor is a DTensor; loads nothing."""
    module = sys.modules.get("torch.distributed.tensor")
    return module is not None and isinstance(tensor, module.DTensor)


def check_sharded(root: Any) -> None:
    """Refuse a module that FSDP2 has gathered: what is written to its copies is lost."""
    fsdp = sys.modules.get("torch.distributed.fsdp")
    if fsdp is None:
        return
    for name, module in root.named_modules():
        if not isinstance(module, fsdp.FSDPModule):
            continue
        group = getattr(module._get_fsdp_state(), "_fsdp_param_group", None)
        if group is not None and not getattr(group, "is_sharded", True):
            raise ValueError(
                f"FSDP2 has gathered the parameters of {name or 'the module'}, and what is written "
                "to the copies is lost: call reshard() first"
            )


def local_parts(tensor: Any) -> Iterator[tuple[torch.Tensor, tuple[slice, ...]]]:
    """Views of this process's memory of a DTensor, each with the basic index that it stands for.

    Raises
    ------
    TypeError
        A placement that is no shard and no replica, as a partial sum.
    """
    local = tensor.to_local()
    runs = [_runs(held) for held in _held(tensor)]
    if not local.numel():
        return
    for chosen in itertools.product(*runs):
        view = local.detach()
        for axis, (start, held) in enumerate(chosen):
            view = view.narrow(axis, start, len(held))
        yield view, tuple(slice(held.start, held.stop) for _, held in chosen)


def _held(tensor: Any) -> list[np.ndarray[Any, Any]]:
    """For every axis, the indices of the full tensor that this process holds, in its order.

    The placements cut an axis of indices as they would cut the tensor, one mesh dimension after
    the other; torch's own code decides about uneven and strided cuts.
    """
    mesh = tensor.device_mesh
    coordinate = mesh.get_coordinate()
    held = [torch.arange(size) for size in tensor.shape]
    if coordinate is None:  # this process is not in the mesh
        return [np.empty(0, np.int64) for _ in held]
    for mesh_axis, placement in enumerate(tensor.placements):
        if placement.is_replicate():
            continue
        axis = getattr(placement, "dim", None)
        if axis is None or placement.is_partial():
            raise TypeError(
                f"fanin fills DTensors that are sharded or replicated, this one is {placement}"
            )
        # A placement cuts a tensor along its own axis: give it the indices along that one.
        shape = [1] * tensor.ndim
        shape[axis] = len(held[axis])
        pieces, _ = placement._split_tensor(
            held[axis].reshape(shape), mesh.size(mesh_axis), with_padding=False, contiguous=True
        )
        held[axis] = pieces[coordinate[mesh_axis]].reshape(-1)
    return [indices.numpy() for indices in held]


def _runs(indices: np.ndarray[Any, Any]) -> list[tuple[int, range]]:
    """Consecutive indices, each run with the place where it starts."""
    if not len(indices):
        return []
    cuts = [0, *(np.flatnonzero(np.diff(indices) != 1) + 1).tolist(), len(indices)]
    return [
        (start, range(int(indices[start]), int(indices[stop - 1]) + 1))
        for start, stop in itertools.pairwise(cuts)
    ]
