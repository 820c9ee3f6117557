"""Types that the hints of every room name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

#: Arrays of float64 of any shape: numpy.typing's NDArray, whose module costs a millisecond.
Floats: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]

#: ``progress(done, total)``, told now and then of a long work.
Progress: TypeAlias = Callable[[int, int], object]
