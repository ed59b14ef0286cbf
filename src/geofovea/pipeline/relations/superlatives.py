"""Which questions compare all places of a class: the largest field, the northernmost truck.

As in the grammar of named places, a question that none of the sentences below fits as a whole is
left to the model.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from geofovea.errors import QuestionError
from geofovea.pipeline.inference.prompts.presence import singular_of
from geofovea.pipeline.relations.grammar import PlaceQuestion
from geofovea.pipeline.relations.vocabulary import SIZES, plain_direction
from geofovea.regionfocus.search.router import DIRECTION

__all__ = ["Measurable", "Superlative", "parse_superlative"]

_LONGEST = 200
_MOST_WORDS = 5
_NUMBERS = ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")

_COUNT = rf"(?:(?P<count>{'|'.join(_NUMBERS)}) )?"
_WHICH = rf"which (?P<of>of the )?(?:(?P<first>{'|'.join(_NUMBERS)}) )?"
_THING = r"(?P<thing>[a-z][a-z' -]*?)"
_REFERENCE = r"(?:the |an? )?(?P<reference>[a-z0-9][a-z0-9' -]*)"
_SIZE = rf"(?P<size>{'|'.join(SIZES)})est"
_UPRIGHT = {"top": "above", "upper": "above", "bottom": "below", "lower": "below"}
# "northern" alone is no extreme; "northernmost", "most northern" and "farthest north" are
_WAY = (
    rf"(?:(?P<way>{DIRECTION}|{'|'.join(_UPRIGHT)})(?:ern)?[- ]?most"
    rf"|most (?P<most_way>{DIRECTION})(?:ern|erly)?"
    rf"|(?:farthest|furthest) (?:to the )?(?P<far_way>{DIRECTION}))"
)
_NEAR = r"(?:(?P<near>nearest|closest)|(?P<far>farthest|furthest))"
_TO = r"(?:to|from|away from)"
_ASK = (
    r"(?:(?:which|what|where|who) (?:is|lies|(?P<many>are|lie)) |find |show (?:me )?|locate |"
    r"point to )?(?:the )?"
)
_VERB = r"(?:is|lies|(?P<many>are|lie))"
_IN_SCENE = (
    r"(?: (?:in|on|of|across) (?:the|this) (?:(?:whole|entire) )?"
    r"(?:scene|image|picture|photo|map))?"
)
_SENTENCES = tuple(
    re.compile(pattern)
    for pattern in (
        rf"{_ASK}{_COUNT}{_SIZE} {_THING}{_IN_SCENE}",
        rf"{_WHICH}{_THING} {_VERB} (?:the )?{_COUNT}{_SIZE}{_IN_SCENE}",
        rf"{_ASK}{_COUNT}{_WAY} {_THING}{_IN_SCENE}",
        rf"{_WHICH}{_THING} {_VERB} (?:the )?{_COUNT}{_WAY}{_IN_SCENE}",
        rf"{_ASK}{_COUNT}{_NEAR} {_THING} {_TO} {_REFERENCE}",
        rf"{_ASK}{_COUNT}{_THING} {_NEAR} (?:{_TO} )?{_REFERENCE}",
        rf"{_WHICH}{_THING} {_VERB} (?:the )?{_COUNT}{_NEAR} (?:{_TO} )?{_REFERENCE}",
    )
)
_NO_CLASS = re.compile(
    r"\b(?:and|or|nor|not|no|of|at|in|on|to|from|near|by|with|for|than|between|beside|the|a|an|"
    r"is|are|was|were|does|do|did|has|have|can|could|would|will|be|that|this|these|those|it|its|"
    r"which|what|where|who|whose|when|why|how|all|any|each|every|some|many|much|more|most|other|"
    r"ones?|things?|objects?|items?|elements?|features?|structures?|areas?|regions?|zones?|parts?|"
    r"sides?|edges?|corners?|points?|places?|spots?|locations?|scenes?|images?|pictures?|maps?|"
    r"colou?rs?|shapes?|numbers?|counts?|amounts?|names?|kinds?|types?|class(?:es)?|words?|"
    r"distances?|routes?|paths?|ways?|times?|days?|weeks?|months?|years?|seasons?|periods?|"
    rf"{'|'.join(_NUMBERS)}|(?:{'|'.join(SIZES)})est|nearest|closest|farthest|furthest)\b"
)
"""Words with which a phrase is no class of things that can be looked for one by one."""

_NO_REFERENCE = re.compile(
    r"\b(?:and|or|nor|not|than|is|are|was|were|which|what|where|who|how|each other|one another|"
    r"me|us|here|there|it|them|cent(?:er|re)|middle|edge|corner|border|top|bottom|north|south|"
    r"east|west|left|right|camera|sensor|scene|image|picture|photo|map)\b"
)
"""Words with which a phrase names no place that can be found."""

Measure = Literal["area", "length", "width", "distance", "direction"]


@dataclass(frozen=True, slots=True)
class Superlative:
    """A question that compares all places of a class.

    Attributes:
        words: As it was asked.
        thing: What is compared, in the singular, such as ``truck``.
        measure: What of it is compared.
        direction: As the vocabulary spells it; empty for other measures.
        reference: The place from which a distance is measured; empty for other measures.
        is_most: Whether the largest or farthest is meant, and not the smallest or nearest.
        count: How many are wanted.

    Raises:
        QuestionError: If a direction or a reference is missing or too many, or none is wanted.
    """

    words: str
    thing: str
    measure: Measure
    direction: str = ""
    reference: str = ""
    is_most: bool = True
    count: int = 1

    def __post_init__(self) -> None:
        fits = bool(self.direction) == (self.measure == "direction")
        if not (fits and bool(self.reference) == (self.measure == "distance")):
            raise QuestionError(
                "a direction needs the direction, a distance the place from which it is measured, "
                f"and other measures neither; got {self}"
            )
        if not self.thing or self.count < 1:
            raise QuestionError(f"a superlative compares a class and wants at least 1, got {self}")

    @property
    def extreme(self) -> str:
        """What makes a place the one that is meant: ``farthest north``, ``largest area``."""
        if self.measure == "direction":
            return f"farthest {self.direction}"
        if self.measure == "distance":
            return f"{'farthest from' if self.is_most else 'nearest to'} the {self.reference}"
        return f"of the {'largest' if self.is_most else 'smallest'} {self.measure}"


Measurable = PlaceQuestion | Superlative
"""What is answered from where places lie."""


def parse_superlative(question: str) -> Superlative | None:
    """What a question asks of a class; None where it is no such question.

    Args:
        question: English, in any case and spacing. Bare phrases such as ``the largest lake`` count,
            too.
    """
    if len(question) > _LONGEST:
        return None
    text = " ".join(question.lower().replace("’", "'").split()).rstrip(" ?.!")
    for sentence in _SENTENCES:
        match = sentence.fullmatch(text)
        parsed = None if match is None else _superlative(question, match.groupdict())
        if parsed is not None:
            return parsed
    return None


def _superlative(question: str, groups: dict[str, str | None]) -> Superlative | None:
    number = groups["count"] or groups.get("first")
    count = 1 if number is None else 2 + _NUMBERS.index(number)
    thing = groups["thing"] or ""
    reference = groups.get("reference") or ""
    if groups["many"] and count == 1:
        # "the largest lakes": nobody knows how many
        return None
    if _NO_CLASS.search(thing) or len(thing.split()) > _MOST_WORDS:
        return None
    if _NO_REFERENCE.search(reference) or len(reference.split()) > _MOST_WORDS:
        return None
    if count > 1 or groups.get("of"):
        thing = singular_of(thing)
    if stem := groups.get("size"):
        size = SIZES[stem]
        return Superlative(question, thing, size.measure, is_most=size.is_more, count=count)
    for name in ("way", "most_way", "far_way"):
        if way := groups.get(name):
            direction = plain_direction(_UPRIGHT.get(way, way))
            return Superlative(question, thing, "direction", direction, count=count)
    is_far = bool(groups.get("far"))
    return Superlative(
        question, thing, "distance", reference=reference, is_most=is_far, count=count
    )
