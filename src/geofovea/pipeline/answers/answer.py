"""What comes back from a question: text, confidence, evidence on the map, cost, warnings."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from geofovea.errors import MissingExtraError
from geofovea.pipeline.answers.afterwork import Afterwork
from geofovea.pipeline.hosts.flops import FlopCount
from geofovea.pipeline.hosts.usage import EndpointUse
from geofovea.pipeline.system.files import write_file, write_text
from geofovea.regionfocus.budget import Budget
from geofovea.regionfocus.search.router import Route
from geofovea.tiling.geo.coordinates import area_m2, geometry_crs, lonlat_from_scene, polygon_scene
from geofovea.tiling.pixels.radiometry import Radiometry
from geofovea.tiling.pyramid import Box, Tile
from geofovea.tiling.scene import Scene

if TYPE_CHECKING:
    import geopandas
    import xarray

    from geofovea.pipeline.inference.decoder.choice_scoring import Choice

__all__ = [
    "Answer",
    "Cost",
    "Evidence",
    "EvidenceList",
    "Look",
    "StageTokens",
    "confidence_of",
]


@dataclass(frozen=True, slots=True)
class Evidence:
    """One region that the answer was read from.

    Attributes:
        tile: Its address in the pyramid.
        box_scene: What it shows, in scene pixels.
        score: The share of its level's attention that fell on it, in [0, 1].
        tokens: How many of its vision tokens reached the decoder.
    """

    tile: Tile
    box_scene: Box
    score: float
    tokens: int


class EvidenceList(Sequence[Evidence]):
    """The evidence of one answer, finest level first, then by falling score."""

    def __init__(self, items: Sequence[Evidence], scene: Scene) -> None:
        """Keep the items in the order given."""
        self._items = tuple(items)
        self._scene = scene

    @overload
    def __getitem__(self, index: int) -> Evidence: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Evidence, ...]: ...

    def __getitem__(self, index: int | slice) -> Evidence | tuple[Evidence, ...]:
        return self._items[index]

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[Evidence]:
        return iter(self._items)

    def to_json(self, after: Afterwork | None = None) -> list[dict[str, Any]]:
        """Rows of the command line's contract; the geometry is lon/lat, or null.

        Args:
            after: Takes a warning where a geometry could not be made.
        """
        after = after or Afterwork()
        return [
            {
                "level": item.tile.level,
                "row": item.tile.row,
                "col": item.tile.col,
                "box_scene": list(item.box_scene.as_tuple()),
                "score": item.score,
                "geometry": after.done(
                    "the geometry of evidence",
                    partial(lonlat_from_scene, self._scene, item.box_scene),
                    None,
                ),
            }
            for item in self._items
        ]

    def to_geojson(self, path: str | os.PathLike[str]) -> None:
        """Write a FeatureCollection (RFC 7946) that a GIS opens at the right place.

        Without georeference the features keep their pixel boxes and have no geometry. What could
        not be made of a feature is null, and the member ``warnings`` says why.

        Raises:
            OutputError: If the file cannot be written.
        """
        after = Afterwork()
        features = [
            {
                "type": "Feature",
                "geometry": row.pop("geometry"),
                "properties": row | {"tokens": item.tokens, "area_m2": self._area(item, after)},
            }
            for row, item in zip(self.to_json(after), self._items, strict=True)
        ]
        collection: dict[str, Any] = {"type": "FeatureCollection", "features": features}
        if after.warnings:
            collection["warnings"] = list(after.warnings)
        write_text(path, json.dumps(collection, indent=1))

    def to_geodataframe(self) -> geopandas.GeoDataFrame:
        """A GeoDataFrame in the scene's CRS; in pixel space (crs None) without georeference.

        ``area_m2`` is the area on the ground, whatever the CRS does to areas. What could not be
        made of a row is missing, and ``attrs["warnings"]`` says why.

        Raises:
            MissingExtraError: If geopandas is not installed.
        """
        try:
            import geopandas
        except ImportError as error:
            raise MissingExtraError("geopandas", "geo", "to_geodataframe()") from error
        after = Afterwork()
        located = [
            after.done(
                "the geometry of evidence", partial(geometry_crs, self._scene, item.box_scene), None
            )
            for item in self._items
        ]
        on_map = any(shape is not None for shape in located) and self._scene.crs_wkt is not None
        columns = {
            "level": [item.tile.level for item in self._items],
            "row": [item.tile.row for item in self._items],
            "col": [item.tile.col for item in self._items],
            "score": [item.score for item in self._items],
            "tokens": [item.tokens for item in self._items],
            "area_m2": [self._area(item, after) for item in self._items],
        }
        in_pixels = [polygon_scene(item.box_scene) for item in self._items]
        crs = self._scene.crs_wkt if on_map else None
        frame = after.done(
            "the map in the CRS of the scene",
            lambda: geopandas.GeoDataFrame(
                columns, geometry=located if on_map else in_pixels, crs=crs
            ),
            None,
        )
        if frame is None:
            # pyproj may know less than GDAL does
            frame = geopandas.GeoDataFrame(columns, geometry=in_pixels, crs=None)
        if after.warnings:
            frame.attrs["warnings"] = list(after.warnings)
        return frame

    def _area(self, item: Evidence, after: Afterwork) -> float | None:
        return after.done("an area", partial(area_m2, self._scene, item.box_scene), None)

    def to_geoparquet(self, path: str | os.PathLike[str]) -> None:
        """Write the GeoDataFrame as GeoParquet, which keeps its CRS.

        Raises:
            MissingExtraError: If geopandas or pyarrow is not installed.
            OutputError: If the file cannot be written.
        """
        frame = self.to_geodataframe()
        try:
            import pyarrow.parquet  # noqa: F401 geopandas would name no extra
        except ImportError as error:
            raise MissingExtraError("pyarrow", "geo", "to_geoparquet()") from error
        write_file(path, frame.to_parquet)


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """What was looked at on one level, for pictures and maps.

    Attributes:
        level: The level.
        tiles: Boxes of the tiles in scene pixels.
        token_boxes: Boxes of their tokens, float64 (n, 4) as x0, y0, x1, y1 in scene pixels.
        token_scores: Their scores, float32 (n,); comparable within the level only.
    """

    level: int
    tiles: tuple[Box, ...]
    token_boxes: NDArray[np.float64]
    token_scores: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class StageTokens:
    """Tokens before and after one reduction.

    Attributes:
        name: The reduction.
        stage: Where it acts; inside the encoder, tokens are the patches of all tiles looked at.
        tokens_in: Before it.
        tokens_out: After it.
    """

    name: str
    stage: str
    tokens_in: int
    tokens_out: int


@dataclass(frozen=True, slots=True)
class Cost:
    """What an answer really spent.

    Attributes:
        tiles_read: Tiles read from the scene for this question.
        tiles_encoded: Tiles whose tokens the question looked at; never above the budget.
        tiles_by_level: Those, by level.
        tokens_total: Vision tokens looked at.
        tokens_llm: Vision tokens that reached the decoder; never above the budget.
        seconds: Wall time by stage (open, read, encode, focus, answer, total).
        peak_rss_mb: Peak resident memory of the process so far, in MB of 10⁶ bytes.
        budget: What was allowed.
        tokens_end: Vision tokens that the last layer of the decoder still saw.
        reductions: What each reduction left, in the order in which tokens passed them.
        endpoint: What was spent at the model's endpoint, if it is behind one.
        flops: Operations, counted in two ways, where the shape of the host is known.
    """

    tiles_read: int
    tiles_encoded: int
    tiles_by_level: Mapping[int, int]
    tokens_total: int
    tokens_llm: int
    seconds: Mapping[str, float]
    peak_rss_mb: float
    budget: Budget
    tokens_end: int | None = None
    reductions: tuple[StageTokens, ...] = ()
    endpoint: EndpointUse | None = None
    flops: FlopCount | None = None

    def to_json(self) -> dict[str, Any]:
        """The object of the command line's contract, and more where more is known."""
        known = {"endpoint": self.endpoint, "flops": self.flops}
        return {name: value.to_json() for name, value in known.items() if value is not None} | {
            "tiles_read": self.tiles_read,
            "tiles_encoded": self.tiles_encoded,
            "tiles_by_level": {str(k): v for k, v in sorted(self.tiles_by_level.items())},
            "tokens_total": self.tokens_total,
            "tokens_llm": self.tokens_llm,
            "tokens_end": self.tokens_llm if self.tokens_end is None else self.tokens_end,
            "reductions": [asdict(stage) for stage in self.reductions],
            "seconds": {name: round(value, 4) for name, value in self.seconds.items()},
            "peak_rss_mb": round(self.peak_rss_mb, 1),
            "budget": self.budget.to_json(),
        }


