"""Orthogonal matrices: the same Q as LAPACK from the same reflectors, Haar's law, the same bits."""

import signal
import subprocess
import sys
import threading
import time

import numpy as np
import oracle
import oracle_orthogonal
import pytest
from scipy import linalg, stats

import fanin
from fanin import _core

SHAPES = [(1, 1), (2, 2), (9, 1), (33, 32), (40, 33), (64, 40)]
TYPES = ["float32", "float64", "complex64", "complex128"]
EPSILON = {"float32": 2.0**-23, "float64": 2.0**-52, "complex64": 2.0**-23, "complex128": 2.0**-52}


def haar(rows, columns, dtype="float32", *, seed=0, ids=(0,), first=0, last=None, det=0, gain=1.0,
         threads=1, turned=False):  # fmt: skip
    """The core's tall matrices, (len(ids), rows, last - first), or turned (.., .., rows)."""
    last = columns if last is None else last
    shape = (last - first, rows) if turned else (rows, last - first)
    out = np.full((len(ids), *shape), np.nan, dtype)
    _core.haar(fanin.Stream(seed)._key, np.array(ids, np.uint64), rows, columns, first, last, det,
               gain, out, threads, turned=turned)  # fmt: skip
    return out


def sampled(rows, columns, dtype, seed=0):
    """The Gaussian vectors of the reflectors by the core's own fill."""
    real = oracle_orthogonal.REAL_TYPES.get(dtype, dtype)
    ratio = 2 if dtype in oracle_orthogonal.REAL_TYPES else 1
    pitch = -(-rows * ratio // 32) * 32
    vectors = np.zeros((columns, rows), np.float64 if ratio == 1 else np.complex128)
    for j in range(columns):
        run = fanin.flat[j * pitch : j * pitch + (rows - j) * ratio]
        x = fanin.normal((columns * pitch,), seed=seed, dtype=real, index=run).astype(np.float64)
        vectors[j, j:] = x if ratio == 1 else x[::2] + 1j * x[1::2]
    return vectors


def deviation(q):
    """norm_F(Q^H Q - I), the products in float64 or, of float64, in sums of exact slices."""
    if q.dtype in (np.float32, np.complex64):
        wide = q.astype(np.complex128 if q.dtype.kind == "c" else np.float64)
        return np.linalg.norm(wide.conj().T @ wide - np.eye(q.shape[1]))
    # q = high + low with at most 21 bits in high: high^H high is exact for up to 2^11 rows.
    high = np.round(q * 2.0**20) * 2.0**-20
    low = q - high
    gram = (high.conj().T @ high - np.eye(q.shape[1])) + (high.conj().T @ low + low.conj().T @ high)
    return np.linalg.norm(gram + low.conj().T @ low)


# ---------------------------------------------------------------------------------------------
# The construction


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (7, 5), (35, 33)])
def test_a_matrix_is_that_of_the_contract(dtype, rows, columns):
    expected = oracle_orthogonal.haar(oracle.seed_key(5), rows, columns, dtype, matrix=3)
    got = haar(rows, columns, dtype, seed=5, ids=[3])[0]
    # The reflectors differ by a few roundings each, `columns` of them act on every entry.
    assert np.abs(got - expected).max() <= 8 * columns * EPSILON[dtype]


# Two blocks; sums of several runs and, of 4400 rows, of two bands of several runs each.
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (7, 5), (33, 33), (261, 6), (4400, 2)])
def test_a_matrix_is_that_of_the_contract_bit_for_bit(isa, dtype, rows, columns):
    gaussian = sampled(rows, columns, dtype, seed=5).astype(dtype)
    vectors = [x[j:] for j, x in enumerate(gaussian)]
    expected = oracle_orthogonal.haar_in_blocks(vectors, rows)
    assert haar(rows, columns, dtype, seed=5)[0].tobytes() == expected.tobytes()


