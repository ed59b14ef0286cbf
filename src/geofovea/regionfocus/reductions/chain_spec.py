"""How a chain of reductions is written: ``divprune+fastv``, ``tome_encoder:0.5+top_score:0.25``.

At most one link for each place where tokens can go: inside the vision encoder, on the projected
tokens, inside the decoder. A number behind a name is the share of the tokens there that it leaves.
Imports no torch: command lines check their words with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from geofovea._arguments import shown
from geofovea.errors import ModelError
from geofovea.regionfocus.reductions.registry import (
    DECODER_REDUCTION_NAMES,
    ENCODER_REDUCTION_NAMES,
    REDUCTION_NAMES,
)

__all__ = ["CHAIN_NAMES", "ENCODER_LINKS", "ChainSpec", "Link", "LinkStage", "parse_chain"]

LinkStage = Literal["encoder_layer", "projected", "decoder_layer"]
"""Where a link of a chain acts, in the order in which tokens pass."""

ENCODER_LINKS: Mapping[str, str] = {
    f"{name}_encoder" if name in REDUCTION_NAMES else name: name for name in ENCODER_REDUCTION_NAMES
}
"""Names in a chain of what acts inside the encoder, and in `ENCODER_REDUCTION_NAMES`; a method that
acts on projected tokens too has its plain name there."""

CHAIN_NAMES = (*REDUCTION_NAMES, *ENCODER_LINKS, *DECODER_REDUCTION_NAMES)
"""All words of a chain."""

_BY_STAGE: Mapping[LinkStage, tuple[str, ...]] = {
    "encoder_layer": tuple(ENCODER_LINKS),
    "projected": REDUCTION_NAMES,
    "decoder_layer": DECODER_REDUCTION_NAMES,
}
_STAGES = {name: stage for stage, names in _BY_STAGE.items() for name in names}
_WHERE = {
    "encoder_layer": "inside the encoder",
    "projected": "on projected tokens",
    "decoder_layer": "inside the decoder",
}


@dataclass(frozen=True, slots=True)
class Link:
    """One reduction of a chain.

    Attributes:
        name: One of ``CHAIN_NAMES``.
        share: Of the tokens at its place that are left, above 0 and at most 1; None for what the
            method, or the budget, says.

    Raises:
        ModelError: If there is no such name, or the share is not a number above 0 and at most 1.
    """

    name: str
    share: float | None = None

    def __post_init__(self) -> None:
        if self.name not in _STAGES:
            raise ModelError(
                f"unknown reduction {self.name!r}; choose one of {', '.join(CHAIN_NAMES)}"
            )
        if self.share is not None and not 0 < self.share <= 1:
            raise ModelError(
                f"{self.name} can leave a share above 0 and at most 1 of the tokens, got "
                f"{self.share:g}; write {self.name}:0.25 for a quarter of them"
            )

    @property
    def stage(self) -> LinkStage:
        """Where it acts."""
        return _STAGES[self.name]


@dataclass(frozen=True, slots=True)
class ChainSpec:
    """The links of a chain, at most one for each stage.

    Raises:
        ModelError: If no name is given, or two act at one place.
    """

    links: tuple[Link, ...]

    def __post_init__(self) -> None:
        if not self.links:
            raise ModelError("a chain needs at least one reduction, got none; write focus_spread")
        for stage in _BY_STAGE:
            same = [link.name for link in self.links if link.stage == stage]
            if len(same) > 1:
                raise ModelError(f"{' and '.join(same)} both act {_WHERE[stage]}; keep one of them")

    def at(self, stage: LinkStage) -> Link | None:
        """The link that acts at a stage, if there is one."""
        return next((link for link in self.links if link.stage == stage), None)


def parse_chain(text: str) -> ChainSpec:
    """Read a chain such as ``divprune+fastv`` or ``top_score:0.25``.

    The order of the words does not matter: tokens pass encoder, projector and decoder in this order
    anyway.

    Raises:
        ModelError: If a name or a share is wrong, or two links act at one place.
    """
    if not isinstance(text, str):
        raise ModelError(f"reduction={shown(text)} is not a name; give it as text")
    links = []
    for word in text.split("+"):
        name, colon, number = word.strip().partition(":")
        try:
            share = float(number) if colon else None
        except ValueError as error:
            raise ModelError(
                f"{number!r} behind {name!r} is not a share; write {name}:0.25 for a quarter of "
                "the tokens"
            ) from error
        links.append(Link(name, share))
    return ChainSpec(tuple(links))
