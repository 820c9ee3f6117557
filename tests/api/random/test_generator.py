"""Generator beside numpy.random.Generator: integers, signs, bytes, the laws of one parameter, and
the words of errors."""

from __future__ import annotations

import copy
import inspect
import pickle
import re
import sys
import threading
from decimal import Decimal
from fractions import Fraction

import mpmath
import numpy as np
import oracle
import pytest
from oracle import TYPES, as_float
from scipy import stats

import fanin

INF, NAN = float("inf"), float("nan")
INTEGERS = ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"]
KEY = oracle.seed_key(21)


def same(a, b):
    """Equal bits, shape and dtype."""
    a, b = np.asarray(a), np.asarray(b)
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


def rng():
    return fanin.default_rng(21)


# ---- integers: values ----------------------------------------------------------------------------


def expected_integers(low, span, count, first=0):
    """low + floor(bits range / 2^64) by Python's integers."""
    drawn = oracle.value_words(KEY, first, count, "float64")
    return [low + bits * span // 2**64 for bits in drawn]


RANGES = [
    ("uint8", 0, 1),
    ("uint8", 0, 256),
    ("int8", -128, 256),
    ("int16", -3, 3),
    ("uint16", 7, 1000),
    ("int32", -(2**31), 2**32),
    ("uint32", 0, 2**32),
    ("int64", 5, 2**32),
    ("int64", -(2**63), 2**63 + 1),
    ("int64", -(2**63), 2**64),
    ("uint64", 0, 2**64),
    ("uint64", 3, 2**64 - 3),
    ("uint64", 0, 2**63 + 1),
]


@pytest.mark.parametrize(("dtype", "low", "span"), RANGES)
def test_integers_are_the_product_of_word_pairs_and_range(isa, dtype, low, span):
    high = low + span
    got = rng().integers(low, high, 200, dtype=dtype)
    assert got.dtype == np.dtype(dtype)
    assert got.tolist() == expected_integers(low, span, 200)
    assert same(rng().integers(low, high - 1, 200, dtype=dtype, endpoint=True), got)
    columns = rng().integers([low], [high], 200, dtype=dtype)  # by the way of arrays
    assert same(columns, got)


@pytest.mark.parametrize("span", [1, 3, 2**32, 2**63 + 1, 2**64])
def test_the_end_words_give_low_and_the_last_value(span):
    scaled = fanin._core.debug.scaled
    low = 2**64 - 2**62
    assert scaled(0, low, span % 2**64) == low
    assert scaled(2**64 - 1, low, span % 2**64) == (low + span - 1) % 2**64


def test_every_integer_dtype_has_the_values_of_int64():
    expected = rng().integers(0, 100, 1000)
    for dtype in INTEGERS:
        assert rng().integers(0, 100, 1000, dtype=dtype).tolist() == expected.tolist()
    signs = rng().integers(0, 2, 1000, dtype=bool)
    assert signs.dtype == bool and signs.tolist() == rng().integers(2, size=1000).tolist()


def test_integers_broadcast_and_give_the_bits_of_the_scalar_call():
    low, high = np.array([[0], [-5]]), np.array([1, 10, 2**40])
    whole = rng().integers(low, high, (4, 2, 3))
    assert rng().integers(low, high).shape == (2, 3)
    for j, k in np.ndindex(2, 3):
        single = rng().integers(int(low[j, 0]), int(high[k]), (4, 2, 3))
        assert whole[:, j, k].tolist() == single[:, j, k].tolist()
    out = np.zeros((3, 2), "i2").T
    assert rng().integers([0, 5, 9], 12, dtype="i2", out=out) is out
    assert same(np.ascontiguousarray(out), rng().integers([0, 5, 9], 12, (2, 3), dtype="i2"))


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "u8", "i1", "f4", "f8"])
def test_bounds_of_any_dtype_give_what_python_ints_give(dtype):
    high = np.array([1, 7, 100, 127], dtype)
    expected = rng().integers(0, [int(h) for h in high], dtype="i8")
    assert np.array_equal(rng().integers(0, high), expected)


