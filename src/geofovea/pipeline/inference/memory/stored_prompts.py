"""Questions to a model about tiles whose keys and values are stored."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any, Protocol

import torch
from torch import Tensor

from geofovea.pipeline.inference.attention.backend import unplanned_attention
from geofovea.pipeline.inference.decoder.generate import AnswerGenerator
from geofovea.pipeline.inference.decoder.inputs import Prompt
from geofovea.pipeline.inference.decoder.outputs import Generation, check_finite
from geofovea.pipeline.inference.memory.assembly import (
    StoredPrefix,
    StoredTiles,
    TileRows,
)
from geofovea.pipeline.inference.memory.behind import (
    StoredRun,
    WordQueries,
    query_logits,
    word_queries,
)
from geofovea.pipeline.inference.memory.selected import SelectiveRun
from geofovea.pipeline.inference.memory.tile_states import (
    TileStates,
    WordStates,
    tile_states,
    word_states,
)
from geofovea.pipeline.inference.prompts.embeds import PromptLayout, PromptSequence
from geofovea.pipeline.system.model_lock import lock_of, one_at_a_time
from geofovea.regionfocus.attention_correction import scores_from_layers
from geofovea.regionfocus.attention_mode import AttentionMode
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
        mode: Which rows of attention are the focus, and how.
        prompts: Writes the prompts; the image stands before the question.
        writer: Answers them.
        sees: Places that the focus layers see.
        instruction: What is said beside a question.
        threads: Of torch; see ``HasModelLock``.
    """

    name: str
    decoder: Any
    mode: AttentionMode
    prompts: PromptWriter
    writer: AnswerGenerator
    sees: int
    instruction: Callable[[Prompt], str | None]
    threads: int | None
    model_lock: ForkSafeLock = field(init=False)
    _words: WordStates | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.model_lock = lock_of(self.decoder)

    @property
    def device(self) -> torch.device:
        """Where the decoder runs."""
        device: torch.device = next(self.decoder.parameters()).device
        return device

    def described(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """All that stored tiles depend on besides their tokens: weights, and the rest as JSON."""
        decoder, layout = self.decoder, self.prompts.layout
        weights = {**dict(decoder.named_parameters()), **dict(decoder.named_buffers())}
        if layout.newline is not None:
            weights["newline"] = layout.newline
        words = self.prompts.sequence("", None, answer=0).embedded.detach().float().cpu()
        about = {
            "config": {**decoder.config.to_dict(), "_name_or_path": None},
            "attention": decoder.config._attn_implementation,
            "words": hashlib.sha256(words.numpy().tobytes()).hexdigest(),
            "marks": asdict(layout.marks),
            "layout": [layout.policy, layout.axes, layout.grid, layout.tile_size],
            "device": str(self.device),
        }
        return weights, about

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
    def scores(
        self,
        question: str,
        looks: Sequence[TokenSet],
        tiles: Mapping[Tile, StoredTile],
        queries: dict[str, WordQueries],
    ) -> list[Tensor]:
        """As ``Host.scores`` for each look, from stored tiles.

        The words of a question run once, behind the tiles of its first look. Their queries meet the
        stored keys of the tiles of every later look, those of several looks at once.

        Args:
            question: What is asked.
            looks: Some tokens of stored tiles each.
            tiles: The stored tiles.
            queries: By question; those that are not in it are computed, and added.

        Raises:
            ModelError: If the model makes numbers that are not finite.
        """
        wordings = self.mode.reworded(question)
        by_question = [
            self._rows(each, looks, tiles, queries)
            for each in (question, *wordings, *self.mode.neutral)
        ]
        scores = []
        for tokens, (rows, *further) in zip(looks, zip(*by_question, strict=True), strict=True):
            others = torch.stack(further) if further else rows.new_empty((0, *rows.shape))
            reworded, neutral = others[: len(wordings)], others[len(wordings) :]
            # what is stored of a tile stays the same whichever tiles are beside it
            reworded = torch.cat([reworded, *([rows[None]] * self.mode.halvings)])
            scores.append(
                scores_from_layers(
                    rows, neutral, tokens, self.mode, reworded, self.mode.read_layers
                ).cpu()
            )
        return scores

    def _rows(
        self,
        question: str,
        looks: Sequence[TokenSet],
        tiles: Mapping[Tile, StoredTile],
        queries: dict[str, WordQueries],
    ) -> list[Tensor]:
        """For each look all heads of the layers that are read, as shares (layers, heads, n)."""
        layers = self.mode.read_layers
        groups = [self.prompts.groups(question, tokens, self.sees) for tokens in looks]
        if question not in queries:
            first = groups[0][0]
            sequence = self.prompts.sequence(question, first, answer=0)
            prefix = self._prefix(sequence, first, tiles)
            with unplanned_attention(prefix.length):
                queries[question] = word_queries(self.decoder, layers, prefix)
        stored = [self._stored_tiles(group, tiles) for each in groups for group in each]
        logits = iter(query_logits(self.decoder, layers, queries[question], stored))
        rows = [torch.cat(list(islice(logits, len(each))), -1).softmax(-1) for each in groups]
        for each in rows:
            check_finite(each, self.name, self.decoder)
        return rows

    @one_at_a_time
    @torch.inference_mode()
    def generate(
        self,
        prompt: Prompt,
        tiles: Mapping[Tile, StoredTile],
        reader: CachePolicy | None = None,
    ) -> tuple[Generation, int]:
        """As ``Host.generate``, from stored tiles, and how many vision entries were attended to.

        Entries are counted over all layers and words where a policy chooses them; else the vision
        tokens of the prompt are.

        Args:
            prompt: What is asked, with tokens of stored tiles and no reduction in the decoder.
            tiles: The stored tiles.
            reader: Says which entries each word reads; None reads all of them.

        Raises:
            ModelError: If the prompt does not fit the context, or the decoder takes no reader.
            QuestionError: If a choice says nothing.
        """
        # a prompt without tokens, or with those of several dates, is not sent here
        assert isinstance(prompt.tokens, TokenSet)  # noqa: S101
        sequence = self.prompts.sequence(prompt.question, prompt.tokens, self.instruction(prompt))
        prefix = self._prefix(sequence, prompt.tokens, tiles)
        with unplanned_attention(prefix.length):
            if reader is None:
                run = StoredRun(self.decoder, prefix, self.writer.most)
                return self.writer.answer_of(prompt, sequence, run), len(prompt.tokens)
            choosing = SelectiveRun(self.decoder, prefix, reader, self.writer.most)
            generation = self.writer.answer_of(prompt, sequence, choosing)
            return generation, choosing.entries_read

    def _prefix(
        self, sequence: PromptSequence, tokens: TokenSet, tiles: Mapping[Tile, StoredTile]
    ) -> StoredPrefix:
        stored = self._stored_tiles(tokens, tiles)
        return StoredPrefix(stored.words, stored.tiles, sequence)

    def _stored_tiles(self, tokens: TokenSet, tiles: Mapping[Tile, StoredTile]) -> StoredTiles:
        if self._words is None:
            # the words before the image are the same in every prompt
            sequence = self.prompts.sequence("", tokens, answer=0)
            first = int(sequence.visual[0]) - len(self.prompts.layout.marks.open)
            self._words = word_states(self.decoder, sequence, first)
        return StoredTiles(self._words, self._tile_rows(tokens, tiles))

    def _tile_rows(self, tokens: TokenSet, tiles: Mapping[Tile, StoredTile]) -> list[TileRows]:
        """Tokens, tile after tile, as rows of stored tiles."""
        cells = _cells(tokens, self.prompts.layout)
        numbers, counts = torch.unique_consecutive(tokens.tile_index, return_counts=True)
        rows = []
        for number, own in zip(numbers.tolist(), torch.split(cells, counts.tolist()), strict=True):
            stored = tiles[tokens.tiles[number]]
            is_whole = torch.equal(own, stored.cells)
            index = None if is_whole else torch.searchsorted(stored.cells, own)
            rows.append(TileRows(stored.states, index))
        return rows


def _cells(tokens: TokenSet, layout: PromptLayout) -> Tensor:
    """Place of each token in its tile, row by row, int64 ``(n,)``."""
    rows, cols = token_cells(tokens, layout.grid, layout.tile_size).unbind(1)
    return rows * layout.grid[1] + cols
