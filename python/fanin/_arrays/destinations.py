"""`out=`: a NumPy view of the caller's memory, whatever holds it."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from fanin import _core

from .kinds import bfloat16


def destination(out: Any) -> np.ndarray[Any, Any]:
    """A NumPy view of the caller's memory, whatever the container."""
    if isinstance(out, np.ndarray):
        return out
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(out, torch.Tensor):
        return _torch_view(out, torch)
    if hasattr(out, "__dlpack__"):
        return _dlpack_view(out)
    try:
        view = memoryview(out)
    except TypeError:
        raise TypeError(
            "out must be a NumPy array, a torch CPU tensor, or offer __dlpack__ or the buffer "
            f"protocol, got {type(out).__name__}"
        ) from None
    return np.asarray(view)


_HOST_DEVICES = (1, 3, 11)  # DLPack's kDLCPU, kDLCUDAHost, kDLROCMHost


def _dlpack_view(out: Any) -> np.ndarray[Any, Any]:
    """The exporter's memory; NumPy's own import marks what came the old way as read-only."""
    if hasattr(out, "__dlpack_device__"):
        device = int(out.__dlpack_device__()[0])
        if device not in _HOST_DEVICES:
            raise TypeError(
                f"out must be CPU memory, got a DLPack device of type {device}; fill a CPU array "
                "and copy it"
            )
    try:
        capsule = out.__dlpack__(max_version=(1, 0))
    except TypeError:  # an exporter from before version 1
        capsule = out.__dlpack__()
    return _core.from_dlpack(capsule, np.dtype)


def _torch_view(tensor: Any, torch: Any) -> np.ndarray[Any, Any]:
    if tensor.device.type != "cpu":
        raise TypeError(
            f"out must be a CPU tensor, got one on {tensor.device}; fill a CPU tensor and copy it"
        )
    if tensor.layout is not torch.strided:
        raise TypeError(f"out must be a dense tensor, got layout {tensor.layout}")
    plain = tensor.detach()
    if plain.dtype is torch.bfloat16:  # torch has no NumPy name for it: share the 16 bits
        bits: np.ndarray[Any, Any] = plain.view(torch.int16).numpy()
        return bits.view(bfloat16)
    array: np.ndarray[Any, Any] = plain.numpy()
    return array


def overlaps_itself(array: np.ndarray[Any, Any]) -> bool:
    """Whether two elements of the array share memory (as with stride 0)."""
    flags = array.flags
    if flags.c_contiguous or flags.f_contiguous or array.size < 2:
        return False
    steps = sorted(
        (abs(stride), size)
        for stride, size in zip(array.strides, array.shape, strict=True)
        if size > 1
    )
    reach = array.itemsize
    nested = True
    for stride, size in steps:
        nested = nested and stride >= reach
        reach += stride * (size - 1)
    if nested:
        return False
    if array.size > 1 << 22 or steps[0][0] == 0:
        return True  # not one inside the other, and too many to list: refused
    starts = np.zeros(1, np.int64)
    for stride, size in steps:
        starts = (starts[:, None] + stride * np.arange(size)).ravel()
    starts.sort()
    return bool((np.diff(starts) < array.itemsize).any())
