"""Parameters of a question that verbs and rows of some kinds have no use for."""

from __future__ import annotations

__all__ = ["OF_A_FOCUS", "OF_ONE_ANSWER", "OF_ONE_DATE"]

OF_ONE_DATE = (
    *("index", "geometry", "skip", "resampler", "confidence"),
    *("megabytes", "policy", "cache_tokens"),
)
"""Tokens and memories of one scene, what is computed there, and what asks on the way."""

OF_ONE_ANSWER = (
    *("reduction", "descent", "route", "geometry", "skip", "resampler"),
    *("flatness", "confidence", "megabytes", "policy"),
)
"""What tokens are reduced for, which verbs that look at tile after tile do not do."""

OF_A_FOCUS = ("focus", "focus_model", "rfm")
"""What decides where to look, where not every tile is looked at."""
