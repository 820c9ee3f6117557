"""The contract: the same bits for any instruction set, thread count, chunk, part and shape."""

import itertools
import math

import ml_dtypes
import mpmath
import numpy as np
import oracle
import pytest

import fanin
from fanin import _core

INF = math.inf
REAL = ["float32", "float64", "float16", "bfloat16"]
COMPLEX = ["complex64", "complex128"]


def truncated(low, high, loc=0.25):
    def draw(shape, **keywords):
        return fanin.truncated_normal(shape, loc, 0.5, low, high, **keywords)

    return draw


#: One for every kernel row that the stateless functions reach.
LAWS = {
    "random": fanin.random,
    "uniform": lambda shape, **keywords: fanin.uniform(shape, -0.3, 0.7, **keywords),
    "normal": lambda shape, **keywords: fanin.normal(shape, 1.5, 0.02, **keywords),
    "two_sigma": truncated(-2, 2),
    "one_sided": truncated(0, INF),
    "tail": truncated(-9, -8),
    "far": truncated(40, 41, loc=-20.0),  # near 0, where the half types tell values apart
}
CASES = [*itertools.product(LAWS, REAL), *itertools.product(["normal"], COMPLEX)]


def same(a, b):
    """Equal bits, shape and dtype."""
    a, b = np.asarray(a), np.asarray(b)
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


@pytest.mark.parametrize(("law", "dtype"), CASES)
def test_every_isa_and_thread_count_gives_the_same_bits(law, dtype):
    # Three chunks of new memory (2 MB each), a dozen of memory that is there (256 KB) and that
    # begins within a tile.
    dtype = np.dtype(dtype)
    count, skipped = 5_000_000 // dtype.itemsize + 1, 11
    draw, room = LAWS[law], np.empty(count - skipped, dtype)
    before = fanin.runtime.isa()
    whole = None
    try:
        for isa in fanin.runtime.isas():
            _core.debug.set_isa(isa)
            for threads in (3,) if whole is not None else (1, 2, 7):
                made = draw(count, seed=1, dtype=dtype, threads=threads)
                whole = made if whole is None else whole
                assert same(made, whole)
                rest = fanin.flat[skipped:]
                draw(count, seed=1, dtype=dtype, out=room, index=rest, threads=threads)
                assert same(room, whole[skipped:])
    finally:
        _core.debug.set_isa(before)
    assert np.unique(whole).size > 1


@pytest.mark.parametrize(("law", "dtype"), CASES)
def test_a_short_fill_is_the_beginning_of_a_long_one(law, dtype):
    whole = LAWS[law](5000, seed=2, dtype=dtype)
    for count in (0, 1, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 4096):
        assert same(LAWS[law](count, seed=2, dtype=dtype), whole[:count])


@pytest.mark.parametrize(("law", "dtype"), CASES)
def test_a_shape_only_reshapes(law, dtype):
    flat = LAWS[law](720, seed=3, dtype=dtype)
    for shape in ((720,), (1, 720), (24, 30), (2, 3, 4, 5, 6), (720, 1, 1)):
        assert same(LAWS[law](shape, seed=3, dtype=dtype), flat.reshape(shape))
    assert same(np.reshape(LAWS[law]((), seed=3, dtype=dtype), (1,)), flat[:1])


