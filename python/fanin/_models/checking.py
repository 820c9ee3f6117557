"""A plan is checked whole before anything is written."""

from __future__ import annotations

import numpy as np

from fanin._arrays.kinds import KINDS
from fanin._arrays.parts import FlatRun
from fanin._random.streams import Stream
from fanin._schemes.registry import schemes
from fanin.files._records import SIZE_LIMIT, byte_length

from .bounds import ends_of
from .dtypes import DTYPES, is_float, is_packed, resolved
from .tensors import PlanTensor
from .values import CONSTANTS, Value
from .writing import write

__all__ = ["check_tensor", "check_total"]


def check_tensor(tensor: PlanTensor, default: str | None, wanted: str | None) -> int:
    """The bytes of a tensor in the file, after every check that needs no values.

    Raises
    ------
    ValueError, TypeError
        Names the tensor, and what its law does not accept.
    """
    what = f"tensor {tensor.name!r}"
    if not isinstance(tensor.name, str) or not tensor.name or tensor.name == "__metadata__":
        raise ValueError(f"a tensor cannot be named {tensor.name!r}")
    dtype = resolved(tensor.dtype, default, wanted)
    if dtype not in DTYPES:
        raise TypeError(f"{what}: no dtype {dtype!r}; accepted: {', '.join(DTYPES)}")
    length = byte_length(what, DTYPES[dtype], tensor.shape)
    try:
        tensor.name.encode()
        for part in tensor.parts:
            inside = len(part.box) == len(tensor.shape) and all(
                0 <= start <= stop <= size and step >= 1
                for (start, stop, step), size in zip(part.box, tensor.shape, strict=True)
            )
            if not inside:
                raise ValueError(f"the part {part.box} is no box of the shape {tensor.shape}")
        parts = [(part.shape, part.value) for part in tensor.parts]
        for shape, value in [(tensor.shape, tensor.value), *parts]:
            _check_law(value, dtype)
            if is_float(dtype) and DTYPES[dtype] not in KINDS and not value.steps:
                ends_of(shape, value, DTYPES[dtype])
        if not is_packed(dtype):
            # An empty run: the scheme checks its arguments and the shape, and draws nothing.
            write(tensor, Stream(0), np.empty(0, DTYPES[dtype]), index=FlatRun(0, 0), threads=1)
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{what}: {error}") from None
    return length


def _check_law(value: Value, dtype: str) -> None:
    """Whole numbers and packed types are not drawn at random."""
    if is_packed(dtype) and (value.scheme != "zeros" or value.steps):
        raise TypeError(f"{dtype} is written as zeros only, not by {value.scheme}")
    if is_float(dtype) or DTYPES[dtype].kind == "c" or value.scheme in (*CONSTANTS, "literal"):
        return
    row = schemes().get(value.scheme)
    if row is None or row.needs_seed:
        raise TypeError(f"{dtype} is not drawn by {value.scheme}: give zeros, ones or constant")


def check_total(lengths: list[int]) -> int:
    """The bytes of all tensors."""
    total = sum(lengths)
    if total > SIZE_LIMIT:
        raise ValueError(f"the tensors take {total} bytes, over 2**63 - 1")
    return total
