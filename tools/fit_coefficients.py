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


def polynomial(function, weight, xs, degree, kind, given=(), repaired=None):
    """Coefficients in `kind`: after those `given`, the next `repaired` ones (all, if None) are
    rounded in turn."""
    fixed = [mp.mpf(c) for c in given]
    for _ in range(len(fixed), degree + 1 if repaired is None else len(fixed) + repaired):
        _, p, _ = fit(function, weight, xs, degree, fixed=fixed, rounds=12)
        fixed.append(mp.mpf(rounded(p[len(fixed)], kind)))
    error, p, _ = fit(function, weight, xs, degree, fixed=fixed[:degree], rounds=12)
    return error, fixed + [mp.mpf(rounded(c, kind)) for c in p[len(fixed) :]]


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


def log_bend(x):
    """-2 log(1 - x/2) / x."""
    return -2 * mp.log(1 - x / 2) / x if x else mp.mpf(1)


LOG_PIECES = 8
#: where the pieces of [0.7, 1.4) begin, in eighths of a binade of the floats: one lies around 1
LOG_START = {"f32": (0x3F355556, 2**20, 2**23), "f64": (0x3FE6AAAAAAAAAAAB, 2**49, 2**52)}


def log_pieces(kind):
    """Pairs (slope, value), slope = -2/c and value = -2 log c, for c near the middle of each piece;
    in the order of the bits of the argument. Values are multiples of the last place of 2 log 2 as
    the code has it, so sums of both are exact; of the neighbours of -2/c, the slope whose value is
    closest to one is taken."""
    start, step, binade = LOG_START[kind]
    one = 0x3F800000 if kind == "f32" else 0x3FF0000000000000
    quantum = mp.mpf(2) ** (-20 if kind == "f32" else -48)

    def place(bits):  # of a float's bits, below and above 1
        return mp.mpf(1) + mp.mpf(bits - one) / (binade if bits >= one else 2 * binade)

    pairs = []
    for piece in range(LOG_PIECES):
        low, high = place(start + piece * step), place(start + (piece + 1) * step)
        if low < 1 < high:
            pairs.append((-2.0, 0.0))
            continue
        middle = rounded(-4 / (low + high), kind)
        ulp = np.spacing(np.float32(middle) if kind == "f32" else np.float64(middle))
        best = None
        for shift in range(-2000, 2001):
            slope = float(middle + shift * float(ulp) * (1 if kind == "f32" else 2**26))
            value = 2 * mp.log(-mp.mpf(slope) / 2)
            nearest = mp.nint(value / quantum) * quantum
            if best is None or abs(nearest - value) < best[0]:
                best = abs(nearest - value), slope, float(nearest)
        pairs.append(best[1:])
    return pairs


def log_reach(kind):
    """Ends of x = 2 - 2 m / c over all pieces."""
    start, step, binade = LOG_START[kind]
    one = 0x3F800000 if kind == "f32" else 0x3FF0000000000000
    ends = []
    for piece, (slope, _) in enumerate(log_pieces(kind)):
        for bits in (start + piece * step, start + (piece + 1) * step):
            m = mp.mpf(1) + mp.mpf(bits - one) / (binade if bits >= one else 2 * binade)
            ends.append(2 + m * slope)
    return min(ends), max(ends)


def log_table(name, kind, degree):
    pairs = log_pieces(kind)
    for label, column in (("slope", 0), ("value", 1)):
        print(f"{name} {label}: " + ", ".join(pair[column].hex() for pair in pairs))
    xs = nodes(*log_reach(kind))
    table = {x: log_bend(x) for x in xs}
    value = dict(zip(xs, xs, strict=True))
    error, p = polynomial(table.get, lambda x: abs(value[x]), xs, degree, kind, given=[1])
    print(f"{name} bend ({kind}): absolute error 2^{mp.nstr(mp.log(error, 2), 4)}")
    print("  after 1: " + ", ".join(float(c).hex() for c in p[1:]))


def sin_bend(y):
    """(sin(t pi/2) / t - pi/2) / y at y = t**2."""
    t = mp.sqrt(y)
    return (mp.sin(mp.pi / 2 * t) / t - mp.pi / 2) / y


def sine_square(y, kind):
    """sin(t pi/2)**2 / y less its leading term as `kind` has it, at y = t**2."""
    return mp.sin(mp.pi / 2 * mp.sqrt(y)) ** 2 / y - rounded(mp.pi**2 / 4, kind)


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


def stretch(w):
    """z / v at w = -log(4 m (1 - m)), m the tail probability beyond z and v = 1/2 - m."""
    q = mp.exp(-w) / 4
    v = mp.sqrt(mp.mpf(1) / 4 - q)
    return ndtri_upper(q / (mp.mpf(1) / 2 + v)) / v if w else SLOPE


