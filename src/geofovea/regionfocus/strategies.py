"""The words by which a strategy is chosen, for command lines and configuration; imports nothing."""

from __future__ import annotations

__all__ = [
    "DECODER_REDUCTION_NAMES",
    "DEFAULT_DESCENT",
    "DEFAULT_REDUCTION",
    "DESCENT_NAMES",
    "ENCODER_REDUCTION_NAMES",
    "FIRST_PARTS",
    "FOCUS_NAMES",
    "REDUCTION_NAMES",
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

REDUCTION_NAMES = (
    "focus_spread",
    "top_score",
    "strided",
    "random",
    # mergers, and what encoders prune by
    "tome",
    "dymu",
    "crossget",
    "evit",
    "zero_tprune",
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

DEFAULT_REDUCTION = "focus_spread"

ENCODER_REDUCTION_NAMES = (
    "tome",
    "dymu",
    "crossget",
    "evit",
    "stvit",
    "flowcut",
    "zero_tprune",
)
"""Ways of dropping or merging tokens between the layers of the vision encoder."""

DECODER_REDUCTION_NAMES = (
    "fastv",
    "pyramiddrop",
    "sparsevlm",
    "transprune",
    "visiondrop",
    "catp_decoder",
    "vflowopt_decoder",
    "flowcut_decoder",
    "spatten",
    "todre_drop_all",
)
"""Ways of dropping vision tokens between the layers of the decoder."""

FIRST_PARTS = {"vflowopt_decoder": "vflowopt"}
"""What must act on projected tokens before a reduction inside the decoder that goes on from it."""
