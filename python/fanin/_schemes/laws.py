"""The laws that draw independent values."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from fanin._random.stateless import normal, symmetric, truncated_normal, truncated_normal_std

from .weight import Weight


class Law(NamedTuple):
    """A law of independent values with one number for its width, the spread."""

    name: str
    draw: Callable[[Weight, float], Any]
    unit_std: float  # standard deviation of the values per unit of spread
    reach: Callable[[float], float] | None = None  # how far from 0 they lie; None: as far as any


def _destination(weight: Weight) -> dict[str, Any]:
    return {
        "seed": weight.seed,
        "dtype": weight.dtype,
        "out": weight.out,
        "index": weight.index,
        "threads": weight.threads,
    }


def _draw_normal(weight: Weight, std: float) -> Any:
    return normal(weight.shape, 0.0, std, **_destination(weight))


def _draw_uniform(weight: Weight, limit: float) -> Any:
    return symmetric(weight.shape, limit, **_destination(weight))


def cut_normal(cutoff: float, *, corrected: bool) -> Law:
    """A normal cut at +-cutoff of its own sigma.

    Its spread is the std of the values if `corrected`, otherwise sigma, the std before the cut.
    """
    std = truncated_normal_std(-cutoff, cutoff)

    def sigma(spread: float) -> float:
        return spread / std if corrected else spread

    def draw(weight: Weight, spread: float) -> Any:
        scale = sigma(spread)
        return truncated_normal(weight.shape, 0.0, scale, -cutoff, cutoff, **_destination(weight))

    def reach(spread: float) -> float:
        return sigma(spread) * cutoff

    return Law("truncated_normal", draw, 1.0 if corrected else std, reach)


NORMAL = Law("normal", _draw_normal, 1.0)
TRUNCATED_NORMAL = cut_normal(2.0, corrected=True)
UNIFORM = Law("uniform", _draw_uniform, 1.0 / math.sqrt(3.0), lambda limit: limit)

LAWS: Mapping[str, Law] = {
    "truncated_normal": TRUNCATED_NORMAL,
    "normal": NORMAL,
    "untruncated_normal": NORMAL,
    "uniform": UNIFORM,
}
