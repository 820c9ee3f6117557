"""The stateless functions and the Generator: NumPy's words, fanin's addresses."""

import array
import copy
import inspect
import math
import pickle
import threading

import ml_dtypes
import numpy as np
import oracle
import pytest
from golden_cases import at_word

import fanin

INF, NAN = math.inf, math.nan
BF16 = np.dtype(ml_dtypes.bfloat16)
REAL = [np.dtype("f4"), np.dtype("f8"), np.dtype("f2"), BF16]
STATELESS = [fanin.random, fanin.normal, fanin.uniform, fanin.truncated_normal]


def same(a, b):
    """Equal bits, shape and dtype."""
    a, b = np.asarray(a), np.asarray(b)
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


# ---- shapes, dtypes, results ---------------------------------------------------------------------


@pytest.mark.parametrize("function", STATELESS)
def test_weights_default_to_float32_and_take_an_int_as_shape(function):
    assert function(3, seed=0).dtype == np.float32
    assert same(function(3, seed=0), function((3,), seed=0))
    assert same(function(np.int64(3), seed=0), function([3], seed=0))
    assert function((), seed=0).shape == () and isinstance(function((), seed=0), np.ndarray)
    assert function((3, 0, 2), seed=0).shape == (3, 0, 2)


def test_an_array_of_integers_is_a_shape_as_in_numpy():
    sizes = np.array([2, 3])
    assert fanin.normal(sizes, seed=0).shape == fanin.he_normal(sizes, seed=0).shape == (2, 3)
    assert fanin.default_rng(0).random(sizes).shape == (2, 3)
    with pytest.raises(TypeError, match="integer"):
        fanin.normal(np.array([2.0, 3.0]), seed=0)


@pytest.mark.parametrize("function", STATELESS)
@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        ("float32", "f4"),
        ("f8", "f8"),
        (float, "f8"),
        (np.float16, "f2"),
        ("bfloat16", BF16),
        (ml_dtypes.bfloat16, BF16),
        (np.dtype("<f4"), "f4"),
    ],
)
def test_dtypes_go_by_their_names(function, dtype, expected):
    assert function(5, seed=0, dtype=dtype).dtype == np.dtype(expected)


@pytest.mark.parametrize("function", STATELESS)
def test_the_keywords_are_those_of_the_api(function):
    names = list(inspect.signature(function).parameters)
    assert names[0] == "shape" and names[-5:] == ["seed", "dtype", "out", "index", "threads"]
    for name in names[-5:]:
        assert inspect.signature(function).parameters[name].kind is inspect.Parameter.KEYWORD_ONLY


def test_all_ints_give_a_scalar():
    whole = fanin.normal((3, 4), seed=1, dtype="float64")
    value = fanin.normal((3, 4), seed=1, dtype="float64", index=(1, -1))
    assert isinstance(value, np.float64) and value == whole[1, -1]
    assert isinstance(fanin.normal((3, 4), seed=1, index=(1, -1)), np.float32)


# ---- out -----------------------------------------------------------------------------------------


class Subclass(np.ndarray):
    pass


def test_out_is_returned_itself():
    expected = fanin.normal((4, 5), seed=2)
    for out in (
        np.empty((4, 5), "f4"),
        np.empty((5, 4), "f4").T,
        np.empty((4, 5), "f4").view(Subclass),
    ):
        assert fanin.normal((4, 5), seed=2, out=out) is out
        assert np.array_equal(out, expected)
    zero_dim = np.empty((), "f8")
    assert fanin.normal((), seed=2, out=zero_dim) is zero_dim
    assert zero_dim.dtype == np.float64  # dtype=None takes out's
    row = np.empty(5, "f4")
    assert fanin.normal((4, 5), seed=2, out=row, index=2) is row and same(row, expected[2])


