"""Shapes, dtypes, `index=` and `out=`: all that is checked once, before anything is written."""

from __future__ import annotations

import operator
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from fanin import _core

_MAX_SIZE = (1 << 63) - 1
bfloat16 = np.dtype(ml_dtypes.bfloat16)


class Kind(NamedTuple):
    """How the core writes a dtype."""

    element: int  # the core's Element
    complex: bool
    tile: int  # values in one tile of 32 words
    compute: np.dtype[Any]  # the type its arithmetic is done in


_SINGLE, _DOUBLE = np.dtype(np.float32), np.dtype(np.float64)
KINDS: dict[np.dtype[Any], Kind] = {
    _SINGLE: Kind(0, False, 32, _SINGLE),
    _DOUBLE: Kind(1, False, 16, _DOUBLE),
    np.dtype(np.float16): Kind(2, False, 32, _SINGLE),
    bfloat16: Kind(3, False, 32, _SINGLE),
    np.dtype(np.complex64): Kind(0, True, 16, _SINGLE),
    np.dtype(np.complex128): Kind(1, True, 8, _DOUBLE),
}
REAL = tuple(d for d, k in KINDS.items() if not k.complex)
ALL = tuple(KINDS)


def as_dtype(dtype: Any, accepted: Sequence[np.dtype[Any]], function: str) -> np.dtype[Any]:
    """`dtype` as one of `accepted`, or NumPy's TypeError and the list of what is."""
    found: np.dtype[Any] = np.dtype(dtype)
    if found not in accepted:
        names = ", ".join(d.name for d in accepted)
        raise TypeError(f"Unsupported dtype {found!r} for {function}; accepted: {names}")
    return found


def as_shape(shape: Any) -> tuple[int, ...]:
    """`shape` as a tuple of Python ints, in NumPy's words where it is refused."""
    if isinstance(shape, (bool, np.bool_)) or isinstance(shape, float):
        raise TypeError(f"expected a sequence of integers or a single integer, got '{shape}'")
    if hasattr(shape, "__index__") and not (isinstance(shape, np.ndarray) and shape.ndim):
        entries: tuple[Any, ...] = (shape,)
    else:
        try:
            entries = tuple(shape)
        except TypeError:
            raise TypeError(
                f"expected a sequence of integers or a single integer, got '{shape}'"
            ) from None
    sizes = []
    for entry in entries:
        if isinstance(entry, (bool, np.bool_)):
            raise TypeError(f"expected a sequence of integers or a single integer, got '{shape}'")
        sizes.append(operator.index(entry))
    if any(size < 0 for size in sizes):
        raise ValueError("negative dimensions are not allowed")
    if any(size > _MAX_SIZE for size in sizes):
        raise ValueError("Maximum allowed dimension exceeded")
    total = 1
    for size in sizes:
        total *= size
    if total > _MAX_SIZE:
        raise ValueError(
            f"array is too big; shape {tuple(sizes)} has {total} elements, more than 2**63 - 1"
        )
    return tuple(sizes)


class FlatRun(NamedTuple):
    """`fanin.flat[start:stop]`."""

    start: Any
    stop: Any


class _Flat:
    """``fanin.flat[start:stop]``: as `index=`, a run of the flattened array (1-D, step 1)."""

    def __getitem__(self, run: slice) -> FlatRun:
        if not isinstance(run, slice):
            raise TypeError(f"fanin.flat takes a slice, as in fanin.flat[10:20], got {run!r}")
        if run.step is not None and operator.index(run.step) != 1:
            raise ValueError(f"fanin.flat takes runs of step 1, got step {run.step!r}")
        return FlatRun(run.start, run.stop)

    def __repr__(self) -> str:
        return "fanin.flat"


flat = _Flat()


class Part(NamedTuple):
    """Which elements of the full array are wanted."""

    axes: tuple[range, ...] | None
    kept: tuple[bool, ...]
    flat: range | None
    shape: tuple[int, ...]  # of the result
    first: int  # address of its first element
    steps: tuple[int, ...] | None  # address step along each axis of the result; None: C order


