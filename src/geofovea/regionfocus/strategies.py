"""The words by which a strategy is chosen, for command lines and configuration; imports nothing."""

from __future__ import annotations

__all__ = ["DECODER_REDUCTION_NAMES", "FOCUS_NAMES", "REDUCTION_NAMES"]

FOCUS_NAMES = ("attention", "overview", "uniform", "oracle", "full")
"""Ways of looking: two descents (attention, oracle) and three that ignore the question."""

REDUCTION_NAMES = ("top_score", "strided", "random")
"""Ways of choosing which tokens reach the decoder."""

DECODER_REDUCTION_NAMES = (
    "fastv",
    "pyramiddrop",
    "sparsevlm",
    "transprune",
    "visiondrop",
    "catp_decoder",
    "spatten",
    "todre_drop_all",
)
"""Ways of dropping vision tokens between the layers of the decoder."""
