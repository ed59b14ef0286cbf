"""Reductions by name; a method's file is imported when it is first chosen."""

from __future__ import annotations

from importlib import import_module
from typing import cast

from geofovea.errors import ModelError
from geofovea.regionfocus.reductions.base import Reduction
from geofovea.regionfocus.strategies import REDUCTION_NAMES

__all__ = ["make_reduction"]

_HOMES = {
    "focus_spread": "focus_spread:FocusSpread",
    "top_score": "top_score:TopScore",
    "strided": "strided:Strided",
    "random": "random_keep:RandomKeep",
    # mergers, and what encoders prune by
    "tome": "tome:ToMe",
    "dymu": "dymu:DyMU",
    "crossget": "crossget:CrossGET",
    "evit": "evit:EViT",
    "zero_tprune": "zero_tprune:ZeroTPrune",
    # at encoder output and on projected tokens
    "divprune": "divprune:DivPrune",
    "todre": "todre:ToDRE",
    "fastervlm": "fastervlm:FasterVLM",
    "vtc_cls": "vtc_cls:VtcCls",
    "holov": "holov:HoloV",
    "hiprune": "hiprune:HiPrune",
    "visionzip": "visionzip:VisionZip",
    "prumerge": "prumerge:PruMerge",
    "prumerge_plus": "prumerge:PruMergePlus",
    "fopru": "fopru:FoPru",
    "vflowopt": "vflowopt:VFlowOpt",
    "catp": "catp:Catp",
    "recoverable": "recoverable:RecoverableCompression",
    "tokencorr": "tokencorr:TokenCorr",
    "quota": "quota:Quota",
    "lrs_vqa": "lrs_vqa:LrsVqa",
    "m3": "pooled:M3",
    "pooled": "pooled:Pooled",
}
"""Module of this folder and class, for each of ``REDUCTION_NAMES``."""


def make_reduction(name: str) -> Reduction:
    """The reduction of that name with its default settings.

    Raises:
        ModelError: If there is none; the message lists those there are.
    """
    if name not in _HOMES:
        raise ModelError(f"unknown reduction {name!r}; choose one of {', '.join(REDUCTION_NAMES)}")
    module, made = _HOMES[name].split(":")
    found = getattr(import_module(f"geofovea.regionfocus.reductions.{module}"), made)
    return cast(Reduction, found())
