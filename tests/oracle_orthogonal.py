"""The slow truth of matrix products and orthogonal matrices, from the words of docs/contract.md."""

from __future__ import annotations

import numpy as np
import oracle

PANEL_DEPTH = 256  # products summed in one chain
RUN_ROWS, BAND_ROWS = 128, 4096  # the same of sums over rows, and runs added together
BLOCK_NUMBERS, QR_NUMBERS = 32, 16  # of one row in a block of reflectors
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


def dot16(x: np.ndarray, y: np.ndarray) -> float:
    """x^T y in float64: 16 partial sums of fused operations and one tree."""
    a, b = np.zeros((2, -(-len(x) // 16) * 16))
    a[: len(x)], b[: len(x)] = x, y
    partial = np.zeros(16)
    for row, other in zip(a.reshape(-1, 16), b.reshape(-1, 16), strict=True):
        partial = fused(row, other, partial)
    for half in (8, 4, 2, 1):
        partial = partial[:half] + partial[half:]
    return float(partial[0])


def numbers(x: np.ndarray) -> np.ndarray:
    """The real numbers of a real or complex array along its last axis."""
    return np.ascontiguousarray(x).view(x.real.dtype) if x.dtype.kind == "c" else x


def reflector(x: np.ndarray) -> tuple[np.ndarray, np.generic, float]:
    """v, d and |x| of a vector, with the roundings of the contract."""
    wide = numbers(x).astype(np.float64)
    norm = np.sqrt(dot16(wide, wide))
    parts = 1 if x.dtype.kind == "f" else 2
    head = abs(wide[0]) if parts == 1 else np.sqrt(wide[0] * wide[0] + wide[1] * wide[1])
    phase = np.copysign(1.0, wide[:1]) if parts == 1 else wide[:2] / head
    if len(x) == 1:
        return np.zeros_like(x), phase.astype(x.real.dtype).view(x.dtype)[0], norm
    factor = 1 / np.sqrt(norm * (norm + head))
    v = wide * factor
    v[:parts] = (wide[:parts] + phase * norm) * factor
    return (
        v.astype(x.real.dtype).view(x.dtype),
        (-phase).astype(x.real.dtype).view(x.dtype)[0],
        norm,
    )


def sums_over_rows(panel: np.ndarray, strip: np.ndarray) -> np.ndarray:
    """panel^T strip of real numbers: bands of runs, each run a chain of fused operations."""
    total = np.zeros((panel.shape[1], strip.shape[1]), strip.dtype)
    for band in range(0, len(panel), BAND_ROWS):
        inside = np.zeros_like(total)
        last = min(band + BAND_ROWS, len(panel))
        for start in range(band, last, RUN_ROWS):
            run = np.zeros_like(total)
            for r in range(start, min(start + RUN_ROWS, last)):
                column, row = np.broadcast_arrays(panel[r, :, None], strip[None, r])
                run = fused(column, row, run)
            inside = inside + run
        total = inside if band == 0 else total + inside
    return total


def times_i(z: np.ndarray) -> np.ndarray:
    """i z of interleaved real and imaginary parts along the last axis."""
    turned = np.empty_like(z)
    turned[..., ::2], turned[..., 1::2] = -z[..., 1::2], z[..., ::2]
    return turned


def apply_block(v: np.ndarray, q: np.ndarray, *, adjoint: bool = False) -> None:
    """q := H_0 H_1 .. q, or .. H_1^H H_0^H q, for the columns of v (rows, count), in place."""
    complex_ = v.dtype.kind == "c"
    panel, strip = numbers(v), numbers(q)
    sums, couplings = sums_over_rows(panel, strip), sums_over_rows(panel, panel)
    if complex_:  # the rows of the real and of the imaginary parts of v to those of v^H
        sums[::2] -= times_i(sums[1::2])
        couplings[::2] -= times_i(couplings[1::2])
    count = panel.shape[1]
    step = 2 if complex_ else 1
    order = range(0, count, step) if adjoint else reversed(range(0, count, step))
    done: list[int] = []
    for i in order:
        w = sums[i]
        for other in done:
            g = couplings[other, i:] if adjoint else couplings[i, other:]
            w = fused(np.full_like(w, -g[0]), sums[other], w)
            if complex_:
                im = g[1] if adjoint else -g[1]
                w = fused(np.full_like(w, im), sums[other + 1], w)
        sums[i] = w
        if complex_:
            sums[i + 1] = times_i(w)
        done.append(i)
    change = np.zeros_like(strip)
    for k in range(count):
        column, row = np.broadcast_arrays(panel[:, k, None], sums[None, k])
        change = fused(column, row, change)
    q[...] = (strip - change).view(q.dtype)


def haar_in_blocks(vectors: list[np.ndarray], rows: int) -> np.ndarray:
    """The tall matrix of the vectors x_j, bit for bit."""
    columns, dtype = len(vectors), vectors[0].dtype
    q = np.zeros((rows, columns), dtype)
    v = np.zeros((rows, columns), dtype)
    for j, x in enumerate(vectors):
        v[j:, j], q[j, j], _ = reflector(x)
    most = BLOCK_NUMBERS // (2 if dtype.kind == "c" else 1)
    for first in reversed(range(0, columns, most)):
        apply_block(np.ascontiguousarray(v[first:, first : first + most]), q[first:])
    return q


def factorised(a: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """v (rows, k) of H_0 H_1 .. [R; 0] = a, R, its phases and |x| on the diagonal."""
    a = a.copy()
    parts = 2 if a.dtype.kind == "c" else 1
    most, rank = QR_NUMBERS // parts, min(a.shape)
    v = np.zeros((len(a), rank), a.dtype)
    phases = np.zeros(rank, a.dtype)
    for first in range(0, rank, most):
        last = min(first + most, rank)
        for j in range(first, last):
            v[j:, j], phases[j], norm = reflector(np.ascontiguousarray(a[j:, j]))
            a[j:, j] = 0
            a[j, j] = a.real.dtype.type(norm) * phases[j]
            for c in range(j + 1, last):
                one_after_the_other(v[j:, j], a[j:, c])
        apply_block(np.ascontiguousarray(v[first:, first:last]), rest := np.ascontiguousarray(
            a[first:, last:]), adjoint=True)  # fmt: skip
        a[first:, last:] = rest
    return v, np.triu(a[:rank]), phases, a


def one_after_the_other(v: np.ndarray, x: np.ndarray) -> None:
    """x -= v (v^H x), the real and the imaginary part of v^H x in turn, in place."""
    real, made = numbers(np.ascontiguousarray(v)), numbers(np.ascontiguousarray(x)).copy()
    for axis in [real, times_i(real)] if v.dtype.kind == "c" else [real]:
        factor = made.dtype.type(dot16(axis.astype(np.float64), made.astype(np.float64)))
        made = fused(np.full_like(made, -factor), axis, made)
    x[...] = made.view(x.dtype)


def formed(v: np.ndarray, top: np.ndarray) -> np.ndarray:
    """H_0 H_1 .. [top; 0]."""
    q = np.zeros((len(v), top.shape[1]), v.dtype)
    q[: len(top)] = top
    most = QR_NUMBERS // (2 if v.dtype.kind == "c" else 1)
    for first in reversed(range(0, v.shape[1], most)):
        apply_block(np.ascontiguousarray(v[first:, first : first + most]), q[first:])
    return q


def qr(a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Q and R of a matrix, bit for bit: a tall one by a tree."""
    rows, columns = a.shape
    leaf = max(1024, 8 * columns)
    if columns <= 256 and rows >= 2 * leaf:
        starts = list(range(rows // leaf))
        leaves = np.split(a, [leaf * i for i in starts[1:]])
        made = [factorised(part) for part in leaves]
        top, r = qr(np.concatenate([part[1] for part in made]))
        tops = np.split(top, len(leaves))
        return np.concatenate([formed(m[0], t) for m, t in zip(made, tops, strict=True)]), r
    v, r, phases, _ = factorised(a)
    q = formed(v, np.diag(phases))
    if a.dtype.kind == "f":
        return q, np.triu(r * phases[:, None])
    re, im = numbers(r)[:, ::2], numbers(r)[:, 1::2]
    d, e = phases.real[:, None], phases.imag[:, None]
    made = (re * d + im * e) + 1j * (im * d - re * e)
    np.fill_diagonal(made, made.diagonal().real)
    return q, np.triu(made).astype(a.dtype)
