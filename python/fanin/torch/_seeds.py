"""Where the words of a torch call come from: its generator, or torch's own state."""

from __future__ import annotations

import threading
from typing import Any, TypeAlias

import torch

import fanin
from fanin import _core

__all__ = [
    "GeneratorLike",
    "check_generator",
    "key_of",
    "seed_of",
    "stream_of",
    "torchs_generator",
    "word_of",
]

GeneratorLike: TypeAlias = "torch.Generator | fanin.Stream | fanin.Generator | None"

_LEAST = -(2**63)
_ALL_BITS = 0xFFFF_FFFF_FFFF_FFFF


class _Thread(threading.local):
    """One 64-bit word that torch's generators draw into, and NumPy's view of it."""

    def __init__(self) -> None:
        with torch.inference_mode(False):  # a tensor made inside could not be written outside
            self.word = torch.zeros((), dtype=torch.int64, device="cpu")
        self.value = self.word.numpy()


_thread = _Thread()


def word_of(generator: Any) -> int | bytes:
    """What one call draws from, as the core's `draw_at` takes it: a seed's 64 bits, or a key.

    None takes one 64-bit number from torch's default generator, so that ``torch.manual_seed``
    decides; a torch.Generator gives one of its own; a Stream is used as it is; a fanin.Generator
    gives its next child.
    """
    if generator is None or isinstance(generator, torch.Generator):
        # The range is that of all 64 bits: from the lowest int64, to no end.
        if generator is None or generator.device.type == "cpu":
            thread = _thread
            thread.word.random_(_LEAST, None, generator=generator)
            word: int = thread.value.item()
            return word
        drawn = torch.empty((), dtype=torch.int64, device=generator.device)
        drawn.random_(_LEAST, None, generator=generator)
        return int(drawn.item())
    check_generator(generator)
    stream = generator if isinstance(generator, fanin.Stream) else generator.spawn(1)[0].stream
    key: bytes = stream.key.to_bytes(16, "little")
    return key


def key_of(word: int | bytes) -> bytes:
    """The key of a stream whose seed is a word, or the key itself."""
    return word if isinstance(word, bytes) else _core.seed_key(word & _ALL_BITS)


def check_generator(generator: Any) -> None:
    """Refuse what no call can draw from."""
    if generator is None:
        return
    if not isinstance(generator, (torch.Generator, fanin.Stream, fanin.Generator)):
        raise TypeError(
            "generator must be a torch.Generator, a fanin.Stream, a fanin.Generator or None, got "
            f"{type(generator).__name__}"
        )


def seed_of(generator: Any) -> int | fanin.Stream:
    """What one call draws from, as ``seed=`` takes it."""
    if generator is None or isinstance(generator, torch.Generator):
        word = word_of(generator)
        assert isinstance(word, int)
        return word & _ALL_BITS
    check_generator(generator)
    if isinstance(generator, fanin.Stream):
        return generator
    child: fanin.Stream = generator.spawn(1)[0].stream
    return child


def stream_of(generator: Any) -> fanin.Stream:
    """The stream of one call."""
    seed = seed_of(generator)
    return seed if isinstance(seed, fanin.Stream) else fanin.Stream(seed)


def torchs_generator(generator: Any, tensor: Any) -> Any:
    """A generator for torch's own code on the tensor: a Stream and the like give it its seed."""
    if not isinstance(generator, (fanin.Stream, fanin.Generator)):
        return generator  # of another kind: torch has to say so
    seed = seed_of(generator)
    assert isinstance(seed, fanin.Stream)
    device = tensor.device if getattr(tensor, "is_cuda", False) else "cpu"
    return torch.Generator(device=device).manual_seed(seed.key & _ALL_BITS)
