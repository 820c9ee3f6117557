"""Memory of draws whose parameters differ by element: the result and a bounded buffer."""

from __future__ import annotations

import subprocess
import sys

import pytest

# Ascending sizes of the result, so that the peak of one does not hide the next.
MEASURE = """
import resource
import numpy as np
import fanin

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

shape = (1 << 10, 1 << 11)
row, column = np.linspace(1, 2, shape[1]), np.linspace(-1, 1, shape[0])[:, None]
full = np.ones(shape, np.float32)
rng = fanin.default_rng(0)

def calls(size, dtype):
    {calls}

for call in calls((4, 1 << 11), "{first}"):
    call(np.float64(0) + column[:4], row, full[:4])
before = peak()
for dtype in {dtypes}:
    for number, call in enumerate(calls(shape, dtype)):
        made = call(column, row, full)
        assert made.shape == shape and made.dtype == np.dtype(dtype), made.dtype
        print(dtype, number, made.nbytes, peak() - before)
        del made
"""

REAL = ("float16", "bfloat16", "float32", "float64")
COMPLEX = (*REAL[:3], "complex64", "float64", "complex128")
INTEGERS = ("int8", "uint8", "int16", "int32", "int64")
LAWS = {
    "normal": (COMPLEX, "lambda c, r, f: fanin.normal(size, c, r, seed=0, dtype=dtype)"),
    "normal, a full array": (REAL, "lambda c, r, f: fanin.normal(size, f, 1, seed=0, dtype=dtype)"),
    "uniform": (REAL, "lambda c, r, f: fanin.uniform(size, c, r + 1, seed=0, dtype=dtype)"),
    "truncated_normal": (
        REAL, "lambda c, r, f: fanin.truncated_normal(size, 0, 1, c - 2, r, seed=0, dtype=dtype)"),
    "a run": (
        REAL, "lambda c, r, f: fanin.normal((size[0] * 4, size[1]), r, 1, seed=0, dtype=dtype, "
        "index=fanin.flat[:size[0] * size[1]]).reshape(size)"),
    "Generator": (
        REAL,
        "lambda c, r, f: rng.normal(c, r, size, dtype=dtype)",
        "lambda c, r, f: rng.uniform(c, r, size, dtype=dtype)",
        "lambda c, r, f: rng.truncated_normal(c, f, -1, r, size, dtype=dtype)",
        "lambda c, r, f: rng.exponential(f, size, dtype=dtype)",
        "lambda c, r, f: rng.laplace(c, r, size, dtype=dtype)",
    ),
    "integers": (
        INTEGERS,
        "lambda c, r, f: rng.integers((c + 1) * 9, r * 50, size, dtype=dtype)",
        "lambda c, r, f: rng.integers(f, 100, size, dtype=dtype)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("law", LAWS)
def test_parameters_that_differ_by_element_cost_a_bounded_buffer(law):
    dtypes, *calls = LAWS[law]
    code = MEASURE.format(dtypes=dtypes, first=dtypes[-1], calls=f"return [{', '.join(calls)}]")
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    lines = run.stdout.splitlines()
    assert len(lines) == len(dtypes) * len(calls)
    for line in lines:
        nbytes, grown = map(int, line.split()[2:])
        # 2^15 elements at a time: sixteen arrays of them, buffers, columns and what checks make of
        # them, as complex128 are 8 MB.
        assert grown <= nbytes + 8 * 2**20, line
