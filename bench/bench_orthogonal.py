"""Haar matrices and the matrix product under them, beside LAPACK and the frameworks.

python bench/bench_orthogonal.py --save

Rates count the flops of the reflectors, 2 m n^2 - 2/3 n^3 (4/3 n^3 if square), whatever a
contender really spends. torch's wheels hold oneMKL, NumPy's and SciPy's OpenBLAS.
"""

from __future__ import annotations

import argparse
import functools
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from harness import Bench, main, timed

import fanin
from fanin import _core
from fanin._bench.contenders import Array, Contender, installed
from fanin._bench.timing import Report, Row, Timing

SQUARE = (256, 512, 1024, 2048, 4096)
OBLONG = ((8192, 1024), (1024, 8192))
BATCHES = ((32, 512), (64, 256), (128, 64), (256, 32))
PRODUCTS = (1024, 2048, 4096)
# What each line must reach, in times the contender's speed; torch and MKL by size.
TIMES_TORCH = {512: 3.0, 1024: 3.9, 2048: 3.6, 4096: 3.0}
TIMES_MKL = {1024: 2.4, 2048: 2.4, 4096: 2.4}
SHARE_OF_PRODUCT = {512: 0.60, 1024: 0.70, 2048: 0.80, 4096: 0.80}
TIMES_TORCH_BATCH = {32: 10.0, 64: 10.0, 128: 10.0, 256: 6.0}
TIMES_TORCH_OBLONG = 3.3
SHARE_OF_BLAS = 0.92  # of a product, on the best instruction set
# Matrices to factorise, and what their line must reach by dtype.
FACTORS = {
    (512, 512): (1.2, 1.1), (1024, 1024): (1.2, 1.1), (2048, 2048): (1.2, 1.1),
    (4096, 4096): (1.2, 1.1), (100_000, 32): (1.5, 1.5), (256, 32, 32): (2.0, 2.0),
    (128, 64, 64): (2.0, 2.0), (64, 128, 128): (2.0, 2.0),
}  # fmt: skip
SCALED = (2048, 4096)
TIMES_ONE_THREAD = 1.85  # with two threads
LARGEST_ERROR = 3 * 0.35  # of norm_F(Q^T Q - I) / (eps n): three times LAPACK's at n = 64
# A peer's sums over many rows round as a random walk: sqrt(m n) in the place of n. Measured: oneMKL
# on AMD, 100000 x 32 in float32, 1.3e-5 (ours 8.7e-7), which is three times the bound of n.


def flops(rows: int, columns: int) -> int:
    """Of applying the reflectors of the tall form."""
    long, short = max(rows, columns), min(rows, columns)
    return 2 * long * short**2 - 2 * short**3 // 3


def assert_orthonormal(made: Any, contender: str) -> None:
    """The orthogonality of every matrix that a contender made."""
    q = np.asarray(made).astype(np.float64)
    q = np.swapaxes(q, -1, -2) if q.shape[-2] < q.shape[-1] else q
    m, n = q.shape[-2:]
    error = np.linalg.norm(np.swapaxes(q, -1, -2) @ q - np.eye(n), axis=(-2, -1)).max()
    terms = n if contender.startswith("fanin") else np.sqrt(m * n)
    assert error <= LARGEST_ERROR * terms * 2.0**-23, f"{contender}: error {error:.2g} at n = {n}"


def rows_against(
    report: Report,
    timing: Timing,
    ours: Contender,
    required: Callable[[str], float | None],
) -> None:
    """One line for each other contender, in 10^9 flops a second."""
    for name, other in timing.contenders.items():
        if name != ours.name:
            own, theirs = timing.rate(ours.name), timing.rate(name)
            report.rows.append(
                Row(f"{ours.what}, {ours.how}", own, theirs, "Gflop/s", name, own / theirs,
                    required=required(other.how))
            )  # fmt: skip


# --- contenders ---------------------------------------------------------------------------------


