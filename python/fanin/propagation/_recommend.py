"""Advice: which weights an activation or a network wants, why, and what to beware of."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from fanin._activations.activation import Activation, ActivationLike, as_activation
from fanin._activations.moments import check_moments, check_slope
from fanin._checks import as_count, non_negative
from fanin._hints import short

from ._critical import critical
from ._findings import findings
from ._jacobian import doubles, jacobian
from ._maps import chi as chi_of
from ._maps import moments, variance_map
from ._networks import Network
from ._recommend_network import for_network
from ._recommendation import Recommendation
from ._stack import propagate
from ._units import dead_fraction

__all__ = ["recommend"]

OBJECTIVES = ("forward", "backward", "both", "critical", "isometry")
#: Layers of the expected table where no depth is given.
_DEPTH = 50
_NEAR = 1e-9
#: A variance at which a smooth activation is linear, and a spread of slopes that is none.
_TINY, _ALIKE = 1e-8, 1e-3


@dataclass(frozen=True)
class _Choice:
    """Weights for dense layers of one activation, and the variance they are meant for."""

    weight_var: float
    bias_var: float
    q: float
    reasons: tuple[str, ...]
    warnings: tuple[str, ...] = ()


def recommend(
    activation_or_network: ActivationLike | Network,
    objective: str = "both",
    *,
    depth: int | None = None,
    bias_var: float | None = None,
) -> Recommendation:
    """Variances of weights and biases for an activation or a network.

    Parameters
    ----------
    activation_or_network : str, Activation, callable or Network
    objective : {"both", "forward", "backward", "critical", "isometry"}
        Keep the variance of signals (1 = weight_var E phi^2 + bias_var at q = 1), of gradients
        (1 = weight_var E phi'^2), or both: the edge of chaos where there is one. "critical" is
        that edge; "isometry" the same with orthogonal weights and a small variance, so that all
        singular values of the Jacobian are near one. For a Network: "forward" keeps q = 1 behind
        every dense or convolutional layer (the mean over positions), "backward" the gradient,
        "both" the geometric mean of the two, which "critical" and "isometry" take as well;
        attention keeps its variances.
    depth : int, optional
        Layers; 50 if not given. The critical point of a saturating activation is taken at
        q = 1/depth, where the depth does not yet bend it.
    bias_var : float, optional
        Variance of the biases; default: what the objective leads to, else 0.

    Returns
    -------
    Recommendation

    Raises
    ------
    ValueError
        For another objective, a depth below 1, a negative bias_var, or an activation that jumps or
        whose moments are no finite numbers.

    Examples
    --------
    >>> import fanin
    >>> he = fanin.recommend("relu")
    >>> he.scheme, he.mode, round(he.weight_var, 12)
    ('he_normal', 'fan_in', 2.0)
    >>> he.reasons[0]
    'weight_var 2 keeps the variance of signals and of gradients at every q: the critical point.'
    >>> gelu = fanin.recommend("gelu", "critical")
    >>> round(gelu.weight_var, 4), round(gelu.bias_var, 4)
    (2.1937, 0.0672)
    >>> print(gelu.warnings[0])
    The critical point repels: dV/dq = 1.067, so q drifts away from 1 by that factor a layer.
    """
    if not isinstance(objective, str) or objective not in OBJECTIVES:
        names = ", ".join(map(repr, OBJECTIVES))
        raise ValueError(f"objective is one of {names}, got {short(objective)}")
    layers = _DEPTH if depth is None else as_count(depth, "depth")
    bias_var = None if bias_var is None else non_negative("bias_var", bias_var)
    if isinstance(activation_or_network, Network):
        return for_network(activation_or_network, objective, bias_var or 0.0)
    phi = as_activation(activation_or_network)
    check_slope(phi)
    check_moments(phi)
    choice = _choices(phi, objective, layers, bias_var)
    mode = "fan_out" if objective == "backward" else "fan_in"
    scheme = _scheme(choice.weight_var, mode)
    reasons, warnings = list(choice.reasons), list(choice.warnings)
    if objective == "isometry" and doubles(phi) and choice.bias_var == 0:
        scheme = "looks_linear"
        reasons.append(
            "Mirrored orthogonal weights [W, -W] behind a crelu make a network that is linear at "
            "the start: all singular values of its Jacobian are equal (Balduzzi et al. 2017)."
        )
    elif objective == "isometry":
        scheme = "orthogonal"
        spread = jacobian(
            phi, layers, weights="orthogonal", weight_var=choice.weight_var, q=choice.q
        ).relative_variance.item()
        reasons.append(
            f"Orthogonal weights: the squared singular values of {layers} layers have the relative "
            f"variance {spread:.3g}."
        )
        if spread > 1:
            warnings.append(_spreading(phi))
    profile = propagate(
        phi, layers, weight_var=choice.weight_var, bias_var=choice.bias_var, q0=choice.q
    )
    said = any("chi = " in text for text in warnings)
    warnings += [text for text in _known_traps(phi, choice.q) if not (said and "chi" in text)]
    warnings += findings(profile)
    return Recommendation(
        scheme=scheme,
        weight_var=choice.weight_var,
        bias_var=choice.bias_var,
        gain=float(np.sqrt(choice.weight_var)),
        mode=mode,
        profile=profile,
        reasons=tuple(reasons),
        warnings=tuple(warnings),
    )


def _spreading(phi: Activation) -> str:
    """Why orthogonal weights make no isometry here: phi' jumps at 0, or q is too large."""
    limit = jacobian(phi, 1, weights="orthogonal", q=_TINY).relative_variance.item()
    if limit > _ALIKE:
        return (
            "No variance of the weights makes this activation an isometry: its slope jumps at 0, "
            "so the singular values spread with depth."
        )
    return (
        "The singular values still spread at this depth; only smaller signals bring them together."
    )


def _scheme(weight_var: float, mode: str) -> str:
    """The named scheme with this variance."""
    if mode == "fan_in" and abs(weight_var - 2) < _NEAR:
        return "he_normal"
    if mode == "fan_in" and abs(weight_var - 1) < _NEAR:
        return "lecun_normal"
    return "variance_scaling"


def _choices(phi: Activation, objective: str, depth: int, bias_var: float | None) -> _Choice:
    at_one = moments(1.0, phi)
    forward, backward = 1 / float(at_one.second), 1 / float(at_one.slope_second)
    bias = bias_var or 0.0
    if phi.degree == 1 and bias == 0 and abs(forward - backward) < 1e-12 * forward:
        text = "keeps the variance of signals and of gradients at every q: the critical point."
        return _Choice(forward, 0.0, 1.0, (f"weight_var {forward:.6g} {text}",))
    if objective == "forward":
        return _forward(forward, bias, float(at_one.slope_second))
    if objective == "backward":
        reason = f"weight_var {backward:.6g} = 1/E phi'^2 keeps the variance of gradients at q = 1."
        settled = variance_map(1.0, phi, weight_var=backward, bias_var=bias)
        warning = f"Signals of variance 1 have {float(settled):.4g} after one layer."
        return _Choice(backward, bias, 1.0, (reason,), (warning,))
    if phi.name == "selu" and objective == "both" and bias == 0:
        chosen = _forward(forward, 0.0, float(at_one.slope_second))
        return replace(
            chosen, reasons=(*chosen.reasons, "SELU is made for (1, 0): q = 1 attracts.")
        )
    return _critical(phi, objective, depth, bias_var, forward, float(at_one.slope_second))


def _forward(forward: float, bias: float, slope: float) -> _Choice:
    weight = (1 - min(bias, 1.0)) * forward
    reason = f"weight_var {weight:.6g} = (1 - bias_var)/E phi^2 keeps signals of variance 1."
    chi = weight * slope
    warnings = []
    if bias >= 1:
        warnings.append(f"bias_var {bias:g} alone makes variance 1 or more: no weights are left.")
    if abs(chi - 1) > 0.01:
        what = "grow" if chi > 1 else "shrink"
        warnings.append(f"chi = {chi:.4f}: gradients {what} by that factor a layer.")
    return _Choice(weight, bias, 1.0, (reason,), tuple(warnings))


def _critical(
    phi: Activation,
    objective: str,
    depth: int,
    bias_var: float | None,
    forward: float,
    slope: float,
) -> _Choice:
    """The edge of chaos: at a given bias_var, else at q = 1/depth if phi saturates, else at 1."""
    far = moments(np.array([1e4, 4e4]), phi).second
    saturates = bool(far[1] < 2 * far[0])
    small = 1 / depth if saturates or objective == "isometry" else 1.0
    point = critical(phi, bias_var=bias_var) if bias_var is not None else critical(phi, q=small)
    weight, bias, q = (float(x) for x in (point.weight_var, point.bias_var, point.q))
    if not (np.isfinite(weight) and bias >= 0 and q > 0):
        fallback = _forward(forward, bias_var or 0.0, slope)
        text = "There is no critical point with bias_var >= 0 here; signals are kept instead."
        return replace(fallback, warnings=(text, *fallback.warnings))
    reason = (
        f"({weight:.6g}, {bias:.6g}) is the edge of chaos at q = {q:.4g}: chi = 1, gradients keep "
        "their variance."
    )
    warnings = []
    gradient = float(point.slope)
    if gradient > 1:
        warnings.append(
            f"The critical point repels: dV/dq = {gradient:.3f}, so q drifts away from {q:.3g} by "
            "that factor a layer."
        )
    return _Choice(weight, bias, q, (reason,), tuple(warnings))


def _known_traps(phi: Activation, q: float) -> list[str]:
    traps = []
    if phi.name == "tanh":
        traps.append(
            "torch's gain 5/3 is chaotic: chi = 1.210 at its q* = 1.178; gradients grow 2e8-fold "
            "in 100 layers."
        )
    if phi.name == "selu":
        chi = float(chi_of(1.0, phi, weight_var=1.0))
        traps.append(
            f"SELU's own (1, 0) keeps the signal, but chi = {chi:.4f}: gradients grow by that "
            "factor a layer."
        )
    dead = 0.0 if doubles(phi) else float(dead_fraction(np.asarray(q), phi))
    if dead >= 0.25:
        traps.append(f"{dead:.0%} of the units have slope zero at any time.")
    return traps
