"""The host's own focus: how much the last word of a prompt attends to each vision token."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
    can_read_rows,
    has_dynamic_rope,
)
from geofovea.pipeline.inference.decoder.outputs import check_finite
from geofovea.pipeline.inference.decoder.prefix_cache import PrefixCache
from geofovea.pipeline.inference.decoder.run import last_row_logits
from geofovea.pipeline.inference.prompts.batch import run_side_by_side
from geofovea.pipeline.inference.prompts.embeds import PromptSequence
from geofovea.pipeline.inference.prompts.sight import Sight
from geofovea.pipeline.system.device_memory import enough_memory
from geofovea.regionfocus.tokens import TokenSet

__all__ = ["AttentionScorer"]


class AttentionScorer:
    """Reads one row of one layer of a decoder.

    Attributes:
        can_read: Whether that row can be read.
        reuses_prefix: Whether what stands before the question may be kept for the next one.
        prefixes: What is kept of it.
        sees: Places that the layer sees.
    """

    def __init__(
        self,
        decoder: Any,
        layer: int,
        prompts: PromptBuilder,
        *,
        reuses_prefix: bool,
        what_helps: str,
    ) -> None:
        """Prepare to read.

        Args:
            decoder: The text model.
            layer: The layer whose attention is the focus.
            prompts: Writes the prompts.
            reuses_prefix: Whether what stands before the question does not depend on it.
            what_helps: What the user can do where the device has too little memory.
        """
        self._decoder, self._layer, self._prompts = decoder, layer, prompts
        self._what_helps = what_helps
        # where the whole prompt sees itself, no window bounds what it sees
        window = attention_window(decoder, layer) if prompts.sight is not Sight.PROMPT else None
        self.sees = window or prompts.context
        self.can_read = layer < decoder.config.num_hidden_layers and can_read_rows(decoder, layer)
        self.reuses_prefix = reuses_prefix
        self.forget_prefixes()

    def forget_prefixes(self) -> None:
        """Drop what is kept for further questions."""
        self.prefixes = PrefixCache(self._decoder, self._layer)

    def scores(
        self, questions: Sequence[tuple[str, TokenSet]], *, again: bool = False
    ) -> list[Tensor]:
        """For each question, the mean of the heads' softmax over its tokens, float32 (n,).

        Args:
            questions: Each with its tokens.
            again: Further questions will be asked of the same tokens.

        Raises:
            ModelError: If the attention cannot be read, or a single tile does not fit what the
                layer sees, the context, or the memory of the device.
        """
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
                f"layer {self._layer} of {self._prompts.name} sees {sees} tokens back, and a "
                f"question with a tile takes {longest}: set focus_layer in its {SETTINGS_FILE} to "
                "a layer that sees all, or choose focus='similarity'"
            )
        rows: Callable[[list[PromptSequence]], list[Tensor]] = (
            self.prefixes.logits
            if again and self.reuses_prefix
            else partial(last_row_logits, self._decoder, self._layer)
        )
        with enough_memory(self._what_helps), unplanned_attention(longest):
            logits = run_side_by_side(
                lengths,
                lambda some: rows([sequences[i] for i in some]),
                together=not has_dynamic_rope(self._decoder),
            )
        of_each: list[list[Tensor]] = [[] for _ in questions]
        for (i, _, _), row in zip(groups, logits, strict=True):
            of_each[i].append(row)
        scores = [torch.cat(parts, dim=1).softmax(-1).mean(0).cpu() for parts in of_each]
        for each in scores:
            check_finite(each, self._prompts.name, self._decoder)
        return scores

    def _checked_sight(self) -> int:
        """Tokens that the last one sees in the layer."""
        if not self.can_read:
            raise ModelError(
                f"the attention of layer {self._layer} of {self._prompts.name}, a "
                f"{self._decoder.config.model_type!r} decoder, cannot be read; choose "
                "focus='similarity', or another model"
            )
        return self.sees
