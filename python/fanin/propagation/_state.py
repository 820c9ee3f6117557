"""The state of a signal on its way: variances and correlation of two inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fanin._checks import as_variance

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

from dataclasses import dataclass, replace

import numpy as np

from fanin._types import Floats


@dataclass(frozen=True)
class State:
    """One edge of a network.

    q       second moment of a unit          m       mean of a unit over the units
    c       second-moment correlation of two inputs, and 1 - c without cancellation
    width   number of units or channels, if anybody said
    copies  outputs of the activation for every unit: 2 behind a crelu
    image   sides of the image in pixels, if anybody said
    gaussian   a sum of many independent terms, as an activation needs it
    """

    q: Floats
    m: Floats
    c: Floats
    one_minus_c: Floats
    width: float | None = None
    copies: int = 1
    image: tuple[int, ...] | None = None
    gaussian: bool = True

    def mixed(
        self, shared: Floats, common: Floats | float, separate: Floats | float = 0.0
    ) -> State:
        """Two inputs' signals of variance `shared`, correlated as here, with a `common` term and
        `separate` ones added. No difference of large numbers appears in 1 - c."""
        q = shared + common + separate
        with np.errstate(invalid="ignore", divide="ignore"):
            c = (shared * self.c + common) / q
            one_minus_c = (shared * self.one_minus_c + separate) / q
        return replace(self, q=q, c=c, one_minus_c=one_minus_c)


def starting_state(
    q0: ArrayLike,
    c0: ArrayLike | None,
    width: float | None = None,
    image: tuple[int, ...] | None = None,
) -> tuple[State, bool]:
    """The edge that `q0` and `c0` describe, and whether a correlation was given."""
    q = as_variance("q0", q0)
    c = np.asarray(0.0 if c0 is None else c0, np.float64)
    if c.ndim == 0 and abs(c) > 1:
        raise ValueError(f"c0 is a correlation, in [-1, 1], got {c0!r}")
    q, c = np.broadcast_arrays(q, np.where(abs(c) <= 1, c, np.nan))
    return State(q, np.zeros(q.shape), c, 1 - c, width, image=image), c0 is not None
