"""fanin.linalg: QR against NumPy, and what NumPy does not promise."""

import ml_dtypes
import numpy as np
import pytest

import fanin
from fanin import _core
from fanin.linalg import orthonormalize, qr

DTYPES = [np.float32, np.float64, np.complex64, np.complex128]
SHAPES = [(1, 1), (5, 5), (9, 3), (3, 9), (33, 32), (70, 65), (65, 70), (200, 130)]


def matrix(dtype, *shape, seed=0):
    rng = np.random.default_rng(seed)
    values = rng.standard_normal(shape)
    if np.dtype(dtype).kind == "c":
        values = values + 1j * rng.standard_normal(shape)
    return values.astype(dtype)


def adjoint(a):
    return np.swapaxes(a.conj(), -1, -2)


def assert_factors(a, q, r, scale=1.0):
    """a = q r within the backward error of Householder's method, q orthonormal, r with its form."""
    epsilon = np.finfo(q.dtype).eps
    rank = min(a.shape[-2:])
    wide = np.complex128 if q.dtype.kind == "c" else np.float64
    q, r, a = q.astype(wide), r.astype(wide) / scale, a.astype(wide) / scale
    # Higham 2002, theorem 19.4: c m n eps norm_F with rounding at random; 4 sqrt(m n) is ample.
    bound = 4 * np.sqrt(a.shape[-2] * a.shape[-1]) * epsilon
    assert np.linalg.norm(q @ r - a) <= bound * np.linalg.norm(a)
    assert np.linalg.norm(adjoint(q) @ q - np.eye(rank)) <= bound * np.sqrt(rank)
    assert (np.tril(r, -1) == 0).all()
    diagonal = np.diagonal(r, axis1=-2, axis2=-1)
    assert (diagonal.real >= 0).all() and (diagonal.imag == 0).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_the_factors_are_those_of_numpy_with_positive_diagonal(dtype, shape):
    a = matrix(dtype, *shape)
    q, r = qr(a)
    assert (q.dtype, r.dtype) == (a.dtype, a.dtype)
    assert q.shape == (shape[0], min(shape)) and r.shape == (min(shape), shape[1])
    assert_factors(a, q, r)
    wide = a.astype(np.complex128 if a.dtype.kind == "c" else np.float64)
    other_q, other_r = np.linalg.qr(wide)
    diagonal = np.diagonal(other_r)
    phases = diagonal / np.abs(diagonal)
    # Perturbation of Q is at most about eps times the condition of the leading columns.
    condition = np.linalg.cond(wide[:, : min(shape)])
    bound = 100 * np.sqrt(shape[0]) * np.finfo(dtype).eps * condition
    assert np.abs(q - other_q * phases).max() <= bound
    assert np.abs(r - other_r * phases.conj()[:, None]).max() <= bound * np.linalg.norm(wide, 2)


@pytest.mark.parametrize(
    ("dtype", "shape"),
    [
        (np.float64, (1800, 1800)),
        (np.float64, (1800, 1900)),
        (np.float64, (1900, 1700)),
        (np.complex128, (1300, 1300)),
    ],
)
def test_blocks_in_several_parts_are_applied_in_their_order(dtype, shape):
    a = matrix(dtype, *shape)
    q, r = qr(a)
    assert_factors(a, q, r)
    # Without R a square Q is made elsewhere than its reflectors.
    if shape[0] >= shape[1]:
        np.testing.assert_array_equal(orthonormalize(a), q)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(33, 32), (40, 70), (130, 65)])
def test_instruction_sets_and_threads_do_not_change_a_bit(isa, dtype, shape):
    a = matrix(dtype, *shape)
    here = qr(a, threads=2)
    _core.debug.set_isa(fanin.runtime.isas()[0])
    there = qr(a, threads=1)
    assert here.Q.tobytes() == there.Q.tobytes() and here.R.tobytes() == there.R.tobytes()


@pytest.mark.parametrize("threads", [2, 3, 4, 7])
def test_threads_do_not_change_a_large_or_a_batched_factorisation(threads):
    for a in (matrix(np.float32, 420, 400), matrix(np.float64, 11, 20, 10)):
        one, many = qr(a, threads=1), qr(a, threads=threads)
        assert one.Q.tobytes() == many.Q.tobytes() and one.R.tobytes() == many.R.tobytes()


def test_a_stack_is_its_matrices_one_by_one():
    a = matrix(np.float64, 3, 4, 12, 7)
    q, r = qr(a)
    assert q.shape == (3, 4, 12, 7) and r.shape == (3, 4, 7, 7)
    for i in np.ndindex(3, 4):
        one = qr(a[i])
        assert np.array_equal(q[i], one.Q) and np.array_equal(r[i], one.R)
    assert np.array_equal(orthonormalize(a), q)


@pytest.mark.parametrize("dtype", DTYPES)
def test_matrices_of_any_rank_get_an_orthonormal_factor(dtype):
    tall = matrix(dtype, 20, 6)
    tall[:, 3] = tall[:, 1]
    low_rank = matrix(dtype, 20, 2) @ matrix(dtype, 2, 9, seed=1)
    for a in (tall, low_rank, np.zeros((8, 5), dtype), np.ones((5, 5), dtype)):
        q, r = qr(a)
        assert_factors(a, q, r)
        gram = adjoint(q) @ q
        assert np.abs(gram - np.eye(len(gram))).max() <= 20 * np.finfo(dtype).eps
    assert (qr(np.zeros((4, 3))).R == 0).all()


