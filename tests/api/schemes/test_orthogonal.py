"""fanin.orthogonal and fanin.unitary: shapes, layouts, batches, parts, dtypes, refusals."""

import tracemalloc

import ml_dtypes
import numpy as np
import pytest

import fanin
from fanin import Layout, Stream, cli, orthogonal, unitary

# With k columns of m elements, every entry of Q^T Q - I is a sum of m rounded products and of the
# error of Q, which is bounded by about eps k / sqrt(k) an entry: 40 eps is ample
# for the shapes below.
TOLERANCE = {
    np.dtype(np.float32): 40 * 2.0**-23,
    np.dtype(np.float64): 40 * 2.0**-52,
    np.dtype(np.complex64): 40 * 2.0**-23,
    np.dtype(np.complex128): 40 * 2.0**-52,
}


def assert_orthonormal(q, gain=1.0):
    """The vectors along the longer side of a matrix, or of a stack of them."""
    if q.shape[-2] < q.shape[-1]:
        q = np.swapaxes(q, -1, -2)
    wide = q.astype(np.complex128 if q.dtype.kind == "c" else np.float64)
    gram = np.swapaxes(wide.conj(), -1, -2) @ wide
    assert np.abs(gram - gain**2 * np.eye(q.shape[-1])).max() <= gain**2 * TOLERANCE[q.dtype]


# O7
@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 9), (9, 1), (2, 2), (300, 20), (20, 300), (64, 64), (97, 96), (700, 650)]
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_shape_has_orthonormal_vectors(shape, dtype):
    q = orthogonal(shape, seed=0, dtype=dtype)
    assert q.shape == shape and q.dtype == dtype
    assert_orthonormal(q)


def test_one_by_one_is_exactly_plus_or_minus_one():
    values = {float(orthogonal((1, 1), seed=seed)[0, 0]) for seed in range(20)}
    assert values == {1.0, -1.0}


def test_beyond_the_edge_of_the_sums_a_matrix_is_orthonormal():
    assert_orthonormal(orthogonal((4097, 40), seed=0))


@pytest.mark.long
def test_4097_columns_are_orthonormal():
    assert_orthonormal(orthogonal((4097, 4097), seed=0))


@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (5, 0)])
def test_empty_shapes_are_empty(shape):
    assert orthogonal(shape, seed=0).shape == shape
    assert orthogonal((*shape, 3), seed=0, batch_axes=2).shape == (*shape, 3)


def test_a_wide_matrix_is_the_transpose_of_the_tall_one():
    assert np.array_equal(orthogonal((20, 33), seed=1), orthogonal((33, 20), seed=1).T)
    assert np.array_equal(unitary((20, 33), seed=1), unitary((33, 20), seed=1).T)


def test_gain_multiplies_the_finished_values():
    plain = orthogonal((40, 30), seed=2)
    assert np.array_equal(orthogonal((40, 30), seed=2, gain=1.7), np.float32(1.7) * plain)
    assert_orthonormal(orthogonal((40, 30), seed=2, gain=3.0, dtype=np.float64), gain=3.0)
    assert (orthogonal((4, 4), seed=2, gain=0.0) == 0).all()


@pytest.mark.parametrize("half", [np.float16, ml_dtypes.bfloat16])
def test_halves_are_the_rounded_float32_matrix(half):
    expected = orthogonal((50, 40), seed=3, gain=1.3).astype(half)
    assert np.array_equal(orthogonal((50, 40), seed=3, gain=1.3, dtype=half), expected)
    out = np.zeros((40, 50), half).T
    assert orthogonal((50, 40), seed=3, gain=1.3, out=out) is out
    assert np.array_equal(out, expected)


@pytest.mark.parametrize("det", [1, -1])
def test_det_chooses_the_coset(det):
    for seed in range(8):
        q = orthogonal((33, 33), seed=seed, det=det, dtype=np.float64)
        assert np.linalg.det(q) == pytest.approx(det, abs=1e-11)
        free = orthogonal((33, 33), seed=seed, dtype=np.float64)
        assert np.array_equal(np.abs(q), np.abs(free))
        assert np.array_equal(q[:, :-1], free[:, :-1])


