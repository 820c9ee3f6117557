"""The quick way of common calls: all their checks in one step of the core, which takes None for an
answer to whatever is unusual or wrong."""

from __future__ import annotations

from typing import Any

import numpy as np

from fanin import _core
from fanin._arrays.destinations import count_version, tensor_view
from fanin._arrays.kinds import KINDS, REAL

from .integers import INTEGERS
from .seeds import as_stream
from .streams import Spawner, Stream


def _spelled() -> dict[Any, tuple[np.dtype[Any], int, type]]:
    """What callers say for a dtype -> the dtype, the core's Element and the type of a scalar."""
    elements = {**{dtype: KINDS[dtype].element for dtype in REAL}, **INTEGERS}
    known: dict[Any, tuple[np.dtype[Any], int, type]] = {}
    for dtype, element in elements.items():
        known |= dict.fromkeys((dtype, dtype.type, dtype.name), (dtype, element, dtype.type))
    for kind in (bool, int, float):  # Python's own, which a scalar of `integers` then is
        known[kind] = (*known[np.dtype(kind)][:2], kind)
    return {None: known["float32"], **known}


DOOR = _core.Door(_spelled(), Stream, Spawner, as_stream, tensor_view, count_version)
