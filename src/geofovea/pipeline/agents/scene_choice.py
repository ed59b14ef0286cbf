"""Which scene a program means, and which part of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import shapely

from geofovea.errors import GeometryError, SceneError
from geofovea.pipeline.agents.plain import plain_text
from geofovea.pipeline.viewer.desk import Desk, NoSuchSceneError
from geofovea.pipeline.viewer.served_scene import ServedScene
from geofovea.tiling.geo.region import OutsideSceneError, region_from_crs
from geofovea.tiling.pyramid import Box
from geofovea.tiling.scene import Scene

__all__ = ["chosen_box", "chosen_region", "chosen_scene", "ready_scene"]

_MOST_NAMED = 20


def chosen_scene(desk: Desk, scene_id: str) -> ServedScene:
    """A scene by its id; the only one where none is named.

    Raises:
        NoSuchSceneError: If no scene has that id, or there are several and none is named.
    """
    scenes = desk.scenes
    name = scene_id.removeprefix("scene:")
    if name in scenes:
        return scenes[name]
    if not name and len(scenes) == 1:
        return next(iter(scenes.values()))
    listed = [f"{one.id} ({plain_text(one.name, 60)})" for one in scenes.values()]
    more = "" if len(listed) <= _MOST_NAMED else f" and {len(listed) - _MOST_NAMED} more"
    what = f"there is no scene {name!r:.40}" if name else "name one of the scenes"
    raise NoSuchSceneError(f"{what}; there are {', '.join(listed[:_MOST_NAMED])}{more}")


def ready_scene(desk: Desk, scene_id: str) -> ServedScene:
    """The same, for reading pixels of it at once.

    Raises:
        NoSuchSceneError: If there is none.
        SceneError: If its levels are being built, or could not be.
    """
    scene = chosen_scene(desk, scene_id)
    if scene.error:
        raise SceneError(scene.error)
    if not scene.is_ready:
        raise SceneError(
            f"coarser levels of the scene are being built ({scene.share:.0%}): try again in a few "
            "seconds"
        )
    return scene


def chosen_box(
    scene: Scene, box: Sequence[float] | None, lonlat_box: Sequence[float] | None
) -> Box | None:
    """A box in scene pixels, or one of longitudes and latitudes, as a box in scene pixels.

    Args:
        scene: The scene.
        box: ``[x0, y0, x1, y1]`` in scene pixels, or None.
        lonlat_box: ``[west, south, east, north]`` in degrees, or None. Where west is larger than
            east, the box crosses the antimeridian.

    Returns:
        None for the whole scene.

    Raises:
        GeometryError: If both are given, one is not a box, or it lies outside the scene.
    """
    if box is not None and lonlat_box is not None:
        raise GeometryError("give box in scene pixels or lonlat_box in degrees, not both")
    if box is not None:
        what = "box is [x0, y0, x1, y1] in scene pixels, with x0 < x1 and y0 < y1"
        part = Box(*_box_sides(box, what))
        if part.intersection(scene.box) is None:
            size = f"{scene.width} x {scene.height} pixels"
            raise GeometryError(f"box {plain_text(list(box), 80)} lies outside the scene of {size}")
        return part
    if lonlat_box is None:
        return None
    what = (
        "lonlat_box is [west, south, east, north] in degrees, with west != east and south < north"
    )
    west, south, east, north = _box_sides(lonlat_box, what, turns=True)
    if abs(south) > 90 or abs(north) > 90:
        raise GeometryError(f"{what}; no latitude is {south if abs(south) > 90 else north:g}")
    shape = shapely.box(west, south, east if east > west else east + 360, north)
    try:
        return Box(*region_from_crs(scene, shape, "EPSG:4326").geometry.bounds)
    except OutsideSceneError as error:
        raise GeometryError(
            f"lonlat_box {plain_text(list(lonlat_box), 80)} lies outside the scene; it is [west, "
            "south, east, north] in degrees, and inspect_scene gives the footprint"
        ) from error


def chosen_region(
    scene: Scene, box: Sequence[float] | None, lonlat_box: Sequence[float] | None
) -> dict[str, Any] | None:
    """The region of a job that `chosen_box` names; None for the whole scene.

    Raises:
        GeometryError: As `chosen_box` does.
    """
    part = chosen_box(scene, box, lonlat_box)
    return None if part is None else {"box": list(part.as_tuple())}


def _box_sides(
    numbers: Sequence[float], what: str, *, turns: bool = False
) -> tuple[float, float, float, float]:
    """Four sides of a box that has an area; with ``turns``, x0 may lie beyond x1.

    Raises:
        GeometryError: If they are something else; ``what`` says what they should be.
    """
    if len(numbers) == 4 and all(abs(n) < 1e9 and math.isfinite(n) for n in numbers):
        x0, y0, x1, y1 = map(float, numbers)
        if y0 < y1 and (x0 != x1 if turns else x0 < x1):
            return x0, y0, x1, y1
    raise GeometryError(f"{what}; got {plain_text(list(numbers), 80)}")
