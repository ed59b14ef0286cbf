"""What was found for one phrase: as rows, as features of a map, and as files that a GIS opens."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, overload

import shapely

from geofovea.errors import MissingExtraError, OutputError
from geofovea.pipeline.answers.afterwork import Afterwork
from geofovea.pipeline.answers.cost import Cost
from geofovea.pipeline.answers.evidence_files import (
    as_shown_by_a_gis,
    write_geojson,
    write_geopackage,
    write_geoparquet,
)
from geofovea.pipeline.answers.features import PLANE, geometry_of, is_on_ground
from geofovea.pipeline.places.coverage import Coverage
from geofovea.pipeline.places.place import NamedArea, Place
from geofovea.pipeline.system.files import write_text
from geofovea.pipeline.system.tables import csv_table
from geofovea.tiling.geo.coordinates import (
    area_m2,
    geometry_crs,
    polygon_lonlat,
    polygon_scene,
)
from geofovea.tiling.scene import Scene

if TYPE_CHECKING:
    import geopandas


__all__ = ["FORMATS", "Places", "area_row"]

_COLUMNS = ("label", "score", "level", "outline", "error_px", "area_m2")
_LAYER = "places"


@dataclass(frozen=True, eq=False, repr=False)
class Places(Sequence[Place]):
    """What was found for one phrase, the surest place first.

    Attributes:
        items: The places.
        phrase: What was looked for.
        model: Name of the host.
        scene: Where they lie.
        coverage: How much of the scene was looked at.
        cost: What it took.
        warnings: What a careful reader should know; empty if nothing.
    """

    items: tuple[Place, ...]
    phrase: str
    model: str
    scene: Scene
    coverage: Coverage
    cost: Cost
    warnings: tuple[str, ...] = ()
    is_demo: bool = field(default=False, kw_only=True)
    """Whether a demo model guessed about a scene of a kind that it does not know."""
    area: NamedArea | None = field(default=None, kw_only=True)
    """The area that the phrase names; None where it names none that was read."""

    @overload
    def __getitem__(self, index: int) -> Place: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Place, ...]: ...

    def __getitem__(self, index: int | slice) -> Place | tuple[Place, ...]:
        return self.items[index]

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Place]:
        return iter(self.items)

    def __repr__(self) -> str:
        count = len(self)
        return (
            f"Places({count} place{'' if count == 1 else 's'} of {self.phrase!r} in "
            f"{PurePath(self.scene.path).name!r}, "
            f"{self.coverage.tiles_looked} of {self.coverage.tiles_total} native tiles looked at)"
        )

    def with_warnings(self, warnings: Sequence[str]) -> Places:
        """The same places, with further warnings."""
        return replace(self, warnings=(*self.warnings, *warnings)) if warnings else self

    def geojson(self) -> dict[str, Any]:
        """A GeoJSON FeatureCollection.

        With a georeference it follows RFC 7946. Without one, coordinates are pixels with y up, as
        a GIS shows a picture, and the member ``crs`` says so.
        """
        return _places_geojson(self)

    def to_geodataframe(self) -> geopandas.GeoDataFrame:
        """One row a place, in the scene's CRS; in pixel space (crs None) without georeference.

        Raises:
            MissingExtraError: If geopandas is not installed.
        """
        return _place_frame(self)

    def shapes(self) -> list[shapely.Polygon]:
        """The boxes as polygons in scene pixels, in the order of the places."""
        return [shapely.box(*place.box_scene.as_tuple()) for place in self.items]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the places as what the suffix says: .geojson, .gpkg, .parquet, .json or .csv.

        Raises:
            OutputError: If no format has this suffix, or the file cannot be written.
            MissingExtraError: If a package is missing for the format.
        """
        _save_places(self, path)

    def to_dict(self) -> dict[str, Any]:
        """A plain object, ready for ``json.dumps``; it is what ``geofovea find --json`` prints."""
        return {
            "phrase": self.phrase,
            "model": self.model,
            "scene": self.scene.path,
            "area": area_row(self),
            "count": len(self),
            "places": _place_rows(self),
            "coverage": self.coverage.to_dict(),
            "cost": self.cost.to_json(),
            "warnings": list(self.warnings),
        }


def _place_rows(places: Places) -> list[dict[str, Any]]:
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
    """The area that a phrase names as a plain object, or None; its geometry as in `_place_rows`."""
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


def _places_geojson(places: Places) -> dict[str, Any]:
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


def _place_frame(places: Places) -> geopandas.GeoDataFrame:
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


def _save_places(places: Places, path: str | os.PathLike[str]) -> None:
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
