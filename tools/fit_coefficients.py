"""Fits every polynomial and rational approximation of cpp/kernels and prints it as hex floats.

    python tools/fit_coefficients.py [name ...]

Needs mpmath and numpy. Each fit minimises the largest weighted error over Chebyshev nodes: least
squares in 60-digit arithmetic, reweighted by the error itself (Lawson), with the denominator of a
rational function taken from the round before. Low-order coefficients of polynomials are then
rounded to the target type one by one, each time refitting the rest, so that the rounding of a large
coefficient is repaired by the smaller ones.
"""

import sys

import mpmath as mp
import numpy as np

mp.mp.dps = 60


def nodes(low, high, count=160):
    middle, half = (mp.mpf(low) + high) / 2, (mp.mpf(high) - low) / 2
    return [middle + half * mp.cos(mp.pi * (2 * i + 1) / (2 * count)) for i in range(count)]


def solve_weighted(columns, target, weights):
    n = len(columns)
    gram, right = mp.matrix(n, n), mp.matrix(n, 1)
    for i in range(n):
        weighted = [c * w for c, w in zip(columns[i], weights, strict=True)]
        for j in range(i, n):
            gram[i, j] = gram[j, i] = mp.fdot(weighted, columns[j])
        right[i] = mp.fdot(weighted, target)
    return list(mp.lu_solve(gram, right))


def fit(function, weight, xs, up, down=0, fixed=(), rounds=25):
    """Numerator (degree up, first coefficients `fixed`) and denominator 1 + ... (degree down)."""
    f = [function(x) for x in xs]
    w = [weight(x) for x in xs]
    powers = [[mp.mpf(1)] * len(xs)]
    for _ in range(max(up, down)):
        powers.append([p * x for p, x in zip(powers[-1], xs, strict=True)])
    free = range(len(fixed), up + 1)
    columns = [powers[k] for k in free] + [
        [-y * p for y, p in zip(f, powers[k], strict=True)] for k in range(1, down + 1)
    ]
    target = [y - sum(c * powers[k][i] for k, c in enumerate(fixed)) for i, y in enumerate(f)]
    lawson, den = [mp.mpf(1)] * len(xs), [mp.mpf(1)] * len(xs)
    best = None
    for _ in range(rounds):
        weights = [a * (b / d) ** 2 for a, b, d in zip(lawson, w, den, strict=True)]
        c = solve_weighted(columns, target, weights)
        p = list(fixed) + c[: len(free)]
        q = [mp.mpf(1)] + c[len(free) :]
        den = [sum(qk * powers[k][i] for k, qk in enumerate(q)) for i in range(len(xs))]
        num = [sum(pk * powers[k][i] for k, pk in enumerate(p)) for i in range(len(xs))]
        error = [abs(b * (n / d - y)) for b, n, d, y in zip(w, num, den, f, strict=True)]
        worst = max(error)
        if best is None or worst < best[0]:
            best = (worst, p, q)
        lawson = [a * e for a, e in zip(lawson, error, strict=True)]
        total = sum(lawson)
        lawson = [a / total for a in lawson]
    return best


def rounded(value, kind):
    return float(np.float32(mp.nstr(value, 30))) if kind == "f32" else float(mp.mpf(value))


def polynomial(function, weight, xs, degree, kind, exact=0):
    """Coefficients in `kind`, rounding the first ones in turn; `exact` leading ones are given by
    the caller."""
    fixed = []
    for _ in range(degree + 1):
        _, p, _ = fit(function, weight, xs, degree, fixed=fixed, rounds=12)
        fixed.append(mp.mpf(rounded(p[len(fixed)], kind)))
    error = fit(function, weight, xs, degree, fixed=fixed[:-1], rounds=12)[0]
    return error, fixed


def ndtri_upper(m):
    """z with upper tail probability m, for 0 < m <= 1/2."""
    m = mp.mpf(m)
    z = mp.sqrt(-2 * mp.log(m)) if m < 0.1 else (mp.mpf(1) / 2 - m) * mp.mpf("2.5")
    for _ in range(60):
        tail = mp.erfc(z / mp.sqrt(2)) / 2
        density = mp.exp(-z * z / 2) / mp.sqrt(2 * mp.pi)
        # Newton on log tail: monotone and quadratic far out as well.
        step = mp.log(tail / m) * tail / density
        z += step
        if abs(step) < mp.mpf(10) ** -45:
            break
    return z


SQRT2 = mp.sqrt(2)
SLOPE = mp.sqrt(2 * mp.pi)


def minus_two_log_tail(x):
    """(-2 log(1 - x/2) - x) / x**2: what is left of the radius's logarithm after its first term."""
    return (-2 * mp.log(1 - x / 2) - x) / x**2 if x else mp.mpf(1) / 4


def atanh_tail(z):
    """(2 atanh(s) - 2 s) / s**3 at z = s**2."""
    s = mp.sqrt(z)
    return (2 * mp.atanh(s) - 2 * s) / s**3 if z else mp.mpf(2) / 3


def sin_quarter(y):
    t = mp.sqrt(y)
    return mp.sin(mp.pi / 2 * t) / t


def cos_quarter(y):
    return (mp.cos(mp.pi / 2 * mp.sqrt(y)) - 1) / y


