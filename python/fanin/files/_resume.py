"""What an earlier run has left under a name: nothing, the whole file, a spoiled one, another."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from enum import Enum

from fanin._types import Progress

from ._pieces import first_difference
from ._records import Extent

__all__ = ["Found", "found"]


class Found(Enum):
    """How a file compares with the one to be written."""

    NOTHING = "nothing"
    WHOLE = "whole"
    SPOILED = "spoiled"  # the same header before other data
    OTHER = "other"  # of another plan, seed or dtype, or no such file at all


def found(
    name: str,
    folder: int,
    header: bytes,
    extents: Sequence[Extent],
    threads: int | None,
    progress: Progress | None = None,
    *,
    only_header: bool = False,
) -> Found:
    """Compare the file `name` of a folder with what would be written; nothing recorded is trusted.

    With `only_header` the data is taken for whole if its size is right.
    """
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    except FileNotFoundError:
        return Found.NOTHING
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
            return Found.OTHER
        raise
    try:
        if os.pread(descriptor, len(header), 0) != header:
            return Found.OTHER
        size = extents[-1].stop if extents else len(header)
        if os.fstat(descriptor).st_size != size:
            return Found.SPOILED
        if only_header:
            return Found.WHOLE
        differs = first_difference(descriptor, len(header), extents, threads, progress)
        return Found.WHOLE if differs is None else Found.SPOILED
    finally:
        os.close(descriptor)
