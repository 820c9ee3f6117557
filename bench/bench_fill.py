"""Large fills: laws x dtypes x memory x instruction set, beside the peers and the limits.

python bench/bench_fill.py --threads 1 2 --json bench/results/fill.json
"""

from __future__ import annotations

import argparse
from math import inf

import numpy as np
from harness import bandwidth, first_touch, main, rivals, stores, timed

import fanin
from fanin import _core
from fanin._bench import peers as _peers
from fanin._bench import timing as _bench
from fanin._bench.peers import NORMAL, UNIFORM, Array, Contender, truncated_normal, uniform
from fanin._bench.timing import Report, Row, against, touched

CUT = truncated_normal(-2.0, 2.0)
OTHER_BOUNDS = ((-3.0, 3.0), (0.0, inf), (1.0, 4.0), (5.0, inf), (-1.0, 2.0))


def required(threads: int, one: float | None, two: float | None) -> float | None:
    """The threshold for 1 and for 2 threads; more threads have none."""
    return {1: one, 2: two}.get(threads)


def normal_single_and_half(report: Report, choice: argparse.Namespace, threads: int) -> None:
    """float32, bfloat16 and float16 normals, and the truncated one, against float32 normals."""
    out = touched("float32", choice.megabytes)
    halves = {name: touched(name, choice.megabytes) for name in ("bfloat16", "float16")}
    single = _peers.fanin_fill(NORMAL, out, threads)
    half = [_peers.fanin_fill(NORMAL, memory, threads) for memory in halves.values()]
    cut = _peers.fanin_fill(CUT, out, threads)
    peers = rivals(choice, NORMAL, out, threads)
    if "torch" in choice.peers:
        peers += _peers.torch_fills(NORMAL, halves["bfloat16"], threads)
    timing = timed(report, choice, [single, *half, cut, *peers])
    report.rows += against(timing, single, "oneMKL", required(threads, 1.6, 1.5))
    report.rows += against(
        timing, single, "torch", required(threads, 10.0, 15.0), what="float32 normal"
    )
    for peer in ("NumPy", "JAX", "Keras"):
        report.rows += against(timing, single, peer)
    for ours in half:
        report.rows += against(timing, ours, "oneMKL", required(threads, 1.2, None))
        report.rows += against(
            timing, ours, "torch", required(threads, 8.0, 12.0), what="bfloat16 normal"
        )
    report.rows += against(timing, cut, "oneMKL", required(threads, 1.9, None))


def normal_double(report: Report, choice: argparse.Namespace, threads: int) -> None:
    """float64 normals."""
    out = touched("float64", choice.megabytes)
    ours = _peers.fanin_fill(NORMAL, out, threads)
    timing = timed(report, choice, [ours, *rivals(choice, NORMAL, out, threads)])
    for peer in choice.peers:
        report.rows += against(timing, ours, peer, 1.3 if peer == "oneMKL" else None)


def uniforms(report: Report, choice: argparse.Namespace, threads: int) -> None:
    """float32 uniforms against the rate at which the machine can write."""
    out = touched("float32", choice.megabytes)
    own = [_peers.fanin_fill(law, out, threads) for law in (UNIFORM, uniform(-0.5, 0.5))]
    # Memory bandwidth jumps between two levels on shared hosts, so that its least time needs many
    # turns: the same number for the fills and the limits.
    limits = _bench.interleave([*own, *stores(out, threads)], rounds=4 * choice.rounds)
    timing = timed(report, choice, [*own, *rivals(choice, UNIFORM, out, threads)])
    for ours in own:
        report.rows += bandwidth(limits, ours, "non-temporal stores", out.nbytes, 0.9)
        report.rows += bandwidth(limits, ours, "plain stores", out.nbytes)
        report.rows += against(timing, ours, "oneMKL", required(threads, None, 2.0))
    for peer in ("NumPy", "torch", "JAX", "Keras"):
        report.rows += against(timing, own[0], peer)


def truncated(report: Report, choice: argparse.Namespace, threads: int) -> None:
    """Other bounds against +-2, then +-2 against the frameworks."""
    out = touched("float32", choice.megabytes)
    cut = _peers.fanin_fill(CUT, out, threads)
    others = [_peers.fanin_fill(truncated_normal(*b), out, threads) for b in OTHER_BOUNDS]
    timing = timed(report, choice, [cut, *others])
    for ours in others:
        report.rows += against(timing, ours, "fanin", 0.5, what=cut.what)
    timing = timed(report, choice, [cut, *rivals(choice, CUT, out, threads)])
    for peer, least in (("Keras", 30.0), ("JAX", 30.0), ("torch", 100.0)):
        report.rows += against(timing, cut, peer, least)


