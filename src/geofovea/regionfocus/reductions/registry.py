"""Reductions by name; a method's file is imported when it is first chosen."""

from __future__ import annotations

from importlib import import_module
from typing import cast

from geofovea.errors import ModelError
from geofovea.regionfocus.reductions.base import Reduction
from geofovea.regionfocus.strategies import REDUCTION_NAMES

__all__ = ["make_reduction"]

_HOMES = {
    "focus_spread": "projected.focus_spread:FocusSpread",
    "top_score": "projected.baselines:TopScore",
    "strided": "projected.baselines:Strided",
    "random": "projected.baselines:RandomKeep",
    # mergers, and what encoders prune by
    "tome": "encoder.tome:ToMe",
    "dymu": "encoder.dymu:DyMU",
    "crossget": "encoder.crossget:CrossGET",
    "evit": "encoder.evit:EViT",
    "zero_tprune": "encoder.zero_tprune:ZeroTPrune",
    # at encoder output and on projected tokens
    "divprune": "projected.divprune:DivPrune",
    "todre": "projected.todre:ToDRE",
    "fastervlm": "projected.fastervlm:FasterVLM",
    "vtc_cls": "projected.vtc_cls:VtcCls",
    "holov": "projected.holov:HoloV",
    "hiprune": "projected.hiprune:HiPrune",
    "visionzip": "projected.visionzip:VisionZip",
    "prumerge": "projected.prumerge:PruMerge",
    "prumerge_plus": "projected.prumerge:PruMergePlus",
    "fopru": "projected.fopru:FoPru",
    "vflowopt": "projected.vflowopt:VFlowOpt",
    "catp": "projected.catp:Catp",
    "recoverable": "projected.recoverable:RecoverableCompression",
    "tokencorr": "projected.tokencorr:TokenCorr",
    "quota": "projected.quota:Quota",
    "lrs_vqa": "projected.lrs_vqa:LrsVqa",
    "m3": "projected.pooled:M3",
    "pooled": "projected.pooled:Pooled",
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