#: Seconds a flop of a peer's call in its last size, by peer and method.
PACE: dict[tuple[str, str], float] = {}


def in_time(report: Report, choice: argparse.Namespace, found: list[Contender]) -> list[Contender]:
    """Those whose call is expected to end within the patience; each has run once and was checked.

    Where other programs use the cores, the waiting threads of a BLAS slow a call a hundredfold, and
    no call can be stopped: so each is judged by its pace in the size before.
    """
    kept = []
    for one in found:
        key = one.peer, one.how
        expected = PACE.get(key, 0.0) * one.values
        if expected > choice.patience:
            report.notes.append(f"{one.name} left out: a call would take about {expected:.0f} s")
            continue
        one.run()  # compiles, starts threads
        begin = time.perf_counter()
        made = one.run()
        PACE[key] = (time.perf_counter() - begin) / one.values
        assert_orthonormal(made, one.name)
        kept.append(one)
    return kept


def rivals(
    choice: argparse.Namespace, what: str, rows: int, columns: int, threads: int
) -> list[Contender]:
    """All chosen peers that make one orthogonal matrix of float32."""
    work = flops(rows, columns)
    found: list[Contender] = []
    tall = (max(rows, columns), min(rows, columns))
    if "torch" in choice.peers and installed("torch"):
        import torch

        torch.set_num_threads(threads)
        weight, gaussian = torch.empty(rows, columns), torch.randn(*tall)
        found.append(
            Contender("torch", what, "orthogonal_",
                      lambda: torch.nn.init.orthogonal_(weight).numpy(), work)
        )  # fmt: skip
        found.append(
            Contender("torch", what, "MKL geqrf + orgqr",
                      lambda: torch.linalg.householder_product(*torch.geqrf(gaussian)).numpy(),
                      work)
        )  # fmt: skip
    if "NumPy" in choice.peers and installed("scipy"):
        from scipy.linalg import lapack

        matrix = np.asfortranarray(np.random.default_rng(0).standard_normal(tall, np.float32))
        lengths = (
            int(lapack.sgeqrf_lwork(*tall)[0]),
            int(lapack.sorgqr(matrix, matrix[0], -1)[1][0]),
        )

        def by_openblas() -> Array:
            reflectors, factors, _, _ = lapack.sgeqrf(matrix, lwork=lengths[0])
            made: Array = lapack.sorgqr(reflectors, factors, lwork=lengths[1], overwrite_a=1)[0]
            return made

        found.append(Contender("NumPy", what, "OpenBLAS geqrf + orgqr", by_openblas, work))
        if rows == columns <= 256:
            from scipy.stats import ortho_group

            law = ortho_group(rows, seed=0)
            found.append(Contender("NumPy", what, "scipy ortho_group", lambda: law.rvs(), work))
    if "JAX" in choice.peers and installed("jax"):
        import jax

        make = jax.jit(lambda key: jax.nn.initializers.orthogonal()(key, (rows, columns)))
        key = jax.random.key(0)
        found.append(
            Contender("JAX", what, "orthogonal", lambda: make(key).block_until_ready(), work)
        )
    return found


def ours(what: str, shape: tuple[int, ...], threads: int) -> Contender:
    """fanin.orthogonal into memory that is there."""
    out = np.empty(shape, np.float32)
    batch = (0,) if len(shape) == 3 else ()
    work = flops(*shape[-2:]) * (shape[0] if batch else 1)
    how = f"{threads} thr"
    made = Contender("fanin", what, how, lambda: fanin.orthogonal(
        shape, seed=0, out=out, batch_axes=batch, threads=threads), work)  # fmt: skip
    assert_orthonormal(made.run(), made.name)
    return made


def product(what: str, n: int, dtype: type, threads: int) -> Contender:
    """Our own matrix product of order n."""
    a, b, out = factors(n, dtype)

    def run() -> Array:
        _core.gemm(a, b, out, threads=threads)
        return out

    return Contender("fanin", what, f"product, {threads} thr", run, 2 * n**3)


