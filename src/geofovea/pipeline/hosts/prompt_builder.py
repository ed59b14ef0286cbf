"""The prompts of one model: which words, which tokens, and whether all of it fits the context."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from geofovea.datasets.synthetic.wordings import as_written_in_training
from geofovea.errors import ModelError
from geofovea.pipeline.hosts.families.base import Family
from geofovea.pipeline.hosts.settings import HostSettings
from geofovea.pipeline.inference.prompts.dated import dated_sequence
from geofovea.pipeline.inference.prompts.embeds import PromptLayout, PromptSequence
from geofovea.pipeline.inference.prompts.sight import Sight
from geofovea.pipeline.inference.prompts.template import PromptTemplate
from geofovea.regionfocus.dated_tokens import DatedTokens
from geofovea.regionfocus.tokens import TokenSet

__all__ = ["PromptBuilder", "WordEmbedding"]


class WordEmbedding:
    """The input embeddings of a model.

    Attributes:
        dtype: Of the vectors.
    """

    def __init__(self, model: Any) -> None:
        """Borrow them; they may be moved to another device later."""
        self._model = model
        self.dtype: torch.dtype = model.get_input_embeddings().weight.dtype

    def of_ids(self, ids: Sequence[int]) -> Tensor:
        """Vectors (count, d) of ids."""
        return self(torch.tensor(ids, dtype=torch.int64))

    def __call__(self, ids: Tensor) -> Tensor:
        """Vectors (count, d) of ids (count,), wherever these are."""
        table = self._model.get_input_embeddings()
        embedded: Tensor = table(ids.to(table.weight.device))
        return embedded.to(self.dtype)


@dataclass(frozen=True, slots=True, eq=False)
class PromptBuilder:
    """Puts questions and vision tokens together.

    Attributes:
        name: Of the model.
        words: Writes its words.
        layout: Places its tokens.
        context: Places that it takes.
        answer_tokens: Those that an answer may take of them.
    """

    name: str
    words: PromptTemplate
    layout: PromptLayout
    context: int
    answer_tokens: int

    @staticmethod
    def of(
        name: str,
        family: Family,
        tokenizer: Any,
        settings: HostSettings,
        grid: tuple[int, int],
        embedding: WordEmbedding,
    ) -> PromptBuilder:
        """The builder of a model.

        Args:
            name: How the user named it.
            family: What is particular to its family.
            tokenizer: Its tokenizer.
            settings: How it is used.
            grid: ``(rows, columns)`` of the tokens of a tile.
            embedding: Makes vectors of its words.
        """
        text, policy = family.decoder.config, family.policy(settings)
        words = PromptTemplate(
            tokenizer,
            family.prompt_style(policy),
            settings.template,
            settings.instruction,
            settings.thought_tokens if settings.thinking == "room" else 0,
            # a model of the synthetic world has read no others
            as_written_in_training if settings.domain != "general" else None,
        )
        layout = PromptLayout(
            policy,
            family.axes,
            grid,
            family.tile_size,
            text.hidden_size,
            words.marks,
            family.newline,
            embedding.of_ids,
            family.sight,
        )
        context: int = text.max_position_embeddings
        return PromptBuilder(name, words, layout, context, settings.answer_tokens)

    @property
    def _behind(self) -> int:
        """Places that an answer takes, with the thought before it."""
        thought = self.words.thought
        return self.answer_tokens + (0 if thought is None else thought.reach)

    @property
    def sight(self) -> Sight:
        """Which tokens of a prompt see tokens behind them."""
        return self.layout.sight

    def sequence(
        self,
        question: str,
        tokens: TokenSet | DatedTokens | None,
        instruction: str | None = None,
        answer: int | None = None,
    ) -> PromptSequence:
        """The prompt with the tokens in place.

        Args:
            question: What is asked.
            tokens: What is shown, of one date or several; None shows no picture.
            instruction: In place of that of the settings.
            answer: Places that are kept for the answer; None keeps those of the longest.

        Raises:
            ModelError: If it does not fit the context.
        """
        ids = self.words.ids(question, instruction)
        if isinstance(tokens, DatedTokens):
            sequence = dated_sequence(self.layout, ids, tokens, self.words.word_ids)
        else:
            sequence = self.layout.sequence(ids, tokens)
        answered = self._behind if answer is None else answer
        length = max(len(sequence), sequence.next_position) + answered
        if length > self.context:
            what = "set a smaller token budget"
            if sequence.next_position > len(sequence):
                what += " or compact positions"
            raise ModelError(
                f"the prompt needs {length} places, {self.name} takes {self.context}: {what}"
            )
        return sequence

    def groups(self, question: str, tokens: TokenSet, sees: int) -> list[TokenSet]:
        """Tokens in groups of whole tiles that the last word can see, all in one if it can.

        Args:
            question: What is asked.
            tokens: What is shown.
            sees: Places that the last word sees, itself included.
        """
        ids = self.words.ids(question)
        words = len(ids.before) + len(ids.after)
        _, counts = torch.unique_consecutive(tokens.tile_index, return_counts=True)
        fits = self.layout.reach(counts) + words <= self.context
        # a window counts places, whatever positions stand there
        if (fits and self.layout.places(counts) + words <= sees) or len(counts) < 2:
            return [tokens]
        edge = int(counts[: len(counts) // 2].sum())
        halves = (torch.arange(edge), torch.arange(edge, len(tokens)))
        return [g for part in halves for g in self.groups(question, tokens.select(part), sees)]

    def room(self, question: str, tiles: int, instruction: str | None = None) -> int:
        """Vision tokens of so many tiles that fit beside a question; maybe negative."""
        ids = self.words.ids(question, instruction)
        words = len(ids.before) + len(ids.after) + self.layout.around_image()
        return self.context - words - self._behind - tiles * self.layout.around_tile()
