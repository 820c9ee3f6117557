"""Advice: which weights an activation or a network wants, why, and what to beware of."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fanin._activations.activation import Activation, ActivationLike, as_activation
from fanin._activations.moments import check_moments, check_slope
from fanin._public import public
from fanin._schemes.registry import get
from fanin._types import Floats

from ._critical import critical
from ._findings import findings
from ._jacobian import doubles, jacobian
from ._layer import demands, passed, swept
from ._layers import Attention, Conv, Dense, Residual
from ._maps import chi as chi_of
from ._maps import moments, variance_map
from ._networks import Network
from ._positions import Pairs
from ._profile import Profile
from ._stack import propagate
from ._state import Passage, State
from ._units import dead_fraction

__all__ = ["Recommendation", "recommend"]

OBJECTIVES = ("forward", "backward", "both", "critical", "isometry")
#: Layers of the expected table where no depth is given.
_DEPTH = 50
_NEAR = 1e-9
#: A variance at which a smooth activation is linear, and a spread of slopes that is none.
_TINY, _ALIKE = 1e-8, 1e-3
#: Choices of weights in turn where positions share a gradient unequally: the first finds out how,
#: and only slopes that depend on q make it change afterwards.
_SWEEPS = 4


@public("fanin")
@dataclass(frozen=True)
class Recommendation:
    """Weights, and what they do.

    Attributes
    ----------
    scheme : str
        Name of a scheme of fanin; "variance_scaling" takes `weight_var` as its scale.
    weight_var, bias_var : float
        fan times the variance of a weight; the variance of a bias. For a Network weight_var is an
        array, one for each layer with weights.
    gain : float
        sqrt(weight_var): the standard deviation of a weight is gain/sqrt(fan). An array likewise.
        It is the whole factor, not one on top of `scheme`: :meth:`weight` draws what is meant.
    mode : str
        The fan.
    profile : Profile
        What to expect, layer by layer.
    reasons, warnings : tuple of str
    """

    scheme: str
    weight_var: float | Floats
    bias_var: float
    gain: float | Floats
    mode: str
    profile: Profile
    reasons: tuple[str, ...]
    warnings: tuple[str, ...]

    def initializer(self, layer: int | None = None) -> Callable[..., Any]:
        """The scheme with its arguments, whose weights have `weight_var`.

        Parameters
        ----------
        layer : int, optional
            For a Network: which of its layers with weights, from 0.

        Returns
        -------
        callable
            Called as every scheme: ``(shape, *, seed, dtype=None, layout="io", ...)``. A `gain` of
            the call multiplies on top.

        Raises
        ------
        TypeError, ValueError
            If a Network's layer is not named, or there is none of that number.

        Examples
        --------
        >>> import fanin
        >>> init = fanin.recommend("tanh", "critical", depth=20).initializer()
        >>> init((64, 32), seed=fanin.Stream(0)["layer1.weight"]).shape
        (64, 32)
        """
        variance = self._variance_of(layer)
        if self.scheme == "variance_scaling":
            return get(self.scheme, scale=variance, mode=self.mode)
        if self.scheme == "orthogonal":
            return get(self.scheme, gain=math.sqrt(variance))
        if self.scheme == "looks_linear":  # [W, -W], W orthogonal: twice the inputs of W
            return get(self.scheme, gain=math.sqrt(variance / 2))
        return get(self.scheme)

    def weight(
        self,
        shape: Any,
        *,
        seed: Any,
        layout: Any = "io",
        dtype: Any = None,
        out: Any = None,
        index: Any = None,
        threads: int | None = None,
        layer: int | None = None,
    ) -> Any:
        """One weight as recommended: ``initializer(layer)(shape, ...)``.

        Parameters
        ----------
        shape, seed, layout, dtype, out, index, threads
            As of every scheme, see :func:`fanin.he_normal`.
        layer : int, optional
            As of :meth:`initializer`.

        Returns
        -------
        ndarray or `out`

        Raises
        ------
        TypeError, ValueError
            As the scheme and :meth:`initializer`.

        Examples
        --------
        >>> import fanin
        >>> he = fanin.recommend("relu").weight((64, 32), seed=0)
        >>> bool((he == fanin.he_normal((64, 32), seed=0)).all())
        True
        """
        draw = self.initializer(layer)
        return draw(
            shape, seed=seed, layout=layout, dtype=dtype, out=out, index=index, threads=threads
        )

    def _variance_of(self, layer: int | None) -> float:
        variances = np.asarray(self.weight_var)
        if variances.ndim == 0:
            if layer is not None:
                raise TypeError("layer= belongs to the recommendation for a Network")
            return float(variances)
        if layer is None:
            raise TypeError(
                f"this recommendation is for a Network of {variances.size} layers with weights: "
                "say which by layer=, from 0"
            )
        number = operator.index(layer)
        if not 0 <= number < variances.size:
            raise ValueError(f"layer is in 0 .. {variances.size - 1}, got {layer!r}")
        return float(variances[number])

    def __str__(self) -> str:
        weight = np.array2string(np.asarray(self.weight_var), precision=6)
        lines = [
            f"{self.scheme}, weight_var {weight}, bias_var {self.bias_var:.6g}, {self.mode}",
            *(f"  because  {reason}" for reason in self.reasons),
            *(f"  beware   {warning}" for warning in self.warnings),
        ]
        return "\n".join(lines)


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
    if objective not in OBJECTIVES:
        names = ", ".join(map(repr, OBJECTIVES))
        raise ValueError(f"objective is one of {names}, got {objective!r}")
    if depth is not None and (not hasattr(depth, "__index__") or depth < 1):
        raise ValueError(f"depth is an int of at least 1, got {depth!r}")
    if bias_var is not None and not 0 <= bias_var < np.inf:
        raise ValueError(f"bias_var is a finite variance, at least 0, got {bias_var!r}")
    if isinstance(activation_or_network, Network):
        return _for_network(activation_or_network, objective, bias_var or 0.0)
    phi = as_activation(activation_or_network)
    check_slope(phi)
    check_moments(phi)
    layers = depth or _DEPTH
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


# ---- networks ------------------------------------------------------------------------------------


def _for_network(network: Network, objective: str, bias_var: float) -> Recommendation:
    blocks = sum(isinstance(layer, Residual) for layer in network.layers)
    start, _ = network.start(1.0, None)
    behind = network.pairs_behind
    ahead: list[Floats] | None = None
    for _ in range(_SWEEPS if start.mapped and objective != "forward" else 1):
        made, variances = _rebuilt(
            network.layers, objective, bias_var, start, behind, blocks, ahead
        )
        passages = passed(made, start, behind)
        end = np.ones_like(passages[-1].after.q) if passages else np.ones(())
        ahead = [*swept(passages, end)[0], end][1:]
    advised = Network(made, width=network.width, image=network.image)
    profile = advised.propagate()
    notes, warnings = _network_words(objective, bias_var, variances, made, profile)
    weights = np.array(variances)
    return Recommendation(
        scheme="orthogonal" if objective == "isometry" else "variance_scaling",
        weight_var=weights,
        bias_var=bias_var,
        gain=np.sqrt(weights),
        mode="fan_in",
        profile=profile,
        reasons=tuple(notes),
        warnings=(*warnings, *findings(profile)),
    )


def _network_words(
    objective: str,
    bias_var: float,
    variances: Sequence[float],
    layers: Sequence[Any],
    profile: Profile,
) -> tuple[list[str], list[str]]:
    """Reasons, and what to beware of."""
    reasons = {
        "forward": "Every dense or convolutional layer puts out variance 1.",
        "backward": "Every dense or convolutional layer keeps the gradient of the one before it.",
    }
    shared = "Weights are the geometric mean of what signals and gradients ask for."
    notes, warnings = [reasons.get(objective, shared)], []
    if objective in ("critical", "isometry"):
        notes.append(
            f"A network of different layers has no one edge of chaos: {objective!r} chooses "
            "variances as 'both' does" + (", for orthogonal weights." if objective == "isometry"
                                          else ".")
        )  # fmt: skip
    at = [i for i, layer in enumerate(layers) if isinstance(layer, Residual)]
    if at:
        growth = math.prod(float(profile.q[i + 1] / profile.q[i]) for i in at)
        notes.append(
            f"{len(at)} residual branches of weight {len(at)}**-0.5 multiply q by {growth:.4g} "
            "altogether."
        )
    if _has_attention(layers):
        warnings.append(
            "Attention keeps the variances it has: what they do depends on how tokens correlate."
        )
    if not variances:
        warnings.append("There are no dense or convolutional layers: nothing is recommended.")
    elif bias_var >= 1 and objective != "backward":
        warnings.append(
            f"bias_var {bias_var:g} alone makes variance 1 or more: no weights are left."
        )
    return notes, warnings


def _has_attention(layers: Sequence[Any]) -> bool:
    return any(
        isinstance(layer, Attention)
        or (isinstance(layer, Residual) and _has_attention([*layer.projection, *layer.layers]))
        for layer in layers
    )


def _rebuilt(
    layers: Sequence[Any],
    objective: str,
    bias_var: float,
    state: State,
    pairs: Pairs,
    blocks: int,
    ahead: Sequence[Floats] | None = None,
) -> tuple[list[Any], list[float]]:
    """The layers with new weights, front to back; `pairs` are those wanted behind the last, and
    `ahead` the gradients behind each layer, which count by how positions share them."""
    made: list[Any] = []
    variances: list[float] = []
    since: list[Passage] = []  # of the layers behind the last weights
    wanted = demands(layers, pairs, state.image, state.mapped)
    state = state.selected(wanted[0])
    for i, (layer, behind) in enumerate(zip(layers, wanted[1:], strict=True)):
        if isinstance(layer, Dense | Conv):
            unit = replace(layer, weight_var=1.0, bias_var=0.0, mode="fan_in")
            passage = unit.through(state, behind)
            after = passage.after
            forward = (1 - min(bias_var, 1.0)) / float(after.over_positions(after.q))
            given = np.ones_like(after.q) if ahead is None else ahead[i] / np.mean(ahead[i])
            [gradient, *_], _ = swept([*since, passage], given)
            backward = 1 / float(np.mean(gradient))
            both = float(np.sqrt(forward * backward))
            chosen = {"forward": forward, "backward": backward}.get(objective, both)
            layer = replace(unit, weight_var=chosen, bias_var=bias_var)
            variances.append(chosen)
            since = []
            passage = layer.through(state, behind)
        elif isinstance(layer, Residual):
            skip, first = _rebuilt(layer.projection, objective, bias_var, state, behind, 0)
            inner, more = _rebuilt(layer.layers, objective, bias_var, state, behind, 0)
            branch = layer.branch / float(np.sqrt(blocks)) if blocks else layer.branch
            layer = replace(layer, layers=inner, branch=branch, projection=skip)
            variances += first + more
            passage = layer.through(state, behind)
            since.append(passage)
        else:
            passage = layer.through(state, behind)
            since.append(passage)
        state = passage.after
        made.append(layer)
    return made, variances
