"""Answers about synthetic worlds, as benches of several ways to answer compare them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

__all__ = ["WorldReply", "same_share"]


@dataclass(frozen=True)
class WorldReply:
    """One answer.

    Attributes:
        scene: Seed of its world.
        side: Of its scene, in pixels.
        correct: Whether it is the right word.
        text: The word.
    """

    scene: int
    side: int
    correct: bool
    text: str


def same_share(replies: Sequence[WorldReply], others: Sequence[WorldReply]) -> float:
    """The share of answers to the same questions, in their order, that have the same word."""
    return mean(a.text == b.text for a, b in zip(replies, others, strict=True))