def factors(n: int, dtype: type) -> tuple[Array, Array, Array]:
    """Two matrices and room for their product."""
    a, b = fanin.normal((2, n, n), seed=0, dtype=dtype)
    return a, b, np.empty((n, n), dtype)


# --- parts --------------------------------------------------------------------------------------


def products(report: Report, choice: argparse.Namespace, threads: int) -> None:
    """The matrix product alone, each instruction set, against MKL and OpenBLAS."""
    best = fanin.runtime.isa()
    for n in PRODUCTS:
        _one_product(report, choice, threads, n, np.float32, best)
    for n in PRODUCTS:
        _one_product(report, choice, threads, n, np.float64, best)
    _core.debug.set_isa(best)


def _one_product(
    report: Report, choice: argparse.Namespace, threads: int, n: int, dtype: type, best: str
) -> None:
    what, work = f"{np.dtype(dtype).name} product, n = {n}", 2 * n**3
    a, b, out = factors(n, dtype)
    exact = (a[:4].astype(np.float64) @ b.astype(np.float64))[:, :64]
    # Sums of n products in chains of 256, whose roundings add at random.
    tolerance = 300 * np.finfo(dtype).eps * np.abs(exact).max()

    def by_fanin(isa: str) -> Array:
        _core.debug.set_isa(isa)
        _core.gemm(a, b, out, threads=threads)
        return out

    def by_openblas() -> Array:
        np.matmul(a, b, out=out)
        return out

    isas = [isa for isa in fanin.runtime.isas() if isa != "baseline"]
    contenders = [
        Contender("fanin", what, isa, functools.partial(by_fanin, isa), work) for isa in isas
    ]
    contenders.append(Contender("NumPy", what, "OpenBLAS", by_openblas, work))
    if "torch" in choice.peers and installed("torch"):
        import torch

        torch.set_num_threads(threads)
        left, right, room = map(torch.from_numpy, (a, b, out))

        def by_mkl() -> Array:
            torch.matmul(left, right, out=room)
            return out

        contenders.append(Contender("torch", what, "MKL", by_mkl, work))
    for one in contenders:
        assert np.abs(one.run()[:4, :64] - exact).max() <= tolerance, one.name
    timing = timed(report, choice, contenders, checked=False)
    rival = max((name for name, one in timing.contenders.items() if one.peer != "fanin"),
                key=timing.rate)  # fmt: skip
    for one in contenders:
        if one.peer == "fanin":
            own, theirs = timing.rate(one.name), timing.rate(rival)
            needed = SHARE_OF_BLAS if one.how == best else None  # theirs is the best they have
            title = f"{what}, {one.how}"
            report.rows.append(
                Row(title, own, theirs, "Gflop/s", rival, own / theirs, required=needed)
            )


def square(report: Report, choice: argparse.Namespace, threads: int) -> None:
    """Square matrices against all peers and our own product."""
    for n in SQUARE:
        what = f"float32 orthogonal, n = {n}"
        mine, multiply = ours(what, (n, n), threads), product(what, n, np.float32, threads)
        others = in_time(report, choice, rivals(choice, what, n, n, threads))
        timing = timed(report, choice, [mine, multiply, *others], checked=False)

        def required(how: str, n: int = n) -> float | None:
            if how.startswith("product"):
                return SHARE_OF_PRODUCT.get(n)
            if how.startswith("MKL"):
                return TIMES_MKL.get(n)
            return TIMES_TORCH.get(n) if how == "orthogonal_" else None

        rows_against(report, timing, mine, required)


def oblong(report: Report, choice: argparse.Namespace, threads: int) -> None:
    """Tall and wide matrices."""
    for rows, columns in OBLONG:
        what = f"float32 orthogonal, {rows} x {columns}"
        mine = ours(what, (rows, columns), threads)
        others = in_time(report, choice, rivals(choice, what, rows, columns, threads))
        timing = timed(report, choice, [mine, *others], checked=False)
        rows_against(
            report, timing, mine, lambda how: TIMES_TORCH_OBLONG if how == "orthogonal_" else None
        )


