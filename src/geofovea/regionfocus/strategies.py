"""The words by which a strategy is chosen, for command lines and configuration; imports nothing."""

from __future__ import annotations

__all__ = [
    "DEFAULT_DESCENT",
    "DEFAULT_GEOMETRY",
    "DEFAULT_REDUCTION",
    "DESCENT_NAMES",
    "FOCUS_NAMES",
    "GEOMETRY_NAMES",
    "ROUTE_NAMES",
]

FOCUS_NAMES = (
    "attention",
    "rfm",
    "similarity",
    "prompted",
    "overview",
    "uniform",
    "oracle",
    "full",
)
"""Ways of looking: descents, and three that ignore the question (overview, uniform, full)."""

DESCENT_NAMES = ("geometric", "geometric_chained", "all_to_best", "best_first", "published")
"""Ways from coarse to fine: ours, under a budget, and the two passes of LRS-VQA."""

DEFAULT_DESCENT = "best_first"

ROUTE_NAMES = ("auto", "none", "one", "several")
"""How many places are looked at more closely; the words of the question decide on ``auto``."""

DEFAULT_REDUCTION = "focus_spread"

GEOMETRY_NAMES = ("auto", "off")
"""Whether answers that follow from where places lie are computed, or left to the model."""

DEFAULT_GEOMETRY = "auto"
