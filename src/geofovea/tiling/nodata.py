"""Pixels that the caller declares missing, where the file does not.

GDAL does not know of them, so it would average them into their neighbors. They are therefore
recognized among stored pixels only, before anything is averaged.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from geofovea.errors import SceneError
from geofovea.tiling.marks import Number, equals_nodata

__all__ = ["DeclaredMissing", "DeclaredNodata"]

DeclaredNodata = Number | Literal["auto"]


@dataclass(frozen=True)
class DeclaredMissing:
    """What counts as missing besides the masks of the file.

    Attributes:
        values: One number per band of the file; none if nothing was found.
        tolerance: How far a pixel may be from them.
        all_bands: A pixel is missing where all shown bands match (a color), not where one does.
        outline: Bits of a coarse picture of the scene, row-major, in which the border's color is
            connected to the border; only there it counts. Empty means everywhere.
        outline_shape: ``(rows, cols)`` of that picture.
        warnings: What a reader of the results should know.

    Raises:
        SceneError: If the outline is not of its shape.
    """

    # NaN differs from itself
    values: tuple[Number, ...] = field(compare=False)
    tolerance: float = 0.0
    all_bands: bool = True
    outline: bytes = field(default=b"", repr=False)
    outline_shape: tuple[int, int] = (0, 0)
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.outline) != -(-math.prod(self.outline_shape) // 8):
            raise SceneError(
                f"an outline of {self.outline_shape} pixels needs as many bits, got "
                f"{len(self.outline)} bytes"
            )

    @property
    def key(self) -> str:
        """Distinguishes caches of one file under different declarations."""
        return f"{self.values}|{self.tolerance}|{self.outline.hex() if self.outline else ''}"

    def to_json(self) -> dict[str, Any]:
        """Plain lists, strings and numbers, NaN among them."""
        plain = {
            name: list(getattr(self, name)) for name in ("values", "outline_shape", "warnings")
        }
        return plain | {
            "tolerance": self.tolerance,
            "all_bands": self.all_bands,
            "outline": self.outline.hex(),
        }

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> DeclaredMissing:
        """Read what ``to_json`` returned."""
        rows, cols = plain["outline_shape"]
        return cls(
            values=tuple(plain["values"]),
            tolerance=plain["tolerance"],
            all_bands=plain["all_bands"],
            outline=bytes.fromhex(plain["outline"]),
            outline_shape=(rows, cols),
            warnings=tuple(plain["warnings"]),
        )

    def valid(
        self,
        array: NDArray[np.generic],
        bands: tuple[int, ...],
        box: tuple[float, float, float, float],
    ) -> NDArray[np.bool_]:
        """Which stored pixels ``(n, h, w)`` of some bands are there, band by band.

        Args:
            array: Pixels as stored; resampled by nearest neighbor at most.
            bands: Their band indexes, counted from 1.
            box: Where they lie, ``(x0, y0, x1, y1)`` in shares of the scene's width and height.

        Returns:
            bool ``(n, h, w)``; where ``all_bands``, all bands of a pixel are alike.
        """
        if not self.values:
            return np.ones(array.shape, bool)
        matches = np.stack(
            [
                equals_nodata(plane, self.values[band - 1], self.tolerance)
                for plane, band in zip(array, bands, strict=True)
            ]
        )
        if self.all_bands:
            matches = np.broadcast_to(matches.all(axis=0), matches.shape)
        if self.outline:
            matches = matches & self._near_border(matches.shape[1:], box)
        return np.asarray(~matches)

    def _near_border(
        self, shape: tuple[int, ...], box: tuple[float, float, float, float]
    ) -> NDArray[np.bool_]:
        coarse = self._outline_picture()
        x0, y0, x1, y1 = box
        rows = (y0 + (np.arange(shape[0]) + 0.5) / shape[0] * (y1 - y0)) * len(coarse)
        cols = (x0 + (np.arange(shape[1]) + 0.5) / shape[1] * (x1 - x0)) * coarse.shape[1]
        rows = np.clip(rows.astype(int), 0, len(coarse) - 1)
        cols = np.clip(cols.astype(int), 0, coarse.shape[1] - 1)
        return np.asarray(coarse[np.ix_(rows, cols)])

    def _outline_picture(self) -> NDArray[np.bool_]:
        bits = np.unpackbits(np.frombuffer(self.outline, np.uint8))
        return bits[: math.prod(self.outline_shape)].reshape(self.outline_shape).astype(bool)
