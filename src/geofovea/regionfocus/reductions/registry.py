"""Reductions by name, one table a stage; a method's file is imported when it is first chosen."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from geofovea.errors import ModelError

if TYPE_CHECKING:
    from geofovea.regionfocus.reductions.base import Reduction
    from geofovea.regionfocus.reductions.decoder.base import DecoderReduction
    from geofovea.regionfocus.reductions.encoder.base import EncoderReduction

__all__ = [
    "DECODER_REDUCTION_NAMES",
    "ENCODER_REDUCTION_NAMES",
    "FIRST_PARTS",
    "REDUCTION_NAMES",
    "make_decoder_reduction",
    "make_encoder_reduction",
    "make_reduction",
]

_REDUCTIONS = {
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
    "vqtoken": "projected.vqtoken:VqToken",
}
"""Ways of choosing which tokens reach the decoder: module of this folder and class, by name."""

_ENCODER_REDUCTIONS = {
    "tome": "encoder.tome:ToMeEncoder",
    "dymu": "encoder.dymu:DyMUEncoder",
    "crossget": "encoder.crossget:CrossGETEncoder",
    "evit": "encoder.evit:EViTEncoder",
    "stvit": "encoder.stvit:STViTEncoder",
    "flowcut": "encoder.flowcut:FlowCutEncoder",
    "zero_tprune": "encoder.zero_tprune:ZeroTPruneEncoder",
}
"""Ways of dropping or merging tokens between the layers of the vision encoder, likewise."""

_DECODER_REDUCTIONS = {
    "fastv": "decoder.fastv:FastV",
    "pyramiddrop": "decoder.pyramiddrop:PyramidDrop",
    "sparsevlm": "decoder.sparsevlm:SparseVlm",
    "sparsevlm2": "decoder.sparsevlm2:SparseVlm2",
    "transprune": "decoder.transprune:TransPrune",
    "visiondrop": "decoder.visiondrop:VisionDrop",
    "catp_decoder": "decoder.catp:CatpDecoder",
    "vflowopt_decoder": "decoder.vflowopt:VFlowOptDecoder",
    "flowcut_decoder": "decoder.flowcut:FlowCutDecoder",
    "spatten": "decoder.spatten:SpAtten",
    "todre_drop_all": "decoder.todre:TodreDropAll",
}
"""Ways of dropping vision tokens between the layers of the decoder, likewise."""

REDUCTION_NAMES = tuple(_REDUCTIONS)
ENCODER_REDUCTION_NAMES = tuple(_ENCODER_REDUCTIONS)
DECODER_REDUCTION_NAMES = tuple(_DECODER_REDUCTIONS)

FIRST_PARTS = {"vflowopt_decoder": "vflowopt"}
"""What must act on projected tokens before a reduction inside the decoder that goes on from it."""


def make_reduction(name: str) -> Reduction:
    """The reduction of that name with its default settings.

    Args:
        name: One of ``REDUCTION_NAMES``.

    Raises:
        ModelError: If no reduction has that name; the message lists those there are.
    """
    return cast("Reduction", _class_of(name, _REDUCTIONS, "reduction")())


def make_encoder_reduction(name: str) -> EncoderReduction:
    """The encoder reduction of that name with its default settings.

    Args:
        name: One of ``ENCODER_REDUCTION_NAMES``.

    Raises:
        ModelError: If no reduction has that name; the message lists those there are.
    """
    return cast("EncoderReduction", _class_of(name, _ENCODER_REDUCTIONS, "encoder reduction")())


def make_decoder_reduction(name: str, share: float | None = None) -> DecoderReduction:
    """The decoder reduction of that name.

    Args:
        name: One of ``DECODER_REDUCTION_NAMES``.
        share: Of the vision tokens that the last step leaves; None for the published schedule.

    Raises:
        ModelError: If there is no such reduction, or it has no schedule that could be bent.
        BudgetError: If the share is not between 0 and 1.
    """
    method = _class_of(name, _DECODER_REDUCTIONS, "decoder reduction")
    if share is None:
        return cast("DecoderReduction", method())
    if "schedule" not in method.__dataclass_fields__:
        raise ModelError(
            f"{name} drops all vision tokens or none, so it cannot keep {share}; write {name}"
        )
    return cast("DecoderReduction", method(schedule=method().schedule.to_final(share)))


def _class_of(name: str, table: Mapping[str, str], kind: str) -> Any:
    """The class of a method.

    Raises:
        ModelError: If the table has no such name.
    """
    if name not in table:
        raise ModelError(f"unknown {kind} {name!r}; choose one of {', '.join(table)}")
    module, attribute = table[name].split(":")
    return getattr(import_module(f"geofovea.regionfocus.reductions.{module}"), attribute)
