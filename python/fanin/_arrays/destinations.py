"""`out=`: a NumPy view of the caller's memory, whatever holds it."""

from __future__ import annotations

import functools
import sys
from typing import Any

import numpy as np

from fanin import _core
from fanin._hints import module_of

from .kinds import bfloat16

#: Makers of arrays that nobody may change, though some of them lend their memory as writable.
_IMMUTABLE = ("jax", "jaxlib", "tensorflow", "pyarrow")


def destination(out: Any) -> np.ndarray[Any, Any]:
    """A NumPy view of the caller's memory, whatever the container."""
    if isinstance(out, np.ndarray):
        return np.asarray(out)  # a matrix keeps two axes whatever is asked of it
    maker = module_of(type(out))
    if maker in _IMMUTABLE:
        raise TypeError(
            f"out is a {type(out).__name__} of {maker}, and such arrays are immutable; leave out= "
            "away and convert the result, or draw with fanin.jax or fanin.keras"
        )
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


def tensor_view(out: Any) -> np.ndarray[Any, Any] | None:
    """A view of a plain torch tensor; None for everything else, which `destination` explains."""
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(out, torch.Tensor):
        return None
    try:
        return _torch_view(out, torch)
    except (TypeError, RuntimeError):
        return None


_HOST_DEVICES = (1, 3, 11)  # DLPack's kDLCPU, kDLCUDAHost, kDLROCMHost


def _dlpack_view(out: Any) -> np.ndarray[Any, Any]:
    """The exporter's memory. A capsule without a version cannot say that it is read-only (JAX's
    immutable arrays come so), so that something else has to say that it is not."""
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
    writable = _says_writable(out)
    view = _core.from_dlpack(capsule, np.dtype, writable is True)
    if writable is False:
        view.flags.writeable = False
    if writable is None and not view.flags.writeable:
        raise ValueError(
            f"out of type {type(out).__name__} does not say that its memory may be written: its "
            "DLPack capsule has no version or is read-only, and it offers no writable buffer; "
            "fill a NumPy array and copy it"
        )
    return view


def _says_writable(out: Any) -> bool | None:
    """Whether an exporter's other protocols let its memory be written; None: they are silent."""
    try:
        return not memoryview(out).readonly
    except (TypeError, ValueError, BufferError):
        interface = getattr(out, "__array_interface__", None)
    try:
        return not interface["data"][1]  # type: ignore[index]
    except (TypeError, LookupError):
        return None


def count_version(result: Any) -> None:
    """Moves on the counter by which torch's autograd notices that a tensor has been overwritten."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(result, torch.Tensor) and not result.is_inference():
        torch.autograd.graph.increment_version(result)


def _torch_view(tensor: Any, torch: Any) -> np.ndarray[Any, Any]:
    if not tensor.is_cpu:
        raise TypeError(
            f"out must be a CPU tensor, got one on {tensor.device}; fill a CPU tensor and copy it"
        )
    if tensor.layout is not torch.strided:
        raise TypeError(f"out must be a dense tensor, got layout {tensor.layout}")
    if tensor.is_conj() or tensor.is_neg():
        raise RuntimeError(
            "out is a tensor whose conjugate or negative stands in memory; call resolve_conj() or "
            "resolve_neg() first"
        )
    address = tensor.data_ptr()
    if not address and tensor.numel():
        raise RuntimeError(f"out of shape {tuple(tensor.shape)} has no memory: it has been freed")
    # Not Tensor.numpy(), which would make the storage unresizable.
    return _core.lent(tensor, address, tensor.shape, tensor.stride(), _dtype_of(tensor.dtype))


@functools.cache
def _dtype_of(dtype: Any) -> np.dtype[Any]:
    """NumPy's dtype of torch's, which has the same name."""
    name = str(dtype).removeprefix("torch.")
    try:
        named: np.dtype[Any] = np.dtype(bfloat16 if name == "bfloat16" else name)
    except TypeError:
        raise TypeError(f"out is a tensor of {dtype}, which NumPy has no dtype for") from None
    return named


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
    return steps[0][0] == 0 or _two_elements_meet(array)


#: Steps of NumPy's exact search; what takes more is refused.
_MOST_WORK = 1 << 20


def _two_elements_meet(array: np.ndarray[Any, Any]) -> bool:
    """Whether two elements share memory, by NumPy's exact test of two arrays.

    If two do, they do so moved to the front of every axis before the first in which they differ,
    one of them at its first place: so it is asked for each axis whether its first place meets the
    others.
    """
    for axis in range(array.ndim):
        front = array[(slice(0, 1),) * axis]
        rest = (slice(None),) * axis
        first, others = front[(*rest, slice(0, 1))], front[(*rest, slice(1, None))]
        try:
            if np.shares_memory(first, others, max_work=_MOST_WORK):  # type: ignore[arg-type]
                return True
        except np.exceptions.TooHardError:
            return True
    return False
