"""Types that the hints of every room name."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

#: Arrays of float64 of any shape.
Floats: TypeAlias = NDArray[np.float64]

#: ``progress(done, total)``, told now and then of a long work.
Progress: TypeAlias = Callable[[int, int], object]
