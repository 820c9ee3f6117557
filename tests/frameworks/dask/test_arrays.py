"""fanin.dask: values that do not depend on chunks, schedulers or workers, made chunk by chunk."""

from __future__ import annotations

import resource

import dask
import dask.array as da
import numpy as np
import pytest
from distributed import Client, LocalCluster

import fanin
import fanin.dask

SHAPE = (70, 90)
LAWS = {
    "random": {},
    "normal": {"loc": 0.5, "scale": 2.0},
    "uniform": {"low": -1.0, "high": 3.0},
    "truncated_normal": {"scale": 0.1, "low": -1.0, "high": 3.0},
    "orthogonal": {"gain": 2.0},
}
CHUNKS = ["auto", -1, 32, (70, 13), (7, 90), ((1, 69), (50, 40))]


@pytest.fixture(autouse=True)
def threaded():
    with dask.config.set(scheduler="threads"):
        yield


@pytest.mark.parametrize("chunks", CHUNKS, ids=str)
@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("dtype", [None, "bfloat16", "float64"])
def test_values_do_not_depend_on_chunks(law, chunks, dtype):
    made = getattr(fanin.dask, law)(SHAPE, **LAWS[law], seed=3, chunks=chunks, dtype=dtype)
    whole = getattr(fanin, law)(SHAPE, **LAWS[law], seed=3, dtype=dtype)
    assert made.dtype == whole.dtype and made.shape == SHAPE
    computed = made.compute()
    assert computed.dtype == whole.dtype and np.array_equal(computed, whole)


@pytest.mark.parametrize("shape", [(), 5, (0, 3), (2, 3, 4, 5)])
def test_any_number_of_axes(shape):
    made = fanin.dask.normal(shape, seed=3, chunks=2).compute()
    assert np.array_equal(made, fanin.normal(shape, seed=3))


def test_a_task_makes_its_own_chunk_and_no_other(monkeypatch):
    asked = []

    def normal(shape, *arguments, index=None, **named):
        asked.append(index)
        return fanin.normal(shape, *arguments, index=index, **named)

    x = fanin.dask._array(normal, SHAPE, {}, 3, (20, 30), None)
    asked.clear()
    part = x[25:35, 5:10].compute()
    assert np.array_equal(part, fanin.normal(SHAPE, seed=3)[25:35, 5:10])
    assert asked == [(slice(20, 40), slice(0, 30))]
    assert len(dict(x.__dask_graph__())) == 4 * 3


def test_an_array_far_beyond_memory_is_described_and_read_in_part():
    x = fanin.dask.normal((1 << 20, 1 << 20), seed=3, chunks=(1 << 14, 1 << 14))
    part = x[5, 7:9].compute()
    assert np.array_equal(part, fanin.normal((1 << 20, 1 << 20), seed=3, index=(5, slice(7, 9))))


def test_equal_descriptions_share_a_name_and_others_do_not():
    x = fanin.dask.normal(SHAPE, seed=3, chunks=32)
    assert x.name == fanin.dask.normal(SHAPE, seed=3, chunks=32).name
    others = [
        fanin.dask.normal(SHAPE, seed=4, chunks=32),
        fanin.dask.normal(SHAPE, seed=3, chunks=30),
        fanin.dask.normal(SHAPE, 1.0, seed=3, chunks=32),
        fanin.dask.normal(SHAPE, seed=3, chunks=32, dtype="float64"),
        fanin.dask.uniform(SHAPE, 0.0, 1.0, seed=3, chunks=32),
    ]
    assert len({x.name, *(other.name for other in others)}) == 6


def test_a_generator_gives_a_child_for_each_array_and_a_stream_itself():
    rng, twin = fanin.default_rng(1), fanin.default_rng(1)
    first, second = (fanin.dask.normal(SHAPE, seed=rng).compute() for _ in range(2))
    assert np.array_equal(first, fanin.normal(SHAPE, seed=twin))
    assert np.array_equal(second, fanin.normal(SHAPE, seed=twin))
    stream = fanin.Stream(0)["x"]
    made = fanin.dask.normal(SHAPE, seed=stream).compute()
    assert np.array_equal(made, fanin.normal(SHAPE, seed=stream))


def test_bad_arguments_are_refused_when_the_array_is_described():
    rng = fanin.default_rng(1)
    with pytest.raises(ValueError, match="scale < 0"):
        fanin.dask.normal(SHAPE, 0.0, -1.0, seed=rng)
    with pytest.raises(TypeError, match="int32.*accepted: float32"):
        fanin.dask.normal(SHAPE, seed=rng, dtype="int32")
    with pytest.raises(TypeError, match="scale must be a number"):
        fanin.dask.normal(SHAPE, 0.0, np.ones(90), seed=rng)
    with pytest.raises(TypeError, match="fanin.Stream"):
        fanin.dask.normal(SHAPE, seed="zero")
    with pytest.raises(TypeError, match="seed"):
        fanin.dask.normal(SHAPE)
    with pytest.raises(ValueError, match="two axes"):
        fanin.dask.orthogonal((2, 3, 4), seed=rng)
    with pytest.raises(ValueError):
        fanin.dask.normal(SHAPE, seed=rng, chunks=(10, 20, 30))
    for shape, chunks in ((SHAPE, 0), (SHAPE, (10, 0)), ((10, 7), -3)):
        with pytest.raises(ValueError, match="a chunk has at least 1 element"):
            fanin.dask.normal(shape, seed=rng, chunks=chunks)
    assert rng == fanin.default_rng(1)


