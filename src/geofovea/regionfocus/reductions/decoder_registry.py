"""Reductions inside the decoder by name; a method's file is imported when it is first chosen."""

from __future__ import annotations

from importlib import import_module
from typing import cast

from geofovea.errors import ModelError
from geofovea.regionfocus.reductions.decoder.base import DecoderReduction
from geofovea.regionfocus.strategies import DECODER_REDUCTION_NAMES

__all__ = ["make_decoder_reduction"]

_HOMES = {
    "fastv": "decoder.fastv:FastV",
    "pyramiddrop": "decoder.pyramiddrop:PyramidDrop",
    "sparsevlm": "decoder.sparsevlm:SparseVlm",
    "transprune": "decoder.transprune:TransPrune",
    "visiondrop": "decoder.visiondrop:VisionDrop",
    "catp_decoder": "decoder.catp:CatpDecoder",
    "vflowopt_decoder": "decoder.vflowopt:VFlowOptDecoder",
    "flowcut_decoder": "decoder.flowcut:FlowCutDecoder",
    "spatten": "decoder.spatten:SpAtten",
    "todre_drop_all": "decoder.todre:TodreDropAll",
}
"""Module of this folder and class, for each of ``DECODER_REDUCTION_NAMES``."""


def make_decoder_reduction(name: str, share: float | None = None) -> DecoderReduction:
    """The reduction of that name.

    Args:
        name: One of ``DECODER_REDUCTION_NAMES``.
        share: Of the vision tokens that the last step leaves; None for the published schedule.

    Raises:
        ModelError: If there is no such reduction, or it has no schedule that could be bent.
        BudgetError: If the share is not between 0 and 1.
    """
    if name not in _HOMES:
        raise ModelError(
            f"unknown decoder reduction {name!r}; choose one of "
            f"{', '.join(DECODER_REDUCTION_NAMES)}"
        )
    module, kind = _HOMES[name].split(":")
    made = getattr(import_module(f"geofovea.regionfocus.reductions.{module}"), kind)
    if share is None:
        return cast(DecoderReduction, made())
    if "schedule" not in made.__dataclass_fields__:
        raise ModelError(f"{name} drops all vision tokens or none, so it cannot keep {share}")
    return cast(DecoderReduction, made(schedule=made().schedule.to_final(share)))