# Less and more than one block, wide; of 2100 rows a tree of two leaves.
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(
    ("rows", "columns"), [(1, 1), (5, 3), (3, 5), (40, 19), (19, 40), (2100, 2)]
)
def test_qr_is_that_of_the_contract_bit_for_bit(isa, dtype, rows, columns):
    a = fanin.normal((rows, columns), seed=rows, dtype=dtype)
    q, r = fanin.linalg.qr(a, threads=2)
    expected_q, expected_r = oracle_orthogonal.qr(a)
    assert q.tobytes() == expected_q.tobytes()
    assert r.tobytes() == expected_r.tobytes()


@pytest.mark.parametrize("shape", [(700, 450), (450, 700), (5000, 30), (3, 70, 70)])
@pytest.mark.parametrize("dtype", ["float32", "complex64"])
def test_threads_do_not_change_a_factor(shape, dtype):
    a = fanin.normal(shape, seed=1, dtype=dtype)
    one = fanin.linalg.qr(a, threads=1)
    for threads in (2, 3, 7):
        several = fanin.linalg.qr(a, threads=threads)
        assert one.Q.tobytes() == several.Q.tobytes()
        assert one.R.tobytes() == several.R.tobytes()


# The reflectors of the last one are in memory in two parts.
@pytest.mark.parametrize(
    ("dtype", "rows", "columns"),
    [(dtype, *shape) for dtype in TYPES for shape in (*SHAPES, (300, 257), (700, 530))]
    + [("float64", 1900, 1800)],
)
def test_lapack_makes_the_same_q_from_the_same_reflectors(dtype, rows, columns):
    vectors = sampled(rows, columns, dtype)
    scales = np.zeros(columns, vectors.dtype)
    signs = np.zeros(columns, vectors.dtype)
    packed = np.zeros((rows, columns), vectors.dtype)
    for j, x in enumerate(vectors):  # LAPACK's own form: v_1 = 1 and a factor tau
        x = x[j:]
        phase = x[0] / abs(x[0])
        signs[j] = phase if len(x) == 1 else -phase
        if len(x) > 1:
            v = x.copy()
            v[0] += phase * np.linalg.norm(x)
            scales[j] = 2 * abs(v[0]) ** 2 / np.vdot(v, v).real
            packed[j:, j] = v / v[0]
    make = linalg.lapack.dorgqr if vectors.dtype.kind == "f" else linalg.lapack.zungqr
    q, _, info = make(packed, scales)
    assert info == 0
    # Both are within a few roundings a reflector of the exact product; errors add at random.
    bound = 8 * np.sqrt(columns) * EPSILON[dtype]
    assert np.abs(haar(rows, columns, dtype)[0] - q * signs).max() <= bound


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(
    "rows, columns, first, last",
    [(1, 1, 0, 1), (40, 33, 0, 33), (70, 70, 5, 60), (600, 300, 0, 300)],
)
def test_a_turned_matrix_is_the_transpose(rows, columns, first, last, dtype, isa):
    part = {"ids": (0, 3), "first": first, "last": last, "gain": 0.3}
    turned = haar(rows, columns, dtype, turned=True, threads=2, **part)
    plain = haar(rows, columns, dtype, **part)
    assert turned.tobytes() == np.swapaxes(plain, 1, 2).tobytes()


@pytest.mark.parametrize("dtype", ["float32", "complex64"])
def test_a_turned_matrix_too_long_to_be_kept_is_the_transpose(dtype):
    turned = haar(33000, 40, dtype, turned=True, threads=2, gain=0.3)
    assert turned.tobytes() == np.swapaxes(haar(33000, 40, dtype, gain=0.3), 1, 2).tobytes()


@pytest.mark.parametrize("defect", ["no sign", "short reflector", "reused word", "wrong order"])
def test_the_comparison_with_the_oracle_sees_a_planted_defect(defect):
    rows, columns = 40, 40
    vectors = sampled(rows, columns, "float64")
    right = oracle_orthogonal.orthogonal_of(vectors)
    if defect == "no sign":
        wrong = right * np.sign(np.diag(vectors))
    elif defect == "short reflector":
        vectors[5, -1] = 0
        wrong = oracle_orthogonal.orthogonal_of(vectors)
    elif defect == "reused word":
        vectors[7, 8] = vectors[7, 7]
        wrong = oracle_orthogonal.orthogonal_of(vectors)
    else:
        vectors[[3, 4], 4:] = vectors[[4, 3], 4:]
        wrong = oracle_orthogonal.orthogonal_of(vectors)
    got = haar(rows, columns, "float64")[0]
    bound = 8 * columns * EPSILON["float64"]
    assert np.abs(got - right).max() <= bound < np.abs(got - wrong).max()


