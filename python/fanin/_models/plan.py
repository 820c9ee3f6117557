"""A plan: which tensor is drawn by which scheme, written to one file and measured from it."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt

import fanin
from fanin import files
from fanin.files._pieces import Fill, Progress

from . import catalogue as _models
from .catalogue import ModelTensor

__all__ = ["DTYPES", "NOTHING", "Measured", "Plan", "measure"]

#: The dtypes that a model can be written in.
DTYPES: dict[str, np.dtype[Any]] = {
    "float32": np.dtype(np.float32),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
    "float16": np.dtype(np.float16),
    "float64": np.dtype(np.float64),
}

#: Numbers measured at a time: as float64 they stay in the cache.
_MEASURED_AT_A_TIME = 1 << 17


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


@dataclass(frozen=True)
class Plan:
    """The tensors of a model and how each is drawn.

    Tensor ``name`` holds ``fanin.<scheme>(shape, **arguments, seed=fanin.Stream(seed)[name])``,
    whatever else the plan holds.
    """

    model: str
    tensors: tuple[ModelTensor, ...]

    @classmethod
    def for_model(cls, name: str) -> Plan:
        """The published architecture of that name, with its published scheme."""
        return cls(name, _models.find(name).tensors())

    def write(
        self,
        path: str | os.PathLike[str],
        *,
        seed: int,
        dtype: str = "float32",
        threads: int | None = None,
        progress: Progress | None = None,
    ) -> int:
        """Write every tensor to a safetensors file, all or nothing; return its size in bytes.

        Parameters
        ----------
        path : str or path
            The target; see `fanin.files.write_safetensors`.
        seed : int
            0 to 2**128 - 1.
        dtype : str
            A name of `DTYPES`.
        threads, progress
            As in `fanin.files.write_safetensors`.
        """
        stream = fanin.Stream(seed)
        tensors = [
            files.Tensor(
                tensor.name,
                np.dtype(tensor.dtype) if tensor.dtype else DTYPES[dtype],
                tensor.shape,
                _filler(tensor, stream),
            )
            for tensor in self.tensors
        ]
        metadata = {
            "format": "pt",
            "fanin.model": self.model,
            "fanin.seed": str(int(seed)),
            "fanin.stream": fanin.STREAM,
            "fanin.version": fanin.__version__,
        }
        return files.write_safetensors(
            path, tensors, metadata=metadata, threads=threads, progress=progress
        )


def _filler(tensor: ModelTensor, stream: fanin.Stream) -> Fill:
    """A function that writes a run of the flattened tensor.

    A piece is drawn by one thread: the writer has several at work, each on its own piece.
    """
    if tensor.dtype is not None:
        return _count_from_zero
    draw = getattr(fanin, tensor.scheme)
    seed = stream[tensor.name]

    def fill(out: npt.NDArray[Any], start: int) -> None:
        part = fanin.flat[start : start + out.size]
        draw(tensor.shape, **tensor.arguments, seed=seed, out=out, index=part, threads=1)

    return fill


def _count_from_zero(out: npt.NDArray[Any], start: int) -> None:
    """Counters of whole numbers, which no scheme draws, start at 0."""
    out.fill(0)


def measure(
    path: str | os.PathLike[str],
    *,
    threads: int | None = None,
    progress: Callable[[int, int], object] | None = None,
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
    _, entries = files.read_safetensors_header(path)
    total = max((entry.stop for entry in entries.values()), default=0)
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def part(task: tuple[str, files.Entry, int, int]) -> tuple[str, int, Measured]:
        name, entry, start, stop = task
        data = os.pread(descriptor, stop - start, start)
        if len(data) != stop - start:
            raise OSError(f"{os.fspath(path)!r} became shorter while it was read")
        return name, stop, _measured(np.frombuffer(data, entry.dtype))

    result = dict.fromkeys(entries, NOTHING)
    try:
        with ThreadPoolExecutor(threads or fanin.runtime.threads()) as pool:
            for name, stop, measured in pool.map(part, _parts(entries)):
                result[name] = result[name].joined(measured)
                if progress is not None:
                    progress(stop, total)
    finally:
        os.close(descriptor)
    return result


def _parts(entries: dict[str, files.Entry]) -> Iterator[tuple[str, files.Entry, int, int]]:
    """The file in runs of bytes of one tensor each, in the order of the file."""
    for name, entry in entries.items():
        step = _MEASURED_AT_A_TIME * entry.dtype.itemsize
        for start in range(entry.start, entry.stop, step):
            yield name, entry, start, min(start + step, entry.stop)


def _measured(values: npt.NDArray[Any]) -> Measured:
    """One run of values, in float64."""
    exact = values.astype(np.float64)
    mean = float(exact.mean())
    exact -= mean
    np.square(exact, out=exact)
    return Measured(exact.size, mean, float(exact.sum()))
