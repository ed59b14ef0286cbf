"""Where in a scene something is most likely, by the vectors of its tiles: a mass for any box."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geofovea.tiling.pyramid import Pyramid

__all__ = ["LevelLikeness", "SceneLikeness"]

Numbers = NDArray[np.float64]
_UNLIKE = -1.0


@dataclass(frozen=True, slots=True, eq=False)
class LevelLikeness:
    """How like a phrase the tiles of one level are.

    Attributes:
        level: The level.
        masses: Softmax of the scaled cosines, float64 ``(rows, cols)``; sums to 1.
        deviations: By how many standard deviations each tile is more like the phrase than the
            average tile of the level, float64 ``(rows, cols)``.
        shown: Share of each tile that shows data, float64 ``(rows, cols)``.
    """

    level: int
    masses: Numbers
    deviations: Numbers
    shown: Numbers

    @staticmethod
    def of(
        level: int, cosines: NDArray[np.float32], shown: NDArray[np.uint8], scale: float
    ) -> LevelLikeness:
        """From cosines ``(rows, cols)`` of all tiles; one that shows nothing takes no part.

        Args:
            level: The level.
            cosines: With what is looked for.
            shown: Share of each tile that shows data, from 0 to 255.
            scale: What cosines are multiplied with before a softmax.
        """
        wide, is_shown = cosines.astype(np.float64), shown > 0
        shares = shown / 255
        if not is_shown.any():
            nothing = np.zeros(shown.shape)
            return LevelLikeness(level, nothing, nothing, shares)
        best = wide[is_shown].max()
        weights = np.where(is_shown, np.exp(scale * (wide - best)), 0.0) * shares
        spread = float(wide[is_shown].std())
        deviations = (wide - wide[is_shown].mean()) / spread if spread else np.zeros(wide.shape)
        return LevelLikeness(level, weights / weights.sum(), deviations, shares)


@dataclass(frozen=True, slots=True, eq=False)
class SceneLikeness:
    """How like a phrase each place of a scene is, by tiles of one level or more.

    Every level spreads a mass of 1 over the scene, and the mass of a place is the mean over the
    levels. Coarse tiles capture large things, fine ones small things, and all levels count equally.

    Attributes:
        pyramid: Of the index; its tiles may be larger or smaller than those of a model.
        levels: At least one.
    """

    pyramid: Pyramid
    levels: tuple[LevelLikeness, ...]

    @property
    def tiles(self) -> int:
        """Tiles that were compared: those that show something."""
        return sum(int(np.count_nonzero(each.shown)) for each in self.levels)

    def masses(self, boxes_scene: Numbers) -> Numbers:
        """The mass inside each of n boxes, float64 ``(n,)``; of boxes that tile the scene, 1.

        Args:
            boxes_scene: float64 ``(n, 4)`` as x0, y0, x1, y1 in scene pixels.
        """
        parts = [self._inside(boxes_scene, each.level, each.masses) for each in self.levels]
        result: Numbers = np.mean(parts, axis=0)
        return result

    def shows_data(self, boxes_scene: Numbers) -> NDArray[np.bool_]:
        """Which of n boxes show data on every level, ``(n,)``; a fine level sees smaller gaps."""
        by_level = [self._inside(boxes_scene, each.level, each.shown) > 0 for each in self.levels]
        result: NDArray[np.bool_] = np.all(by_level, axis=0)
        return result

    def is_unlike(self, boxes_scene: Numbers) -> NDArray[np.bool_]:
        """Which of n boxes do not show what is looked for, as far as vectors can tell, ``(n,)``.

        They show no data, or on every level they are less like the phrase than the average tile, by
        more than one standard deviation.
        """
        unlike = [
            self._inside(boxes_scene, each.level, (each.deviations - _UNLIKE) * each.shown) < 0
            for each in self.levels
        ]
        result: NDArray[np.bool_] = np.all(unlike, axis=0) | ~self.shows_data(boxes_scene)
        return result

    def _inside(self, boxes_scene: Numbers, level: int, values: Numbers) -> Numbers:
        """Sums of values of tiles, each spread evenly over its tile, inside boxes.

        Overlap of boxes is a product of overlaps by axis, and boxes share rows and columns.
        """
        side = self.pyramid.tile_size << level
        spans_x, of_x = np.unique(boxes_scene[:, (0, 2)], axis=0, return_inverse=True)
        spans_y, of_y = np.unique(boxes_scene[:, (1, 3)], axis=0, return_inverse=True)
        share_x = _shares(spans_x, values.shape[1], side, self.pyramid.width)
        share_y = _shares(spans_y, values.shape[0], side, self.pyramid.height)
        sums: Numbers = (share_y @ values @ share_x.T)[of_y.ravel(), of_x.ravel()]
        return sums


def _shares(spans: Numbers, count: int, side: int, end: int) -> Numbers:
    """Which share of each of ``count`` tiles along an axis lies in each of n spans, ``(n, count)``.

    The last tile ends where the scene does.
    """
    starts = np.arange(count, dtype=np.float64) * side
    ends = np.minimum(starts + side, end)
    low = np.maximum(spans[:, :1], starts[None])
    high = np.minimum(spans[:, 1:], ends[None])
    shares: Numbers = np.clip(high - low, 0, None) / (ends - starts)[None]
    return shares
