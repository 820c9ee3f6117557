"""The cases: everything that is timed beside peers, each once.

`fanin bench`, the harness of the published figures and `pytest bench` all read this table. A new
case is one line of it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from math import inf

from . import laws, peers
from .contenders import Array, Contender
from .laws import TimedLaw, truncated_normal, uniform
from .mkl import mkl_fills
from .timing import Report, against, interleave, touched

_PART_AT_LEAST = 1 << 20


@dataclass(frozen=True)
class Setting:
    """How a case is run.

    Attributes
    ----------
    threads : int
        For everybody.
    megabytes : int
        Size of an array that is filled again and again, in units of 2^20 bytes.
    peers : collection of str
        Those of `peers.PEERS` that are called if they are installed.
    """

    threads: int
    megabytes: int
    peers: Collection[str] = field(default_factory=lambda: tuple(peers.PEERS))


@dataclass(frozen=True)
class Case:
    """A reused array of one law and dtype.

    Attributes
    ----------
    law : TimedLaw
        What it is filled with, and the moments that are asserted.
    dtype : str
        Its name in NumPy or ml_dtypes.
    peers : tuple of str
        Who offers that, beside fanin.
    shown : bool
        Whether `fanin bench` runs it.
    """

    law: TimedLaw
    dtype: str
    peers: tuple[str, ...]
    shown: bool = False

    @property
    def name(self) -> str:
        """What is made: "float32 normal"."""
        return f"{self.dtype} {self.law.label}"

    def contenders(self, setting: Setting) -> list[Contender]:
        """Fanin, then the chosen peers that are installed; all share one array."""
        out = touched(self.dtype, setting.megabytes)
        found = [peers.fanin_fill(self.law, out, setting.threads)]
        for peer in self.peers:
            if peer in setting.peers:
                found += made_by(peer, self.law, out, setting.threads)
        return found

    def contender(self, peer: str, setting: Setting) -> Contender:
        """One of them: fanin's, or a peer's first."""
        out = touched(self.dtype, setting.megabytes)
        return made_by(peer, self.law, out, setting.threads)[0]


def made_by(peer: str, law: TimedLaw, out: Array, threads: int) -> list[Contender]:
    """Those of one peer that fill `out` with `law`; of oneMKL the fastest few."""
    if peer == "fanin":
        return [peers.fanin_fill(law, out, threads)]
    return (mkl_best if peer == "oneMKL" else peers.PEERS[peer])(law, out, threads)


def mkl_best(law: TimedLaw, out: Array, threads: int, keep: int = 3) -> list[Contender]:
    """The fastest few of all oneMKL methods and generators, by two turns on a part of `out`.

    Which of them is the best is decided by the run they then take part in.
    """
    part = out[: max(out.size >> 3, min(out.size, _PART_AT_LEAST))]
    trial = interleave(mkl_fills(law, part, threads), rounds=2)
    chosen = sorted(trial.seconds, key=trial.rate, reverse=True)[:keep]
    return [one for one in mkl_fills(law, out, threads) if one.name in chosen]


_ALL = ("NumPy", "randompack", "oneMKL", "torch", "JAX", "Keras")
_FRAMEWORKS = ("torch", "JAX", "Keras")
_DOUBLE = ("NumPy", "randompack", "oneMKL", "torch")

CASES: dict[str, Case] = {
    case.name: case
    for case in (
        Case(laws.NORMAL, "float32", _ALL, shown=True),
        Case(laws.NORMAL, "bfloat16", _FRAMEWORKS, shown=True),
        Case(laws.NORMAL, "float16", _FRAMEWORKS),
        Case(laws.NORMAL, "float64", _DOUBLE),
        Case(laws.COMPLEX_NORMAL, "complex64", ("NumPy", "oneMKL", "torch", "JAX")),
        Case(laws.UNIFORM, "float32", _ALL, shown=True),
        Case(laws.UNIFORM, "bfloat16", _FRAMEWORKS),
        Case(laws.UNIFORM, "float64", _DOUBLE),
        Case(uniform(-0.5, 0.5), "float32", ("randompack", "oneMKL", "torch", "JAX", "Keras")),
        Case(laws.CUT, "float32", _FRAMEWORKS, shown=True),
        Case(laws.CUT, "bfloat16", _FRAMEWORKS),
        *(
            Case(truncated_normal(*bounds), "float32", ("torch", "JAX"))
            for bounds in ((-3.0, 3.0), (0.0, inf), (1.0, 4.0), (-1.0, 2.0))
        ),
        Case(truncated_normal(5.0, inf), "float32", ("JAX",)),  # torch raises
        Case(laws.EXPONENTIAL, "float32", _ALL[:-1], shown=True),
        Case(laws.EXPONENTIAL, "float64", _DOUBLE),
        Case(laws.LAPLACE, "float32", ("oneMKL", "JAX")),
        Case(laws.LAPLACE, "float64", ("NumPy", "oneMKL")),
        Case(laws.THOUSAND, "int32", _ALL[:-1], shown=True),
        Case(laws.THOUSAND, "int64", ("NumPy", "randompack", "torch")),
        Case(laws.RADEMACHER, "float32", ("NumPy", "JAX")),
        Case(laws.RADEMACHER, "int8", ("NumPy", "JAX")),
        Case(laws.BYTES, "uint8", ("NumPy", "randompack", "JAX")),
    )
}


def run(
    threads: int | None = None,
    megabytes: int = 64,
    rounds: int = 7,
    cases: Iterable[Case] | None = None,
) -> Report:
    """Fanin beside whatever peers are installed.

    Parameters
    ----------
    threads : int or None
        Threads for everybody; None takes `fanin.runtime.threads()`.
    megabytes : int
        Size of the array that is filled again and again, in units of 2^20 bytes.
    rounds : int
        Turns; a slow peer stops after three of them.
    cases : iterable of Case or None
        None takes those that are shown.

    Returns
    -------
    Report
        Nothing is required of any row: what a machine can do is not known here.

    Raises
    ------
    ValueError
        If a number is below 1.
    AssertionError
        If fanin's array has not the mean and the variance of its law. (A peer's: a note.)
    """
    import fanin

    count = fanin.runtime.threads() if threads is None else threads
    if min(count, megabytes, rounds) < 1:
        raise ValueError(
            "threads, megabytes and rounds must be at least 1, "
            f"got {count}, {megabytes} and {rounds}"
        )
    report = Report()
    setting = Setting(count, megabytes)
    for case in cases or [case for case in CASES.values() if case.shown]:
        ours, *others = case.contenders(setting)
        timing = interleave([ours, *others], rounds=rounds, patience=2.0)
        for peer in setting.peers:
            report.rows += against(timing, ours, peer)
        report.notes += timing.flaws.values()
    return report
