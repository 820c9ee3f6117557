"""Numbers that a dtype cannot hold, parts that are empty, memory that interleaves."""

from __future__ import annotations

import math

import numpy as np
import pytest

import fanin

INF = math.inf
BEYOND = {"float32": 1e39, "float16": 7e4, "bfloat16": 1e39, "complex64": 1e39}
#: Schemes with a value that grows with gain, and how to call them.
GROWING = {
    "ones": {"shape": 3},
    "constant": {"shape": 3, "value": 1.0},
    "eye": {"shape": (2, 2)},
    "identity": {"shape": (2, 2)},
    "dirac": {"shape": (3, 2, 2)},
    "zero_hadamard": {"shape": (4, 8), "gain": 2.0},
    "bilinear": {"shape": (4, 4, 1, 1), "gain": 2.0},
    "lstm_forget_bias": {"shape": 8, "value": 1.0},
    "orthogonal": {"shape": (3, 3), "gain": 4.0},
    "delta_orthogonal": {"shape": (3, 3, 4, 4), "gain": 8.0},
    "conv_orthogonal": {"shape": (3, 3, 4, 4), "gain": 64.0},
    "looks_linear": {"shape": (4, 4), "gain": 4.0},
    "recurrent_orthogonal": {"shape": (4, 16), "gain": 4.0},
    "chrono": {"shape": 8, "t_max": 100.0, "gain": 2.0},
}


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("name", GROWING)
def test_values_beyond_the_dtype_are_infinite_without_a_warning(name, dtype):
    # Warnings are errors here.
    given = {**GROWING[name], "seed": 0, "dtype": dtype}
    given["gain"] = given.get("gain", 1.0) * BEYOND[dtype]
    made = getattr(fanin, name)(**given).astype(np.float64)
    assert np.isinf(made).any() and not np.isnan(made).any()


@pytest.mark.parametrize("dtype", BEYOND)
def test_a_normal_beyond_the_dtype_is_infinite(dtype):
    made = fanin.normal(50, 0.0, 100 * BEYOND[dtype], seed=0, dtype=dtype)
    assert np.isinf(made.real.astype(np.float64)).any()
    assert np.isinf(fanin.constant(2, BEYOND[dtype], dtype=dtype).real.astype(np.float64)).all()


NARROW = [
    ("float32", 2.0**32 - 3, 2.0**32 - 1),
    ("float32", 0.0, 1e-50),
    ("float16", 1.0, 1.0001),
    ("float16", 7e4, 8e4),
    ("bfloat16", 1.0, 1.001),
]


@pytest.mark.parametrize(("dtype", "low", "high"), NARROW)
def test_a_uniform_range_without_a_number_of_the_dtype_is_refused(dtype, low, high):
    out = np.full(3, 7, np.dtype(fanin.zeros(0, dtype=dtype).dtype))
    generator = fanin.default_rng(1)
    for given in ((low, high), ([low] * 3, high), (low, [high] * 3)):
        with pytest.raises(ValueError, match="round to one number"):
            fanin.uniform(3, *given, seed=generator, dtype=dtype)
        with pytest.raises(ValueError, match="round to one number"):
            fanin.uniform(3, *given, seed=generator, out=out)
    assert (out == 7).all() and generator == fanin.default_rng(1)
    if dtype == "float32":  # the quick way
        with pytest.raises(ValueError, match="round to one number"):
            fanin.uniform(3, low, high, seed=0)


@pytest.mark.parametrize(("dtype", "low", "high"), NARROW)
def test_a_generator_returns_low_where_no_number_lies_between(dtype, low, high):
    if dtype == "float16" and low > 65504:
        low, high = 60000.0, 60001.0  # of float16; what lies beyond it stays below high: 65504
    expected = np.float32(low).astype(fanin.zeros(0, dtype=dtype).dtype)
    for given in ((low, high), ([low] * 4, high)):
        made = fanin.default_rng(0).uniform(*given, size=4, dtype=dtype)
        assert (made == expected).all()
    mixed = fanin.default_rng(0).uniform([low, 0.0], [high, 1.0], dtype=dtype)
    assert mixed[0] == expected and 0 <= mixed[1] < 1