def test_out_may_be_a_buffer_or_offer_dlpack():
    expected = fanin.random(6, seed=2, dtype="float64")
    plain = array.array("d", [0.0] * 6)
    assert fanin.random(6, seed=2, out=plain) is plain and list(plain) == expected.tolist()
    view = memoryview(bytearray(48)).cast("d")
    assert fanin.random(6, seed=2, out=view) is view and view.tolist() == expected.tolist()

    class Exporter:
        def __init__(self):
            self.array = np.zeros(6)

        def __dlpack__(self, **keywords):
            return self.array.__dlpack__(**keywords)

        def __dlpack_device__(self):
            return self.array.__dlpack_device__()

        @property
        def __array_interface__(self):  # it says that the memory may be written: NumPy 1's
            return self.array.__array_interface__  # capsules, without a version, do not

    exporter = Exporter()
    assert fanin.random(6, seed=2, out=exporter) is exporter and same(exporter.array, expected)


def read_only(n):
    out = np.zeros(n, "f4")
    out.flags.writeable = False
    return out


REFUSED_OUT = [
    (lambda: np.zeros(6, "f8"), "float32", TypeError, "Supplied output array has the wrong type"),
    (lambda: np.zeros(6, ">f4"), None, TypeError, "f4"),
    (lambda: np.zeros(6, "i4"), None, TypeError, "int32"),
    (lambda: np.zeros(6, object), None, TypeError, "O"),
    (lambda: np.zeros(5, "f4"), None, ValueError, "size must match out.shape when used together"),
    (
        lambda: np.zeros((6, 1), "f4"),
        None,
        ValueError,
        "size must match out.shape when used together",
    ),
    (lambda: read_only(6), None, ValueError, "read-only|writable"),
    (
        lambda: np.zeros(24, "u1").data.toreadonly().cast("f"),
        None,
        ValueError,
        "read-only|writable",
    ),
    (
        lambda: np.lib.stride_tricks.as_strided(np.zeros(6, "f4"), (6,), (0,)),
        None,
        ValueError,
        "overlap",
    ),
    (
        lambda: np.lib.stride_tricks.as_strided(np.zeros(9, "f4"), (6,), (2,)),
        None,
        ValueError,
        "overlap",
    ),
    (lambda: [0.0] * 6, None, TypeError, "list"),
    (lambda: "abcdef", None, TypeError, "str"),
]


@pytest.mark.parametrize(("make", "dtype", "error", "words"), REFUSED_OUT)
def test_a_refused_out_stays_as_it_was(make, dtype, error, words):
    out = make()
    rng = fanin.default_rng(1)
    for seed in (0, rng):
        with pytest.raises(error, match=words):
            fanin.random(6, seed=seed, dtype=dtype, out=out)
    if isinstance(out, np.ndarray) and out.dtype != object:
        assert not np.any(np.asarray(out).view("u1") if out.flags.c_contiguous else out)
    assert rng == fanin.default_rng(1)


def test_overlapping_windows_are_refused_and_interleaved_ones_are_not():
    memory = np.zeros(64, "f4")
    windows = np.lib.stride_tricks.sliding_window_view(memory, 8, writeable=True)
    with pytest.raises(ValueError, match="overlap"):
        fanin.random(windows.shape, seed=0, out=windows)
    assert not memory.any()
    interleaved = np.lib.stride_tricks.as_strided(
        memory, (4, 8), (4, 16)
    )  # disjoint, though not nested
    assert fanin.random((4, 8), seed=0, out=interleaved) is interleaved
    assert same(np.ascontiguousarray(interleaved), fanin.random((4, 8), seed=0))


# ---- refusals ------------------------------------------------------------------------------------

BAD_SHAPES = [
    (-1, ValueError, "negative dimensions are not allowed"),
    ((2, -3), ValueError, "negative dimensions are not allowed"),
    (2.5, TypeError, "expected a sequence of integers or a single integer, got '2.5'"),
    (2.0, TypeError, "expected a sequence of integers or a single integer, got '2.0'"),
    (True, TypeError, "expected a sequence of integers or a single integer, got 'True'"),
    ("a", TypeError, "'str' object cannot be interpreted as an integer"),
    ((2, 2.0), TypeError, "'float' object cannot be interpreted as an integer"),
    (10**19, ValueError, "Maximum allowed dimension exceeded"),
    ((2**62, 4), ValueError, "array is too big"),
    ((2**31, 2**31), ValueError, "array is too big"),
    ((2**20, 2**21), MemoryError, "Unable to allocate"),
    (2**40, MemoryError, "Unable to allocate"),
    ((3**39, 2**55), ValueError, "too big|Maximum"),
]


