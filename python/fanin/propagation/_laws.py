"""Laws of units that are no Gaussians: a rectified signal with a Gaussian added, the largest of a
window. A law is nodes and masses, in the last axis behind those of the lanes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from fanin._functions import exp, upper_tail
from fanin._types import Floats

from ._nodes import gaussian_nodes, legendre_rule

if TYPE_CHECKING:
    from fanin._activations.activation import Activation

_TAU = 6.283185307179586
#: Panels of half a standard deviation with as many nodes, reaching so far beyond the last atom.
_NODES, _STEP, _REACH = 12, 0.5, 8.0


@dataclass(frozen=True)
class UnitLaw:
    """Atoms `at` of masses `mass` with a normal of variance `spread` added, for one lane."""

    at: Floats
    mass: Floats
    spread: float
    _nodes: dict[tuple[float, ...], tuple[Floats, Floats]] = field(default_factory=dict, repr=False)

    def nodes(self, kinks: tuple[float, ...]) -> tuple[Floats, Floats]:
        """Nodes and masses of the law, panels ending at the kinks."""
        if not self.spread > 0.0:
            return self.at + self.spread, self.mass  # NaN stays NaN
        if kinks not in self._nodes:
            u, width = self._rule(kinks)
            mass = width * (self._bells(u) * self.mass).sum(axis=1)
            self._nodes[kinks] = u, mass / mass.sum()
        return self._nodes[kinks]

    def given_atoms(self, kinks: tuple[float, ...], values: Floats) -> Floats:
        """E[values | atom] for each atom, `values` being at the nodes, in the last axis."""
        if not self.spread > 0.0:
            return values
        u, width = self._rule(kinks)
        chances = width[:, None] * self._bells(u)
        return np.asarray(values @ (chances / chances.sum(axis=0)))

    def _rule(self, kinks: tuple[float, ...]) -> tuple[Floats, Floats]:
        """Nodes and weights of an integral over all that is near an atom."""
        std = float(np.sqrt(self.spread))
        low, high = float(self.at.min()) - _REACH * std, float(self.at.max()) + _REACH * std
        count = int(np.ceil((high - low) / (_STEP * std)))
        inner = [k for k in kinks if low < k < high]
        edges = np.unique(np.r_[low + (high - low) * np.arange(count + 1) / count, inner])
        x, w = legendre_rule(_NODES)
        half = 0.5 * np.diff(edges)[:, None]
        u = (0.5 * (edges[1:] + edges[:-1])[:, None] + half * x).ravel()
        return u, (half * w).ravel()

    def _bells(self, u: Floats) -> Floats:
        """The density at each u given each atom."""
        std = float(np.sqrt(self.spread))
        z = (u[:, None] - self.at) / std
        return np.asarray(exp(-0.5 * z * z) / (std * np.sqrt(_TAU)))


@dataclass(frozen=True)
class Moments:
    """Of phi(s): mean, second moment, mean slope, and mean square slope."""

    mean: Any
    second: Any
    slope: Any
    slope_second: Any


def moments_of(phi: Activation, u: Floats, mass: Floats) -> Moments:
    value = np.asarray(phi(u), np.float64)
    slope = np.asarray(phi.derivative(u), np.float64)
    sums = (value, value * value, slope, slope * slope)
    return Moments(*(float((mass * x).sum()) for x in sums))


def applied_law(phi: Activation, law: UnitLaw) -> UnitLaw:
    """The law of phi(s)."""
    u, mass = law.nodes(phi.kinks)
    return UnitLaw(np.asarray(phi(u), np.float64), mass, 0.0)


def gaussian_law(q: float, phi: Activation) -> UnitLaw:
    """A normal of variance q, with nodes that suit phi."""
    if not q > 0:
        return UnitLaw(np.zeros(1), np.ones(1), 0.0)
    u, mass = gaussian_nodes(q, phi.kinks)
    return UnitLaw(u, mass, 0.0)


def gaussian_laws(variances: Floats, phi: Activation) -> tuple[UnitLaw, ...]:
    """Of normals in front of phi, the same one where variances are the same."""
    keys = {rounded(q): float(q) for q in variances.ravel()[::-1]}
    found = {key: gaussian_law(q, phi) for key, q in keys.items()}
    return tuple(found[rounded(q)] for q in variances.ravel())


def rounded(value: float) -> str:
    """What mirrored positions differ by is rounding."""
    return f"{value:.12g}"


def different(laws: Iterable[UnitLaw]) -> Iterable[UnitLaw]:
    return {id(law): law for law in laws}.values()


def slopes_given(
    phi: Activation, laws: Sequence[UnitLaw], shape: tuple[int, ...], behind: Floats | None
) -> tuple[Floats, Floats]:
    """Of a squared gradient of profile h `behind` phi, E[phi'(s)^2 h(s)]/E phi'(s)^2, and its
    profile in front given the atoms of the laws: E[phi'(s)^2 h(s) | atom]/E phi'(s)^2 h(s)."""
    places = np.reshape([id(law) for law in laws], shape)
    if behind is not None:
        shape = np.broadcast_shapes(shape, behind.shape[:-1])
        behind = np.broadcast_to(behind, (*shape, behind.shape[-1])).reshape(-1, behind.shape[-1])
    places = np.broadcast_to(places, shape).ravel()
    share = np.ones(places.size)
    profile = np.ones((places.size, max((law.at.size for law in laws), default=1)))
    for law in different(laws):
        here = np.flatnonzero(places == id(law))
        u, mass = law.nodes(phi.kinks)
        slopes = np.square(np.asarray(phi.derivative(u), np.float64))
        values = slopes if behind is None else slopes * behind[here, : u.size]
        mean, alone = np.broadcast_to(values @ mass, here.shape), slopes @ mass
        some = (mean > 0) & (mean < np.inf)
        share[here[some]] = mean[some] / alone
        given = law.given_atoms(phi.kinks, np.broadcast_to(values, (here.size, u.size))[some])
        profile[here[some], : law.at.size] = given / (given @ law.mass)[:, None]
    return share.reshape(shape), profile.reshape(*shape, profile.shape[1])


def largest_law(q: float, correlation: float, count: int, phi: Activation) -> UnitLaw:
    """The largest of `count` normals of variance q with one correlation >= 0 between any two:
    a common normal and the largest of independent ones, of density count P(z)^(count-1) p(z)."""
    own = q * (1 - correlation)
    kinks = phi.kinks if correlation == 0 else ()
    u, mass = gaussian_nodes(own, kinks)
    below = 1 - upper_tail(u / np.sqrt(own))
    mass = mass * count * below ** (count - 1)
    return UnitLaw(u, mass / mass.sum(), q * correlation)


def shared_second(q: float, correlation: float, count: int, phi: Activation) -> float:
    """E of the square of E phi(largest) given what all normals of :func:`largest_law` share: the
    second moment of two windows of one input."""
    law = largest_law(q, correlation, count, phi)
    if law.spread == 0.0:
        mean = moments_of(phi, law.at, law.mass).mean
        return float(mean * mean)
    common, mass = gaussian_nodes(law.spread)
    given = np.asarray(phi(common[:, None] + law.at), np.float64)
    means = (given * law.mass).sum(axis=1)
    return float((mass * means * means).sum())


def parted(variance: Any, slope: Any, apart: Any) -> Floats:
    """What the covariance at 1 - apart lacks to `variance`, by the parabola from 0 with a slope."""
    return np.asarray(apart * (slope + (variance - slope) * (2 - apart)))


def between(
    product: Floats, means: Any, means_after: Any, variances: Any, variances_after: Any, slopes: Any
) -> Floats:
    """E phi(s) phi(t) from E s t, by the parabola in their correlation that has at 0 the value and
    the slope of the independent and at 1 the whole of the variances. All but the first are products
    over s and t, which may have different laws."""
    root, whole = np.sqrt(variances), np.sqrt(variances_after)
    some = root > 0
    correlation = np.where(some, (product - means) / np.where(some, root, 1.0), 0.0)
    return np.asarray(means_after + whole - parted(whole, root * slopes, 1 - correlation))


def largest_products(
    q: float, near: float, crossed: float, apart: float, count: int, phi: Activation
) -> tuple[float, float]:
    """E phi phi' of the largest of a window of two inputs, at other places and at the same.

    Pixels of one input correlate by `near`, of two by `crossed`, and 1 - `apart` at one place. A
    common normal of each input, and pairs (a_i, b_i) of correlation r, whose largest have the
    distribution Phi_2(x, y; r)^count; of two variables E g(x) h(y) is that of independent ones
    plus the integral of g' h' (F(x, y) - F(x) F(y)) (Hoeffding 1940).
    """
    own, turned = 1 - near, crossed / near if near > 0 else 0.0
    spread, common = float(np.sqrt(q * own)), float(np.sqrt(q * near))
    x, width = _grid(() if near > 0 else tuple(k / spread for k in phi.kinks))
    below = 1 - upper_tail(x)
    bell = exp(-0.5 * x * x) / np.sqrt(_TAU)
    mass = width * count * below ** (count - 1) * bell
    if near > 0:
        z, weight = gaussian_nodes(1.0)
        y, inner = _coarse()
        first = common * z
        second = common * (turned * z[:, None] + np.sqrt(max(1 - turned * turned, 0.0)) * y)
    else:
        first, weight, second, inner = np.zeros(1), np.ones(1), np.zeros((1, 1)), np.ones(1)
    at = first[:, None] + spread * x
    level, slope = np.asarray(phi(at), np.float64) @ mass, np.asarray(phi.derivative(at))
    # Of the other input given the common part of this one.
    means = _fitted(first, level, second) @ inner if near > 0 else level
    elsewhere = float((weight * level * means).sum())
    slopes = np.zeros_like(slope)
    for shift, share in zip(second.T, inner, strict=True):
        slopes += share * np.asarray(phi.derivative(shift[:, None] + spread * x))
    both = (slope * weight[:, None]).T @ slopes * (spread * spread)
    joint = _joint(x, (1 - apart - crossed) / own) + below[:, None] * below
    lifted = joint**count - (below[:, None] * below) ** count
    return elsewhere, elsewhere + float(width @ (both * lifted) @ width)


def _fitted(x: Floats, values: Floats, at: Floats) -> Floats:
    return np.interp(at.ravel(), x, values).reshape(at.shape)


def _grid(kinks: tuple[float, ...]) -> tuple[Floats, Floats]:
    """Nodes on [-8, 8], panels of length one that end at the kinks too."""
    edges = np.unique([*np.arange(-8.0, 9.0), *(k for k in kinks if abs(k) < 8)])
    nodes, weights = legendre_rule(10)
    half = 0.5 * np.diff(edges)[:, None]
    return (0.5 * (edges[1:] + edges[:-1])[:, None] + half * nodes).ravel(), (
        half * weights
    ).ravel()


def _coarse() -> tuple[Floats, Floats]:
    """Equal steps for a normal: many, as slopes jump."""
    z = np.arange(-7.0, 7.125, 0.125)
    mass = np.asarray(exp(-0.5 * z * z), np.float64)
    return z, np.asarray(mass / mass.sum())


def _joint(x: Floats, correlation: float) -> Floats:
    """Phi_2(x, y; r) - Phi(x) Phi(y), the integral of the density over r (Plackett 1954)."""
    nodes, weights = legendre_rule(32)
    half = 0.5 * float(np.arcsin(np.clip(correlation, -1.0, 1.0)))
    total = np.zeros((x.size, x.size))
    squares, product = x[:, None] ** 2 + x**2, x[:, None] * x
    for angle, weight in zip(half * (1 + nodes), half * weights, strict=True):
        sine, cosine = np.sin(angle), np.cos(angle)
        power = (squares - 2 * sine * product) / (2 * cosine * cosine)
        total += weight * exp(-np.minimum(power, 700.0))
    return total / _TAU
