"""How much a model's answer attends to text and to vision: measures, no reduction.

Source: "When Language Overrules: Revealing Text Dominance in Multimodal Large Language Models". The
formulae follow its description; how the paper averages over layers and heads was not seen, so that
is left to the caller.

Both move with the number of vision tokens whatever the model does, so they are only ever reported
together with it.

No command reports them: they need the attention of every layer, which the decoder never computes
here (`focus` reads a few rows of one layer). They are for notebooks that run a model with its
attention written out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from geofovea.errors import ModelError

__all__ = ["TextDominance", "text_dominance"]


@dataclass(frozen=True, slots=True)
class TextDominance:
    """Attention of generated tokens to text and to vision.

    Attributes:
        text_tokens: Number of text tokens.
        vision_tokens: Number of vision tokens.
        text_mass: Attention to text, of a whole of 1.
        vision_mass: Attention to vision.
    """

    text_tokens: int
    vision_tokens: int
    text_mass: float
    vision_mass: float

    @property
    def mdi(self) -> float:
        """Modality dominance index: attention per text token over attention per vision token.

        1 is balanced, more is dominated by text; infinite where vision gets nothing.
        """
        vision = self.vision_mass / self.vision_tokens
        return self.text_mass / self.text_tokens / vision if vision else math.inf

    @property
    def aei_text(self) -> float:
        """Attention efficiency index of text: its share of attention over its share of tokens."""
        return self._efficiency(self.text_mass, self.text_tokens)

    @property
    def aei_vision(self) -> float:
        """The same of vision."""
        return self._efficiency(self.vision_mass, self.vision_tokens)

    def _efficiency(self, mass: float, tokens: int) -> float:
        share = tokens / (self.text_tokens + self.vision_tokens)
        return mass / (self.text_mass + self.vision_mass) / share


def text_dominance(attention: Tensor, is_vision: Tensor) -> TextDominance:
    """Attention of generated tokens to text and to vision.

    Args:
        attention: ``(..., s)``, rows of generated tokens over s earlier ones; all rows (layers,
            heads, tokens) are averaged.
        is_vision: bool ``(s,)``.

    Raises:
        ModelError: If there is no token of one kind, no attention, or not one mark per token.
    """
    row = attention.detach().to("cpu", torch.float64).reshape(-1, attention.shape[-1]).mean(dim=0)
    vision = is_vision.cpu().to(torch.bool)
    if vision.shape != row.shape:
        raise ModelError(f"{len(row)} tokens need {len(row)} marks, got {tuple(vision.shape)}")
    counts = int((~vision).sum()), int(vision.sum())
    whole = float(row.sum())
    if not all(counts) or not whole > 0:
        raise ModelError(
            "text dominance needs text and vision tokens and some attention, got "
            f"{counts[0]} and {counts[1]} tokens and {whole} of attention"
        )
    return TextDominance(
        *counts, float(row[~vision].sum()) / whole, float(row[vision].sum()) / whole
    )
