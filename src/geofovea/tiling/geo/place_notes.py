"""Why a scene has no place on the map, or only a part of one, in plain words."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from geofovea.tiling.geo.georeference import Georeference, HasGeoreference
from geofovea.tiling.geo.outline import ring_scene
from geofovea.tiling.pyramid import Box

__all__ = ["place_notes"]

_PARTS = 8
_POLE = 90.0
# beyond half a step of the eight points of the compass, the top is no longer called north
_MOST_TURNED = 22.5
_MODELS = {"gcps": "ground control points", "rpcs": "RPCs"}


def place_notes(scene: HasGeoreference) -> tuple[str, ...]:
    """What to know about where results of a scene lie; empty where all is well."""
    georeference, name = scene.georeference, scene.georeference.crs_name
    notes = [f"{georeference.note}, so there is no lon/lat"] if georeference.note else []
    if georeference.kind == "none":
        notes.append("not georeferenced: evidence is given in pixels only")
    elif georeference.crs is None:
        if not georeference.note:
            notes.append("the coordinate reference system is not named, so there is no lon/lat")
    elif not georeference.is_on_earth:
        notes.append(f"{name} is not on the Earth, so there is no lon/lat")
    elif not (georeference.crs.is_geographic or georeference.crs.is_projected):
        notes.append(
            f"{name} is not a map: two of its numbers are no place, so there is no lon/lat"
        )
    else:
        if georeference.kind in _MODELS:
            notes.append(f"positions come from {_MODELS[georeference.kind]} and are approximate")
        notes += _off_map(georeference, scene.box) or _not_north_up(georeference, scene.box)
    return tuple(notes)


# every answer about a scene asks again
@lru_cache(maxsize=64)
def _off_map(georeference: Georeference, box_scene: Box) -> tuple[str, ...]:
    name = georeference.crs_name
    points_scene = np.concatenate((ring_scene(box_scene, _PARTS), [box_scene.center]))
    lonlat = georeference.lonlat_from_scene(points_scene)
    # latitudes beyond a pole are the pole, so one that swapped its axes is there as a whole
    if lonlat is None or not (np.abs(lonlat[np.isfinite(lonlat).all(1), 1]) < _POLE).any():
        return (
            f"its coordinates lead to no place that {name} can show, so there is no "
            "lon/lat: check its georeference",
        )
    if not np.isfinite(lonlat).all():
        return (
            f"part of the scene lies off the map of {name}: geometries and areas are of "
            "the part on it; warp the scene to UTM to have all of it",
        )
    return ()


@lru_cache(maxsize=64)
def _not_north_up(georeference: Georeference, box_scene: Box) -> tuple[str, ...]:
    """That the top of the picture is not north, for a model takes it for that."""
    (x, y), step = box_scene.center, min(box_scene.width, box_scene.height) / _PARTS
    lonlat = georeference.lonlat_from_scene(np.array([(x, y), (x + step, y), (x, y - step)]))
    if lonlat is None or not np.isfinite(lonlat).all():
        return ()
    steps_lonlat = lonlat[1:] - lonlat[0]
    # a step may cross the antimeridian
    east = (steps_lonlat[:, 0] + 180) % 360 - 180
    right, up = np.column_stack((east * np.cos(np.radians(lonlat[0, 1])), steps_lonlat[:, 1]))
    bearing = float(np.degrees(np.arctan2(*up))) % 360
    is_mirrored = bool(right[0] * up[1] < right[1] * up[0])
    if not is_mirrored and min(bearing, 360 - bearing) <= _MOST_TURNED:
        return ()
    return (
        f"north is not up: the picture is shown as stored{', mirrored' if is_mirrored else ''}, "
        f"and its top lies {bearing:.0f}° clockwise from north; words such as 'left' and 'above' "
        "mean the picture; warp the scene to UTM to have north up",
    )
