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
        notes.append(f"{name} is no map: two of its numbers are no place, so there is no lon/lat")
    else:
        notes += _off_map(georeference, scene.box)
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