@pytest.mark.parametrize(("shape", "error", "words"), BAD_SHAPES)
def test_bad_shapes_are_refused_in_numpys_words(shape, error, words):
    rng = fanin.default_rng(1)
    for call in (
        lambda: fanin.normal(shape, seed=0, dtype="float64"),
        lambda: fanin.random(shape, seed=rng, dtype="float64"),
        lambda: rng.standard_normal(shape),
        lambda: rng.uniform(0.0, 1.0, shape),
    ):
        with pytest.raises(error, match=words):
            call()
    assert rng == fanin.default_rng(1)


@pytest.mark.parametrize("dtype", ["i4", int, bool, ">f4", ">f8", object, "S3", "complex64"])
def test_other_dtypes_are_refused_with_the_list_of_what_is_accepted(dtype):
    for function in (fanin.random, fanin.default_rng(0).random):
        with pytest.raises(TypeError, match="Unsupported dtype .* for random.*float32.*bfloat16"):
            function(3, **({"seed": 0} if function is fanin.random else {}), dtype=dtype)
    with pytest.raises(TypeError, match="data type 'foo' not understood"):
        fanin.normal(3, seed=0, dtype="foo")


REFUSED_PARAMETERS = [
    (fanin.normal, (0.0, -1.0), ValueError, "scale < 0"),
    (fanin.normal, (0.0, NAN), ValueError, "scale"),
    (fanin.normal, (0.0, INF), ValueError, "scale"),
    (fanin.normal, (NAN, 1.0), ValueError, "loc"),
    (fanin.normal, (-INF, 1.0), ValueError, "loc"),
    (fanin.normal, ([0.0, NAN, 1.0], 1.0), ValueError, "loc"),
    (fanin.normal, (0.0, [1.0, -2.0, 1.0]), ValueError, "scale < 0"),
    (fanin.normal, ("a", 1.0), TypeError, "loc"),
    (fanin.normal, (1j, 1.0), TypeError, "complex"),
    (fanin.normal, ([1.0, 2.0], 1.0), ValueError, "broadcast"),
    (fanin.uniform, (2.0, 1.0), ValueError, "high - low < 0"),
    (fanin.uniform, (0.0, INF), ValueError, "high"),
    (fanin.uniform, (NAN, 1.0), ValueError, "low"),
    (fanin.truncated_normal, (0.0, 1.0, 2.0, 1.0), ValueError, "low"),
    (fanin.truncated_normal, (0.0, 1.0, 1.0, 1.0), ValueError, "low"),
    (fanin.truncated_normal, (0.0, 1.0, NAN, 1.0), ValueError, "low"),
    (fanin.truncated_normal, (0.0, -1.0, -2.0, 2.0), ValueError, "scale < 0"),
    (fanin.truncated_normal, (NAN, 1.0, -2.0, 2.0), ValueError, "loc"),
    (fanin.truncated_normal, (0.0, 1.0, INF, INF), ValueError, "low"),
]


@pytest.mark.parametrize(("function", "parameters", "error", "words"), REFUSED_PARAMETERS)
def test_refused_parameters_leave_everything_as_it_was(function, parameters, error, words):
    rng, out = fanin.default_rng(1), np.full(3, 7, "f4")
    with pytest.raises(error, match=words):
        function(3, *parameters, seed=rng, out=out)
    assert rng == fanin.default_rng(1) and (out == 7).all()


def test_a_truncated_normal_without_a_value_in_bounds_moves_no_generator():
    # Between two neighbours of bfloat16 there is nothing to return.
    rng, out = fanin.default_rng(1), np.full(3, 7, BF16)
    with pytest.raises(ValueError, match="bounds"):
        rng.truncated_normal(0.0, 1.0, 0.50001, 0.50002, out=out, dtype="bfloat16")
    with pytest.raises(ValueError, match="bounds"):
        fanin.truncated_normal(3, 0.0, 1.0, 0.50001, 0.50002, seed=rng, out=out)
    assert rng == fanin.default_rng(1) and (out == 7).all()


