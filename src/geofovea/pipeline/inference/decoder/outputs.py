"""What a decoder makes: an answer with its probabilities, in numbers that are finite."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from geofovea.errors import ModelError
from geofovea.pipeline.inference.decoder.layer_work import LayerWork

__all__ = ["Generation", "check_finite"]


def check_finite(values: Tensor, name: str, decoder: Any) -> None:
    """Refuse infinite and undefined numbers, which would be taken for an answer.

    Args:
        values: Of any shape.
        name: Of the model that made them.
        decoder: Its text model.

    Raises:
        ModelError: If there is one.
    """
    # a sum is finite only where all numbers are, and takes one step instead of several
    if not math.isfinite(float(values.sum())) and not bool(torch.isfinite(values).all()):
        raise ModelError(
            f"{name} makes numbers that are not finite, in {decoder.dtype}; load it with "
            "dtype='bfloat16' or 'float32', or copy or download it again"
        )


@dataclass(frozen=True, slots=True)
class Generation:
    """A generated answer.

    Attributes:
        text: Decoded, without special tokens.
        log_probabilities: Of each generated token of the text, natural logarithm; for a choice, of
            that choice among all; none where they are not known.
        tokens_by_layer: Vision tokens that ran through each layer of the decoder, where some were
            dropped on the way; else empty. Answers are equal whatever it says.
        layer_work: What each layer did in the prefill, where work was skipped inside layers; else
            empty. Answers are equal whatever it says.
        tokens_beside: Tokens that entered layers without a place in the sequence.
        marked: The text with its special words, as around a box; empty where it has none.
        choices: Log-probability of each answer that it could choose from, in their order.
        text_tokens: Tokens of the prompt besides those of vision; 0 where that is not known.
        warnings: What a careful reader of the answer should know.
        thought_tokens: Tokens that the model thought before it.
        is_from_memory: Whether the words of the prompt alone ran, behind stored tiles.
    """

    text: str
    log_probabilities: tuple[float, ...] = ()
    tokens_by_layer: tuple[int, ...] = field(default=(), compare=False)
    choices: tuple[float, ...] = ()
    text_tokens: int = 0
    warnings: tuple[str, ...] = ()
    thought_tokens: int = 0
    layer_work: tuple[LayerWork, ...] = field(default=(), compare=False)
    tokens_beside: int = field(default=0, compare=False)
    marked: str = field(default="", compare=False)
    is_from_memory: bool = field(default=False, compare=False)
