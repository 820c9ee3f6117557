"""The quick way of common calls gives what the long way gives, and leaves the rest to it."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

import fanin
from fanin._random import generator, stateless
from fanin._random.doors import DOOR
from fanin._schemes import registry

LAWS = {
    "normal": (stateless._NORMAL, (0.5, 2.0)),
    "uniform": (stateless._UNIFORM, (-1.0, 3.0)),
    "truncated_normal": (stateless._TRUNCATED_NORMAL, (0.0, 1.5, -2.0, float("inf"))),
}
STREAM = fanin.Stream(3)["door"]


def quick(law, numbers, shape, seed=STREAM, dtype=None, out=None, index=None, threads=None):
    return DOOR.draw(law, numbers, shape, seed, dtype, out, index, threads)


def explained(law, shape, seed=STREAM, dtype=None, out=None, index=None, threads=None):
    return stateless._explained(
        *LAWS[law], stateless._Call(shape, seed, dtype, out, index, threads)
    )


def bits(array):
    return array.dtype, array.shape, array.tobytes()


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("dtype", [None, "float64", np.float16, np.dtype("float32"), "bfloat16"])
@pytest.mark.parametrize(
    "shape, index",
    [(7, None), ((3, 5), None), ((), None), ((0, 4), None), ((2,) * 8, None),
     ((300, 70), 299), ((300, 70), (-2, slice(None, None, -3))), ((2**40, 2**20), (7, slice(5))),
     ((4, 5, 6), (slice(1, 3), 2)), ((4, 5), slice(9, 2)),
     ((3, 2**61), (2, slice(2**60, None, 2**60)))],
)  # fmt: skip
def test_common_calls_are_taken_and_give_the_bits_of_the_long_way(law, dtype, shape, index):
    made = quick(law, LAWS[law][1], shape, dtype=dtype, index=index)
    assert made is not None
    assert bits(made) == bits(explained(law, shape, dtype=dtype, index=index))


def outs():
    whole = np.zeros((12, 14), np.float32)
    return {
        "C": whole, "F": np.zeros((5, 3), np.float32).T, "reversed": whole[::-1, ::-2],
        "columns": whole[:, 3:9], "0-d": np.zeros((), np.float32),
        "swapped": np.zeros((3, 4, 5), np.float32).transpose(2, 0, 1),
    }  # fmt: skip


@pytest.mark.parametrize("name", outs())
@pytest.mark.parametrize("law", LAWS)
def test_an_array_of_any_strides_is_written_and_nothing_beside_it(law, name):
    one, other = outs()[name], outs()[name]
    assert quick(law, LAWS[law][1], one.shape, out=one) is one
    explained(law, other.shape, out=other)
    assert one.tobytes() == other.tobytes()
    for array, twin in ((one.base, other.base), (one, other)):
        assert array is None or array.tobytes() == twin.tobytes()


LARGE = (150, 130)  # more values than the interpreter's lock is held for


@pytest.mark.parametrize("threads", [None, 1, 3])
@pytest.mark.parametrize("law", LAWS)
def test_large_arrays_that_are_there_are_written_too(law, threads):
    one, other = (np.zeros((200, 150), np.float32).T for _ in range(2))
    one, other = one[:, ::-1][:, :130], other[:, ::-1][:, :130]
    rows = (slice(50, None), slice(None))
    for index, shape in ((None, LARGE), (rows, (200, 130))):
        assert quick(law, LAWS[law][1], shape, out=one, index=index, threads=threads) is one
        explained(law, shape, out=other, index=index, threads=threads)
        assert one.base.tobytes() == other.base.tobytes()


def test_others_run_while_a_large_array_is_written():
    out = np.empty(1 << 26, np.float32)
    ticks, over = 0, threading.Event()

    def write():
        quick("normal", (0.0, 1.0), out.size, out=out, threads=1)
        over.set()

    worker = threading.Thread(target=write)
    worker.start()
    while not over.is_set():
        ticks += 1
        time.sleep(1e-4)
    worker.join()
    assert ticks > 20  # of some hundreds; of one or two under the lock


def test_a_generator_writes_large_arrays_at_the_same_place_of_its_words():
    one, other = fanin.default_rng(5), fanin.default_rng(5)
    out = np.empty(40_000, np.float32)
    one.standard_normal(out=out, dtype=np.float32)
    assert (out == other.standard_normal(40_000, np.float32)).all()
    assert one.random() == other.random()


def read_only():
    array = np.zeros(8, np.float32)
    array.flags.writeable = False
    return array


UNUSUAL = {
    "no shape": {"shape": None}, "a list": {"shape": [3]}, "a bool": {"shape": (True, 2)},
    "an int of 32 bits": {"shape": (np.int32(3),)}, "negative": {"shape": -1},
    "many values": {"shape": 16385}, "9 axes": {"shape": (1,) * 9},
    "too big for 63 bits": {"shape": (2**40, 2**40), "index": (0, slice(3))},
    "no number": {"numbers": (0.0, "1")}, "swapped": {"numbers": (0.0, np.ones(8, ">f8"))},
    "objects": {"numbers": (0.0, np.ones(8, object))}, "halves": {"numbers": (np.ones(8, "e"), 1)},
    "no broadcast": {"numbers": (0.0, np.ones(7))}, "more axes": {"numbers": (np.ones((2, 8)), 1)},
    "an array and an index": {"numbers": (0.0, np.ones(8)), "index": slice(3)},
    "a subclass": {"numbers": (np.ma.ones(8), 1.0)}, "one bad": {"numbers": (0, -np.eye(8)[0])},
    "NaN": {"numbers": (float("nan"), 1.0)}, "a large int": {"numbers": (10**400, 1.0)},
    "a negative scale": {"numbers": (0.0, -1.0)}, "-0.0": {"numbers": (0.0, -0.0)},
    "infinite": {"numbers": (0.0, float("inf"))}, "too few": {"numbers": (0.0,)},
    "a bool as a number": {"numbers": (0.0, True)},
    "no seed": {"seed": None}, "a negative seed": {"seed": -1}, "a large seed": {"seed": 2**63},
    "a bool as a seed": {"seed": True}, "a key": {"seed": type("Keyed", (), {"_key": b"0" * 16})()},
    "complex": {"dtype": "complex64"}, "an integer dtype": {"dtype": "int32"},
    "no dtype": {"dtype": "float33"}, "unhashable": {"dtype": []}, "other order": {"dtype": ">f4"},
    "another dtype": {"out": np.zeros(8), "dtype": "float32"}, "read-only": {"out": read_only()},
    "overlapping": {"out": np.broadcast_to(np.zeros(1, np.float32), 8)},
    "another shape": {"out": np.zeros(9, np.float32)}, "bytes": {"out": bytearray(32)},
    "swapped bytes": {"out": np.zeros(8, ">f4")}, "a list as out": {"out": [0.0] * 8},
    "unaligned": {"out": np.zeros(33, np.uint8)[1:].view(np.float32)},
    "every axis an int": {"index": 3}, "outside": {"index": 8}, "an array as an index":
    {"index": np.arange(2)}, "...": {"index": ...}, "too many indices": {"index": (slice(3), 1)},
    "a flat run": {"index": fanin.flat[1:3]}, "a bool as an index": {"index": True},
    "no threads": {"threads": 0}, "a word": {"threads": "2"}, "many threads": {"threads": 5000},
}  # fmt: skip


@pytest.mark.parametrize("name", UNUSUAL)
def test_what_is_unusual_or_wrong_is_left_alone(name):
    asked = {"law": "normal", "numbers": (0.0, 1.0), "shape": 8, **UNUSUAL[name]}
    out = asked.get("out")
    before = bytes(memoryview(out)) if isinstance(out, np.ndarray) else None
    assert quick(**asked) is None
    assert before is None or bytes(memoryview(out)) == before


@pytest.mark.parametrize("ends", [(1.0, 1.0 + 2**-30), (3.0, 2.0), (0.0, 3e38)])
def test_uniforms_that_may_hold_no_number_are_left_alone(ends):
    assert quick("uniform", ends, 8) is None
    assert quick("uniform", (1.0, 1.0), 8) is not None
    assert quick("uniform", (7e4, 8e4), 8, dtype="float16") is None


def test_a_truncated_normal_without_a_value_is_left_alone():
    assert quick("truncated_normal", (1.0, 1e-9, 1.0, 2.0), 8) is None


def test_a_generator_gives_one_child_for_a_call_that_is_taken_and_none_for_one_that_is_not():
    rng, twin = fanin.default_rng(5), fanin.default_rng(5)
    assert quick("normal", (0.0, -1.0), 8, seed=rng) is None
    assert quick("normal", (0.0, 1.0), 8, seed=rng, out=np.zeros(9, np.float32)) is None
    child = twin.spawn(1)[0].stream
    assert bits(quick("normal", (0.0, 1.0), 8, seed=rng)) == bits(fanin.normal(8, seed=child))
    assert rng == twin


# ---- schemes -------------------------------------------------------------------------------------

DRAWN = [name for name, row in fanin.schemes().items() if row.law is not None]


def typical(row):
    own = {name: value for name, value in row.example.items() if name not in ("shape", "layout")}
    return row.example["shape"], row.example.get("layout", "io"), own


@pytest.mark.parametrize("name", DRAWN)
def test_every_scheme_with_a_law_goes_the_quick_way_and_gives_the_same(name, monkeypatch):
    row = fanin.schemes()[name]
    shape, layout, own = typical(row)
    size = {"index": slice(2)}
    asked = layout, 1.5, shape, 7, None, None, slice(2), None
    taken = DOOR.draw_known(row.common_draw, (), own, *asked)
    assert taken is not None
    call = getattr(fanin, name)
    made = call(shape, seed=7, layout=layout, gain=1.5, **size, **own)
    monkeypatch.setattr(registry, "DOOR", type("Shut", (), {"draw_known": lambda *_: None}))
    slow = call(shape, seed=7, layout=layout, gain=1.5, **size, **own)
    assert bits(taken) == bits(made) == bits(slow)


def test_a_shape_that_only_equals_a_known_one_is_refused_as_before():
    assert fanin.he_normal((1, 2), seed=0).shape == (1, 2)
    for shape, error in (((True, 2), TypeError), ((1.0, 2), TypeError)):
        with pytest.raises(error):
            fanin.he_normal(shape, seed=0)
    assert fanin.mup((4, 2), (1, 2), seed=0).shape == (4, 2)
    with pytest.raises(TypeError):
        fanin.mup((4, 2), (True, 2), seed=0)
    assert fanin.wang_init((4, 2), 1, 2, seed=0).shape == (4, 2)
    with pytest.raises(TypeError):
        fanin.wang_init((4, 2), True, 2, seed=0)


def test_a_gain_that_changes_is_read_each_time():
    class Dial:
        value = 1.0

        def __float__(self):
            return self.value

    dial = Dial()
    one = fanin.he_normal((4, 4), seed=0, gain=dial)
    dial.value = 2.0
    assert (fanin.he_normal((4, 4), seed=0, gain=dial) == 2 * one).all()


# ---- the Generator's methods ---------------------------------------------------------------------

METHODS = {
    "random": {}, "standard_normal": {}, "standard_exponential": {}, "rademacher": {},
    "normal": {"loc": 1, "scale": 2.0}, "uniform": {"low": -1.0, "high": 4}, "exponential":
    {"scale": 3.0}, "laplace": {"loc": 0.5, "scale": 2.0},
    "truncated_normal": {"low": -1.0, "high": 3.0}, "integers": {"low": 3, "high": 90},
}  # fmt: skip


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("size", [None, 5, (2, 3), (), 0])
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int8", "int64", "uint64"])
def test_methods_give_the_bits_and_the_cursor_of_the_long_way(name, size, dtype):
    integer = dtype.lstrip("u").startswith("int")
    if integer != (name == "integers") and not (name == "rademacher" and dtype != "uint64"):
        return
    kind = np.dtype(dtype).type
    rng, twin = fanin.default_rng(8), fanin.default_rng(8)
    rng.bit_generator.random_raw(3), twin.bit_generator.random_raw(3)
    given = METHODS[name]
    one = getattr(rng, name)(**given, size=size, dtype=kind)
    # A parameter in single precision, or a size in a list, is left to the long way.
    slow = {key: np.float32(value) for key, value in given.items()}
    listed = size if size is None else [size] if isinstance(size, int) else list(size)
    other = getattr(twin, name)(**slow, size=listed, dtype=kind)
    assert type(one) is type(other)
    assert np.asarray(one).tobytes() == np.asarray(other).tobytes()
    assert np.shape(one) == np.shape(other) == (() if size is None else np.empty(size).shape)
    assert rng == twin


INTEGER_KINDS = (bool, int, np.bool_, np.int8, np.uint16, np.uint64, "int32", np.dtype("int64"))


@pytest.mark.parametrize("dtype", INTEGER_KINDS)
@pytest.mark.parametrize("bound", [int, np.int64])
@pytest.mark.parametrize("size", [None, 4])
def test_integers_of_any_dtype_with_their_end_or_without_go_the_quick_way(
    dtype, bound, size, monkeypatch
):
    rng, twin = fanin.default_rng(8), fanin.default_rng(8)
    slow = [
        twin.integers(np.float32(0), np.float32(2), size, dtype),
        twin.integers(np.float32(0), np.float32(1), size, dtype, endpoint=True),
        twin.integers(np.float32(2), None, size, dtype),
    ]
    monkeypatch.setattr(generator, "as_integer_dtype", None)  # where the long way begins
    made = [
        rng.integers(bound(0), bound(2), size, dtype),
        rng.integers(bound(0), 1, size, dtype, endpoint=True),
        rng.integers(bound(2), None, size, dtype),
    ]
    assert [type(x) for x in made] == [type(x) for x in slow]
    assert [np.asarray(x).tolist() for x in made] == [np.asarray(x).tolist() for x in slow]
    assert rng == twin


def test_numpys_commonest_numbers_go_the_quick_way():
    taken = quick(
        "normal", (np.float64(0.5), np.int64(2)), (np.int64(3), 2), seed=np.int64(7), threads=2
    )
    assert taken is not None
    assert bits(taken) == bits(fanin.normal((3, 2), 0.5, 2.0, seed=7))
    row = quick("normal", (0.0, 1.0), (9, 2), seed=7, index=np.int64(-2))
    assert bits(row) == bits(fanin.normal((9, 2), seed=7)[-2])


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint8", "int32", "uint32", "int64", "uint64"])
def test_bounds_that_do_not_fit_the_dtype_are_refused_at_every_size(dtype):
    kind = np.dtype(dtype).type
    least, most = (0, 1) if dtype == "bool" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    for size in (3, [3]):
        rng = fanin.default_rng(1)
        drawn = rng.integers(int(least), int(most) + 1, size, kind)
        assert drawn.dtype == dtype
        for low, high, words in (
            (int(least) - 1, int(most), "low is out of bounds"),
            (int(least), int(most) + 2, "high is out of bounds"),
            (int(most), int(most), "low >= high"),
        ):
            with pytest.raises(ValueError, match=words):
                rng.integers(low, high, size, kind)
