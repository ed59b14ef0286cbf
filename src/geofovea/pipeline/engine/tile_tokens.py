"""Vision tokens of the tiles of one scene: read and encoded when asked for, then remembered."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geofovea.errors import ModelError, NothingShownError
from geofovea.pipeline.engine.accounting import QuestionUsage, StageClock
from geofovea.pipeline.engine.token_store import TokenEntry, TokenStore
from geofovea.pipeline.hosts.base import Host, SupportsEncoderSignals, SupportsImages
from geofovea.pipeline.inference.vision.clip_signals import gray_entropy
from geofovea.pipeline.inference.vision.inputs import EncodePlan
from geofovea.pipeline.inference.vision.outputs import EncodedTiles
from geofovea.pipeline.system.cancellation import check_cancelled
from geofovea.regionfocus.reductions.context import TokenContext
from geofovea.regionfocus.reductions.tile_signals import TileSignals, question_context
from geofovea.regionfocus.tokens import TokenSet, cells_in_tiles, tokens_of_tiles
from geofovea.tiling.machine.forks import ForkSafeLock
from geofovea.tiling.machine.lru import LruCache
from geofovea.tiling.pyramid import Box, Pyramid, Tile
from geofovea.tiling.read_ahead import ReadAhead
from geofovea.tiling.reader import TilePixels, TileReader
from geofovea.tiling.tile_source import TileSource

__all__ = ["TileTokens"]

_CACHE_BYTES = 256 * 2**20
# encoded together, while the next ones are read
_TILES_AT_ONCE = 16


class TileTokens:
    """Tokens of one scene's tiles for one host.

    Threads may share it: one reads and encodes at a time, so that each tile is encoded once.

    Attributes:
        host: The model that encodes.
        store: Keeps them on disk; None where nothing is kept.
    """

    def __init__(self, host: Host, reader: TileSource, store: TokenStore | None = None) -> None:
        """Start with nothing known but what is in the store, if there is one."""
        self.host = host
        self.store = store
        self._reader = reader
        self._ahead = ReadAhead(reader)
        self._pyramid = reader.pyramid
        self._cache: LruCache[Hashable, TokenEntry] = LruCache(
            _CACHE_BYTES, lambda entry: entry.nbytes
        )
        self._empty: set[Tile] = set()
        self._no_features: Tensor | None = None
        self._lock = ForkSafeLock()

    def of(self, tiles: Sequence[Tile], usage: QuestionUsage) -> TokenSet:
        """Tokens of some tiles: read and encoded, or remembered from an earlier question.

        A tile that shows nothing is read, remembered as empty, and never encoded.

        Raises:
            NothingShownError: If no tile so far shows anything.
            ModelError: If the host cannot encode as planned.
        """
        (entries,) = self.of_each([(tiles, usage)], usage.clock)
        return self.tokens_of(tiles, entries)

    def of_each(
        self, requests: Sequence[tuple[Sequence[Tile], QuestionUsage]], clock: StageClock
    ) -> list[dict[Tile, TokenEntry]]:
        """What is known of the tiles that several questions want; each is encoded once.

        The question that wants a tile first has it counted as its own.

        Args:
            requests: Tiles of each question, and what it has spent.
            clock: Counts reading and encoding.

        Raises:
            SceneError: If the scene is damaged.
            ModelError: If the host cannot encode as planned.
        """
        with self._lock:
            return self._of_each(requests, clock)

    def _of_each(
        self, requests: Sequence[tuple[Sequence[Tile], QuestionUsage]], clock: StageClock
    ) -> list[dict[Tile, TokenEntry]]:
        entries_by_request: list[dict[Tile, TokenEntry]] = []
        missing: dict[EncodePlan, dict[Tile, QuestionUsage]] = {}
        for tiles, usage in requests:
            entries: dict[Tile, TokenEntry] = {}
            for tile in tiles:
                entry = self._cached_entry(tile, usage.encoding)
                if entry is not None:
                    entries |= entry
                else:
                    missing.setdefault(usage.encoding, {}).setdefault(tile, usage)
            entries_by_request.append(entries)
        fresh: dict[EncodePlan, dict[Tile, TokenEntry]] = {}
        for encoding, payers in missing.items():
            fresh[encoding] = self._encode(list(payers), clock, encoding)
            for tile, usage in payers.items():
                usage.tiles_read += 1
                usage.tiles_encoded += tile in fresh[encoding]
        for entries, (tiles, usage) in zip(entries_by_request, requests, strict=True):
            encoded = fresh.get(usage.encoding, {})
            entries |= {tile: encoded[tile] for tile in tiles if tile in encoded}
            usage.entries |= entries
        return entries_by_request

    def tokens_of(self, tiles: Sequence[Tile], entries: Mapping[Tile, TokenEntry]) -> TokenSet:
        """Tokens of tiles of which is known what there is to know.

        Raises:
            NothingShownError: If no tile so far shows anything.
        """
        no_features = self.check_something_shows()
        present = [entries[tile] for tile in tiles if tile in entries]
        return tokens_of_tiles(
            torch.stack([e.features for e in present]) if present else no_features,
            self.host.grid,
            [tile for tile in tiles if tile in entries],
            self._pyramid,
            torch.stack([e.valid for e in present]) if present else None,
        )

    def check_something_shows(self) -> Tensor:
        """Refuse a scene of which nothing has been seen so far; features of no token, ``(0, d)``.

        Raises:
            NothingShownError: If no tile so far shows anything.
        """
        if self._no_features is None:
            raise NothingShownError(
                f"{self._reader.scene.path} shows no valid pixel where it was looked at: "
                "check its nodata and mask with geofovea info, and where a region lies"
            )
        return self._no_features

    @property
    def holds_windows(self) -> bool:
        """Whether `around` can show one: it has three bands, and endpoints are sent tiles alone."""
        reader, pyramid = self._reader, self._pyramid
        is_whole = min(pyramid.width, pyramid.height) >= pyramid.tile_size
        has_more = isinstance(reader, TileReader) and bool(reader.radiometry.extra_bands)
        return is_whole and not has_more and not isinstance(self.host, SupportsImages)

    def around(self, point: tuple[float, float], usage: QuestionUsage) -> TokenSet:
        """Tokens of a native window of a tile's size around a point, read and encoded anew.

        What the grid cuts is whole there. At an edge of the scene the window is moved inside. It is
        not remembered: no other question wants it.

        Args:
            point: ``(x_scene, y_scene)``.
            usage: Counts it like a tile.

        Returns:
            The tokens, their boxes where they lie; they name the tile of the grid around the point.

        Raises:
            GeometryError: If the scene is smaller than a tile.
            SceneError: If the scene is damaged.
        """
        pyramid, side = self._pyramid, self._pyramid.tile_size
        x0, y0 = (
            round(min(max(0.0, at - side / 2), length - side))
            for at, length in zip(point, (pyramid.width, pyramid.height), strict=True)
        )
        window = Box(x0, y0, x0 + side, y0 + side)
        tile = Tile(0, int(point[1]) // side, int(point[0]) // side)
        with self._lock:
            with usage.clock.stage("read"):
                rgb, valid = self._reader.read_box(window, (side, side))
            shows = torch.from_numpy(_valid_tokens(valid, (side, side), self.host.grid))
            with usage.clock.stage("encode"):
                features = self._encode_tiles(rgb[None], [tile], EncodePlan()).features
        usage.tiles_read += 1
        usage.tiles_encoded += 1
        # the first tile of a grid is a whole one, whatever the grid ends with
        first = Pyramid(side, side, side)
        tokens = tokens_of_tiles(features, self.host.grid, [first.overview], first, shows[None])
        return replace(
            tokens, tiles=(tile,), boxes_scene=tokens.boxes_scene + torch.tensor([x0, y0, x0, y0])
        )

    def context(
        self, tokens: TokenSet, scores: Tensor, usage: QuestionUsage, text_embeds: Tensor | None
    ) -> TokenContext:
        """What a reduction may know of tokens that were gathered for a question."""
        if not usage.encoding.signals and text_embeds is None:
            return TokenContext.of(tokens, scores)
        signals = {tile: usage.entries[tile].signals for tile in tokens.tiles}
        cells = self.cells_of(tokens)
        return question_context(tokens, scores, signals, cells, text_embeds)

    def cells_of(self, tokens: TokenSet) -> Tensor:
        """Place of each token in its tile, row by row, int64 ``(n,)``."""
        return cells_in_tiles(tokens, self.host.grid, self._pyramid)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What went wrong with keeping tokens, if anything did."""
        warning = self.store and self.store.warning
        return (warning,) if warning else ()

    def _cached_entry(self, tile: Tile, plan: EncodePlan) -> dict[Tile, TokenEntry] | None:
        """A tile from memory or disk: nothing if it is empty, None if it has to be encoded."""
        entry = self._cache.get((plan.reduction, plan.share, tile))
        if entry is not None and plan.signals <= entry.signals.keys():
            return {tile: entry}
        if tile in self._empty:
            return {}
        return self._stored(tile) if plan.is_plain else None

    def _stored(self, tile: Tile) -> dict[Tile, TokenEntry] | None:
        """A tile from the disk, in memory from now on: nothing if it is empty, None if unknown."""
        entry = self.store and self.store.get(tile)
        if not entry:
            return None
        if not entry.valid.any():
            self._empty.add(tile)
            return {}
        self._no_features = entry.features[:0].clone()
        return {tile: self._cache.put((None, 1.0, tile), entry.on_its_own())}

    def _keep(self, tile: Tile, features: Tensor, valid: Tensor) -> None:
        if self.store is not None:
            self.store.put(tile, TokenEntry(features, valid))

    def _encode(
        self, missing: Sequence[Tile], clock: StageClock, plan: EncodePlan
    ) -> dict[Tile, TokenEntry]:
        """Encode some tiles at a time, while the next ones are read."""
        pictures = self._ahead.read(missing)
        entries: dict[Tile, TokenEntry] = {}
        while True:
            check_cancelled()
            with clock.stage("read"):
                some = list(islice(pictures, _TILES_AT_ONCE))
            if not some:
                return entries
            entries |= self._encode_some(some, clock, plan)

    def _encode_some(
        self, pictures: Sequence[TilePixels], clock: StageClock, plan: EncodePlan
    ) -> dict[Tile, TokenEntry]:
        shown = [(p, _valid_tokens(p.valid, p.valid_size, self.host.grid)) for p in pictures]
        for picture, valid in shown:
            if not valid.any():
                self._empty.add(picture.tile)
                self._keep(picture.tile, torch.zeros(0, 0), torch.from_numpy(valid))
        shown = [(picture, valid) for picture, valid in shown if valid.any()]
        if not shown:
            return {}
        with clock.stage("encode"):
            encoded = self._encode_shown(shown, plan)
        self._no_features = encoded.features[:0].clone()
        return {
            picture.tile: self._remember(picture, valid, encoded, place, plan)
            for place, (picture, valid) in enumerate(shown)
        }

    def _encode_shown(
        self, shown: Sequence[tuple[TilePixels, NDArray[np.bool_]]], plan: EncodePlan
    ) -> EncodedTiles:
        """Tiles with the tokens of each that show data; each keeps at least one of these."""
        pixels = np.stack([picture.all_bands for picture, _ in shown])
        tiles, valid = [picture.tile for picture, _ in shown], [each for _, each in shown]
        encoded = self._encode_tiles(pixels, tiles, plan)
        # a reduction inside the encoder does not know which patches are padding
        lost = encoded.lost(valid) if plan.reduction is not None else []
        if not lost:
            return encoded
        whole = self._encode_tiles(pixels[lost], [tiles[i] for i in lost], EncodePlan())
        return encoded.with_whole(lost, whole.features, valid)

    def _remember(
        self,
        picture: TilePixels,
        valid: NDArray[np.bool_],
        encoded: EncodedTiles,
        place: int,
        plan: EncodePlan,
    ) -> TokenEntry:
        """What is known of a tile from now on, from its place among those encoded with it."""
        signals: TileSignals = encoded.signals[place]
        if "entropy" in plan.signals:
            entropy = gray_entropy(picture.rgb, self.host.grid[0])
            signals = dict(signals) | {"entropy": entropy}
        key = (plan.reduction, plan.share, picture.tile)
        if (older := self._cache.get(key)) is not None:
            signals = {**older.signals, **signals}
        entry = TokenEntry(
            encoded.features[place],
            torch.from_numpy(valid & encoded.present[place]),
            signals,
            encoded.patches,
            encoded.patches_left[place],
        )
        if plan.reduction is None:
            self._keep(picture.tile, entry.features, entry.valid)
        return self._cache.put(key, entry.on_its_own())

    def _encode_tiles(
        self, pixels: NDArray[np.uint8], tiles: Sequence[Tile], plan: EncodePlan
    ) -> EncodedTiles:
        host, by_host = self.host, replace(plan, signals=plan.signals - {"entropy"})
        if by_host.is_plain:
            features = host.encode(pixels, tiles, self._pyramid)
            present = np.ones(features.shape[:2], np.bool_)
            return EncodedTiles(features, present, ({},) * len(tiles), 0, (0,) * len(tiles))
        if not isinstance(host, SupportsEncoderSignals):
            raise ModelError(
                f"{host.name} shows nothing of its encoder; choose a reduction that reads features "
                "and scores only, such as focus_spread or divprune"
            )
        return host.encode_planned(pixels, tiles, self._pyramid, by_host)


def _valid_tokens(
    valid: NDArray[np.bool_], valid_size: tuple[int, int], grid: tuple[int, int]
) -> NDArray[np.bool_]:
    """Which tokens of a tile show data on at least half of their part of the scene, row-major.

    Args:
        valid: (T, T), False on padding and missing pixels.
        valid_size: ``(width, height)`` of the part on the scene.
        grid: ``(rows, columns)`` of tokens.
    """
    width, height = valid_size
    on_scene = np.zeros_like(valid)
    on_scene[:height, :width] = True
    shape = (grid[0], len(valid) // grid[0], grid[1], len(valid) // grid[1])
    counts = valid.reshape(shape).sum((1, 3))
    possible = on_scene.reshape(shape).sum((1, 3))
    result: NDArray[np.bool_] = ((counts * 2 >= possible) & (counts > 0)).ravel()
    return result
