"""The slow truth of matrix products and orthogonal matrices, from the words of docs/contract.md."""

from __future__ import annotations

import numpy as np
import oracle

PANEL_DEPTH = 256  # products summed in one chain
STRIP_DEPTH = 128  # the same where reflectors act in pairs
REAL_TYPES = {"complex64": "float32", "complex128": "float64"}


# ---- a * b + c, rounded once, without the instruction --------------------------------------------


def two_sum(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """a + b and its rounding error (Knuth)."""
    total = a + b
    shared = total - a
    return total, (a - (total - shared)) + (b - shared)


def two_product(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """a * b and its rounding error (Dekker), in halves of 26 bits."""

    def split(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        scaled = x * 134217729.0
        high = scaled - (scaled - x)
        return high, x - high

    product = a * b
    (a_high, a_low), (b_high, b_low) = split(a), split(b)
    error = ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low
    return product, error


def sum_to_odd(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a + b, to the neighbour with an odd last bit where it is not exact."""
    total, error = two_sum(a, b)
    bits = total.view(np.int64)
    step = np.where((error > 0) == (total > 0), 1, -1)
    return np.where((error != 0) & (bits % 2 == 0), bits + step, bits).view(np.float64)


def fused(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """fma elementwise (Boldo & Melquiond 2008: the last rounding but one is to odd)."""
    if a.dtype == np.float32:
        exact = a.astype(np.float64) * b.astype(np.float64)
        return sum_to_odd(exact, c.astype(np.float64)).astype(np.float32)
    high, low = two_product(a, b)
    middle, rest = two_sum(c, low)
    top, below = two_sum(high, middle)
    return top + sum_to_odd(rest, below)


def gemm(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a @ b: panels of the depth, each a chain of fused operations from zero, added in order."""
    if a.dtype.kind == "c":
        left = np.ascontiguousarray(a).view(a.real.dtype)  # (re, im) along the depth
        right = np.empty((2 * len(b), 2 * b.shape[1]), left.dtype)
        right[::2, ::2], right[::2, 1::2] = b.real, b.imag
        right[1::2, ::2], right[1::2, 1::2] = -b.imag, b.real
        return gemm(left, right).view(a.dtype)
    total = np.zeros((len(a), b.shape[1]), a.dtype)
    for start in range(0, a.shape[1], PANEL_DEPTH):
        panel = np.zeros_like(total)
        for k in range(start, min(start + PANEL_DEPTH, a.shape[1])):
            column, row = np.broadcast_arrays(a[:, k, None], b[None, k])
            panel = fused(column, row, panel)
        total = panel if start == 0 else total + panel
    return total


# ---- Haar matrices -------------------------------------------------------------------------------


def gaussians(key: int, rows: int, columns: int, dtype: str, matrix: int = 0) -> np.ndarray:
    """The vectors x_j of a tall matrix, one a row with j zeros before it."""
    real = REAL_TYPES.get(dtype, dtype)
    ratio = 2 if dtype in REAL_TYPES else 1
    pitch = -(-rows * ratio // 32) * 32
    vectors = np.zeros((columns, rows), np.float64 if ratio == 1 else np.complex128)
    for j in range(columns):
        values = oracle.normal(key, j * pitch, (rows - j) * ratio, real, matrix)
        numbers = np.array([float(value) for value in values])
        vectors[j, j:] = numbers if ratio == 1 else numbers[::2] + 1j * numbers[1::2]
    return vectors


def orthogonal_of(vectors: np.ndarray) -> np.ndarray:
    """Q with diag(R) > 0 of the matrix whose Householder vectors come from the rows x_j."""
    columns, rows = vectors.shape
    q = np.zeros((rows, columns), vectors.dtype)
    for j in reversed(range(columns)):
        x = vectors[j, j:]
        phase = x[0] / abs(x[0])
        if len(x) == 1:
            q[j, j] = phase
            continue
        q[j, j] = -phase
        v = x.copy()
        v[0] += phase * np.sqrt(np.vdot(x, x).real)
        q[j:] -= 2 / np.vdot(v, v).real * np.outer(v, v.conj() @ q[j:])
    return q


def haar(key: int, rows: int, columns: int, dtype: str, matrix: int = 0) -> np.ndarray:
    """The tall matrix of a stream, to rounding."""
    return orthogonal_of(gaussians(key, rows, columns, dtype, matrix))


def reflector(x: np.ndarray) -> tuple[np.ndarray, np.floating]:
    """v_j and d_j of a real vector x_j, with the roundings of the contract."""
    wide = x.astype(np.float64)
    sign = np.copysign(1.0, wide[0])
    if len(x) == 1:
        return np.zeros_like(x), x.dtype.type(sign)
    padded = np.zeros(-(-len(x) // 16) * 16)
    padded[: len(x)] = wide
    partial = np.zeros(16)
    for row in padded.reshape(-1, 16):
        partial = fused(row, row, partial)
    for half in (8, 4, 2, 1):
        partial = partial[:half] + partial[half:]
    norm = np.sqrt(partial[0])
    factor = 1 / np.sqrt(norm * (norm + abs(wide[0])))
    v = wide * factor
    v[0] = (wide[0] + sign * norm) * factor
    return v.astype(x.dtype), x.dtype.type(-sign)


def dot_of_rows(v: np.ndarray, q: np.ndarray) -> np.ndarray:
    """v^T q, cut into runs, each a chain of fused operations from zero."""
    total = np.zeros(q.shape[1], q.dtype)
    for start in range(0, len(v), STRIP_DEPTH):
        run = np.zeros_like(total)
        for r in range(start, min(start + STRIP_DEPTH, len(v))):
            run = fused(np.full_like(run, v[r]), q[r], run)
        total = total + run
    return total


def haar_in_pairs(vectors: list[np.ndarray], rows: int) -> np.ndarray:
    """The tall real matrix of the vectors x_j, bit for bit."""
    columns, dtype = len(vectors), vectors[0].dtype
    q = np.zeros((rows, columns), dtype)
    v = np.zeros((columns + columns % 2, rows), dtype)
    for j, x in enumerate(vectors):
        v[j, j:], q[j, j] = reflector(x)
    for j in reversed(range(0, columns, 2)):
        a, b, here = v[j, j:], v[j + 1, j:], q[j:]
        coupling = np.zeros(1, dtype)
        for r in range(1, len(a)):
            coupling = fused(a[r : r + 1], b[r : r + 1], coupling)
        wb = dot_of_rows(b, here)
        wa = fused(np.repeat(-coupling, columns), wb, dot_of_rows(a, here))
        for r in range(len(a)):
            row = fused(np.full_like(wb, b[r]), -wb, here[r])
            here[r] = fused(np.full_like(wa, a[r]), -wa, row)
    return q
