"""The dtypes of plans: by name, and which of them follow the one that the user asks for."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np

from fanin._arrays.kinds import NICKNAMES
from fanin.files._records import bits
from fanin.files._safetensors import SAFETENSORS_NAMES

__all__ = ["DEFAULT", "DTYPES", "WRITTEN", "as_dtype_name", "is_float", "is_packed", "resolved"]

#: Of a tensor for which nobody names one.
DEFAULT = "float32"

#: Every dtype that a tensor of a plan may have.
DTYPES: dict[str, np.dtype[Any]] = {dtype.name: dtype for dtype in SAFETENSORS_NAMES}

#: The dtypes that a model can be written in.
WRITTEN: dict[str, np.dtype[Any]] = {
    name: DTYPES[name]
    for name in ("float32", "bfloat16", "float16", "float64", "float8_e4m3fn", "float8_e5m2")
}

_FLOATS = (*WRITTEN, "float8_e4m3fnuz", "float8_e5m2fnuz")


def as_dtype_name(dtype: Any, accepted: dict[str, np.dtype[Any]] = DTYPES) -> str:
    """The name of a dtype given by name ("bf16" too), as a dtype or as a framework's.

    Raises
    ------
    TypeError
        It is none of those accepted.
    """
    text = str(dtype).rpartition(".")[2] if not isinstance(dtype, type) else ""
    if text in NICKNAMES:
        text = NICKNAMES[text].name
    if text in accepted:
        return text
    name = ""
    # NumPy evaluates other texts than plain names, as "2,f4", and raises what Python's parser does.
    if not isinstance(dtype, str) or dtype.lstrip("<=>|").isidentifier():
        with suppress(TypeError, ValueError):
            name = str(np.dtype(dtype).name)
    if name not in accepted:
        raise TypeError(f"no dtype {dtype!r}; accepted: {', '.join(accepted)}")
    return name


def is_float(name: str) -> bool:
    """Whether a tensor of this dtype follows the dtype that a model is written in."""
    return name in _FLOATS


def is_packed(name: str) -> bool:
    """Whether several elements share a byte of a file."""
    return bits(DTYPES[name]) < 8


def resolved(own: str | None, default: str | None, wanted: str | None) -> str:
    """A tensor's dtype in a file: `wanted` for floats; else its own, the plan's, float32."""
    name = own or default or DEFAULT
    return wanted if wanted is not None and is_float(name) else name
