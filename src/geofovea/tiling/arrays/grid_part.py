"""The part of a grid of pixels that an array has kept, and the place of that part.

An affine, control points and RPCs hold for a whole grid. Selecting rows and columns of an array
does not change them, so an array whose labels are no places carries the numbers of its columns and
rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from geofovea.errors import SceneError
from geofovea.tiling.geo.georeference import Affine6, ControlPoint

__all__ = ["COL", "ROW", "GridPart"]

COL, ROW = "col", "row"
"""Coordinates that number the columns and rows of a grid from 0."""

# means of several numbers are floats
_REGULAR_WITHIN = 1e-6


@dataclass(frozen=True, slots=True)
class GridPart:
    """Which pixels of a grid an array has: ``x_grid = left + step_x * x_part``, and likewise y.

    Attributes:
        left: Where it begins, in pixels of the grid.
        top: Likewise for the rows.
        step_x: Pixels of the grid from one of its own to the next; below zero where it is mirrored.
        step_y: Likewise for the rows.
    """

    left: float = 0.0
    top: float = 0.0
    step_x: float = 1.0
    step_y: float = 1.0

    @classmethod
    def of_numbers(cls, name: str, cols: Any, rows: Any) -> GridPart:
        """The part whose columns and rows have these numbers in the grid.

        Args:
            name: Of the array, for messages.
            cols: One number for each column.
            rows: One for each row.

        Raises:
            SceneError: If they are no numbers, or not evenly spaced.
        """
        (left, step_x), (top, step_y) = _begin(name, COL, cols), _begin(name, ROW, rows)
        return cls(left, top, step_x, step_y)

    def transform(self, of_grid: Affine6) -> Affine6:
        """The affine of the part, from that of the grid."""
        a, b, c, d, e, f = of_grid
        return (
            a * self.step_x,
            b * self.step_y,
            c + a * self.left + b * self.top,
            d * self.step_x,
            e * self.step_y,
            f + d * self.left + e * self.top,
        )

    def gcps(self, of_grid: tuple[ControlPoint, ...]) -> tuple[ControlPoint, ...]:
        """Control points ``(x, y, x_crs, y_crs, z)`` in pixels of the part."""
        return tuple(
            ((x - self.left) / self.step_x, (y - self.top) / self.step_y, x_crs, y_crs, z)
            for x, y, x_crs, y_crs, z in of_grid
        )

    def rpcs(self, of_grid: Mapping[str, Any]) -> dict[str, Any]:
        """RPC items for pixels of the part.

        They number the middle of the first pixel 0, as GDAL reads them.
        """
        items = dict(of_grid)
        for axis, begin, step in (
            ("SAMP", self.left, self.step_x),
            ("LINE", self.top, self.step_y),
        ):
            offset, scale = f"{axis}_OFF", f"{axis}_SCALE"
            # what is missing or no number is told by who reads them
            with suppress(KeyError, TypeError, ValueError):
                moved = (float(items[offset]) + 0.5 - begin) / step - 0.5
                items |= {scale: float(items[scale]) / step, offset: moved}
        return items


def _begin(name: str, axis: str, numbers: Any) -> tuple[float, float]:
    """Where the first pixel begins, and the step from each to the next; a single one has step 1."""
    values = np.asarray(numbers)
    if values.ndim != 1 or not len(values) or values.dtype.kind not in "uif":
        raise SceneError(
            f"{name} has a coordinate {axis!r} that does not number its pixels; drop it with "
            "drop_vars()"
        )
    steps = np.diff(values.astype(np.float64))
    step = float(steps[0]) if len(steps) else 1.0
    off = np.abs(steps - step).max(initial=0.0)
    if step == 0 or not off <= _REGULAR_WITHIN:
        raise SceneError(
            f"{name} has the numbers {values[:3].tolist()} ... in its coordinate {axis!r}, which "
            "are not evenly spaced, so it has no place as a whole; select evenly, or drop "
            "'spatial_ref' with drop_vars() to get answers in pixels"
        )
    return float(values[0]) + 0.5 - step / 2, step
