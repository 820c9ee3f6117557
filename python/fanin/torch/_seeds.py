"""Where the words of a torch call come from: its generator, or torch's own state."""

from __future__ import annotations

import threading
from typing import Any, TypeAlias

import numpy as np
import torch

import fanin
from fanin import _core

__all__ = ["GeneratorLike", "key_of", "seed_of", "stream_of"]

GeneratorLike: TypeAlias = "torch.Generator | fanin.Stream | fanin.Generator | None"


class _Thread(threading.local):
    """One 64-bit word that torch's generators draw into, and NumPy's view of it."""

    def __init__(self) -> None:
        self.word = torch.zeros((), dtype=torch.int64, device="cpu")
        self.value = self.word.numpy().view(np.uint64)


_thread = _Thread()


def seed_of(generator: Any) -> int | fanin.Stream:
    """What one call draws from, as ``seed=`` takes it.

    None takes one 64-bit number from torch's default generator, so that ``torch.manual_seed``
    decides; a torch.Generator gives one of its own; a Stream is used as it is; a fanin.Generator
    gives its next child.
    """
    if generator is None or isinstance(generator, torch.Generator):
        # The range is that of all 64 bits: from the lowest int64, to no end.
        if generator is None or generator.device.type == "cpu":
            _thread.word.random_(-(2**63), None, generator=generator)
            seed: int = _thread.value.item()
            return seed
        drawn = torch.empty((), dtype=torch.int64, device=generator.device)
        drawn.random_(-(2**63), None, generator=generator)
        return int(drawn.item()) & 0xFFFF_FFFF_FFFF_FFFF
    if isinstance(generator, fanin.Stream):
        return generator
    if isinstance(generator, fanin.Generator):
        child: fanin.Stream = generator.spawn(1)[0].stream
        return child
    raise TypeError(
        "generator must be a torch.Generator, a fanin.Stream, a fanin.Generator or None, got "
        f"{type(generator).__name__}"
    )


def key_of(generator: Any) -> bytes:
    """The key of the stream of one call, as the core takes it."""
    seed = seed_of(generator)
    return _core.seed_key(seed) if isinstance(seed, int) else seed.key.to_bytes(16, "little")


def stream_of(generator: Any) -> fanin.Stream:
    """The stream of one call."""
    seed = seed_of(generator)
    return seed if isinstance(seed, fanin.Stream) else fanin.Stream(seed)