@pytest.mark.parametrize(("law", "dtype"), CASES)
def test_shards_make_up_the_whole(law, dtype):
    whole = LAWS[law]((37, 53), seed=4, dtype=dtype)
    size = whole.size
    for ranks in range(1, 9):
        edges = [size * rank // ranks for rank in range(ranks + 1)]
        runs = [
            LAWS[law]((37, 53), seed=4, dtype=dtype, index=fanin.flat[a:b], threads=1 + rank % 3)
            for rank, (a, b) in enumerate(itertools.pairwise(edges))
        ]
        assert same(np.concatenate(runs).reshape(37, 53), whole)


# ---- far addresses -------------------------------------------------------------------------------

#: Shapes of 2**60 elements, and the largest of all; a window at each place where a counter could be
#: cut.
FAR = [((2**20, 2**40), 2**60), ((2**63 - 1,), 2**63 - 1)]
STARTS = [
    2**31 - 20,
    2**32 - 20,
    2**33 - 20,
    2**34 - 20,
    2**60 - 40,
    2**61 - 20,
    2**62 - 20,
    2**63 - 41,
]


@pytest.mark.parametrize(("law", "dtype"), CASES)
@pytest.mark.parametrize(("shape", "size"), FAR)
def test_far_parts_agree_however_they_are_cut(isa, law, dtype, shape, size):
    draw = LAWS[law]
    for start in (s for s in STARTS if s + 40 <= size):
        run = draw(shape, seed=5, dtype=dtype, index=fanin.flat[start : start + 40])
        assert run.size == 40 and np.unique(run).size > 1
        rows = [np.unravel_index(start + k, shape) for k in (0, 1, 17, 39)]
        single = [draw(shape, seed=5, dtype=dtype, index=tuple(map(int, row))) for row in rows]
        assert same(np.array(single), run[[0, 1, 17, 39]])
        if len(shape) == 1:
            for step in (1, 3, -1, -7):
                wanted = range(start, start + 40)[::step]
                index = slice(wanted.start, wanted.stop, step)
                assert same(draw(shape, seed=5, dtype=dtype, index=index), run[::step])


@pytest.mark.parametrize("dtype", REAL)
def test_far_uniforms_are_the_oracles(dtype):
    key = oracle.seed_key(5)
    for start in STARTS:
        got = fanin.random(2**63 - 1, seed=5, dtype=dtype, index=fanin.flat[start : start + 40])
        assert got.astype(np.float64).tolist() == oracle.uniform(key, start, 40, dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_far_normals_are_the_oracles(dtype):
    key = oracle.seed_key(5)
    for start in STARTS:
        got = fanin.normal(2**63 - 1, seed=5, dtype=dtype, index=fanin.flat[start : start + 40])
        assert oracle.ulps(got, oracle.normal(key, start, 40, dtype), dtype).max() <= 2


@pytest.mark.parametrize(("dtype", "part"), [("complex64", "float32"), ("complex128", "float64")])
def test_far_complex_normals_are_the_oracles(dtype, part):
    key = oracle.seed_key(5)
    half_root = mpmath.sqrt(mpmath.mpf(1) / 2)
    for start in STARTS:
        got = fanin.normal(2**63 - 1, seed=5, dtype=dtype, index=fanin.flat[start : start + 20])
        true = [half_root * value for value in oracle.normal(key, 2 * start, 40, part)]
        # sqrt(1/2) and the product are rounded as well.
        assert oracle.ulps(got.view(part), true, part).max() <= 5


def test_a_strided_part_far_out_in_many_axes():
    shape = (2**15, 2**15, 2**15, 2**15)
    index = (slice(-1, None, -(2**14)), 3, slice(None, None, 2**14), slice(-40, None, 3))
    part = fanin.normal(shape, seed=6, index=index)
    assert part.shape == (2, 2, 14)
    for i, a in enumerate(range(2**15)[index[0]]):
        for j, b in enumerate(range(2**15)[index[2]]):
            row = fanin.normal(shape, seed=6, index=(a, 3, b, slice(-40, None)))
            assert same(part[i, j], row[::3])


# ---- parameters, types ---------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", REAL)
def test_broadcast_parameters_give_the_bits_of_the_scalar_call(isa, dtype):
    loc, scale = np.array([[-1.0], [0.1], [1e3]]), np.array([0.0, 0.02, 1.0, 3.0, 1e-3])
    low, high = np.array([-2.0, -1.0, 0.0, 3.0, 5.0]), np.array([2.0, INF, 1.0, 4.0, 8.0])
    whole = {
        "normal": fanin.normal((3, 5), loc, scale, seed=7, dtype=dtype),
        "uniform": fanin.uniform((3, 5), loc, loc + scale, seed=7, dtype=dtype),
        "truncated": fanin.truncated_normal((3, 5), loc, scale + 1, low, high, seed=7, dtype=dtype),
    }
    for i, j in np.ndindex(3, 5):
        a, s = float(loc[i, 0]), float(scale[j])
        at = {"seed": 7, "dtype": dtype, "index": (i, j)}
        assert same(whole["normal"][i, j], fanin.normal((3, 5), a, s, **at))
        assert same(whole["uniform"][i, j], fanin.uniform((3, 5), a, a + s, **at))
        cut = fanin.truncated_normal((3, 5), a, s + 1, float(low[j]), float(high[j]), **at)
        assert same(whole["truncated"][i, j], cut)


@pytest.mark.parametrize("dtype", REAL)
def test_broadcast_parameters_and_a_part(dtype):
    loc = np.linspace(-3, 3, 11)
    whole = fanin.normal((300, 7, 11), loc, 0.5, seed=8, dtype=dtype, threads=1)
    for index in (
        (slice(5, 290, 3), -1, slice(None, None, -2)),
        (..., 4),
        7,
        fanin.flat[100:20_000],
    ):
        part = fanin.normal((300, 7, 11), loc, 0.5, seed=8, dtype=dtype, index=index, threads=3)
        expected = (
            whole.reshape(-1)[100:20_000]
            if index is not None and hasattr(index, "start")
            else whole[index]
        )
        assert same(part, expected)


@pytest.mark.parametrize("dtype", ["float32", "complex64"])
def test_broadcast_parameters_in_a_shape_beyond_all_memory(dtype):
    shape, loc = (2**61 + 5, 3), np.array([10.0, 20.0, 30.0])
    part = fanin.normal(shape, loc, 0.5, seed=8, dtype=dtype, index=(slice(-2, None), slice(None)))
    for j in range(3):
        single = float(loc[j])
        column = fanin.normal(shape, single, 0.5, seed=8, dtype=dtype, index=(slice(-2, None), j))
        assert same(part[:, j], column)
    size = math.prod(shape)
    run = fanin.normal(shape, loc, 0.5, seed=8, dtype=dtype, index=fanin.flat[size - 6 : size])
    assert same(run, part.reshape(-1))


@pytest.mark.parametrize(("dtype", "part"), [("complex64", "float32"), ("complex128", "float64")])
def test_a_complex_value_is_two_real_ones(isa, dtype, part):
    loc, scale = 0.5 - 2j, 3.0
    z = fanin.normal(501, loc, scale, seed=9, dtype=dtype)
    for axis, shift in (("real", loc.real), ("imag", loc.imag)):
        single = fanin.normal(1002, shift, scale * math.sqrt(0.5), seed=9, dtype=part)
        assert same(np.ascontiguousarray(getattr(z, axis)), single[axis == "imag" :: 2])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("law", ["random", "normal"])
def test_half_fills_round_the_float32_fill(isa, law, dtype):
    target = np.dtype(ml_dtypes.bfloat16) if dtype == "bfloat16" else np.dtype(dtype)
    single = LAWS[law](50_001, seed=10)
    rounded = single.astype(target)
    if law == "random":
        top = target.type(1 - 2.0 ** -oracle.FORMATS[dtype][0])
        rounded = np.minimum(rounded, top)
    assert same(LAWS[law](50_001, seed=10, dtype=dtype), rounded)


def test_the_stream_has_its_name():
    assert fanin.STREAM == "fanin-2"