def test_equal_ends_stay_legal_and_a_scheme_below_the_dtype_is_zero():
    assert (fanin.uniform(3, 1.0, 1.0, seed=0) == 1).all()
    assert not fanin.he_uniform((3, 3), gain=1e-300, seed=0).any()


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (1e300, INF, 1e-300),
        (-INF, -1e300, 1e-300),
        (1e160, 1e308, 1e-160),
        (0.0, 1e-300, 1e-300 / math.sqrt(12)),
        (3.0, 3.0 + 2.0**-50, 2.0**-50 / math.sqrt(12)),
        (-1e-310, 1e-310, 2e-310 / math.sqrt(12)),
    ],
)
def test_the_std_of_the_farthest_tail_and_of_the_narrowest_interval(low, high, expected):
    # The tail is an exponential of mean 1 / low, the narrow interval is uniform, both beyond 1e-12;
    # subnormal numbers have fewer digits.
    accuracy = 1e-12 if expected > 1e-300 else 1e-9
    assert abs(fanin.truncated_normal_std(low, high) / expected - 1) < accuracy


EMPTY = (slice(-50, None, -1),)


@pytest.mark.parametrize("name", fanin.schemes())
def test_an_empty_part_that_starts_before_the_array_is_empty(name):
    row = fanin.schemes()[name]
    shape = np.zeros(row.example["shape"], bool)
    huge = (slice(None, None, 2**70),)
    for index, expected in ((EMPTY, shape[EMPTY]), (huge, shape[:1])):
        made = getattr(fanin, name)(**{**row.example, "seed": 0, "index": index})
        assert made.shape == expected.shape


def test_a_place_beyond_64_bits_in_an_empty_array_gives_the_empty_part():
    shape, index = (0, 2**62, 2**62), (slice(None), 2**61, -1)
    assert fanin.zeros(shape, index=index).shape == (0,)
    for dtype in ("float32", "complex64"):
        assert fanin.normal(shape, seed=0, dtype=dtype, index=index).shape == (0,)


def test_a_step_of_2_to_the_70_takes_the_first_element():
    whole = fanin.constant(5, [1, 2, 3, 4, 5])
    for step in (2**70, -(2**70)):
        index = slice(None, None, step)
        assert np.array_equal(fanin.constant(5, [1, 2, 3, 4, 5], index=index), whole[index])
        drawn = fanin.normal(5, [1.0, 2, 3, 4, 5], seed=0)
        assert np.array_equal(fanin.normal(5, [1.0, 2, 3, 4, 5], seed=0, index=index), drawn[index])


def test_interleaved_memory_of_more_than_4_million_elements_is_no_overlap():
    memory = np.zeros(10_000_002, np.float32)
    for strides in ((4, 8), (12, 8)):  # the latter not one axis within the other
        rows = np.lib.stride_tricks.as_strided(memory, (2, 4_500_000), strides)
        assert fanin.zeros(rows.shape, out=rows) is rows
    meeting = np.lib.stride_tricks.as_strided(memory, (2, 4_500_000), (8, 8))
    with pytest.raises(ValueError, match="overlaps itself"):
        fanin.zeros(meeting.shape, out=meeting)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("scale", [2, 10**4, 10**9])  # 10^18 copies of nothing
def test_icnr_of_no_outputs_ends(scale):
    assert fanin.icnr((3, 3, 4, 0), scale=scale, seed=0).shape == (3, 3, 4, 0)


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
def test_a_matrix_is_filled_and_given():
    plain = fanin.normal((2, 2), [[1.0, 2], [3, 4]], seed=0)
    assert np.array_equal(fanin.normal((2, 2), np.matrix([[1.0, 2], [3, 4]]), seed=0), plain)
    for name, shape in (("normal", (2, 2)), ("orthogonal", (2, 2)), ("eye", (2, 2)),
                        ("looks_linear", (4, 4)), ("sparse", (4, 4))):  # fmt: skip
        given = {"sparsity": 0.5} if name == "sparse" else {}
        out = np.matrix(np.full(shape, np.nan, np.float32))
        assert getattr(fanin, name)(shape, seed=0, out=out, **given) is out
        expected = getattr(fanin, name)(shape, seed=0, **given)
        assert np.array_equal(np.asarray(out), expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_ints_that_are_one_float64_are_no_interval(dtype):
    with pytest.raises(ValueError, match="round to one number"):
        fanin.uniform(3, 2**60, 2**60 + 1, seed=0, dtype=dtype)
    same = fanin.uniform(3, 2**60, 2**60, seed=0, dtype=dtype)
    assert (same == 2.0**60).all()
