"""Sentences about a profile: what vanishes, explodes, collapses or fluctuates."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fanin._activations.activation import Activation, ActivationLike, as_activation
from fanin._activations.gains import gain
from fanin._functions import power

from ._nodes import gaussian_nodes

if TYPE_CHECKING:
    from ._profile import Profile

__all__ = ["findings", "norm_kurtosis"]

#: A signal or gradient counts as lost when its variance has changed by this factor.
_LOST = 1e3
#: Inputs count as one when their correlation is closer to one than this.
_MERGED = 1e-3
_SATURATED = 0.3
#: Above this sum of (kappa - 1)/width the norm fluctuates so much that means say little
#: (Hanin 2018).
_FLUCTUATION = 0.5


def norm_kurtosis(phi: Activation, q: float) -> float:
    """kappa = E phi^4/(E phi^2)^2 at variance q: |phi(h)|^2 fluctuates by (kappa - 1)/width."""
    u, mass = gaussian_nodes(q, phi.kinks)
    square = np.asarray(phi(u) if phi.name != "crelu" else as_activation("relu")(u), np.float64)
    square = square * square
    second = float((mass * square).sum())
    return float((mass * square * square).sum()) / (second * second)


def _per_layer(ratio: float, layers: int) -> float:
    """The layers-th root of a positive ratio."""
    return float(power(ratio, 1 / layers))


def findings(
    profile: Profile, *, activation: ActivationLike | None = None, width: int | None = None
) -> tuple[str, ...]:
    """One sentence for everything that is wrong with a profile of one lane."""
    found: list[str] = []
    q, grad = profile.q, profile.grad
    layers = len(q) - 1
    if layers == 0:
        return ()
    first, last, least = float(q[0]), float(q[-1]), float(q.min())
    if not np.isfinite(q).all():
        found.append("The signal overflows: its variance leaves the range of a float64.")
    elif first > 0 and least < first / _LOST:
        text = f"The signal vanishes: its variance falls from {first:g} to {last:.3g}"
        if last > 0:
            text += f" (by {_per_layer(last / first, layers):.3g} a layer)"
        found.append(text + "." + _keeping(activation))
    elif last > first * _LOST:
        found.append(
            f"The signal explodes: its variance grows from {first:g} to {last:.3g} "
            f"(by {_per_layer(last / first, layers):.3g} a layer)." + _keeping(activation)
        )
    top = float(grad[0])
    if not np.isfinite(grad).all():
        found.append("The gradient overflows: its variance leaves the range of a float64.")
    elif top < 1 / _LOST:
        text = f"The gradient vanishes: {layers} layers leave {top:.3g} of its variance"
        found.append(text + (f" ({_per_layer(top, layers):.3g} a layer)." if top > 0 else "."))
    elif top > _LOST:
        found.append(
            f"The gradient explodes: {layers} layers multiply its variance by {top:.3g} "
            f"({_per_layer(top, layers):.3g} a layer)."
        )
    apart = float(profile.one_minus_c[-1])
    if apart < _MERGED:
        found.append(f"Inputs merge: 1 - c falls to {apart:.3g}, so that the output forgets them.")
    flat = float(np.nanmax(profile.saturated)) if np.isfinite(profile.saturated).any() else 0.0
    if flat > _SATURATED:
        found.append(f"Units saturate: up to {flat:.0%} of them lie beyond |u| = 3.")
    if width is not None and activation is not None:
        phi = as_activation(activation)
        spread = sum((norm_kurtosis(phi, float(v)) - 1) / width for v in q[:-1] if 0 < v < np.inf)
        if spread > _FLUCTUATION:
            found.append(
                f"At width {width} the squared norm fluctuates by (kappa - 1)/width = {spread:.2g} "
                f"over {layers} layers: single networks differ much from the mean."
            )
    return tuple(found)


def _keeping(activation: ActivationLike | None) -> str:
    """The weight_var that keeps the signal, for activations that have one at every q."""
    if activation is None or as_activation(activation).degree != 1:
        return ""
    forward = gain(activation)
    return f" Use weight_var {forward * forward:.6g}."
