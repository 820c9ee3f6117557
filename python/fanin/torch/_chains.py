"""Elementwise steps: on real values computed, on a law kept as what follows it."""

from __future__ import annotations

import math
from typing import Any

import torch

from fanin._models.values import Before, Literal, Step, Value

from ._calls import caller
from ._contents import Cell
from ._memory import array_of

__all__ = ["cast", "constant_value", "exact", "is_plain", "joined", "scaled", "with_caller"]

_COMPUTED: dict[str, Any] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "neg": torch.neg,
    "abs": torch.abs,
    "exp": torch.exp,
    "log": torch.log,
    "expm1": torch.expm1,
    "log1p": torch.log1p,
    "sqrt": torch.sqrt,
    "pow": lambda a, b: a**b,
    "at_least": lambda a, b: torch.clamp(a, min=b),
    "at_most": lambda a, b: torch.clamp(a, max=b),
}


def exact(
    cell: Cell, operation: str, other: Any, swapped: bool, shape: tuple[int, ...],
    dtype: torch.dtype | None,
) -> Cell:  # fmt: skip
    """The cell of known values after one more step, computed as for a tensor of that dtype."""
    real = cell.real
    if real is None:
        if cell.constant is None:
            return Cell(opaque=f"the step {operation} on {cell.opaque or 'an unknown value'}")
        size = (1,) * len(shape) if not isinstance(other, torch.Tensor) else shape
        wide = torch.float32 if dtype is None or dtype.is_floating_point else torch.float64
        real = torch.full(size, cell.constant, dtype=torch.promote_types(wide, dtype or wide))
    pair = [real] if other is None else [other, real] if swapped else [real, other]
    made = _COMPUTED[operation](*pair)
    if made.numel() == 1 and math.prod(shape) != 1:
        number = made.item()
        if not is_plain(number):
            return Cell(real=made.expand(shape).clone())
        return Cell(constant_value(number))
    return Cell(real=made)


def cast(cell: Cell, source: torch.dtype, target: torch.dtype) -> Cell:
    """The cell in another dtype: floats round once, at the end; what they are cut to is the end."""
    if not cell.is_random or source == target:
        return cell
    if source.is_floating_point and not target.is_complex:
        return cell
    return Cell(opaque=f"a cast of a random tensor from {source} to {target}", set_by=caller())


def scaled(cell: Cell, steps: list[tuple[str, Any, bool]]) -> Cell | None:
    """A complex normal law after a factor, as one; steps are computed in real numbers."""
    value = cell.value
    if value is None or value.scheme != "normal" or value.steps or value.arguments["loc"] != 0.0:
        return None
    [(operation, factor, swapped), *rest] = steps
    if rest or swapped or operation not in ("mul", "div") or not isinstance(factor, (int, float)):
        return None
    if not factor or not math.isfinite(factor):
        return None
    scale = value.arguments["scale"]
    scale = scale * abs(factor) if operation == "mul" else scale / abs(factor)
    made = Value("normal", {"loc": 0.0, "scale": scale})
    return Cell(made, leaf=object(), set_by=caller())


def joined(
    cell: Cell, other: Cell, operation: str, swapped: bool, shape: tuple[int, ...],
    operand: torch.Tensor, name: str,
) -> Cell:  # fmt: skip
    """An operation whose second operand is random."""
    same = tuple(operand.shape) == shape
    if not cell.is_random and not cell.opaque:  # literal or number, then a random operand
        number: Any = cell.constant
        if number is None and cell.real is not None:
            real = cell.real
            number = real.item() if real.numel() == 1 else Literal.of(array_of(real.contiguous()))
        if number is None or not same:
            return Cell(opaque=f"aten::{name}, which repeats a random tensor", set_by=caller())
        return other.then(Step(operation, number, not swapped))
    if cell.is_random and cell.leaf == other.leaf and same:
        assert cell.value is not None and other.value is not None
        one, two = cell.value.steps, other.value.steps
        if two[: len(one)] == one:  # the second was made from the first
            return other.then(Step(operation, Before(len(one)), not swapped))
        if one[: len(two)] == two:
            return cell.then(Step(operation, Before(len(two)), swapped))
    return Cell(opaque=f"aten::{name} of two random tensors", set_by=caller())


def is_plain(number: Any) -> bool:
    """Whether a float says what the number is."""
    if isinstance(number, complex):
        return number.imag == 0.0
    try:
        return number != number or bool(float(number) == number)
    except OverflowError:
        return False


def constant_value(number: Any) -> Value:
    """One plain number as a value; -0.0 stays what it is."""
    value = number.real if isinstance(number, complex) else float(number)
    if value == 0.0 and math.copysign(1.0, value) > 0:
        return Value("zeros")
    return Value("ones") if value == 1.0 else Value("constant", {"value": value})


def with_caller(cell: Cell) -> Cell:
    """The cell, set by the code that is at work now."""
    return Cell(cell.value, cell.real, cell.opaque, cell.leaf, caller())
