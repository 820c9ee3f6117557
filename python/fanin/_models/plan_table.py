"""A plan as a table of text."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from .dtypes import resolved
from .tensors import PlanTensor
from .values import Literal, Norm, Value

__all__ = ["HEADINGS", "law_text", "rows", "table", "totals"]

_INDEX = re.compile(r"(?<=\.)\d+(?=\.)")

HEADINGS = ("tensor", "", "shape", "dtype", "law")

#: Characters of a law in the table.
_WIDTH_OF_LAW = 60


def rows(tensors: Sequence[PlanTensor], default: str | None) -> list[tuple[str, ...]]:
    """Name, count, shape, dtype and law; layers that differ by their number share a row.

    `default` is the dtype of tensors without their own.
    """
    groups: dict[Any, list[PlanTensor]] = {}
    for tensor in tensors:
        pattern = _INDEX.sub("*", tensor.name)
        key = (pattern, tensor.shape, resolved(tensor.dtype, default, None), law_text(tensor))
        groups.setdefault(key, []).append(tensor)
    found: list[tuple[str, ...]] = []
    for (pattern, shape, dtype, law), members in groups.items():
        count = len(members)
        name = members[0].name if count == 1 else pattern
        found.append((name, f"x{count}" if count > 1 else "", str(shape), dtype, law))
    return found


def totals(model: str, tensors: Sequence[PlanTensor], total: int) -> str:
    """How many numbers, tensors and bytes."""
    numbers = sum(math.prod(tensor.shape) for tensor in tensors if not tensor.is_buffer)
    return f"{model}: {numbers:,} parameters in {len(tensors)} tensors, {total:,} bytes"


def table(model: str, tensors: Sequence[PlanTensor], default: str | None, total: int) -> str:
    """One line a row, with headings; totals at the end."""
    cells = [HEADINGS, *rows(tensors, default)]
    widths = [max(len(row[column]) for row in cells) for column in range(4)]
    lines = [
        "  ".join(
            [*(cell.ljust(width) for cell, width in zip(row[:4], widths, strict=True)), row[4]]
        )
        for row in cells
    ]
    lines.append(totals(model, tensors, total))
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
