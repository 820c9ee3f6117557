"""`seed=`: an int, a Stream, or a generator that gives a child."""

from __future__ import annotations

import os
from typing import Any, TypeAlias

from .streams import Spawner, Stream

Seed: TypeAlias = int | Stream | Spawner


def as_stream(seed: Seed) -> Stream:
    """The stream a `seed=` argument stands for; a Generator gives its next child.

    Call it after everything else has been checked: a refused call must not move a generator."""
    if isinstance(seed, Stream):
        return seed
    return seed._next_child() if isinstance(seed, Spawner) else Stream(seed)


def check_seed(seed: Any) -> None:
    """Raises what `as_stream` would raise, without moving a generator."""
    if not isinstance(seed, Spawner):
        as_stream(seed)


def entropy_stream() -> Stream:
    """A stream that nobody has had: 128 bits of entropy from the operating system."""
    return Stream(int.from_bytes(os.urandom(16), "little"))
