"""What the parameters of schemes accept: the words for it and the check, in one place."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from fanin._checks import MOST_COUNTED, as_integer, non_negative
from fanin._hints import did_you_mean, short
from fanin._numbers import as_floats

REQUIRED: Any = inspect.Parameter.empty


class Accepts(NamedTuple):
    """A kind of parameter: its description, and the function that checks and converts it."""

    words: str
    read: Callable[[str, Any], Any]


class Parameter(NamedTuple):
    """One parameter of a scheme, between shape and the common keywords."""

    name: str
    accepts: Accepts
    meaning: str
    default: Any = REQUIRED


def _positive(name: str, value: Any) -> float:
    number = non_negative(name, value)
    if number == 0.0:
        raise ValueError(f"{name} must be > 0, got {short(value)}")
    return number


def _fraction(name: str, value: Any) -> float:
    number = non_negative(name, value)
    if number > 1.0:
        raise ValueError(f"{name} must lie in [0, 1], got {short(value)}")
    return number


def _finite_array(name: str, value: Any) -> np.ndarray[Any, Any]:
    array = np.asarray(value)
    if array.dtype.kind == "O":
        array = as_floats(value, name)
    if array.dtype.kind in "SUmM?":
        raise TypeError(f"{name} must be a number or an array of numbers, got {short(value)}")
    if array.dtype.kind not in "fc":  # integers; and bfloat16, which NumPy knows by size only
        array = array.astype(np.float64)
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite, got {short(value)}")
    return array


def at_least(least: int) -> Accepts:
    """Integers from `least` on."""

    def read(name: str, value: Any) -> int:
        number = as_integer(value, name)
        if number < least:
            raise ValueError(f"{name} must be at least {least}, got {short(number)}")
        if number > MOST_COUNTED:
            raise ValueError(f"{name} must be at most 2**63 - 1, got {short(number)}")
        return number

    return Accepts(f"int, >= {least}", read)


def one_of(*choices: str) -> Accepts:
    """One of a few words."""

    def read(name: str, value: Any) -> str:
        if not isinstance(value, str):
            raise TypeError(f"{name} must be a str, got {short(value)}")
        if value not in choices:
            known = ", ".join(map(repr, choices))
            advice = did_you_mean(value, choices)
            raise ValueError(f"{name} {short(value)} is not one of {known}{advice}")
        return value

    return Accepts("{" + ", ".join(f'"{choice}"' for choice in choices) + "}", read)


def optional(accepts: Accepts) -> Accepts:
    """The same, or None."""
    return Accepts(
        f"{accepts.words}, or None",
        lambda name, value: None if value is None else accepts.read(name, value),
    )


NON_NEGATIVE = Accepts("float, finite and >= 0", non_negative)
POSITIVE = Accepts("float, finite and > 0", _positive)
FRACTION = Accepts("float, in [0, 1]", _fraction)
FINITE_ARRAY = Accepts("number or array, finite", _finite_array)
COUNT = at_least(1)
