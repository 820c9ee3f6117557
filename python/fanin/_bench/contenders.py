"""Something that is timed, and what all of them share: threads, parts of an array."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .laws import TimedLaw

Array = NDArray[Any]


@dataclass(frozen=True)
class Contender:
    """One thing to be timed.

    Attributes
    ----------
    peer : str
        Who: "fanin", "NumPy", "oneMKL", "torch", "JAX", "Keras", or the name of a limit.
    what : str
        What is made, for example "float32 normal".
    how : str
        Method and threads.
    run : callable
        One timed call. Returns the array that it made or wrote, so that it can be checked.
    values : int
        Values that one call makes.
    law : TimedLaw or None
        What the values must look like; None if they are not random (store limits).
    buffer : array or None
        The caller's memory that `run` writes; None if every call makes a new array.
    """

    peer: str
    what: str
    how: str
    run: Callable[[], Any]
    values: int
    law: TimedLaw | None = None
    buffer: Array | None = None

    @property
    def name(self) -> str:
        """Unique within one table."""
        return f"{self.peer} {self.what} ({self.how})"


def filling(peer: str, how: str, run: Callable[[], Any], law: TimedLaw, out: Array) -> Contender:
    """The contender whose `run` fills `out` with `law`."""
    return Contender(peer, f"{out.dtype.name} {law.label}", how, run, out.size, law, out)


def making(peer: str, how: str, run: Callable[[], Any], law: TimedLaw, like: Array) -> Contender:
    """The contender whose `run` returns a new array with the shape and dtype of `like`."""
    return Contender(peer, f"{like.dtype.name} {law.label}", how, run, like.size, law)


def installed(module: str) -> bool:
    """Whether `module` can be imported, without importing it."""
    return importlib.util.find_spec(module) is not None


@functools.cache
def pool(threads: int) -> ThreadPoolExecutor:
    """Threads that stay alive, so that no contender pays for starting them."""
    return ThreadPoolExecutor(threads)


def together(calls: Sequence[Callable[[], object]]) -> None:
    """Run the calls at the same time, one Python thread each (the peers release the GIL)."""
    if len(calls) == 1:
        calls[0]()
        return
    for future in [pool(len(calls)).submit(call) for call in calls]:
        future.result()


def parts(out: Array, threads: int) -> list[Array]:
    """`out` (1-D) cut into `threads` contiguous views of nearly equal length."""
    return np.array_split(out, threads)
