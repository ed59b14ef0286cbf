"""A prompt ready for a decoder: words and vision tokens, embedded, each at its position."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from geofovea.pipeline.positions import PositionWriter, token_cells
from geofovea.pipeline.prompt_words import MarkIds, PromptIds
from geofovea.regionfocus.tokens import TokenSet

__all__ = ["PromptLayout", "PromptSequence"]


@dataclass(frozen=True, slots=True, eq=False)
class PromptSequence:
    """One prompt.

    Attributes:
        embedded: ``(1, s, d)``.
        positions: int64 ``(1, s)``, or ``(3, 1, s)`` for M-RoPE.
        visual: int64 ``(n,)``, ascending: where the vision tokens are.
        deep: ``(layers, n, d)``, what decoder layers add to the vision tokens, or None.
        next_position: Of the first word of the answer.
    """

    embedded: Tensor
    positions: Tensor
    visual: Tensor
    deep: Tensor | None
    next_position: int

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
    """

    policy: str
    axes: int
    grid: tuple[int, int]
    tile_size: int
    width: int
    marks: MarkIds
    newline: Tensor | None
    embed: Callable[[list[int]], Tensor]

    def around_tile(self) -> int:
        """Places in the sequence that a tile takes besides those of its tokens."""
        return len(self.marks.open) + len(self.marks.close) + int(self.newline is not None)

    def around_image(self) -> int:
        """Places that all tiles together take besides their own."""
        return len(self.marks.before) + len(self.marks.after)

    def places(self, kept: Tensor) -> int:
        """Places in the sequence of tiles with ``kept`` tokens each, (k,)."""
        return int(kept.sum()) + len(kept) * self.around_tile() + self.around_image()

    def reach(self, kept: Tensor) -> int:
        """Places or positions, whichever are more, of tiles with ``kept`` tokens each, (k,)."""
        rows, cols = self.grid
        whole = rows * cols if self.axes == 1 else max(rows, cols)
        gaps = len(kept) * whole - int(kept.sum()) if self.policy == "original" else 0
        return self.places(kept) + max(0, gaps)

    def sequence(self, ids: PromptIds, tokens: TokenSet | None) -> PromptSequence:
        """Embed a prompt; without tokens it has no image at all."""
        parts = [self.embed(ids.before)]
        writer = PositionWriter(self.policy, self.axes, self.grid)
        writer.words(len(ids.before))
        visual, deep = torch.zeros(0, dtype=torch.int64), None
        if tokens is not None and len(tokens):
            features = tokens.features.to(parts[0].device, parts[0].dtype)
            visual = self._add_tiles(tokens, features[:, : self.width], parts, writer)
            if features.shape[1] > self.width:
                deep = torch.stack(torch.split(features[:, self.width :], self.width, dim=1))
        parts.append(self.embed(ids.after))
        writer.words(len(ids.after))
        embedded = torch.cat(parts)[None]
        device = embedded.device
        return PromptSequence(
            embedded, writer.written().to(device), visual.to(device), deep, writer.next
        )

    def _add_tiles(
        self, tokens: TokenSet, features: Tensor, parts: list[Tensor], writer: PositionWriter
    ) -> Tensor:
        """Append the vision tokens and what stands around them; where the tokens are, (n,)."""
        marks = [self.marks.before, self.marks.open, self.marks.close, self.marks.after]
        before, opening, closing, after = (self.embed(m) for m in marks)
        if self.newline is not None:
            closing = torch.cat([closing, self.newline.to(closing)[None]])
        cells = token_cells(tokens, self.grid, self.tile_size)
        _, counts = torch.unique_consecutive(tokens.tile_index, return_counts=True)
        visual, start = [], len(parts[0]) + len(before)
        parts.append(before)
        writer.words(len(before))
        if self.policy == "scene":
            writer.scene(tokens, self.tile_size)
        runs = zip(
            torch.split(features, counts.tolist()),
            torch.split(cells, counts.tolist()),
            strict=True,
        )
        for some, places in runs:
            visual.append(torch.arange(len(some)) + start + len(opening))
            parts += [opening, some, closing]
            start += len(opening) + len(some) + len(closing)
            if self.policy != "scene":
                writer.words(len(opening))
                writer.tile(places)
                writer.words(len(closing))
        parts.append(after)
        writer.words(len(after))
        return torch.cat(visual)