# ---------------------------------------------------------------------------------------------
# Layouts and batches


def test_a_kernel_is_flattened_as_the_layout_reads_it():
    kernel = orthogonal((3, 3, 4, 10), seed=4)
    assert np.array_equal(kernel.reshape(36, 10), orthogonal((36, 10), seed=4))
    kernel = orthogonal((10, 4, 3, 3), seed=4, layout="oi")
    assert np.array_equal(kernel.reshape(10, 36), orthogonal((10, 36), seed=4))
    assert np.array_equal(orthogonal((36, 10), seed=4, layout="oi"), orthogonal((36, 10), seed=4))


def test_named_axes_are_rows_and_columns():
    heads = orthogonal((12, 3, 4), seed=5, layout=Layout("io", out_axes=(1, 2)))
    assert np.array_equal(heads.reshape(12, 12), orthogonal((12, 12), seed=5))
    turned = orthogonal((7, 9), seed=5, layout=Layout("io", in_axes=1, out_axes=0))
    assert np.array_equal(turned.T, orthogonal((9, 7), seed=5))


def test_the_seeds_kernel_has_orthonormal_rows():
    # Keras's example: a Dense kernel (10, 64).
    assert_orthonormal(orthogonal((10, 64), seed=0))
    column = orthogonal((32, 1), seed=0)
    assert abs(np.linalg.norm(column) - 1) < 1e-6


@pytest.mark.parametrize("shape", [(20, 30), (30, 20), (12, 12)])
def test_batches_are_independent_matrices_that_know_no_batch(shape):
    batch = orthogonal((5, *shape), seed=6, batch_axes=0)
    assert_orthonormal(batch)
    assert np.array_equal(batch[0], orthogonal(shape, seed=6))
    assert np.array_equal(orthogonal((3, *shape), seed=6, batch_axes=(0,)), batch[:3])
    last = orthogonal((*shape, 5), seed=6, batch_axes=-1)
    assert np.array_equal(np.moveaxis(last, -1, 0), batch)
    layout = Layout("io", batch_axes=1)
    assert np.array_equal(
        orthogonal((shape[0], 5, shape[1]), seed=6, layout=layout).swapaxes(0, 1), batch
    )
    # Different matrices: overlaps tr(A^T B) have variance 1 (k columns: k / m).
    overlaps = [np.sum(batch[a] * batch[b]) for a in range(5) for b in range(a)]
    assert np.abs(overlaps).max() < 6


def test_several_batch_axes_count_in_c_order():
    batch = orthogonal((2, 3, 8, 8), seed=7, batch_axes=(0, 1))
    assert np.array_equal(batch.reshape(6, 8, 8), orthogonal((6, 8, 8), seed=7, batch_axes=0))
    mixed = orthogonal((2, 8, 3, 8), seed=7, batch_axes=(2, 0))
    assert np.array_equal(mixed.transpose(0, 2, 1, 3), batch)


# ---------------------------------------------------------------------------------------------
# Parts and destinations


@pytest.mark.parametrize("shape", [(70, 50), (50, 70), (48, 48)])
@pytest.mark.parametrize("function", [orthogonal, unitary])
def test_a_part_is_the_part_of_the_whole(function, shape):
    whole = function(shape, seed=8)
    for index in (
        (slice(None), 7), (slice(None), slice(30, 40)), (3, slice(None)), (-1, -1),
        (slice(5, 60, 7), slice(None, None, -3)), (Ellipsis, slice(0, 0)), slice(10, 20),
    ):  # fmt: skip
        assert np.array_equal(function(shape, seed=8, index=index), whole[index])
    for start, stop in ((0, 1), (45, 160), (0, whole.size), (whole.size - 60, whole.size)):
        run = fanin.flat[start:stop]
        assert np.array_equal(function(shape, seed=8, index=run), whole.ravel()[start:stop])


def test_a_part_of_a_batch_of_any_size_costs_that_part():
    shape = (2**50, 6, 5)
    far = orthogonal(shape, seed=9, batch_axes=0, index=2**50 - 1)
    assert_orthonormal(far)
    assert not np.array_equal(far, orthogonal(shape, seed=9, batch_axes=0, index=0))


