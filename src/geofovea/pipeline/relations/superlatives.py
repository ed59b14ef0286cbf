"""Which questions compare all places of a class: the largest field, the northernmost truck.

As in the grammar of named places, a question that none of the sentences below fits as a whole is
left to the model.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

from geofovea.errors import QuestionError
from geofovea.pipeline.inference.prompts.presence import singular_of
from geofovea.pipeline.relations.names import ABSTRACT, NUMBERS, is_line, is_name
from geofovea.pipeline.relations.place_question import PlaceQuestion
from geofovea.pipeline.relations.surroundings import Part, Surroundings, split_area
from geofovea.pipeline.relations.vocabulary import COMPASS, SIZES, plain_direction
from geofovea.pipeline.relations.wording import plain_question
from geofovea.regionfocus.search.router import DIRECTION

__all__ = ["Measurable", "Superlative", "is_class", "parse_superlative"]

_MOST_WORDS = 5
_NUMBERS = {word: number for number, word in enumerate(NUMBERS, 2)} | {
    str(number): number for number in range(2, 11)
}

_COUNT = rf"(?:(?P<count>{'|'.join(_NUMBERS)}) )?"
_WHICH = (
    r"(?:which|what) (?P<of>of (?:all (?:of )?(?:the )?|the ))?"
    rf"(?:(?P<first>{'|'.join(_NUMBERS)}) )?"
)
_THING = r"(?P<thing>[^\W\d_][\w' -]*?)"
_REFERENCE = r"(?:the |an? )?(?P<reference>[^\W_][\w' -]*)"
_SIZE = rf"(?P<size>{'|'.join(SIZES)})est"
_UPRIGHT = {"top": "above", "upper": "above", "bottom": "below", "lower": "below"}
# "northern" alone is no extreme; "northernmost", "most northern" and "farthest north" are
_WAY = (
    rf"(?:(?P<way>{DIRECTION}|{'|'.join(_UPRIGHT)})(?:ern)?[- ]?most"
    rf"|most (?P<most_way>{DIRECTION})(?:ern|erly)?"
    rf"|(?:farthest|furthest) (?:to the )?(?P<far_way>{DIRECTION}))"
)
_NEAR = r"(?:(?P<near>nearest|closest)(?: ones?)?|(?P<far>farthest|furthest|most distant))"
_OF_ALL = r"(?:(?:one )?(?P<of_all>of (?:all )?(?:the )?))?"
_BY_AREA = r"(?: (?:by|in) (?:surface )?(?:area|size))?"
_TO = r"(?:to|from|away from)"
_ASK = (
    r"(?:(?:which|what|where|who) (?:is|lies|(?P<many>are|lie)) |"
    r"(?:find|show|give)(?: me)? |locate |point to )?(?:the )?"
)
_THAT_IS = r"(?:that|which) (?:is|lies|stands|sits)"
_VERB = r"(?:is|lies|stands|sits|(?P<many>are|lie))"
_SENTENCES = tuple(
    re.compile(pattern)
    for pattern in (
        rf"{_ASK}{_COUNT}{_SIZE} {_OF_ALL}{_THING}{_BY_AREA}",
        rf"{_WHICH}{_THING} {_VERB} (?:the )?{_COUNT}{_SIZE}{_BY_AREA}(?: of all)?",
        rf"{_WHICH}{_THING} (?:has|covers) the {_SIZE} (?:surface )?area",
        rf"{_ASK}{_COUNT}{_WAY} {_OF_ALL}{_THING}",
        rf"{_WHICH}{_THING} {_VERB} (?:the )?{_COUNT}{_WAY}",
        rf"{_ASK}{_COUNT}{_NEAR} {_THING} {_TO} {_REFERENCE}",
        rf"{_ASK}{_COUNT}{_THING} {_NEAR} (?:{_TO} )?{_REFERENCE}",
        rf"{_WHICH}{_THING} {_VERB} (?:the )?{_COUNT}{_NEAR} (?:{_TO} )?{_REFERENCE}",
        rf"{_ASK}{_THING} {_THAT_IS} (?:the )?(?:{_SIZE}{_BY_AREA}|{_WAY})",
        rf"{_ASK}{_THING} {_THAT_IS} (?:the )?{_NEAR} (?:{_TO} )?{_REFERENCE}",
    )
)
_NO_CLASS = re.compile(
    r"'s? |"
    r"\b(?:and|or|nor|not|no|of|at|in|on|to|from|near|by|with|for|than|between|beside|the|a|an|"
    r"is|are|was|were|does|do|did|has|have|can|could|would|will|be|that|this|these|those|it|its|"
    r"which|what|where|who|whose|when|why|how|all|any|each|every|some|many|much|more|most|other|"
    r"first|second|third|fourth|fifth|sixth|last|next|(?:land|water)marks?|sites?|facilit(?:y|ies)|"
    r"ones?|things?|objects?|items?|elements?|features?|structures?|areas?|regions?|zones?|parts?|"
    r"sides?|edges?|corners?|points?|places?|spots?|locations?|scenes?|images?|pictures?|maps?|"
    r"colou?rs?|shapes?|numbers?|counts?|amounts?|names?|kinds?|types?|class(?:es)?|words?|"
    r"distances?|routes?|paths?|ways?|times?|days?|weeks?|months?|years?|seasons?|periods?|"
    rf"{'|'.join(NUMBERS)}|(?:{'|'.join(SIZES)})est|nearest|closest|farthest|furthest|"
    rf"countr(?:y|ies)|extent|{ABSTRACT})\b"
)
"""Words with which a phrase is not a class of things that can be looked for one by one."""

_NO_REFERENCE = re.compile(
    r"\b(?:me|us|you|ones?|cent(?:er|re)|middle|edge|corner|border|top|bottom|north|south|east|"
    r"west|left|right|to|from|camera|sensor|along|ahead|behind|back|down|up|out|off|together|by)\b"
)
"""Words with which a phrase names no place that can be found, beside those of no name at all."""

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
        part: The part of the scene, or the surroundings of a place, in which they are compared;
            None for all of it.

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
    part: Part | None = None

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
        """What makes a place the one that is meant: ``farthest north``, ``of the largest area``."""
        within = "" if self.part is None else f" {self.part.where}"
        if self.measure == "direction":
            return f"farthest {self.direction}{within}"
        if self.measure == "distance":
            way = "farthest from" if self.is_most else "nearest to"
            return f"{way} the {self.reference}{within}"
        return f"of the {'largest' if self.is_most else 'smallest'} {self.measure}{within}"

    @property
    def place(self) -> str:
        """The place that has to be found before things are compared; empty where there is none."""
        return self.part.reference if isinstance(self.part, Surroundings) else self.reference

    @property
    def names_north(self) -> bool:
        """Whether it names a direction on the ground, which a picture alone does not show."""
        directions = (self.direction, *(self.part.directions if self.part else ()))
        return any(direction in COMPASS for direction in directions)


Measurable = PlaceQuestion | Superlative
"""What is answered from where places lie."""


def parse_superlative(question: str) -> Superlative | None:
    """What a question asks of a class; None where it is no such question.

    Args:
        question: English, in any case and spacing. Bare phrases such as ``the largest lake`` count,
            too.
    """
    text = plain_question(question)
    if split := split_area(text):
        rest, part = split
        parsed = _parsed(question, rest)
        # of two places one would be looked for alone
        if parsed is None or (parsed.reference and isinstance(part, Surroundings)):
            return None
        return replace(parsed, part=part)
    return _parsed(question, text)


def _parsed(question: str, text: str) -> Superlative | None:
    for sentence in _SENTENCES:
        match = sentence.fullmatch(text)
        parsed = None if match is None else _superlative(question, match.groupdict())
        if parsed is not None:
            return parsed
    return None


def is_class(thing: str) -> bool:
    """Whether words in lower case call a class of things that can be looked for one by one."""
    return not _NO_CLASS.search(thing) and len(thing.split()) <= _MOST_WORDS


def _superlative(question: str, groups: dict[str, str | None]) -> Superlative | None:
    number = groups.get("count") or groups.get("first")
    count = 1 if number is None else _NUMBERS[number]
    thing = groups["thing"] or ""
    reference = groups.get("reference") or ""
    if groups.get("many") and count == 1:
        # "the largest lakes": nobody knows how many
        return None
    if groups.get("of") and groups.get("first"):
        # "which of the two lakes": two that the asker knows, and not two that are wanted
        return None
    if not is_class(thing) or is_line(thing) or is_line(reference):
        return None
    if reference and (_NO_REFERENCE.search(reference) or not is_name(reference)):
        return None
    if count > 1 or groups.get("of") or groups.get("of_all"):
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