def batches(report: Report, choice: argparse.Namespace, threads: int) -> None:
    """Many small matrices against torch in a loop and torch's batched QR."""
    if not installed("torch"):
        return
    import torch

    torch.set_num_threads(threads)
    for n, count in BATCHES:
        what = f"float32 orthogonal, {count} of {n} x {n}"
        mine = ours(what, (count, n, n), threads)
        stack, gaussian = torch.empty(count, n, n), torch.randn(count, n, n)

        def loop(stack: Any = stack) -> Array:
            for matrix in stack:
                torch.nn.init.orthogonal_(matrix)
            made: Array = stack.numpy()
            return made

        others = [
            Contender("torch", what, "orthogonal_ in a loop", loop, mine.values),
            Contender("torch", what, "batched linalg.qr",
                      lambda gaussian=gaussian: torch.linalg.qr(gaussian)[0].numpy(), mine.values),
        ]  # fmt: skip
        for one in others:
            assert_orthonormal(one.run(), one.name)
        timing = timed(report, choice, [mine, *others], checked=False)
        needed = TIMES_TORCH_BATCH[n] if threads > 1 else None
        rows_against(
            report, timing, mine, lambda how, needed=needed: needed if "loop" in how else None
        )


def factors_of(report: Report, choice: argparse.Namespace, threads: int) -> None:
    """linalg.qr against torch's, both factors."""
    if not installed("torch"):
        return
    import torch

    torch.set_num_threads(threads)
    for dtype in (np.float32, np.float64):
        for shape, needed in FACTORS.items():
            what = f"{np.dtype(dtype).name} qr, {' x '.join(map(str, shape))}"
            matrix = fanin.normal(shape, seed=0, dtype=dtype)
            tensor = torch.from_numpy(matrix)
            rows, columns = shape[-2:]
            # R, and Q formed from its reflectors.
            work = 2 * flops(rows, columns) * (shape[0] if len(shape) == 3 else 1)
            mine = Contender(
                "fanin", what, f"{threads} thr",
                lambda a=matrix: fanin.linalg.qr(a, threads=threads).Q, work,
            )  # fmt: skip
            theirs = Contender(
                "torch", what, "linalg.qr", lambda a=tensor: torch.linalg.qr(a)[0].numpy(), work
            )
            for one in (mine, theirs):
                assert_orthonormal(one.run(), one.name)
            timing = timed(report, choice, [mine, theirs], checked=False)
            rows_against(
                report, timing, mine, lambda how, n=needed, d=dtype: n[int(d == np.float64)]
            )


def scaling(report: Report, choice: argparse.Namespace, threads: int) -> None:
    """All threads against one, in one process."""
    if threads == 1:
        return
    for n in SCALED:
        what = f"float32 orthogonal, n = {n}"
        together, alone = ours(what, (n, n), threads), ours(what, (n, n), 1)
        timing = timed(report, choice, [together, alone], checked=False)
        rows_against(report, timing, together, lambda how: TIMES_ONE_THREAD)


if __name__ == "__main__":
    counts = sys.argv[sys.argv.index("--threads") + 1 :] if "--threads" in sys.argv else []
    single = counts[0] if counts and not (len(counts) > 1 and counts[1].isdigit()) else None
    if any(os.environ.pop(name, None) for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")):
        os.execv(sys.executable, [sys.executable, *sys.argv])  # OpenBLAS chooses its best kernels
    if single and os.environ.get("OPENBLAS_NUM_THREADS") != single:  # read when NumPy is loaded
        for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
            os.environ[name] = single
        os.execv(sys.executable, [sys.executable, *sys.argv])
    parts: dict[str, Bench] = {
        "products": products,
        "square": square,
        "oblong": oblong,
        "batches": batches,
        "qr": factors_of,
        "scaling": scaling,
    }
    raise SystemExit(main("orthogonal", __doc__ or "", parts))
