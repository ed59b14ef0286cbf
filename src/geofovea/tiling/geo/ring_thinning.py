"""Polygons of too many vertices, with no more of them than their pixels can tell apart."""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray

__all__ = ["thinned"]

_MANY = 4096
# the time of simplifying a line grows faster than its length
_RUN = 512


def thinned(shape: shapely.Geometry, tolerance: float) -> shapely.Geometry:
    """A polygon, or several, without the vertices that move its edges by less than a tolerance.

    Shapes of few vertices stay as they are. The time grows with the number of vertices.

    Args:
        shape: Valid or not.
        tolerance: In the unit of its coordinates.
    """
    if shapely.get_num_coordinates(shape) <= _MANY:
        return shape
    parts = []
    for polygon in shapely.get_parts(shape):
        if isinstance(polygon, shapely.Polygon) and not polygon.is_empty:
            rings = [_thinned(ring, tolerance) for ring in (polygon.exterior, *polygon.interiors)]
            if len(rings[0]) > 3:
                holes = [ring for ring in rings[1:] if len(ring) > 3]
                parts.append(shapely.Polygon(rings[0], holes))
    return shapely.union_all(
        [part if part.is_valid else shapely.make_valid(part) for part in parts]
    )


def _thinned(ring: shapely.LinearRing, tolerance: float) -> NDArray[np.float64]:
    points = shapely.get_coordinates(ring)
    last = len(points) - 1
    index = [np.arange(start, min(start + _RUN, last) + 1) for start in range(0, last, _RUN)]
    of_run = np.repeat(np.arange(len(index)), [len(i) for i in index])
    lines = shapely.linestrings(points[np.concatenate(index)], indices=of_run)
    simple, run = shapely.get_coordinates(
        shapely.simplify(lines, tolerance, preserve_topology=False), return_index=True
    )
    # runs share their ends
    is_new = np.concatenate(([True], (run[1:] == run[:-1])))
    return np.asarray(simple[is_new], np.float64)
