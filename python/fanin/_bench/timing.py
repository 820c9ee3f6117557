"""Timing by interleaved minima, and the checks of what was made.

Method. Two runs of the same thing minutes apart differ by 10 to 40 % on a shared machine, so a
claim here is a ratio: the contenders take turns (A, B, C, A, B, C, ...) in one process, each keeps
its least time, and the least times are divided. Before the clock starts, every contender runs once
into memory filled with NaN, and the mean and the variance of what it wrote are asserted.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import ml_dtypes
import numpy as np

from .contenders import Array, Contender
from .laws import TimedLaw

# A fill is right if both moments lie within this many standard errors: with a few hundred checks
# a run, a false alarm at 7 sigma (2.6e-12 each) will not be seen in a lifetime of runs.
_SIGMAS = 7.0
_CHECK_CHUNK = 1 << 20
_LEAST_TURNS = 3


@dataclass(frozen=True)
class Row:
    """One line of the table: fanin against one peer or limit.

    Attributes
    ----------
    title : str
        What was made.
    ours, theirs : float
        In `unit`.
    unit : str
        "G/s" (10^9 values a second), "GB/s", "us", "ms" or "s".
    against : str
        The contender that `theirs` belongs to.
    compared : float
        The figure that `required` speaks of.
    measure : str
        What `compared` is: "x" (so many times as fast), "of it" (so many times the time or the
        rate of the limit), "us more", "ms more".
    required : float or None
        The threshold, or None for a line that only informs.
    at_most : bool
        Whether `compared` must stay below `required` instead of reaching it.
    """

    title: str
    ours: float
    theirs: float
    unit: str
    against: str
    compared: float
    measure: str = "x"
    required: float | None = None
    at_most: bool = False

    @property
    def verdict(self) -> str:
        """Either "pass" or "falls short", or "" where nothing is required."""
        if self.required is None:
            return ""
        if self.at_most:
            return "pass" if self.compared <= self.required else "falls short"
        return "pass" if self.compared >= self.required else "falls short"

    def as_dict(self) -> dict[str, Any]:
        """The fields and the verdict, for JSON."""
        return {**asdict(self), "verdict": self.verdict}


@dataclass
class Report:
    """Rows, and notes on what was left out and why."""

    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def text(self) -> str:
        """The table, then the notes."""
        return "\n".join([table(self.rows), *(f"note: {note}" for note in self.notes)])

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {"rows": [row.as_dict() for row in self.rows], "notes": self.notes}


@dataclass
class Timing:
    """Least times of one interleaved run.

    Attributes
    ----------
    contenders : dict
        Those that were timed, by name.
    seconds : dict
        The least wall time of one call, by name.
    flaws : dict
        Peers whose values had not the moments of the law, by name: what was wrong. They make
        something else than what is compared, so they were not timed.
    """

    contenders: dict[str, Contender] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    flaws: dict[str, str] = field(default_factory=dict)

    def rate(self, name: str) -> float:
        """10^9 values per second of one contender."""
        return self.contenders[name].values / self.seconds[name] / 1e9

    def best(self, peer: str, what: str = "") -> str | None:
        """The fastest contender of a peer (making `what`, if given), or None if it had none."""
        names = [
            name
            for name, one in self.contenders.items()
            if one.peer == peer and what in ("", one.what)
        ]
        return max(names, key=self.rate) if names else None


def as_numpy(made: Any) -> Array:
    """The NumPy view of what a contender returned (bytes; NumPy, torch or JAX array).

    Of complex values the parts, one after the other.
    """
    if isinstance(made, bytes):
        return np.frombuffer(made, np.uint8)
    if isinstance(made, np.ndarray):
        return made.view(made.real.dtype) if np.iscomplexobj(made) else made
    if type(made).__module__.split(".")[0] == "torch":
        import torch

        if made.dtype == torch.bfloat16:
            return np.asarray(made.view(torch.int16).numpy().view(ml_dtypes.bfloat16))
        return as_numpy(made.numpy())
    return as_numpy(np.asarray(made))


def moments(values: Array) -> tuple[float, float, float]:
    """Mean, variance and fourth central moment, summed in float64 chunk by chunk."""
    flat = values.reshape(-1)
    chunks = range(0, flat.size, _CHECK_CHUNK)
    total = sum(flat[i : i + _CHECK_CHUNK].astype(np.float64).sum() for i in chunks)
    mean = float(total) / flat.size
    second = fourth = 0.0
    for i in chunks:
        square = np.square(flat[i : i + _CHECK_CHUNK].astype(np.float64) - mean)
        second += float(square.sum())
        fourth += float(np.square(square).sum())
    return mean, second / flat.size, fourth / flat.size


def assert_moments(made: Any, law: TimedLaw, name: str) -> None:
    """Raise AssertionError unless mean and variance of `made` are those of `law`.

    Standard errors sqrt(var/n) and sqrt((m4 - var^2)/n). Rounding to a type with relative spacing
    eps moves a mean or a variance by no more than eps^2 of the scale (its first order cancels
    between neighbouring cells), which matters for the half types only.
    """
    values = as_numpy(made)
    mean, variance, fourth = moments(values)
    bits = {"float64": 52, "float32": 23, "float16": 10, "bfloat16": 7}.get(values.dtype.name)
    rounding = (law.mean * law.mean + law.variance) / 4**bits if bits else 0.0
    mean_error = _SIGMAS * math.sqrt(law.variance / values.size) + rounding
    spread = max(fourth - variance * variance, 0.0)
    variance_error = _SIGMAS * math.sqrt(spread / values.size) + rounding
    if not abs(mean - law.mean) <= mean_error:
        raise AssertionError(f"{name}: mean {mean}, expected {law.mean} +- {mean_error:.2g}")
    if not abs(variance - law.variance) <= variance_error:
        raise AssertionError(
            f"{name}: variance {variance}, expected {law.variance} +- {variance_error:.2g}"
        )


def check(contender: Contender) -> None:
    """Run a contender once, into memory full of NaN, and assert the moments of all it wrote."""
    if contender.buffer is not None:
        # Every bit set: a NaN, or an integer whose repetition has the moments of no law.
        contender.buffer.view(np.uint8).fill(255)
    made = contender.run()
    if contender.law is not None:
        assert_moments(made, contender.law, contender.name)


def seconds_of(call: Callable[[], object]) -> float:
    """Wall time of one call; what it returned is dropped after the clock has stopped."""
    start = time.perf_counter()
    made = call()
    elapsed = time.perf_counter() - start
    del made
    return elapsed


def interleave(
    contenders: Sequence[Contender],
    *,
    rounds: int,
    patience: float = 20.0,
    rest: float = 0.0,
    checked: bool = True,
) -> Timing:
    """Time contenders in turns and keep each one's least time.

    Parameters
    ----------
    contenders : sequence of Contender
        Their names must differ.
    rounds : int, >= 1
        Turns. Each round starts with another contender, so that none always follows the same one.
    patience : float
        Seconds after which a slow contender stops taking turns (it had at least three).
    rest : float
        Seconds to wait before each turn, in which calls are then repeated for as long. The waiting
        threads of a pool (OpenMP's, OpenBLAS') spin for a while and take a core from whoever is
        next; whoever comes after a pause finds sleeping threads and cold caches.
    checked : bool
        Whether each contender first runs once to have its moments asserted. A peer whose moments
        are wrong is left out and named in `flaws`; if fanin's are, the AssertionError goes up.
    """
    names = [one.name for one in contenders]
    if len(set(names)) < len(names):
        raise ValueError(f"contenders in one run need different names, got {names}")
    timing = Timing()
    for one in contenders:
        try:
            if checked:
                check(one)
        except AssertionError as error:
            if one.peer == "fanin":
                raise
            timing.flaws[one.name] = str(error)
        else:
            timing.contenders[one.name] = one
    sound = list(timing.contenders.values())
    spent = dict.fromkeys(timing.contenders, 0.0)
    for turn in range(rounds):
        first = turn % max(len(sound), 1)
        for one in [*sound[first:], *sound[:first]]:
            if turn >= _LEAST_TURNS and spent[one.name] > patience:
                continue
            time.sleep(rest)
            begin = time.perf_counter()
            least = seconds_of(one.run)
            while (taken := time.perf_counter() - begin) < rest:
                least = min(least, seconds_of(one.run))
            spent[one.name] += taken
            timing.seconds[one.name] = min(least, timing.seconds.get(one.name, math.inf))
    return timing


def dtype_named(name: str) -> np.dtype[Any]:
    """The NumPy dtype of "float32", ..., "bfloat16"."""
    return np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name)


def touched(dtype_name: str, megabytes: int) -> Array:
    """A 1-D array of so many times 2^20 bytes whose every page is mapped."""
    dtype = dtype_named(dtype_name)
    made = np.empty((megabytes << 20) // dtype.itemsize, dtype)
    made.fill(0)
    return made


def figure(value: float) -> str:
    """Three significant digits, without an exponent for what a table shows."""
    if value == 0 or not math.isfinite(value):
        return str(value)
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:.{digits}f}"


def table(rows: Sequence[Row]) -> str:
    """Plain text, one line a row, columns aligned."""
    head = ("what", "fanin", "peer", "unit", "against", "compared", "", "required", "")
    body = [
        (
            row.title,
            figure(row.ours),
            figure(row.theirs),
            row.unit,
            row.against,
            figure(row.compared),
            row.measure,
            "" if row.required is None else f"{'<=' if row.at_most else '>='} {row.required:g}",
            row.verdict,
        )
        for row in rows
    ]
    widths = [max(len(line[i]) for line in [head, *body]) for i in range(len(head))]
    numbers = [head.index("fanin"), head.index("peer"), head.index("compared")]
    lines = []
    for line in [head, *body]:
        cells = [
            cell.rjust(width) if i in numbers else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    lines.insert(1, "-" * max(len(line) for line in lines))
    return "\n".join(lines)


def against(
    timing: Timing,
    ours: Contender,
    peer: str,
    required: float | None = None,
    *,
    what: str = "",
    title: str = "",
) -> list[Row]:
    """The row "ours / the fastest of that peer", or no row if that peer was not timed.

    Parameters
    ----------
    timing : Timing
        A run that `ours` and the peer took part in.
    ours : Contender
        Fanin's side.
    peer, what : str
        Whose contenders, and making what (the default: anything).
    required : float or None
        The ratio that must be reached.
    title : str
        The default is what `ours` makes, and how.
    """
    theirs = timing.best(peer, what)
    if theirs is None:
        return []
    own = timing.rate(ours.name)
    other = timing.rate(theirs)
    title = title or f"{ours.what}, {ours.how}"
    return [Row(title, own, other, "G/s", theirs, own / other, required=required)]
