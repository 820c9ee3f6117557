"""Plans as plain data: what the formats of plan files and the metadata of model files share."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from .dtypes import as_dtype_name
from .tensors import PlanTensor
from .value_data import part_from_data, part_to_data, value_from_data, value_to_data
from .values import Literal

__all__ = ["canonical", "checked_seed", "refuse_others", "tensor_from_data", "tensor_to_data"]

_ROW = ("name", "shape", "dtype", "scheme", "arguments", "steps", "parts", "seed", "buffer",
        "stored", "tied", "set_by")  # fmt: skip

SEED_LIMIT = 1 << 128


def canonical(data: Any) -> str:
    """JSON with sorted keys and no spaces: equal data is equal text."""
    return json.dumps(
        data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def tensor_to_data(tensor: PlanTensor, literals: dict[str, Literal]) -> dict[str, Any]:
    """A tensor as plain JSON values; its literals are entered in `literals`."""
    row: dict[str, Any] = {"name": tensor.name, "shape": list(tensor.shape)}
    if tensor.dtype is not None:
        row["dtype"] = tensor.dtype
    row |= value_to_data(tensor.value, literals)
    if tensor.parts:
        row["parts"] = [part_to_data(part, literals) for part in tensor.parts]
    if tensor.seed is not None:
        row["seed"] = str(tensor.seed)
    if tensor.is_buffer:
        row["buffer"] = True
    if not tensor.is_stored:
        row["stored"] = False
    if tensor.tied:
        row["tied"] = list(tensor.tied)
    if tensor.set_by:
        row["set_by"] = tensor.set_by
    return row


def tensor_from_data(row: Any, literals: Mapping[str, Literal]) -> PlanTensor:
    """What :func:`tensor_to_data` made.

    Raises
    ------
    ValueError
        Says what is wrong with the row.
    """
    refuse_others(row, _ROW, "a tensor")
    name = _typed(row, "name", str)
    what = f"tensor {name!r}"
    try:
        shape = _typed(row, "shape", list)
        if not all(type(size) is int and size >= 0 for size in shape):
            raise ValueError(f"the shape must be a list of ints >= 0, got {shape!r}")
        dtype = row.get("dtype")
        if dtype is not None:
            dtype = as_dtype_name(_typed(row, "dtype", str))
        value = _parsed(row, literals, value_from_data)
        parts = tuple(
            _parsed(part, literals, part_from_data) for part in _typed(row, "parts", list, [])
        )
        tied = _typed(row, "tied", list, [])
        if not all(isinstance(other, str) for other in tied):
            raise ValueError("tied must be a list of names")
        return PlanTensor(
            name, tuple(shape), value.scheme, value.arguments, dtype, value.steps, parts,
            is_buffer=_typed(row, "buffer", bool, False),
            is_stored=_typed(row, "stored", bool, True),
            tied=tuple(tied),
            set_by=_typed(row, "set_by", str, ""),
            seed=checked_seed(row.get("seed")),
        )  # fmt: skip
    except (ValueError, TypeError) as error:
        raise ValueError(f"{what}: {error}") from None


def refuse_others(row: Any, known: tuple[str, ...], what: str) -> None:
    """Refuse what is no mapping, or has entries that mean nothing."""
    if not isinstance(row, Mapping):
        raise ValueError(f"{what} must be a table of entries, got {row!r}")
    others = [str(key) for key in row if key not in known]
    if others:
        raise ValueError(
            f"{what} has no entry {', '.join(map(repr, others))} (known: {', '.join(known)})"
        )


def checked_seed(seed: Any) -> int | None:
    """A seed as plans write it: an int, or text of digits where 63 bits are too few."""
    if seed is None:
        return None
    if isinstance(seed, str) and seed.isascii() and seed.isdigit() and len(seed) < 40:
        seed = int(seed)
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < SEED_LIMIT:
        raise ValueError(f"a seed is an int 0 .. 2**128 - 1 (as text beyond 2**63), got {seed!r}")
    return seed


def _parsed(row: Any, literals: Mapping[str, Literal], parse: Callable[..., Any]) -> Any:
    """A value or part, checked for its form first."""
    if not isinstance(row, Mapping):
        raise ValueError(f"a law must be a table of entries, got {row!r}")
    _typed(row, "scheme", str)
    _typed(row, "arguments", Mapping, {})
    if not all(isinstance(step, Mapping) for step in _typed(row, "steps", list, [])):
        raise ValueError("steps must be tables")
    try:
        return parse(row, literals)
    except (TypeError, KeyError, AttributeError, OverflowError) as error:
        raise ValueError(f"the law cannot be read: {type(error).__name__} {error}") from None


_MISSING: Any = object()


def _typed(row: Mapping[str, Any], key: str, kind: Any, default: Any = _MISSING) -> Any:
    """An entry of one type, or its default."""
    value = row.get(key, default)
    if value is _MISSING:
        raise ValueError(f"the entry {key!r} is missing")
    if not isinstance(value, kind) or (kind is not bool and isinstance(value, bool)):
        raise ValueError(f"{key} must be a {kind.__name__}, got {value!r}")
    return value
