"""What scores tokens for a question."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from geofovea.errors import GeometryError
from geofovea.regionfocus.tokens import TokenSet
from geofovea.tiling.pyramid import Box

__all__ = [
    "AttentionFocus",
    "Focus",
    "OracleFocus",
    "RegionFocus",
    "SupportsWaves",
    "score_each",
]

_HINT_MASS = 1e-3


class Focus(Protocol):
    """Scores the tokens of one level for one question."""

    @property
    def name(self) -> str:
        """The word by which it is chosen."""
        ...

    def score(self, tokens: TokenSet) -> Tensor:
        """One score of at least zero per token, ``(n,)``; only their proportions matter."""
        ...


class SupportsWaves(Focus, Protocol):
    """A focus that scores several looks in one call, each as if it were alone."""

    def score_each(self, looks: Sequence[TokenSet]) -> list[Tensor]:
        """As `Focus.score` for each look, within rounding."""
        ...


def score_each(focus: Focus, looks: Sequence[TokenSet]) -> list[Tensor]:
    """Scores of several looks that were encoded together: in one call where the focus can."""
    # a protocol of typing takes longer to compare than a small look to score
    together: Any = getattr(focus, "score_each", None)
    if len(looks) > 1 and together is not None:
        scores: list[Tensor] = together(looks)
        return scores
    return [focus.score(tokens) for tokens in looks]


@dataclass(frozen=True, slots=True)
class _ScorerFocus:
    """A focus that is a function of the tokens.

    Attributes:
        scorer: The function.
    """

    scorer: Callable[[TokenSet], Tensor]

    def score(self, tokens: TokenSet) -> Tensor:
        """See `Focus`."""
        return self.scorer(tokens)


@dataclass(frozen=True, slots=True)
class AttentionFocus(_ScorerFocus):
    """The attention that the last prompt token pays to the vision tokens.

    The softmax over them is left to the host, whose function it is.

    Attributes:
        together: The function for several looks in one call; None calls that for one for each.
    """

    together: Callable[[Sequence[TokenSet]], list[Tensor]] | None = None
    name: str = field(default="attention", init=False)

    def score_each(self, looks: Sequence[TokenSet]) -> list[Tensor]:
        """See `SupportsWaves`."""
        if self.together is None:
            return [self.scorer(tokens) for tokens in looks]
        return self.together(looks)


@dataclass(frozen=True, slots=True)
class RegionFocus(_ScorerFocus):
    """What a region focus module gives the vision tokens."""

    name: str = field(default="rfm", init=False)


@dataclass(frozen=True, slots=True)
class OracleFocus:
    """Knows the annotated boxes: the upper bound for what a focus can find.

    Attributes:
        boxes: Boxes in scene pixels that hold the evidence for the answer.

    Raises:
        GeometryError: If there is no box.
    """

    boxes: Sequence[Box]
    name: str = field(default="oracle", init=False)

    def __post_init__(self) -> None:
        if not self.boxes:
            raise GeometryError("an oracle needs at least one annotated box, got none")
        object.__setattr__(self, "boxes", tuple(self.boxes))

    def score(self, tokens: TokenSet) -> Tensor:
        """The share of each box inside each token, summed over boxes, float64 ``(n,)``.

        A thousandth of one box's mass is spread over all tokens, more to the nearer ones, so that
        a budget larger than the boxes is spent on their neighborhood.
        """
        boxes = torch.tensor([box.as_tuple() for box in self.boxes], dtype=torch.float64)
        low = torch.maximum(tokens.boxes_scene[:, None, :2], boxes[None, :, :2])
        high = torch.minimum(tokens.boxes_scene[:, None, 2:], boxes[None, :, 2:])
        areas = (boxes[:, 2:] - boxes[:, :2]).prod(dim=1)
        shares = ((high - low).clamp(min=0).prod(dim=2) / areas).sum(dim=1)
        centers_box = (boxes[:, :2] + boxes[:, 2:]) / 2
        ways = tokens.centers_scene[:, None] - centers_box
        distances = ways.square().sum(dim=2).sqrt().amin(dim=1)
        hints = 1 / (1 + distances)
        return shares + _HINT_MASS * hints / hints.sum()
