"""Where an answer was read from, and where the model looked: on the scene and on the map."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import torch
from numpy.typing import NDArray

from geofovea.pipeline.answers.afterwork import Afterwork
from geofovea.pipeline.answers.evidence_files import (
    as_shown_by_a_gis,
    write_geojson,
    write_geopackage,
    write_geoparquet,
)
from geofovea.pipeline.answers.features import AnswerFacts, evidence_frame, feature_collection
from geofovea.regionfocus.scoring import mass_collector
from geofovea.regionfocus.search.looks import Descent, LevelLook
from geofovea.regionfocus.tokens import TokenSet
from geofovea.tiling.geo.coordinates import lonlat_from_scene
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
        attention: How often the attention of an average pixel of the scene one of its pixels got;
            1 is the average. It can be compared between levels; None where it is not known.
    """

    tile: Tile
    box_scene: Box
    score: float
    tokens: int
    attention: float | None = None


class EvidenceList(Sequence[Evidence]):
    """The evidence of one answer, finest level first, then by falling score."""

    def __init__(
        self, items: Sequence[Evidence], scene: Scene, facts: AnswerFacts | None = None
    ) -> None:
        """Keep the items in the order given.

        Args:
            items: The tiles.
            scene: Where they lie.
            facts: The answer that files name; nothing of it if None.
        """
        self._items = tuple(items)
        self._scene = scene
        self._facts = facts

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

    def geojson(self) -> dict[str, Any]:
        """A GeoJSON FeatureCollection, coarse features first, so that fine ones lie on top.

        Each feature has the question, the answer, its confidence (null where it is not known), the
        model, and ``attention``, which can be compared between levels. The box of the whole scene
        is left out where anything finer reached the decoder: it would cover the rest.

        With a georeference it follows RFC 7946. Without one, coordinates are those in which a GIS
        shows the picture, x to the right and y up from its upper left corner, so that y is
        negative; the member ``crs`` says that these are no degrees. What could not be made of a
        feature is null, and the member ``warnings`` says why.
        """
        return feature_collection(self.tiles, self._scene, self._facts)

    def to_geojson(self, path: str | os.PathLike[str]) -> None:
        """Write ``geojson()``, and a QGIS style of the same name (``.qml``) where there is none.

        Raises:
            OutputError: If a file cannot be written.
        """
        write_geojson(path, self.geojson())

    def to_geodataframe(self) -> geopandas.GeoDataFrame:
        """A GeoDataFrame in the scene's CRS; in pixel space (crs None) without georeference.

        It has the rows of ``geojson()`` in the same order; without georeference y is down, as in
        all of GeoFovea. ``area_m2`` is the area on the ground, whatever the CRS does to areas. What
        could not be made of a row is missing, and ``attrs["warnings"]`` says why.

        Raises:
            MissingExtraError: If geopandas is not installed.
        """
        return evidence_frame(self.tiles, self._scene, self._facts)

    def to_geoparquet(self, path: str | os.PathLike[str]) -> None:
        """Write the GeoDataFrame as GeoParquet, which keeps its CRS.

        Raises:
            MissingExtraError: If geopandas or pyarrow is not installed.
            OutputError: If the file cannot be written.
        """
        write_geoparquet(path, self.to_geodataframe())

    def to_geopackage(self, path: str | os.PathLike[str]) -> None:
        """Write the rows as the layer ``evidence`` of a GeoPackage with its style for QGIS.

        It is in the scene's CRS. Without georeference it has none, and lies over the picture as
        ``geojson()`` does.

        Raises:
            MissingExtraError: If geopandas is not installed.
            OutputError: If the file cannot be written.
        """
        write_geopackage(path, as_shown_by_a_gis(self.to_geodataframe(), self._scene))

    @property
    def tiles(self) -> tuple[Evidence, ...]:
        """The evidence without the whole scene, unless that is all there is."""
        finer = tuple(item for item in self._items if item.box_scene != self._scene.box)
        return finer or self._items

    def about(self, facts: AnswerFacts) -> EvidenceList:
        """The same evidence, as that of an answer."""
        return EvidenceList(self._items, self._scene, facts)

    def __repr__(self) -> str:
        if not self._items:
            return "EvidenceList(empty)"
        best, levels = self._items[0], sorted({item.tile.level for item in self._items})
        tile, count = best.tile, len(self._items)
        return (
            f"EvidenceList({count} tile{'' if count == 1 else 's'} of "
            f"level{'' if len(levels) == 1 else 's'} {', '.join(map(str, levels))}; "
            f"finest and best: level {tile.level}, row {tile.row}, col {tile.col}, "
            f"{best.tokens} tokens)"
        )


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
    items, area = [], pyramid.width * pyramid.height
    for look, mass in zip(descent.looks, _masses(descent, pyramid), strict=True):
        scores = look.tile_scores
        total = sum(scores) or 1.0
        for tile, score in zip(look.tiles, scores, strict=True):
            if tile in token_counts:
                box, share = pyramid.box_scene(tile), score / total
                attention = share * mass * area / box.area
                items.append(Evidence(tile, box, share, token_counts[tile], attention))
    return sorted(items, key=lambda item: (item.tile.level, -item.score, item.tile))


def _masses(descent: Descent, pyramid: Pyramid) -> list[float]:
    """The share of all attention that led to each look; 1 where a look saw the whole scene.

    A look below the first that was scored saw some places alone. What it distributes among them is
    what the look before it saw there.
    """
    masses, tokens_mass = list[float](), None
    for number, look in enumerate(descent.looks):
        led = 1.0
        if number > 1 and tokens_mass is not None:
            before = descent.looks[number - 1].tokens
            led = float(mass_collector(before, look.tiles, pyramid)(tokens_mass).sum())
        total = float(look.scores.sum(dtype=torch.float64))
        if total > 0:
            tokens_mass = look.scores.to(torch.float64) * (led / total)
        else:
            tokens_mass = torch.full((len(look.tokens),), led / max(1, len(look.tokens)))
        masses.append(led)
    return masses


def record_of(look: LevelLook, pyramid: Pyramid) -> Look:
    """A look without the features of its tokens, as an answer keeps it."""
    return Look(
        level=look.level,
        tiles=tuple(pyramid.box_scene(tile) for tile in look.tiles),
        token_boxes=look.tokens.boxes_scene.numpy(),
        token_scores=look.scores.numpy(),
        addresses=tuple(look.tiles),
    )
