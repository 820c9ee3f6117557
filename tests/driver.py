"""Drives the core where no public function does."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import oracle

from fanin import _core


def core_fill(
    law: str, arguments: Sequence[float], count: int, dtype: str, seed: int
) -> np.ndarray:
    """A law of the core by its name."""
    out = np.empty(count, oracle.TYPES[dtype])
    key = oracle.seed_key(seed).to_bytes(16, "little")
    element = list(oracle.TYPES).index(dtype)
    _core.fill(law, arguments, element, False, key, 0, out, 0, None, 1, True)
    return out
