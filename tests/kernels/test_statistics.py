"""The laws: statistics.

Policy on p-values, fixed before running: a test fails at p < 1e-7. Seeds are fixed, so the suite is
deterministic.
"""

import math
from fractions import Fraction

import mpmath
import numpy as np
import oracle
import pytest
from driver import core_fill
from oracle import TYPES, as_float
from scipy import special, stats

import fanin

FULL = ["float32", "float64"]
HALF = ["float16", "bfloat16"]
INF = math.inf
P_FAIL = 1e-7
Z_FAIL = 5.33  # two-sided p of 1e-7


def p_of_count(count, expected):
    """Two-sided p of a Poisson count."""
    lower, upper = stats.poisson.cdf(count, expected), stats.poisson.sf(count - 1, expected)
    return min(1.0, 2 * min(lower, upper))


# ---- uniform -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", FULL)
def test_uniform_cells_pairs_and_triples_are_even(dtype):
    u = fanin.random(3 << 19, seed=21, dtype=dtype)
    for cells, axes in ((65536, 1), (256, 2), (32, 3)):
        place = (u.reshape(-1, axes) * cells).astype(np.int64)
        counts = np.bincount(np.ravel_multi_index(place.T, (cells,) * axes), minlength=cells**axes)
        assert P_FAIL < stats.chisquare(counts).pvalue < 1 - P_FAIL
    assert stats.kstest(u, "uniform").pvalue > P_FAIL


@pytest.mark.parametrize("dtype", FULL)
def test_uniform_mantissa_bits_are_balanced(dtype):
    digits = 24 if dtype == "float32" else 53
    u = fanin.random(1 << 20, seed=22, dtype=dtype)
    k = (as_float(u) * 2.0**digits).astype(np.int64)
    assert np.array_equal(k * 2.0**-digits, as_float(u))  # the resolution: nothing finer occurs
    upper = k[u >= 0.5]
    ones = np.array([np.count_nonzero(upper >> bit & 1) for bit in range(digits - 1)])
    z = (ones - upper.size / 2) / math.sqrt(upper.size / 4)
    assert np.abs(z).max() < 6.3  # p of one: 3e-10; of the worst of 52: 1.5e-8


@pytest.mark.parametrize("dtype", FULL)
def test_uniform_ends_have_their_mass(dtype):
    n = 1 << 22
    u = fanin.random(n, seed=23, dtype=dtype)
    assert u.min() >= 0 and u.max() < 1
    for power in range(1, 20):
        expected = n * 2.0**-power
        assert p_of_count(np.count_nonzero(u < 2.0**-power), expected) > P_FAIL
        assert p_of_count(np.count_nonzero(u >= 1 - 2.0**-power), expected) > P_FAIL
    assert stats.poisson.sf(np.count_nonzero(u == 0) - 1, n * 2.0**-24) > P_FAIL


@pytest.mark.parametrize("dtype", FULL)
def test_uniforms_are_not_correlated_at_any_power_of_two(dtype):
    u = as_float(fanin.random(1 << 21, seed=24, dtype=dtype)) - 0.5
    for power in range(21):
        lag = 1 << power
        z = 12 * (u[lag:] @ u[:-lag]) / math.sqrt(u.size - lag)
        assert abs(z) < 6  # p of one: 2e-9; of the worst of 21: 4e-8


EDGES = [
    (-1e38, 1e38),
    (1.0, np.nextafter(np.float32(1), np.float32(2)).item()),
    (-2.0, 3.0),
    (0.0, 1e-40),
    (16777215.0, 16777216.0),
    (-5.0, -5.0),
]


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(("low", "high"), EDGES)
def test_uniform_never_reaches_high(dtype, low, high):
    if dtype == "float16" and abs(high) > 6e4:
        low, high = low / 1e38 * 6e4 if high > 1e37 else 2047.0, 6e4 if high > 1e37 else 2048.0
    least, most = (float(oracle.nearest(Fraction(bound), dtype)) for bound in (low, high))
    if low < high and least == most:  # no number of the dtype lies between them
        with pytest.raises(ValueError, match=f"round to one number of {dtype}, so that"):
            fanin.uniform(1 << 18, low, high, seed=25, dtype=dtype)
        return
    x = as_float(fanin.uniform(1 << 18, low, high, seed=25, dtype=dtype))
    assert x.min() >= least
    assert (x == least).all() if least == most else x.max() < most


