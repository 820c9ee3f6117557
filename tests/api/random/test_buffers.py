"""`out=` in memory of others: DLPack capsules of every kind, the buffer protocol, and what is held
meanwhile."""

from __future__ import annotations

import array
import ctypes
import gc
import mmap
import sys
import threading
import time

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fanin

BF16 = np.dtype(ml_dtypes.bfloat16)
CPU, CUDA = 1, 2
FLOAT, BFLOAT, COMPLEX = 2, 4, 5
NATURAL = 1


def same(a, b):
    """Equal bits, shape and dtype."""
    a, b = np.asarray(a), np.asarray(b)
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


# ---- an exporter in ctypes, after the C structures of the DLPack standard ------------------------


class Device(ctypes.Structure):
    _fields_ = [("kind", ctypes.c_int32), ("number", ctypes.c_int32)]


class DataType(ctypes.Structure):
    _fields_ = [("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16)]


class Tensor(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p),
        ("device", Device),
        ("rank", ctypes.c_int32),
        ("dtype", DataType),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    ]


DELETER = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class Managed(ctypes.Structure):
    _fields_ = [("tensor", Tensor), ("context", ctypes.c_void_p), ("deleter", DELETER)]


class ManagedVersioned(ctypes.Structure):
    _fields_ = [
        ("major", ctypes.c_uint32),
        ("minor", ctypes.c_uint32),
        ("context", ctypes.c_void_p),
        ("deleter", DELETER),
        ("flags", ctypes.c_uint64),
        ("tensor", Tensor),
    ]


new_capsule = ctypes.pythonapi.PyCapsule_New
new_capsule.restype = ctypes.py_object
new_capsule.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]


class Exporter:
    """Memory of zeros behind DLPack; counts how often its deleter is called."""

    def __init__(self, shape, code=FLOAT, bits=32, lanes=1, strides=None, offset=0, device=CPU,
                 version=(1, 0), flags=0, once=False, size=4096,
                 writable=True):  # fmt: skip
        self.memory = ctypes.create_string_buffer(size)
        self.version, self.flags, self.device, self.once = version, flags, device, once
        self.deleted, self.capsule, self.kept = 0, None, []
        self.writable = writable
        rank = len(shape)
        self.sizes = (ctypes.c_int64 * max(rank, 1))(*shape)
        steps = None if strides is None else (ctypes.c_int64 * max(rank, 1))(*strides)
        self.steps = steps
        self.tensor = Tensor(ctypes.addressof(self.memory), Device(device, 0), rank,
                             DataType(code, bits, lanes), self.sizes, steps, offset)  # fmt: skip
        self.deleter = DELETER(self._delete)

    def _delete(self, _):
        self.deleted += 1

    def _fresh(self):
        if self.version is None:
            managed, name = Managed(self.tensor, None, self.deleter), b"dltensor"
        else:
            managed = ManagedVersioned(*self.version, None, self.deleter, self.flags, self.tensor)
            name = b"dltensor_versioned"
        self.kept.append(managed)
        return new_capsule(ctypes.addressof(managed), name, None)

    def __dlpack_device__(self):
        return self.device, 0

    @property
    def __array_interface__(self):
        """Only here is a capsule without a version said to be writable."""
        if self.version is not None or not self.writable:
            raise AttributeError
        return {"data": (ctypes.addressof(self.memory), False)}

    def __dlpack__(self, **keywords):
        if self.version is None and keywords:
            raise TypeError("__dlpack__() got an unexpected keyword argument 'max_version'")
        if self.once and self.capsule is not None:
            return self.capsule
        self.capsule = self._fresh()
        return self.capsule

    def values(self, dtype, count, offset=0):
        return np.frombuffer(self.memory, dtype, count, offset)


VERSIONS = [None, (1, 0), (1, 7)]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("code", "bits", "dtype"),
    [
        (FLOAT, 32, np.dtype("f4")),
        (FLOAT, 64, np.dtype("f8")),
        (FLOAT, 16, np.dtype("f2")),
        (BFLOAT, 16, BF16),
        (COMPLEX, 64, np.dtype("c8")),
        (COMPLEX, 128, np.dtype("c16")),
    ],
)
def test_dlpack_memory_gets_the_values(version, code, bits, dtype):
    out = Exporter((3, 5), code, bits, version=version)
    assert fanin.normal((3, 5), seed=1, out=out) is out
    assert same(out.values(dtype, 15), fanin.normal(15, seed=1, dtype=dtype))
    gc.collect()
    assert out.deleted == 1
    assert not any(out.memory.raw[15 * dtype.itemsize :])


