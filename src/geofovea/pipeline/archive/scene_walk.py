"""One scene read tile by tile, from coarse to fine, and its vectors written as they come."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from geofovea.pipeline.archive.allowance import Allowance
from geofovea.pipeline.focus.dual_encoder import DualEncoder
from geofovea.pipeline.index.indexed_scene import IndexedScene
from geofovea.pipeline.index.part import Part, PartName
from geofovea.pipeline.index.store import IndexStore
from geofovea.pipeline.index.vectors import stored_vectors
from geofovea.pipeline.system.cancellation import check_cancelled
from geofovea.tiling.pyramid import Tile
from geofovea.tiling.read_ahead import ReadAhead
from geofovea.tiling.reader import TilePixels, TileReader

__all__ = ["SceneWalk"]

_TILES_PER_PART, _TILES_AT_ONCE = 256, 32


@dataclass(frozen=True, slots=True)
class SceneWalk:
    """Fills an index with the tiles of a scene that it does not hold yet.

    Attributes:
        store: The index.
        scene: As the index knows it.
        reader: Of its pixels.
        encoder: What embeds them.
        allowance: What may be spent.
        advance: Told the share of the scene that is done, in [0, 1].
    """

    store: IndexStore
    scene: IndexedScene
    reader: TileReader
    encoder: DualEncoder
    allowance: Allowance
    advance: Callable[[float], None]

    def run(self) -> int:
        """Read until all tiles are there or the allowance is used up; returns how many it read.

        Raises:
            SceneError: If the scene is damaged, or changes meanwhile.
            OutputError: If the index cannot be written.
        """
        before = self.allowance.tiles
        # coarse levels are few tiles: with them the index covers the scene soon
        for level in sorted(self.scene.levels, reverse=True):
            self._level(level)
            if self.allowance.stopped:
                break
        return self.allowance.tiles - before

    def _level(self, level: int) -> None:
        start = self.store.tiles_done(self.scene, level)
        total = self.scene.tile_count(level)
        if start == total:
            return
        ahead = ReadAhead(self.reader)
        while start < total:
            check_cancelled()
            count = self.allowance.tiles_of(min(_TILES_PER_PART, total - start))
            if not count:
                return
            tiles = list(islice(self._tiles_from(level, start), count))
            pictures = ahead.read(tiles)
            part = self._part(PartName(level, start, count), tiles, pictures)
            self.allowance.bytes_written += self.store.write(self.scene, part)
            self.allowance.tiles += count
            start += count
            self.advance(self.store.share_done(self.scene))

    def _tiles_from(self, level: int, start: int) -> Iterator[Tile]:
        rows, cols = self.scene.pyramid.grid_shape(level)
        return (Tile(level, *divmod(place, cols)) for place in range(start, rows * cols))

    def _part(self, name: PartName, tiles: Sequence[Tile], pictures: Iterator[TilePixels]) -> Part:
        vectors = np.zeros((name.count, self.store.settings.dimension), np.float32)
        shares = np.zeros(name.count, np.uint8)
        batch: dict[int, NDArray[np.uint8]] = {}
        for place, picture in enumerate(pictures):
            # rounded up: a tile with one pixel shows something
            shares[place] = math.ceil(picture.valid_fraction * 255)
            if shares[place]:
                batch[place] = picture.rgb
            if len(batch) == _TILES_AT_ONCE:
                self._embed(batch, vectors)
        self._embed(batch, vectors)
        stored = stored_vectors(vectors, self.store.settings.number_format)
        return Part(name, stored, shares, self._lonlat(tiles))

    def _embed(self, batch: dict[int, NDArray[np.uint8]], vectors: NDArray[np.float32]) -> None:
        """Put the vectors of some pictures into their places, and empty the batch."""
        if batch:
            vectors[list(batch)] = self.encoder.embed_pictures(list(batch.values())).numpy()
            batch.clear()
        check_cancelled()

    def _lonlat(self, tiles: Sequence[Tile]) -> NDArray[np.float64]:
        centers = np.array([self.scene.pyramid.box_scene(tile).center for tile in tiles])
        lonlat = self.reader.scene.georeference.lonlat_from_scene(centers)
        return np.full((len(tiles), 2), np.nan) if lonlat is None else lonlat.astype(np.float64)
