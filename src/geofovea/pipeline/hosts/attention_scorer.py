"""The host's own focus: how much the last word of a prompt attends to each vision token."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from geofovea.errors import ModelError
from geofovea.pipeline.hosts.prompt_builder import PromptBuilder
from geofovea.pipeline.hosts.settings import SETTINGS_FILE
from geofovea.pipeline.inference.attention.backend import unplanned_attention
from geofovea.pipeline.inference.attention.support import (
    attention_window,
    can_batch,
    can_read_rows,
    has_dynamic_rope,
)
from geofovea.pipeline.inference.decoder.outputs import check_finite
from geofovea.pipeline.inference.decoder.prefix_cache import PrefixCache, can_reuse_prefix
from geofovea.pipeline.inference.decoder.run import last_row_logits
from geofovea.pipeline.inference.prompts.batch import run_side_by_side
from geofovea.pipeline.inference.prompts.embeds import PromptSequence
from geofovea.pipeline.inference.prompts.sight import Sight
from geofovea.pipeline.system.device_memory import enough_memory
from geofovea.regionfocus.attention_correction import rows_of_mode, scores_from_layers
from geofovea.regionfocus.attention_mode import AttentionMode
from geofovea.regionfocus.token_halves import halvings_of, joined_halves
from geofovea.regionfocus.tokens import TokenSet
from geofovea.tiling.machine.lru import LruCache

__all__ = ["AttentionScorer", "Distortion"]

Distortion = Callable[[Tensor, str, TokenSet, tuple[int, ...]], Tensor]
"""Changes rows as they are read, for benches: shares ``(layers, heads, n)`` of a question's tokens
in some layers become others of the same shape."""

_NEUTRAL_BYTES = 64 * 2**20


class AttentionScorer:
    """Reads one row of some layers of a decoder.

    Attributes:
        mode: Which rows make the scores, and how.
        can_read: Whether they can be read.
        keeps_prompts: Whether all layers keep what stands before the question, and it does not
            depend on it.
        reuses_prefix: Whether this may be kept for the next one; not where no layer lies below.
        prefixes: What is kept of it.
        sees: Places that the layers see.
    """

    def __init__(
        self,
        decoder: Any,
        mode: AttentionMode,
        prompts: PromptBuilder,
        *,
        plain_prompts: bool,
        what_helps: str,
    ) -> None:
        """Prepare to read.

        Args:
            decoder: The text model.
            mode: Which rows make the scores, and how.
            prompts: Writes the prompts.
            plain_prompts: Whether what stands before the question does not depend on it.
            what_helps: What the user can do where the device has too little memory.
        """
        self._decoder, self._prompts = decoder, prompts
        self._plain_prompts, self._what_helps = plain_prompts, what_helps
        self._distortion: Distortion | None = None
        self._take(mode)

    def with_mode(
        self, mode: AttentionMode, distortion: Distortion | None = None
    ) -> AttentionScorer:
        """The same decoder, read in another way; a distortion stays until another one comes."""
        other = copy(self)
        other._distortion = distortion or self._distortion
        other._take(mode)
        return other

    def _take(self, mode: AttentionMode) -> None:
        depth = self._decoder.config.num_hidden_layers
        self.mode = mode
        self.can_read = mode.depth < depth and all(
            can_read_rows(self._decoder, layer) for layer in mode.read_layers
        )
        self.keeps_prompts = self._plain_prompts and can_batch(self._decoder)
        self.reuses_prefix = self.keeps_prompts and can_reuse_prefix(self._decoder, mode.depth)
        windows = [attention_window(self._decoder, layer) for layer in mode.read_layers]
        if self._prompts.sight is Sight.PROMPT:
            # where the whole prompt sees itself, no window bounds what it sees
            windows = []
        self.sees = min([self._prompts.context, *(w for w in windows if w is not None)])
        self.forget_prefixes()

    def forget_prefixes(self) -> None:
        """Drop what is kept for further questions."""
        self.prefixes = PrefixCache(self._decoder, self.mode.read_layers)
        self._neutral: LruCache[Any, _NeutralRows] = LruCache(
            _NEUTRAL_BYTES, lambda entry: entry.nbytes
        )

    def scores(
        self, questions: Sequence[tuple[str, TokenSet]], *, again: bool = False
    ) -> list[Tensor]:
        """For each question, what its tokens get by the mode, float32 (n,), sum 1.

        Args:
            questions: Each with its tokens.
            again: Further questions will be asked of the same tokens.

        Raises:
            ModelError: If the attention cannot be read, or a single tile does not fit what the
                layers see, the context, or the memory of the device.
        """
        words = self.mode.neutral
        look_numbers, looks = _distinct(questions) if words else ([0] * len(questions), [])
        neutral = [self._remembered(tokens) for tokens in looks]
        missing = [i for i, entry in enumerate(neutral) if entry is None]
        halvings = [halvings_of(tokens, self.mode.halvings) for _, tokens in questions]
        # all at once: a look whose prefix is shared runs once, and only the words run for each
        prompts = [
            *questions,
            *((each, tokens) for q, tokens in questions for each in self.mode.reworded(q)),
            *((word, looks[i]) for i in missing for word in words),
            *(
                (q, tokens.select(half))
                for (q, tokens), ways in zip(questions, halvings, strict=True)
                for halves in ways
                for half in halves
            ),
        ]
        rows = self._layer_rows(prompts, again=again or bool(words))
        further = iter(rows[len(questions) :])
        reworded = [[next(further) for _ in self.mode.wordings] for _ in questions]
        for i in missing:
            neutral[i] = stacked = torch.stack([next(further) for _ in words])
            if again:
                self._remember(looks[i], stacked)
        for row, readings, ways in zip(rows, reworded, halvings, strict=False):
            of_halves = [joined_halves([next(further) for _ in way], way) for way in ways]
            # a single tile has no halves, and is read as it was
            readings += of_halves or [row] * self.mode.halvings
        scores = []
        for (_, tokens), row, readings, number in zip(
            questions, rows, reworded, look_numbers, strict=False
        ):
            entry = neutral[number] if looks else None
            others = row.new_empty((0, *row.shape)) if entry is None else entry.to(row.device)
            again_asked = torch.stack(readings) if readings else row.new_empty((0, *row.shape))
            scores.append(
                scores_from_layers(
                    row, others, tokens, self.mode, again_asked, self.mode.read_layers
                ).cpu()
            )
        return scores

    def rows(
        self, questions: Sequence[tuple[str, TokenSet]], *, again: bool = False
    ) -> list[Tensor]:
        """For each question, the rows that the mode names as shares, float32 (g, n).

        They come layer by layer, and within a layer head by head; each sums to 1.

        Raises:
            ModelError: See `scores`; also if the mode names a head that there is not.
        """
        rows = self._layer_rows(questions, again=again)
        return [rows_of_mode(row, self.mode.read_layers, self.mode) for row in rows]

    def _layer_rows(
        self, questions: Sequence[tuple[str, TokenSet]], *, again: bool
    ) -> list[Tensor]:
        """For each question all heads of the layers that are read, as shares (layers, heads, n)."""
        logits = self._logits(questions, again=again)
        rows = [each.softmax(-1) for each in logits]
        if self._distortion is not None:
            rows = [
                self._distortion(row, question, tokens, self.mode.read_layers)
                for row, (question, tokens) in zip(rows, questions, strict=True)
            ]
        for each in rows:
            check_finite(each, self._prompts.name, self._decoder)
        return rows

    def _logits(self, questions: Sequence[tuple[str, TokenSet]], *, again: bool) -> list[Tensor]:
        """Attention logits (layers, heads, n) of the last word of each question."""
        sees = self._checked_sight()
        groups = [
            (i, question, group)
            for i, (question, tokens) in enumerate(questions)
            for group in self._prompts.groups(question, tokens, sees)
        ]
        sequences = [self._prompts.sequence(q, group, answer=0) for _, q, group in groups]
        lengths = [len(each) for each in sequences]
        if (longest := max(lengths, default=0)) > sees:
            raise ModelError(
                f"{self._layers_in_words} of {self._prompts.name} sees {sees} tokens back, and a "
                f"question with a tile takes {longest}: set focus_layer in its {SETTINGS_FILE} to "
                "a layer that sees all, or choose focus='similarity'"
            )
        read: Callable[[list[PromptSequence]], list[Tensor]] = (
            self.prefixes.logits
            if again and self.reuses_prefix
            else partial(last_row_logits, self._decoder, self.mode.read_layers)
        )
        with enough_memory(self._what_helps), unplanned_attention(longest):
            logits = run_side_by_side(
                lengths,
                lambda some: read([sequences[i] for i in some]),
                together=not has_dynamic_rope(self._decoder),
            )
        of_each: list[list[Tensor]] = [[] for _ in questions]
        for (i, _, _), row in zip(groups, logits, strict=True):
            of_each[i].append(row)
        return [torch.cat(parts, dim=-1) for parts in of_each]

    def _checked_sight(self) -> int:
        """Tokens that the last one sees in the layers."""
        if not self.can_read:
            raise ModelError(
                f"the attention of {self._layers_in_words} of {self._prompts.name}, a "
                f"{self._decoder.config.model_type!r} decoder, cannot be read; choose "
                "focus='similarity', or another model"
            )
        return self.sees

    @property
    def _layers_in_words(self) -> str:
        layers = self.mode.read_layers
        return f"layer {layers[0]}" if len(layers) == 1 else f"layers {list(layers)}"

    def _remembered(self, tokens: TokenSet) -> Tensor | None:
        entry = self._neutral.get(_key(tokens))
        return entry.rows if entry and torch.equal(entry.features, tokens.features) else None

    def _remember(self, tokens: TokenSet, rows: Tensor) -> None:
        # where a prefix is shared, further words cost next to nothing
        if not self.reuses_prefix:
            self._neutral.put(_key(tokens), _NeutralRows(tokens.features, rows))


@dataclass(frozen=True, slots=True, eq=False)
class _NeutralRows:
    """Rows of the neutral questions about some tokens, and the tokens that they are of.

    Attributes:
        features: ``(n, d)``; another look with as many tokens is told by them.
        rows: ``(k, layers, heads, n)``.
    """

    features: Tensor
    rows: Tensor

    @property
    def nbytes(self) -> int:
        return self.features.nbytes + self.rows.nbytes


def _key(tokens: TokenSet) -> tuple[Any, ...]:
    return tokens.tiles, len(tokens)


def _distinct(questions: Sequence[tuple[str, TokenSet]]) -> tuple[list[int], list[TokenSet]]:
    """For each question the number of its look, and the looks: equal tokens are one look."""
    looks: list[TokenSet] = []
    numbers = []
    for _, tokens in questions:
        same = (
            i
            for i, look in enumerate(looks)
            if look is tokens
            or (_key(look) == _key(tokens) and torch.equal(look.features, tokens.features))
        )
        number = next(same, len(looks))
        if number == len(looks):
            looks.append(tokens)
        numbers.append(number)
    return numbers, looks