def ndtri_central(w):
    """z / v at w = 1/4 - v**2 = p (1 - p), where v is the distance of the probability p from one
    half.

    In w all coefficients come out positive: no cancellation near the ends, where 1/4 - v**2 is
    small."""
    v = mp.sqrt(mp.mpf(1) / 4 - w)
    return ndtri_upper(mp.mpf(1) / 2 - v) / v if v else mp.sqrt(2 * mp.pi)


def above_slope(w, kind):
    """z / v less its value at v = 0 as rounded to the type: the smaller part of z carries the
    rounding errors."""
    return ndtri_central(w) - mp.mpf(rounded(mp.sqrt(2 * mp.pi), kind))


def ndtri_tail(s):
    """z - s at s = sqrt(-2 log m), m the tail probability."""
    return ndtri_upper(mp.exp(-s * s / 2)) - s


def mills_scaled(t, knee=4):
    """(x + knee) * M(x), M the Mills ratio, at t = (x - knee) / (x + knee)."""
    x = knee * (1 + t) / (1 - t)
    return (x + knee) * mp.sqrt(mp.pi / 2) * mp.exp(x * x / 2) * mp.erfc(x / SQRT2)


def report(name, kind, function, weight, xs, up, down=0):
    table = {x: function(x) for x in xs}
    if down:
        error, p, q = fit(table.get, lambda x: weight(x, table[x]), xs, up, down)
        p, q = [[rounded(c, kind) for c in cs] for cs in (p, q)]
    else:
        error, p = polynomial(table.get, lambda x: weight(x, table[x]), xs, up, kind)
        p, q = [float(c) for c in p], []
    print(f"{name} ({kind}): relative error 2^{mp.nstr(mp.log(error, 2), 4)}")
    for label, cs in (("numerator", p), ("denominator", q)):
        if cs:
            print(f"  {label}: " + ", ".join(c.hex() for c in cs))


TWO_SIGMA = mp.erf(2 / SQRT2) / 2  # probability between 0 and 2 sigma
QUARTER = mp.mpf(1) / 4
SPLIT = mp.mpf(3) / 8  # where ndtri changes from its central to its tail form


def tail_start(slack="1e-6"):
    return mp.sqrt(-2 * mp.log(mp.mpf(1) / 2 - SPLIT)) - mp.mpf(slack)


FITS = {
    "log_f32": lambda n: report(
        n, "f32", minus_two_log_tail, lambda x, f: abs(x * x / (x + x * x * f)) if x else 0,
        nodes(2 - 2 * SQRT2, 2 - SQRT2), 7),
    "log_f64": lambda n: report(
        n, "f64", atanh_tail, lambda z, f: z / 2, nodes(0, ((SQRT2 - 1) / (SQRT2 + 1)) ** 2), 6),
    "sin_f32": lambda n: report(
        n, "f32", sin_quarter, lambda y, f: 1 / f, nodes(0, mp.mpf(1) / 4), 3),
    "sin_f64": lambda n: report(
        n, "f64", sin_quarter, lambda y, f: 1 / f, nodes(0, mp.mpf(1) / 4), 7),
    "cos_f32": lambda n: report(
        n, "f32", cos_quarter, lambda y, f: y / (1 + y * f), nodes(0, mp.mpf(1) / 4), 3),
    "cos_f64": lambda n: report(
        n, "f64", cos_quarter, lambda y, f: y / (1 + y * f), nodes(0, mp.mpf(1) / 4), 7),
    "two_sigma_f32": lambda n: report(
        n, "f32", lambda w: above_slope(w, "f32"), lambda w, f: 1 / (f + SLOPE),
        nodes(QUARTER - TWO_SIGMA**2, QUARTER), 4, 5),
    "two_sigma_f64": lambda n: report(
        n, "f64", lambda w: above_slope(w, "f64"), lambda w, f: 1 / (f + SLOPE),
        nodes(QUARTER - TWO_SIGMA**2, QUARTER), 10, 10),
    "central_f32": lambda n: report(
        n, "f32", lambda w: above_slope(w, "f32"), lambda w, f: 1 / (f + SLOPE),
        nodes(QUARTER - SPLIT**2, QUARTER), 3, 3),
    "central_f64": lambda n: report(
        n, "f64", lambda w: above_slope(w, "f64"), lambda w, f: 1 / (f + SLOPE),
        nodes(QUARTER - SPLIT**2, QUARTER), 7, 7),
    "tail_f32": lambda n: report(
        n, "f32", ndtri_tail, lambda s, f: 1 / (f + s), nodes(tail_start(), 13.3), 3, 4),
    "near_tail_f64": lambda n: report(
        n, "f64", ndtri_tail, lambda s, f: 1 / (f + s), nodes(tail_start(), 8), 7, 8),
    "far_tail_f64": lambda n: report(
        n, "f64", ndtri_tail, lambda s, f: 1 / (f + s), nodes(8, 38), 7, 8),
    "mills_f64": lambda n: report(
        n, "f64", mills_scaled, lambda t, f: 1 / f, nodes(-1, 1 - mp.mpf(10) ** -6), 24),
}


if __name__ == "__main__":
    for chosen in sys.argv[1:] or FITS:
        FITS[chosen](chosen)
