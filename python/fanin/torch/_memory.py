"""A tensor's memory as a NumPy array, and blocks of other devices' memory through the CPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import ml_dtypes
import numpy as np
import torch
from numpy.typing import NDArray

__all__ = ["BLOCK_BYTES", "array_of", "changed", "dtype_of", "fill_blocks"]

#: What is held of a tensor that the core cannot write itself, at most.
BLOCK_BYTES = 1 << 25

#: dtypes that torch gives no NumPy array for: the integer of their size and their name there.
_BY_BITS: dict[torch.dtype, tuple[torch.dtype, Any]] = {
    torch.bfloat16: (torch.int16, ml_dtypes.bfloat16),
    torch.float8_e4m3fn: (torch.uint8, ml_dtypes.float8_e4m3fn),
    torch.float8_e5m2: (torch.uint8, ml_dtypes.float8_e5m2),
    torch.float8_e4m3fnuz: (torch.uint8, ml_dtypes.float8_e4m3fnuz),
    torch.float8_e5m2fnuz: (torch.uint8, ml_dtypes.float8_e5m2fnuz),
    torch.float8_e8m0fnu: (torch.uint8, ml_dtypes.float8_e8m0fnu),
}


def array_of(tensor: torch.Tensor) -> NDArray[Any]:
    """The memory of a dense CPU tensor, shared, whatever its dtype and whether it needs grad."""
    plain = tensor.detach() if tensor.requires_grad else tensor
    by_bits = _BY_BITS.get(plain.dtype)
    if by_bits is None:
        whole: NDArray[Any] = plain.numpy()
        return whole
    bits, dtype = by_bits
    shared: NDArray[Any] = plain.view(bits).numpy().view(dtype)
    return shared


def dtype_of(dtype: torch.dtype) -> np.dtype[Any]:
    """NumPy's dtype of that name."""
    by_bits = _BY_BITS.get(dtype)
    if by_bits is not None:
        named: np.dtype[Any] = np.dtype(by_bits[1])
        return named
    array: NDArray[Any] = torch.empty(0, dtype=dtype).numpy()
    return array.dtype


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
