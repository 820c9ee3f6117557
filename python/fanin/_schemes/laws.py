"""The laws that draw independent values."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from fanin._random.stateless import normal, symmetric, truncated_normal, truncated_normal_std

from .weight import Weight


class Law(NamedTuple):
    """A law of independent values with one number for its width, the spread."""

    name: str  # the core's
    draw: Callable[..., Any]
    numbers: Callable[[float], tuple[float, ...]]  # the law's parameters at a spread
    unit_std: float  # standard deviation of the values per unit of spread
    reach: Callable[[float], float] | None = None  # how far from 0 they lie; None: as far as any

    def write(self, weight: Weight, spread: float) -> Any:
        """Draw the weight."""
        return self.draw(
            weight.shape,
            *self.numbers(spread),
            seed=weight.seed,
            dtype=weight.dtype,
            out=weight.out,
            index=weight.index,
            threads=weight.threads,
        )


def cut_normal(cutoff: float, *, corrected: bool) -> Law:
    """A normal cut at +-cutoff of its own sigma.

    Its spread is the std of the values if `corrected`, otherwise sigma, the std before the cut.
    """
    std = truncated_normal_std(-cutoff, cutoff)

    def sigma(spread: float) -> float:
        return spread / std if corrected else spread

    def numbers(spread: float) -> tuple[float, ...]:
        return 0.0, sigma(spread), -cutoff, cutoff

    def reach(spread: float) -> float:
        return sigma(spread) * cutoff

    return Law("truncated_normal", truncated_normal, numbers, 1.0 if corrected else std, reach)


NORMAL = Law("normal", normal, lambda std: (0.0, std), 1.0)
TRUNCATED_NORMAL = cut_normal(2.0, corrected=True)
UNIFORM = Law(
    "uniform", symmetric, lambda limit: (-limit, limit), 1.0 / math.sqrt(3.0), lambda limit: limit
)

LAWS: Mapping[str, Law] = {
    "truncated_normal": TRUNCATED_NORMAL,
    "normal": NORMAL,
    "untruncated_normal": NORMAL,
    "uniform": UNIFORM,
}