def fresh(report: Report, choice: argparse.Namespace, threads: int) -> None:
    """A new array against first touch of as many bytes plus our own fill of a reused array."""
    out = touched("float32", choice.megabytes)
    reused = _peers.fanin_fill(NORMAL, out, threads)
    new = Contender(
        "fanin",
        "float32 normal fresh",
        f"{threads} thr",
        lambda: fanin.normal((out.size,), seed=0, threads=threads),
        out.size,
        NORMAL,
    )
    touch = first_touch(out.nbytes, out.size, threads)
    peers = [_fresh_torch(out.size, threads)] if _wanted(choice, "torch") else []
    timing = timed(report, choice, [new, touch, reused, *peers])
    milliseconds = {name: 1e3 * seconds for name, seconds in timing.seconds.items()}
    ours, bound = milliseconds[new.name], milliseconds[touch.name] + milliseconds[reused.name]
    report.rows.append(
        Row(
            f"{new.what}, {new.how}",
            ours,
            bound,
            "ms",
            "first touch + own reused fill",
            ours / bound,
            measure="of it",
            required=required(threads, None, 1.15),
            at_most=True,
        )
    )
    report.rows += against(timing, new, "torch")


def _wanted(choice: argparse.Namespace, peer: str) -> bool:
    return peer in choice.peers and _peers.installed(peer)


def _fresh_torch(values: int, threads: int) -> Contender:
    """`torch.empty(n).normal_()`."""
    import torch

    def run() -> torch.Tensor:
        torch.set_num_threads(threads)
        return torch.empty(values).normal_()

    return Contender("torch", "float32 normal fresh", f"{threads} thr", run, values, NORMAL)


def _on_isa(isa: str, filled: Contender) -> Contender:
    """The same fill with another instruction set forced."""

    def run() -> Array:
        before = fanin.runtime.isa()
        _core.debug.set_isa(isa)
        try:
            return np.asarray(filled.run())
        finally:
            _core.debug.set_isa(before)

    how = f"{isa}, {filled.how}"
    return Contender("fanin", filled.what, how, run, filled.values, filled.law, filled.buffer)


def instruction_sets(report: Report, choice: argparse.Namespace, threads: int) -> None:
    """Every instruction set of this CPU against the best one."""
    best = fanin.runtime.isa()
    for law, dtype in (
        (NORMAL, "float32"),
        (NORMAL, "bfloat16"),
        (NORMAL, "float16"),
        (NORMAL, "float64"),
        (CUT, "float32"),
        (UNIFORM, "float32"),
    ):
        ours = _peers.fanin_fill(law, touched(dtype, choice.megabytes), threads)
        forced = {isa: _on_isa(isa, ours) for isa in fanin.runtime.isas()}
        timing = timed(report, choice, list(forced.values()))
        for isa, contender in forced.items():
            if isa != best:
                needed = 0.5 if isa == "avx2" and law == NORMAL else None
                report.rows.append(_pair(timing, contender, forced[best], needed))


def scaling(report: Report, choice: argparse.Namespace, threads: int) -> None:
    """More threads against one thread."""
    if threads == 1:
        return
    for law, dtype in (
        (NORMAL, "float32"),
        (NORMAL, "bfloat16"),
        (NORMAL, "float16"),
        (NORMAL, "float64"),
        (CUT, "float32"),
        (UNIFORM, "float32"),
    ):
        out = touched(dtype, choice.megabytes)
        many, one = (_peers.fanin_fill(law, out, count) for count in (threads, 1))
        timing = timed(report, choice, [many, one])
        # A uniform fill runs at memory speed, which does not double with the threads.
        limited = law == UNIFORM
        needed = None if limited else required(threads, None, 1.8)
        report.rows.append(_pair(timing, many, one, needed))


def _pair(timing: _bench.Timing, ours: Contender, other: Contender, needed: float | None) -> Row:
    """Fanin against fanin."""
    own, theirs = timing.rate(ours.name), timing.rate(other.name)
    title = f"{ours.what}, {ours.how}"
    return Row(title, own, theirs, "G/s", other.name, own / theirs, required=needed)


PARTS = {
    "normal": normal_single_and_half,
    "double": normal_double,
    "uniform": uniforms,
    "truncated": truncated,
    "fresh": fresh,
    "isa": instruction_sets,
    "scaling": scaling,
}

if __name__ == "__main__":
    raise SystemExit(main("fill", __doc__ or "", PARTS))
