"""Answers to choose from: listed with letters in the prompt, and scored behind it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import torch
from torch import Tensor

__all__ = [
    "choice_instruction",
    "letter_scores",
    "word_scores",
]


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
