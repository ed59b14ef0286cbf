"""Which questions ask how many of something there are at one place or in an area, or whether any.

And which phrases name a thing and an area, such as *trucks in the north*.

As in the grammar of named places, a question that none of the sentences below fits as a whole is
left to the model.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from geofovea.pipeline.inference.prompts.presence import singular_of
from geofovea.pipeline.relations.names import bare_phrase, is_name
from geofovea.pipeline.relations.superlatives import is_class
from geofovea.pipeline.relations.surroundings import Part, split_area, unread_area
from geofovea.pipeline.relations.wording import plain_question

__all__ = ["AreaPhrase", "PartCount", "parse_area_phrase", "parse_part_count", "parse_place_count"]

_THING = r"(?P<thing>[a-z][a-z' -]*?)"
_VERB = (
    r"(?: (?:are|lie|stand|sit|can be (?:seen|found))(?: (?:visible|located|situated|standing))?)"
)
_NUMBER = r"(?:(?:what is |give )?(?:the )?(?:total )?(?:number|count) of)"
_PLACE = r"(?:at|in|on|inside|within) (?:the|this|that) (?P<place>[a-z0-9][a-z0-9' -]*)"
_SENTENCES = tuple(
    re.compile(rf"{start} {_THING}{verb}(?: there)? {_PLACE}")
    for start, verb in (
        # "how many trucks fit in the depot" has another verb, and "trucks fit" is not a thing
        ("how many", _VERB),
        (_NUMBER, f"{_VERB}?"),
        (r"count(?: all)?(?: of)?(?: the)?", ""),
    )
)
_IN_PART = tuple(
    re.compile(rf"{start} {_THING}{verb}(?: there)?")
    for start, verb in (
        ("how many", rf"(?:{_VERB}| (?:can|do) (?:you|we|i) (?:see|count|find))?"),
        (_NUMBER, f"{_VERB}?"),
        (r"count(?: all)?(?: of)?(?: the)?", ""),
    )
)
_ANY_IN_PART = re.compile(
    rf"(?:(?:is|are) there|(?:(?:can|do) (?:you|we) )?see|(?:is|are)(?= any )) "
    rf"(?:any |an? |some )?{_THING}(?: visible)?"
)
_NO_PLACE = re.compile(
    r"\b(?:with|without|of|from|near|area|region|world|north|south|east|west|middle|corner|edge|"
    r"side|center|centre|foreground|background|bottom|last|next)\b"
)
"""With these, too, it is a part of a place, or of the picture."""

_NO_THING = re.compile(
    r"\b(?:percent|percentage|meters?|metres?|kilometers?|kilometres?|miles?|feet|hectares?|acres?|"
    r"pixels?|square|levels?|floors?|storeys?|stories|lanes?|tracks?|rows?|lines?|wings?|people|"
    r"persons?|seats?|bits?|bands?|tons?|tonnes?|(?:any|some|no|every)(?:thing|body|one))\b"
)
"""Units, and what has no outline of its own from above."""

_HAS_BEARING = re.compile(
    r"\b(?:fac|point|head|look|orient|mov|turn|lean|slop|open|go|driv|fly|sail|travel)(?:ing|ed|s)$"
)
"""What makes a direction that follows one of the thing itself: ``roofs facing to the south of``."""


@dataclass(frozen=True, slots=True)
class PartCount:
    """A question for the number of something in a part of the scene or around a place.

    Attributes:
        thing: What is counted, in the singular.
        part: Where.
        is_yes_no: Whether it is only asked if there is any.
    """

    thing: str
    part: Part
    is_yes_no: bool = False


@dataclass(frozen=True, slots=True)
class AreaPhrase:
    """A phrase that names a thing, and the area in which it is looked for.

    Attributes:
        thing: What is looked for, as the phrase writes it.
        part: Where.
    """

    thing: str
    part: Part


def parse_place_count(question: str) -> str | None:
    """What is to be counted at a named place, in the singular; None where it is no such question.

    Args:
        question: English, in any case and spacing.
    """
    text = plain_question(question)
    match = next(filter(None, (sentence.fullmatch(text) for sentence in _SENTENCES)), None)
    if match is None or not is_name(match["place"]) or _NO_PLACE.search(match["place"]):
        return None
    thing = match["thing"]
    return singular_of(thing) if _is_counted(thing) else None


def parse_part_count(question: str) -> PartCount | None:
    """What is to be counted in a part of the scene or around a place; None where it is not asked.

    Args:
        question: English, in any case and spacing.
    """
    split = split_area(plain_question(question))
    if split is None:
        return None
    text, part = split
    match = next(filter(None, (sentence.fullmatch(text) for sentence in _IN_PART)), None)
    any_match = _ANY_IN_PART.fullmatch(text)
    found = match or any_match
    if found is None:
        return None
    thing = found["thing"]
    if not _is_counted(thing):
        return None
    return PartCount(singular_of(thing), part, is_yes_no=match is None)


def parse_area_phrase(phrase: str) -> AreaPhrase | None:
    """The thing and the area of a phrase; None where it names no area that can be computed.

    Args:
        phrase: English, in any case and spacing, such as ``Trucks in the north``.
    """
    split = split_area(plain_question(phrase))
    if split is None:
        return None
    thing = bare_phrase(split[0])
    # "piles of sand" is a class, and "roofs of the depot" are those of one place
    of_class = re.sub(r" of (?!the\b|an?\b)", " ", thing)
    has_area = split_area(thing) is not None or unread_area(thing) is not None
    if has_area or not is_class(of_class) or _HAS_BEARING.search(thing):
        return None
    start = phrase.lower().find(thing)
    return AreaPhrase(thing if start < 0 else phrase[start : start + len(thing)], split[1])


def _is_counted(thing: str) -> bool:
    """Whether words call something that can be counted from above, and hold no verb after it."""
    *others, last = thing.split()
    # "planes park" is no thing, and "gas tanks" is one
    has_verb = not last.endswith("s") and any(re.search(r"[^s]s$", word) for word in others)
    return is_class(thing) and not _NO_THING.search(thing) and not has_verb
