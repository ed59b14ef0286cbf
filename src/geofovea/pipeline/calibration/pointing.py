"""Whether scores of tokens point at the object of a question, and looks that ask it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor

from geofovea.errors import BudgetError, ModelError
from geofovea.pipeline.hosts.base import SupportsAttentionMode
from geofovea.pipeline.inference.attention.support import can_read_rows
from geofovea.pipeline.training.focus_samples import FocusSamples
from geofovea.regionfocus.attention_mode import (
    MOST_HALVINGS,
    NEUTRAL_QUESTIONS,
    WORDINGS,
    AttentionMode,
)
from geofovea.regionfocus.token_halves import halvings_of, joined_halves
from geofovea.regionfocus.tokens import TokenSet

__all__ = [
    "LookReader",
    "LookRows",
    "PointingLook",
    "hits_of",
    "mean_interval",
    "pointing_looks",
    "stacked",
]

_RESAMPLES = 1000


@dataclass(frozen=True, slots=True, eq=False)
class PointingLook:
    """Tokens, and questions about objects whose place is known.

    Attributes:
        number: Of the sample; intervals resample looks.
        tokens: n of them.
        questions: q of them.
        right: Which tokens touch the object of which question, bool ``(q, n)``.
    """

    number: int
    tokens: TokenSet
    questions: tuple[str, ...]
    right: Tensor


def pointing_looks(samples: FocusSamples, numbers: Iterable[int]) -> Iterator[PointingLook]:
    """Some samples with those of their questions that single some tokens out."""
    for number in numbers:
        sample = samples.sample(number)
        right = sample.right
        singled = (right.any(1) & ~right.all(1)).tolist()
        questions = tuple(q for q, is_one in zip(sample.questions, singled, strict=True) if is_one)
        if questions:
            yield PointingLook(number, sample.tokens, questions, right[torch.tensor(singled)])


def hits_of(scores: Tensor, right: Tensor) -> Tensor:
    """Whether the best token is a right one, bool ``(...)``.

    Args:
        scores: ``(..., n)``; where a wrong token is as good as the best right one, it is no hit.
        right: bool ``(n,)``.
    """
    best = scores.masked_fill(~right, -torch.inf).amax(-1)
    others = scores.masked_fill(right, -torch.inf).amax(-1)
    return best > others


def mean_interval(values: Sequence[Sequence[float]], seed: int = 0) -> tuple[float, float, float]:
    """The mean of some values and its 95 % interval, groups of them resampled.

    Args:
        values: By look: answers about one look are right or wrong together.
        seed: Of the draws.
    """
    sums = np.array([sum(group) for group in values], float)
    counts = np.array([len(group) for group in values], float)
    draws = np.random.default_rng(seed).integers(len(sums), size=(_RESAMPLES, len(sums)))
    means = sums[draws].sum(1) / counts[draws].sum(1)
    low, high = np.quantile(means, (0.025, 0.975))
    return float(sums.sum() / counts.sum()), float(low), float(high)


def stacked(rows: Sequence[Tensor], like: Tensor) -> Tensor:
    """Some tensors as one with a further axis; of none, one of that shape with nothing in it."""
    return torch.stack(list(rows)) if rows else like.new_empty((0, *like.shape))


@dataclass(frozen=True, slots=True, eq=False)
class LookRows:
    """What a look's prompts attend to.

    Attributes:
        look: The look.
        rows: ``(layers, heads, n)`` of each question.
        reworded: ``(w, layers, heads, n)`` of each question in all wordings; w is 0 where a
            further question costs a pass of its own.
        neutral: ``(k, layers, heads, n)`` of the neutral questions.
        halved: ``(ways, layers, heads, n)`` of each question, about halves of the tiles alone; see
            ``halvings_of``. Those of one tile are as in ``rows``.
        tokens: Vision tokens that were run for it.
    """

    look: PointingLook
    rows: tuple[Tensor, ...]
    reworded: tuple[Tensor, ...]
    neutral: Tensor
    halved: tuple[Tensor, ...]
    tokens: int


class LookReader:
    """Reads all layers and heads of a host for looks, within a number of tokens.

    Attributes:
        depth: Layers of the decoder.
        layers: Those that can be read.
        spent: Vision tokens that were run so far.
    """

    def __init__(self, host: Any, most_tokens: int, spent: int = 0) -> None:
        """Prepare to read.

        Args:
            host: A host with ``SupportsAttentionMode`` and ``SupportsDecoderAccess``.
            most_tokens: Vision tokens that may be run.
            spent: Those that an earlier run has spent.

        Raises:
            ModelError: If the attention of the host cannot be read.
        """
        reads_rows = isinstance(host, SupportsAttentionMode)
        if not (reads_rows and host.capabilities.attention):
            name = getattr(host, "name", "this model")
            raise ModelError(
                f"{name} exposes no attention that could be calibrated; measure "
                "focus='prompted' or focus='similarity' instead"
            )
        self.depth: int = host.decoder.config.num_hidden_layers
        decoder = host.decoder
        self.layers = tuple(i for i in range(self.depth) if can_read_rows(decoder, i))
        self.spent, self._most = spent, most_tokens
        wordings = WORDINGS if host.reuses_prefix else ()
        self._mode = AttentionMode(self.layers, neutral=NEUTRAL_QUESTIONS, wordings=wordings)
        self._host: Any = host.with_attention(self._mode)

    def read(self, look: PointingLook) -> LookRows:
        """All rows of a look.

        Raises:
            BudgetError: If it would take more tokens than may be run.
        """
        reworded = [self._mode.reworded(question) for question in look.questions]
        prompts = [*look.questions, *NEUTRAL_QUESTIONS, *chain.from_iterable(reworded)]
        ways = halvings_of(look.tokens)
        # behind a shared prefix the words alone run
        alike = [prompts, *([look.questions] * len(ways))]
        passes = sum(1 if self._host.reuses_prefix else len(each) for each in alike)
        tokens = passes * len(look.tokens)
        if self.spent + tokens > self._most:
            raise BudgetError(
                f"the next look takes {tokens} tokens, and {self._most - self.spent} of "
                f"{self._most} are left: allow more with tokens="
            )
        self.spent += tokens
        rows = self._host.attention_rows([(prompt, look.tokens) for prompt in prompts])
        by_layer = [self._by_layer(each.cpu()) for each in rows]
        questions, neutral, wordings = (
            len(each) for each in (look.questions, NEUTRAL_QUESTIONS, self._mode.wordings)
        )
        further = by_layer[questions + neutral :]
        return LookRows(
            look,
            tuple(by_layer[:questions]),
            tuple(
                stacked(further[i * wordings : (i + 1) * wordings], by_layer[0])
                for i in range(questions)
            ),
            torch.stack(by_layer[questions : questions + neutral]),
            tuple(self._halved(look, ways))
            or tuple(torch.stack([row] * MOST_HALVINGS) for row in by_layer[:questions]),
            tokens,
        )

    def _halved(self, look: PointingLook, ways: Sequence[Sequence[Tensor]]) -> Iterator[Tensor]:
        """For each question its rows about the halves; none where there are no ways."""
        halves = [look.tokens.select(half) for way in ways for half in way]
        rows = self._host.attention_rows([(q, half) for q in look.questions for half in halves])
        by_layer = iter([self._by_layer(each.cpu()) for each in rows])
        for _ in look.questions if ways else ():
            yield torch.stack([joined_halves([next(by_layer) for _ in way], way) for way in ways])

    def _by_layer(self, rows: Tensor) -> Tensor:
        """Rows ``(layers, heads, n)`` of all layers; those that cannot be read are flat."""
        count = rows.shape[-1]
        of_readable = rows.view(len(self.layers), -1, count)
        by_layer = torch.full((self.depth, of_readable.shape[1], count), 1 / count)
        by_layer[list(self.layers)] = of_readable.float()
        return by_layer
