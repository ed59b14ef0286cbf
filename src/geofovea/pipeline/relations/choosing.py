"""A computed answer among answers to choose from."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from geofovea.pipeline.answers.measurement import Measurement, Quantity
from geofovea.pipeline.relations.vocabulary import UNITS, plain_direction, unit_called
from geofovea.regionfocus.search.router import DIRECTION

__all__ = ["choose"]

# two words of one direction go before one
_DIRECTIONS = re.compile(rf"\b(?:(?:north|south)[- ]?(?:east|west)|{DIRECTION})\b")
_NUMBERS = ("distance", "size", "offset", "gap", "difference", "total")
"""Kinds whose first number is the answer."""

_NUMBER = re.compile(r"(\d[\d,]*(?:\.\d+)?)\s*((?:square |sq\.? )?[a-zA-Z]+[2²]?)")


def choose(measurement: Measurement, choices: Sequence[str]) -> int | None:
    """Which of some choices a measurement means.

    A choice has to say the same, in whatever words: ``Yes, it is``, ``the pond``, ``to the
    north-east``. Of numbers, the nearest one counts. Where the numbers leave it open, what they
    lean to counts.

    Returns:
        Its place in ``choices``; None where none of them or several say it.
    """
    if not measurement.text:
        return None
    if measurement.kind in _NUMBERS:
        return _nearest(measurement.quantities[0], choices)
    fits = _matcher(measurement)
    which = [i for i, choice in enumerate(choices) if fits(_plain(choice))]
    return which[0] if len(which) == 1 else None


def _matcher(measurement: Measurement) -> Callable[[str], bool]:
    said = measurement.text if measurement.leaning is None else measurement.leaning.text
    text = _plain(said)
    if measurement.kind == "bearing":
        return lambda choice: _direction_in(choice) == text
    if text in ("yes", "no"):
        return lambda choice: choice.split()[:1] == [text]
    if measurement.kind in ("order", "ranking"):
        ordered = [name for name in measurement.names if name in said.split(", ")]
        return lambda choice: _sequence_in(choice, ordered) == said
    names = [_plain(name) for name in measurement.names]
    meant = _named_in(text, names)
    if meant:
        # a choice that names another place, too, is none of either
        return lambda choice: _named_in(choice, names) == meant
    return lambda choice: re.search(rf"\b{re.escape(text)}\b", choice) is not None


def _named_in(text: str, names: Sequence[str]) -> set[str]:
    """Those of some names that a text holds, and not as a part of another one that it holds."""
    longest_first = sorted(names, key=len, reverse=True)
    held = re.findall("|".join(rf"\b{re.escape(name)}\b" for name in longest_first), text)
    return set(held)


def _direction_in(choice: str) -> str:
    words = [plain_direction(word) for word in _DIRECTIONS.findall(choice)]
    return words[0] if len(words) == 1 else ""


def _sequence_in(choice: str, names: Sequence[str]) -> str:
    at = {name: choice.find(_plain(name)) for name in names}
    return ", ".join(sorted(at, key=lambda name: at[name])) if min(at.values()) >= 0 else ""


def _nearest(quantity: Quantity, choices: Sequence[str]) -> int | None:
    if quantity.unit not in UNITS or quantity.value < 0:
        # below 0 it is the other way round than the question says
        return None
    unit, off = UNITS[quantity.unit], list[float]()
    for choice in choices:
        number = _NUMBER.search(choice)
        theirs = unit_called(number[2]) if number else None
        if number is None or theirs is None or theirs.power != unit.power:
            return None
        value = float(number[1].replace(",", "")) * theirs.size
        off.append(abs(value - quantity.value * unit.size))
    best = min(off)
    return off.index(best) if off.count(best) == 1 else None


def _plain(text: str) -> str:
    return " ".join(re.sub(r"[^a-z0-9.²' -]", " ", text.lower()).split())