def test_a_matrix_that_is_triangular_already_stays():
    r = np.triu(np.arange(1.0, 17.0).reshape(4, 4))
    q, upper = qr(r)
    assert np.allclose(q, np.eye(4), atol=1e-15) and np.allclose(upper, r, rtol=1e-14)


@pytest.mark.parametrize("scale", [1e-290, 1e290])
def test_squares_may_over_and_underflow(scale):
    a = matrix(np.float64, 12, 8) * scale
    assert_factors(a, *qr(a), scale=scale)
    columns = matrix(np.float64, 12, 3) * np.array([1e-200, 1.0, 1e200])
    q, r = qr(columns)
    for k in range(3):
        column = columns[:, k]  # its squares are no float64
        assert np.abs(q @ r[:, k] - column).max() <= 1e-14 * np.abs(column).max()


@pytest.mark.parametrize("power", [-900, -505, -495, -455, -440, 480, 500, 505, 900])
def test_a_power_of_two_changes_no_digit_whatever_becomes_of_squares(power):
    a = matrix(np.float64, 37, 21)
    (q, r), (other_q, other_r) = qr(a), qr(np.ldexp(a, power))
    assert q.tobytes() == other_q.tobytes()
    assert np.ldexp(r, power).tobytes() == other_r.tobytes()


def test_wide_matrices_are_orthonormalized_by_rows():
    a = matrix(np.complex128, 5, 9)
    rows = orthonormalize(a)
    assert rows.shape == (5, 9) and rows.flags.c_contiguous
    assert np.abs(rows @ adjoint(rows) - np.eye(5)).max() < 1e-14
    assert np.array_equal(rows.T, orthonormalize(a.T))


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_halves_are_computed_in_float32_and_rounded_once(dtype):
    a = matrix(np.float32, 9, 6).astype(dtype)
    q, r = qr(a)
    exact = qr(a.astype(np.float32))
    assert q.dtype == r.dtype == dtype
    assert np.array_equal(q, exact.Q.astype(dtype)) and np.array_equal(r, exact.R.astype(dtype))


def test_integers_lists_and_strided_arrays_are_read_as_numpy_reads_them():
    values = [[3, 1], [4, 2]]
    assert np.array_equal(qr(values).R, qr(np.array(values, np.float64)).R)
    a = matrix(np.float64, 16, 12)
    assert np.array_equal(qr(a[::2, ::-3]).Q, qr(a[::2, ::-3].copy()).Q)
    assert np.array_equal(qr(a.astype(">f8")).Q, qr(a).Q)


def test_the_argument_is_left_as_it_was():
    a = matrix(np.float64, 7, 5)
    before = a.copy()
    qr(a), orthonormalize(a)
    assert np.array_equal(a, before)


@pytest.mark.parametrize("shape", [(0, 0), (0, 4), (4, 0), (0, 3, 2)])
def test_empty_matrices_have_empty_factors(shape):
    q, r = qr(np.ones(shape))
    assert q.shape == (*shape[:-1], min(shape[-2:]))
    assert r.shape == (*shape[:-2], min(shape[-2:]), shape[-1])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 1), (1, 3), (4, 4), (40, 33), (33, 40), (2500, 9)])
def test_a_number_that_is_not_finite_gives_nan_everywhere(isa, shape, dtype, value):
    a = matrix(dtype, *shape)
    for place in [(0, 0), (-1, -1), (shape[0] // 2, shape[1] // 2), (0, -1), (-1, 0)]:
        spoilt = a.copy()
        spoilt[place] = value
        q, r = qr(spoilt)
        rows = shape[0] >= shape[1]
        assert np.isnan(q).all() and np.isnan(r).all(), place
        assert np.isnan(orthonormalize(spoilt if rows else adjoint(spoilt))).all(), place


@pytest.mark.parametrize("dtype", DTYPES)
def test_an_r_that_leaves_the_range_gives_nan_everywhere(isa, dtype):
    high = np.finfo(dtype).max
    q, r = qr(np.full((3, 5), high, dtype))  # |R_00| would be sqrt(3) times that
    assert np.isnan(q).all() and np.isnan(r).all()
    at_the_edge = np.diag([high, high, high]).astype(dtype)
    assert_factors(at_the_edge, *qr(at_the_edge), scale=high)


@pytest.mark.parametrize("threads", [1, 2])
def test_the_other_matrices_of_a_stack_are_as_they_are_alone(threads):
    a = matrix(np.float64, 9, 20, 20)
    alone = qr(a, threads=threads)
    a[4, 3, 7] = np.inf
    q, r = qr(a, threads=threads)
    assert np.isnan(q[4]).all() and np.isnan(r[4]).all()
    others = np.arange(9) != 4
    assert np.array_equal(q[others], alone.Q[others])
    assert np.array_equal(r[others], alone.R[others])


@pytest.mark.parametrize("function", [qr, orthonormalize])
def test_what_is_no_matrix_is_refused(function):
    with pytest.raises(ValueError, match="1 dimensions"):
        function(np.ones(3))
    with pytest.raises(TypeError, match="dtype object"):
        function(np.array([[None]]))
    with pytest.raises(ValueError, match="threads"):
        function(np.ones((2, 2)), threads=0)


def test_q_of_gaussian_matrices_is_haar_too():
    # E tr Q = 0 and Var tr Q = 1: z of 6000 matrices, p > 1e-7 means |z| < 5.3.
    q = orthonormalize(fanin.normal((6000, 8, 8), seed=3, dtype=np.float64))
    traces = np.trace(q, axis1=1, axis2=2)
    assert abs(traces.sum()) / np.sqrt(6000) < 5.3
    assert abs((traces**2 - 1).sum()) / np.sqrt(2 * 6000) < 5.3
