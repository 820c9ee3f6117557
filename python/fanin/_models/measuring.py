"""The mean and standard deviation of every tensor of a file, read again."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fanin import runtime
from fanin._types import Progress
from fanin.files._records import Entry
from fanin.files._safetensors import read_safetensors_header

__all__ = ["NOTHING", "Measured", "measure"]

#: Numbers measured at a time: as float64 they stay in the cache.
MEASURED_AT_A_TIME = 1 << 17


@dataclass(frozen=True)
class Measured:
    """How many numbers, their mean, and the sum of their squared distances from it."""

    count: int
    mean: float
    squares: float

    @property
    def std(self) -> float:
        """The standard deviation; nan without numbers."""
        return math.sqrt(self.squares / self.count) if self.count else math.nan

    def joined(self, other: Measured) -> Measured:
        """Both samples as one (Chan, Golub and LeVeque 1979)."""
        count = self.count + other.count
        if not self.count or not other.count:
            return self if self.count else other
        apart = other.mean - self.mean
        mean = self.mean + apart * (other.count / count)
        squares = self.squares + other.squares
        return Measured(count, mean, squares + apart * apart * self.count * other.count / count)


NOTHING = Measured(0, 0.0, 0.0)


def measure(
    path: str | os.PathLike[str],
    *,
    threads: int | None = None,
    progress: Progress | None = None,
) -> dict[str, Measured]:
    """Read a safetensors file again and measure every tensor.

    Parameters
    ----------
    path : str or path
        The file.
    threads : int, optional
        Default: ``fanin.runtime.threads()``.
    progress : callable, optional
        ``progress(done, total)``, in bytes.
    """
    _, entries = read_safetensors_header(path)
    total = max((entry.stop for entry in entries.values()), default=0)
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def part(task: tuple[str, Entry, int, int]) -> tuple[str, int, Measured]:
        name, entry, start, stop = task
        data = os.pread(descriptor, stop - start, start)
        if len(data) != stop - start:
            raise OSError(f"{os.fspath(path)!r} became shorter while it was read")
        return name, stop, _measured(np.frombuffer(data, entry.dtype))

    result = dict.fromkeys(entries, NOTHING)
    try:
        with ThreadPoolExecutor(threads or runtime.threads()) as pool:
            for name, stop, measured in pool.map(part, _parts(entries)):
                result[name] = result[name].joined(measured)
                if progress is not None:
                    progress(stop, total)
    finally:
        os.close(descriptor)
    return result


def _parts(entries: dict[str, Entry]) -> Iterator[tuple[str, Entry, int, int]]:
    """The file in runs of bytes of one tensor each, in the order of the file."""
    for name, entry in entries.items():
        step = MEASURED_AT_A_TIME * entry.dtype.itemsize
        for start in range(entry.start, entry.stop, step):
            yield name, entry, start, min(start + step, entry.stop)


def _measured(values: npt.NDArray[Any]) -> Measured:
    """One run of values, in float64."""
    if values.dtype.kind == "c":
        values = values.view(values.real.dtype)
    exact = values.astype(np.float64)
    mean = float(exact.mean())
    exact -= mean
    np.square(exact, out=exact)
    return Measured(exact.size, mean, float(exact.sum()))