def test_integers_go_into_dlpack_memory():
    out = Exporter((6,), NATURAL, 16)
    assert fanin.default_rng(1).integers(9, 99, dtype="uint16", out=out) is out
    assert same(out.values(np.uint16, 6), fanin.default_rng(1).integers(9, 99, 6, dtype="uint16"))


@pytest.mark.parametrize("version", VERSIONS)
def test_offset_and_strides_are_honoured(version):
    out = Exporter((2, 3), strides=(1, -4), offset=100, version=version)
    fanin.normal((2, 3), seed=1, out=out)
    expected = np.zeros(1024, np.float32)
    for i, row in enumerate(fanin.normal((2, 3), seed=1)):
        for j, value in enumerate(row):
            expected[25 + i - 4 * j] = value
    assert same(out.values(np.float32, 1024), expected)


def test_an_exporter_without_axes_or_without_elements():
    out = Exporter(())
    fanin.normal((), seed=1, out=out)
    assert out.values(np.float32, 1)[0] == fanin.normal(1, seed=1)[0]
    empty = Exporter((0, 4))
    assert fanin.normal((0, 4), seed=1, out=empty) is empty and not any(empty.memory.raw)


REFUSED = [
    (lambda: Exporter((6,), flags=1), ValueError, "read-only"),
    (lambda: Exporter((6,), lanes=2), TypeError, "lanes"),
    (lambda: Exporter((6,), code=FLOAT, bits=8), TypeError, "float8"),
    (lambda: Exporter((6,), code=9, bits=8), TypeError, "code 9"),
    (lambda: Exporter((6,), device=CUDA), TypeError, "CPU"),
    (lambda: Exporter((6,), version=(2, 0)), BufferError, "version 2"),
    (lambda: Exporter((5,)), ValueError, "size must match out.shape"),
    (lambda: Exporter((6,), strides=(0,)), ValueError, "overlap"),
    (lambda: Exporter((6,), bits=64), TypeError, "Expected float32, got float64"),
    (lambda: Exporter((6,), NATURAL, 32), TypeError, "uint32"),
]


@pytest.mark.parametrize(("make", "error", "words"), REFUSED)
def test_refused_capsules_are_deleted_once_and_nothing_is_written(make, error, words):
    out, rng = make(), fanin.default_rng(1)
    with pytest.raises(error, match=words):
        fanin.normal(6, seed=rng, dtype="float32", out=out)
    gc.collect()
    assert out.deleted == len(out.kept) and not any(out.memory.raw)
    assert rng == fanin.default_rng(1)


def test_a_device_that_only_the_tensor_names_is_refused():
    out = Exporter((6,), device=CUDA)
    out.device = CPU  # says CPU, and hands out a capsule of a device
    with pytest.raises(TypeError, match="device of type 2"):
        fanin.normal(6, seed=0, out=out)
    gc.collect()
    assert out.deleted == 1


def test_a_capsule_is_taken_only_once():
    out = Exporter((6,), once=True)
    fanin.normal(6, seed=0, out=out)
    for _ in range(2):
        with pytest.raises(BufferError, match="only once"):
            fanin.normal(6, seed=1, out=out)
    gc.collect()
    assert out.deleted == 1
    assert same(out.values(np.float32, 6), fanin.normal(6, seed=0))


@pytest.mark.parametrize("result", [None, 5, "capsule"])
def test_what_is_no_capsule_is_refused(result):
    class Odd:
        def __dlpack__(self, **keywords):
            return result

    with pytest.raises(BufferError, match="dltensor"):
        fanin.normal(6, seed=0, out=Odd())


def test_the_memory_lives_as_long_as_the_view():
    out = Exporter((6,), version=None)
    view = fanin._core.from_dlpack(out.__dlpack__(), np.dtype, True)
    assert out.deleted == 0
    part = view[1:]
    del view
    gc.collect()
    assert out.deleted == 0
    del part
    gc.collect()
    assert out.deleted == 1


#: What NumPy's own export may be asked: before 2.1 it knew no versions.
ASKED = [{}, {"max_version": (1, 0)}]
try:
    np.zeros(1).__dlpack__(max_version=(1, 0))
except TypeError:
    ASKED.pop()


def test_numpys_own_export_works_old_and_new():
    for keywords in ASKED:

        class Holder:
            def __init__(self, keywords):
                self.array, self.keywords = np.zeros((3, 4), "f4")[:, ::2], keywords

            def __dlpack__(self, **_):
                return self.array.__dlpack__(**self.keywords)

            @property
            def __array_interface__(self):
                return self.array.__array_interface__

        out = Holder(keywords)
        fanin.normal((3, 2), seed=1, out=out)
        assert same(np.ascontiguousarray(out.array), fanin.normal((3, 2), seed=1))


# ---- memory that nobody calls writable ----------------------------------------------------------


