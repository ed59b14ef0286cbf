"""Questions to a model about tiles whose keys and values are stored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from geofovea.pipeline.inference.attention.backend import unplanned_attention
from geofovea.pipeline.inference.decoder.generate import AnswerGenerator
from geofovea.pipeline.inference.decoder.inputs import Prompt
from geofovea.pipeline.inference.decoder.outputs import Generation, check_finite
from geofovea.pipeline.inference.memory.assembly import StoredPrefix, TileRows
from geofovea.pipeline.inference.memory.behind import StoredRun, stored_row_logits
from geofovea.pipeline.inference.memory.tile_states import (
    TileStates,
    WordStates,
    tile_states,
    word_states,
)
from geofovea.pipeline.inference.prompts.embeds import PromptLayout, PromptSequence
from geofovea.pipeline.system.model_lock import lock_of, one_at_a_time
from geofovea.regionfocus.cache_policies.base import CachePolicy
from geofovea.regionfocus.tokens import TokenSet, token_cells
from geofovea.tiling.machine.forks import ForkSafeLock
from geofovea.tiling.pyramid import Tile

__all__ = ["PromptWriter", "StoredPrompts", "StoredTile"]


class PromptWriter(Protocol):
    """Writes the prompts of a model."""

    @property
    def layout(self) -> PromptLayout:
        """How they are put together."""
        ...

    def sequence(
        self,
        question: str,
        tokens: TokenSet | None,
        instruction: str | None = None,
        answer: int | None = None,
    ) -> PromptSequence:
        """A prompt with tokens in place."""
        ...

    def groups(self, question: str, tokens: TokenSet, sees: int) -> list[TokenSet]:
        """Tokens in groups of whole tiles that one prompt can hold."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class StoredTile:
    """A tile whose keys and values are stored.

    Attributes:
        cells: int64 ``(n,)``, ascending: the place of each token in the tile, row by row.
        states: The keys and values.
    """

    cells: Tensor
    states: TileStates

    @property
    def nbytes(self) -> int:
        """Memory that it takes."""
        return self.states.nbytes + self.cells.nbytes


@dataclass(eq=False)
class StoredPrompts:
    """What a host does with stored tiles; see ``SupportsTileMemory``.

    Attributes:
        name: Of the model.
        decoder: Its text model, with positions of one axis that leave no gaps.
        layer: The layer whose attention is the focus.
        prompts: Writes the prompts; the image stands before the question.
        writer: Answers them.
        sees: Places that the focus layer sees.
        instruction: What is said beside a question.
        threads: Of torch; see ``HasModelLock``.
    """

    name: str
    decoder: Any
    layer: int
    prompts: PromptWriter
    writer: AnswerGenerator
    sees: int
    instruction: Callable[[Prompt], str | None]
    threads: int | None
    model_lock: ForkSafeLock = field(init=False)
    _words: WordStates | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.model_lock = lock_of(self.decoder)

    @one_at_a_time
    @torch.inference_mode()
    @unplanned_attention()
    def store(self, tokens: TokenSet, policy: CachePolicy) -> dict[Tile, StoredTile]:
        """Run whole tiles through the decoder, each alone, and store what it makes of them.

        Args:
            tokens: All tokens of some tiles, tile after tile, in reading order within each.
            policy: How their keys and values are stored.
        """
        layout = self.prompts.layout
        around = len(layout.marks.open), len(layout.marks.close) + (layout.newline is not None)
        cells = _cells(tokens, layout)
        index = [(tokens.tile_index == i).nonzero()[:, 0] for i in range(len(tokens.tiles))]
        sequences = [self.prompts.sequence("", tokens.select(rows), answer=0) for rows in index]
        states = tile_states(self.decoder, sequences, around, policy)
        return {
            tile: StoredTile(cells[rows], one)
            for tile, rows, one in zip(tokens.tiles, index, states, strict=True)
        }

    @one_at_a_time
    @torch.inference_mode()
    def scores(self, question: str, tokens: TokenSet, tiles: Mapping[Tile, StoredTile]) -> Tensor:
        """As ``Host.scores``, from stored tiles.

        Args:
            question: What is asked.
            tokens: Some tokens of stored tiles.
            tiles: The stored tiles.

        Raises:
            ModelError: If the model makes numbers that are not finite.
        """
        rows = []
        for group in self.prompts.groups(question, tokens, self.sees):
            prefix = self._prefix(self.prompts.sequence(question, group, answer=0), group, tiles)
            with unplanned_attention(prefix.length):
                rows.append(stored_row_logits(self.decoder, self.layer, prefix))
        scores = torch.cat(rows, dim=1).softmax(-1).mean(0).cpu()
        check_finite(scores, self.name, self.decoder)
        return scores

    @one_at_a_time
    @torch.inference_mode()
    def generate(self, prompt: Prompt, tiles: Mapping[Tile, StoredTile]) -> Generation:
        """As ``Host.generate``, from stored tiles.

        Args:
            prompt: What is asked, with tokens of stored tiles and no reduction in the decoder.
            tiles: The stored tiles.

        Raises:
            ModelError: If the prompt does not fit the context.
            QuestionError: If a choice says nothing.
        """
        # a prompt without tokens, or with those of several dates, is not sent here
        assert isinstance(prompt.tokens, TokenSet)  # noqa: S101
        sequence = self.prompts.sequence(prompt.question, prompt.tokens, self.instruction(prompt))
        prefix = self._prefix(sequence, prompt.tokens, tiles)
        with unplanned_attention(prefix.length):
            run = StoredRun(self.decoder, prefix, self.writer.most)
            return self.writer.answer_of(prompt, sequence, run)

    def _prefix(
        self, sequence: PromptSequence, tokens: TokenSet, tiles: Mapping[Tile, StoredTile]
    ) -> StoredPrefix:
        opening = len(self.prompts.layout.marks.open)
        first = int(sequence.visual[0]) - opening
        if self._words is None:
            # the words before the image are the same in every prompt
            self._words = word_states(self.decoder, sequence, first)
        cells = _cells(tokens, self.prompts.layout)
        _, counts = torch.unique_consecutive(tokens.tile_index, return_counts=True)
        rows, start = [], 0
        for count in counts.tolist():
            stored = tiles[tokens.tiles[int(tokens.tile_index[start])]]
            own = cells[start : start + count]
            rows.append(TileRows(stored.states, torch.searchsorted(stored.cells, own)))
            start += count
        return StoredPrefix(self._words, rows, sequence)


def _cells(tokens: TokenSet, layout: PromptLayout) -> Tensor:
    """Place of each token in its tile, row by row, int64 ``(n,)``."""
    rows, cols = token_cells(tokens, layout.grid, layout.tile_size).unbind(1)
    return rows * layout.grid[1] + cols
