"""Dates in one light: what a day, a sun and a haze do to a whole picture is no change of a place.

The tones of a later date are mapped onto those of the reference by a line for each band, fitted to
the pixels that both show and that agree best (relative radiometric normalization; see Yuan and
Elvidge, ISPRS Journal 51, 1996).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from geofovea.tiling.pixels.radiometry import FILL
from geofovea.tiling.pyramid import Box, Pyramid, Tile
from geofovea.tiling.reader import TilePixels
from geofovea.tiling.scene import Scene
from geofovea.tiling.tile_source import TileSource

__all__ = ["LitSource", "ToneMap", "match_tones"]

_FEWEST_PIXELS = 256
_ROUNDS = 5
_UNCHANGED_SHARE = 0.7
_LEAST_CORRELATION = 0.5
_GAINS = (0.25, 4.0)
_DARKEST, _BRIGHTEST = 2, 252


@dataclass(frozen=True, slots=True)
class ToneMap:
    """``gain * value + offset`` for each of red, green and blue.

    Attributes:
        gains: One for each band.
        offsets: In levels of eight bits.
    """

    gains: tuple[float, ...] = (1.0, 1.0, 1.0)
    offsets: tuple[float, ...] = (0.0, 0.0, 0.0)

    @property
    def is_identity(self) -> bool:
        """Whether it changes nothing that eight bits could show."""
        ends = [(o, 255 * g + o - 255) for g, o in zip(self.gains, self.offsets, strict=True)]
        return all(abs(end) < 0.5 for pair in ends for end in pair)

    def apply(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A picture ``(..., 3)`` in the other light."""
        levels = np.arange(256)[:, None] * np.array(self.gains) + np.array(self.offsets)
        table = np.clip(levels + 0.5, 0, 255).astype(np.uint8)
        return np.stack([table[rgb[..., band], band] for band in range(3)], axis=-1)


def match_tones(first: TilePixels, second: TilePixels) -> ToneMap:
    """The map of tones that brings one date into the light of another, from their overviews.

    Bands that do not go along with each other, or of which too little is shown by both, stay as
    they are.

    Args:
        first: Of the date whose light is used.
        second: Of the date that is to be shown in it, on the same grid.
    """
    both = first.valid & second.valid
    if both.sum() < _FEWEST_PIXELS:
        return ToneMap()
    lines = [
        _line(second.rgb[both][:, band].astype(float), first.rgb[both][:, band].astype(float))
        for band in range(3)
    ]
    gains, offsets = zip(*lines, strict=True)
    return ToneMap(gains, offsets)


def _line(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, float]:
    """Gain and offset from x to y by least squares over what fits best, again and again."""
    # what is black or white at one date says little of the other
    is_graded = (np.minimum(x, y) > _DARKEST) & (np.maximum(x, y) < _BRIGHTEST)
    x, y = x[is_graded], y[is_graded]
    if len(x) < _FEWEST_PIXELS:
        return 1.0, 0.0
    # a first guess that no minority of changed pixels can pull away
    gain, offset = float(np.median(y / np.maximum(x, 1))), 0.0
    keep = np.ones(len(x), bool)
    for _ in range(_ROUNDS):
        misfit = np.abs(gain * x + offset - y)
        keep = misfit <= np.quantile(misfit, _UNCHANGED_SHARE)
        if min(x[keep].std(), y[keep].std()) < 1:
            return 1.0, 0.0
        gain, offset = (float(value) for value in np.polyfit(x[keep], y[keep], 1))
    correlation = np.corrcoef(x[keep], y[keep])[0, 1]
    is_sound = correlation >= _LEAST_CORRELATION and _GAINS[0] <= gain <= _GAINS[1]
    return (gain, offset) if is_sound else (1.0, 0.0)


@dataclass(frozen=True, slots=True)
class LitSource:
    """A source of tiles in another light; see ``TileSource``.

    Attributes:
        source: What reads.
        tones: Applied to every valid pixel.
    """

    source: TileSource
    tones: ToneMap

    @property
    def scene(self) -> Scene:
        """See ``TileSource``."""
        return self.source.scene

    @property
    def pyramid(self) -> Pyramid:
        """See ``TileSource``."""
        return self.source.pyramid

    @property
    def notes(self) -> tuple[str, ...]:
        """See ``TileSource``."""
        return self.source.notes

    def prepare(self, tile: Tile) -> None:
        """See ``TileSource``."""
        self.source.prepare(tile)

    def read(self, tile: Tile) -> TilePixels:
        """See ``TileSource``."""
        pixels = self.source.read(tile)
        return replace(pixels, rgb=self._lit(pixels.rgb, pixels.valid))

    def read_box(
        self, box: Box, out_shape: tuple[int, int]
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """See ``TileSource``."""
        rgb, valid = self.source.read_box(box, out_shape)
        return self._lit(rgb, valid), valid

    def _lit(self, rgb: NDArray[np.uint8], valid: NDArray[np.bool_]) -> NDArray[np.uint8]:
        lit = self.tones.apply(rgb)
        # padding and missing pixels stay as a host knows them
        lit[~valid] = FILL
        return lit