@pytest.mark.parametrize("dtype", HALF)
def test_half_uniforms_have_exact_cells(dtype):
    # Rounded to nearest even, the cell of 1 moved to the value below (H4). The 64 highest cells
    # below 1:
    # a step wide each, the highest 1.5 steps. A tie moves 2^-24 of mass, 1/8 of a count here: not
    # visible.
    digits = oracle.FORMATS[dtype][0]
    n, step = 1 << 21, 2.0**-digits
    u = as_float(fanin.random(n, seed=26, dtype=dtype))
    assert u.max() == 1 - step and u.min() >= 0
    place = np.rint((1 - u) / step).astype(np.int64)  # 1 is the highest value
    counts = np.bincount(np.minimum(place, 65), minlength=66)[1:]
    masses = np.full(65, step)
    masses[0] = 1.5 * step
    masses[64] = 1 - masses[:64].sum()
    assert P_FAIL < stats.chisquare(counts, masses * n).pvalue < 1 - P_FAIL
    # The mean offset of the rounding, against the float32 values it rounds: below 2^-(p + 4).
    assert abs(as_float(fanin.random(n, seed=26)).mean() - u.mean()) < 2.0 ** -(digits + 4)


# ---- normal --------------------------------------------------------------------------------------

N = 1 << 21


@pytest.fixture(scope="module", params=FULL)
def normals(request):
    return as_float(fanin.normal(N, seed=31, dtype=request.param))


def test_normal_moments_are_right(normals):
    # Raw moment k has mean (k - 1)!! and variance ((2k - 1)!! - mean^2) / n.
    for k in range(1, 9):
        mean = 0.0 if k % 2 else special.factorial2(k - 1)
        spread = math.sqrt((special.factorial2(2 * k - 1) - mean**2) / N)
        assert abs((normals**k).mean() - mean) < Z_FAIL * spread, k
    # Hermite polynomials 1..8 are uncorrelated with variance k!: chi2 with 8 degrees of freedom.
    total = sum(
        special.eval_hermitenorm(k, normals).mean() ** 2 * N / math.factorial(k)
        for k in range(1, 9)
    )
    assert stats.chi2.sf(total, 8) > P_FAIL


def test_normal_cells_are_even(normals):
    counts = np.bincount((special.ndtr(normals) * 4096).astype(np.int64), minlength=4096)
    assert P_FAIL < stats.chisquare(counts).pvalue < 1 - P_FAIL


def test_normal_distribution_function_is_right(normals):
    ordered = np.sort(normals)
    p, q = special.ndtr(ordered), special.ndtr(-ordered)
    assert stats.kstest(p, "uniform").pvalue > P_FAIL
    # Anderson & Darling 1954, all parameters known: P(A2 > 13.5) is 1.5e-7 (Marsaglia & Marsaglia
    # 2004).
    weights = 2 * np.arange(1, N + 1) - 1
    a2 = -N - (weights * (np.log(p) + np.log(q[::-1]))).sum() / N
    assert a2 < 14


def test_normal_tails_are_right_on_each_side(normals):
    for t in (2, 2.5, 3, 3.5, 4, 4.5, 5, 5.5):
        expected = N * stats.norm.sf(t)
        assert p_of_count(np.count_nonzero(normals > t), expected) > P_FAIL
        assert p_of_count(np.count_nonzero(normals < -t), expected) > P_FAIL
    for t in (3, 4):  # the shape beyond t
        for tail in (normals[normals > t], -normals[normals < -t]):
            assert stats.kstest(stats.norm.sf(tail) / stats.norm.sf(t), "uniform").pvalue > P_FAIL


def test_normal_pairs_are_independent_at_every_distance(normals):
    # Partners of Box & Muller are 16 (float32) and 8 (float64) apart; lanes sit at powers of two.
    for distance in [1 << k for k in range(13)] + [3, 24, 48]:
        x, y = normals[:-distance], normals[distance:]
        size = math.sqrt(x.size)
        # Variances of x y, of centred squares' product and of the signs' product: 1, 4, 1.
        assert abs((x * y).sum()) / size < 6.2
        assert abs(((x * x - 1) * (y * y - 1)).sum()) / size / 2 < 6.2
        assert abs((np.sign(x) * np.sign(y)).sum()) / size < 6.2
        assert abs((x * (y * y - 1)).sum()) / size / math.sqrt(2) < 6.2


