"""Activations and Gaussian integrals in mpmath: the slow truth for fanin.propagation."""

from __future__ import annotations

import mpmath as mp
import numpy as np

SELU = (mp.mpf("1.6732632423543772848170429916717"), mp.mpf("1.0507009873554804934193349852946"))
ROOT = mp.sqrt(2 / mp.pi)


def logistic(x):
    return 1 / (1 + mp.exp(-x)) if x > 0 else mp.exp(x) / (1 + mp.exp(x))


def softplus(x):
    return max(x, mp.mpf(0)) + mp.log1p(mp.exp(-abs(x)))


def mish(x):
    # tanh(log(1 + e)) = n / (n + 2), n = e (e + 2); no difference of nearly equal numbers
    e = mp.exp(x)
    return x * e * (e + 2) / (e * (e + 2) + 2)


def mish_slope(x):
    e = mp.exp(x)
    n = e * (e + 2)
    return n / (n + 2) + x * 4 * e * (e + 1) / (n + 2) ** 2


def gelu_tanh(x):
    return x * logistic(2 * ROOT * (x + mp.mpf("0.044715") * x**3))


def gelu_tanh_slope(x):
    cubic = mp.mpf("0.044715")
    y = 2 * ROOT * (x + cubic * x**3)
    return logistic(y) + x * 2 * ROOT * (1 + 3 * cubic * x * x) * logistic(y) * logistic(-y)


def exponential(positive, amplitude, length=1):
    """elu, selu and celu with their slopes."""
    return (
        lambda x: positive * x if x > 0 else amplitude * mp.expm1(x / length),
        lambda x: mp.mpf(positive) if x > 0 else amplitude / length * mp.exp(x / length),
        (0,),
    )


def clipped(rate, offset, low, high):
    """Straight lines between two kinks."""
    left, right = (low - offset) / rate, (high - offset) / rate
    return (
        lambda x: min(max(rate * x + offset, low), high),
        lambda x: rate if left < x < right else mp.mpf(0),
        (left, right),
    )


def leaky(slope):
    return (
        lambda x: x if x > 0 else slope * x,
        lambda x: mp.mpf(1) if x > 0 else mp.mpf(slope),
        (0,),
    )


SIXTH, HALF = mp.mpf(1) / 6, mp.mpf(1) / 2

#: name: phi, phi', kinks
TRUTH = {
    "linear": (lambda x: x, lambda x: mp.mpf(1), ()),
    "relu": leaky(0),
    "leaky_relu": leaky(mp.mpf(0.01)),
    "abs": leaky(-1),
    "squared_relu": (lambda x: max(x, 0) ** 2, lambda x: 2 * max(x, mp.mpf(0)), (0,)),
    "relu6": clipped(mp.mpf(1), mp.mpf(0), mp.mpf(0), mp.mpf(6)),
    "elu": exponential(1, mp.mpf(1)),
    "selu": exponential(SELU[1], SELU[1] * SELU[0]),
    "celu": exponential(1, mp.mpf(1)),
    "softplus": (softplus, logistic, ()),
    "silu": (
        lambda x: x * logistic(x),
        lambda x: logistic(x) * (1 + x * logistic(-x)),
        (),
    ),
    "gelu": (lambda x: x * mp.ncdf(x), lambda x: mp.ncdf(x) + x * mp.npdf(x), ()),
    "gelu_tanh": (gelu_tanh, gelu_tanh_slope, ()),
    "mish": (mish, mish_slope, ()),
    "hardswish": (
        lambda x: x * min(max(x + 3, 0), 6) / 6,
        lambda x: mp.mpf(0) if x < -3 else mp.mpf(1) if x > 3 else (2 * x + 3) / mp.mpf(6),
        (-3, 3),
    ),
    "hardsigmoid": clipped(SIXTH, HALF, mp.mpf(0), mp.mpf(1)),
    "hardtanh": clipped(mp.mpf(1), mp.mpf(0), mp.mpf(-1), mp.mpf(1)),
    "tanh": (mp.tanh, lambda x: mp.sech(x) ** 2, ()),
    "sigmoid": (logistic, lambda x: logistic(x) * logistic(-x), ()),
    "erf": (mp.erf, lambda x: 2 / mp.sqrt(mp.pi) * mp.exp(-x * x), ()),
    "erf_scaled": (
        lambda x: mp.erf(mp.sqrt(mp.pi) / 2 * x),
        lambda x: mp.exp(-mp.pi * x * x / 4),
        (),
    ),
    "softsign": (lambda x: x / (1 + abs(x)), lambda x: 1 / (1 + abs(x)) ** 2, (0,)),
    "atan": (mp.atan, lambda x: 1 / (1 + x * x), ()),
    "sin": (mp.sin, mp.cos, ()),
    "cos": (mp.cos, lambda x: -mp.sin(x), ()),
    "gaussian": (lambda x: mp.exp(-x * x), lambda x: -2 * x * mp.exp(-x * x), ()),
    "exp": (mp.exp, mp.exp, ()),
    "step": (lambda x: mp.mpf(x > 0), None, (0,)),
    "sign": (lambda x: mp.sign(x), None, (0,)),
}
TRUTH["crelu"] = TRUTH["relu"]


