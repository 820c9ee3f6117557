"""Small calls: what one call costs before the values do.

python bench/bench_small.py --json bench/results/small.json
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
from harness import main, timed

import fanin
from fanin._bench.contenders import Contender, installed
from fanin._bench.laws import NORMAL
from fanin._bench.timing import Report, Row, assert_moments

# Calls between two readings of the clock: a few milliseconds, far above the clock's resolution.
CALLS = 2000
# Arrays joined to have their moments asserted.
CHECKED_CALLS = 1000
SIZES = (1, 64, 1024, 16384)
WHAT_IS_REQUIRED = 64
MICROSECONDS_MORE = 3.0


def repeated(peer: str, what: str, how: str, call: Callable[[], Any], calls: int) -> Contender:
    """`calls` calls in a row; what they return is dropped, as a caller's temporary would be."""

    def run() -> None:
        for _ in range(calls):
            call()

    return Contender(peer, what, how, run, calls)


def assert_small(contender: str, draw: Callable[[int], Any]) -> None:
    """The moments of many small arrays joined; `draw(k)` is the k-th."""
    joined = np.concatenate([np.asarray(draw(k)) for k in range(CHECKED_CALLS)])
    assert_moments(joined, NORMAL, contender)


def small_calls(report: Report, choice: argparse.Namespace, threads: int) -> None:
    """`fanin.normal((n,), seed=1)` against `Generator(SFC64).standard_normal(n, dtype=float32)`."""
    for size in SIZES:
        _one_size(report, choice, size)


def _one_size(report: Report, choice: argparse.Namespace, size: int) -> None:
    calls = max(CALLS * WHAT_IS_REQUIRED // max(size, WHAT_IS_REQUIRED), 20)
    what = f"float32 normal, {size} values"
    shape = (size,)
    out = np.empty(shape, np.float32)
    stream = fanin.Stream(1)
    generator = np.random.Generator(np.random.SFC64(1))

    def by_seed() -> Any:
        return fanin.normal(shape, seed=1)

    def by_stream() -> Any:
        return fanin.normal(shape, seed=stream, out=out)

    def by_numpy() -> Any:
        return generator.standard_normal(size, dtype=np.float32)

    ours = repeated("fanin", what, "seed=1", by_seed, calls)
    others = [
        repeated("fanin", what, "seed=Stream, out=", by_stream, calls),
        repeated("NumPy", what, "SFC64", by_numpy, calls),
        *(_torch(what, size, calls) if "torch" in choice.peers else []),
    ]
    assert_small(ours.name, lambda k: fanin.normal(shape, seed=k))
    assert_small("NumPy", lambda _: by_numpy())
    timing = timed(report, choice, [ours, *others])
    microseconds = {name: 1e6 * seconds / calls for name, seconds in timing.seconds.items()}
    for other in others:
        own, theirs = microseconds[ours.name], microseconds[other.name]
        needed = size == WHAT_IS_REQUIRED and other.peer == "NumPy"
        report.rows.append(
            Row(
                f"{ours.what}, {ours.how}",
                own,
                theirs,
                "us",
                other.name,
                own - theirs,
                measure="us more",
                required=MICROSECONDS_MORE if needed else None,
                at_most=True,
            )
        )


def _torch(what: str, size: int, calls: int) -> list[Contender]:
    """`torch.randn(n)`."""
    if not installed("torch"):
        return []
    import torch

    assert_small("torch", lambda _: torch.randn(size).numpy())
    return [repeated("torch", what, "randn", lambda: torch.randn(size), calls)]


if __name__ == "__main__":
    raise SystemExit(main("small", __doc__ or "", {"calls": small_calls}))
