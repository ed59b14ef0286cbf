"""Places: where something is in a scene, how sure the model is, and how much was looked at."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Literal, overload

import shapely

from geofovea.errors import GeometryError
from geofovea.pipeline.answers.cost import Cost
from geofovea.pipeline.places.coverage import Coverage
from geofovea.pipeline.places.files import (
    area_row,
    place_frame,
    place_rows,
    places_geojson,
    save_places,
)
from geofovea.tiling.geo.region import Region
from geofovea.tiling.pyramid import Box, Tile
from geofovea.tiling.scene import Scene

if TYPE_CHECKING:
    import geopandas

__all__ = ["NamedArea", "Outline", "Place", "Places"]

Outline = Literal["box", "tokens", "tile"]
_OUTLINES: tuple[Outline, ...] = ("box", "tokens", "tile")


@dataclass(frozen=True, slots=True)
class Place:
    """One place where something is.

    Attributes:
        box_scene: Left, top, right and bottom in scene pixels, x right and y down.
        score: Probability that it is there, as the model believes, in [0, 1]; not calibrated.
        level: The level that it was seen on; 0 is native.
        label: What was looked for.
        evidence: The tiles in which it was seen; several where it crosses a seam.
        outline: How well the box is known: ``box`` if the model wrote it, ``tokens`` if it is
            made of the vision tokens that the model attended to, ``tile`` if it is the whole tile.
        error_px: How far an edge may be off, in scene pixels: the longer side of a token, or of a
            tile.

    Raises:
        GeometryError: If the score is not a probability, or no tile shows it.
    """

    box_scene: Box
    score: float
    level: int
    label: str
    evidence: tuple[Tile, ...]
    outline: Outline = "tokens"
    error_px: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.score <= 1 or not self.evidence or self.outline not in _OUTLINES:
            raise GeometryError(
                "a place needs a score in [0, 1], a tile that shows it, and an outline of "
                f"{', '.join(_OUTLINES)}; got {self}"
            )

    @property
    def center(self) -> tuple[float, float]:
        """The middle of its box as ``(x_scene, y_scene)``."""
        return self.box_scene.center


@dataclass(frozen=True, slots=True)
class NamedArea:
    """The area that a phrase names, as it was read and laid out.

    Attributes:
        thing: What was looked for in it.
        where: As a sentence continues, such as ``in the northern half of the scene``.
        rule: How it was laid out, where its name does not say so; else empty.
        region: In which the center of every place lies, in scene pixels.
    """

    thing: str
    where: str
    rule: str
    region: Region


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
        return places_geojson(self)

    def to_geodataframe(self) -> geopandas.GeoDataFrame:
        """One row a place, in the scene's CRS; in pixel space (crs None) without georeference.

        Raises:
            MissingExtraError: If geopandas is not installed.
        """
        return place_frame(self)

    def shapes(self) -> list[shapely.Polygon]:
        """The boxes as polygons in scene pixels, in the order of the places."""
        return [shapely.box(*place.box_scene.as_tuple()) for place in self.items]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the places as what the suffix says: .geojson, .gpkg, .parquet, .json or .csv.

        Raises:
            OutputError: If no format has this suffix, or the file cannot be written.
            MissingExtraError: If a package is missing for the format.
        """
        save_places(self, path)

    def to_dict(self) -> dict[str, Any]:
        """A plain object, ready for ``json.dumps``; it is what ``geofovea find --json`` prints."""
        return {
            "phrase": self.phrase,
            "model": self.model,
            "scene": self.scene.path,
            "area": area_row(self),
            "count": len(self),
            "places": place_rows(self),
            "coverage": self.coverage.to_dict(),
            "cost": self.cost.to_json(),
            "warnings": list(self.warnings),
        }
