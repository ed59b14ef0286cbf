"""A scene in words of the ground: meters per pixel, lengths, places, the way north."""

from __future__ import annotations

import math

import numpy as np

from geofovea.pipeline.answers.afterwork import Afterwork
from geofovea.tiling.geo.georeference import HasGeoreference
from geofovea.tiling.pyramid import Box

__all__ = [
    "evidence_text",
    "gsd_of",
    "length_text",
    "level_text",
    "lonlat_text",
    "north_of",
    "place_text",
    "size_text",
]

_MOST_CHANGE = 0.1
_STEP_SHARE = 1 / 64
_UNITS = ((1e3, "km"), (1.0, "m"), (1e-2, "cm"))


def length_text(meters: float) -> str:
    """A length in the unit that people would use, with two or three digits."""
    size, unit = next((u for u in _UNITS if meters >= 0.9995 * u[0]), _UNITS[-1])
    value = meters / size
    digits = max(0, 1 - math.floor(math.log10(value))) if value else 0
    text = f"{value:,.{digits}f}" if value < 10 else f"{value:,.0f}"
    return f"{text.rstrip('0').rstrip('.') if '.' in text else text} {unit}"


def level_text(level: int, gsd_m: float | None) -> str:
    """What a pixel of a level is: ``2 m/px`` where the ground is known, else ``1:4``."""
    return f"1:{2**level}" if gsd_m is None else f"{length_text(gsd_m * 2**level)}/px"


def gsd_of(scene: HasGeoreference, box: Box) -> float | None:
    """Meters per scene pixel that hold all over a box; None where unknown or where they vary."""
    (x, y), georeference = box.center, scene.georeference
    middle = georeference.gsd_m(x, y)
    if middle is None:
        return None
    edges = (georeference.gsd_m(*p) for p in ((x, box.y0), (x, box.y1), (box.x0, y), (box.x1, y)))
    is_even = all(e is not None and abs(e / middle - 1) < _MOST_CHANGE for e in edges)
    return middle if is_even else None


def size_text(scene: HasGeoreference, box: Box) -> str:
    """How large a box is: on the ground where that is known, else in pixels."""
    gsd = gsd_of(scene, box)
    if gsd is None:
        return f"{round(box.width):,} x {round(box.height):,} px"
    return f"{length_text(box.width * gsd)} x {length_text(box.height * gsd)}"


def place_text(scene: HasGeoreference, box: Box) -> str | None:
    """Latitude and longitude of the middle of a box, to about its size; None where unknown."""
    points = scene.georeference.lonlat_from_scene(np.array([box.center]))
    if points is None or not np.isfinite(points).all():
        return None
    lon, lat = points[0]
    return lonlat_text(lon, lat)


def lonlat_text(lon: float, lat: float) -> str:
    """Latitude and longitude, given in degrees; a turn more or less is the same longitude."""
    lon = (lon + 180) % 360 - 180
    return f"{abs(lat):.5f}° {'N' if lat >= 0 else 'S'}, {abs(lon):.5f}° {'E' if lon >= 0 else 'W'}"


def evidence_text(scene: HasGeoreference, box: Box) -> str:
    """Where a box is in pixels, and on the ground where that is known; never an error."""
    x0, y0, x1, y1 = (round(c) for c in box.as_tuple())
    pixels = f"pixels x {x0}-{x1}, y {y0}-{y1}"
    # an answer is told whatever its place does
    after = Afterwork()
    place = after.attempt("the place of evidence", lambda: place_text(scene, box), None)
    if place is None:
        return pixels
    size = after.attempt("the size of evidence", lambda: gsd_of(scene, box), None)
    return f"{place}" + (f", {size_text(scene, box)}" if size else "") + f" ({pixels})"


def north_of(scene: HasGeoreference, box: Box) -> tuple[float, float] | None:
    """The way north at the middle of a box as a unit vector ``(x right, y down)``.

    Returns:
        None without a place on the ground, or where the way differs over the box.
    """
    ways = [_north_at(scene, *p) for p in (box.center, (box.x0, box.y0), (box.x1, box.y1))]
    middle = ways[0]
    if middle is None:
        return None
    # around a pole every direction is north somewhere
    is_even = all(w and w[0] * middle[0] + w[1] * middle[1] > 1 - _MOST_CHANGE / 2 for w in ways)
    return middle if is_even else None


def _north_at(scene: HasGeoreference, x: float, y: float) -> tuple[float, float] | None:
    step = max(1.0, _STEP_SHARE * min(scene.box.width, scene.box.height))
    # inwards, so that no point leaves the scene
    dx = step if x <= scene.box.center[0] else -step
    dy = step if y <= scene.box.center[1] else -step
    points = scene.georeference.lonlat_from_scene(np.array([(x, y), (x + dx, y), (x, y + dy)]))
    if points is None or not np.isfinite(points).all():
        return None
    steps = points[1:] - points[0]
    steps[:, 0] -= 360 * np.round(steps[:, 0] / 360)
    steps /= np.array([[dx], [dy]])
    try:
        way = np.linalg.solve(steps.T, np.array([0.0, 1.0]))
    except np.linalg.LinAlgError:
        return None
    length = float(np.hypot(*way))
    return (float(way[0] / length), float(way[1] / length)) if length else None
