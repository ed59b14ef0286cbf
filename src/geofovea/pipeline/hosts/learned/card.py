"""What is known about a part that was trained beside a model: an entry in ``geofovea.json``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from geofovea.errors import ModelError

__all__ = [
    "PART_FILES",
    "SETTINGS_FILE",
    "PartCard",
    "cards_from_json",
    "cards_to_json",
    "kind_of",
]

SETTINGS_FILE = "geofovea.json"
"""What a model folder says beside its ``config.json``, cards of its parts included."""

PART_FILES = {
    "resampler": "resampler.safetensors",
    "exits": "exits.safetensors",
    "saisa": "saisa.safetensors",
    "bands": "bands.safetensors",
    "thresholds": "thresholds.safetensors",
    "stack": "stack.safetensors",
    "dual_encoder": "dual_encoder.safetensors",
}
"""Weights by kind of part; a model carries at most one of each kind."""

_KINDS = {
    "dyvte": "exits",
    "saisa": "saisa",
    "bands": "bands",
    "atp": "thresholds",
    "deepstack": "stack",
    "dual_encoder": "dual_encoder",
}


def kind_of(method: str) -> str:
    """The kind of part that a method trains."""
    return _KINDS.get(method, "resampler")


@dataclass(frozen=True, slots=True)
class PartCard:
    """What a part was made from, and what it costs.

    Attributes:
        method: Such as ``mqt`` or ``dyvte``.
        host_hash: See ``weights_hash``; any other host refuses the part.
        settings: What its modules are made with.
        steps: Of its training.
        seed: Of its training.
        recipe: Everything else that decided it, for the record.
        held_out: What was measured on lessons that no training saw.
        sha256: Of the part's file; another file is refused. Empty where the part was written before
            this was kept.

    Raises:
        ModelError: If a field has an impossible value.
    """

    method: str
    host_hash: str
    settings: Mapping[str, Any]
    steps: int = 0
    seed: int = 0
    recipe: Mapping[str, Any] = field(default_factory=dict)
    held_out: Mapping[str, Any] = field(default_factory=dict)
    sha256: str = ""

    def __post_init__(self) -> None:
        fits = {
            "method": isinstance(self.method, str) and bool(self.method),
            "host_hash": isinstance(self.host_hash, str) and len(self.host_hash) == 64,
            "settings": isinstance(self.settings, Mapping),
            "steps": isinstance(self.steps, int) and self.steps >= 0,
            "seed": isinstance(self.seed, int),
            "recipe": isinstance(self.recipe, Mapping),
            "held_out": isinstance(self.held_out, Mapping),
            "sha256": isinstance(self.sha256, str),
        }
        for name, does_fit in fits.items():
            if not does_fit:
                raise ModelError(f"{getattr(self, name)!r} cannot be the {name} of a trained part")


def cards_from_json(record: Any) -> dict[str, PartCard]:
    """Cards by kind, from their form in JSON.

    Raises:
        ModelError: If there is no such kind, or a card has an impossible value.
    """
    if not isinstance(record, Mapping):
        raise ModelError(f"parts are an object with the keys {', '.join(PART_FILES)}")
    cards = {}
    for kind, entry in record.items():
        if kind not in PART_FILES:
            raise ModelError(f"no part is a {kind!r}; known are {', '.join(PART_FILES)}")
        try:
            cards[kind] = PartCard(**entry)
        except TypeError as error:
            raise ModelError(f"the part {kind!r} is described by other keys: {error}") from error
        if kind_of(cards[kind].method) != kind:
            raise ModelError(
                f"{cards[kind].method!r} is not a method of a part of the kind {kind!r}"
            )
    return cards


def cards_to_json(cards: Mapping[str, PartCard]) -> dict[str, Any]:
    """Cards in the form that `cards_from_json` reads."""
    return {kind: {k: _plain(v) for k, v in asdict(card).items()} for kind, card in cards.items()}


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else value
