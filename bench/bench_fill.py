"""Large fills: laws x dtypes x memory x instruction set, beside the peers and the limits.

python bench/bench_fill.py --threads 1 2 --save

What is filled by whom stands in `fanin/_bench/cases.py`; here, what is asked of the figures.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from functools import partial
from math import inf

import numpy as np
from harness import bandwidth, first_touch, main, setting, stores, timed

import fanin
from fanin import _core
from fanin._bench import peers as _peers
from fanin._bench import timing as _bench
from fanin._bench.cases import CASES
from fanin._bench.contenders import Array, Contender, installed
from fanin._bench.laws import CUT, NORMAL, UNIFORM, truncated_normal
from fanin._bench.machine import machine_class
from fanin._bench.timing import Report, Row, against, touched

OTHER_BOUNDS = ((-3.0, 3.0), (0.0, inf), (1.0, 4.0), (5.0, inf), (-1.0, 2.0))
Pair = tuple[float | None, float | None]  # asked with 1 and with 2 threads
# Times the speed of a peer that are asked of a case. oneMKL's and the memory's part differ by the
# maker of the CPU.
ASKED: dict[str, dict[str, Pair]] = {
    "float32 normal": {"oneMKL": (1.6, 1.5), "torch": (10.0, 15.0)},
    "bfloat16 normal": {"torch": (8.0, 12.0)},
    "float16 normal": {"torch": (8.0, 12.0)},
    "float64 normal": {"oneMKL": (1.3, 1.3)},
    "float32 uniform [0, 1)": {"oneMKL": (None, 2.0)},
    "float32 uniform [-0.5, 0.5)": {"oneMKL": (None, 2.0)},
    "float32 truncated [-2, 2]": {"Keras": (30, 30), "JAX": (30, 30), "torch": (100, 100)},
}
# The normals and the truncated one beside oneMKL's float32 normals.
BESIDE_NORMAL: dict[str, Pair] = {
    "bfloat16": (1.2, None),
    "float16": (1.2, None),
    "truncated": (1.9, None),
}
STREAMED: Pair = (0.9, 0.9)  # of the rate of non-temporal stores, for uniforms
if machine_class().startswith("Intel"):
    ASKED |= {
        "float32 normal": {"oneMKL": (2.0, 2.0), "torch": (8.5, 17.0)},
        "float64 normal": {"oneMKL": (1.7, 1.7)},
        "float32 uniform [0, 1)": {"oneMKL": (1.2, 1.2)},
        "float32 uniform [-0.5, 0.5)": {"oneMKL": (1.2, 1.2)},
    }
    BESIDE_NORMAL |= {"truncated": (2.1, 2.1)}
    STREAMED = (0.75, 0.85)


def required(threads: int, pair: Pair) -> float | None:
    """The threshold for 1 and for 2 threads; more threads have none."""
    return dict(zip((1, 2), pair, strict=True)).get(threads)


def case(name: str, report: Report, choice: argparse.Namespace, threads: int) -> None:
    """One case of the table beside its peers."""
    ours, *others = CASES[name].contenders(setting(choice, threads))
    timing = timed(report, choice, [ours, *others])
    for peer in choice.peers:
        asked = ASKED.get(name, {}).get(peer, (None, None))
        report.rows += against(timing, ours, peer, required(threads, asked))


def beside_normal(report: Report, choice: argparse.Namespace, threads: int) -> None:
    """Halves and truncated normals against oneMKL's float32 normals, which it does not offer."""
    _, *others = CASES["float32 normal"].contenders(setting(choice, threads))
    mkl = [one for one in others if one.peer == "oneMKL"]
    for law, dtype in ((NORMAL, "bfloat16"), (NORMAL, "float16"), (CUT, "float32")):
        ours = _peers.fanin_fill(law, touched(dtype, choice.megabytes), threads)
        timing = timed(report, choice, [ours, *mkl])
        asked = BESIDE_NORMAL["truncated" if law == CUT else dtype]
        report.rows += against(timing, ours, "oneMKL", required(threads, asked))


