"""Elementwise steps: on real values computed, on a law kept as what follows it."""

from __future__ import annotations

import math
from typing import Any

import torch

from fanin._models.values import Before, Literal, Step, Value

from ._calls import caller
from ._contents import Cell
from ._memory import array_of

__all__ = ["constant_value", "exact", "joined", "with_caller"]

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


def exact(cell: Cell, operation: str, other: Any, swapped: bool, shape: tuple[int, ...]) -> Cell:
    """The cell of known values after one more step, computed."""
    real = cell.real
    if real is None:
        if cell.constant is None:
            return Cell(opaque=f"the step {operation} on {cell.opaque or 'an unknown value'}")
        size = (1,) * len(shape) if not isinstance(other, torch.Tensor) else shape
        real = torch.full(size, cell.constant)
    pair = [real] if other is None else [other, real] if swapped else [real, other]
    made = _COMPUTED[operation](*pair)
    if made.numel() == 1 and math.prod(shape) != 1:
        return Cell(constant_value(made.item()))
    return Cell(real=made)


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


def constant_value(number: Any) -> Value:
    """One number as a value; -0.0 stays what it is."""
    value = complex(number).real if isinstance(number, complex) else float(number)
    if value == 0.0 and math.copysign(1.0, value) > 0:
        return Value("zeros")
    return Value("ones") if value == 1.0 else Value("constant", {"value": value})


def with_caller(cell: Cell) -> Cell:
    """The cell, set by the code that is at work now."""
    return Cell(cell.value, cell.real, cell.opaque, cell.leaf, caller())
