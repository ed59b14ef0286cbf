"""Tokens of the same tiles at every date of a stack, place by place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from geofovea.pipeline.engine.accounting import QuestionUsage, StageClock
from geofovea.pipeline.engine.tile_tokens import TileTokens
from geofovea.pipeline.engine.token_store import TokenEntry
from geofovea.pipeline.engine.watching import current_watcher
from geofovea.pipeline.hosts.base import Host
from geofovea.regionfocus.tokens import TokenSet, cells_in_tiles, token_cells
from geofovea.tiling.pyramid import Pyramid, Tile

__all__ = ["StackTokens"]


class StackTokens:
    """What one question has seen of each date; tiles are read and encoded for all dates together.

    Attributes:
        usages: What was spent on each date.
    """

    def __init__(
        self,
        host: Host,
        sources: Sequence[TileTokens],
        reference: int,
        pyramid: Pyramid,
        clock: StageClock,
    ) -> None:
        """Begin with nothing seen.

        Args:
            host: The model.
            sources: Tokens of each date, all on the grid of the reference.
            reference: Number of the date whose tokens stand for a place.
            pyramid: Of the reference.
            clock: Counts the time.
        """
        self.usages = tuple(QuestionUsage(clock=clock) for _ in sources)
        self._grid = host.grid
        self._sources = tuple(sources)
        self._reference = reference
        self._pyramid = pyramid
        self._entries: list[dict[Tile, TokenEntry]] = [{} for _ in sources]

    def encode(self, tiles: Sequence[Tile]) -> TokenSet:
        """Tokens of some tiles at the reference date; those of the others are remembered.

        Raises:
            SceneError: If the reference shows nothing, or a scene is damaged.
        """
        watcher = current_watcher()
        watcher.check()
        watcher.looking({tile: self._pyramid.box_scene(tile) for tile in tiles})
        for source, usage, entries in zip(self._sources, self.usages, self._entries, strict=True):
            entries |= source.of_each([(tiles, usage)], usage.clock)[0]
        reference = self._reference
        tokens = self._sources[reference].tokens_of(tiles, self._entries[reference])
        watcher.seen(len(tiles), len(tokens))
        return tokens

    def forget(self) -> None:
        """Drop what was remembered of tiles; what was spent stays."""
        for entries, usage in zip(self._entries, self.usages, strict=True):
            entries.clear()
            usage.entries.clear()

    def tiles_encoded(self, tiles: Sequence[Tile]) -> int:
        """Of how many of these tiles there are tokens, each date counted for itself."""
        return sum(tile in entries for entries in self._entries for tile in tiles)

    def tokens_shown(self, tokens: TokenSet) -> int:
        """How many tokens all dates together have at the places of some tokens."""
        return sum(int(self.at(date, tokens)[1].sum()) for date in range(len(self._sources)))

    def at(self, date: int, tokens: TokenSet) -> tuple[Tensor, Tensor]:
        """Features at one date of the places of some tokens.

        Args:
            date: Number of the date.
            tokens: n tokens of tiles that were encoded.

        Returns:
            ``(n, d)``, zero where the date shows nothing; and bool ``(n,)``, where it shows data.
        """
        if date == self._reference:
            return tokens.features, torch.ones(len(tokens), dtype=torch.bool)
        entries = self._entries[date]
        cells = cells_in_tiles(tokens, self._grid, self._pyramid)
        features = torch.zeros_like(tokens.features)
        shows = torch.zeros(len(tokens), dtype=torch.bool)
        for number, tile in enumerate(tokens.tiles):
            entry = entries.get(tile)
            if entry is None:
                continue
            rows = (tokens.tile_index == number).nonzero()[:, 0]
            shows[rows] = entry.valid[cells[rows]]
            own = entry.features.to(features.device)[cells[rows].to(features.device)]
            features[rows.to(features.device)] = own.to(features.dtype)
        return features, shows

    def cells(self, tokens: TokenSet) -> Tensor:
        """Row and column of each of n tokens in the grid of its tile, int64 ``(n, 2)``."""
        return token_cells(tokens, self._grid, self._pyramid.tile_size)

    def set_at(self, date: int, tokens: TokenSet) -> TokenSet:
        """The tokens of one date at the places of some tokens; fewer where it shows no data."""
        features, shows = self.at(date, tokens)
        return replace(tokens, features=features).select(shows)