def test_a_capsule_without_a_version_is_refused_if_nothing_says_that_it_is_writable():
    out = Exporter((6,), version=None, writable=False)
    with pytest.raises(ValueError, match="does not say that its memory may be written"):
        fanin.normal(6, seed=0, out=out)
    with pytest.raises(ValueError, match="does not say that its memory may be written"):
        fanin.default_rng(0).normal(out=out)
    gc.collect()
    assert out.deleted == 2 and not out.values(np.float32, 6).any()


@pytest.mark.parametrize("version", VERSIONS)
def test_an_exporter_whose_array_interface_is_read_only_is_refused(version):
    class Immutable(Exporter):
        @property
        def __array_interface__(self):
            return {"data": (ctypes.addressof(self.memory), True)}

    out = Immutable((6,), version=version)
    with pytest.raises(ValueError, match="read-only"):
        fanin.normal(6, seed=0, out=out)
    assert not out.values(np.float32, 6).any()


class ReadOnlyBuffer(bytes):
    """A read-only buffer whose memory is also exported by DLPack, as JAX's arrays are."""

    version: tuple[int, int] | None = None

    def __dlpack__(self, **_):
        inner = self.__dict__.setdefault("exporter", Exporter((6,), version=self.version))
        return inner.__dlpack__()


@pytest.mark.parametrize("version", VERSIONS)
def test_an_exporter_whose_buffer_is_read_only_is_refused(version):
    out = ReadOnlyBuffer(24)
    out.version = version
    with pytest.raises(ValueError, match="read-only"):
        fanin.normal(6, seed=0, out=out)
    assert not out.exporter.values(np.float32, 6).any()


# ---- the buffer protocol -------------------------------------------------------------------------


def test_buffers_of_the_standard_library_are_filled():
    expected = fanin.normal(32, seed=3)
    with mmap.mmap(-1, 128) as pages:
        view = memoryview(pages).cast("f")
        assert fanin.normal(32, seed=3, out=view) is view
        assert same(np.frombuffer(pages, "f4").copy(), expected)
        view.release()
    numbers = (ctypes.c_float * 32)()
    assert fanin.normal(32, seed=3, out=numbers) is numbers
    assert list(numbers) == expected.tolist()
    table = memoryview(bytearray(128)).cast("f", (4, 8))
    fanin.normal((4, 8), seed=3, out=table)
    assert table.tolist() == expected.reshape(4, 8).tolist()
    whole = array.array("i", [0] * 8)
    assert fanin.default_rng(1).integers(9, dtype="i4", out=whole) is whole
    assert list(whole) == fanin.default_rng(1).integers(9, size=8).tolist()


@pytest.mark.parametrize(
    ("out", "error"),
    [
        (b"\0" * 24, (TypeError, ValueError)),
        (memoryview(b"\0" * 24).cast("f"), ValueError),
        (bytearray(24), TypeError),
        (array.array("i", [0] * 6), TypeError),
        (memoryview(np.zeros(6, "f4")).toreadonly(), ValueError),
    ],
)
def test_buffers_that_cannot_take_the_values_are_refused(out, error):
    before = bytes(memoryview(out).cast("B"))
    with pytest.raises(error):
        fanin.normal(6, seed=0, dtype="float32", out=out)
    assert bytes(memoryview(out).cast("B")) == before


def test_memory_cannot_be_resized_while_it_is_being_filled():
    count = 8_000_000
    resizable = [array.array("f", bytes(4 * count)), np.zeros(count, "f4")]
    enlarge = [lambda a: a.append(1.0), lambda a: a.resize(count + 1)]
    before = fanin.runtime.isa()
    fanin._core.debug.set_isa("baseline")  # slow enough to be met at work
    try:
        for out, grow in zip(resizable, enlarge, strict=True):
            started = threading.Event()

            def fill(out=out, started=started):
                started.set()
                fanin.truncated_normal(count, low=-3.0, high=3.0, seed=0, out=out, threads=1)

            worker = threading.Thread(target=fill)
            worker.start()
            started.wait()
            time.sleep(0.02)
            assert worker.is_alive()
            with pytest.raises((BufferError, ValueError), match="resize|export"):
                grow(out)
            worker.join()
    finally:
        fanin._core.debug.set_isa(before)


def test_a_filled_buffer_is_released():
    memory = bytearray(24)
    fanin.normal(6, seed=0, out=memoryview(memory).cast("f"))
    gc.collect()
    memory.extend(b"1234")  # BufferError if an export were left


# ---- anything at all -----------------------------------------------------------------------------

KINDS = ["f4", "f8", "f2", "c8", "c16", ">f4", ">f8", "i4", "u1", "?", "O", "S3", "V8", "M8[s]",
         "f4,i4", "g", BF16]  # fmt: skip
GUARD = 64


