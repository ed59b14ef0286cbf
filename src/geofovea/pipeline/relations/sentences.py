"""What the sentences of the grammars are made of: patterns of names, verbs and units."""

from __future__ import annotations

import re
from collections.abc import Callable

from geofovea.pipeline.relations.names import NUMBERS
from geofovea.pipeline.relations.place_question import PlaceQuestion
from geofovea.pipeline.relations.vocabulary import SIZES, unit_called
from geofovea.regionfocus.search.router import DIRECTION

__all__ = [
    "COVER",
    "DIR",
    "DISTANCE",
    "EACH_OTHER",
    "FAR_TO",
    "GROUND",
    "IN_UNIT",
    "LIES",
    "LIST",
    "ONE_IS",
    "OPPOSITE",
    "STAND",
    "STEM",
    "TO_IT",
    "UNIT",
    "WHICH",
    "WHICH_OF",
    "WHICH_ONE",
    "A",
    "B",
    "C",
    "Sentence",
    "adds_to",
    "group_of",
    "unit_of",
]

Sentence = tuple[re.Pattern[str], Callable[[re.Match[str]], PlaceQuestion]]
"""A pattern of whole questions, and what makes a value of one that fits."""


def _name(group: str) -> str:
    return rf"(?:the |an? )?(?P<{group}>[^\W_][\w' -]*?)"


A, B, C = _name("a"), _name("b"), _name("c")
LIST = r"(?P<list>[^\W_][\w', -]*?)"
DIR = rf"(?P<dir>{DIRECTION})"
STAND = r"(?:located |situated |placed |positioned |standing |lying )?"
ONE_IS = rf"(?:is|does) {A} (?:(?:lie|stand|sit) )?{STAND}"
STEM = rf"(?P<stem>{'|'.join(SIZES)})"
FAR_TO = r"(?:(?:further|farther)(?: to the)?|more to the)"
UNIT = r"(?P<unit>(?:square |sq\.? |nautical )?[a-z]+(?:\^?2|²)?)"
IN_UNIT = rf"(?:,? (?:(?:measured|expressed|given) )?in {UNIT})?"
# "nearest the barn" is "nearest to the barn", and "the nearest barn" is a barn
TO_IT = r"(?: to|(?<=near[a-z]{2})(?= the )|(?<=near[a-z]{3})(?= the ))"
LIES = r"(?:is|lies|stands|sits)"
_OF_THESE = rf"(?: of (?:these|those|them|the (?:{'|'.join(NUMBERS)})))?(?: places| sites)?"
WHICH_ONE = rf"(?:which|what)(?: one| place)?{_OF_THESE}"
WHICH = rf"{WHICH_ONE} {LIES} (?:the )?"
WHICH_OF = rf"which of {LIST} {LIES} (?:the )?"
COVER = r"(?:cover|have|occupy|take up)"
EACH_OTHER = r"(?:each other|one another)"
DISTANCE = (
    r"(?:(?:what is|what would be) )?(?:the )?"
    r"(?:(?:straight[- ]line|direct|geodesic|great[- ]circle|exact|approximate|total) )?"
    r"(?:distance|separation)"
)
GROUND = r"(?:area|footprint|land|ground|space|surface(?: area)?)"

_PAIRS = (
    ("north", "south"),
    ("east", "west"),
    ("left", "right"),
    ("above", "below"),
    ("northeast", "southwest"),
    ("northwest", "southeast"),
)
OPPOSITE = {one: two for pair in _PAIRS for one, two in (pair, pair[::-1])}
"""Each direction with the other end of its line."""


def adds_to(
    sentences: list[Sentence],
) -> Callable[..., Callable[[Callable[[re.Match[str]], PlaceQuestion]], None]]:
    """A decorator that adds patterns to a grammar, each with the function below it."""

    def sentence(*patterns: str) -> Callable[[Callable[[re.Match[str]], PlaceQuestion]], None]:
        def add(make: Callable[[re.Match[str]], PlaceQuestion]) -> None:
            sentences.extend((re.compile(pattern), make) for pattern in patterns)

        return add

    return sentence


def group_of(match: re.Match[str], name: str) -> str:
    """What a group matched; empty where the pattern has no such group, or it matched nothing."""
    return match.groupdict().get(name) or ""


def unit_of(match: re.Match[str], power: int) -> str:
    """The symbol of the unit that was asked for.

    Raises:
        LookupError: If the word is not a unit of that power.
    """
    words = group_of(match, "unit")
    if not words:
        return ""
    unit = unit_called(words)
    if unit is None or unit.power != power:
        raise LookupError(words)
    return unit.symbol