@pytest.mark.parametrize("function", STATELESS)
def test_a_missing_seed_is_a_type_error_that_says_so(function):
    with pytest.raises(TypeError, match="seed"):
        function((3, 3))
    for seed in (None, 1.5, "a", True):
        with pytest.raises(TypeError, match="seed"):
            function((3, 3), seed=seed)


BAD_INDEX = [
    (True, TypeError),
    (np.True_, TypeError),
    (np.array([0, 1]), TypeError),
    ([0, 1], TypeError),
    ((None, 0), TypeError),
    (1.0, TypeError),
    ("a", TypeError),
    (4, IndexError),
    ((0, -6), IndexError),
    ((0, 0, 0), IndexError),
    ((..., ...), IndexError),
    (slice(None, None, 0), ValueError),
]


@pytest.mark.parametrize(("index", "error"), BAD_INDEX)
def test_other_indices_are_refused(index, error):
    rng = fanin.default_rng(1)
    with pytest.raises(error):
        fanin.normal((4, 5), seed=rng, index=index)
    assert rng == fanin.default_rng(1)


def test_flat_takes_runs_of_step_one_only():
    assert same(fanin.normal((4, 5), seed=0, index=fanin.flat[:]), fanin.normal(20, seed=0))
    assert same(
        fanin.normal((4, 5), seed=0, index=fanin.flat[-3:99]), fanin.normal(20, seed=0)[-3:]
    )
    with pytest.raises(ValueError):
        fanin.flat[0:10:2]
    with pytest.raises(TypeError):
        fanin.flat[3]


@pytest.mark.parametrize("threads", [0, -1, True, 1.5, "2"])
def test_other_thread_counts_are_refused(threads):
    with pytest.raises((TypeError, ValueError)):
        fanin.normal(3, seed=0, threads=threads)


# ---- parameters at their edges -------------------------------------------------------------------


@pytest.mark.parametrize("dtype", REAL)
def test_scale_zero_gives_exactly_loc(dtype):
    for loc in (0.0, -1.5, 0.1):
        expected = np.full(40, np.float32(loc) if dtype.itemsize < 8 else loc).astype(dtype)
        assert same(fanin.normal(40, loc, 0.0, seed=0, dtype=dtype), expected)
        assert same(fanin.truncated_normal(40, loc, 0.0, seed=0, dtype=dtype), expected)
        assert same(fanin.uniform(40, loc, loc, seed=0, dtype=dtype), expected)


def test_a_subnormal_scale_keeps_its_values():
    x = fanin.normal(1000, 0.0, 1e-310, seed=0, dtype="float64")
    assert np.abs(x).max() < 1e-309 and np.unique(x).size > 900


def test_float16_overflow_is_infinity_as_numpys_conversion():
    x = fanin.normal(1000, 65000.0, 1000.0, seed=0, dtype="float16")
    with np.errstate(over="ignore"):
        assert same(x, fanin.normal(1000, 65000.0, 1000.0, seed=0).astype("f2"))
    assert np.isposinf(x).any()


def test_a_range_too_wide_for_the_compute_type_is_an_overflow():
    with pytest.raises(OverflowError, match="high - low range exceeds valid bounds"):
        fanin.uniform(3, -3e38, 3e38, seed=0)
    assert np.isfinite(fanin.uniform(3, -3e38, 3e38, seed=0, dtype="float64")).all()
    with pytest.raises(OverflowError, match="high - low range exceeds valid bounds"):
        fanin.default_rng(0).uniform(-1e308, 1e308)


# ---- the Generator: addresses --------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [*REAL, np.dtype("c8"), np.dtype("c16")])
def test_seed_stream_and_fresh_generator_give_the_same_values(dtype):
    expected = fanin.normal((100,), seed=5, dtype=dtype)
    assert same(fanin.default_rng(5).standard_normal(100, dtype=dtype), expected)
    assert same(fanin.normal(100, seed=fanin.Stream(5), dtype=dtype), expected)
    assert same(fanin.default_rng(fanin.Stream(5)).normal(size=100, dtype=dtype), expected)


