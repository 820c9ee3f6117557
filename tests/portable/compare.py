"""Compares a driver (driver.cpp), built for any machine, with the module of this one, byte by byte.

python tests/portable/compare.py qemu-aarch64 ./driver
"""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

import fanin
from fanin import _core

COUNT = 2000  # values a case
SEEDS = [0, 2**64 - 1, 2**128 - 1]
FIRST = [0, 1, 2**32 - 2, 2**63 - 1 - COUNT]
LAWS = {
    "uniform": [(0.0, 1.0), (-0.3, 0.7)],
    "normal": [(0.0, 1.0), (1.5, 0.02)],
    "truncated_normal": [
        (0.25, 0.5, -2.0, 2.0),
        (0.25, 0.5, 0.0, math.inf),
        (0.25, 0.5, -9.0, -8.0),
        (-20.0, 0.5, 40.0, 41.0),
    ],
    "exponential": [(0.0, 3.0)],
    "laplace": [(0.5, 3.0)],
}
DTYPES = ["f4", "f8", "f2", "u2", "u1", "u2", "u4", "u8"]  # of the core's elements; bfloat16 as u2
FLOATS, INTEGERS = range(4), range(4, 8)
SPANS = [(7, 70), (2**63, 2**64 - 1), (5, 0)]
HAAR = [(1, 1), (65, 65), (300, 129), (700, 641)]  # rows and columns; blocks of 32 and 64
SCALARS = {
    "truncated_normal_std": [(-2.0, 2.0), (-3.0, 3.0), (0.0, math.inf), (5.0, 9.0)],
    "logarithm": [(0.1,), (2.0,), (1e300,)],
    "power": [(12.0, -0.25), (2.0, 0.5), (48.0, 1 / 16)],
}


class Case(NamedTuple):
    """A line for the driver and the bytes that must come back."""

    line: str
    expected: bytes


def _filled(law: str, element: int, seed: int, first: int, arguments: tuple) -> Case:
    key = fanin.Stream(seed)._key
    out = np.zeros(COUNT, DTYPES[element])
    if law == "integers":
        _core.fill_integers(*arguments, element, key, 0, out, first, True)
    elif law == "rademacher":
        _core.fill_signs(element, key, 0, out, first, True)
    else:
        _core.fill(law, arguments, element, False, key, 0, out, first, None, 1, True)
    return Case(_line(law, element, seed, first, COUNT, arguments), out.tobytes())


def _line(law: str, element: int, seed: int, first: int, count: int, arguments: tuple) -> str:
    key = fanin.Stream(seed).key
    text = " ".join(map(repr, arguments))
    return f"{law} {element} {key % 2**64} {key >> 64} 0 {first} {count} {text}"


def _haar(rows: int, columns: int, dtype: str) -> Case:
    make = fanin.unitary if dtype.startswith("c") else fanin.orthogonal
    made = make((rows, columns), seed=1, dtype=dtype)
    parts = 2 if dtype.startswith("c") else 1
    element = 0 if made.real.dtype == np.float32 else 1
    return Case(_line("haar", element, 1, 0, 0, (rows, columns, parts)), made.tobytes())


def cases() -> Iterator[Case]:
    """Every law at every element, some seeds and addresses; and the functions behind scales."""
    for seed, first in itertools.product(SEEDS, FIRST):
        for law, sets in LAWS.items():
            for arguments, element in itertools.product(sets, FLOATS):
                yield _filled(law, element, seed, first, arguments)
        for element in (*FLOATS, *INTEGERS):
            yield _filled("rademacher", element, seed, first, ())
        for arguments, element in itertools.product(SPANS, INTEGERS):
            yield _filled("integers", element, seed, first, arguments)
    for (rows, columns), dtype in itertools.product(HAAR, ["f4", "f8", "c8", "c16"]):
        yield _haar(rows, columns, dtype)
    functions = {"truncated_normal_std": _core.truncated_normal_std, "logarithm": _core.math_log,
                 "power": _core.math_pow}  # fmt: skip
    for name, sets in SCALARS.items():
        for arguments in sets:
            value = np.float64(functions[name](*arguments)).tobytes()
            yield Case(f"{name} 1 0 0 0 0 1 {' '.join(map(repr, arguments))}", value)


def main(driver: list[str]) -> int:
    """Runs the driver on every instruction set it offers; the number of cases that differ."""
    listed = subprocess.run([*driver, "isas"], capture_output=True, text=True, check=True)
    wanted = list(cases())
    wrong = 0
    for isa in listed.stdout.split():
        lines = "\n".join(case.line for case in wanted).encode()
        got = subprocess.run([*driver, isa], input=lines, capture_output=True, check=True).stdout
        at = 0
        for case in wanted:
            if got[at : at + len(case.expected)] != case.expected:
                print(f"{isa}: {case.line} differs")
                wrong += 1
            at += len(case.expected)
        wrong += at != len(got)
        print(f"{isa}: {len(wanted)} cases of {COUNT} values or a matrix")
    return wrong


if __name__ == "__main__":
    sys.exit(min(main(sys.argv[1:]), 1))
