"""Answers to choose from: listed with letters in the prompt, and scored behind it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from geofovea.errors import QuestionError
from geofovea.pipeline.inference.decoder.outputs import Generation
from geofovea.regionfocus.tokens import TokenSet

__all__ = [
    "MOST_CHOICES",
    "WithChoices",
    "checked_choices",
    "choice_instruction",
    "letter_scores",
    "word_scores",
]

MOST_CHOICES = 26
_LONGEST_CHOICE = 500


@dataclass(frozen=True, slots=True)
class WithChoices:
    """A host that answers whatever it is asked with one of some choices.

    Attributes:
        host: The model.
        choices: The answers.
    """

    host: Any
    choices: tuple[str, ...]

    def generate(self, question: str, tokens: TokenSet | None) -> Generation:
        """The likeliest choice; see ``Host.generate``."""
        answer: Generation = self.host.generate(question, tokens, choices=self.choices)
        return answer


def checked_choices(choices: Sequence[str]) -> tuple[str, ...]:
    """Choices as a model may see them; none stay none.

    Raises:
        QuestionError: If there is only one or too many, or one is empty, too long or repeated.
    """
    if isinstance(choices, str):
        raise QuestionError(f"choices are a list of answers, got the one text {choices!r:.60}")
    cleaned = tuple(" ".join(str(choice).split()) for choice in choices)
    if not cleaned:
        return ()
    if not 2 <= len(cleaned) <= MOST_CHOICES:
        raise QuestionError(f"give 2 to {MOST_CHOICES} choices, got {len(cleaned)}")
    for choice in cleaned:
        if not choice or len(choice) > _LONGEST_CHOICE:
            raise QuestionError(
                f"a choice has 1 to {_LONGEST_CHOICE} characters, got {choice!r:.60}"
            )
    if len(set(cleaned)) != len(cleaned):
        raise QuestionError(f"each choice may stand once, got {', '.join(cleaned)}")
    return cleaned


def choice_instruction(choices: Sequence[str]) -> str:
    """What is added to a question so that it is answered with a letter."""
    listed = "".join(f"\n{chr(ord('A') + i)}. {choice}" for i, choice in enumerate(choices))
    return f"{listed}\nAnswer with the option's letter from the given choices directly."


def letter_scores(believed: Tensor, letters: Sequence[Sequence[int]]) -> Tensor:
    """Log-probability of each letter, float32 (c,), whichever of its tokens writes it.

    Args:
        believed: Log-probabilities of the first token of the answer, (V,).
        letters: Ids of the tokens of each letter.
    """
    return torch.stack([believed[list(ids)].logsumexp(0) for ids in letters])


def word_scores(
    believed: Tensor,
    choices: Sequence[Sequence[int]],
    stop: Collection[int],
    follow: Callable[[Sequence[int]], Tensor],
) -> Tensor:
    """Log-probability that the answer is exactly each choice, its end included, float32 (c,).

    Args:
        believed: Log-probabilities of the first token of the answer, (V,).
        choices: Token ids of each choice.
        stop: Ids that end an answer.
        follow: Log-probabilities (m, V) behind each of m tokens of an answer.
    """
    scores = []
    for ids in choices:
        behind = follow(ids)
        score = believed[ids[0]] + behind[:-1].gather(1, _column(ids[1:], behind)).sum()
        scores.append(score + behind[-1][sorted(stop)].logsumexp(0) if stop else score)
    return torch.stack(scores)


def _column(ids: Sequence[int], like: Tensor) -> Tensor:
    return torch.tensor(ids, dtype=torch.int64, device=like.device)[:, None]
