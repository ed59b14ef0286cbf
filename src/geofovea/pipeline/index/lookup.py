"""Which tiles of an index are most like a vector, scene by scene."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from geofovea.pipeline.index.indexed_scene import IndexedScene
from geofovea.pipeline.index.part import Part
from geofovea.pipeline.index.store import IndexStore
from geofovea.tiling.pyramid import Box, Tile

__all__ = ["Hit", "Lookup", "SceneHits", "look_up"]

_CANDIDATES_PER_TILE = 8
_MOST_OVERLAP = 0.5


@dataclass(frozen=True, slots=True)
class Hit:
    """A tile that is like what was searched for.

    Attributes:
        tile: Its address.
        box_scene: What it shows, in scene pixels.
        cosine: With the vector that was searched for, in [-1, 1].
        lonlat: Longitude and latitude of its center in degrees, None without a georeference.
        shown: Share of the tile that shows data, in (0, 1].
    """

    tile: Tile
    box_scene: Box
    cosine: float
    lonlat: tuple[float, float] | None
    shown: float


@dataclass(frozen=True, slots=True)
class SceneHits:
    """The best tiles of one scene, best first; tiles that overlap another by half are left out.

    Attributes:
        scene: Which.
        hits: At least one.
    """

    scene: IndexedScene
    hits: tuple[Hit, ...]

    @property
    def cosine(self) -> float:
        """Of the best tile."""
        return self.hits[0].cosine


@dataclass(frozen=True, slots=True)
class Lookup:
    """What a lookup gave.

    Attributes:
        scenes: The best scenes, best first.
        tiles: Tiles that were compared.
        mean: Of their cosines.
        deviation: Standard deviation of these.
    """

    scenes: tuple[SceneHits, ...]
    tiles: int
    mean: float
    deviation: float


@dataclass(slots=True)
class _Moments:
    """Count, sum and sum of squares of cosines."""

    count: int = 0
    total: float = 0.0
    squares: float = 0.0

    def add(self, values: NDArray[np.float32]) -> None:
        wide = values.astype(np.float64)
        self.count += len(wide)
        self.total += float(wide.sum())
        self.squares += float(wide @ wide)

    @property
    def mean(self) -> float:
        return self.total / self.count if self.count else 0.0

    @property
    def deviation(self) -> float:
        variance = self.squares / self.count - self.mean**2 if self.count else 0.0
        return math.sqrt(max(0.0, variance))


@dataclass(slots=True)
class _Best:
    """The best tiles of a scene so far, as ``(cosine, part, place in it)``."""

    most: int
    entries: list[tuple[float, Part, int]] = field(default_factory=list)

    @property
    def cosine(self) -> float:
        """Of the best tile, where there is one."""
        return self.entries[0][0]

    def add(self, part: Part, cosines: NDArray[np.float32]) -> None:
        order = np.argsort(-cosines, kind="stable")[: self.most]
        fresh = [(float(cosines[i]), part, int(i)) for i in order if part.shown[i]]
        self.entries = sorted([*self.entries, *fresh], key=lambda e: -e[0])[: self.most]


def look_up(
    store: IndexStore,
    vector: NDArray[np.float32],
    scenes: Sequence[IndexedScene],
    *,
    most_scenes: int = 10,
    tiles_per_scene: int = 3,
    levels: Collection[int] | None = None,
) -> Lookup:
    """Compare a vector with every tile of some scenes.

    All vectors are read once, part by part, and compared exactly. That suits an index of up to
    about a million tiles; the time grows with their number, the memory does not.

    Args:
        store: The index.
        vector: A unit vector float32 ``(d,)``.
        scenes: Scenes of the index.
        most_scenes: How many scenes to give.
        tiles_per_scene: How many tiles of each.
        levels: The levels to compare; None for all.

    Raises:
        DataError: If a file of the index is damaged.
    """
    moments = _Moments()
    ranking: list[SceneHits] = []
    for scene in scenes:
        best = _Best(tiles_per_scene * _CANDIDATES_PER_TILE)
        for name in store.part_names(scene):
            if levels is not None and name.level not in levels:
                continue
            part = store.read(scene, name)
            cosines = part.vectors.cosines(vector)
            moments.add(cosines[part.shown > 0])
            best.add(part, np.where(part.shown > 0, cosines, -np.inf))
        if best.entries and (len(ranking) < most_scenes or best.cosine > ranking[-1].cosine):
            hits = _apart(_hits(scene, best), tiles_per_scene)
            ranking = sorted([*ranking, SceneHits(scene, hits)], key=lambda s: -s.cosine)
            ranking = ranking[:most_scenes]
    return Lookup(tuple(ranking), moments.count, moments.mean, moments.deviation)


def _hits(scene: IndexedScene, best: _Best) -> list[Hit]:
    pyramid, hits = scene.pyramid, []
    for cosine, part, place in best.entries:
        cols = pyramid.grid_shape(part.name.level)[1]
        row, col = divmod(part.name.start + place, cols)
        tile = Tile(part.name.level, row, col)
        lon, lat = map(float, part.lonlat[place])
        is_placed = math.isfinite(lon) and math.isfinite(lat)
        data_share = float(part.shown[place]) / 255
        lonlat = (lon, lat) if is_placed else None
        hits.append(Hit(tile, pyramid.box_scene(tile), cosine, lonlat, data_share))
    return hits


def _apart(hits: Sequence[Hit], most: int) -> tuple[Hit, ...]:
    """The best ones of which none lies half within another."""
    apart: list[Hit] = []
    for hit in hits:
        if len(apart) == most:
            break
        if not any(_overlap(hit.box_scene, other.box_scene) for other in apart):
            apart.append(hit)
    return tuple(apart)


def _overlap(box: Box, other: Box) -> bool:
    return max(box.share_inside(other), other.share_inside(box)) > _MOST_OVERLAP
