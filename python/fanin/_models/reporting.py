"""The line that ``progress=True`` shows: how much, how fast, how long still."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fanin._types import Progress

__all__ = ["shown"]

#: Seconds between two states of the line: on a terminal, and in a file.
_PERIODS = (0.1, 5.0)

_CLEAR = "\r\x1b[K"


@contextmanager
def shown(progress: bool | Progress | None, title: str) -> Iterator[Progress | None]:
    """`progress` as a callable; True writes one line to the standard error, over and over."""
    if callable(progress) or not progress:
        yield progress if callable(progress) else None
        return
    line = _Line(title)
    try:
        yield line
    finally:
        line.end()


class _Line:
    def __init__(self, title: str) -> None:
        self._title = title
        self._begin = time.perf_counter()
        self._last = -math.inf
        self._file: Any = sys.stderr
        self._period = _PERIODS[not self._file.isatty()]

    def __call__(self, done: int, total: int) -> None:
        now = time.perf_counter()
        if now - self._last < self._period and done < total:
            return
        self._last = now
        rate = done / max(now - self._begin, 1e-9)
        left = (total - done) / rate if rate else 0.0
        text = (
            f"{self._title}: {done / max(total, 1):4.0%} of {total / 1e9:.2f} GB, "
            f"{rate / 1e9:.2f} GB/s, {int(left) // 60}:{int(left) % 60:02} left"
        )
        self._file.write(f"{_CLEAR if self._file.isatty() else ''}{text}")
        if not self._file.isatty():
            self._file.write("\n")
        self._file.flush()

    def end(self) -> None:
        """Leave an empty line for what comes next."""
        if self._file.isatty():
            self._file.write(_CLEAR)
            self._file.flush()
