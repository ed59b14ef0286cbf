"""Evidence as features of a map: rows with a shape, what they belong to, and one score."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import shapely
from shapely.geometry import mapping

from geofovea.errors import MissingExtraError
from geofovea.pipeline.answers.afterwork import Afterwork
from geofovea.tiling.geo.coordinates import area_m2, geometry_crs, lonlat_from_scene, polygon_scene
from geofovea.tiling.pyramid import Box
from geofovea.tiling.scene import Scene

if TYPE_CHECKING:
    import geopandas

    from geofovea.pipeline.answers.evidence import Evidence

__all__ = [
    "PLANE",
    "AnswerFacts",
    "evidence_frame",
    "feature_collection",
    "geometry_of",
    "gis_shape",
    "is_on_ground",
]

PLANE = (
    'ENGCRS["Plane of the picture",EDATUM["Unknown place"],CS[Cartesian,2],'
    'AXIS["x",east],AXIS["y",north],LENGTHUNIT["pixel",1]]'
)
"""What keeps GDAL and QGIS from taking pixels for degrees: without ``crs`` GeoJSON is WGS 84."""


@dataclass(frozen=True, slots=True)
class AnswerFacts:
    """What a file of evidence says of the answer.

    Attributes:
        question: As it was asked.
        answer: The answer.
        confidence: In [0, 1]; None where it is not known.
        model: Name of the host.
    """

    question: str
    answer: str
    confidence: float | None
    model: str


def feature_collection(
    items: Sequence[Evidence], scene: Scene, facts: AnswerFacts | None
) -> dict[str, Any]:
    """A GeoJSON FeatureCollection, coarse features first; see ``EvidenceList.geojson``."""
    after = Afterwork()
    about = {} if facts is None else asdict(facts)
    features = [
        {
            "type": "Feature",
            "geometry": after.attempt(
                "the geometry of evidence", partial(geometry_of, scene, item.box_scene), None
            ),
            "properties": about | _properties(item, scene, after),
        }
        for item in _drawing_order(items)
    ]
    collection: dict[str, Any] = {"type": "FeatureCollection"}
    if not is_on_ground(scene):
        collection["crs"] = {"type": "name", "properties": {"name": PLANE}}
    collection |= about | {"features": features}
    if after.warnings:
        collection["warnings"] = list(after.warnings)
    return collection


def _drawing_order(items: Sequence[Evidence]) -> list[Evidence]:
    """Coarse before fine, weak before strong: programs draw the last on top."""
    return list(items)[::-1]


def _properties(item: Evidence, scene: Scene, after: Afterwork) -> dict[str, Any]:
    return {
        "level": item.tile.level,
        "row": item.tile.row,
        "col": item.tile.col,
        "attention": item.attention,
        "tokens": item.tokens,
        "area_m2": after.attempt("an area", partial(area_m2, scene, item.box_scene), None),
        "box_scene": list(item.box_scene.as_tuple()),
    }


def geometry_of(scene: Scene, box: Box) -> Any:
    """The GeoJSON geometry of a box: on the ground, or where a GIS shows a picture without CRS."""
    on_ground = is_on_ground(scene)
    shape = lonlat_from_scene(scene, box) if on_ground else mapping(gis_shape(scene, box))
    # lists, as whoever reads the file has them
    return json.loads(json.dumps(shape))


def is_on_ground(scene: Scene) -> bool:
    """Whether features of a scene have longitudes and latitudes."""
    return scene.crs_wkt is not None and scene.georef != "none"


def gis_shape(scene: Scene, box: Box) -> shapely.Polygon:
    """A box of a scene without CRS, where a GIS shows it: by its affine, else with y up."""
    shape = geometry_crs(scene, box) if scene.georef == "affine" else None
    if shape is not None:
        return shape
    return shapely.box(box.x0, -box.y1, box.x1, -box.y0)


def evidence_frame(
    items: Sequence[Evidence], scene: Scene, facts: AnswerFacts | None
) -> geopandas.GeoDataFrame:
    """A GeoDataFrame in the scene's CRS; see ``EvidenceList.to_geodataframe``.

    Raises:
        MissingExtraError: If geopandas is not installed.
    """
    try:
        import geopandas
    except ImportError as error:
        raise MissingExtraError("geopandas", "geo", "to_geodataframe()") from error
    after, items = Afterwork(), _drawing_order(items)
    located = [
        after.attempt(
            "the geometry of evidence", partial(geometry_crs, scene, item.box_scene), None
        )
        for item in items
    ]
    on_map = any(shape is not None for shape in located) and scene.crs_wkt is not None
    about = {} if facts is None else asdict(facts)
    columns: dict[str, list[Any]] = {name: [value] * len(items) for name, value in about.items()}
    rows = [_properties(item, scene, after) | {"score": item.score} for item in items]
    for name in ("level", "row", "col", "score", "attention", "tokens", "area_m2"):
        columns[name] = [row[name] for row in rows]
    in_pixels = [polygon_scene(item.box_scene) for item in items]
    crs = scene.crs_wkt if on_map else None
    frame = after.attempt(
        "the map in the CRS of the scene",
        lambda: geopandas.GeoDataFrame(columns, geometry=located if on_map else in_pixels, crs=crs),
        None,
    )
    if frame is None:
        # pyproj may know less than GDAL does
        frame = geopandas.GeoDataFrame(columns, geometry=in_pixels, crs=None)
    if after.warnings:
        frame.attrs["warnings"] = list(after.warnings)
    return frame
