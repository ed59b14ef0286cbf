"""A prompt ready for a decoder: words and vision tokens, embedded, each at its position."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from geofovea.pipeline.inference.prompts.markers import MarkerIds
from geofovea.pipeline.inference.prompts.position_ids import PositionWriter, TileSpans
from geofovea.pipeline.inference.prompts.sight import Sight
from geofovea.pipeline.inference.prompts.template import PromptIds
from geofovea.regionfocus.tokens import TokenSet, token_cells

__all__ = ["PromptLayout", "PromptSequence"]


@dataclass(frozen=True, slots=True, eq=False)
class PromptSequence:
    """One prompt.

    Attributes:
        embedded: ``(1, s, d)``.
        positions: int64 ``(1, s)``, or ``(3, 1, s)`` for M-RoPE.
        visual: int64 ``(n,)``, ascending: where the vision tokens are; on the host, so that
            nobody waits for a device to learn it.
        deep: ``(layers, n, d)``, what decoder layers add to the vision tokens, or None.
        next_position: Of the first word of the answer.
        blocks: int64 ``(s,)``, which tokens see each other both ways, see `Sight`; None where none
            do.
        words: Ids of its words in their order, vision tokens and what stands between them left out.
    """

    embedded: Tensor
    positions: Tensor
    visual: Tensor
    deep: Tensor | None
    next_position: int
    blocks: Tensor | None = None
    words: tuple[int, ...] = ()

    def __len__(self) -> int:
        return self.embedded.shape[1]

    def until(self, place: int) -> PromptSequence:
        """What stands before a place; without vision tokens that are looked for."""
        return self._part(slice(None, place))

    def behind(self, place: int) -> PromptSequence:
        """The rest; without vision tokens that are looked for."""
        return self._part(slice(place, None))

    def _part(self, part: slice) -> PromptSequence:
        nothing = self.visual[:0]
        positions = self.positions[..., part]
        return PromptSequence(self.embedded[:, part], positions, nothing, None, self.next_position)


@dataclass(frozen=True, slots=True, eq=False)
class PromptLayout:
    """How a model's prompts are put together.

    Attributes:
        policy: Position policy.
        axes: Rows of position ids.
        grid: ``(rows, columns)`` of tokens in a tile.
        tile_size: Side of a tile in pixels.
        width: Width ``d`` of the decoder.
        marks: Words around the vision tokens.
        newline: A vector ``(d,)`` behind each tile, or None.
        embed: Ids to vectors ``(count, d)`` of the decoder's device and type.
        sight: Which tokens see tokens behind them.
    """

    policy: str
    axes: int
    grid: tuple[int, int]
    tile_size: int
    width: int
    marks: MarkerIds
    newline: Tensor | None
    embed: Callable[[list[int]], Tensor]
    sight: Sight = Sight.CAUSAL

    def around_tile(self) -> int:
        """Places in the sequence that a tile takes at most besides those of its tokens."""
        marks = self.marks
        words = len(marks.open) + len(marks.close) + len(marks.between)
        return words + int(self.newline is not None) + len(marks.row) * (self.grid[0] - 1)

    def around_image(self) -> int:
        """Places that all tiles together take besides their own."""
        return len(self.marks.before) + len(self.marks.after)

    def places(self, counts: Tensor) -> int:
        """Places in the sequence of tiles with ``counts`` tokens each, (k,)."""
        return int(counts.sum()) + len(counts) * self.around_tile() + self.around_image()

    def reach(self, counts: Tensor) -> int:
        """Places or positions, whichever are more, of tiles with ``counts`` tokens each, (k,)."""
        rows, cols = self.grid
        whole = rows * cols if self.axes == 1 else max(rows, cols)
        gaps = len(counts) * whole - int(counts.sum()) if self.policy == "original" else 0
        return self.places(counts) + max(0, gaps)

    def sequence(self, ids: PromptIds, tokens: TokenSet | None) -> PromptSequence:
        """Embed a prompt; without tokens it has no image at all."""
        marks = self.marks
        words = [ids.before, marks.before, marks.open, marks.close, marks.between, marks.row]
        words += [marks.after, ids.after]
        # looked up at once: on a GPU each look-up is a copy and a launch
        embedded = self.embed([i for each in words for i in each])
        first, before, opening, closing, between, row, after, last = torch.split(
            embedded, [len(w) for w in words]
        )
        writer = PositionWriter(self.policy, self.axes, self.grid)
        writer.words(len(first))
        visual, deep, visual_part = torch.zeros(0, dtype=torch.int64), None, first[:0]
        tile_numbers, said = visual, [*ids.before, *ids.after]
        if tokens is not None and len(tokens):
            around = [*marks.before, *marks.open, *marks.close, *marks.after]
            said = [*ids.before, *around, *ids.after]
            features = tokens.features.to(first.device, first.dtype)
            if self.newline is not None:
                closing = torch.cat([closing, self.newline.to(closing)[None]])
            closing = torch.cat([closing, between])
            runs = self._spans(tokens, len(opening), len(closing))
            own = _interleaved(features[:, : self.width], opening, closing, row, runs)
            # what stands between tiles does not stand behind the last one
            visual_part = torch.cat([before, own[: len(own) - len(between)], after])
            visual, tile_numbers = runs.tokens + len(first) + len(before), runs.tile
            self._place(tokens, runs, writer)
            if features.shape[1] > self.width:
                deep = torch.stack(torch.split(features[:, self.width :], self.width, dim=1))
        writer.words(len(last))
        whole = torch.cat([first, visual_part, last])[None]
        positions = writer.written().to(whole.device)
        blocks = self.sight.blocks(whole.shape[1], visual, tile_numbers)
        return PromptSequence(whole, positions, visual, deep, writer.next, blocks, tuple(said))

    def _spans(self, tokens: TokenSet, opening: int, closing: int) -> TileSpans:
        """Where vision tokens stand among the words around their tiles and between their rows."""
        _, counts = torch.unique_consecutive(tokens.tile_index, return_counts=True)
        cells = token_cells(tokens, self.grid, self.tile_size) if self.marks.row else None
        return TileSpans.of(counts, opening, closing, None if cells is None else cells[:, 0])

    def _place(self, tokens: TokenSet, runs: TileSpans, writer: PositionWriter) -> None:
        """Write the positions of the vision tokens and of what stands around them."""
        writer.words(len(self.marks.before))
        if self.policy == "scene":
            writer.scene(tokens, self.tile_size)
        else:
            writer.tiles(token_cells(tokens, self.grid, self.tile_size), runs)
        writer.take_back(len(self.marks.between))
        writer.words(len(self.marks.after))


def _interleaved(
    features: Tensor, opening: Tensor, closing: Tensor, row: Tensor, runs: TileSpans
) -> Tensor:
    """Vision tokens ``(n, d)`` with words before and behind each tile, and between its rows."""
    if len(runs) == len(features):
        return features
    rows = features.new_empty(len(runs), features.shape[1])
    tiles, device = len(runs.opening), features.device
    rows[runs.tokens.to(device)] = features
    rows[runs.opening.flatten().to(device)] = opening.repeat(tiles, 1)
    rows[runs.closing.flatten().to(device)] = closing.repeat(tiles, 1)
    if len(row):
        rows[runs.row_ends.to(device)] = row.expand(len(runs.row_ends), -1)
    return rows
