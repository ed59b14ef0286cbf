"""The evidence of one answer: a sequence that becomes rows, a map and files for a GIS."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, overload

from geofovea.pipeline.answers.afterwork import Afterwork
from geofovea.pipeline.answers.evidence import Evidence
from geofovea.pipeline.answers.evidence_files import (
    as_shown_by_a_gis,
    write_geojson,
    write_geopackage,
    write_geoparquet,
)
from geofovea.pipeline.answers.features import AnswerFacts, evidence_frame, feature_collection
from geofovea.tiling.geo.coordinates import lonlat_from_scene
from geofovea.tiling.scene import Scene

if TYPE_CHECKING:
    import geopandas

__all__ = ["EvidenceList"]


class EvidenceList(Sequence[Evidence]):
    """The evidence of one answer, finest level first, then by falling score.

    Each item has ``tile``, ``box_scene`` (in scene pixels), ``score`` (its share of the attention
    of its level), ``attention`` (that of a pixel, relative to the average of the scene) and
    ``tokens`` (how many the decoder saw).
    """

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
        """The items as plain values, as ``geofovea ask --json`` prints them.

        ``geometry`` is GeoJSON in longitude and latitude, None without a georeference.

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
                "attention": item.attention,
                "tokens": item.tokens,
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
