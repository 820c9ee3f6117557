"""The engine: any strides, any part, any number of threads give the values of one plain fill."""

import ctypes
import multiprocessing
import os
import platform
import signal
import subprocess
import sys
import threading

import ml_dtypes
import numpy as np
import oracle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fanin
from fanin import _core

REAL = ["float32", "float64", "float16", "bfloat16"]
DTYPES = [*REAL, "complex64", "complex128"]
THREADS = [1, 2, 3, 4, 7, 16]


def as_dtype(name):
    return np.dtype(ml_dtypes.bfloat16) if name == "bfloat16" else np.dtype(name)


def same(a, b):
    """Equal bits, shape and dtype."""
    a, b = np.asarray(a), np.asarray(b)
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


# ---- strides -------------------------------------------------------------------------------------


def layouts(shape, dtype):
    """Arrays of one shape in memory of every kind, with guards of 0xA5 around and between."""
    item = dtype.itemsize

    def carve(view_of):
        raw = np.full(item * (8 * int(np.prod(shape)) + 64), 0xA5, np.uint8)
        return raw, view_of(raw)

    def wide(raw):
        big = tuple(2 * n for n in shape)
        return raw[: item * int(np.prod(big))].view(dtype).reshape(big)

    yield carve(lambda raw: wide(raw)[tuple(slice(0, None, 2) for _ in shape)])
    yield carve(lambda raw: wide(raw)[tuple(slice(-1, None, -2) for _ in shape)])
    yield carve(lambda raw: wide(raw)[tuple(slice(n // 2, n // 2 + n) for n in shape)])
    yield carve(
        lambda raw: np.ndarray(
            shape, dtype, raw[item : item + item * int(np.prod(shape))], order="F"
        )
    )
    # One byte off its alignment, in C order and with steps.
    yield carve(lambda raw: np.ndarray(shape, dtype, raw, offset=1))
    yield carve(
        lambda raw: np.ndarray(
            shape, dtype, raw, 1, tuple(3 * s for s in np.empty(shape, dtype).strides)
        )
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(100,), (7, 37), (3, 5, 11)])
def test_any_memory_layout_gets_the_same_values(isa, dtype, shape):
    dtype = as_dtype(dtype)
    plain = fanin.normal(shape, seed=2, dtype=dtype)
    for raw, out in layouts(shape, dtype):
        expected = raw.copy()
        np.ndarray(
            shape,
            dtype,
            expected,
            out.__array_interface__["data"][0] - raw.ctypes.data,
            out.strides,
        )[...] = plain
        assert fanin.normal(shape, seed=2, out=out) is out
        assert raw.tobytes() == expected.tobytes()  # the values, and not one byte besides


@pytest.mark.parametrize("dtype", DTYPES)
def test_large_strided_and_misaligned_fills_equal_the_plain_one(dtype):
    dtype = as_dtype(dtype)
    shape = (300, 701)
    plain = fanin.normal(shape, seed=3, dtype=dtype, threads=1)
    for _, out in layouts(shape, dtype):
        fanin.normal(shape, seed=3, out=out, threads=3)
        assert same(out, plain)


# Stores go past the caches in lines of 64 bytes through blocks of 2048, from so many bytes on as
# the machine likes; here from few.
PAST_CACHES = 96 << 10


@pytest.fixture
def past_caches():
    _core.debug.set_stream_bytes(PAST_CACHES)
    yield
    _core.debug.set_stream_bytes(0)


@pytest.mark.parametrize("draw", [fanin.uniform, fanin.normal])
@pytest.mark.parametrize("dtype", REAL)
def test_stores_past_the_caches_reach_memory_of_any_alignment(isa, past_caches, dtype, draw):
    dtype = as_dtype(dtype)
    count = 3 * PAST_CACHES // dtype.itemsize + 77
    skipped = 5  # so that the first tile is a part of one
    plain = draw(count + skipped, seed=6, dtype=dtype)[skipped:].tobytes()
    raw = np.empty(count * dtype.itemsize + 256, np.uint8)
    line = -raw.ctypes.data % 64
    for offset in (0, dtype.itemsize, 16, 64 - dtype.itemsize, 1):
        raw[...] = 0x5A
        start = line + offset
        out = np.ndarray(count, dtype, raw, start)
        index = slice(skipped, None)
        draw(count + skipped, seed=6, out=out, index=index, threads=1 + offset % 3)
        end = start + count * dtype.itemsize
        assert raw[start:end].tobytes() == plain
        assert (raw[:start] == 0x5A).all() and (raw[end:] == 0x5A).all()


def whole_range(rng, out):
    rng.integers(np.iinfo(out.dtype).min, 2 ** (8 * out.itemsize - 1), dtype=out.dtype, out=out)


def two_thirds(rng, out):
    rng.integers(-(2 ** (8 * out.itemsize) // 3), 5, dtype=out.dtype, out=out)


def hundred(rng, out):
    rng.integers(100, dtype=out.dtype, out=out)


def signs(rng, out):
    rng.rademacher(out=out, dtype=out.dtype)


@pytest.mark.parametrize("draw", [whole_range, two_thirds, hundred, signs])
@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "int64"])
def test_integers_past_the_caches_are_those_of_the_baseline(isa, past_caches, dtype, draw):
    dtype = np.dtype(dtype)
    count = 3 * PAST_CACHES // dtype.itemsize + 77
    raw = np.empty(count * dtype.itemsize + 256, np.uint8)
    made = []
    for offset in (0, 1, 16, dtype.itemsize):
        raw[...] = 0x5A
        start = -raw.ctypes.data % 64 + offset
        end = start + count * dtype.itemsize
        draw(fanin.default_rng(3), np.ndarray(count, dtype, raw, start))
        made.append(raw[start:end].tobytes())
        assert (raw[:start] == 0x5A).all() and (raw[end:] == 0x5A).all()
    _core.debug.set_isa("baseline")
    plain = np.empty(count, dtype)
    draw(fanin.default_rng(3), plain)
    assert set(made) == {plain.tobytes()}


@pytest.mark.parametrize("row", [100, 2048, 5000])
def test_rows_of_any_length_go_past_the_caches(past_caches, row):
    rows = 3 * PAST_CACHES // 4 // row + 1
    wide = np.zeros((rows, row + 3), np.float32)
    fanin.normal((rows, row), seed=6, out=wide[:, 1:-2])
    assert same(wide[:, 1:-2], fanin.normal((rows, row), seed=6))
    assert not wide[:, 0].any() and not wide[:, -2:].any()


@pytest.mark.parametrize("dtype", REAL)
@pytest.mark.parametrize("count", [1, 3, 15, 16, 17, 31, 32, 33, 4096, 100_003, (1 << 20) + 1])
def test_threads_and_isa_cannot_be_seen(isa, dtype, count):
    plain = fanin.normal(count, seed=4, dtype=dtype, threads=1)
    for threads in THREADS[1:]:
        assert same(fanin.normal(count, seed=4, dtype=dtype, threads=threads), plain)
        ready = np.empty(count, as_dtype(dtype))
        ready[...] = 0
        assert same(fanin.normal(count, seed=4, out=ready, threads=threads), plain)
    fanin._core.debug.set_isa("baseline")
    assert same(fanin.normal(min(count, 4096), seed=4, dtype=dtype), plain[:4096])


@pytest.mark.parametrize("dtype", REAL)
def test_a_large_fill_is_a_prefix_of_a_larger_one(past_caches, dtype):
    # Long enough for many chunks, at any offset to the lines.
    count = 5_000_011
    memory = np.empty(count + 64, as_dtype(dtype))
    whole = fanin.random(count, seed=5, dtype=dtype)
    for offset in (0, 1, 17):
        out = memory[offset : offset + count - 1000]
        fanin.random(count - 1000, seed=5, out=out)
        assert same(out, whole[: count - 1000])


# ---- parts ---------------------------------------------------------------------------------------


@st.composite
def shapes_and_indices(draw):
    shape = tuple(draw(st.lists(st.integers(0, 9), max_size=5)))
    index = []
    for size in shape[: draw(st.integers(0, len(shape)))]:
        if size and draw(st.booleans()):
            index.append(draw(st.integers(-size, size - 1)))
        else:
            edge = st.none() | st.integers(-12, 12)
            step = draw(st.none() | st.integers(-4, 4).filter(bool))
            index.append(slice(draw(edge), draw(edge), step))
    if draw(st.booleans()):
        index.insert(draw(st.integers(0, len(index))), Ellipsis)
        position = index.index(Ellipsis)
        tail = len(index) - position - 1
        # What follows the dots indexes the last axes: make its ints fit them.
        for k in range(tail):
            size = shape[len(shape) - tail + k]
            entry = index[position + 1 + k]
            if isinstance(entry, int) and not -size <= entry < size:
                index[position + 1 + k] = slice(None)
    return shape, tuple(index)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(shapes_and_indices(), st.sampled_from(DTYPES), st.integers(1, 3))
def test_a_part_equals_the_part_of_the_whole(case, dtype, threads):
    shape, index = case
    whole = fanin.normal(shape, 0.5, 2.0, seed=6, dtype=dtype)
    part = fanin.normal(shape, 0.5, 2.0, seed=6, dtype=dtype, index=index, threads=threads)
    expected = whole[index]
    assert np.shape(part) == np.shape(expected)
    assert same(part, expected)
    out = np.empty(np.shape(expected), whole.dtype)
    assert fanin.normal(shape, 0.5, 2.0, seed=6, index=index, out=out) is out
    assert same(out, expected)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.integers(0, 400), st.none() | st.integers(-450, 450), st.none() | st.integers(-450, 450),
       st.sampled_from(DTYPES))  # fmt: skip
def test_a_flat_run_equals_the_run_of_the_flattened_whole(size, start, stop, dtype):
    shape = (size // 4, 4)
    whole = fanin.normal(shape, seed=7, dtype=dtype)
    part = fanin.normal(shape, seed=7, dtype=dtype, index=fanin.flat[start:stop])
    assert same(part, whole.reshape(-1)[start:stop])


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.lists(st.integers(0, 40), min_size=1, max_size=8),
    st.sampled_from(REAL),
    st.sampled_from([0, 1]),
)
def test_uneven_shards_make_up_the_whole(sizes, dtype, axis):
    shape = [13, 13]
    shape[axis] = sum(sizes)
    whole = fanin.truncated_normal(shape, seed=8, dtype=dtype)
    edges = np.cumsum([0, *sizes])
    shards = [
        fanin.truncated_normal(
            shape, seed=8, dtype=dtype, index=(slice(None),) * axis + (slice(int(a), int(b)),)
        )
        for a, b in zip(edges[:-1], edges[1:], strict=True)
    ]
    assert same(np.concatenate(shards, axis), whole)


def test_a_part_costs_its_own_memory_only():
    code = (
        "import resource, fanin, numpy as np\n"
        "fanin.normal(4, seed=0)\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "fanin.normal((2**31, 2**31), seed=0, index=(slice(5, 9), slice(0, None, 2**22)))\n"
        "fanin.uniform((2**30,), seed=0, index=fanin.flat[2**29:2**29 + 1000])\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(run.stdout) < 4096  # kibibytes


# ---- processes, threads, signals -----------------------------------------------------------------


#: Values of several chunks even in new memory, where a float32 chunk has 2^19 of them.
SEVERAL = 2_000_000


def filled_in_a_child(queue):
    queue.put(fanin.normal(SEVERAL, seed=9, threads=2).tobytes())


@pytest.mark.parametrize("times", [5, pytest.param(100, marks=pytest.mark.long)])
def test_a_forked_child_makes_the_same_values_and_does_not_hang(times):
    expected = fanin.normal(SEVERAL, seed=9, threads=2).tobytes()  # the parent's threads exist now
    context = multiprocessing.get_context("fork")
    for _ in range(times):
        queue = context.Queue()
        child = context.Process(target=filled_in_a_child, args=(queue,))
        child.start()
        try:
            assert queue.get(timeout=20) == expected
            child.join(20)
            assert child.exitcode == 0
        finally:
            child.kill()  # one that hangs would be waited for when this process ends


def test_fork_while_another_thread_fills():
    stop = threading.Event()

    def keep_filling():
        while not stop.is_set():
            fanin.normal(SEVERAL, seed=1, threads=2)

    worker = threading.Thread(target=keep_filling)
    worker.start()
    try:
        for _ in range(5):
            child = os.fork()
            if child == 0:
                signal.alarm(20)
                values = fanin.normal(SEVERAL, seed=9, threads=2)
                os._exit(0 if values.size == SEVERAL else 1)
            assert os.waitpid(child, 0)[1] == 0
    finally:
        stop.set()
        worker.join()


def test_python_threads_fill_side_by_side():
    expected = [fanin.normal(SEVERAL, seed=k, threads=1) for k in range(8)]
    shared = np.empty(8 * SEVERAL, np.float32)
    own = [None] * 8

    def work(k):
        own[k] = fanin.normal(SEVERAL, seed=k, threads=2)
        fanin.normal(SEVERAL, seed=k, out=shared[k * SEVERAL : (k + 1) * SEVERAL], threads=2)

    workers = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for k in range(8):
        assert same(own[k], expected[k])
    assert same(shared, np.concatenate(expected))


def test_a_subprocess_with_one_thread_makes_the_same_values():
    code = f"import fanin, sys; sys.stdout.buffer.write(fanin.normal({SEVERAL}, seed=9).tobytes())"
    for name, value in (("OMP_NUM_THREADS", "1"), ("FANIN_ISA", "baseline")):
        run = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            check=True,
            env={**os.environ, name: value},
        )
        assert run.stdout == fanin.normal(SEVERAL, seed=9).tobytes()


def test_an_unknown_isa_in_the_environment_is_an_error_that_lists_the_choices():
    run = subprocess.run(
        [sys.executable, "-c", "import fanin; fanin.normal(3, seed=0)"],
        capture_output=True, text=True, env={**os.environ, "FANIN_ISA": "sse9"},
    )  # fmt: skip
    assert run.returncode != 0 and "sse9" in run.stderr and "baseline" in run.stderr


def test_the_forced_isa_is_the_one_that_runs(isa):
    assert fanin.runtime.isa() == isa


def test_rounding_mode_and_flushing_of_others_change_nothing():
    libc = ctypes.CDLL(None)
    tiny = dict(shape=4096, loc=0.0, scale=1e-42, seed=9)  # subnormal values
    expected = fanin.normal(SEVERAL, seed=9), fanin.normal(**tiny)
    for mode in (0x400, 0x800, 0xC00):  # x87 and SSE: down, up, towards zero (fenv.h on x86)
        before = libc.fegetround()
        try:
            if libc.fesetround(mode):
                continue  # another architecture: its own codes
            got = fanin.normal(SEVERAL, seed=9, threads=2), fanin.normal(**tiny)
            after = libc.fegetround()
        finally:
            libc.fesetround(before)
        assert after == mode  # put back as it was
        assert same(got[0], expected[0]) and same(got[1], expected[1])


def test_flushing_of_subnormals_by_others_changes_nothing():
    expected = fanin.normal(4096, scale=1e-42, seed=9)
    assert (expected != 0).any() and np.abs(expected).max() < 2.0**-126
    libm = ctypes.CDLL("libm.so.6")
    environment = ctypes.create_string_buffer(64)
    libm.fegetenv(environment)
    if (
        platform.machine() == "x86_64"
    ):  # fenv_t ends with MXCSR at byte 28: FTZ is bit 15, DAZ bit 6
        place, flush = 28, 0x8040
    else:  # aarch64: FPCR comes first, FZ is bit 24
        place, flush = 0, 1 << 24
    word = int.from_bytes(environment.raw[place : place + 4], "little") | flush
    flushing = environment.raw[:place] + word.to_bytes(4, "little") + environment.raw[place + 4 :]
    libm.fesetenv(flushing)
    try:
        got = fanin.normal(4096, scale=1e-42, seed=9)
        flushed = np.float32(1e-42) * np.float32(1)
    finally:
        libm.fesetenv(environment)
    assert flushed == 0  # it was on, and still on after the call
    assert same(got, expected)


def test_an_interrupt_stops_a_long_fill_and_the_next_call_is_right():
    code = (
        "import fanin, numpy as np, signal, threading, time, os\n"
        "sent = []\n"
        "def kick():\n"
        "    time.sleep(0.3); sent.append(time.monotonic()); os.kill(os.getpid(), signal.SIGINT)\n"
        "shape = (2**20, 40)\n"
        "memory = np.zeros((40, 2**20), 'float32').T\n"  # strided: seconds of work
        "fanin._core.debug.set_isa('baseline')\n"
        "threading.Thread(target=kick).start()\n"
        "try:\n"
        "    fanin.normal(shape, seed=0, out=memory, threads=1)\n"
        "except KeyboardInterrupt:\n"
        "    waited = time.monotonic() - sent[0]\n"
        "    print(waited < 1, fanin.normal(3, seed=0).tolist() == memory[0, :3].tolist())\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert run.stdout.split() == ["True", "True"], run.stderr


def test_the_oracle_agrees_far_out():
    key = oracle.seed_key(10)
    for first in (2**31 - 5, 2**32 - 5, 2**33 - 5, 2**34 - 5, 2**61 - 5, 2**63 - 12):
        got = fanin.random(
            2**63 - 1, seed=10, dtype="float64", index=fanin.flat[first : first + 11]
        )
        assert got.tolist() == oracle.uniform(key, first, 11, "float64")
