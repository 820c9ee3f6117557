"""Threads by default: calls that say no `threads=`, on an idle machine and beside others.

python bench/bench_threads.py --save

Each row is the median of 200 calls, over that of the same call with `threads=1`, taken in turns.
Beside two busy processes a call that shares its work waits for cores that others have.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any

import numpy as np
from harness import main

import fanin
from fanin import _core
from fanin._bench.timing import Report, Row

CALLS = 200
PATIENCE = 4.0  # seconds for the calls of one row
BUSY = 2  # processes
AT_MOST = 1.5
Call = Callable[[int | None], Any]


def calls() -> dict[str, tuple[Call, bool]]:
    """What is called, by name, and whether it is small enough to stay on one thread."""
    found: dict[str, tuple[Call, bool]] = {}
    for exponent in (16, 17, 18, 19, 20, 22, 24):
        out = np.zeros(1 << exponent, np.float32)
        for law in (fanin.normal, fanin.uniform):
            name = f"float32 {law.__name__}, 2^{exponent} values"
            found[name] = (
                lambda threads, law=law, out=out: law(out.shape, seed=0, out=out, threads=threads),
                exponent < 20,
            )
    for n in (64, 128, 256, 512, 1024):
        found[f"float32 orthogonal, n = {n}"] = (
            lambda threads, n=n: fanin.orthogonal((n, n), seed=0, threads=threads), n < 256,
        )  # fmt: skip
        a = fanin.normal((n, n), seed=0)
        found[f"float32 qr, n = {n}"] = (
            lambda threads, a=a: fanin.linalg.qr(a, threads=threads), n < 256,
        )  # fmt: skip
    for count, n in ((16, 32), (16, 64), (64, 128)):
        found[f"float32 orthogonal, {count} of {n} x {n}"] = (
            lambda threads, shape=(count, n, n): fanin.orthogonal(
                shape, seed=0, batch_axes=0, threads=threads
            ),
            n < 128,
        )
    return found


@contextmanager
def neighbours(count: int) -> Iterator[None]:
    """So many processes that only count."""
    command = [sys.executable, "-c", "while True: pass"]
    started = [subprocess.Popen(command) for _ in range(count)]
    try:
        time.sleep(0.2)
        yield
    finally:
        for one in started:
            one.kill()
            one.wait()


def medians(call: Call) -> tuple[float, float]:
    """Of the default and of one thread, in microseconds, in turns."""
    taken: dict[int | None, list[float]] = {None: [], 1: []}
    for threads in (None, 1):
        call(threads)
    end = time.perf_counter() + PATIENCE
    while len(taken[1]) < CALLS and time.perf_counter() < end:
        for threads, times in taken.items():
            begin = time.perf_counter()
            call(threads)
            times.append(1e6 * (time.perf_counter() - begin))
    return median(taken[None]), median(taken[1])


def default(report: Report, choice: argparse.Namespace, threads: int) -> None:
    """The default with `threads` of them, idle and beside two busy processes."""
    _core.set_threads(threads)
    for beside, count in (("idle", 0), (f"beside {BUSY} busy processes", BUSY)):
        with neighbours(count):
            for name, (call, small) in calls().items():
                own, one = medians(call)
                report.rows.append(
                    Row(f"{name}, {beside}", own, one, "us", "threads=1", own / one, "of it",
                        AT_MOST if small else None, at_most=True)
                )  # fmt: skip
    _core.set_threads(0)


if __name__ == "__main__":
    raise SystemExit(main("threads", __doc__ or "", {"default": default}))
