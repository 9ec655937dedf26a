"""The array types that signatures name."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
"""Real numbers in double precision."""

Integers: TypeAlias = NDArray[np.int64]
"""Codes and positions."""

Booleans: TypeAlias = NDArray[np.bool_]
"""Masks."""

Labels: TypeAlias = NDArray[np.generic]
"""Class labels of any type that NumPy can sort."""

PixelValues: TypeAlias = NDArray[np.uint8]
"""Images of 8-bit pixel values."""
