"""Places as rows, as features of a map, and as files that a GIS opens."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geofovea.errors import MissingExtraError, OutputError
from geofovea.pipeline.answers.afterwork import Afterwork
from geofovea.pipeline.answers.evidence_files import (
    as_shown_by_a_gis,
    write_geojson,
    write_geopackage,
    write_geoparquet,
)
from geofovea.pipeline.answers.features import PLANE, geometry_of, is_on_ground
from geofovea.pipeline.system.files import write_text
from geofovea.pipeline.system.tables import csv_table
from geofovea.tiling.geo.coordinates import (
    area_m2,
    geometry_crs,
    polygon_lonlat,
    polygon_scene,
)

if TYPE_CHECKING:
    import geopandas

    from geofovea.pipeline.places.place import Place, Places

__all__ = ["FORMATS", "area_row", "place_frame", "place_rows", "places_geojson", "save_places"]

_COLUMNS = ("label", "score", "level", "outline", "error_px", "area_m2")
_LAYER = "places"


def place_rows(places: Places) -> list[dict[str, Any]]:
    """One plain object a place, with its geometry in longitude and latitude, or null."""
    after = Afterwork()
    return [
        _properties(places, place, after)
        | {
            "geometry": after.attempt(
                "the geometry of a place",
                partial(geometry_of, places.scene, place.box_scene),
                None,
            )
            if is_on_ground(places.scene)
            else None
        }
        for place in places
    ]


def area_row(places: Places) -> dict[str, Any] | None:
    """The area that a phrase names as a plain object, or None; its geometry as in `place_rows`."""
    area, scene = places.area, places.scene
    if area is None:
        return None
    shape = area.region.geometry
    return {
        "thing": area.thing,
        "where": area.where,
        "rule": area.rule,
        "box_scene": list(shape.bounds),
        "geometry": Afterwork().attempt(
            "the geometry of the area", partial(polygon_lonlat, scene, shape), None
        )
        if is_on_ground(scene)
        else None,
    }


def places_geojson(places: Places) -> dict[str, Any]:
    """A GeoJSON FeatureCollection; see ``Places.geojson``."""
    after, scene = Afterwork(), places.scene
    features = [
        {
            "type": "Feature",
            "geometry": after.attempt(
                "the geometry of a place", partial(geometry_of, scene, place.box_scene), None
            ),
            "properties": _properties(places, place, after),
        }
        for place in places
    ]
    collection: dict[str, Any] = {"type": "FeatureCollection"}
    if not is_on_ground(scene):
        collection["crs"] = {"type": "name", "properties": {"name": PLANE}}
    collection |= {
        "phrase": places.phrase,
        "area": area_row(places),
        "model": places.model,
        "coverage": places.coverage.to_dict(),
        "features": features,
    }
    warnings = [*places.warnings, *after.warnings]
    return collection | ({"warnings": warnings} if warnings else {})


def place_frame(places: Places) -> geopandas.GeoDataFrame:
    """A GeoDataFrame; see ``Places.to_geodataframe``.

    Raises:
        MissingExtraError: If geopandas is not installed.
    """
    try:
        import geopandas
    except ImportError as error:
        raise MissingExtraError("geopandas", "geo", "to_geodataframe()") from error
    after, scene = Afterwork(), places.scene
    rows = [_properties(places, place, after) for place in places]
    columns = {name: [row[name] for row in rows] for name in _COLUMNS}
    in_pixels = [polygon_scene(place.box_scene) for place in places]
    located = [
        after.attempt("the geometry of a place", partial(geometry_crs, scene, p.box_scene), None)
        for p in places
    ]
    on_map = scene.crs_wkt is not None and (not located or any(s is not None for s in located))
    frame = after.attempt(
        "the map in the CRS of the scene",
        lambda: geopandas.GeoDataFrame(
            columns,
            geometry=located if on_map else in_pixels,
            crs=scene.crs_wkt if on_map else None,
        ),
        None,
    )
    if frame is None:
        # pyproj may know less than GDAL does
        frame = geopandas.GeoDataFrame(columns, geometry=in_pixels, crs=None)
    warnings = [*places.warnings, *after.warnings]
    frame.attrs |= {"phrase": places.phrase, "model": places.model}
    frame.attrs |= {"warnings": warnings} if warnings else {}
    return frame


def save_places(places: Places, path: str | os.PathLike[str]) -> None:
    """Write places in the format that the suffix of a name says; see ``Places.save``.

    Raises:
        OutputError: If no format has this suffix, or the file cannot be written.
        MissingExtraError: If a package is missing for the format.
    """
    file = Path(path)
    write = _WRITERS.get(file.suffix.lower())
    if write is None:
        raise OutputError(
            f"{file} has the suffix {file.suffix!r}, and places are saved as one of: "
            f"{', '.join(FORMATS)}"
        )
    write(places, file)


def _properties(places: Places, place: Place, after: Afterwork) -> dict[str, Any]:
    return {
        "label": place.label,
        "score": place.score,
        "level": place.level,
        "outline": place.outline,
        "error_px": place.error_px,
        "area_m2": after.attempt("an area", partial(area_m2, places.scene, place.box_scene), None),
        "box_scene": list(place.box_scene.as_tuple()),
        "tiles": [[tile.level, tile.row, tile.col] for tile in place.evidence],
    }


def _write_csv(places: Places, path: Path) -> None:
    names = ("label", "score", "left", "top", "right", "bottom", "level", "outline")
    rows = [(p.label, p.score, *p.box_scene.as_tuple(), p.level, p.outline) for p in places]
    write_text(path, csv_table(names, rows))


_WRITERS: dict[str, Callable[[Places, Path], None]] = {
    ".csv": _write_csv,
    ".geojson": lambda places, path: write_geojson(path, places.geojson(), column="score"),
    ".gpkg": lambda places, path: write_geopackage(
        path,
        as_shown_by_a_gis(places.to_geodataframe(), places.scene),
        layer=_LAYER,
        column="score",
    ),
    ".json": lambda places, path: write_text(path, json.dumps(places.to_dict(), indent=1)),
    ".parquet": lambda places, path: write_geoparquet(path, places.to_geodataframe()),
}
FORMATS = tuple(_WRITERS)