@dataclass(frozen=True)
class Answer:
    """An answer with everything that one needs to judge it.

    Attributes:
        question: As it was asked.
        text: The answer.
        confidence: Probability of the generated words, or of the choice among all choices, in
            [0, 1]. It is the model's own belief, not calibrated; 0 where it is not known.
        model: Name of the host.
        scene: The scene that was asked about.
        levels: Levels of the pyramid that the model saw it through.
        evidence: Where the answer was read from.
        cost: What it spent.
        looks: Where the model looked, coarse to fine.
        warnings: What a careful reader should know; empty if nothing.
        stopped: Why the descent ended.
        route: Whether it looked closer at no place, one or several, and why; None for ways of
            looking that ignore the question.
        radiometry: Which bands it saw, and how their numbers became colours.
        choices: What it believes of each answer that it could choose from; empty without any.
        confidence_known: Whether the model said how sure it is; otherwise ``confidence`` is 0.
    """

    question: str
    text: str
    confidence: float
    model: str
    scene: Scene
    levels: int
    evidence: EvidenceList
    cost: Cost
    looks: tuple[Look, ...] = field(default=(), repr=False)
    warnings: tuple[str, ...] = ()
    stopped: str = ""
    route: Route | None = None
    radiometry: Radiometry | None = None
    choices: tuple[Choice, ...] = ()
    confidence_known: bool = True

    def to_json(self) -> dict[str, Any]:
        """The object of the command line's contract; what could not be made of it is null."""
        after, scene = Afterwork(), self.scene
        parts: dict[str, Callable[[], Any]] = {
            "scene": lambda: {
                "path": scene.path,
                "width": scene.width,
                "height": scene.height,
                "levels": self.levels,
                "crs": after.done("the name of the CRS", lambda: scene.crs_name, None),
                "gsd_m": after.done("the size of a pixel", lambda: scene.gsd_m, None),
            },
            "evidence": lambda: self.evidence.to_json(after),
            "cost": self.cost.to_json,
            "route": lambda: None if self.route is None else self.route.to_json(),
            "radiometry": lambda: None if self.radiometry is None else self.radiometry.to_json(),
            "choices": lambda: [choice.to_json() for choice in self.choices],
        }
        made = {name: after.done(name, make, None) for name, make in parts.items()}
        return {
            "question": self.question,
            "answer": self.text,
            "confidence": self.confidence,
            "confidence_known": self.confidence_known,
            "model": self.model,
            "scene": made["scene"],
            "evidence": made["evidence"],
            "cost": made["cost"],
            "warnings": [*self.warnings, *after.warnings],
            "stopped": self.stopped,
            "route": made["route"],
            "radiometry": made["radiometry"],
            "choices": made["choices"],
        }

    def to_xarray(self, level: int | None = None) -> xarray.DataArray:
        """Where the model looked, as a map; see ``heat_map``.

        Args:
            level: Whose pixels the map has; by default the finest of at most 2048 a side.

        Raises:
            GeometryError: If the level is negative or too fine to be held in memory.
        """
        # here, because most answers are asked for words alone and xarray takes long to import
        from geofovea.pipeline.answers.heat_map import heat_map

        return heat_map(self, level)

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from geofovea.pipeline.answers.html import answer_html

        return answer_html(self)


def confidence_of(log_probabilities: Sequence[float]) -> float:
    """Probability of a whole generated text; 0 for an empty one."""
    return math.exp(sum(log_probabilities)) if log_probabilities else 0.0
