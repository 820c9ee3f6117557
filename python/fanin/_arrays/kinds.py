"""The dtypes that a call writes, and how the core writes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from fanin._hints import short

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
COMPLEX = tuple(d for d, k in KINDS.items() if k.complex)
ALL = tuple(KINDS)


#: Of a dtype's name; in an error NumPy would quote the whole text.
_LONGEST_NAME = 100


def numpys(dtype: Any) -> np.dtype[Any]:
    """NumPy's dtype, or its TypeError."""
    if isinstance(dtype, str) and len(dtype) > _LONGEST_NAME:
        raise TypeError(f"data type {short(dtype)} not understood")
    found: np.dtype[Any] = np.dtype(dtype)
    return found


def as_dtype(dtype: Any, accepted: Sequence[np.dtype[Any]], function: str) -> np.dtype[Any]:
    """`dtype` as one of `accepted`, or NumPy's TypeError and the list of what is."""
    try:
        found: np.dtype[Any] = np.dtype(dtype)
    except TypeError:
        found = _by_name(dtype)
    if found not in accepted:
        names = ", ".join(d.name for d in accepted)
        raise TypeError(f"Unsupported dtype {found!r} for {function}; accepted: {names}")
    return found


#: What people call dtypes for short, and NumPy does not.
NICKNAMES: dict[str, np.dtype[Any]] = {
    "bf16": bfloat16, "fp16": np.dtype(np.float16), "fp32": _SINGLE, "fp64": _DOUBLE
}  # fmt: skip

#: Names that NumPy has not; those of torch, JAX and others follow a dot, as in torch.bfloat16.
_NAMES: dict[str, np.dtype[Any]] = {**{dtype.name: dtype for dtype in KINDS}, **NICKNAMES}


def _by_name(dtype: Any) -> np.dtype[Any]:
    """A dtype of another library, known by its name; else the TypeError of NumPy."""
    name = str(dtype).rpartition(".")[2]
    if name in _NAMES:
        return _NAMES[name]
    return numpys(dtype if isinstance(dtype, str) else name)
