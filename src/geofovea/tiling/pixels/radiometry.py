"""From stored numbers to eight-bit RGB: which bands, and one stretch for the whole scene.

A stretch per tile would make neighbors differ and hide what is bright or dark in the scene, so it
is measured once, on a fixed sample of native pixels, and is a value like the scene itself.

Scale and offset tags do not matter to a stretch, which is measured on stored numbers and would
undo them. A scale below zero alone turns dark and bright around. An index such as NDVI is made of
what stored numbers stand for, so it applies scale and offset.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geofovea.errors import SceneError

__all__ = ["FILL", "Radiometry", "to_decibels"]

FILL = 128
"""The gray of padding and of missing pixels. Black would look like water or shadow."""

# so few numbers that a stretch is looked up
_TABLE_DTYPES = (np.uint8, np.uint16)


@dataclass(frozen=True)
class Radiometry:
    """How the pixels of one scene become RGB.

    Attributes:
        bands: One or three band indexes, counted from 1; one band is shown as gray. Two are the
            plus and the minus of an index, ``(plus - minus) / (plus + minus)``. A fourth follows
            red, green and blue for models that read it.
        stretch: ``(low, high)`` per shown band, shown as 0 and 255; None leaves eight bits
            untouched.
        palette: RGBA of each index of a palette image.
        is_complex: Pixels are complex (radar) and are shown as magnitude in decibels.
        scaling: ``(scale, offset)`` per band, which lead from stored numbers to those of an index.
        composite: Name of the composite that was asked for, or None.
        inverted: Whether what the stretch makes black is shown white, for each shown band; empty
            where none is.
        has_declared_nodata: Some stored numbers are missing only because the caller declared it.
        reason: Why these bands and this stretch, in plain words.
        warnings: What a reader of the results should know.

    Raises:
        SceneError: If there are not one to four bands, a stretch is empty, or an index has no
            stretch.
    """

    bands: tuple[int, ...]
    stretch: tuple[tuple[float, float], ...] | None = None
    palette: tuple[tuple[int, int, int, int], ...] | None = None
    is_complex: bool = False
    scaling: tuple[tuple[float, float], ...] = ()
    composite: str | None = None
    inverted: tuple[bool, ...] = ()
    has_declared_nodata: bool = False
    reason: str = ""
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 1 <= len(self.bands) <= 4 or min(self.bands) < 1:
            raise SceneError(f"bands must be one to four numbers from 1 up, got {self.bands}")
        if self.is_index and (self.stretch is None or self.palette or self.is_complex):
            raise SceneError("an index of two bands needs a stretch and plain numbers")
        planes = 1 if self.is_index else len(self.bands)
        if self.stretch is not None and (
            len(self.stretch) != planes or any(not lo < hi for lo, hi in self.stretch)
        ):
            raise SceneError(f"a stretch needs low < high for each band, got {self.stretch}")

    @property
    def is_index(self) -> bool:
        """Whether two bands are shown as one normalized difference."""
        return len(self.bands) == 2

    @property
    def extra_bands(self) -> int:
        """Bands beside red, green and blue, which no picture shows."""
        return max(0, len(self.bands) - 3)

    def to_json(self) -> dict[str, Any]:
        """What an answer records: bands, stretch, composite and reason."""
        return {
            "bands": list(self.bands),
            "stretch": None if self.stretch is None else [list(pair) for pair in self.stretch],
            "composite": self.composite,
            "reason": self.reason,
        }

    @property
    def needs_expansion(self) -> bool:
        """Whether stored numbers may not be averaged.

        They may not where they are palette indexes or phases of radar, nor where only the caller
        knows which of them are missing: GDAL would mix those into their neighbors.
        """
        return self.palette is not None or self.is_complex or self.has_declared_nodata

    def expand(
        self, array: NDArray[np.generic], valid: NDArray[np.bool_]
    ) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
        """Turn stored numbers ``(bands, h, w)`` into ones that may be averaged.

        Palette indexes become RGB, complex numbers become power. Pixels that are not finite, have
        a transparent palette entry or no power at all are not valid in the result.
        """
        if self.palette is not None:
            table = np.array(self.palette, dtype=np.uint8)
            rgba = table[np.clip(array[0].astype(np.intp), 0, len(table) - 1)]
            return np.moveaxis(rgba[..., :3], -1, 0), valid & (rgba[..., 3] > 0)
        if self.is_complex:
            power = np.square(np.abs(array), dtype=np.float64)
            return power, valid & np.isfinite(power).all(axis=0) & (power > 0).any(axis=0)
        if np.issubdtype(array.dtype, np.floating):
            valid = valid & np.isfinite(array).all(axis=0)
        if self.is_index:
            plus, minus = self._unscaled(array)
            # where both are dark, or noise below zero, a ratio of them says nothing
            valid = valid & (plus + minus > 0)
        return array, valid

    def finish(self, values: NDArray[np.generic], valid: NDArray[np.bool_]) -> NDArray[np.uint8]:
        """Stretch expanded values ``(bands, h, w)`` into RGB ``(h, w, 3)``, missing ones gray.

        Bands beside red, green and blue follow these.
        """
        if self._stretch_tables is not None and values.dtype in _TABLE_DTYPES:
            tables = self._stretch_tables
            channels = [table[band] for table, band in zip(tables, values, strict=True)]
        else:
            channels = self._eight_bits(values, valid)
        rgb = np.empty((*valid.shape, 3 + self.extra_bands), dtype=np.uint8)
        for channel in range(rgb.shape[2]):
            # band by band, which numpy does three times as fast as for all axes at once
            rgb[..., channel] = channels[min(channel, len(channels) - 1)]
        for channel in range(rgb.shape[2] if any(self.inverted) else 0):
            if self.inverted[min(channel, len(self.inverted) - 1)]:
                np.subtract(255, rgb[..., channel], out=rgb[..., channel])
        if not valid.all():
            rgb[~valid] = FILL
        return rgb

    def _eight_bits(self, values: NDArray[np.generic], valid: NDArray[np.bool_]) -> Any:
        """Expanded values, stretched: ``(bands, h, w)`` of eight bits."""
        result = to_decibels(values) if self.is_complex else values
        if self.is_index:
            plus, minus = self._unscaled(values)
            with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
                result = ((plus - minus) / (plus + minus))[None]
        if self.stretch is not None:
            result = _stretched(result, np.array(self.stretch, dtype=np.float64))
        if result.dtype != np.uint8:
            result = np.rint(np.clip(np.where(valid, result, 0), 0, 255)).astype(np.uint8)
        return result

    @cached_property
    def _stretch_tables(self) -> list[NDArray[np.uint8]] | None:
        """What each number of sixteen bits is shown as, by band; None for other radiometries."""
        if self.stretch is None or self.is_complex or self.is_index:
            return None
        numbers = np.arange(2**16)[None, None]
        stretched = _stretched(numbers, np.array(self.stretch, dtype=np.float64))
        return list(np.rint(np.clip(stretched, 0, 255)).astype(np.uint8)[:, 0])

    def apply(self, array: NDArray[np.generic], valid: NDArray[np.bool_]) -> NDArray[np.uint8]:
        """Show stored numbers ``(bands, h, w)`` as RGB ``(h, w, 3)``; invalid pixels are gray."""
        return self.finish(*self.expand(array, valid))

    def _unscaled(self, array: NDArray[np.generic]) -> NDArray[np.float64]:
        """What stored numbers ``(bands, h, w)`` stand for."""
        scale, offset = np.array(self.scaling or [(1.0, 0.0)] * len(array)).T[:, :, None, None]
        return np.asarray(array * scale + offset, dtype=np.float64)


def _stretched(values: NDArray[np.generic], stretch: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values ``(bands, h, w)`` as shares of 255 between the low and the high of their band."""
    low, high = stretch.T[:, :, None, None]
    with np.errstate(invalid="ignore", over="ignore"):
        return np.asarray((values.astype(np.float64) - low) * (255.0 / (high - low)))


def to_decibels(power: NDArray[np.generic]) -> NDArray[np.float64]:
    """``10·log10`` of a power, in its shape; that is ``20·log10`` of its magnitude."""
    return np.asarray(10 * np.log10(np.maximum(power, np.finfo(np.float64).tiny)))
