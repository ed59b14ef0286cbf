"""What a decoder is given: a question with its tokens, or the same as embeddings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from geofovea.errors import ModelError
from geofovea.pipeline.inference.prompts.embeds import PromptSequence
from geofovea.regionfocus.dated_tokens import DatedTokens
from geofovea.regionfocus.layer_plans.base import LayerMethod
from geofovea.regionfocus.reductions.decoder.base import DecoderReduction
from geofovea.regionfocus.tokens import TokenSet

__all__ = ["DecoderInput", "Prompt", "row_of_tokens"]


@dataclass(frozen=True, slots=True, eq=False)
class Prompt:
    """What a host that answers several questions at once is given for one of them.

    Attributes:
        question: What is asked.
        tokens: What is shown, of one date or several; None shows no picture.
        choices: Answers to choose from.
        reduction: What drops tokens between the layers of the decoder; None drops none.
        skip: What vision tokens do inside its layers; None what they always do.
        decoder: What answers in place of the model's own decoder; None is that.
        is_off_grid: Whether tokens of a window are among them that is no tile of the grid.

    Raises:
        ModelError: If both are given: what is dropped by the one is counted on by the other.
    """

    question: str
    tokens: TokenSet | DatedTokens | None
    choices: tuple[str, ...] = ()
    reduction: DecoderReduction | None = None
    skip: LayerMethod | None = None
    decoder: Any = None
    is_off_grid: bool = False

    def __post_init__(self) -> None:
        if self.reduction is not None and self.skip is not None:
            raise ModelError(
                f"{self.reduction.name} drops tokens between the layers of the decoder, and "
                f"{self.skip.name} skips work inside them; choose one of them"
            )

    @property
    def skips_work(self) -> bool:
        """Whether its vision tokens do something else inside layers than they always do."""
        return self.skip is not None and self.tokens is not None and len(self.tokens) > 0

    @property
    def drops_tokens(self) -> bool:
        """Whether some of its tokens do not reach the end of the decoder."""
        return self.reduction is not None and self.tokens is not None and len(self.tokens) > 0


@dataclass(frozen=True, slots=True, eq=False)
class DecoderInput:
    """A question and its vision tokens as a decoder takes them.

    Attributes:
        embeds: ``(1, s, d)``, the whole prompt; its last token is the one that asks.
        first: Place of the first vision token.
        count: Vision tokens, one after the other.

    Raises:
        ModelError: If the vision tokens do not lie before the last token.
    """

    embeds: Tensor
    first: int
    count: int

    def __post_init__(self) -> None:
        length = self.embeds.shape[1]
        if self.count < 1 or self.first < 0 or self.first + self.count >= length:
            raise ModelError(
                f"{self.count} vision tokens from place {self.first} on must end before the last "
                f"of the prompt's {length} tokens"
            )


def row_of_tokens(sequence: PromptSequence, name: str) -> DecoderInput:
    """The prompt of a model, whose vision tokens stand one after the other.

    Args:
        sequence: The prompt.
        name: Of the model.

    Raises:
        ModelError: If they do not, as behind other than compact positions without words between
            tiles.
    """
    visual, length = sequence.visual, len(sequence)
    first, count = int(visual[0]), len(visual)
    in_a_row = int(visual[-1]) - first + 1 == count
    # M-RoPE has three rows of them
    plain = torch.equal(sequence.positions.flatten().cpu(), torch.arange(length))
    if not in_a_row or not plain or sequence.deep is not None or sequence.blocks is not None:
        raise ModelError(
            "a region focus module reads vision tokens that stand in a row at positions of one "
            f"axis and see only what is before them, and those of {name} do not; choose "
            "focus='attention'"
        )
    # a clone of what inference mode made may be learned from
    return DecoderInput(sequence.embedded.clone(), first, count)