def test_mixed_and_large_bounds_are_exact():
    low, high = np.array([2**63 + 1, 5], np.uint64), [2**64, 6]
    drawn = rng().integers(low, high, (500, 2), dtype="uint64")
    first = [int(v) for v in drawn[:, 0]]
    assert min(first) > 2**63 and len(set(first)) == 500 and (drawn[:, 1] == 5).all()
    assert (rng().integers(np.array([-(2**63)]), [-(2**63) + 1], 20) == -(2**63)).all()


ENDS = [
    (kind, low, high, endpoint)
    for kind, low, high in [
        ("bool", [0, 0, 1], 1), ("int8", -128, [127, -128, 0]), ("uint8", [0, 255, 7], 255),
        ("int16", [-(2**15), 5, 9], 2**15 - 1), ("uint16", 0, [2**16 - 1, 0, 3]),
        ("int32", [-(2**31), 0, 5], [2**31 - 1, 0, 6]), ("uint32", 0, [2**32 - 1, 1, 0]),
        ("int64", [-(2**63), -1, 2**62], 2**63 - 1), ("uint64", [0, 5, 2**63 - 1], 2**63 - 1),
        ("uint64", [2**64 - 1, 2**63, 3], 2**64 - 1),
    ]
    for endpoint in (True, False)
]  # fmt: skip


@pytest.mark.parametrize(("kind", "low", "high", "endpoint"), ENDS)
def test_ends_in_arrays_give_the_bits_of_the_scalar_call_up_to_the_ends_of_every_dtype(
    kind, low, high, endpoint
):
    last, high = high, high if endpoint else (np.array(high, object) + 1)
    holds = np.dtype("uint64" if kind == "uint64" else "int64")
    arrays = [
        np.array(end, holds if np.max(np.array(end, object)) <= np.iinfo(holds).max else object)
        for end in (low, high)
    ]
    drawn = rng().integers(*arrays, (400, 3), dtype=kind, endpoint=endpoint)
    assert drawn.dtype == np.dtype(kind)
    lows, lasts = (np.broadcast_to(np.array(end, object), 3) for end in (low, last))
    for k in range(3):
        first, span = int(lows[k]), int(lasts[k]) - int(lows[k]) + 1
        expected = expected_integers(first, span, 1200)[k::3]
        assert [int(v) for v in drawn[:, k]] == expected


@pytest.mark.parametrize("width", [1, 3, 15, 16, 17, 1024, 1025])
def test_ends_in_arrays_of_any_shape_and_strides_give_the_bits_of_the_scalar_call(width):
    # 5 rows: chunks of 1024 elements end within rows and within tiles of 16.
    low = np.arange(-10, 0, dtype="i2")[::-2][:, None]
    high = np.arange(1, 2 * width + 1, dtype="u4")[::2]
    out = np.zeros((width, 5), "i4").T
    assert rng().integers(low, high, out=out, dtype="i4") is out
    assert same(np.ascontiguousarray(out), rng().integers(low, high, dtype="i4"))
    for j in range(5):
        for k in {0, width // 2, width - 1}:
            whole = rng().integers(int(low[j, 0]), int(high[k]), (5, width))
            assert out[j, k] == whole[j, k]


def test_many_ends_in_arrays_do_not_depend_on_the_number_of_threads():
    high = np.arange(1, 300_001) % 251 + 1
    before = fanin.runtime.threads()
    try:
        drawn = []
        for threads in (1, 2, 3):
            fanin.runtime.set_threads(threads)
            drawn.append(rng().integers(0, high.astype("u1")))
    finally:
        fanin.runtime.set_threads(before)
    assert same(drawn[0], drawn[1]) and same(drawn[0], drawn[2])
    assert (drawn[0] < high).all() and (drawn[0] >= 0).all()
    k = 299_999
    assert drawn[0][k] == rng().integers(0, int(high[k]), k + 1)[k]


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0, np.array([3, 0]), "high <= 0"),
        (np.array([1, 5]), np.array([2, 5]), "low >= high"),
        (np.array([-1, 0]), 5, "low is out of bounds for uint8"),
        (0, np.array([3, 257]), "high is out of bounds for uint8"),
        (0, np.array([1, 2**64 - 1], np.uint64), "high is out of bounds for uint8"),
        (np.array([1, 2**63], np.uint64), 5, "low >= high"),
        (np.full(5000, 3), np.array([3]), "low >= high"),
    ],
)
def test_refused_ends_in_arrays_move_and_write_nothing(low, high, words):
    one, out = rng(), np.zeros(np.broadcast(low, high).shape, "u1")
    for where in ({"out": out}, {}):
        with pytest.raises(ValueError, match=words):
            one.integers(low, high, dtype="u1", **where)
    assert not out.any() and one.bit_generator.state == rng().bit_generator.state


