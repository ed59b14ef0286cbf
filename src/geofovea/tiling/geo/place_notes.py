"""Why a scene has no place on the map, or only a part of one, in plain words."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from geofovea.tiling.geo.geodesic import axes_on_ground
from geofovea.tiling.geo.georeference import Georeference, HasGeoreference
from geofovea.tiling.geo.outline import ring_scene
from geofovea.tiling.pyramid import Box

__all__ = ["place_notes"]

_PARTS = 8
_POLE = 90.0
_MOST_DEGREES = (360.0, _POLE)
# beyond half a step of the eight points of the compass, the top is no longer called north
_MOST_TURNED = 22.5
# systems of a building site or an engine, in WKT 1 and in WKT 2
_LOCAL = ("LOCAL_CS", "ENGCRS", "ENGINEERINGCRS")
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
    elif not georeference.is_on_earth and (georeference.crs_wkt or "").startswith(_LOCAL):
        notes.append(
            f"{name} is a local system that is tied to no place on the Earth, so there is no "
            "lon/lat"
        )
    elif not georeference.is_on_earth:
        notes.append(f"{name} is not on the Earth, so there is no lon/lat")
    elif not (georeference.crs.is_geographic or georeference.crs.is_projected):
        notes.append(
            f"{name} is not a map: two of its numbers are no place, so there is no lon/lat"
        )
    else:
        if georeference.kind in _MODELS:
            notes.append(f"positions come from {_MODELS[georeference.kind]} and are approximate")
        notes += (
            _in_degrees(georeference, scene.box)
            or _off_map(georeference, scene.box)
            or _not_north_up(georeference, scene.box)
        )
    return tuple(notes)


# every answer about a scene asks again
@lru_cache(maxsize=64)
def _in_degrees(georeference: Georeference, box_scene: Box) -> tuple[str, ...]:
    """That the numbers are longitudes and latitudes, where the system counts in meters or feet.

    A registered system has its origin far from all that is mapped in it, or in the sea. Others are
    made for one site, with the origin in it.
    """
    name, crs = georeference.crs_name or "", georeference.crs
    if crs is None or not crs.is_projected or not name.startswith("EPSG:"):
        return ()
    points_crs = georeference.crs_from_scene(ring_scene(box_scene, _PARTS))
    if points_crs is None or not (np.abs(points_crs) <= _MOST_DEGREES).all():
        return ()
    return (
        f"its coordinates look like degrees, and {name} counts in {crs.linear_units}: check its "
        "georeference, for its places are likely wrong",
    )


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
    step = min(box_scene.width, box_scene.height) / _PARTS
    axes = axes_on_ground(georeference, box_scene.center, step)
    if axes is None:
        return ()
    right, up = axes
    bearing = up.bearing
    is_mirrored = right.east * up.north < right.north * up.east
    if not is_mirrored and min(bearing, 360 - bearing) <= _MOST_TURNED:
        return ()
    return (
        f"north is not up: the picture is shown as stored{', mirrored' if is_mirrored else ''}, "
        f"and its top lies {bearing:.0f}° clockwise from north; words such as 'left' and 'above' "
        "mean the picture; warp the scene to UTM to have north up",
    )
