"""A tensor's memory as a NumPy array, and blocks of other devices' memory through the CPU."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import ml_dtypes  # noqa: F401  its names
import numpy as np
import torch
from numpy.typing import NDArray

from fanin import _core

__all__ = ["BLOCK_BYTES", "array_of", "changed", "dtype_of", "fill_blocks", "foreign"]

#: What is held of a tensor that the core cannot write itself, at most.
BLOCK_BYTES = 1 << 25


def array_of(tensor: torch.Tensor) -> NDArray[Any]:
    """The memory of a dense CPU tensor, shared, whatever its dtype and whether it needs grad.

    Raises
    ------
    RuntimeError
        A tensor that is lazily conjugated or negated, or whose memory has been freed.
    """
    if tensor.is_conj() or tensor.is_neg() or not tensor.is_cpu:
        raise RuntimeError("only the memory of a CPU tensor as it is stored can be lent")
    if not tensor.data_ptr() and tensor.numel():
        raise RuntimeError(
            f"the tensor of shape {tuple(tensor.shape)} has no memory: its storage has been freed"
        )
    # Not Tensor.numpy(), which would make the storage unresizable, and FSDP has to free it.
    address, dtype = tensor.data_ptr(), dtype_of(tensor.dtype)
    return _core.lent(tensor, address, tensor.shape, tensor.stride(), dtype)


@functools.cache
def dtype_of(dtype: torch.dtype) -> np.dtype[Any]:
    """NumPy's dtype of that name, or ml_dtypes' of a float of whole bytes; TypeError if none."""
    name = str(dtype).removeprefix("torch.")
    named: np.dtype[Any] = np.dtype(name)  # ml_dtypes has told NumPy its names
    if named.isbuiltin != 1 and not name.startswith(("bfloat16", "float8")):
        raise TypeError(f"no array has torch's {name}")
    return named


def foreign(tensor: torch.Tensor) -> str:
    """What makes a tensor one that no plan describes and nothing here fills; "" if nothing does."""
    if tensor.is_nested:
        return "a nested tensor"
    if tensor.layout is not torch.strided:
        return f"a tensor of the layout {tensor.layout}"
    if tensor.is_quantized:
        return "a quantised tensor"
    try:
        dtype_of(tensor.dtype)
    except TypeError:
        return f"a tensor of {tensor.dtype}, which NumPy has no dtype for"
    return ""


def changed(tensor: torch.Tensor) -> None:
    """Tell autograd that the tensor was written, as torch's own in-place functions do."""
    torch.autograd.graph.increment_version(tensor)


def fill_blocks(
    tensor: torch.Tensor, shape: tuple[int, ...], write: Callable[[NDArray[Any], Any], object]
) -> None:
    """Fill a tensor on another device block by block through (pinned) CPU memory.

    ``write(array, index)`` writes the part of the tensor that the basic index selects.
    """
    most = max(1, BLOCK_BYTES // max(1, tensor.element_size()))
    for index in _blocks(shape, most):
        block = tensor.detach()[index]
        pinned = tensor.device.type == "cuda"
        scratch = torch.empty(block.shape, dtype=tensor.dtype, device="cpu", pin_memory=pinned)
        write(array_of(scratch), index)
        block.copy_(scratch)


def _blocks(shape: tuple[int, ...], most: int) -> Iterator[tuple[slice, ...]]:
    """Cut a shape into boxes of at most `most` elements, along its first axes."""
    rest = 1
    for axis in reversed(range(len(shape))):
        if rest * shape[axis] > most:
            step = max(1, most // rest)
            break
        rest *= shape[axis]
    else:
        yield (slice(None),) * len(shape)
        return

    def heads(axes: tuple[int, ...]) -> Iterator[tuple[slice, ...]]:
        if not axes:
            yield ()
            return
        for at in range(axes[0]):
            for tail in heads(axes[1:]):
                yield (slice(at, at + 1), *tail)

    for head in heads(shape[:axis]):
        for start in range(0, shape[axis], step):
            yield (*head, slice(start, start + step), *[slice(None)] * (len(shape) - axis - 1))