def test_ends_may_lie_in_the_memory_that_is_written():
    room = np.arange(1, 41)
    expected = rng().integers(0, room.copy())
    assert rng().integers(0, room, out=room) is room and same(room, expected)
    room = np.arange(1.0, 41.0)
    expected = rng().normal(room.copy())
    assert same(rng().normal(room, out=room), expected)


LAWS_OF_ARRAYS = [
    ("normal", (np.array([0.0, -2.5, 1e30]), np.array([1.0, 0.0, 0.5]))),
    ("normal", (np.array([1, 2, 3], "u1"), 2.0)),
    ("uniform", (np.array([-1.0, 0.0, 5.0], "f4"), np.array([1.0, 0.0, 6.0]))),
    ("uniform", (np.array([0, 1, 2]), 3)),
    ("exponential", (np.array([1.0, 0.0, 3.0]),)),
    ("laplace", (np.array([1.0, 2.0, 3.0]), 0.5)),
    ("truncated_normal", (0.0, np.array([1.0, 2.0, 0.0]), np.array([-2.0, 1.0, 40.0]), np.inf)),
]


@pytest.mark.parametrize("dtype", [*TYPES])
@pytest.mark.parametrize(("law", "given"), LAWS_OF_ARRAYS)
def test_parameters_in_arrays_give_the_bits_of_the_scalar_call(isa, law, given, dtype):
    kind = TYPES[dtype]
    drawn = getattr(rng(), law)(*given, (700, 3), dtype=kind)
    for k in range(3):
        own = [float(np.broadcast_to(value, 3)[k]) for value in given]
        whole = getattr(rng(), law)(*own, (700, 3), dtype=kind)
        assert same(np.ascontiguousarray(drawn[:, k]), np.ascontiguousarray(whole[:, k]))
    room = np.zeros((3, 700), kind).T
    assert getattr(rng(), law)(*given, dtype=kind, out=room) is room
    assert same(np.ascontiguousarray(room), drawn)
    stateless = getattr(fanin, law, None)
    if stateless is not None:
        assert same(stateless((700, 3), *given, seed=21, dtype=kind), drawn)


@pytest.mark.parametrize(
    ("law", "given"),
    [
        ("normal", (np.array([0.0, 1.0]), np.array([1.0, -1.0]))),
        ("normal", (0.0, np.array([1.0, -0.0]))),
        ("uniform", (np.array([0.0, 2.0]), 1.0)),
        ("uniform", (np.array([0.0, np.nan]), 1.0)),
        ("exponential", (np.array([1.0, -1.0]),)),
        ("truncated_normal", (0.0, 1.0, np.array([1.0, 2.0]), 1.5)),
        ("normal", (np.zeros(3), np.ones(2))),
        ("normal", (np.array(["a", "b"]),)),
    ],
)
def test_refused_parameters_in_arrays_move_and_write_nothing(law, given):
    one, out = rng(), np.zeros(2)
    for where in ({"out": out}, {}, {"size": (2,)}):
        with pytest.raises((ValueError, TypeError, OverflowError)):
            getattr(one, law)(*given, **where)
    assert not out.any() and one.bit_generator.state == rng().bit_generator.state


@pytest.mark.parametrize("dtype", ["int8", "uint16", "int32", "int64", "bool"])
def test_integers_fill_any_out_and_move_the_cursor_by_tiles_of_16(dtype):
    one = rng()
    high = 2 if dtype == "bool" else 100
    plain = one.integers(0, high, 50, dtype=dtype)
    second = one.integers(0, high, 20, dtype=dtype)
    whole = rng().integers(0, high, 200, dtype=dtype)
    assert same(plain, whole[:50]) and same(second, whole[64:84])
    room = np.zeros(100, dtype)
    out = room[::-2]
    assert rng().integers(0, high, dtype=dtype, out=out) is out
    assert same(np.ascontiguousarray(out), plain) and not room[::2].any()


