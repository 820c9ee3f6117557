"""Types that the hints of every room name."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

#: Arrays of float64 of any shape.
Floats: TypeAlias = NDArray[np.float64]
