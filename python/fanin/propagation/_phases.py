"""The plane of weight_var and bias_var: order, chaos and the edge between them."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NoReturn

import numpy as np
from numpy.typing import ArrayLike

from fanin._activations.activation import Activation, ActivationLike, as_activation
from fanin._numbers import as_floats
from fanin._public import public
from fanin._types import Floats

from ._fixed_points import CRITICAL, Solved, Strings, depth_scale, solve

PHASES = np.array(["ordered", "chaotic", "critical", "none"])


@public("fanin.propagation")
@dataclass(frozen=True, eq=False)
class PhaseDiagram:
    """Fixed points over a grid of parameters; fields have shape (len(weight_var), len(bias_var)).

    Attributes
    ----------
    weight_var, bias_var : ndarray
        The two grids.
    q, c, chi : ndarray
        Stable variance and correlation, growth of gradients. c is solved for when first asked.
    phase : ndarray of str
        ``ordered`` (chi < 1), ``chaotic`` (chi > 1), ``critical`` (within 1e-9), ``none`` where
        nothing is stable.
    xi_q, xi_c : ndarray
        Depth scales.
    """

    weight_var: Floats
    bias_var: Floats
    q: Floats
    chi: Floats
    phase: Strings
    activation: Activation
    solved: Solved = field(repr=False)

    @cached_property
    def c(self) -> Floats:
        """Stable correlation of two inputs."""
        return np.asarray(self.solved.shaped(1.0 - self.solved.correlations[0]))

    @cached_property
    def xi_q(self) -> Floats:
        """-1 / ln |dV/dq|, in layers."""
        return np.asarray(self.solved.shaped(depth_scale(np.abs(self.solved.slope))))

    @cached_property
    def xi_c(self) -> Floats:
        """-1 / ln R'(c*), in layers."""
        slope = np.minimum(self.solved.correlations[1], 1.0)
        return np.asarray(self.solved.shaped(depth_scale(slope)))

    def plot(self, *wrong: NoReturn, **options: Any) -> Any:
        """Draw the diagram with matplotlib (an optional extra); returns its axes or figure."""
        if wrong:
            raise TypeError(
                f"plot() takes axes=, point= and title= by name, got {wrong[0]!r}; a picture goes "
                'to a file by plot().savefig("x.png")'
            )
        from ._pictures import plot_phase_diagram

        return plot_phase_diagram(self, **options)


def phase_diagram(
    activation: ActivationLike, weight_var: ArrayLike, bias_var: ArrayLike
) -> PhaseDiagram:
    """Order and chaos over a grid of weight and bias variances.

    Parameters
    ----------
    activation : str, Activation or callable
    weight_var, bias_var : 1-D array, >= 0
        The two grids.

    Returns
    -------
    PhaseDiagram

    Raises
    ------
    ValueError
        If a grid has more than one axis, or the activation is unknown.

    Examples
    --------
    >>> import fanin
    >>> diagram = fanin.propagation.phase_diagram("tanh", [1.0, 2.0, 3.0], [0.05])
    >>> diagram.phase.ravel().tolist()
    ['ordered', 'chaotic', 'chaotic']
    """
    rows = np.atleast_1d(as_floats(weight_var, "weight_var"))
    columns = np.atleast_1d(as_floats(bias_var, "bias_var"))
    if rows.ndim != 1 or columns.ndim != 1:
        raise ValueError(
            f"weight_var and bias_var are grids of one axis, got shapes {rows.shape} and "
            f"{columns.shape}"
        )
    own = as_activation(activation)
    solved = solve(own, rows[:, None], columns, 0.0)
    q, chi = solved.shaped(solved.q), solved.shaped(solved.chi)
    code = np.where(chi > 1, np.int8(1), np.int8(0))
    code[np.abs(chi - 1) <= CRITICAL] = 2
    code[np.isnan(chi)] = 3
    return PhaseDiagram(rows, columns, q, chi, PHASES[code], own, solved)
