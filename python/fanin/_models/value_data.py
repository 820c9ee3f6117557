"""Values and parts as plain JSON data, and back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from fanin._schemes.fans import Layout

from .steps import STEPS, WITHOUT_OPERAND
from .values import Before, Literal, Norm, Operand, Part, Step, Value

__all__ = ["part_from_data", "part_to_data", "value_from_data", "value_to_data"]


def value_to_data(value: Value, literals: dict[str, Literal]) -> dict[str, Any]:
    """A value as plain JSON values; its literals are entered in `literals` by their digest."""

    def kept(literal: Literal) -> dict[str, str]:
        key = f"{literal.digest[:16]}-{literal.dtype}-{'x'.join(map(str, literal.shape))}"
        literals[key] = literal
        return {"literal": key}

    def plain(argument: Any) -> Any:
        if isinstance(argument, Literal):
            return kept(argument)
        if isinstance(argument, Layout):
            return {"layout": asdict(argument)}
        if isinstance(argument, Norm):
            of = {"name": argument.name, "shape": list(argument.shape)}
            return {**of, "kept": list(argument.kept), **value_to_data(argument.value, literals)}
        if isinstance(argument, float) and not math.isfinite(argument):
            return repr(argument)
        return list(argument) if isinstance(argument, tuple) else argument

    def step_data(step: Step) -> dict[str, Any]:
        data: dict[str, Any] = {"do": step.operation}
        if isinstance(step.operand, Before):
            data["before"] = step.operand.step
        elif isinstance(step.operand, Literal):
            data |= kept(step.operand)
        elif step.operand is not None:
            data["by"] = plain(float(step.operand))
        if step.swapped:
            data["swapped"] = True
        return data

    data: dict[str, Any] = {"scheme": value.scheme}
    if value.arguments:
        data["arguments"] = {name: plain(given) for name, given in value.arguments.items()}
    if value.steps:
        data["steps"] = [step_data(step) for step in value.steps]
    return data


def value_from_data(data: Mapping[str, Any], literals: Mapping[str, Literal]) -> Value:
    """What :func:`value_to_data` made.

    Raises
    ------
    ValueError
        A step that does not exist, or a literal that is not in `literals`.
    """

    def found(key: Any) -> Literal:
        if key not in literals:
            raise ValueError(f"there is no literal {key!r}")
        return literals[key]

    def argument(name: str, given: Any) -> Any:
        if name == "of" and isinstance(given, Mapping):
            shape, kept = tuple(given["shape"]), tuple(given["kept"])
            return Norm(given["name"], shape, value_from_data(given, literals), kept)
        if isinstance(given, Mapping) and "literal" in given:
            return found(given["literal"])
        if isinstance(given, Mapping) and "layout" in given:
            return Layout(**given["layout"])
        if isinstance(given, str) and given in ("inf", "-inf", "nan"):
            return float(given)
        return tuple(given) if isinstance(given, list) else given

    steps = []
    for number, row in enumerate(data.get("steps", ())):
        operation = row.get("do")
        if operation not in STEPS:
            raise ValueError(f"there is no step {operation!r}; there are {', '.join(STEPS)}")
        operand: Operand | None = None
        if "before" in row:
            operand = Before(int(row["before"]))
            if not 0 <= operand.step <= number:
                raise ValueError(f"step {number + 1} uses the value before step {operand.step + 1}")
        elif "literal" in row:
            operand = found(row["literal"])
        elif "by" in row:
            operand = float(row["by"])
        if (operand is None) != (operation in WITHOUT_OPERAND):
            needs = "takes no operand" if operand is not None else "needs an operand"
            raise ValueError(f"the step {operation!r} {needs}")
        steps.append(Step(operation, operand, bool(row.get("swapped", False))))
    given = data.get("arguments", {})
    arguments = {name: argument(name, value) for name, value in given.items()}
    return Value(data["scheme"], arguments, tuple(steps))


def part_to_data(part: Part, literals: dict[str, Literal]) -> dict[str, Any]:
    """A part as plain JSON values."""
    box = [list(along) for along in part.box]
    return {"box": box, **value_to_data(part.value, literals)}


def part_from_data(data: Mapping[str, Any], literals: Mapping[str, Literal]) -> Part:
    """What :func:`part_to_data` made."""
    box = []
    for along in data["box"]:
        start, stop, step = (int(number) for number in along)
        if not (0 <= start <= stop and step >= 1):
            raise ValueError(f"a part's box has start, stop, step with 0 <= start <= stop, step "
                             f">= 1, got {list(along)}")  # fmt: skip
        box.append((start, stop, step))
    return Part(tuple(box), value_from_data(data, literals))
