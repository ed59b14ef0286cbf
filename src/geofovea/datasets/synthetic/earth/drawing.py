"""Drawing of periodic sheets in four bands: trees and houses with their shadows.

The sun stands in the northwest on every sheet, because people find pictures with that light
natural. So shadows fall to the lower right. What leaves a sheet on one side enters on the other.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from geofovea.datasets.synthetic.textures import SIDE, Texture, means_of, periodic_noise

__all__ = ["Bands", "Sheet", "packed_levels", "speckled"]

Bands = tuple[float, float, float, float]
"""Red, green, blue and near infrared, 0 to 255."""

_SHADE = 0.5
_CROWN: Bands = (62, 86, 48, 178)


def speckled(ground: Bands, rng: np.random.Generator, amplitude: float) -> Texture:
    """A sheet of one cover with noise of many sizes, float32 (SIDE, SIDE, 4)."""
    noise = periodic_noise(rng)[..., None]
    fine = rng.uniform(-1, 1, (SIDE, SIDE, 1)).astype(np.float32)
    sheet: Texture = np.asarray(ground, np.float32) + amplitude * (noise + 0.25 * fine)
    return sheet


def packed_levels(sheet: Texture) -> list[NDArray[np.uint32]]:
    """A sheet and its means at every level, the four bands of a pixel in one number."""
    return [
        np.clip(np.rint(level), 0, 255).astype(np.uint8).view(np.uint32)[..., 0]
        for level in means_of(sheet)
    ]


class Sheet:
    """A periodic picture that is drawn on, later over earlier."""

    def __init__(self, pixels: Texture) -> None:
        """Draw on ``pixels``, float32 (SIDE, SIDE, 4)."""
        self.pixels = pixels

    def crown(
        self, rng: np.random.Generator, radius: float, at: tuple[float, float] | None = None
    ) -> None:
        """A tree: a round crown that is lit from one side, and its shadow."""
        x, y = at or rng.uniform(0, SIDE, 2)
        reach = int(radius * 1.8) + 2
        rows, cols, dx, dy = self._around(x, y, reach)
        far = np.hypot(dx - 0.55 * radius, dy - 0.55 * radius)
        self._multiply(rows, cols, far < radius, _SHADE)
        distance = np.hypot(dx, dy) / radius
        light = 1.05 - 0.3 * (dx + dy) / radius - 0.35 * distance**2
        tone = rng.uniform(0.8, 1.2) * light + rng.uniform(-0.12, 0.12, light.shape)
        color = np.asarray(_CROWN, np.float32) * tone[..., None]
        inside = distance < 1
        patch = self.pixels[rows, cols]
        patch[inside] = color[inside]
        self.pixels[rows, cols] = patch

    def fill(self, box: tuple[float, float, float, float], color: Bands) -> None:
        """A rectangle ``(x0, y0, x1, y1)`` of one color."""
        rows, cols = self._cells(box)
        self.pixels[rows, cols] = np.asarray(color, np.float32)

    def house(
        self, box: tuple[float, float, float, float], roof: Bands, height: float, ridge: bool
    ) -> None:
        """A house: a roof of two tones if it has a ridge, and a shadow as long as it is high."""
        x0, y0, x1, y1 = box
        for step in range(1, int(height) + 1):
            self._multiply(*self._cells((x0 + step, y0 + step, x1 + step, y1 + step)), None, 0.0)
        self.fill(box, roof)
        rows, cols = self._cells(box)
        self.pixels[rows[:1], cols] *= 1.1
        if ridge:
            if x1 - x0 > y1 - y0:
                self.pixels[rows[len(rows) // 2 :], cols] *= 0.76
            else:
                self.pixels[rows, cols[:, len(cols[0]) // 2 :]] *= 0.76

    def _around(
        self, x: float, y: float, reach: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
        at = np.arange(-reach, reach + 1)
        cols, rows = int(x) + at, int(y) + at
        dx, dy = np.meshgrid(cols - x, rows - y)
        return rows[:, None] % SIDE, cols[None] % SIDE, dx, dy

    def _cells(
        self, box: tuple[float, float, float, float]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        x0, y0, x1, y1 = (round(corner) for corner in box)
        return np.arange(y0, y1)[:, None] % SIDE, np.arange(x0, x1)[None] % SIDE

    def _multiply(
        self,
        rows: NDArray[np.int64],
        cols: NDArray[np.int64],
        inside: NDArray[np.bool_] | None,
        factor: float,
    ) -> None:
        """Darken: by a factor, or to the tone of a hard shadow, which does not add up."""
        patch = self.pixels[rows, cols]
        if inside is None:
            patch = np.minimum(patch, np.asarray((52, 54, 62, 40), np.float32))
        else:
            patch[inside] *= factor
        self.pixels[rows, cols] = patch
