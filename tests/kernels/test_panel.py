"""Matrix products: the sums that the contract states, on every instruction set and thread count."""

import itertools
import os
import subprocess
import sys

import numpy as np
import oracle_orthogonal as oracle
import pytest

from fanin import _core

DTYPES = [np.float32, np.float64, np.complex64, np.complex128]
# Each dimension below, at and above the register tiles (4, 6, 14 rows; 4 to 32 columns), and
# depths at the edges of the contract's panels of 256.
SHAPES = [(1, 1, 1), (3, 7, 5), (14, 256, 32), (15, 257, 33), (29, 129, 64), (5, 513, 17)]


def matrices(dtype, rows, depth, columns):
    rng = np.random.default_rng(rows * 1000 + depth)

    def draw(*shape):
        values = rng.standard_normal(shape)
        return (values + 1j * rng.standard_normal(shape) if dtype().imag.dtype != dtype().dtype
                else values).astype(dtype)  # fmt: skip

    return draw(rows, depth), draw(depth, columns)


def product(a, b, transpose_a=False, transpose_b=False, threads=1):
    rows, columns = a.shape[transpose_a], b.shape[not transpose_b]
    out = np.full((rows, columns), np.nan, a.dtype)
    _core.gemm(a, b, out, transpose_a, transpose_b, threads)
    return out


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_products_are_the_sums_of_the_contract_bit_for_bit(isa, dtype, shape):
    a, b = matrices(dtype, *shape)
    assert product(a, b).tobytes() == oracle.gemm(a, b).tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
def test_transposed_and_strided_operands_have_the_same_bits(isa, dtype):
    a, b = matrices(dtype, 31, 270, 45)
    expected = product(a, b)
    for transpose_a, transpose_b in itertools.product((False, True), repeat=2):
        left = a.T.copy() if transpose_a else a
        right = b.T.copy() if transpose_b else b
        assert product(left, right, transpose_a, transpose_b).tobytes() == expected.tobytes()
    spread = np.zeros((62, 810), dtype)
    spread[::2, ::3] = a
    assert product(spread[::2, ::3], b).tobytes() == expected.tobytes()


@pytest.mark.parametrize("threads", [2, 3, 4, 7])
def test_threads_do_not_change_a_product(isa, threads):
    a, b = matrices(np.float32, 70, 300, 400)
    assert product(a, b, threads=threads).tobytes() == product(a, b).tobytes()


def test_products_are_accurate():
    # |error| <= (256 + panels) eps |a||b| (Higham 2002, section 3.1, for chains of 256).
    a, b = matrices(np.float32, 40, 1000, 50)
    exact = a.astype(np.float64) @ b.astype(np.float64)
    bound = 260 * 2.0**-24 * (np.abs(a).astype(np.float64) @ np.abs(b).astype(np.float64))
    assert (np.abs(product(a, b) - exact) <= bound).all()


def test_empty_products_are_zero():
    assert (product(np.ones((3, 0), np.float32), np.ones((0, 4), np.float32)) == 0).all()
    assert product(np.ones((0, 3)), np.ones((3, 4))).shape == (0, 4)


@pytest.mark.parametrize(
    ("a", "b", "out", "error"),
    [
        (np.ones((2, 3)), np.ones((4, 5)), np.ones((2, 5)), ValueError),
        (np.ones((2, 3)), np.ones((3, 5)), np.ones((5, 2)), ValueError),
        (np.ones((2, 3)), np.ones((3, 5)), np.ones((5, 2)).T, ValueError),
        (np.ones((2, 3)), np.ones((3, 5), np.float32), np.ones((2, 5)), TypeError),
        (np.ones((2, 3), int), np.ones((3, 5), int), np.ones((2, 5), int), TypeError),
        (np.ones(3), np.ones((3, 5)), np.ones((1, 5)), ValueError),
    ],
)
def test_operands_that_do_not_fit_are_refused(a, b, out, error):
    with pytest.raises(error):
        _core.gemm(a, b, out)
    assert (out == 1).all()


@pytest.mark.timing
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_product_reaches_four_fifths_of_numpys(dtype):
    # In a process of its own, because OpenBLAS reads its number of threads when it is loaded.
    code = f"""
import time, numpy as np
from fanin import _core

a, b = np.random.default_rng(0).standard_normal((2, 1024, 1024)).astype("{dtype}")
out = np.empty_like(a)

def seconds(multiply):
    start = time.perf_counter()
    multiply()
    return time.perf_counter() - start

ours = theirs = 1.0
for _ in range(30):
    ours = min(ours, seconds(lambda: _core.gemm(a, b, out, threads=1)))
    theirs = min(theirs, seconds(lambda: np.matmul(a, b, out=out)))
print(theirs / ours)
"""
    alone = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    run = subprocess.run([sys.executable, "-c", code], env=alone, capture_output=True, check=True)
    assert float(run.stdout) >= 0.8
