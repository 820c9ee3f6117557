"""Stacks of equal dense layers, all at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fanin._activations.activation import as_activation
from fanin._checks import as_count, as_variance
from fanin._hints import short
from fanin._modes import as_mode, divisor
from fanin._numbers import as_floats
from fanin._types import Floats

from ._finite_width import Step, corrected, width_hints
from ._layer import layer_sizes
from ._maps import chi as chi_of
from ._maps import moments, propagated, times
from ._pairs import correlation_map, one_minus_correlation_map
from ._profile import Profile
from ._state import starting_state
from ._units import dead_fraction, saturated_fraction

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from fanin._activations.activation import Activation, ActivationLike

    from ._profile import Field
    from ._state import State

#: Their gradients have no variance.
_JUMPS = ("step", "sign", "crelu")


@dataclass(frozen=True)
class _Stack:
    """Equal dense layers, in lanes; `forward` and `back` are what the widths make of a variance."""

    phi: Activation
    weight: Floats
    bias: Floats
    rate: Floats
    forward: list[float]
    back: list[float]

    @classmethod
    def of(
        cls,
        phi: Activation,
        weight_var: ArrayLike,
        bias_var: ArrayLike,
        dropout: ArrayLike,
        sizes: Sequence[float],
        mode: str,
    ) -> _Stack:
        """Checked: what is out of range is an error where it stands alone, NaN in an array."""
        fans = [divisor(mode, n, m) for n, m in zip(sizes, sizes[1:], strict=False)]
        forward = [n / number for n, number in zip(sizes, fans, strict=False)]
        back = [m / number for m, number in zip(sizes[1:], fans, strict=True)]
        weight, bias = as_variance("weight_var", weight_var), as_variance("bias_var", bias_var)
        rate = as_floats(dropout, "dropout")
        if rate.ndim == 0 and not 0 <= rate < 1:
            raise ValueError(f"dropout is a rate in [0, 1), got {short(dropout)}")
        return cls(
            phi,
            np.where(weight >= 0, weight, np.nan),
            np.where(bias >= 0, bias, np.nan),
            np.where((rate >= 0) & (rate < 1), rate, np.nan),
            forward,
            back,
        )

    @property
    def keep(self) -> Floats:
        return np.asarray(1 - self.rate)

    def variances(self, q0: Floats) -> Floats:
        """Layers first: entries of one layer lie together."""
        shape = np.broadcast_shapes(q0.shape, self.weight.shape, self.bias.shape, self.rate.shape)
        with np.errstate(over="ignore"):
            scale = self.weight / self.keep
        first, shares = np.broadcast_to(q0, shape), np.array(self.forward)
        return propagated(self.phi, first, scale, self.bias, shares, start=True)

    def correlations(self, q: Floats, start: State) -> tuple[Floats, Floats]:
        """c and 1 - c, layers first."""
        c, apart = np.empty_like(q), np.empty_like(q)
        c[0], apart[0] = start.c, start.one_minus_c
        keep, bias = self.keep, self.bias
        for layer, share in enumerate(self.forward):
            given = {"weight_var": self.weight * share, "bias_var": bias}
            near = one_minus_correlation_map(apart[layer], q[layer], self.phi, **given)
            far = correlation_map(c[layer], q[layer], self.phi, **given)
            # Masks of their own leave the covariance and enlarge the variance: from `whole`,
            # without masks, to q.
            with np.errstate(invalid="ignore", divide="ignore"):
                whole = keep * (q[layer + 1] - bias) + bias
                part = np.where(q[layer + 1] == np.inf, keep, whole / q[layer + 1])
            left = np.where(self.rate > 0, part, 1.0)
            lost = np.where(self.rate > 0, 1 - left, 0.0)
            close = c[layer] > 0.5
            c[layer + 1] = np.where(close, 1 - (near * left + lost), far * left)
            apart[layer + 1] = np.where(close, near * left + lost, 1 - far * left)
        return c, apart

    def chi(self, q: Floats) -> Floats:
        weight_var = self.weight[..., None] / self.keep[..., None]
        return np.array(chi_of(q, self.phi, weight_var=weight_var))

    def gradients(self, chi: Floats) -> Floats:
        out = np.ones(chi.shape)
        for layer in reversed(range(len(self.back))):
            out[..., layer] = times(out[..., layer + 1] * self.back[layer], chi[..., layer])
        return out

    def weight_gradients(self, q: Floats, second: Floats, grad: Floats) -> Floats:
        inputs = np.empty(q.shape)
        with np.errstate(invalid="ignore", divide="ignore"):
            inputs[..., 0] = (q[..., 0] - self.bias) / self.weight
        inputs[..., 1:] = second[..., :-1] / self.keep[..., None]
        return times(grad, inputs)


def propagate(
    activation: ActivationLike,
    depth: int,
    *,
    weight_var: ArrayLike,
    bias_var: ArrayLike = 0.0,
    q0: ArrayLike = 1.0,
    c0: ArrayLike | None = None,
    widths: Sequence[int] | None = None,
    mode: str = "fan_in",
    dropout: ArrayLike = 0.0,
) -> Profile:
    """Variances, correlations and gradients through `depth` equal dense layers.

    q_l = weight_var/keep E phi(sqrt(q_(l-1)) z)^2 + bias_var (Poole et al. 2016), keep = 1 -
    dropout; the variance of a unit's gradient goes back with chi = weight_var/keep E phi'^2
    (Schoenholz et al. 2017). With `widths` the two get the factors n_(l-1)/N_l and n_l/N_l, N_l
    the fan of `mode`.

    Parameters
    ----------
    activation : str, Activation or callable
    depth : int, >= 0
        Layers after the first pre-activation.
    weight_var, bias_var : array_like, >= 0
        N times the variance of a weight; the variance of a bias.
    q0 : array_like, >= 0
        Variance of the first pre-activations.
    c0 : array_like in [-1, 1], optional
        Correlation of two inputs there.
    widths : sequence of depth + 1 int, optional
        Units of the entries 0 .. depth; default all equal.
    mode : {"fan_in", "fan_out", "fan_avg", "fan_geo"}
        What divides weight_var.
    dropout : array_like in [0, 1)
        Rate on the activations, masks of their own for every input.

    Returns
    -------
    Profile
        Fields of the broadcast shape and an axis of length depth + 1.

    Raises
    ------
    ValueError
        For a negative variance, |c0| > 1 or a rate outside [0, 1) that stands alone (in an array
        it gives NaN), a negative depth, an unknown mode or a wrong number of widths.

    Examples
    --------
    >>> from fanin import propagation as p
    >>> tanh = p.propagate("tanh", 100, weight_var=1.0)
    >>> [round(tanh.q[l].item(), 6) for l in (1, 2, 10)]
    [0.394294, 0.23645, 0.0522]
    >>> round(tanh.grad[0].item(), 8)
    0.00713425
    """
    phi = as_activation(activation)
    depth = as_count(depth, "depth", 0)
    mode = as_mode(mode)
    sizes = layer_sizes(widths, depth)
    start, correlated = starting_state(q0, c0)
    stack = _Stack.of(phi, weight_var, bias_var, dropout, sizes, mode)

    q = stack.variances(start.q)
    c = apart = np.broadcast_to(np.nan, q.shape)
    if correlated:
        c, apart = stack.correlations(q, start)
    layers_last = np.moveaxis(q, 0, -1)
    fields: dict[str, Field] = {
        "q": layers_last,
        "c": np.moveaxis(c, 0, -1),
        "one_minus_c": np.moveaxis(apart, 0, -1),
        "chi": lambda: stack.chi(layers_last),
        "grad": lambda: stack.gradients(profile.chi),
        "weight_grad": lambda: stack.weight_gradients(layers_last, profile.second, profile.grad),
        "mean": lambda: np.array(moments(layers_last, phi).mean),
        "second": lambda: np.array(moments(layers_last, phi).second),
        "saturated": lambda: saturated_fraction(layers_last),
        "dead": lambda: dead_fraction(layers_last, phi),
        "weight_grads": lambda: profile.weight_grad[..., 1:],
    }

    def hints() -> tuple[str, ...]:
        steps = [
            Step(phi, float(stack.weight) * share, float(stack.bias), units)
            for share, units in zip(stack.forward, sizes, strict=False)
        ]
        return width_hints(corrected(steps, float(start.q)))

    one_lane = q.ndim == 1 and not stack.rate.any()
    known = widths is not None and one_lane and phi.name not in _JUMPS
    names = tuple(str(layer) for layer in range(depth + 1))
    profile = Profile(fields, names, hints=hints if known else ())
    return profile