def test_a_column_costs_its_share_of_memory():
    tracemalloc.start()
    orthogonal((3000, 2000), seed=9, index=(slice(None), 3))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 100 * 3000  # a few columns of bookkeeping; the matrix has 24 MB


@pytest.mark.parametrize("shape", [(40, 30), (30, 40), (4, 20, 20)])
def test_out_of_any_strides_is_filled_and_returned(shape):
    keywords = {"seed": 10, "batch_axes": 0 if len(shape) == 3 else ()}
    expected = orthogonal(shape, **keywords)
    backing = np.full((*shape, 2), 7.0, np.float32)
    for out in (
        np.empty(shape, np.float32), np.empty(shape, np.float32, order="F"), backing[..., 1],
        np.empty(shape, np.float32)[::-1],
    ):  # fmt: skip
        assert orthogonal(shape, out=out, **keywords) is out
        assert np.array_equal(out, expected)
    assert (backing[..., 0] == 7.0).all()


def test_threads_and_instruction_sets_do_not_change_a_bit(isa):
    expected = orthogonal((400, 390), seed=11, threads=1, index=(slice(None), slice(300, None)))
    for threads in (2, 3, 4, 7):
        got = orthogonal((400, 390), seed=11, threads=threads)
        assert np.array_equal(got[:, 300:], expected)
    one = orthogonal((9, 20, 20), seed=11, threads=1, batch_axes=0)
    assert np.array_equal(one, orthogonal((9, 20, 20), seed=11, threads=4, batch_axes=0))


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
def test_unitary_matrices_are_unitary(dtype):
    for shape in ((1, 1), (9, 9), (60, 33), (33, 60)):
        assert_orthonormal(unitary(shape, seed=12, dtype=dtype))
    assert unitary((4, 4), seed=12).dtype == np.complex64
    kernel = unitary((3, 2, 5), seed=12)
    assert np.array_equal(kernel.reshape(6, 5), unitary((6, 5), seed=12))


def test_the_table_of_schemes_knows_both():
    assert np.array_equal(fanin.get("orthogonal", gain=2.0)((5, 4), seed=1),
                          2 * orthogonal((5, 4), seed=1))  # fmt: skip
    assert fanin.schemes()["orthogonal"].expected_std((100, 25)) == pytest.approx(0.1)
    assert fanin.schemes()["unitary"].expected_std((16, 25)) == pytest.approx(0.2)
    q = orthogonal((400, 300), seed=13, dtype=np.float64)
    # n sum of squares is exact: each column has norm 1.
    assert q.std() == pytest.approx(fanin.schemes()["orthogonal"].expected_std(q.shape), rel=1e-2)


# ---------------------------------------------------------------------------------------------
# Refusals


@pytest.mark.parametrize(
    ("keywords", "error", "text"),
    [
        ({"shape": 3}, ValueError, "has no fan"),
        ({"shape": (2, 3), "batch_axes": 0}, ValueError, "has no fan"),
        ({"shape": (3, 4), "det": 1}, ValueError, "3 x 4"),
        ({"shape": (4, 4), "det": 0}, ValueError, "det must be 1, -1 or None"),
        ({"shape": (4, 4), "det": 1.0}, TypeError, "det must be an integer"),
        ({"shape": (4, 4), "batch_axes": 5}, ValueError, "out of bounds"),
        ({"shape": (2, 4, 4), "batch_axes": "0"}, TypeError, "batch_axes"),
        (
            {"shape": (2, 4, 4), "batch_axes": 0, "layout": Layout(batch_axes=0)},
            TypeError,
            "not both",
        ),
        ({"shape": (4, 4), "dtype": np.complex64}, TypeError, "accepted: float32"),
        ({"shape": (4, 4), "dtype": np.int32}, TypeError, "accepted: float32"),
        ({"shape": (4, 4), "gain": -1.0}, ValueError, "gain"),
        ({"shape": (4, 4), "threads": 0}, ValueError, "threads"),
        ({"shape": (-1, 4)}, ValueError, "negative"),
    ],
)
def test_what_makes_no_matrix_is_refused_and_moves_no_generator(keywords, error, text):
    generator, fresh = fanin.default_rng(1), fanin.default_rng(1)
    with pytest.raises(error, match=text):
        orthogonal(seed=generator, **keywords)
    assert np.array_equal(orthogonal((3, 3), seed=generator), orthogonal((3, 3), seed=fresh))