def test_a_large_fill_of_integers_does_not_depend_on_its_threads():
    expected = rng().integers(-7, 1000, 2_000_000, dtype="int32")
    before = fanin.runtime.threads()
    try:
        for threads in (1, 2, 3):
            fanin.runtime.set_threads(threads)
            assert same(rng().integers(-7, 1000, 2_000_000, dtype="int32"), expected)
    finally:
        fanin.runtime.set_threads(before)


def test_the_frequencies_of_integers_are_even():
    counts = np.bincount(rng().integers(0, 1000, 2_000_000), minlength=1000)
    chi2 = float(((counts - 2000.0) ** 2 / 2000).sum())
    # chi2 of 999 degrees: mean 999, std sqrt(2 * 999) = 44.7; 6 of them either side.
    assert abs(chi2 - 999) < 6 * 44.7


# ---- signs, bytes, exponential, laplace ----------------------------------------------------------


@pytest.mark.parametrize("dtype", [*TYPES, "int8", "int16", "int32", "int64"])
def test_a_sign_is_one_bit_of_its_word_for_every_dtype(isa, dtype):
    expected = [-1 if word >> 31 else 1 for word in map(int, oracle.words(KEY, 0, 100))]
    got = rng().rademacher(100, dtype=TYPES.get(dtype, dtype))
    assert got.dtype == np.dtype(TYPES.get(dtype, dtype)) and as_float(got).tolist() == expected
    one = rng()
    one.rademacher(33, dtype=TYPES.get(dtype, dtype))
    assert one.rademacher(3).tolist() == rng().rademacher(100)[64:67].tolist()


def test_signs_refuse_unsigned_and_complex_types():
    for dtype in ("u1", bool, "c8", ">f4"):
        with pytest.raises(TypeError, match="Unsupported dtype .* for rademacher"):
            rng().rademacher(3, dtype=dtype)
    assert rng().rademacher() in (-1.0, 1.0)


