"""How well a focus finds the place that a question is about, on one level."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from geofovea.pipeline.hosts.base import SupportsDecoderAccess
from geofovea.pipeline.hosts.region_focus import DistilledFocus
from geofovea.pipeline.inference.decoder.shared_prefix import (
    PromptPack,
    layer_rows,
    pack_prompts,
    with_linear_attention,
)
from geofovea.pipeline.training.focus_samples import FocusSample, FocusSamples

__all__ = [
    "PlaceRank",
    "Scorer",
    "host_rows",
    "place_ranks",
    "sample_packs",
    "scorer",
]

Scorer = Callable[[FocusSample], Tensor]
"""Scores ``(q, n)`` of a sample's tokens for each of its questions; each row sums to 1."""


@dataclass(frozen=True, slots=True)
class PlaceRank:
    """How a focus did with one question.

    Attributes:
        scene: Number of the sample; intervals resample samples.
        mass: Share of the scores on tokens that share area with an annotated box.
        rank: Tokens that scored above the best of those; 0 if it came first.
        chance: Share of tokens that share area with a box: the mass of equal scores.
    """

    scene: int
    mass: float
    rank: int
    chance: float


def place_ranks(score: Scorer, samples: FocusSamples, count: int) -> Iterator[PlaceRank]:
    """Judge a focus on ``count`` samples, by their questions with boxes that single something out.

    Args:
        score: The focus.
        samples: Such as ``FocusSamples.held_out``.
        count: How many of them.
    """
    for index in range(count):
        sample = samples.sample(index)
        rights = sample.right
        for scores, right in zip(score(sample).cpu(), rights, strict=True):
            if bool(right.any()) and not bool(right.all()):
                best = scores[right].max()
                yield PlaceRank(
                    scene=index,
                    mass=float(scores[right].sum()),
                    # equal scores are shared out in halves, or a flat focus would look perfect
                    rank=int((scores > best).sum() + ((scores == best) & ~right).sum() // 2),
                    chance=float(right.float().mean()),
                )


def sample_packs(
    host: SupportsDecoderAccess, sample: FocusSample, dtype: torch.dtype
) -> list[PromptPack]:
    """A sample's questions with its tokens, as a decoder takes them."""
    inputs = [host.decoder_input(question, sample.tokens) for question in sample.questions]
    return pack_prompts(inputs, dtype)


@torch.no_grad()
def host_rows(
    host: SupportsDecoderAccess, pack: PromptPack, layers: tuple[int, ...]
) -> dict[int, Tensor]:
    """The host's own rows in some layers, see ``layer_rows``."""
    decoder: Any = host.decoder
    with with_linear_attention(decoder, pack.prefix.shape[1] + pack.tails.shape[1]):
        return layer_rows(decoder.layers, decoder.rotary_emb, pack, layers)


def scorer(module: DistilledFocus, host: SupportsDecoderAccess) -> Scorer:
    """A region focus module, many questions at a time."""

    def score(sample: FocusSample) -> Tensor:
        inputs = [host.decoder_input(question, sample.tokens) for question in sample.questions]
        return torch.stack(module.scores(inputs))

    return score
