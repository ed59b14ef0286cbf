"""Scenes, levels, tiles, windows, radiometry and coordinates. Knows rasters, knows no torch.

The geometry (``pyramid``) needs no raster library, so the names below are imported when first used.
"""

from typing import TYPE_CHECKING

from geofovea._lazy import lazy_names

if TYPE_CHECKING:
    from geofovea.tiling.cache.upkeep import clear_cache, list_cache
    from geofovea.tiling.geo.coordinates import (
        area_m2,
        crs_from_scene,
        geometry_crs,
        lonlat_from_scene,
        polygon_scene,
        scene_from_crs,
    )
    from geofovea.tiling.inspection import Inspection, inspect_scene
    from geofovea.tiling.opening import open_scene
    from geofovea.tiling.overviews.cache import prepare
    from geofovea.tiling.overviews.level_files import LevelFiles, LevelLimits, access_mode
    from geofovea.tiling.pixels.radiometry import Radiometry
    from geofovea.tiling.pixels.radiometry_plan import plan_radiometry
    from geofovea.tiling.plan import ReadPlan, plan_box, plan_tile
    from geofovea.tiling.pyramid import Box, Pyramid, Tile
    from geofovea.tiling.reader import TilePixels, TileReader
    from geofovea.tiling.scene import Scene

__all__ = [
    "Box",
    "Inspection",
    "LevelFiles",
    "LevelLimits",
    "Pyramid",
    "Radiometry",
    "ReadPlan",
    "Scene",
    "Tile",
    "TilePixels",
    "TileReader",
    "access_mode",
    "area_m2",
    "clear_cache",
    "crs_from_scene",
    "geometry_crs",
    "inspect_scene",
    "list_cache",
    "lonlat_from_scene",
    "open_scene",
    "plan_box",
    "plan_radiometry",
    "plan_tile",
    "polygon_scene",
    "prepare",
    "scene_from_crs",
]

_HOMES = {
    "area_m2": "geofovea.tiling.geo.coordinates",
    "crs_from_scene": "geofovea.tiling.geo.coordinates",
    "geometry_crs": "geofovea.tiling.geo.coordinates",
    "lonlat_from_scene": "geofovea.tiling.geo.coordinates",
    "polygon_scene": "geofovea.tiling.geo.coordinates",
    "scene_from_crs": "geofovea.tiling.geo.coordinates",
    "Inspection": "geofovea.tiling.inspection",
    "inspect_scene": "geofovea.tiling.inspection",
    "clear_cache": "geofovea.tiling.cache.upkeep",
    "list_cache": "geofovea.tiling.cache.upkeep",
    "prepare": "geofovea.tiling.overviews.cache",
    "LevelFiles": "geofovea.tiling.overviews.level_files",
    "LevelLimits": "geofovea.tiling.overviews.level_files",
    "access_mode": "geofovea.tiling.overviews.level_files",
    "ReadPlan": "geofovea.tiling.plan",
    "plan_box": "geofovea.tiling.plan",
    "plan_tile": "geofovea.tiling.plan",
    "Box": "geofovea.tiling.pyramid",
    "Pyramid": "geofovea.tiling.pyramid",
    "Tile": "geofovea.tiling.pyramid",
    "Radiometry": "geofovea.tiling.pixels.radiometry",
    "plan_radiometry": "geofovea.tiling.pixels.radiometry_plan",
    "TilePixels": "geofovea.tiling.reader",
    "TileReader": "geofovea.tiling.reader",
    "Scene": "geofovea.tiling.scene",
    "open_scene": "geofovea.tiling.opening",
}

__getattr__ = lazy_names(__name__, _HOMES)
