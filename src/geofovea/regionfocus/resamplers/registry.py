"""Resamplers by name, and a resampler made of its settings and weights."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from geofovea.errors import ModelError

if TYPE_CHECKING:
    from geofovea.regionfocus.resamplers.base import Resampler

__all__ = ["RESAMPLER_NAMES", "ResamplerChoice", "make_resampler", "parse_resampler"]

_RESAMPLERS = {
    "m3": "nested:Nested",
    "tokenflex": "nested:TokenFlex",
    "mqt": "mqt:Mqt",
    "quecc": "quecc:QueCc",
}
"""Module of this folder and class, by name."""

RESAMPLER_NAMES = tuple(_RESAMPLERS)


@dataclass(frozen=True, slots=True)
class ResamplerChoice:
    """Which resampler, and the most tokens that it makes of a tile.

    Attributes:
        name: One of ``RESAMPLER_NAMES``.
        tokens: At least 1; None for as many as the token budget allows.
    """

    name: str
    tokens: int | None = None


def parse_resampler(text: str) -> ResamplerChoice:
    """The choice of a text ``NAME`` or ``NAME:TOKENS``.

    Raises:
        ModelError: If there is no such resampler, or the number of tokens is below 1.
    """
    name, colon, tokens = text.partition(":")
    if name not in _RESAMPLERS:
        raise ModelError(f"unknown resampler {name!r:.40}; choose one of {', '.join(_RESAMPLERS)}")
    if colon and not (re.fullmatch("[0-9]{1,9}", tokens) and int(tokens)):
        raise ModelError(
            f"{text!r:.40} is not a resampler and tokens a tile; write {name}:4, for example"
        )
    return ResamplerChoice(name, int(tokens) if colon else None)


def make_resampler(name: str, grid: tuple[int, int], settings: Mapping[str, Any]) -> Resampler:
    """A resampler with random weights; seed torch before the call.

    Args:
        name: One of ``RESAMPLER_NAMES``.
        grid: ``(rows, cols)`` of the tokens of a tile.
        settings: Of its class, such as ``{"width": 192}``.

    Raises:
        ModelError: If no resampler has that name, or it has no such settings.
    """
    if name not in _RESAMPLERS:
        raise ModelError(f"unknown resampler {name!r}; choose one of {', '.join(_RESAMPLERS)}")
    module, attribute = _RESAMPLERS[name].split(":")
    kind = getattr(import_module(f"geofovea.regionfocus.resamplers.{module}"), attribute)
    try:
        resampler: Resampler = kind(grid, **settings)
    except TypeError as error:
        raise ModelError(f"the resampler {name} has no settings {dict(settings)}") from error
    return resampler