def middle_of(low, high, kind):
    """A float near the middle of [low, high] in x where the stretch is close to a float itself."""
    middle = rounded((low + high) / 2, kind)
    ulp = float(np.spacing(np.float32(middle) if kind == "f32" else np.float64(middle)))
    step = ulp * (16 if kind == "f32" else 2**30)
    best = None
    for shift in range(-150, 151):
        x = middle + shift * step
        value = stretch(mp.mpf(x) / 2)
        off = abs(rounded(value, kind) / value - 1)
        if best is None or off < best[0]:
            best = off, x, rounded(value, kind)
    return best[1:]


def stretch_table(name, kind, offset, pieces, degree):
    """Polynomials in x less a middle, where x = 2 w, on half binades of x + offset; in the order of
    the last bits of the half binade's number."""
    rows = [None] * pieces
    low, worst = mp.mpf(offset), mp.mpf(0)
    for _ in range(pieces):
        power = int(mp.floor(mp.log(low, 2) + mp.mpf("1e-9")))
        upper = low >= mp.mpf(2) ** power * mp.mpf("1.5")
        high = mp.mpf(2) ** power * (2 if upper else mp.mpf("1.5"))
        middle, value = middle_of(low - offset, high - offset, kind)
        table = {
            x - middle: stretch(max(x, mp.mpf(0)) / 2)
            for x in nodes(low - offset, high - offset, 64)
        }
        with mp.workdps(160):  # powers of t differ much in size
            error, p = polynomial(
                table.get,
                lambda t, known=table: 1 / known[t],
                list(table),
                degree,
                kind,
                given=[value],
                repaired=1,
            )
        bias = 254 if kind == "f32" else 2046
        rows[(2 * power + int(upper) + bias) % pieces] = [middle] + [float(c) for c in p]
        worst = max(worst, error)
        low = high
    print(f"{name} ({kind}): relative error 2^{mp.nstr(mp.log(worst, 2), 4)}")
    for column in range(degree + 2):
        print("  {" + ", ".join(float(row[column]).hex() for row in rows) + "},")


def mills_scaled(t, knee=4):
    """(x + knee) * M(x), M the Mills ratio, at t = (x - knee) / (x + knee)."""
    x = knee * (1 + t) / (1 - t)
    return (x + knee) * mp.sqrt(mp.pi / 2) * mp.exp(x * x / 2) * mp.erfc(x / SQRT2)


def atan_bend(y):
    """(atan(z)/z - 1) / y at y = z^2."""
    if y == 0:
        return -mp.mpf(1) / 3
    z = mp.sqrt(y)
    return (mp.atan(z) / z - 1) / y


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
FITS = {
    "log_f32": lambda n: log_table(n, "f32", 4),
    "log_f64": lambda n: log_table(n, "f64", 9),
    "sine_square_f32": lambda n: report(
        n,
        "f32",
        lambda y: sine_square(y, "f32"),
        lambda y, f: 1 / (mp.pi**2 / 4 + f),
        nodes(0, mp.mpf(1) / 4),
        4,
    ),
    "sine_square_f64": lambda n: report(
        n,
        "f64",
        lambda y: sine_square(y, "f64"),
        lambda y, f: 1 / (mp.pi**2 / 4 + f),
        nodes(0, mp.mpf(1) / 4),
        8,
    ),
    "sin_f64": lambda n: report(
        n, "f64", sin_bend, lambda y, f: y / (mp.pi / 2 + y * f), nodes(0, mp.mpf(1) / 4), 6
    ),
    "cos_f64": lambda n: report(
        n, "f64", cos_quarter, lambda y, f: y / (1 + y * f), nodes(0, mp.mpf(1) / 4), 7
    ),
    "atan_f64": lambda n: report(
        n,
        "f64",
        atan_bend,
        lambda y, f: y / (1 + y * f),
        nodes(0, mp.tan(mp.pi / 8) ** 2),
        10,
    ),
    "two_sigma_f32": lambda n: report(
        n,
        "f32",
        lambda w: above_slope(w, "f32"),
        lambda w, f: 1 / (f + SLOPE),
        nodes(QUARTER - TWO_SIGMA**2, QUARTER),
        4,
        5,
    ),
    "two_sigma_f64": lambda n: report(
        n,
        "f64",
        lambda w: above_slope(w, "f64"),
        lambda w, f: 1 / (f + SLOPE),
        nodes(QUARTER - TWO_SIGMA**2, QUARTER),
        10,
        10,
    ),
    "stretch_f32": lambda n: stretch_table(n, "f32", 8, 8, 6),
    "stretch_f64": lambda n: stretch_table(n, "f64", 6, 16, 15),
    "mills_f64": lambda n: report(
        n, "f64", mills_scaled, lambda t, f: 1 / f, nodes(-1, 1 - mp.mpf(10) ** -6), 24
    ),
}


if __name__ == "__main__":
    for chosen in sys.argv[1:] or FITS:
        FITS[chosen](chosen)
