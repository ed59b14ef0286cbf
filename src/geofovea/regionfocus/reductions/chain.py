"""A chain of reductions, parsed from words, that checks what its steps need."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

from geofovea.errors import ModelError
from geofovea.regionfocus.reductions.base import Reduction
from geofovea.regionfocus.reductions.chain_spec import ENCODER_LINKS, parse_chain
from geofovea.regionfocus.reductions.decoder.base import DecoderReduction
from geofovea.regionfocus.reductions.encoder.base import EncoderReduction
from geofovea.regionfocus.reductions.registry import (
    FIRST_PARTS,
    REDUCTION_NAMES,
    make_decoder_reduction,
    make_encoder_reduction,
    make_reduction,
)
from geofovea.regionfocus.strategies import DEFAULT_REDUCTION

__all__ = ["ALWAYS_KNOWN", "ENCODER_SHARE", "Chain", "fields_wanted", "make_chain"]

ALWAYS_KNOWN = frozenset({"scores", "levels", "tile_index", "boxes_scene"})
"""Fields of a `TokenContext` that tokens of every host have."""

ENCODER_SHARE = 0.5
"""Share of the patches that a reduction inside the encoder leaves unless told otherwise."""

_IN_PLACE_OF_EACH_OTHER = ("cls_attention", "received", "attention")
"""Of fields that can stand in for each other the first is asked for: the cheapest, as a rule."""


@dataclass(frozen=True, slots=True)
class Chain:
    """Reductions for each place where tokens can go.

    Attributes:
        text: As it was written.
        projected: What chooses among projected tokens; it also holds the token budget.
        projected_name: Its word.
        projected_share: Most of the tokens that it may leave; None for the budget alone.
        encoder: What drops patches inside the encoder.
        encoder_name: Its word, which may be longer than its own name; empty without one.
        encoder_share: Of the patches that it leaves.
        decoder: What drops tokens between the layers of the decoder.
    """

    text: str
    projected: Reduction
    projected_name: str
    projected_share: float | None = None
    encoder: EncoderReduction | None = None
    encoder_share: float = ENCODER_SHARE
    decoder: DecoderReduction | None = None
    encoder_name: str = ""

    def fields_wanted(self, available: frozenset[str]) -> frozenset[str]:
        """Fields beyond `ALWAYS_KNOWN` that the projected reduction is to be given.

        Raises:
            ModelError: If it cannot do without one that is not among the ``available``.
        """
        return fields_wanted(self.projected, available)


def make_chain(text: str) -> Chain:
    """The chain of ``text`` with the default settings of each method; see `parse_chain`.

    Raises:
        ModelError: If a name or a share is wrong, or two links act at one place.
        BudgetError: If a decoder reduction cannot keep the share.
    """
    words = parse_chain(text)
    first, middle, last = (words.at(s) for s in ("encoder_layer", "projected", "decoder_layer"))
    decoder = make_decoder_reduction(last.name, last.share) if last else None
    first_part = FIRST_PARTS.get(last.name) if last else None
    name = middle.name if middle else first_part or DEFAULT_REDUCTION
    encoder_share = ENCODER_SHARE if first is None or first.share is None else first.share
    return Chain(
        text,
        _projected(name, decoder),
        name,
        middle.share if middle else None,
        make_encoder_reduction(ENCODER_LINKS[first.name]) if first else None,
        encoder_share,
        decoder,
        first.name if first else "",
    )


def _projected(name: str, decoder: DecoderReduction | None) -> Reduction:
    """The reduction of projected tokens, telling what the one inside the decoder goes on from."""
    reduction: Any = make_reduction(name)
    if decoder is not None and "importance" in getattr(decoder, "requires", ()):
        if not hasattr(reduction, "tells_importance"):
            first = FIRST_PARTS[decoder.name]
            raise ModelError(
                f"{decoder.name} continues with the importance of tokens that {first} finds, and "
                f"{name} tells none; write {first}+{decoder.name}"
            )
        reduction = replace(reduction, tells_importance=True)
    return cast(Reduction, reduction)


def fields_wanted(reduction: Reduction, available: frozenset[str]) -> frozenset[str]:
    """What to give a reduction beyond `ALWAYS_KNOWN`: what it requires, and uses where it is known.

    Raises:
        ModelError: If something that it requires is not known; the message names what is missing
            and the reductions that can do without.
    """
    there = ALWAYS_KNOWN | available
    missing = [name for name in sorted(reduction.requires) if name not in there]
    names = reduction.requires | (getattr(reduction, "uses", frozenset()) & available)
    for group in getattr(reduction, "requires_one_of", ()):
        if group & (ALWAYS_KNOWN | names):
            continue
        stand_ins = sorted(group & available, key=_preference)
        if stand_ins:
            names |= {stand_ins[0]}
        else:
            missing.append(" or ".join(sorted(group)))
    if missing:
        raise ModelError(
            f"the reduction {reduction.name!r} needs {' and '.join(missing)}, which is not known "
            f"here; choose one of {', '.join(_possible(available))}"
        )
    return frozenset(names - ALWAYS_KNOWN)


def _preference(name: str) -> int:
    order: Mapping[str, int] = {n: i for i, n in enumerate(_IN_PLACE_OF_EACH_OTHER)}
    return order.get(name, len(order))


def _possible(available: frozenset[str]) -> Iterable[str]:
    """Names of the reductions that need no more than what is known."""
    there = ALWAYS_KNOWN | available
    for name in REDUCTION_NAMES:
        reduction: Any = make_reduction(name)
        if reduction.requires <= there and all(
            group & there for group in getattr(reduction, "requires_one_of", ())
        ):
            yield name
