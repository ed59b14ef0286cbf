"""What was measured between named places: numbers with units and errors, and their geometry."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import shapely
from shapely.geometry import mapping

from geofovea.errors import GeometryError, OutputError
from geofovea.pipeline.answers.cost import Cost
from geofovea.pipeline.answers.features import PLANE, is_on_ground
from geofovea.pipeline.system.files import write_text
from geofovea.tiling.geo.coordinates import polygon_lonlat
from geofovea.tiling.geo.geodesic import Point, geodesic_pieces
from geofovea.tiling.pyramid import Box, Tile
from geofovea.tiling.scene import Scene

__all__ = ["FORMATS", "Leaning", "LocatedPlace", "Measurement", "Quantity"]

# An outline is made of whole tokens, so each of its edges falls anywhere into one (variance 1/12 of
# its side). A center lies halfway between two edges (1/24). Single tokens join at one edge alone or
# stay out, and that is as much again by half (of 480 lengths between sites of synthetic scenes).
_CENTER_ERROR = 1.96 * math.sqrt(1 / 24 + 1 / 48)

FORMATS = (".geojson", ".json")
"""Suffixes of the files that a measurement is saved as."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number that was measured.

    Attributes:
        name: What it is, such as ``distance``.
        value: The number.
        error: By how much it may be wrong in 19 of 20 cases: that of the tokens from which its
            places were read.
        unit: Its symbol, ``px`` and ``px²`` where the ground is not known.
        common: The part of the error that other numbers of the same kind have in common, such as
            outlines that a model draws all too large. It cancels where two of them are compared.

    Raises:
        GeometryError: If a number is not finite, or an error is negative, or its part is larger
            than the whole.
    """

    name: str
    value: float
    error: float
    unit: str
    common: float = 0.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.value) and math.isfinite(self.error) and self.error >= 0):
            raise GeometryError(f"a quantity needs finite numbers and an error >= 0, got {self}")
        if not 0 <= self.common <= self.error * (1 + 1e-9):
            raise GeometryError(f"what errors have in common is a part of them, got {self}")

    @property
    def own(self) -> float:
        """The part of the error that no other number shares."""
        return math.sqrt(max(0.0, self.error**2 - self.common**2))

    def times(self, factor: float) -> Quantity:
        """So many times the number, as uncertain as it is."""
        value, error, common = (factor * n for n in (self.value, self.error, self.common))
        return replace(self, value=value, error=error, common=common)

    @property
    def text(self) -> str:
        """The number with its error and its unit: ``1,240 ± 60 m``."""
        digits = _digits(self.error or self.value)
        value, error = (f"{round(v, digits):,.{max(0, digits)}f}" for v in (self.value, self.error))
        return f"{value} ± {error} {self.unit}"

    def to_json(self) -> dict[str, Any]:
        """The object of the command line."""
        return {"name": self.name, "value": self.value, "error": self.error, "unit": self.unit}


@dataclass(frozen=True, slots=True, eq=False)
class LocatedPlace:
    """A place that a question names, where it was found.

    Attributes:
        label: What the question calls it.
        region: The tokens that show it, as a shape in scene pixels.
        level: The level on which its outline was drawn.
        token_side: Side of a token of that level in scene pixels: its outline is known to half of
            it.
        score: The share of the focus that falls on the place and around it, in [0, 1].
        tiles: Those of the tokens.
        rivals: Centers of other places that the name may mean, in scene pixels.
        drift: How far its center may be off beside its edges, in scene pixels: for coarser outlines
            have theirs elsewhere, or a thing stands somewhere in its outline.
        area_doubt: The share of its area that may be wrong beside the tokens along the edge: land
            that may have joined it.

    Raises:
        GeometryError: If the region has no area, the score lies outside of [0, 1], or the drift or
            the doubt is negative.
    """

    label: str
    region: shapely.Geometry
    level: int
    token_side: float
    score: float
    tiles: tuple[Tile, ...] = ()
    rivals: tuple[Point, ...] = ()
    drift: float = 0.0
    area_doubt: float = 0.0

    def __post_init__(self) -> None:
        if not (self.drift >= 0 and self.area_doubt >= 0):
            raise GeometryError(
                f"{self.label!r} needs a drift and a doubt of at least 0, got {self.drift} and "
                f"{self.area_doubt}"
            )
        if not self.region.area > 0 or not 0 <= self.score <= 1 + 1e-6 or not self.token_side > 0:
            raise GeometryError(
                f"{self.label!r} needs a region with an area, a token with a side and a score in "
                f"[0, 1], got {self.region.area}, {self.token_side} and {self.score}"
            )

    @property
    def box_scene(self) -> Box:
        """The box around the region in scene pixels."""
        return Box(*self.region.bounds)

    @property
    def center_error(self) -> float:
        """By how many scene pixels the center may be wrong along one axis, in 19 of 20 cases.

        Half a token, and more where its outline moved as it was drawn.
        """
        return math.hypot(_CENTER_ERROR * self.token_side, self.drift)

    @property
    def center(self) -> Point:
        """The center of the region's area, ``(x_scene, y_scene)``."""
        point = self.region.centroid
        return float(point.x), float(point.y)

    def to_json(self) -> dict[str, Any]:
        """The object of the command line."""
        return {
            "label": self.label,
            "box_scene": list(self.box_scene.as_tuple()),
            "center_scene": list(self.center),
            "level": self.level,
            "token_side_px": self.token_side,
            "center_error_px": round(self.center_error, 1),
            "score": self.score,
            "rivals": [list(point) for point in self.rivals],
        }


