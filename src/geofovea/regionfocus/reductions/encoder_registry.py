"""Reductions inside the vision encoder by name; a method's file is imported when it is chosen."""

from __future__ import annotations

from importlib import import_module
from typing import cast

from geofovea.errors import ModelError
from geofovea.regionfocus.reductions.encoder.base import EncoderReduction
from geofovea.regionfocus.strategies import ENCODER_REDUCTION_NAMES

__all__ = ["make_encoder_reduction"]

_HOMES = {
    "tome": "encoder.tome:ToMeEncoder",
    "dymu": "encoder.dymu:DyMUEncoder",
    "crossget": "encoder.crossget:CrossGETEncoder",
    "evit": "encoder.evit:EViTEncoder",
    "stvit": "encoder.stvit:STViTEncoder",
    "flowcut": "encoder.flowcut:FlowCutEncoder",
    "zero_tprune": "encoder.zero_tprune:ZeroTPruneEncoder",
}
"""Module of this folder and class, for each of ``ENCODER_REDUCTION_NAMES``."""


def make_encoder_reduction(name: str) -> EncoderReduction:
    """The encoder reduction of that name with its default settings.

    Raises:
        ModelError: If there is none; the message lists those there are.
    """
    if name not in _HOMES:
        raise ModelError(
            f"unknown encoder reduction {name!r}; choose one of "
            f"{', '.join(ENCODER_REDUCTION_NAMES)}"
        )
    module, made = _HOMES[name].split(":")
    found = getattr(import_module(f"geofovea.regionfocus.reductions.{module}"), made)
    return cast(EncoderReduction, found())
