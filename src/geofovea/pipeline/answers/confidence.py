"""How sure an answer is: as a number, in words, and over the answers to choose from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Choice", "confidence_of", "confidence_text", "tempered"]


_MOST = 1 - 2**-24
"""The largest probability below 1 of a model that computes in float32."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What a model believes of one of the answers that it could choose from.

    Attributes:
        letter: ``A``, ``B``, … in the order that was given.
        text: The answer.
        log_probability: Natural logarithm of the probability that the model answers with it.
        probability: Its share among the choices, which sum to 1.
    """

    letter: str
    text: str
    log_probability: float
    probability: float

    def to_json(self) -> dict[str, Any]:
        """The choice as plain values, as ``geofovea ask --json`` prints it."""
        return {
            "letter": self.letter,
            "text": self.text,
            "log_probability": self.log_probability,
            "probability": self.probability,
        }

    @staticmethod
    def of(
        texts: Sequence[str], log_probabilities: Sequence[float], temperature: float = 1.0
    ) -> tuple[Choice, ...]:
        """All choices of one question, in the order that was given.

        Args:
            texts: Of the choices.
            log_probabilities: Of each.
            temperature: What these are divided by; above 1, the shares become more alike.
        """
        import torch

        logs = torch.tensor(log_probabilities, dtype=torch.float64)
        shares = (logs / temperature).softmax(0).tolist()
        return tuple(
            Choice(chr(ord("A") + i), text, value, share)
            for i, (text, value, share) in enumerate(
                zip(texts, log_probabilities, shares, strict=True)
            )
        )


def confidence_of(log_probabilities: Sequence[float], temperature: float = 1.0) -> float:
    """Probability of a whole generated text; 0 for an empty one.

    Args:
        log_probabilities: Of its tokens.
        temperature: What its log-odds are divided by. That of a model makes its answers as sure as
            they are right; 1 leaves the probability as the model has it.
    """
    if not log_probabilities:
        return 0.0
    return tempered(math.exp(sum(log_probabilities)), temperature)


def tempered(probability: float, temperature: float) -> float:
    """A probability whose log-odds are divided by a temperature."""
    if temperature == 1 or not 0 < probability <= 1:
        return probability
    probability = min(probability, _MOST)
    odds: float = (probability / (1 - probability)) ** (1 / temperature)
    return odds / (1 + odds)


def confidence_text(confidence: float | None, *, is_demo: bool = False) -> str:
    """For people.

    Args:
        confidence: In [0, 1]; None where it is not known, which is not a confidence of 0.
        is_demo: Whether it is not known because the demo model guesses; see ``Answer``.
    """
    if confidence is not None:
        return f"{confidence:.0%} sure"
    return "no confidence: demo model" if is_demo else "confidence unknown"