def edges(q, kinks, reach=13):
    """Interval ends that resolve both the Gaussian and the activation."""
    deviation = mp.sqrt(q)
    ends = {mp.mpf(0), *(mp.mpf(k) for k in kinks if abs(k) < reach * deviation)}
    for sign in (-1, 1):
        ends |= {sign * m * deviation for m in (1, 2, 4, 6, 9, reach)}
        ends |= {sign * mp.mpf(2) ** j for j in range(-1, 45) if mp.mpf(2) ** j < reach * deviation}
    return sorted(ends)


def expectation(g, q, kinks=(), digits=25):
    """E g(u), u ~ N(0, q). The integrand is scaled so that mpmath's absolute error is relative."""
    with mp.workdps(digits + 15):
        q = mp.mpf(q)
        inner = mp.quad(lambda u: g(u) * mp.exp(-u * u / (2 * q)), edges(q, kinks), maxdegree=4)
        return inner / mp.sqrt(2 * mp.pi * q)


LEGENDRE = np.polynomial.legendre.leggauss(20)


def panels(deviation, widest, kinks, reach=9.5):
    """Nodes and weights within `reach` deviations, 20 Gauss-Legendre nodes a panel.

    A normal variable is beyond 9.5 deviations with probability 2e-21.
    Panels are a unit long at 0 and half the distance from 0 further out, none wider than `widest`.
    The poles of the activations are a unit or more away, so that 40 powers of 4 or more are left.
    """
    ends, at = [0.0], 0.0
    while at < reach * deviation:
        at += min(widest, max(1.0, 0.5 * at))
        ends.append(min(at, reach * deviation))
    ends = np.unique([*ends, *(-np.array(ends)), *(k for k in kinks if abs(k) < reach * deviation)])
    half, middle = np.diff(ends)[:, None] / 2, (ends[1:] + ends[:-1])[:, None] / 2
    return (middle + half * LEGENDRE[0]).ravel(), (half * LEGENDRE[1]).ravel()


def gaussian_rule(q, name):
    """Nodes, and weights of N(0, q) at them: good to a few units of rounding for positive sums."""
    deviation = float(np.sqrt(q))
    kinks = [float(k) for k in TRUTH[name][2]]
    # E exp(4 u) lives around u = 4 q, that is 4 sqrt(q) deviations.
    reach = 9.5 + (4 * deviation if name == "exp" else 0)
    u, weight = panels(deviation, 1.5 * deviation, kinks, reach)
    return u, weight * np.exp(-u * u / (2 * q)) / (np.sqrt(2 * np.pi) * deviation)


def values_at(function, u):
    """mpmath's values, rounded to float64."""
    with mp.workdps(30):
        return np.array([float(function(mp.mpf(float(x)))) for x in u])
