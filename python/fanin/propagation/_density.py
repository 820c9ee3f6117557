"""The whole law of the squared singular values of a Jacobian, for equal square layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fanin._activations.activation import ActivationLike
from fanin._types import Floats

from ._jacobian import check_depth, slope_law

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    Complex = np.ndarray[Any, np.dtype[np.complex128]]

__all__ = ["jacobian_density"]

#: Steps from far above the real axis, where the root is known, down to it.
_STEPS = 160
_FACTOR = 0.85


def jacobian_density(
    x: ArrayLike,
    activation: ActivationLike,
    depth: int,
    *,
    weights: str = "gaussian",
    q: float = 1.0,
) -> Floats:
    """Density of the squared singular values of the Jacobian over their mean.

    rho(x) = -Im G(x + i0)/pi, G = (1 + z)/lambda the resolvent and z the root of
    lambda(z) = (1 + z)/(z S(z)) = x (Pennington, Schoenholz & Ganguli 2018). With z = psi(w),
    psi(w) = E[w d/(1 - w d)] and d = phi'^2/E phi'^2, lambda is explicit in w; the root is
    followed from far above the real axis, where w is 1/lambda**(1/depth) of the right branch, down
    to it. An atom at zero, as a ReLU has, is not part of the density.

    Parameters
    ----------
    x : array_like, > 0
        Squared singular values over their mean.
    activation : str, Activation or callable
    depth : int
        Number of square layers.
    weights : {"gaussian", "orthogonal"}
    q : float, > 0
        Variance of the pre-activations.

    Returns
    -------
    array, shape of x
        0 outside the spectrum, NaN for x <= 0.

    Raises
    ------
    ValueError
        For another law, a depth below 1 or q <= 0.

    Examples
    --------
    One Gaussian linear layer has the quarter circle law of Marchenko and Pastur.

    >>> from fanin import propagation as p
    >>> import numpy as np
    >>> x = np.array([1.0, 2.0, 5.0])
    >>> p.jacobian_density(x, "linear", 1).round(6)
    array([0.275664, 0.159155, 0.      ])
    >>> (np.sqrt(x * (4 - x).clip(0)) / (2 * np.pi * x)).round(6)
    array([0.275664, 0.159155, 0.      ])
    """
    check_depth(depth, weights, None)
    if not 0 < q < np.inf:
        raise ValueError(f"q is the variance of a pre-activation and must be > 0, got {q!r}")
    goal = np.asarray(x, np.float64)
    good = (goal > 0) & np.isfinite(goal)
    target = np.where(good, goal, 1.0).ravel()
    law = slope_law(activation, float(q))
    extra = float(depth) if weights == "gaussian" else 0.0

    def at(w: Complex) -> tuple[Complex, Complex, Complex]:
        """z, lambda and d ln lambda/d ln w."""
        share = w[:, None] * law.size
        part = law.mass * share / (1 - share)
        z, slope = part.sum(axis=1), (part / (1 - share)).sum(axis=1)
        value = (1 + z) / z * (z / ((1 + z) * w)) ** depth * (1 + z) ** int(extra)
        of_z = z / (1 + z) - 1 + depth / (1 + z) + extra * z / (1 + z)
        return z, value, slope / z * of_z - depth

    # Far away psi(w) ~ w and lambda ~ 1/w.
    height = target.max() * 1e6 + 1e6
    w = 1 / (target + 1j * height)
    for step in range(_STEPS):
        height = height * _FACTOR if step < _STEPS - 1 else 0.0
        aim = target + 1j * height
        for _ in range(40):
            _, value, slope = at(w)
            change = (aim / value - 1) / slope
            # A step of more than a tenth could leave the branch.
            size = np.abs(change)
            w = w * (1 + change * np.minimum(1.0, 0.1 / np.maximum(size, 1e-300)))
            # On the way the root need only be near; the last step goes to rounding.
            if float(size.max()) < (1e-13 if height == 0 else 1e-3):
                break
    z, value, _ = at(w)
    density = np.maximum(-((1 + z) / value).imag / np.pi, 0.0)
    density = np.where(density < 1e-9, 0.0, density).reshape(goal.shape)
    return np.where(good, density, np.nan)