def memory(report: Report, choice: argparse.Namespace, threads: int) -> None:
    """float32 uniforms against the rate at which the machine can write; memory as NumPy gives it
    (it begins 16 bytes after a line) against aligned memory."""
    out = touched("float32", choice.megabytes)
    own = [CASES[name].contenders(setting(choice, threads))[0]
           for name in ("float32 uniform [0, 1)", "float32 uniform [-0.5, 0.5)")]  # fmt: skip
    # Memory bandwidth jumps between two levels on shared hosts, so that its least time needs many
    # turns: the same number for the fills and the limits.
    limits = _bench.interleave([*own, *stores(out, threads)], rounds=4 * choice.rounds)
    for ours in own:
        report.rows += bandwidth(limits, ours, "non-temporal stores", out.nbytes,
                                 required(threads, STREAMED))  # fmt: skip
        report.rows += bandwidth(limits, ours, "plain stores", out.nbytes)
    room = np.empty(out.size + 32, np.float32)
    room.fill(0)
    skip = -room.ctypes.data % 64 // 4
    for law in (UNIFORM, NORMAL):
        aligned, shifted = (
            _placed(_peers.fanin_fill(law, room[skip + more :][: out.size], threads), how)
            for more, how in ((0, "aligned to 64 bytes"), (4, "16 bytes after a line"))
        )
        timing = _bench.interleave([shifted, aligned], rounds=2 * choice.rounds)
        report.rows.append(_pair(timing, shifted, aligned, 0.95))


def cached(report: Report, choice: argparse.Namespace, threads: int) -> None:
    """64 Ki float32 values, which stay in the cache: the call, and the fill without it (the time
    beyond that of 64 values)."""
    if threads > 1 or not _wanted(choice, "randompack"):
        return
    out = touched("float32", 1)[: 1 << 16]
    for law, asked in ((UNIFORM, 1.0), (NORMAL, 3.0)):
        ours, few = (_peers.fanin_fill(law, part, 1) for part in (out, out[:64]))
        theirs, their_few = (_peers.randompack_fills(law, part, 1)[0] for part in (out, out[:64]))
        few, their_few = _placed(few, "64 values"), _placed(their_few, "64 values")
        # So short a call finds its least time in some hundred turns.
        timing = _bench.interleave([ours, few, theirs, their_few], rounds=100 * choice.rounds)
        report.notes += timing.flaws.values()
        if theirs.name not in timing.seconds:
            continue
        whole = _pair(timing, ours, theirs, asked)
        report.rows.append(replace(whole, title=f"{whole.title}, 64 Ki values"))
        rates = [
            (one.values - part.values)
            / (timing.seconds[one.name] - timing.seconds[part.name])
            / 1e9
            for one, part in ((ours, few), (theirs, their_few))
        ]
        report.rows.append(
            replace(whole, title=f"{whole.title}, 64 Ki values without the call", ours=rates[0],
                    theirs=rates[1], compared=rates[0] / rates[1])
        )  # fmt: skip


def _placed(filled: Contender, where: str) -> Contender:
    return Contender(filled.peer, filled.what, f"{where}, {filled.how}", filled.run, filled.values,
                     filled.law, filled.buffer)  # fmt: skip


def truncated(report: Report, choice: argparse.Namespace, threads: int) -> None:
    """Other bounds against +-2."""
    out = touched("float32", choice.megabytes)
    cut = _peers.fanin_fill(CUT, out, threads)
    others = [_peers.fanin_fill(truncated_normal(*b), out, threads) for b in OTHER_BOUNDS]
    timing = timed(report, choice, [cut, *others])
    for ours in others:
        report.rows += against(timing, ours, "fanin", 0.5, what=cut.what)


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
            required=required(threads, (None, 1.15)),
            at_most=True,
        )
    )
    report.rows += against(timing, new, "torch")


def _wanted(choice: argparse.Namespace, peer: str) -> bool:
    return peer in choice.peers and installed(peer)


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
    for law, dtype in OWN:
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
    for law, dtype in OWN:
        out = touched(dtype, choice.megabytes)
        many, one = (_peers.fanin_fill(law, out, count) for count in (threads, 1))
        timing = timed(report, choice, [many, one])
        # A uniform fill runs at memory speed, which does not double with the threads.
        limited = law == UNIFORM
        needed = None if limited else required(threads, (None, 1.8))
        report.rows.append(_pair(timing, many, one, needed))


#: What fanin is compared with itself in.
OWN = (
    (NORMAL, "float32"),
    (NORMAL, "bfloat16"),
    (NORMAL, "float16"),
    (NORMAL, "float64"),
    (CUT, "float32"),
    (UNIFORM, "float32"),
)


def _pair(timing: _bench.Timing, ours: Contender, other: Contender, needed: float | None) -> Row:
    """Fanin against fanin."""
    own, theirs = timing.rate(ours.name), timing.rate(other.name)
    title = f"{ours.what}, {ours.how}"
    return Row(title, own, theirs, "G/s", other.name, own / theirs, required=needed)


PARTS = {
    **{name: partial(case, name) for name in CASES},
    "beside": beside_normal,
    "memory": memory,
    "cached": cached,
    "truncated": truncated,
    "fresh": fresh,
    "isa": instruction_sets,
    "scaling": scaling,
}

if __name__ == "__main__":
    raise SystemExit(main("fill", __doc__ or "", PARTS))