def test_unitary_takes_complex_dtypes_only():
    with pytest.raises(TypeError, match="accepted: complex64, complex128"):
        unitary((4, 4), seed=0, dtype=np.float32)
    with pytest.raises(TypeError, match="det"):
        unitary((4, 4), seed=0, det=1)


def test_parameters_are_given_by_name():
    with pytest.raises(TypeError, match="it is called orthogonal"):
        orthogonal((4, 4), 1.0, seed=0)


def test_seeds_of_all_kinds_and_two_names_give_their_own_matrices():
    stream = Stream(4)
    assert np.array_equal(orthogonal((6, 6), seed=4), orthogonal((6, 6), seed=stream))
    first, second = (orthogonal((6, 6), seed=stream[name]) for name in ("a", "b"))
    assert not np.array_equal(first, second)
    with pytest.raises(TypeError, match="needs seed="):
        orthogonal((6, 6))


# ---------------------------------------------------------------------------------------------
# What it is for


@pytest.mark.parametrize("n", [200, pytest.param(1000, marks=pytest.mark.long)])
def test_a_product_of_100_matrices_keeps_every_singular_value(n):
    product = np.eye(n)
    for layer in range(100):
        product = orthogonal((n, n), seed=Stream(0)[layer]).astype(np.float64) @ product
    assert np.abs(np.linalg.svd(product, compute_uv=False) - 1).max() < 1e-4


def test_the_command_writes_the_matrix(tmp_path, capsys):
    path = tmp_path / "q.npy"
    arguments = ["orthogonal", "60", "40", "--out", str(path), "--seed", "3", "--gain", "2"]
    assert cli.main([*arguments, "--dtype", "float16"]) == 0
    assert "60 x 40, float16, seed 3" in capsys.readouterr().out
    expected = orthogonal((60, 40), seed=3, gain=2.0, dtype=np.float16)
    assert np.array_equal(np.load(path), expected)
    assert cli.main(["orthogonal", "5", "--out", str(tmp_path / "q.txt")]) == 2
    assert cli.main(["orthogonal", "5", "--out", str(path), "--gain", "nan"]) == 2
    assert np.array_equal(np.load(path), expected)


def test_progress_counts_to_the_end():
    from fanin._schemes import haar as _orthogonal

    seen = []
    made = _orthogonal.matrix((2600, 2500), seed=0, dtype=np.float32,
                              progress=lambda done, total: seen.append((done, total)))  # fmt: skip
    assert np.array_equal(made, orthogonal((2600, 2500), seed=0))
    assert len(seen) > 1
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[-1][0] == seen[-1][1]


def test_an_error_in_progress_ends_the_work():
    from fanin._schemes import haar as _orthogonal

    def refuse(done, total):
        raise LookupError("enough")

    with pytest.raises(LookupError, match="enough"):
        _orthogonal.matrix((700, 650), seed=0, dtype=np.float32, progress=refuse)


@pytest.mark.timing
def test_the_peak_of_memory_is_the_output_and_panels():
    # O9, in a process of its own: at most 1.3 times the output at n = 8192 in float32.
    import subprocess
    import sys

    code = (
        "import fanin\n"
        "def peak():\n"
        "    [line] = [l for l in open('/proc/self/status') if l.startswith('VmHWM:')]\n"
        "    return int(line.split()[1]) * 1024\n"
        "fanin.orthogonal((64, 64), seed=0)\n"
        "before = peak()\n"
        "fanin.orthogonal((8192, 8192), seed=0)\n"
        "print((peak() - before) / 2**28)\n"
    )
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 1 <= float(made.stdout) <= 1.3