def part_of(shape: tuple[int, ...], index: Any) -> Part:
    """NumPy's basic indexing on ranges, for arrays of any size."""
    if index is None:
        return Part(tuple(map(range, shape)), (True,) * len(shape), None, shape, 0, None)
    if isinstance(index, FlatRun):
        total = 1
        for size in shape:
            total *= size
        run = range(total)[slice(index.start, index.stop)]
        return Part(None, (True,), run, (len(run),), run.start, None)

    entries = index if isinstance(index, tuple) else (index,)
    dots = [i for i, entry in enumerate(entries) if entry is Ellipsis]
    if len(dots) > 1:
        raise IndexError("an index can only have a single ellipsis ('...')")
    if len(entries) - len(dots) > len(shape):
        raise IndexError(
            f"too many indices for array: array is {len(shape)}-dimensional, "
            f"but {len(entries) - len(dots)} were indexed"
        )
    at = dots[0] if dots else len(entries)
    missing = len(shape) - (len(entries) - len(dots))
    entries = entries[:at] + (slice(None),) * missing + entries[at + len(dots) :]

    axes, kept = [], []
    for axis, (size, entry) in enumerate(zip(shape, entries, strict=True)):
        if isinstance(entry, slice):
            axes.append(range(size)[entry])
            kept.append(True)
            continue
        if isinstance(entry, (bool, np.bool_, np.ndarray)) or not hasattr(entry, "__index__"):
            raise TypeError(
                f"index= takes ints, slices, '...' and fanin.flat[start:stop], got {entry!r}"
            )
        position = operator.index(entry)
        if not -size <= position < size:
            raise IndexError(f"index {position} is out of bounds for axis {axis} with size {size}")
        position %= size
        axes.append(range(position, position + 1))
        kept.append(False)
    first, stride, steps = 0, 1, []
    for size, axis_range, keep in zip(reversed(shape), reversed(axes), reversed(kept), strict=True):
        first += axis_range.start * stride if len(axis_range) else 0
        if keep:
            steps.append(axis_range.step * stride)
        stride *= size
    result = tuple(len(r) for r, keep in zip(axes, kept, strict=True) if keep)
    # A step along an axis that is never taken may exceed 64 bits; it is not used.
    used = tuple(s if n > 1 else 0 for s, n in zip(reversed(steps), result, strict=True))
    return Part(tuple(axes), tuple(kept), None, result, first, used)


class Target:
    """Where a call writes and what it returns."""

    __slots__ = (
        "_scalar", "array", "axes", "first", "flat", "fresh", "kept", "result", "shape", "steps"
    )  # fmt: skip
    array: np.ndarray[Any, Any]
    result: Any
    shape: tuple[int, ...]
    axes: tuple[range, ...] | None
    kept: tuple[bool, ...]
    flat: range | None
    first: int
    steps: tuple[int, ...] | None
    fresh: bool
    _scalar: bool

    def apart(self, value: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """`value`, or a copy of it where writing the result might change it."""
        return value.copy() if np.may_share_memory(value, self.array) else value

    def touched(self) -> None:
        """Tells what watches the caller's memory that it has been written."""
        if self.result is not self.array:
            _count_version(self.result)

    def done(self) -> Any:
        """What the public function returns, after the array has been written."""
        self.touched()
        return self.array[()] if self._scalar else self.result


def target(
    shape: Any,
    dtype: Any,
    out: Any,
    index: Any,
    default: Any = np.float32,
    accepted: Sequence[np.dtype[Any]] = ALL,
    function: str = "fanin",
) -> Target:
    """Checks shape, dtype, out and index together and allocates if there is no `out`.

    Parameters
    ----------
    shape : int or sequence of ints
        The full logical shape; with `index` up to 2**63 - 1 elements.
    dtype : dtype or None
        None: the dtype of `out`, else `default`.
    out : array, tensor or None
        Must have exactly the result's shape.
    index : see `part_of`

    Raises
    ------
    TypeError, ValueError, IndexError, MemoryError
        Before anything is allocated or written.
    """
    full = as_shape(shape)
    part = part_of(full, index)
    t = Target()
    t.shape, t.axes, t.kept, t.flat, t.first, t.steps = (
        full, part.axes, part.kept, part.flat, part.first, part.steps)  # fmt: skip
    if out is None:
        chosen = as_dtype(default if dtype is None else dtype, accepted, function)
        t.array = t.result = np.empty(part.shape, chosen)
        t._scalar = index is not None and not part.shape and bool(full)
        t.fresh = True
        return t
    array = destination(out)
    chosen = as_dtype(array.dtype if dtype is None else dtype, accepted, function)
    if chosen != array.dtype or not array.dtype.isnative:
        raise TypeError(
            f"Supplied output array has the wrong type. Expected {chosen.name}, got {array.dtype}"
        )
    if array.shape != part.shape:
        raise ValueError(
            "size must match out.shape when used together: "
            f"the result has shape {part.shape}, out has shape {array.shape}"
        )
    if not array.flags.writeable:
        raise ValueError("Supplied output array is read-only; it must be writable")
    if overlaps_itself(array):
        raise ValueError(
            f"Supplied output array overlaps itself: shape {array.shape}, strides {array.strides}"
        )
    t.array, t.result, t._scalar, t.fresh = array, out, False, False
    return t


#: Makers of arrays that nobody may change, though some of them lend their memory as writable.
_IMMUTABLE = ("jax", "jaxlib", "tensorflow", "pyarrow")


def destination(out: Any) -> np.ndarray[Any, Any]:
    """A NumPy view of the caller's memory, whatever the container."""
    if isinstance(out, np.ndarray):
        return out
    maker = type(out).__module__.partition(".")[0]
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


def _count_version(result: Any) -> None:
    """Moves on the counter by which torch's autograd notices that a tensor has been overwritten."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(result, torch.Tensor) and not result.is_inference():
        torch.autograd.graph.increment_version(result)


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
