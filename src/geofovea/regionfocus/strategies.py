"""The words by which a strategy is chosen, for command lines and configuration; imports nothing."""

from __future__ import annotations

__all__ = ["FOCUS_NAMES", "REDUCTION_NAMES"]

FOCUS_NAMES = ("attention", "overview", "uniform", "oracle", "full")
"""Ways of looking: two descents (attention, oracle) and three that ignore the question."""

REDUCTION_NAMES = (
    "top_score",
    "strided",
    "random",
    # at encoder output and on projected tokens
    "divprune",
    "todre",
    "fastervlm",
    "vtc_cls",
    "holov",
    "hiprune",
    "visionzip",
    "prumerge",
    "prumerge_plus",
    "fopru",
    "vflowopt",
    "catp",
    "recoverable",
    "tokencorr",
    "quota",
    "lrs_vqa",
    "m3",
    "pooled",
)
"""Ways of choosing which tokens reach the decoder."""
