"""How sure an answer is, in words."""

from __future__ import annotations

__all__ = ["sureness"]


def sureness(confidence: float | None) -> str:
    """For people; None where the model did not say, which is no confidence of 0."""
    return "how sure is not known" if confidence is None else f"{confidence:.0%} sure"
