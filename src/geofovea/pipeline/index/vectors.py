"""Unit vectors in few bytes: eight bits with a scale each, or half precision."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geofovea.errors import DataError
from geofovea.pipeline.index.settings import NumberFormat

__all__ = ["StoredVectors", "stored_vectors"]

_LARGEST_LENGTH = 1.05


@dataclass(frozen=True, slots=True, eq=False)
class StoredVectors:
    """Vectors as they lie on disk.

    Attributes:
        numbers: int8 or float16 ``(n, d)``.
        scales: float32 ``(n,)``; a vector is its numbers times its scale.

    Raises:
        DataError: If the shapes do not belong together, or these are no unit vectors.
    """

    numbers: NDArray[np.int8] | NDArray[np.float16]
    scales: NDArray[np.float32]

    def __post_init__(self) -> None:
        if self.numbers.ndim != 2 or self.scales.shape != self.numbers.shape[:1]:
            raise DataError("vectors and their scales have shapes that do not belong together")
        if self.numbers.dtype not in (np.int8, np.float16) or self.scales.dtype != np.float32:
            raise DataError("vectors are stored as int8 or float16, with scales of float32")
        lengths = np.linalg.norm(self.numbers.astype(np.float32), axis=1) * self.scales
        # comparisons with NaN are false
        if not bool((np.abs(lengths) <= _LARGEST_LENGTH).all()):
            raise DataError("the vectors are no unit vectors")

    def cosines(self, query: NDArray[np.float32]) -> NDArray[np.float32]:
        """Cosines with a unit vector float32 ``(d,)``; float32 ``(n,)``."""
        result: NDArray[np.float32] = (self.numbers.astype(np.float32) @ query) * self.scales
        return result

    def restored(self) -> NDArray[np.float32]:
        """The vectors, float32 ``(n, d)``, as exactly as they are stored."""
        result: NDArray[np.float32] = self.numbers.astype(np.float32) * self.scales[:, None]
        return result


def stored_vectors(vectors: NDArray[np.float32], number_format: NumberFormat) -> StoredVectors:
    """Unit vectors float32 ``(n, d)`` in few bytes; zeros stand for a tile that shows nothing."""
    if number_format == "float16":
        return StoredVectors(vectors.astype(np.float16), np.ones(len(vectors), np.float32))
    largest = np.abs(vectors).max(axis=1, initial=0.0)
    scales = np.where(largest > 0, largest / 127, 1.0).astype(np.float32)
    numbers = np.rint(vectors / scales[:, None]).clip(-127, 127).astype(np.int8)
    return StoredVectors(numbers, scales)
