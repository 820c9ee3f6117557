"""Checks of single arguments that every room shares: what came, what is accepted."""

from __future__ import annotations

import math
import operator
from typing import TYPE_CHECKING, Any, SupportsIndex

from fanin._hints import short
from fanin._numbers import as_floats
from fanin._types import Floats

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

#: No array has an axis so long, nor a network so many layers; every float holds it nearly.
MOST_COUNTED = 2**63 - 1


def as_integer(value: SupportsIndex, name: str) -> int:
    """`value` as a Python int; bool and everything that is not an integer is a TypeError."""
    if isinstance(value, bool):
        raise TypeError(f"{name} must be an integer, got {short(value)}")
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {short(value)}") from None


def as_threads(count: Any) -> int:
    """`threads=` as the core takes it: 0 for None."""
    if count is None:
        return 0
    if isinstance(count, bool) or not isinstance(count, SupportsIndex):
        raise TypeError(f"threads must be an int of at least 1 or None, got {short(count)}")
    number = operator.index(count)
    if not 1 <= number <= 4096:
        raise ValueError(f"threads must be in 1 .. 4096 or None, got {short(number)}")
    return number


def non_negative(name: str, value: Any) -> float:
    """`value` as a finite float >= 0."""
    number = _number(name, value)
    if not 0.0 <= number < math.inf:
        raise ValueError(f"{name} must be finite and >= 0, got {short(value)}")
    return number + 0.0  # -0.0 becomes 0.0


#: For a name or a function where a variance is due.
_ORDER = "; q comes before the activation, as in chi(1.0, 'tanh', weight_var=1.0)"


def as_variance(name: str, value: ArrayLike) -> Floats:
    """A variance as float64; a negative one is an error where it stands alone, NaN in an array."""
    array = as_floats(value, name, _ORDER)
    if array.ndim == 0 and array < 0:
        raise ValueError(
            f"{name} is a variance (second moment) and must be >= 0, got {short(value)}"
        )
    return array


def as_count(value: object, name: str, least: int = 1, most: float = MOST_COUNTED) -> int:
    """`value` as a Python int from `least` on, and no larger than counts are."""
    if isinstance(value, bool) or not isinstance(value, SupportsIndex):
        raise ValueError(f"{name} is an int of at least {least}, got {short(value)}")
    count = operator.index(value)
    if not least <= count <= most:
        bounds = f"at least {least}" if count < least else "at most 2**63 - 1"
        raise ValueError(f"{name} is an int of {bounds}, got {short(value)}")
    return count


def finite(name: str, value: Any) -> float:
    """`value` as a finite float of either sign."""
    number = _number(name, value)
    if not math.isfinite(number):
        raise ValueError(f"{name} must be finite, got {short(value)}")
    return number


def _number(name: str, value: Any) -> float:
    # NumPy drops an imaginary part with no more than a warning.
    is_complex = getattr(getattr(value, "dtype", None), "kind", "") == "c"
    if is_complex or isinstance(value, (str, bytes, bool)):
        raise TypeError(f"{name} must be a number, got {short(value)}")
    try:
        return float(value)
    except TypeError:
        raise TypeError(f"{name} must be a number, got {short(value)}") from None
    except OverflowError:  # an int of many digits
        return math.inf if value > 0 else -math.inf