def test_default_rng_takes_streams_and_generators_as_they_are():
    rng = fanin.default_rng(3)
    assert fanin.default_rng(rng) is rng
    assert fanin.default_rng(fanin.Stream(3)["a"]).stream == fanin.Stream(3)["a"]
    bits = fanin.BitGenerator(5)
    assert fanin.default_rng(bits).bit_generator is bits
    assert fanin.default_rng().stream != fanin.default_rng().stream  # entropy


@pytest.mark.parametrize(
    ("dtype", "per_tile"),
    [("f4", 32), ("f8", 16), ("f2", 32), ("bfloat16", 32), ("c8", 16), ("c16", 8)],
)
@pytest.mark.parametrize("first", [1, 5, 31, 32, 33, 100])
def test_the_cursor_moves_to_the_next_tile(dtype, per_tile, first):
    rng = fanin.default_rng(6)
    rng.standard_normal(first, dtype=dtype)
    second = rng.standard_normal(7, dtype=dtype)
    start = -(-first // per_tile) * per_tile
    whole = fanin.normal(1000, seed=6, dtype=dtype)
    assert same(second, whole[start : start + 7])
    assert rng.stream == fanin.Stream(6)


def test_an_empty_call_does_not_move_the_cursor():
    rng = fanin.default_rng(6)
    assert rng.random((3, 0)).shape == (3, 0)
    assert rng == fanin.default_rng(6)


def test_a_generator_as_seed_gives_its_next_child_and_keeps_its_cursor():
    rng, twin = fanin.default_rng(7), fanin.default_rng(7)
    rng.random(3)
    twin.random(3)
    for shape, index in (((5, 5), None), ((2**50,), slice(3, 9)), ((4,), 2)):
        child = twin.spawn(1)[0].stream
        assert same(
            fanin.normal(shape, seed=rng, index=index), fanin.normal(shape, seed=child, index=index)
        )
    assert rng == twin
    assert same(rng.random(5), twin.random(5))


def test_spawned_children_are_new_and_do_not_move_the_cursor():
    rng = fanin.default_rng(8)
    children = rng.spawn(3) + rng.spawn(2)
    keys = {child.stream.key for child in children}
    assert keys == {oracle.spawned(oracle.seed_key(8), k) for k in range(5)}
    assert rng.stream.key not in keys
    assert same(rng.random(4), fanin.default_rng(8).random(4))
    assert rng.spawn(0) == []
    with pytest.raises(ValueError):
        rng.spawn(-1)


def test_a_generator_is_copied_and_pickled_with_its_state():
    rng = fanin.default_rng(9)
    rng.random(50)
    rng.spawn(2)
    for other in (copy.copy(rng), copy.deepcopy(rng), pickle.loads(pickle.dumps(rng))):
        assert other == rng and other is not rng
        assert other.spawn(1)[0].stream == copy.deepcopy(rng).spawn(1)[0].stream
        assert same(other.random(5), copy.deepcopy(rng).random(5))
        assert other != rng  # each has its own cursor
    assert str(rng.stream.key) in repr(rng) or f"{rng.stream.key:032x}" in repr(rng)


def test_threads_that_share_a_generator_get_disjoint_values():
    rng = fanin.default_rng(10)
    parts, lock = [], threading.Lock()

    def work():
        for _ in range(50):
            part = rng.random(32, dtype="float32")
            with lock:
                parts.append(part.tobytes())

    workers = [threading.Thread(target=work) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    whole = fanin.random((400, 32), seed=10)
    assert sorted(parts) == sorted(row.tobytes() for row in whole)


def at_tile(seed, tile):
    return at_word(seed, 32 * tile)


def test_far_along_the_cursor_the_values_are_the_streams():
    tile = 2**58 - 1  # the last tile of 2**63 float32 addresses
    expected = oracle.uniform(oracle.seed_key(11), 32 * tile, 32, "float32")
    assert at_tile(11, tile).random(32, dtype="float32").tolist() == expected


@pytest.mark.parametrize("dtype", ["f4", "f8", "bfloat16"])
def test_running_past_the_end_of_a_stream_is_an_error_and_moves_nothing(dtype):
    rng = at_tile(11, 2**58 - 1)
    for size in (33, 100, 10_000):  # more than the last tile
        with pytest.raises(OverflowError):
            rng.random(size, dtype=dtype)
    assert rng == at_tile(11, 2**58 - 1)


# ---- the Generator: NumPy's words ----------------------------------------------------------------


def test_the_generators_defaults_are_numpys():
    rng = fanin.default_rng(1)
    assert isinstance(rng.random(), float) and isinstance(rng.standard_normal(), float)
    assert rng.random(()).shape == () and isinstance(rng.random(()), np.ndarray)
    assert rng.normal(size=3).dtype == np.float64
    for name in ("random", "standard_normal", "normal", "uniform"):
        ours = list(inspect.signature(getattr(rng, name)).parameters.items())
        names = {"random": ["size", "dtype", "out"], "standard_normal": ["size", "dtype", "out"],
                 "normal": ["loc", "scale", "size", "dtype", "out"],
                 "uniform": ["low", "high", "size", "dtype", "out"]}[name]  # fmt: skip
        assert [n for n, _ in ours] == names
        assert dict(ours)["dtype"].default is np.float64


def test_generator_parameters_broadcast_as_numpys():
    rng = fanin.default_rng(2)
    assert rng.normal([0.0, 1.0], [[1.0], [2.0], [3.0]]).shape == (3, 2)
    assert rng.normal([0.0], 1.0).shape == (1,)
    whole = fanin.default_rng(2).normal([[0.0], [5.0]], [1.0, 2.0, 3.0], (4, 2, 3))
    for j, k in np.ndindex(2, 3):
        single = fanin.default_rng(2).normal([0.0, 5.0][j], [1.0, 2.0, 3.0][k], (4, 2, 3))
        assert same(np.ascontiguousarray(whole[:, j, k]), np.ascontiguousarray(single[:, j, k]))


GENERATOR_ERRORS = [
    (lambda g: g.normal(0.0, -1.0), ValueError, "scale < 0"),
    (lambda g: g.normal(0.0, -0.0), ValueError, "scale < 0"),
    (lambda g: g.normal(0.0, [1.0, -1.0]), ValueError, "scale < 0"),
    (lambda g: g.uniform(2.0, 1.0), ValueError, "high - low < 0"),
    (lambda g: g.uniform(0.0, INF), OverflowError, "high - low range exceeds valid bounds"),
    (lambda g: g.uniform(0.0, NAN), OverflowError, "high - low range exceeds valid bounds"),
    (
        lambda g: g.standard_normal(3, dtype="i4"),
        TypeError,
        r"Unsupported dtype dtype\('int32'\) for standard_normal",
    ),
    (lambda g: g.standard_normal(3, dtype="foo"), TypeError, "data type 'foo' not understood"),
    (
        lambda g: g.standard_normal(out=np.zeros(3, "f4")),
        TypeError,
        "Supplied output array has the wrong type. Expected float64, got float32",
    ),
    (
        lambda g: g.standard_normal(4, out=np.zeros(3)),
        ValueError,
        "size must match out.shape when used together",
    ),
    (
        lambda g: g.normal([0.0, 1.0], [1.0, 1.0, 1.0]),
        ValueError,
        "shape mismatch: objects cannot be broadcast to a single shape",
    ),
    (lambda g: g.normal([0.0, 1.0], 1.0, 3), ValueError, "broadcast|compatible"),
]


@pytest.mark.parametrize(("call", "error", "words"), GENERATOR_ERRORS)
def test_generator_errors_are_in_numpys_words(call, error, words):
    rng = fanin.default_rng(1)
    with pytest.raises(error, match=words):
        call(rng)
    assert rng == fanin.default_rng(1)


def test_generator_methods_accept_nan_and_infinite_scales_as_numpy():
    rng = fanin.default_rng(1)
    assert np.isnan(rng.normal(0.0, NAN, 5)).all()
    assert np.isinf(rng.normal(0.0, INF, 5)).all()
    assert np.isnan(rng.normal(NAN, 1.0, 5)).all()


def test_seed_errors_are_told_apart():
    with pytest.raises(ValueError):
        fanin.default_rng(-1)
    for seed in ("abc", 1.5, True, [1, 2]):
        with pytest.raises(TypeError):
            fanin.default_rng(seed)
