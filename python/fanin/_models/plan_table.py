"""A plan as a table of text."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from .tensors import PlanTensor
from .values import Literal, Norm, Value

__all__ = ["law_text", "table"]

_INDEX = re.compile(r"(?<=\.)\d+(?=\.)")

#: Characters of a law in the table.
_WIDTH_OF_LAW = 60


def table(model: str, tensors: Sequence[PlanTensor], dtypes: Mapping[str, str], total: int) -> str:
    """One line a tensor; layers that differ by their number share one. Totals at the end."""
    groups: dict[Any, list[PlanTensor]] = {}
    for tensor in tensors:
        pattern = _INDEX.sub("*", tensor.name)
        key = (pattern, tensor.shape, dtypes[tensor.name], law_text(tensor))
        groups.setdefault(key, []).append(tensor)
    rows = [("tensor", "", "shape", "dtype", "law")]
    for (pattern, shape, dtype, law), members in groups.items():
        count = len(members)
        name = members[0].name if count == 1 else pattern
        rows.append((name, f"x{count}" if count > 1 else "", str(shape), dtype, law))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = [
        "  ".join(
            [*(cell.ljust(width) for cell, width in zip(row[:4], widths, strict=True)), row[4]]
        )
        for row in rows
    ]
    numbers = sum(math.prod(tensor.shape) for tensor in tensors if not tensor.is_buffer)
    lines.append(f"{model}: {numbers:,} parameters in {len(tensors)} tensors, {total:,} bytes")
    return "\n".join(line.rstrip() for line in lines)


def law_text(tensor: PlanTensor) -> str:
    """The law in a few words: scheme(arguments), its steps and parts."""
    text = _value_text(tensor.value)
    for part in tensor.parts:
        where = ", ".join(f"{start}:{stop}" for start, stop, _ in part.box)
        text += f"; [{where}] {_value_text(part.value)}"
    if tensor.seed is not None:
        text += f"; seed {tensor.seed}"
    return text if len(text) <= _WIDTH_OF_LAW else text[: _WIDTH_OF_LAW - 3] + "..."


def _value_text(value: Value) -> str:
    named = ", ".join(f"{name}={_argument(given)}" for name, given in value.arguments.items())
    text = f"{value.scheme}({named})" if named else value.scheme
    return text + "".join(f" |> {step.operation}" for step in value.steps)


def _argument(value: Any) -> str:
    if isinstance(value, Literal):
        return f"<{value.dtype} {value.shape}>"
    if isinstance(value, Norm):
        return value.name
    return f"{value:.6g}" if isinstance(value, float) else repr(value)