def test_partners_have_a_uniform_angle_and_an_exponential_radius(normals):
    # Exactly the pairs of the method: the two halves of each tile.
    for tile in (32, 16):
        x, y = normals.reshape(-1, 2, tile // 2).transpose(1, 0, 2).reshape(2, -1)
        angle = np.arctan2(y, x) / (2 * np.pi) + 0.5
        counts = np.bincount((angle * 4096).astype(np.int64) % 4096, minlength=4096)
        assert P_FAIL < stats.chisquare(counts).pvalue < 1 - P_FAIL
        radius = np.exp(-(x * x + y * y) / 2)
        assert stats.kstest(radius, "uniform").pvalue > P_FAIL
        joint = np.bincount(
            (angle * 64).astype(np.int64) % 64 * 64
            + np.minimum((radius * 64).astype(np.int64), 63),
            minlength=4096,
        )
        assert P_FAIL < stats.chisquare(joint).pvalue < 1 - P_FAIL


def test_sums_of_blocks_are_normal(normals):
    for size in (2, 16, 32, 1024):
        sums = normals.reshape(-1, size).sum(axis=1) / math.sqrt(size)
        assert stats.kstest(sums, "norm").pvalue > P_FAIL


def test_far_tail_values_of_float32_are_dense():
    # N6: among the values > 4 of 2^24 draws (expected 531) a 23-bit inverse has about 266 distinct
    # values
    # in all and repeats most. Spacing there: 2^-21 over a range of about 0.25, so a continuous law
    # gives
    # fewer than n^2 / 2 / (0.25 * 2^21) = 0.3 equal pairs.
    x = fanin.normal(1 << 24, seed=33)
    for tail in (x[x > 4], -x[x < -4]):
        pairs = tail.size - np.unique(tail).size
        expected = tail.size**2 / 2 / (0.25 * 2**21)
        assert 400 < tail.size < 680 and p_of_count(pairs, expected) > P_FAIL


@pytest.mark.parametrize("dtype", HALF)
def test_half_normals_fill_exact_rounding_cells(dtype):
    # H1: chi2 over the cells of rounding to nearest even with expectation above 20, the rest
    # together.
    n = 1 << 21
    x = as_float(fanin.normal(n, seed=34, dtype=dtype))
    upper_half = np.arange(1 << 15, dtype=np.uint16).view(TYPES[dtype])
    with np.errstate(invalid="ignore"):
        positive = as_float(upper_half)
    positive = positive[np.isfinite(positive)]
    values = np.unique(np.concatenate([-positive, positive]))
    edges = np.concatenate([[-INF], (values[1:] + values[:-1]) / 2, [INF]])
    masses = np.where(values <= 0, np.diff(special.ndtr(edges)), -np.diff(special.ndtr(-edges)))
    counts = np.bincount(np.searchsorted(values, x), minlength=values.size)
    often = masses * n > 20
    observed = np.append(counts[often], counts[~often].sum())
    expected = np.append(masses[often], masses[~often].sum()) * n
    assert P_FAIL < stats.chisquare(observed, expected * (n / expected.sum())).pvalue < 1 - P_FAIL
    # H2: the tails are there.
    for t in (3, 3.5, 4, 4.5):
        edge = edges[np.searchsorted(edges, t)]  # a value counts as above where its cell begins
        for side in (x, -x):
            assert p_of_count(np.count_nonzero(side > edge), n * stats.norm.sf(edge)) > P_FAIL


@pytest.mark.parametrize("dtype", HALF)
def test_half_normals_are_not_truncated_towards_zero(dtype):
    # Rounded to nearest, the mean of |x| is that of float32; cut off, it is lower by about 0.35
    # ulp.
    n = 1 << 20
    full = np.abs(as_float(fanin.normal(n, seed=35)))
    half = np.abs(as_float(fanin.normal(n, seed=35, dtype=dtype)))
    ulp = 2.0 ** (1 - oracle.FORMATS[dtype][0])
    assert abs((half - full).mean()) < Z_FAIL * ulp / math.sqrt(12 * n) * 2


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_complex_normals_have_unit_power_and_no_preferred_axis(dtype):
    n = 1 << 18
    z = fanin.normal(n, seed=36, dtype=dtype)
    assert abs((np.abs(z) ** 2).mean() - 1) < Z_FAIL / math.sqrt(n)
    assert abs((z.astype(complex) ** 2).mean()) < Z_FAIL * math.sqrt(2 / n)
    assert stats.kstest(as_float(z.real) * math.sqrt(2), "norm").pvalue > P_FAIL


@pytest.mark.long
@pytest.mark.parametrize("dtype", FULL)
def test_normal_tails_over_a_billion_draws(dtype):
    chunk, chunks = 1 << 23, 128
    n = chunk * chunks
    thresholds = (4, 4.5, 5, 5.25, 5.5, 6)
    above, below, largest = np.zeros(6, np.int64), np.zeros(6, np.int64), 0.0
    powers = np.zeros(8)
    for number in range(chunks):
        run = fanin.flat[number * chunk : (number + 1) * chunk]
        x = as_float(fanin.normal(n, seed=61, dtype=dtype, index=run))
        tail = x[np.abs(x) > thresholds[0]]
        above += [np.count_nonzero(tail > t) for t in thresholds]
        below += [np.count_nonzero(tail < -t) for t in thresholds]
        largest = max(largest, np.abs(tail).max())
        power = np.ones_like(x)
        for k in range(8):
            power *= x
            powers[k] += power.sum()
    for t, *counts in zip(thresholds, above, below, strict=True):
        for count in counts:
            assert p_of_count(count, n * stats.norm.sf(t)) > P_FAIL
    p_largest = -math.expm1(n * math.log1p(-2 * stats.norm.sf(largest)))
    assert P_FAIL < p_largest < 1 - P_FAIL
    for k, total in enumerate(powers, 1):
        mean = 0.0 if k % 2 else special.factorial2(k - 1)
        spread = math.sqrt((special.factorial2(2 * k - 1) - mean**2) / n)
        assert abs(total / n - mean) < Z_FAIL * spread, k


@pytest.mark.long
@pytest.mark.parametrize("dtype", TYPES)
def test_a_billion_uniforms_stay_below_one(dtype):
    chunk = 1 << 24
    out = np.empty(chunk, TYPES[dtype])
    for number in range(60):
        run = fanin.flat[number * chunk : (number + 1) * chunk]
        fanin.random(1 << 40, seed=62, out=out, index=run)
        assert out.min() >= 0 and out.max() < 1


# ---- truncated normal ----------------------------------------------------------------------------


def relative_position(z, low, high):
    """P(Z <= z | low < Z < high) without cancellation: from the near bound, as ratios of tails."""
    if low >= 0 or high <= 0:
        if high <= 0:
            return 1 - relative_position(-z, -high, -low)
        log_near = stats.norm.logsf(low)
        part = -np.expm1(stats.norm.logsf(z) - log_near)
        return part / -np.expm1(stats.norm.logsf(high) - log_near)
    return (special.ndtr(z) - special.ndtr(low)) / (special.ndtr(high) - special.ndtr(low))


STATISTICAL = [
    (-2, 2),
    (-1, 2),
    (1, 4),
    (0, INF),
    (5, INF),
    (8, 9),
    (-INF, -7),
    (40, 41),
    (-3, 3),
    (-20, INF),
]


@pytest.mark.parametrize("dtype", FULL)
@pytest.mark.parametrize(("low", "high"), STATISTICAL)
def test_truncated_normals_follow_their_law(dtype, low, high):
    n = 1 << 18
    z = as_float(fanin.truncated_normal(n, low=low, high=high, seed=41, dtype=dtype))
    assert z.min() >= low and z.max() <= high
    p = np.clip(relative_position(z, low, high), 0, 1)
    assert stats.kstest(p, "uniform").pvalue > P_FAIL
    # The outermost thousandth at both ends.
    for count in (np.count_nonzero(p < 1e-3), np.count_nonzero(p > 1 - 1e-3)):
        assert p_of_count(count, n * 1e-3) > P_FAIL
    # Exactly at a bound: at most the mass of the values within 4 ulp of it, which all round or
    # clamp there.
    for bound in (low, high):
        if math.isfinite(bound):
            ulp = np.spacing(np.abs(np.asarray(bound, dtype))) * 4
            within = bound + ulp if bound == low else bound - ulp
            mass = abs(relative_position(np.float64(within), low, high) - (bound == high))
            assert stats.poisson.sf(np.count_nonzero(z == bound) - 1, n * mass) > P_FAIL


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(("scale", "bound"), [(0.02, 2.0), (0.001, 2.0), (1.0, 2.0), (0.02, 0.04)])
def test_absolute_bounds_far_out_leave_a_whole_normal(dtype, scale, bound):
    # torch's bug: trunc_normal_ with std 0.02 and bounds -2, 2 gave values at the bound.
    n = 1 << 17
    x = as_float(
        fanin.truncated_normal(n, 0.0, scale, -bound / scale, bound / scale, seed=42, dtype=dtype)
    )
    std = scale * fanin.truncated_normal_std(-bound / scale, bound / scale)
    assert np.abs(x).max() <= bound
    if bound / scale > 10:
        assert np.abs(x).max() < 6 * scale
    fourth = np.mean((x / std) ** 4)
    assert abs(np.var(x) / std**2 - 1) < Z_FAIL * math.sqrt((fourth - 1) / n) + 2.0**-16


@pytest.mark.parametrize("dtype", FULL)
def test_a_narrow_interval_is_filled_evenly(dtype):
    x = as_float(fanin.truncated_normal(1 << 18, low=0.5, high=0.5001, seed=43, dtype=dtype))
    assert 0.5 <= x.min() and x.max() <= 0.5001
    # 0.0001 wide: the density falls by 5e-5, so the law is uniform up to a slope; 16 cells. In
    # float32 the
    # interval has 1678 values, each its own rounding cell, so cells are set between values.
    place = (relative_position(x, 0.5, 0.5001) * 16).astype(np.int64)
    counts = np.bincount(np.clip(place, 0, 15), minlength=16)
    if dtype == "float32":
        edge = np.arange(17) / 16 * 1e-4 + 0.5
        values = np.arange(0.5, 0.50010002, 2.0**-24)
        values = values[values <= 0.5001]
        cell = np.clip((relative_position(values, 0.5, 0.5001) * 16).astype(np.int64), 0, 15)
        masses = np.bincount(cell, np.full(values.size, 1.0), minlength=16)
        masses[0] -= 0.5
        masses[15] += (0.5001 - values[-1]) * 2**24 - 0.5
        assert edge[-1] == 0.5001
    else:
        masses = np.ones(16)
    assert stats.chisquare(counts, masses * counts.sum() / masses.sum()).pvalue > P_FAIL


WITH_STD = [(-2, 2), (-1, 3), (0, INF), (5, INF), (8, 9), (-INF, -7), (40, 41), (0.5, 0.5001)]
WITH_STD += [(-INF, INF), (-6, 6), (100, INF), (-0.01, 0.02)]


@pytest.mark.parametrize(("low", "high"), WITH_STD)
def test_the_standard_deviation_of_a_truncated_normal_is_exact(low, high):
    # mpmath's integrals of the density itself, with 40 digits.
    a, b = (mpmath.mpf(bound) for bound in (max(low, -40), min(high, max(low, 0) + 40)))
    mode = min(max(mpmath.mpf(0), a), b)
    around = (mode + mpmath.mpf(offset) for offset in ("-1", "-0.1", "0", "0.1", "1"))
    inside = [a, *(x for x in around if a < x < b), b]

    def moment(power, centre):
        return mpmath.quad(
            lambda x: (x - centre) ** power * mpmath.exp((mode * mode - x * x) / 2), inside
        )

    total = moment(0, 0)
    mean = moment(1, 0) / total
    true = mpmath.sqrt(moment(2, mean) / total)
    assert abs(fanin.truncated_normal_std(low, high) / true - 1) < 1e-14


# ---- the other laws ----------------------------------------------------------------------


@pytest.mark.parametrize("dtype", FULL)
def test_the_other_laws_follow_their_distributions(dtype):
    n = 1 << 20
    x = as_float(core_fill("exponential", (0.0, 1.0), n, dtype, 51))
    assert stats.kstest(x, "expon").pvalue > P_FAIL
    for t in (5, 8, 10):
        assert p_of_count(np.count_nonzero(x > t), n * math.exp(-t)) > P_FAIL
    x = as_float(core_fill("laplace", (0.0, 1.0), n, dtype, 52))
    assert stats.kstest(x, "laplace").pvalue > P_FAIL
    signs = as_float(fanin.default_rng(53).rademacher(n, dtype))
    assert set(signs) == {-1.0, 1.0}
    assert abs(signs.sum()) < Z_FAIL * math.sqrt(n)
    for lag in (1, 8, 16, 32):
        assert abs(signs[lag:] @ signs[:-lag]) < Z_FAIL * math.sqrt(n)