# LAPACK's figures for norm_F(Q^T Q - I) / (eps n).
@pytest.mark.parametrize(
    ("rows", "columns", "lapack"),
    [(64, 64, 0.35), (257, 257, 0.27), (1024, 1024, 0.18), (600, 200, 0.15)],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_columns_are_orthonormal_within_three_times_lapacks_error(dtype, rows, columns, lapack):
    error = deviation(haar(rows, columns, dtype)[0]) / (EPSILON[dtype] * columns)
    assert error <= 3 * lapack


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_unitary_columns_are_orthonormal(dtype):
    # As for real matrices, with four real products for one: twice the error.
    assert deviation(haar(257, 257, dtype)[0]) / (EPSILON[dtype] * 257) <= 2 * 3 * 0.27


def test_the_bound_on_the_error_sees_a_reflector_of_the_wrong_norm():
    q = haar(64, 64, "float64")[0]
    v = np.full(64, np.sqrt(2 / 64) * (1 + 1e-13))
    assert deviation(q - np.outer(v, v @ q)) / (EPSILON["float64"] * 64) > 3 * 0.35


# ---------------------------------------------------------------------------------------------
# The same bits


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(("rows", "columns"), [*SHAPES, (130, 97), (300, 290)])
def test_instruction_sets_do_not_change_a_bit(isa, dtype, rows, columns):
    got = haar(rows, columns, dtype, ids=[0, 2])
    _core.debug.set_isa(fanin.runtime.isas()[0])
    assert got.tobytes() == haar(rows, columns, dtype, ids=[0, 2]).tobytes()


@pytest.mark.parametrize("threads", [2, 3, 4, 7])
@pytest.mark.parametrize(
    ("rows", "columns", "dtype"), [(900, 700, "float32"), (450, 400, "complex64")]
)
def test_threads_do_not_change_a_bit(rows, columns, dtype, threads):
    assert (
        haar(rows, columns, dtype, threads=threads).tobytes()
        == haar(rows, columns, dtype).tobytes()
    )


def test_a_matrix_does_not_depend_on_its_batch():
    batch = haar(50, 40, ids=range(9), threads=3)
    for number in (0, 4, 8):
        assert batch[number].tobytes() == haar(50, 40, ids=[number])[0].tobytes()
    assert len({matrix.tobytes() for matrix in batch}) == 9


@pytest.mark.parametrize(
    ("first", "last"), [(0, 1), (31, 33), (32, 64), (50, 96), (95, 96), (10, 10)]
)
def test_a_slice_of_columns_is_the_slice_of_the_whole(first, last):
    whole = haar(120, 96, "float64")[0]
    assert (
        haar(120, 96, "float64", first=first, last=last)[0].tobytes()
        == whole[:, first:last].tobytes()
    )


@pytest.mark.parametrize(
    ("first", "last"), [(0, 257), (250, 260), (255, 256), (256, 400), (513, 520)]
)
def test_a_slice_of_columns_across_the_reflectors_in_memory_is_that_of_the_whole(first, last):
    whole = haar(521, 520)[0]
    assert haar(521, 520, first=first, last=last)[0].tobytes() == whole[:, first:last].tobytes()


# The edges of what is drawn at once, of bands and of what is kept from block to block.
@pytest.mark.parametrize("rows", [4096, 4097, 8192, 8193, 32768, 32769])
def test_long_matrices_are_those_of_the_contract(rows):
    got = haar(rows, 35, "float64", seed=5, threads=2)[0]
    expected = oracle_orthogonal.orthogonal_of(sampled(rows, 35, "float64", seed=5))
    assert np.abs(got - expected).max() <= 8 * 35 * EPSILON["float64"]


def test_late_ids_and_high_bits_of_them_count():
    ids = [0, 1, 2**32, 2**63, 2**64 - 1]
    assert len({matrix.tobytes() for matrix in haar(8, 8, ids=ids)}) == len(ids)


# ---------------------------------------------------------------------------------------------
# Haar's law: fixed seeds; a failure has p < 1e-7

P_FAIL = 1e-7


def batch_of(count, n, seed, dtype="float64", det=0):
    return haar(n, n, dtype, seed=seed, ids=range(count), det=det)


def naive(count, n, seed, *, fixed):
    """NumPy's QR of Gaussian matrices, with and without the fix of the signs."""
    q, r = np.linalg.qr(np.random.default_rng(seed).standard_normal((count, n, n)))
    return q * np.sign(np.diagonal(r, axis1=1, axis2=2))[:, None, :] if fixed else q


def entry_p_values(q):
    """O2, O3: p values of the mean of each entry, jointly, and of the law of each of them (KS)."""
    count, n, _ = q.shape
    # Entries of different matrices are independent; n q_ij^2 has mean 1, so each z is N(0, 1).
    z = q.sum(axis=0) * np.sqrt(n / count)
    # Entries of one matrix are uncorrelated, so the sum of z^2 has the mean n^2; normal rows are
    # not exactly independent, hence one row: its z are those of a uniform direction, chi2(n).
    means = [stats.chi2.sf((row**2).sum(), n) for row in (*z, *z.T)]
    cell = stats.beta(0.5, (n - 1) / 2)
    laws = [stats.kstest(q[:, i, j] ** 2, cell.cdf).pvalue for i in range(n) for j in range(n)]
    signs = [
        stats.binomtest(int((q[:, i, j] > 0).sum()), count).pvalue
        for i in range(n)
        for j in range(n)
    ]
    return np.array(means + laws + signs)


def edge_p_values(q):
    """O3: p values of the law of the first and last rows and columns along 16 directions (KS)."""
    n = q.shape[1]
    directions = np.random.default_rng(5).standard_normal((16, n))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    # A coordinate x of a point of the sphere: (x + 1) / 2 has the symmetric beta law.
    along = stats.beta((n - 1) / 2, (n - 1) / 2, loc=-1, scale=2)
    edges = (q[:, 0], q[:, -1], q[:, :, 0], q[:, :, -1])
    return np.array(
        [stats.kstest(edge @ one, along.cdf).pvalue for edge in edges for one in directions]
    )


def trace_p_values(q):
    """O4: E tr Q^k = 1 for even k, else 0; Var tr Q^k = k for k < n / 2 (Diaconis & Evans 2001)."""
    count, power, values = len(q), np.eye(q.shape[1]), []
    for k in range(1, 6):
        power = power @ q
        traces = np.trace(power, axis1=1, axis2=2) - (k % 2 == 0)
        values.append(2 * stats.norm.sf(abs(traces.sum()) / np.sqrt(count * k)))
        # The fourth moment is that of a normal, 3 k^2, for n >> k: Var of the square is 2 k^2.
        values.append(2 * stats.norm.sf(abs((traces**2 - k).sum()) / np.sqrt(count * 2) / k))
    return np.array(values)


def test_entries_have_the_law_of_a_uniform_direction():
    assert entry_p_values(batch_of(20000, 6, seed=11)).min() > P_FAIL


def test_first_and_last_rows_and_columns_are_uniform_on_the_sphere():
    assert edge_p_values(batch_of(20000, 6, seed=21)).min() > P_FAIL


def test_traces_of_powers_have_haars_moments():
    assert trace_p_values(batch_of(6000, 20, seed=12)).min() > P_FAIL


def test_the_laws_see_matrices_without_the_fix_of_the_signs():
    assert trace_p_values(naive(6000, 20, 1, fixed=True)).min() > P_FAIL
    assert trace_p_values(naive(6000, 20, 1, fixed=False)).min() < P_FAIL
    assert entry_p_values(naive(20000, 6, 1, fixed=True)).min() > P_FAIL
    assert entry_p_values(naive(20000, 6, 1, fixed=False)).min() < P_FAIL
    assert edge_p_values(naive(20000, 6, 1, fixed=True)).min() > P_FAIL
    assert edge_p_values(naive(20000, 6, 1, fixed=False)).min() < P_FAIL


def test_the_determinant_is_plus_or_minus_one_equally_often():
    dets = np.linalg.det(batch_of(4000, 5, seed=13))
    assert np.abs(np.abs(dets) - 1).max() < 1e-12
    assert stats.binomtest(int((dets > 0).sum()), len(dets)).pvalue > P_FAIL


@pytest.mark.parametrize("det", [1, -1])
def test_a_fixed_determinant_keeps_the_law_of_the_coset(det):
    for n in (1, 2, 33, 40):
        q = batch_of(5, n, seed=14, det=det)
        assert np.linalg.det(q) == pytest.approx(np.full(5, det), abs=1e-11)
    # On a coset of SO(n), n > 5, the moments of tr Q^k for k < n / 2 are those of O(n).
    assert trace_p_values(batch_of(6000, 20, seed=15, det=det)).min() > P_FAIL


def test_the_law_does_not_change_under_fixed_rotations():
    # O5: tr(A Q) and tr(A Q B) of two batches have one law with tr(Q).
    a, b = naive(2, 8, 3, fixed=True)
    plain = np.trace(batch_of(6000, 8, seed=16), axis1=1, axis2=2)
    left = np.trace(a @ batch_of(6000, 8, seed=17), axis1=1, axis2=2)
    both = np.trace(a @ batch_of(6000, 8, seed=18) @ b, axis1=1, axis2=2)
    assert stats.ks_2samp(plain, left).pvalue > P_FAIL
    assert stats.ks_2samp(plain, both).pvalue > P_FAIL


def test_minors_of_two_have_haars_second_moment():
    # O5: n (n - 1) / 2 E(minor^2) = 1, the minor q_ik q_jm - q_im q_jk being an entry of the
    # compound matrix, again orthogonal, of order n (n - 1) / 2. In units of the mean its square is
    # at most n (n - 1) / 2; the z uses the sample's own spread.
    n, q = 8, batch_of(6000, 8, seed=19)
    for i, j, k, m in ((0, 1, 0, 1), (0, 7, 3, 4), (6, 7, 0, 7)):
        minor = q[:, i, k] * q[:, j, m] - q[:, i, m] * q[:, j, k]
        scaled = minor**2 * n * (n - 1) / 2
        z = (scaled.mean() - 1) / (scaled.std() / np.sqrt(len(scaled)))
        assert 2 * stats.norm.sf(abs(z)) > P_FAIL


def spacings(q):
    """Gaps between neighbouring eigenphases in units of their mean, of matrices of one kind."""
    phases = np.sort(np.angle(np.linalg.eigvals(q)), axis=1)
    gaps = np.diff(phases, axis=1, append=phases[:, :1] + 2 * np.pi)
    return gaps * q.shape[1] / (2 * np.pi), phases


def test_eigenphases_of_unitary_matrices_repel_as_those_of_a_reference():
    # O6. One gap and one phase a matrix, because those of one matrix depend on each other.
    n, count = 10, 4000
    ours = haar(n, n, "complex128", seed=20, ids=range(count))
    rng = np.random.default_rng(4)
    gaussian = rng.standard_normal((count, n, n)) + 1j * rng.standard_normal((count, n, n))
    q, r = np.linalg.qr(gaussian)
    diagonal = np.diagonal(r, axis1=1, axis2=2)
    reference = q * (diagonal / np.abs(diagonal))[:, None, :]
    pick = rng.integers(n, size=count)
    rows = np.arange(count)
    (gaps, phases), (other_gaps, other_phases) = spacings(ours), spacings(reference)
    assert stats.ks_2samp(gaps[rows, pick], other_gaps[rows, pick]).pvalue > P_FAIL
    assert stats.kstest(phases[rows, pick], stats.uniform(-np.pi, 2 * np.pi).cdf).pvalue > P_FAIL
    # Number variance: phases in a quarter of the circle, against the reference.
    inside = ((phases > 0) & (phases < np.pi / 2)).sum(axis=1)
    others = ((other_phases > 0) & (other_phases < np.pi / 2)).sum(axis=1)
    table = np.array([np.bincount(x, minlength=n + 1) for x in (inside, others)])
    table = table[:, table.sum(axis=0) >= 10]
    assert stats.chi2_contingency(table).pvalue > P_FAIL
    # Without the fix of the phases the eigenphases are not uniform.
    _, unfixed = spacings(q)
    assert stats.kstest(unfixed[rows, pick], stats.uniform(-np.pi, 2 * np.pi).cdf).pvalue < P_FAIL


# ---------------------------------------------------------------------------------------------
# Memory


def peak_growth(call):
    """Bytes by which a call raises the peak of its process, and the most that are allowed."""
    code = f"""
import resource, numpy as np, fanin
a = np.full({call[2]}, 0.5, np.float32) if {call[2]} else None
fanin.orthogonal((64, 64), seed=0, threads=2), fanin.linalg.qr(np.eye(64, dtype=np.float32))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
made = {call[0]}
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
print(sum(part.nbytes for part in (made if isinstance(made, tuple) else [made])))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    growth, result = map(int, run.stdout.split())
    return growth, call[1] * result + 2**24


# What a thin matrix needs beside itself: its vectors, once, and one of them for each thread. QR: a
# tall matrix its vectors, a square one half of that beside Q and R, which is where it works, or a
# part of it if it is large. 16 MB are the strips, the pieces of vectors, and what the allocator
# keeps.
@pytest.mark.parametrize(
    "call",
    [
        ("fanin.orthogonal((1_000_000, 1), seed=0, threads=2)", 2, ()),
        ("fanin.orthogonal((1_000_000, 4), seed=0, threads=2)", 2, ()),
        ("fanin.orthogonal((200_000, 32), seed=0, threads=2)", 2, ()),
        ("fanin.orthogonal((4, 1_000_000), seed=0, threads=2)", 2, ()),
        ("fanin.linalg.qr(a, threads=2)", 1.5, (1500, 1500)),
        ("fanin.linalg.qr(a, threads=2)", 1.05, (4000, 4000)),
        ("fanin.linalg.qr(a, threads=2)", 2.2, (100_000, 32)),
    ],
    ids=str,
)
def test_the_peak_of_memory_is_bounded(call):
    growth, most = peak_growth(call)
    assert growth <= most


# ---------------------------------------------------------------------------------------------
# Interruption and cost


@pytest.mark.timing
def test_control_c_ends_a_large_matrix_within_200_ms():
    out = np.empty((1, 8192, 8192), np.float32)
    pressed = []

    def press():
        time.sleep(0.5)
        pressed.append(time.perf_counter())
        signal.raise_signal(signal.SIGINT)

    _core.haar(fanin.Stream(0)._key, [0], 512, 512, 0, 512, 0, 1.0, out[:, :512, :512].copy(), 2)
    presser = threading.Thread(target=press)
    presser.start()
    with pytest.raises(KeyboardInterrupt):
        _core.haar(fanin.Stream(0)._key, [0], 8192, 8192, 0, 8192, 0, 1.0, out, 2)
    elapsed = time.perf_counter() - pressed[0]
    presser.join()
    assert elapsed < 0.2


@pytest.mark.timing
def test_the_cost_grows_with_the_third_power():
    # O10: eightfold work between n and 2 n; the smaller one runs less efficiently.
    def seconds(n):
        out = np.empty((1, n, n), np.float32)
        times = []
        for _ in range(5):
            start = time.perf_counter()
            _core.haar(fanin.Stream(0)._key, [0], n, n, 0, n, 0, 1.0, out, 1)
            times.append(time.perf_counter() - start)
        return min(times)

    assert 6 <= seconds(2048) / seconds(1024) <= 10
