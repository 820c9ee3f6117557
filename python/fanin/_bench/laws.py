"""The laws that are timed, each with the moments that every bench asserts.

A new law is one entry here, one in each peer's table of calls (`peers.py`, `mkl.py`) and one in
`cases.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from statistics import NormalDist


@dataclass(frozen=True)
class TimedLaw:
    """A distribution in standard form, with two moments.

    `kind` is what the peers' tables of calls are read by; `low` and `high` are its bounds (of
    integers: the first one and the first one that is not drawn). Of complex values the moments
    are those of the parts.
    """

    kind: str
    low: float
    high: float
    mean: float
    variance: float

    @property
    def label(self) -> str:
        """The name in a table: "normal", "uniform [0, 1)", "truncated [-2, 2]"."""
        if self.kind in ("uniform", "integers"):
            return f"{self.kind} [{self.low:g}, {self.high:g})"
        if self.kind == "truncated_normal":
            return f"truncated [{self.low:g}, {self.high:g}]"
        return self.kind.removeprefix("complex ")


def uniform(low: float = 0.0, high: float = 1.0) -> TimedLaw:
    """U[low, high): mean (low + high) / 2, variance (high - low)^2 / 12."""
    return TimedLaw("uniform", low, high, (low + high) / 2, (high - low) * (high - low) / 12)


def integers(low: int, high: int) -> TimedLaw:
    """Integers of [low, high): mean (low + high - 1) / 2, variance ((high - low)^2 - 1) / 12."""
    return TimedLaw("integers", low, high, (low + high - 1) / 2, ((high - low) ** 2 - 1) / 12)


def truncated_normal(low: float, high: float) -> TimedLaw:
    """Unit normal cut to [low, high]; moments by Johnson, Kotz and Balakrishnan 1994, 13.10.1.

    With Z = Phi(high) - Phi(low): mean = (phi(low) - phi(high)) / Z and
    variance = 1 + (low phi(low) - high phi(high)) / Z - mean^2.
    """
    unit = NormalDist()

    def density(x: float) -> float:
        return 0.0 if abs(x) == inf else unit.pdf(x)

    def edge(x: float) -> float:
        return 0.0 if abs(x) == inf else x * unit.pdf(x)

    def below(x: float) -> float:
        return (0.0 if x < 0 else 1.0) if abs(x) == inf else unit.cdf(x)

    # On the positive side the mirrored tail keeps the digits that 1 - small would lose.
    mass = below(-low) - below(-high) if low > 0 else below(high) - below(low)
    mean = (density(low) - density(high)) / mass
    variance = 1.0 + (edge(low) - edge(high)) / mass - mean * mean
    return TimedLaw("truncated_normal", low, high, mean, variance)


NORMAL = TimedLaw("normal", -inf, inf, 0.0, 1.0)
UNIFORM = uniform()
CUT = truncated_normal(-2.0, 2.0)
EXPONENTIAL = TimedLaw("exponential", 0.0, inf, 1.0, 1.0)
LAPLACE = TimedLaw("laplace", -inf, inf, 0.0, 2.0)
THOUSAND = integers(0, 1000)
RADEMACHER = TimedLaw("rademacher", -1.0, 1.0, 0.0, 1.0)
BYTES = TimedLaw("bytes", 0, 256, 127.5, (256**2 - 1) / 12)
COMPLEX_NORMAL = TimedLaw("complex normal", -inf, inf, 0.0, 0.5)