@dataclass(frozen=True, slots=True)
class Leaning:
    """What numbers say whose errors leave the answer open.

    Attributes:
        text: The answer that they lean to.
        confidence: How likely it is right, in [0, 1].
    """

    text: str
    confidence: float


@dataclass(frozen=True, eq=False)
class Measurement:
    """An answer that was computed from where places lie.

    Attributes:
        question: As it was asked.
        kind: What was asked, such as ``distance``, ``direction``, ``size`` or ``order``.
        text: The answer as one word, or a number with its unit; empty where there is none.
        sentence: The answer as a sentence with its numbers.
        confidence: How likely it is right, in [0, 1]: by the scores of the places, and by how far
            the numbers are from where the answer would change. A number is right if the truth lies
            within its error, as it does in 19 of 20 cases.
        quantities: The numbers, each with ``name``, ``value``, ``error``, ``unit`` and ``text``.
        places: In the order of the question, those that were found.
        missing: What the question names and was not found.
        lines: Pairs of points between which was measured, in scene pixels.
        scene: Where they lie.
        is_on_ground: Whether the numbers are of the ground, and north is its north.
        warnings: What a careful reader should know.
        model: Name of the host that found the places.
        cost: What that took; None before it is known.
        leaning: What the numbers lean to where the text is that they are about the same, or too
            close to call; else None.
    """

    question: str
    kind: str
    text: str
    sentence: str
    confidence: float
    quantities: tuple[Quantity, ...]
    places: tuple[LocatedPlace, ...]
    missing: tuple[str, ...]
    lines: tuple[tuple[Point, Point], ...]
    scene: Scene
    is_on_ground: bool
    warnings: tuple[str, ...] = ()
    model: str = ""
    cost: Cost | None = None
    leaning: Leaning | None = None

    def __repr__(self) -> str:
        return f"Measurement({self.sentence!r}, {self.confidence:.0%} sure)"

    @property
    def names(self) -> tuple[str, ...]:
        """What the question calls its places, found or not."""
        return (*(place.label for place in self.places), *self.missing)

    @property
    def ambiguous(self) -> tuple[str, ...]:
        """The names that may mean several places."""
        return tuple(place.label for place in self.places if place.rivals)

    def to_json(self) -> dict[str, Any]:
        """A plain object, with the places and lines as GeoJSON."""
        return {
            "question": self.question,
            "kind": self.kind,
            "answer": self.text or None,
            "leans_to": None if self.leaning is None else self.leaning.text,
            "sentence": self.sentence,
            "confidence": self.confidence,
            "quantities": [quantity.to_json() for quantity in self.quantities],
            "places": [place.to_json() for place in self.places],
            "not_found": list(self.missing),
            "ambiguous": list(self.ambiguous),
            "is_on_ground": self.is_on_ground,
            "geojson": self.geojson(),
            "model": self.model,
            "cost": None if self.cost is None else self.cost.to_json(),
            "warnings": list(self.warnings),
        }

    def geojson(self) -> dict[str, Any]:
        """A FeatureCollection of a polygon for each place and a line for each distance.

        With a georeference it follows RFC 7946, and lines are geodesics. Without one, coordinates
        are those in which a GIS shows the picture; see ``EvidenceList.geojson``.
        """
        features = [_feature(_shape(self.scene, p.region), _facts_of(p)) for p in self.places]
        facts = {q.name: q.value for q in self.quantities} | {"sentence": self.sentence}
        features += [
            _feature(_line(self.scene, *line), {"kind": self.kind} | facts) for line in self.lines
        ]
        collection: dict[str, Any] = {"type": "FeatureCollection"}
        if not is_on_ground(self.scene):
            collection["crs"] = {"type": "name", "properties": {"name": PLANE}}
        plain: dict[str, Any] = json.loads(json.dumps(collection | {"features": features}))
        return plain

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write ``geojson()`` as ``.geojson``, or ``to_json()`` as ``.json``.

        Raises:
            OutputError: If the suffix is another, or the file cannot be written.
        """
        suffix = Path(path).suffix.lower()
        if suffix not in FORMATS:
            raise OutputError(
                f"{os.fspath(path)} has the suffix {suffix!r}, and a measurement is saved as one "
                f"of: {', '.join(FORMATS)}"
            )
        content = self.geojson() if suffix == ".geojson" else self.to_json()
        write_text(path, json.dumps(content, indent=1))


def _digits(number: float) -> int:
    """Decimals that show two digits of a number; negative to the left of the point."""
    return 1 - math.floor(math.log10(abs(number))) if number else 0


def _facts_of(place: LocatedPlace) -> dict[str, Any]:
    facts = place.to_json()
    return {name: facts[name] for name in ("label", "level", "score", "token_side_px", "box_scene")}


def _feature(geometry: Mapping[str, Any] | None, facts: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "Feature", "geometry": geometry, "properties": dict(facts)}


def _shape(scene: Scene, region: shapely.Geometry) -> Mapping[str, Any] | None:
    if is_on_ground(scene):
        return polygon_lonlat(scene, region)
    shape: Mapping[str, Any] = mapping(_in_gis(scene, region))
    return shape


def _line(scene: Scene, start: Point, end: Point) -> Mapping[str, Any] | None:
    if not is_on_ground(scene):
        line: Mapping[str, Any] = mapping(_in_gis(scene, shapely.LineString([start, end])))
        return line
    pieces = geodesic_pieces(scene, start, end)
    if pieces is None:
        return None
    if len(pieces) == 1:
        return {"type": "LineString", "coordinates": pieces[0]}
    return {"type": "MultiLineString", "coordinates": pieces}


def _in_gis(scene: Scene, shape: shapely.Geometry) -> shapely.Geometry:
    """A shape of a scene without CRS where a GIS shows it: by its affine, else with y up."""

    def move(points: Any) -> Any:
        placed = scene.georeference.crs_from_scene(points) if scene.georef == "affine" else None
        return points * (1, -1) if placed is None else placed

    return shapely.transform(shape, move)