@st.composite
def strange_arrays(draw):
    """An array of any dtype and strides inside guarded memory, and its bytes' ends."""
    dtype = np.dtype(draw(st.sampled_from(KINDS)))
    rank = draw(st.one_of(st.integers(0, 4), st.sampled_from([7, 32])))
    shape = tuple(draw(st.integers(0, 4)) if rank <= 4 else draw(st.integers(0, 2)) % 2 + 1
                  if axis < 3 else 1 for axis in range(rank))  # fmt: skip
    order = draw(st.permutations(range(rank)))
    strides, step = [0] * rank, max(dtype.itemsize, 1)
    for axis in order:
        step *= draw(st.integers(1, 2))
        strides[axis] = step * draw(st.sampled_from([1, -1]))
        step *= max(shape[axis], 1)
    if draw(st.booleans()) and rank:
        strides[draw(st.integers(0, rank - 1))] = draw(st.sampled_from([0, 1, dtype.itemsize]))
    odd = draw(st.integers(0, 1))
    low = sum((n - 1) * s for n, s in zip(shape, strides, strict=True) if s < 0 and n > 1)
    high = sum((n - 1) * s for n, s in zip(shape, strides, strict=True) if s > 0 and n > 1)
    if dtype.hasobject:
        return np.empty(shape, dtype), None
    raw = np.full(high - low + dtype.itemsize + 2 * GUARD + odd, 0xA5, np.uint8)
    view = np.ndarray(shape, dtype, raw, GUARD + odd - low, tuple(strides))
    return view, raw


@settings(max_examples=400, deadline=None, derandomize=True)
@given(strange_arrays(), st.sampled_from(["normal", "uniform", "integers"]), st.booleans())
def test_any_array_gets_its_values_or_is_refused_untouched(case, law, writeable):
    out, raw = case
    before = None if raw is None else raw.copy()
    if not writeable and raw is not None:
        out.flags.writeable = False
    dtype = out.dtype
    rng = fanin.default_rng(5)
    calls = {
        "normal": lambda out, size: rng.standard_normal(size, dtype, out),
        "uniform": lambda out, size: fanin.uniform(size, seed=5, dtype=dtype, out=out),
        "integers": lambda out, size: rng.integers(2, size=size, dtype=dtype, out=out),
    }
    try:
        result = calls[law](out, out.shape)
    except (TypeError, ValueError):
        assert raw is None or raw.tobytes() == before.tobytes()
        assert rng == fanin.default_rng(5)
        return
    assert result is out and writeable
    rng = fanin.default_rng(5)
    expected = before.copy()
    start = out.__array_interface__["data"][0] - raw.ctypes.data
    plain = np.ndarray(out.shape, dtype, expected, start, out.strides)
    plain[...] = calls[law](None, out.shape)
    assert raw.tobytes() == expected.tobytes()  # the values, and not one byte besides


HUGE = [
    ((2**31, 2**31), (ValueError, MemoryError)),
    ((2**63 - 1,), (ValueError, MemoryError)),
    ((3**55, 2**55), (ValueError, MemoryError)),
    ((2**64, 1), ValueError),
    ((2**64 + 1,), ValueError),
    ((0, 2**65), ValueError),
    ((-(2**65),), ValueError),
    ((2**32, 2**32, 0), (ValueError, MemoryError)),
    ((1,) * 70, ValueError),
]


@pytest.mark.parametrize(("shape", "errors"), HUGE)
def test_impossible_shapes_are_refused_at_once(shape, errors):
    """Before anything of that size is allocated: the allocator is not asked, or refuses."""
    rng = fanin.default_rng(1)
    calls = [
        lambda: fanin.normal(shape, seed=rng, dtype="float64"),
        lambda: rng.random(shape),
        lambda: rng.integers(5, size=shape),
    ]
    for call in calls:
        before = sys.getallocatedblocks()
        with pytest.raises(errors):
            call()
        assert sys.getallocatedblocks() - before < 1000
    assert rng == fanin.default_rng(1)


@pytest.mark.timing
@pytest.mark.parametrize(("shape", "errors"), HUGE)
def test_impossible_shapes_are_refused_within_10_ms(shape, errors):
    with pytest.raises(errors):
        fanin.normal(shape, seed=0)  # once, to have everything imported
    start = time.perf_counter()
    with pytest.raises(errors):
        fanin.normal(shape, seed=0)
    assert time.perf_counter() - start < 0.01


def test_an_array_whose_type_says_no_module_is_filled():
    nameless = {}
    exec("import ctypes; table = (ctypes.c_float * 7)()", nameless)
    table = nameless["table"]
    assert not hasattr(type(table), "__module__")
    assert fanin.normal(7, seed=3, out=table) is table
    assert list(table) == fanin.normal(7, seed=3).tolist()
