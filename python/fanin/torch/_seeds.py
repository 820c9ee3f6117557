"""Where the words of a torch call come from: its generator, or torch's own state."""

from __future__ import annotations

from typing import Any, TypeAlias

import torch

import fanin

__all__ = ["GeneratorLike", "stream_of"]

GeneratorLike: TypeAlias = "torch.Generator | fanin.Stream | fanin.Generator | None"


def stream_of(generator: Any) -> fanin.Stream:
    """The stream of one call.

    None takes one 64-bit number from torch's default generator, so that ``torch.manual_seed``
    decides; a torch.Generator gives one of its own; a Stream is used as it is; a fanin.Generator
    gives its next child.
    """
    if generator is None or isinstance(generator, torch.Generator):
        device = "cpu" if generator is None else generator.device
        # The range is that of all 64 bits: from the lowest int64, to no end.
        drawn = torch.empty((), dtype=torch.int64, device=device)
        drawn.random_(-(2**63), None, generator=generator)
        return fanin.Stream(int(drawn.item()) & 0xFFFF_FFFF_FFFF_FFFF)
    if isinstance(generator, fanin.Stream):
        return generator
    if isinstance(generator, fanin.Generator):
        child: fanin.Stream = generator.spawn(1)[0].stream
        return child
    raise TypeError(
        "generator must be a torch.Generator, a fanin.Stream, a fanin.Generator or None, got "
        f"{type(generator).__name__}"
    )
