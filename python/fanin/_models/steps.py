"""Elementwise steps on arrays, the same bits on every machine.

+ - * / and roots are NumPy's, which IEEE 754 defines; the other functions are the core's, computed
in float64 and rounded to the type of the values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fanin._functions import exp, log
from fanin._functions import power as positive_power

__all__ = ["STEPS", "WITHOUT_OPERAND"]


def _expm1(x: NDArray[np.float64]) -> NDArray[np.float64]:
    # (u - 1) x / log u with u = e^x rounded: what rounding u costs cancels (Kahan; Higham 2002,
    # section 1.14.1).
    u = exp(x)
    with_log = (u - 1.0) * x / np.where((u == 1.0) | (u == 0.0) | np.isinf(u), 1.0, log(u))
    return np.where(u == 1.0, x, np.where((u == 0.0) | np.isinf(u), u - 1.0, with_log))


def _log1p(x: NDArray[np.float64]) -> NDArray[np.float64]:
    u = 1.0 + x  # log u * x / (u - 1): the same cancellation (Higham 2002, problem 1.5)
    return np.where((u == 1.0) | (u == np.inf), x, log(u) * x / np.where(u == 1.0, 1.0, u - 1.0))


def _power(x: Any, y: Any) -> Any:
    """x ** y by the core for x > 0; small whole powers and roots by products."""
    if np.ndim(y) == 0:
        exact: dict[float, Callable[[Any], Any]] = {
            2.0: lambda v: v * v,
            3.0: lambda v: v * v * v,
            0.5: np.sqrt,
            -0.5: lambda v: 1.0 / np.sqrt(v),
            -1.0: lambda v: 1.0 / v,
            1.0: lambda v: v,
        }
        if float(y) in exact:
            return exact[float(y)](x)
    x, y = np.broadcast_arrays(np.asarray(x, np.float64), np.asarray(y, np.float64))
    # |x|^y = e^(y log |x|) in the core; the sign is that of a whole odd power.
    size = np.abs(x)
    usual = (size > 0) & np.isfinite(size)
    made = positive_power(np.where(usual, size, 1.0), y)
    made = np.where(size == 0, np.where(y > 0, 0.0, np.where(y == 0, 1.0, np.inf)), made)
    made = np.where(np.isinf(size), np.where(y > 0, np.inf, np.where(y == 0, 1.0, 0.0)), made)
    whole = np.floor(y) == y
    odd = np.floor(y / 2) * 2 != y
    return np.where(x < 0, np.where(whole, np.where(odd, -made, made), np.nan), made)


def _in_double(function: Callable[..., Any]) -> Callable[..., Any]:
    """Computed in float64 and rounded to the type of the chain."""

    def rounded(x: NDArray[Any], *operands: Any) -> NDArray[Any]:
        wide = (o.astype(np.float64) if isinstance(o, np.ndarray) else o for o in operands)
        made: NDArray[Any] = np.asarray(function(x.astype(np.float64), *wide)).astype(x.dtype)
        return made

    return rounded


#: Every step by its name. + - * / and roots are NumPy's (IEEE, so the same bits everywhere), the
#: other functions the core's.
STEPS: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        "add": np.add,
        "sub": np.subtract,
        "mul": np.multiply,
        "div": np.divide,
        "neg": np.negative,
        "abs": np.abs,
        "sqrt": np.sqrt,
        "at_least": np.maximum,
        "at_most": np.minimum,
        "exp": _in_double(exp),
        "log": _in_double(log),
        "expm1": _in_double(_expm1),
        "log1p": _in_double(_log1p),
        "pow": _in_double(_power),
    }
)

WITHOUT_OPERAND = ("neg", "abs", "sqrt", "exp", "log", "expm1", "log1p")
