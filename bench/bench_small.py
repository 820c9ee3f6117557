"""Small calls: what one call costs before the values do.

python bench/bench_small.py --save
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


# --- one call against another -------------------------------------------------------------------

Call = Callable[[], Any]
Pair = tuple[str, Call, str, str, Call]  # what, ours, the peer, how, its call


def compared(
    report: Report,
    choice: argparse.Namespace,
    pairs: list[Pair],
    more: float | None = None,
    times: float | None = None,
    calls: int = CALLS,
) -> None:
    """Rows of pairs: ours may take so many microseconds more, or so many times as long."""
    for what, call, peer, how, other in pairs:
        ours = repeated("fanin", what, "", call, calls)
        theirs = repeated(peer, what, how, other, calls)
        seconds = timed(report, choice, [ours, theirs]).seconds
        own, its = (1e6 * seconds[one.name] / calls for one in (ours, theirs))
        found = own - its if times is None else own / its
        measure = "us more" if times is None else "x its time"
        asked = more if times is None else times
        report.rows.append(Row(what, own, its, "us", theirs.name, found, measure, asked, True))


def into_arrays(report: Report, choice: argparse.Namespace, threads: int) -> None:
    """64 float32 values into an array that is there, and one row of a large weight."""
    out = np.empty(64, np.float32)
    numpy = np.random.Generator(np.random.SFC64(1))
    stream = fanin.Stream(1)

    def by_numpy() -> Any:
        return numpy.standard_normal(out=out, dtype=np.float32)

    laws = (fanin.normal, fanin.uniform, fanin.random, fanin.truncated_normal)
    pairs: list[Pair] = [
        (f"{law.__name__}(64, out=)", lambda law=law: law(64, seed=stream, out=out),
         "NumPy", "standard_normal(out=), SFC64", by_numpy)
        for law in laws
    ]  # fmt: skip
    compared(report, choice, pairs, more=1.5)
    row = ("normal((10**6, 64), index=7)", lambda: fanin.normal((10**6, 64), seed=1, index=7),
           "Python", "an empty call", lambda: None)  # fmt: skip
    compared(report, choice, [row], more=5.0)


def into_tensors(report: Report, choice: argparse.Namespace, threads: int) -> None:
    """The same into a torch tensor, against torch.nn.init."""
    if "torch" not in choice.peers or not installed("torch"):
        return
    import torch

    init = torch.nn.init
    out, weight = torch.empty(64), torch.empty(8, 8)
    pairs: list[Pair] = [
        ("normal(64, out=tensor)", lambda: fanin.normal(64, seed=1, out=out),
         "torch", "nn.init.normal_", lambda: init.normal_(out)),
        ("uniform(64, out=tensor)", lambda: fanin.uniform(64, seed=1, out=out),
         "torch", "nn.init.uniform_", lambda: init.uniform_(out)),
        ("truncated_normal(64, out=tensor)", lambda: fanin.truncated_normal(64, seed=1, out=out),
         "torch", "nn.init.trunc_normal_", lambda: init.trunc_normal_(out)),
        ("he_uniform((8, 8), out=tensor)", lambda: fanin.he_uniform((8, 8), seed=1, out=weight),
         "torch", "nn.init.kaiming_uniform_", lambda: init.kaiming_uniform_(weight)),
    ]  # fmt: skip
    compared(report, choice, pairs, more=2.0)


def small_schemes(report: Report, choice: argparse.Namespace, threads: int) -> None:
    """Every scheme with a law against `fanin.normal` of the same shape."""

    def called(name: str, row: Any) -> Pair:
        scheme, own = getattr(fanin, name), {**row.example, "shape": (8, 8)}
        if "base_shape" in own:
            own["base_shape"] = (4, 4)
        return (f"{name}((8, 8))", lambda: scheme(seed=1, **own),
                "fanin.normal", "the same shape", lambda: fanin.normal((8, 8), seed=1))  # fmt: skip

    pairs = [called(name, row) for name, row in fanin.schemes().items() if row.law is not None]
    compared(report, choice, pairs, more=2.0)


def scalars(report: Report, choice: argparse.Namespace, threads: int) -> None:
    """One value of a Generator's method against NumPy's; integers between arrays of bounds."""
    ours, theirs = fanin.default_rng(1), np.random.default_rng(1)
    calls: tuple[tuple[str, Any, Any], ...] = (
        ("random", (), {}), ("standard_normal", (), {}), ("normal", (), {}), ("uniform", (), {}),
        ("standard_exponential", (), {}), ("exponential", (), {}), ("laplace", (), {}),
        ("normal", (np.float64(1), 2), {}), ("integers", (5,), {}),
        ("integers", (np.int64(5),), {}), ("integers", (0, 5), {"endpoint": True}),
        ("integers", (5,), {"dtype": np.int32}), ("integers", (5,), {"dtype": int}),
        *(("integers", (high,), {}) for high in ([5, 6, 7], np.array([5, 6, 7]))),
        *((law, (np.array([0.1, 0.2, 0.3]),), {})
          for law in ("normal", "uniform", "exponential", "laplace")),
    )  # fmt: skip

    def pair(name: str, given: Any, named: Any) -> Pair:
        own, its = getattr(ours, name), getattr(theirs, name)
        told = [repr(value) for value in given]
        told += [f"{key}={getattr(value, '__name__', value)}" for key, value in named.items()]
        return (f"rng.{name}({', '.join(told)})", lambda: own(*given, **named),
                "NumPy", "PCG64", lambda: its(*given, **named))  # fmt: skip

    compared(report, choice, [pair(*call) for call in calls], times=3.0)
    high = theirs.integers(1, 255, 10**6).astype(np.uint8)
    bounds: list[Pair] = [
        (f"rng.integers(0, 10**6 uint8, dtype={kind.__name__})",
         lambda kind=kind: ours.integers(0, high, dtype=kind), "NumPy", "PCG64",
         lambda kind=kind: theirs.integers(0, high, dtype=kind))
        for kind in (np.int64, np.uint8)
    ]  # fmt: skip
    compared(report, choice, bounds, times=1.5, calls=1)


PARTS = {
    "calls": small_calls,
    "arrays": into_arrays,
    "tensors": into_tensors,
    "schemes": small_schemes,
    "scalars": scalars,
}

if __name__ == "__main__":
    raise SystemExit(main("small", __doc__ or "", PARTS))