def test_bytes_are_the_words_from_the_cursor_on():
    expected = oracle.words(KEY, 0, 100).astype("<u4").tobytes()
    for count in (0, 1, 7, 8, 127, 128, 129, 400):
        one = rng()
        assert one.bytes(count) == expected[:count]
        assert word_of(one) == 32 * -(-count // 128)
    # Several chunks, so that several threads make them.
    large = fanin._core.words(fanin._core.seed_key(21), 0, 0, 2**13).astype("<u4").tobytes()
    assert rng().bytes(len(large) - 3) == large[:-3]
    bad: list[tuple[object, type[Exception]]] = [
        (-1, ValueError), (1.5, TypeError), ("a", TypeError), (2**63, OverflowError),
        (2**62, MemoryError),
    ]  # fmt: skip
    one = rng()
    for length, error in bad:
        with pytest.raises(error):
            one.bytes(length)
    assert word_of(one) == 0


# -log: 2 ulp (tests/kernels/test_math.py); the scale's product and the sum 1/2 each.
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_exponential_and_laplace_values_are_accurate(isa, dtype):
    scale, loc = 3.0, 0.5
    drawn = oracle.value_words(KEY, 0, 500, dtype)
    plain = [oracle.exponential_value(w, dtype) for w in drawn]
    assert oracle.ulps(rng().standard_exponential(500, dtype), plain, dtype).max() <= 2.5
    scaled = [scale * v for v in plain]
    assert oracle.ulps(rng().exponential(scale, 500, dtype=dtype), scaled, dtype).max() <= 3
    signed = [oracle.laplace_value(w, dtype) for w in drawn]
    assert oracle.ulps(rng().laplace(size=500, dtype=dtype), signed, dtype).max() <= 2.5
    moved = [mpmath.mpf(loc) + scale * v for v in signed]
    got = rng().laplace(loc, scale, 500, dtype=dtype)
    # Near loc + scale v = 0 the sum cancels: the error is that of the summand, 3 ulp of it.
    slack = max(abs(float(scale * v)) for v in signed) * 3 * np.finfo(dtype).eps
    assert max(abs(float(g) - float(m)) for g, m in zip(got, moved, strict=True)) <= slack


def test_exponential_and_laplace_broadcast():
    scale = np.array([0.0, 1.0, 5.0])
    whole = rng().exponential(scale, (4, 3))
    for k in range(3):
        assert same(whole[:, k].copy(), rng().exponential(float(scale[k]), (4, 3))[:, k].copy())
    assert rng().laplace([0.0, 1.0], [[1.0], [2.0]]).shape == (2, 2)
    out = np.empty(6, np.float16)
    assert rng().laplace(2.0, 0.0, dtype="f2", out=out) is out and (out == 2).all()
    assert same(rng().standard_exponential(5, method="inv"), rng().standard_exponential(5))


# ---- beside NumPy --------------------------------------------------------------------------------

SHARED = ["random", "standard_normal", "normal", "uniform", "integers", "standard_exponential",
          "exponential", "laplace", "bytes", "spawn"]  # fmt: skip


def signature(method):
    """That of a method; NumPy 1's have theirs in the first line of their text only."""
    try:
        return inspect.signature(method)
    except ValueError:
        line = re.search(r"\((.*)\)", method.__doc__)[1]
        return inspect.signature(eval(f"lambda {line}: None"))  # noqa: S307


@pytest.mark.parametrize("name", SHARED)
def test_arguments_begin_as_numpys_and_have_its_defaults(name):
    def arguments(owner):
        entries = signature(getattr(owner, name)).parameters.values()
        return [(p.name, p.default) for p in entries if p.name != "self"]

    theirs = arguments(np.random.Generator)
    assert arguments(fanin.Generator)[: len(theirs)] == theirs


#: Calls where type, shape and dtype of the result must be NumPy's, or the error's type and words.
CALLS = """
integers(5,5)
integers(5,4,endpoint=True)
integers(5,5,endpoint=True)
integers(0)
integers(-1)
integers(0,300,dtype='u1')
integers(-1,5,dtype='u1')
integers(-300,-299,dtype='i1')
integers(300,200,dtype='u1')
integers(0,256,3,dtype='u1')
integers(0,255,3,dtype='u1',endpoint=True)
integers(0,256,3,dtype='u1',endpoint=True)
integers(5,dtype='f8')
integers(5,dtype='>i4')
integers(5,dtype='foo')
integers(3,dtype=None)
integers(2.5)
integers(2.5,size=3)
integers('a')
integers(None)
integers(1j)
integers(1.5,7.2,3)
integers([1.5,2.5],7)
integers([1,2],[5,2])
integers([1,2],[5,300],dtype='u1')
integers([-1,2],[5,30],dtype='u1')
integers([1,2],[5,2],endpoint=True)
integers([1,3],[5,2],endpoint=True)
integers([1,2],[[5],[9]])
integers([1,2],[5,6],size=(3,2))
integers([],5)
integers(5,size=0)
integers(5,5,size=0)
integers(0,2**64,dtype='u8')
integers(0,2**64+1,dtype='u8')
integers(-2**63,2**63)
integers(-2**63,2**63+1)
integers(-2**63-1,0)
integers(5)
integers(5,dtype=int)
integers(5,dtype=np.dtype(int))
integers(2,dtype=bool)
integers(3,dtype=bool)
integers(2,dtype='bool',size=3)
integers(5,size=-1)
integers(5,size=2.5)
integers(np.nan)
integers(np.inf)
integers(True)
integers(np.uint64(5),np.int64(9))
integers([0],[2**64],dtype='u8')
integers([0],[2**64+1],dtype='u8')
integers([-2**63],[2**63])
integers(5,size=(),dtype='i2')
integers(5,dtype='i2')
integers(low=3)
bytes(5)
bytes(0)
standard_exponential(3,method='inv')
standard_exponential(3,dtype='foo')
standard_exponential(3,'f4')
standard_exponential((),dtype='f4')
standard_exponential(dtype='i4')
exponential(-1)
exponential(-0.0)
exponential([1,-1])
exponential([1,2],3)
exponential([1.,2.])
exponential('a')
laplace(0,-1)
laplace(0,-0.0)
laplace([0,1],[1,2,3])
random(out=np.zeros(3,'>f8'))
random(out=np.zeros(3,'f4'))
random(4,out=np.zeros(3))
random(3,out=np.zeros((3,1)))
random(3,'f4',np.zeros(3,'f4'))
random((3,),out=np.zeros(3))
random(out=np.zeros(()))
random(out=np.broadcast_to(0.0,3))
standard_normal(out=np.zeros((2,3)).T)
standard_normal(-1)
standard_normal((2,-3))
standard_normal(2.5)
standard_normal(2.0)
standard_normal(True)
standard_normal('a')
standard_normal((2,2.0))
standard_normal(10**19)
standard_normal(2**40)
standard_normal((3,0))
standard_normal(3,dtype='foo')
standard_normal(3,dtype='>f4')
standard_normal(3,dtype=int)
standard_normal(3,dtype=None)
normal([1,2],1,3)
normal('a')
normal(1j)
normal(0,-1)
normal(0,-0.0)
normal(0,[1,-1])
normal([1,2],[1,2,3])
normal(loc=np.zeros(0))
normal(0,1,[2,3])
uniform(2,1)
uniform([1,2],[2,1])
uniform(0,np.inf)
uniform(np.nan,1)
uniform(-1e308,1e308)
spawn(0)
""".split("\n")[1:-1]  # fmt: skip


def outcome(generator, call):
    """What a call gives: (type, shape, dtype) or the error."""
    try:
        result = eval(f"generator.{call}", {"generator": generator, "np": np})
    except Exception as error:
        return error
    return type(result), getattr(result, "shape", None), getattr(result, "dtype", None)


if np.__version__.startswith("1."):  # its integers refuse a dtype that is an object
    CALLS.remove("integers(5,dtype=np.dtype(int))")


@pytest.mark.parametrize("call", CALLS)
def test_results_and_errors_are_numpys(call):
    mine = rng()
    theirs, ours = outcome(np.random.default_rng(0), call), outcome(mine, call)
    if not isinstance(theirs, Exception):
        assert ours == theirs
        return
    assert isinstance(ours, Exception), ours
    assert mine == rng()  # a refused call moves nothing
    if "complex" in str(theirs):  # fanin says what a complex loc needs
        assert type(ours) is type(theirs)
    else:
        assert str(ours).startswith(str(theirs)) and type(ours).__name__ == type(theirs).__name__


def test_a_list_as_out_is_refused():
    # NumPy reads the list's memory as an array's: what it answers is chance.
    with pytest.raises(ValueError, match="Supplied output array must be contiguous"):
        rng().random(out=[0.0])


@pytest.mark.parametrize("call", ["random()", "normal()", "exponential(2.0)", "random(dtype='f4')"])
def test_without_a_size_the_result_is_a_scalar(call):
    assert type(eval(f"rng().{call}")) is float  # noqa: S307  # as NumPy's


def test_nan_and_infinite_scales_pass_as_in_numpy():
    assert np.isnan(rng().exponential(NAN)) and np.isinf(rng().exponential(INF))
    assert np.isnan(rng().laplace(NAN, 1.0, 3)).all()


# ---- state ---------------------------------------------------------------------------------------


def word_of(one):
    return one.bit_generator.state["state"]["word"]


def test_a_generator_is_numpys_and_is_taken_where_one_is():
    one = rng()
    assert isinstance(one, np.random.Generator) and np.random.default_rng(one) is one
    assert stats.norm.rvs(size=3, random_state=one).shape == (3,)
    assert stats.norm().rvs(size=3, random_state=rng()).tolist() == rng().normal(size=3).tolist()
    assert np.random.RandomState(one.bit_generator).random_sample(2).shape == (2,)


def test_generators_of_numpys_bit_generators_are_refused():
    for bad in (np.random.PCG64(1), fanin.Stream(1), 1, None):
        with pytest.raises(TypeError, match="needs a fanin.BitGenerator"):
            fanin.Generator(bad)
    with pytest.raises(ValueError) as theirs:
        np.random.Generator(fanin.BitGenerator)
    with pytest.raises(ValueError, match=f"^{theirs.value}$"):
        fanin.Generator(fanin.BitGenerator)
    bits = fanin.BitGenerator(1)
    assert fanin.Generator(bits).bit_generator is bits
    assert fanin.Generator(bits) == fanin.default_rng(1)


INHERITED = {
    "poisson": (4.0, 9),
    "standard_gamma": (2.5, 9),
    "choice": (100, 9),
    "permutation": (20,),
    "binomial": (10, 0.3, 9),
    "multinomial": (10, [0.2, 0.8], 3),
    "standard_t": (5.0, 9),
    "zipf": (2.0, 9),
    "dirichlet": ([1.0, 2.0], 3),
    "hypergeometric": (5, 5, 3, 9),
}


@pytest.mark.parametrize("name", sorted(INHERITED.keys() - {"choice"}))
def test_methods_of_numpy_read_the_words_on_as_its_own_generator_does(name):
    expected = getattr(np.random.Generator(fanin.BitGenerator(3)), name)(*INHERITED[name])
    assert np.array_equal(getattr(fanin.default_rng(3), name)(*INHERITED[name]), expected)


@pytest.mark.parametrize("name", INHERITED)
def test_a_method_of_ours_begins_at_the_next_whole_tile(name):
    one = fanin.default_rng(3)
    getattr(one, name)(*INHERITED[name])
    word = word_of(one)
    tile = -(-word // 32)
    mine = one.random(40, dtype="float32")
    assert np.array_equal(mine, fanin.random(32 * tile + 40, seed=3)[32 * tile :])
    assert word_of(one) == 32 * (tile + 2)


def test_no_word_is_given_twice_by_numpys_methods_and_ours_under_threads():
    shared, ours, raw = rng(), [], []

    def draw():
        for _ in range(100):
            ours.append(shared.integers(0, 2**64, 16, dtype="uint64"))

    def read():
        for _ in range(100):
            raw.append(shared.bit_generator.random_raw(7))

    workers = [threading.Thread(target=work) for work in (draw, read) * 4]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    values = np.concatenate(ours + raw)
    assert np.unique(values).size == values.size == 4 * 100 * 23


def test_children_of_all_doors_share_one_count():
    one, expected = rng(), [g.stream for g in rng().spawn(4)]
    given = [one.spawn(1)[0].stream, one.bit_generator.spawn(1)[0].stream,
             one.bit_generator.seed_seq.spawn(1)[0].stream]  # fmt: skip
    assert given == expected[:3]
    assert same(fanin.normal(5, seed=one), fanin.normal(5, seed=expected[3]))
    with pytest.raises(ValueError, match="at most 1048576 children"):
        one.spawn(2**70)
    assert one.bit_generator.seed_seq.n_children_spawned == 4


def test_a_jumped_bit_generator_has_values_of_its_own_in_every_method():
    jumped = fanin.BitGenerator(3).jumped()
    whole = jumped.jumped(0).random_raw(64)
    assert fanin.Generator(jumped).bytes(512) == whole.astype("<u8").tobytes()
    for name in ("random", "rademacher", "standard_normal"):
        other = fanin.Generator(fanin.BitGenerator(3).jumped())
        assert not np.array_equal(getattr(other, name)(99), getattr(fanin.default_rng(3), name)(99))


@pytest.mark.parametrize("call", ["random()", "standard_normal()", "normal(3.0, 2)",
                                  "uniform(-1, 2.5)", "exponential(2.0)", "laplace(1.0, 0.5)",
                                  "integers(5)", "integers(-3, 9)"])  # fmt: skip
def test_a_scalar_is_the_value_that_an_array_of_one_has(isa, call):
    one, other = rng(), rng()
    scalar = eval(f"one.{call}")  # noqa: S307
    method, arguments = call[:-1].split("(")
    size = "size=1" if not arguments else f"{arguments}, size=1"
    assert scalar == eval(f"other.{method}({size})")[0] and one == other  # noqa: S307


def test_all_methods_move_one_cursor_and_state_travels_with_copies():
    one = rng()
    one.integers(9, size=40)
    one.bytes(3)
    one.rademacher(5)
    for other in (copy.copy(one), copy.deepcopy(one), pickle.loads(pickle.dumps(one))):
        assert other == one and same(other.exponential(size=9), copy.copy(one).exponential(size=9))


def test_eight_threads_that_share_a_generator_share_no_value():
    shared, parts = rng(), []
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:

        def work():
            mine = [shared.integers(0, 2**64, 16, dtype="uint64") for _ in range(200)]
            parts.extend(mine)  # list.extend is atomic

        workers = [threading.Thread(target=work) for _ in range(8)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    finally:
        sys.setswitchinterval(interval)
    whole = rng().integers(0, 2**64, (1600, 16), dtype="uint64")
    assert sorted(p.tobytes() for p in parts) == sorted(row.tobytes() for row in whole)


# ---- parameters as NumPy takes them --------------------------------------------------------------


class Floating:
    def __float__(self):
        return 1.5


class Indexed:
    def __index__(self):
        return 2


NUMBERS = [Fraction(3, 2), Decimal("1.5"), Floating(), Indexed(), True, np.True_, np.float16(1.5),
           np.longdouble(1.5), 2**70, [1, 2, 3], [Floating(), 1, Fraction(1, 3)],
           10**400, -(10**400), [10**400, 1, 1], None, b"1", 1j, [[1], [1, 2]], {1}, {}, object(),
           float("nan"), -1]  # fmt: skip
PLACES = [("normal", 0), ("normal", 1), ("exponential", 0), ("laplace", 0), ("laplace", 1),
          ("uniform", 1), ("integers", 0), ("integers", 1)]  # fmt: skip


@pytest.mark.parametrize("size", [None, 3])
@pytest.mark.parametrize("method, place", PLACES)
@pytest.mark.parametrize("value", NUMBERS, ids=lambda value: ascii(value)[:20])
def test_a_parameter_is_a_number_here_if_it_is_one_to_numpy(value, method, place, size):
    given = [0, 5] if method in ("uniform", "integers") else [0.0, 1.0]
    given = given[: 1 if method == "exponential" else 2]
    given[place] = value
    found = []
    for rng in (np.random.default_rng(0), fanin.default_rng(0)):
        try:
            made = getattr(rng, method)(*given, size=size)
            found.append((type(made), np.shape(made)))
        except (TypeError, ValueError, OverflowError) as error:
            found.append((type(error), str(error) if type(error) is OverflowError else ""))
    assert found[0] == found[1]


class NoFloat(np.ndarray):
    def __float__(self):
        raise TypeError("not today")


@pytest.mark.parametrize("method, place", PLACES[:6])
def test_an_array_of_no_axes_is_asked_for_its_float_as_numpy_asks(method, place):
    given = [0.0, 1.0][: 1 if method == "exponential" else 2]
    given[place] = np.array(1.5).view(NoFloat)
    for rng in (np.random.default_rng(0), fanin.default_rng(0)):
        before = rng.bit_generator.state
        with pytest.raises(TypeError, match="not today"):
            getattr(rng, method)(*given)
        assert rng.bit_generator.state == before


@pytest.mark.parametrize("given", [(0, -1), (0, 0), (3, 1), (-1,), ([0, 0], [0, 1]), (0, [1, -3])])
@pytest.mark.parametrize("endpoint", [False, True])
@pytest.mark.parametrize("size", [None, 2])
def test_bounds_without_an_integer_are_refused_in_numpys_words(given, endpoint, size):
    if endpoint and given in ((0, 0), ([0, 0], [0, 1])):
        return
    with pytest.raises(ValueError) as theirs:
        np.random.default_rng(0).integers(*given, size=size, endpoint=endpoint)
    with pytest.raises(ValueError, match=f"^{theirs.value}$"):
        fanin.default_rng(0).integers(*given, size=size, endpoint=endpoint)


def test_the_docstring_says_of_every_inherited_method_that_it_is_serial():
    inherited = {name for name in dir(np.random.Generator) if not name.startswith("_")}
    inherited -= {"bit_generator", *vars(fanin.Generator)}
    serial = fanin.Generator.__doc__.split("all of them serial")[1].split(">>>")[0]
    assert inherited <= set(re.findall(r"\w+", serial))
