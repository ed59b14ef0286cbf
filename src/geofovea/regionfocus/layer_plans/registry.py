"""Layer methods by name; a method's file is imported when it is first chosen.

Here stand those that need nothing but the prompt. Others need a trained part or more of the model;
they are made in Python.
"""

from __future__ import annotations

import re
from importlib import import_module
from typing import TYPE_CHECKING, cast

from geofovea.errors import ModelError

if TYPE_CHECKING:
    from geofovea.regionfocus.layer_plans.base import LayerMethod

__all__ = ["LAYER_METHOD_NAMES", "make_layer_method"]

_METHODS = {
    "ima": "ima:Ima",
    "yopo": "yopo:Yopo",
    "dyvte": "dyvte:DyVte",
    "var": "var:Var",
    "aki": "aki:Aki",
    "deepstack": "deepstack:DeepStack",
    "lazyllm": "lazyllm:LazyLlm",
}
"""Module of this folder and class, by name."""

_MADE_IN_PYTHON = {
    "atp": "threshold heads that were trained for the model (Atp; geofovea train --with atp)",
    "saisa": "projectors that were fitted to the model (Saisa; geofovea train --with saisa)",
    "imbalanced": "attention of the encoder (Imbalanced)",
}
"""What a method needs that no option can give, and its class, by name."""

LAYER_METHOD_NAMES = tuple(_METHODS)


def make_layer_method(text: str) -> LayerMethod:
    """The layer method of a text, with its default settings.

    Args:
        text: ``NAME`` or ``NAME:START``: one of ``LAYER_METHOD_NAMES``, and the first layer in
            which it acts, from 0.

    Raises:
        ModelError: If there is no such method, or the start is not a number of a layer.
    """
    name, colon, start = text.partition(":")
    if name in _MADE_IN_PYTHON:
        raise ModelError(
            f"{name!r} needs {_MADE_IN_PYTHON[name]}, and none come with GeoFovea; make the method "
            f"in Python from geofovea.regionfocus.layer_plans.{name}, or choose one of "
            f"{', '.join(_METHODS)}"
        )
    if name not in _METHODS:
        raise ModelError(f"unknown layer method {name!r}; choose one of {', '.join(_METHODS)}")
    # Python reads no number of thousands of digits
    if colon and not re.fullmatch("[0-9]{1,9}", start):
        raise ModelError(f"{text!r} is not a method and layer; write {name}:2, for example")
    module, attribute = _METHODS[name].split(":")
    method = getattr(import_module(f"geofovea.regionfocus.layer_plans.{module}"), attribute)
    return cast("LayerMethod", method(start=int(start)) if colon else method())
