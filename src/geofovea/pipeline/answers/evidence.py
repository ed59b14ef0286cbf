"""Where an answer was read from, and where the model looked: on the scene and on the map."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import torch
from numpy.typing import NDArray

from geofovea.errors import MissingExtraError
from geofovea.pipeline.answers.afterwork import Afterwork
from geofovea.pipeline.system.files import write_file, write_text
from geofovea.regionfocus.search.looks import Descent, LevelLook
from geofovea.regionfocus.tokens import TokenSet
from geofovea.tiling.geo.coordinates import area_m2, geometry_crs, lonlat_from_scene, polygon_scene
from geofovea.tiling.pyramid import Box, Pyramid, Tile
from geofovea.tiling.scene import Scene

if TYPE_CHECKING:
    import geopandas

__all__ = ["Evidence", "EvidenceList", "Look", "evidence_of", "record_of"]


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
                "geometry": after.attempt(
                    "the geometry of evidence",
                    partial(lonlat_from_scene, self._scene, item.box_scene),
                    None,
                ),
            }
            for item in self._items
        ]

    def to_geojson(self, path: str | os.PathLike[str]) -> None:
        """Write what `geojson` makes into a file.

        Raises:
            OutputError: If the file cannot be written.
        """
        write_text(path, json.dumps(self.geojson(), indent=1))

    def geojson(self) -> dict[str, Any]:
        """A FeatureCollection (RFC 7946) that a GIS opens at the right place.

        Without georeference the features keep their pixel boxes and have no geometry. What could
        not be made of a feature is null, and the member ``warnings`` says why.
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
        return collection

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
            after.attempt(
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
        frame = after.attempt(
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
        return after.attempt("an area", partial(area_m2, self._scene, item.box_scene), None)

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
        addresses: The tiles, in the order of their boxes.
    """

    level: int
    tiles: tuple[Box, ...]
    token_boxes: NDArray[np.float64]
    token_scores: NDArray[np.float32]
    addresses: tuple[Tile, ...] = ()


def evidence_of(descent: Descent, tokens: TokenSet, pyramid: Pyramid) -> list[Evidence]:
    """The tiles whose tokens were kept, from native to coarse, the best of a level first.

    Args:
        descent: Where was looked.
        tokens: The tokens that reached the decoder.
        pyramid: Of the scene.
    """
    counts = torch.bincount(tokens.tile_index, minlength=len(tokens.tiles)).tolist()
    token_counts = dict(zip(tokens.tiles, counts, strict=True))
    items = []
    for look in descent.looks:
        scores = look.tile_scores
        total = sum(scores) or 1.0
        for tile, score in zip(look.tiles, scores, strict=True):
            if tile in token_counts:
                box = pyramid.box_scene(tile)
                items.append(Evidence(tile, box, score / total, token_counts[tile]))
    return sorted(items, key=lambda item: (item.tile.level, -item.score, item.tile))


def record_of(look: LevelLook, pyramid: Pyramid) -> Look:
    """A look without the features of its tokens, as an answer keeps it."""
    return Look(
        level=look.level,
        tiles=tuple(pyramid.box_scene(tile) for tile in look.tiles),
        token_boxes=look.tokens.boxes_scene.numpy(),
        token_scores=look.scores.numpy(),
        addresses=tuple(look.tiles),
    )
