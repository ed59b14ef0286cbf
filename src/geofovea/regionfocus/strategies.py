"""The words by which a strategy is chosen, for command lines and configuration; imports nothing."""

from __future__ import annotations

__all__ = ["DESCENT_NAMES", "FOCUS_NAMES", "REDUCTION_NAMES"]

FOCUS_NAMES = ("attention", "rfm", "overview", "uniform", "oracle", "full")
"""Ways of looking: three descents (attention, rfm, oracle) and three that ignore the question."""

DESCENT_NAMES = ("geometric", "published")
"""Ways from coarse to fine: ours, under a budget, and the two passes of LRS-VQA."""

REDUCTION_NAMES = ("top_score", "strided", "random")
"""Ways of choosing which tokens reach the decoder."""