# --- orthogonal -----------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(96, 64), (64, 96), (64, 64)])
def test_a_matrix_is_cut_along_its_shorter_axis_and_nothing_is_sent(shape):
    made = fanin.dask.orthogonal(shape, seed=3, chunks=16)
    assert made.numblocks == ((1, 4) if shape[0] >= shape[1] else (4, 1))
    graph = made.__dask_graph__()
    assert all(not graph.get_all_dependencies()[key] for key in graph)
    q = made.compute().astype(np.float64)
    gram = q.T @ q if shape[0] >= shape[1] else q @ q.T
    # A sum of at most 96 products of float32 roundings of 2^-24.
    np.testing.assert_allclose(gram, np.eye(64), atol=96 * 2.0**-24)


def test_tall_and_skinny_matrices_agree_with_tsqr_of_dask():
    q = fanin.dask.orthogonal((4000, 20), seed=3, chunks=((1000,) * 4, (20,)), dtype="float64")
    _, r = da.linalg.tsqr(q)
    # Orthonormal columns have a triangular factor of signs.
    np.testing.assert_allclose(abs(r.compute()), np.eye(20), atol=1e-13)
    x = fanin.dask.normal((4000, 20), seed=4, chunks=(1000, 20), dtype="float64")
    theirs, r = da.linalg.tsqr(x)
    theirs = (theirs * np.sign(np.diag(r.compute()))).compute()
    ours = q.compute()
    # Both are Haar: 20 sums of 4000 squares of entries; fourth moments agree within noise. A sum
    # of n fourth powers has relative error sqrt(96 / 9 / n) for normal-like entries; six of both.
    fourth = [np.mean(m**4) * 4000**2 for m in (ours, theirs)]
    assert fourth[0] == pytest.approx(fourth[1], rel=6 * np.sqrt(2 * 96 / 9 / ours.size))


# --- schedulers -----------------------------------------------------------------------------------


@pytest.mark.parametrize("scheduler", ["synchronous", "threads", "processes"])
def test_a_local_scheduler_gives_the_values_of_one_call(scheduler):
    arrays = [
        fanin.dask.normal(SHAPE, seed=3, chunks=32),
        fanin.dask.orthogonal(SHAPE, seed=3, chunks=32),
    ]
    normal, matrix = dask.compute(*arrays, scheduler=scheduler)
    assert np.array_equal(normal, fanin.normal(SHAPE, seed=3))
    assert np.array_equal(matrix, fanin.orthogonal(SHAPE, seed=3))


def peaks(client):
    """The most bytes that each worker has held. (Workers cannot import functions of a test.)"""
    usage = client.run(resource.getrusage, resource.RUSAGE_SELF)
    return {worker: each.ru_maxrss * 1024 for worker, each in usage.items()}


def test_two_distributed_workers_hold_their_chunks_only(tmp_path):
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with (
        dask.config.set({"temporary-directory": str(tmp_path)}),
        LocalCluster(processes=True, **options) as cluster,
        Client(cluster) as client,
    ):
        small = [fanin.dask.normal(SHAPE, seed=3, chunks=32),
                 fanin.dask.orthogonal(SHAPE, seed=3, chunks=32)]  # fmt: skip
        normal, matrix = client.gather(client.compute(small))
        assert np.array_equal(normal, fanin.normal(SHAPE, seed=3))
        assert np.array_equal(matrix, fanin.orthogonal(SHAPE, seed=3))
        before = peaks(client)
        x = fanin.dask.normal((1 << 13, 1 << 13), seed=3, chunks=(1 << 13, 1 << 9))
        chunk = 1 << 24  # bytes, of 2^28
        mean = client.compute(x.mean(dtype="float64")).result()
        grown = [after - before[worker] for worker, after in peaks(client).items()]
    # 2^26 values: six standard errors of the mean.
    assert abs(mean) < 6 / 2**13
    # Two chunks at once for a worker of one thread (one is being reduced), and dask's own needs.
    assert max(grown) < 6 * chunk, [g / chunk for g in grown]


def test_dasks_own_random_arrays_draw_from_our_words():
    made = []
    for _ in range(2):
        rng = da.random.default_rng(fanin.BitGenerator(1))
        x = rng.normal(size=1000, chunks=100)
        y = rng.poisson(4.0, size=10, chunks=5), rng.choice(10, size=5, chunks=5)
        made.append([each.compute() for each in (x, x, *y)])
        assert (made[-1][0] == made[-1][1]).all()
    assert all((one == other).all() for one, other in zip(*made, strict=True))
    first = np.random.Generator(fanin.BitGenerator(1).spawn(1)[0]).normal(size=100)
    assert (made[0][0][:100] == first).all()
