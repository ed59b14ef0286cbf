"""Which questions are about where places lie and how large they are, by an explicit grammar.

A question that none of the sentences below fits is left to the model. So the sentences are whole:
each is matched from its first word to its last, and what stands for a place may hold no word that
makes another question of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from geofovea.datasets.synthetic.vocabulary import COLORS, SHAPES, STATUSES
from geofovea.errors import QuestionError
from geofovea.pipeline.relations.vocabulary import SIZES, plain_direction, unit_called
from geofovea.regionfocus.search.router import DIRECTION

__all__ = ["Kind", "PlaceQuestion", "distance_between", "parse_question"]

Kind = Literal[
    "direction",
    "bearing",
    "distance",
    "nearer",
    "nearest",
    "size",
    "larger",
    "largest",
    "between",
    "farther",
    "farthest",
    "order",
]

_LONGEST = 200
_MOST_WORDS = 8
_MOST_PLACES = 8


@dataclass(frozen=True, slots=True)
class PlaceQuestion:
    """A question whose answer follows from where its places lie.

    Attributes:
        kind: ``direction`` (is the first in a direction of the second), ``bearing`` (in which
            direction of the second is the first), ``distance`` (between two), ``nearer`` (is the
            first nearer to the second than the third), ``nearest`` (which of the rest is nearest to
            the first), ``size`` (of one), ``larger`` (is the first larger than the second),
            ``largest`` (which), ``between`` (is the first between two others), ``farther`` (is the
            first farther in a direction than the second), ``farthest`` (which), ``order`` (of all,
            along a direction).
        places: What the question calls its places, without articles.
        direction: As the vocabulary spells it; empty where none is asked about.
        measure: ``area``, ``length`` or ``width``, of sizes.
        is_most: Whether the nearest or largest is meant, and not the farthest or smallest.
        unit: The unit that was asked for, by its symbol; empty where none was.

    Raises:
        QuestionError: If there are too few or too many places for its kind.
    """

    kind: Kind
    places: tuple[str, ...]
    direction: str = ""
    measure: str = ""
    is_most: bool = True
    unit: str = ""

    def __post_init__(self) -> None:
        least, most = _COUNTS[self.kind]
        if not least <= len(self.places) <= most:
            raise QuestionError(
                f"a question about {self.kind} names {least} to {most} places, got "
                f"{len(self.places)}: {', '.join(self.places)}"
            )

    @property
    def words(self) -> str:
        """What is asked, in a few words."""
        return f"{self.kind} of {' and '.join(self.places)}"

    @property
    def is_yes_no(self) -> bool:
        """Whether it is answered by yes or no."""
        return self.kind in ("direction", "nearer", "larger", "between", "farther")


_COUNTS: dict[Kind, tuple[int, int]] = {
    "direction": (2, 2),
    "bearing": (2, 2),
    "distance": (2, 2),
    "nearer": (3, 3),
    "nearest": (3, _MOST_PLACES),
    "size": (1, 1),
    "larger": (2, 2),
    "largest": (2, _MOST_PLACES),
    "between": (3, 3),
    "farther": (2, 2),
    "farthest": (2, _MOST_PLACES),
    "order": (2, _MOST_PLACES),
}

_NO_NAME = re.compile(
    r"\b(?:number|count|amount|share|percentage|colou?rs?|shapes?|status|kinds?|types?|names?|age|"
    r"population|density|price|cost|time|state|condition|quality|"
    r"what|which|who|whose|where|when|why|how|is|are|was|were|be|been|does|do|did|has|have|had|"
    r"can|could|will|would|should|there|than|and|or|nor|not|no|if|it|its|they|them|he|she|this|"
    r"that|these|those|here|each|every|all|any|some|most|many|much|more|less|between|versus|vs|"
    r"scene|image|picture|photo|map)\b"
    rf"|\b{DIRECTION} (?:of|from)\b"
)
"""Words that no name of a place holds: with one of them the question is about something else."""

_NO_END = re.compile(
    rf"\b(?:{'|'.join((*COLORS, *STATUSES, *SHAPES))}|gr[ae]y|brown|open|closed|empty|full|visible|"
    r"in [a-z0-9²]+|directly|due|exactly|just|immediately|straight|mostly|partly|both|lie|lies)$"
)
"""What no name of a place ends with: "the plane north of the hall red" is no place."""


def _name(group: str) -> str:
    return rf"(?:the |an? )?(?P<{group}>[a-z0-9][a-z0-9' -]*?)"


_A, _B, _C = _name("a"), _name("b"), _name("c")
_LIST = r"(?P<list>[a-z0-9][a-z0-9', -]*?)"
_DIR = rf"(?P<dir>{DIRECTION})"
_STAND = r"(?:located |situated |placed |standing |lying )?"
_ONE_IS = rf"(?:is|does) {_A} (?:(?:lie|stand|sit) )?{_STAND}"
_STEM = rf"(?P<stem>{'|'.join(SIZES)})"
_FAR = r"(?:further|farther)"
_UNIT = r"(?P<unit>(?:square |sq\.? )?[a-z]+[2²]?)"
_NEAR, _NOT_NEAR = "close|near", "further|farther"


_Sentence = tuple[re.Pattern[str], Callable[[re.Match[str]], PlaceQuestion]]
_SENTENCES: list[_Sentence] = []


def _sentence(*patterns: str) -> Callable[[Callable[[re.Match[str]], PlaceQuestion]], None]:
    def add(make: Callable[[re.Match[str]], PlaceQuestion]) -> None:
        _SENTENCES.extend((re.compile(pattern), make) for pattern in patterns)

    return add


def parse_question(question: str) -> PlaceQuestion | None:
    """What a question asks of the geometry of places; None where it is no such question.

    Args:
        question: English, in any case and spacing. Bare phrases such as ``distance from the roof to
            the pond`` count, too.
    """
    if len(question) > _LONGEST:
        return None
    text = " ".join(question.lower().replace("’", "'").split()).rstrip(" ?.!")
    for pattern, make in _SENTENCES:
        match = pattern.fullmatch(text)
        if match is None:
            continue
        try:
            parsed = make(match)
        except (QuestionError, LookupError):
            continue
        if all(_is_name(place) for place in parsed.places) and len(set(parsed.places)) == len(
            parsed.places
        ):
            return parsed
    return None


def distance_between(start: str, end: str) -> PlaceQuestion:
    """The question how far two places are apart, whatever their names are.

    Raises:
        QuestionError: If a name is empty or too long, or both are the same.
    """
    names = tuple(re.sub(r"^(?:the|an?) ", "", " ".join(n.split())) for n in (start, end))
    for name in names:
        if not name or len(name) > _LONGEST:
            raise QuestionError(
                f"a place has a name of 1 to {_LONGEST} characters, got {name!r:.60}"
            )
    if names[0].lower() == names[1].lower():
        raise QuestionError(f"a distance needs two places, got {names[0]!r} twice")
    return PlaceQuestion("distance", names)


def _is_name(text: str) -> bool:
    return 1 <= len(text.split()) <= _MOST_WORDS and not (
        _NO_NAME.search(text) or _NO_END.search(text)
    )


def _listed(text: str) -> tuple[str, ...]:
    """The names of a list such as ``the camp, the depot or the quarry``."""
    return tuple(_names_in(text))


def _names_in(text: str) -> Iterator[str]:
    for part in re.split(r",? (?:or|and) |, ", text):
        yield re.sub(r"^(?:the|an?) ", "", part.strip(" ,"))


@_sentence(
    rf"{_ONE_IS}(?:to the )?{_DIR}(?: of| from)? {_B}",
)
def _direction(match: re.Match[str]) -> PlaceQuestion:
    word = plain_direction(match["dir"])
    between = match.string[match.end("dir") : match.start("b")]
    # above and below need no preposition, and nothing else does without one
    if (word in ("above", "below")) == bool(re.search(r" (?:of|from) ", between)):
        raise QuestionError(f"{word!r} does not stand so")
    return PlaceQuestion("direction", (match["a"], match["b"]), word)


@_sentence(
    rf"(?:in )?(?:which|what) direction (?:from|of) {_B} (?:is|does) {_A}(?: lie)?",
    rf"(?:in )?(?:which|what) direction (?:is|does) {_A} (?:lie )?(?:from|of|relative to) {_B}",
    rf"(?:what is the )?(?:direction|bearing|heading|azimuth) from {_B} to {_A}",
    rf"(?:what is the )?(?:direction|bearing|azimuth) of {_A} from {_B}",
    rf"where is {_A} (?:{_STAND})(?:relative to|in relation to|with respect to|as seen from) {_B}",
)
def _bearing(match: re.Match[str]) -> PlaceQuestion:
    return PlaceQuestion("bearing", (match["a"], match["b"]))


@_sentence(
    rf"(?:what is the )?distance (?:between|from) {_A} (?:and|to) {_B} in {_UNIT}",
    rf"how many {_UNIT} is it (?:between|from) {_A} (?:to|and) {_B}",
    rf"how far (?:away )?is {_A} (?:away )?from {_B}",
    rf"how far from {_A} to {_B}",
    rf"how far apart are {_A} and {_B}",
    rf"how far is it (?:from|between) {_A} (?:to|and) {_B}",
    rf"(?:what is the )?(?:straight[- ]line )?distance (?:between|from) {_A} (?:and|to) {_B}",
    rf"(?:what is the )?distance (?:of|from) {_A} from {_B}",
    rf"how many {_UNIT} (?:away |apart )?(?:is|are) {_A} "
    rf"(?:(?:away )?from|to|and) {_B}",
    rf"how many {_UNIT} (?:lie|are there) between {_A} and {_B}",
)
def _distance(match: re.Match[str]) -> PlaceQuestion:
    return PlaceQuestion("distance", (match["a"], match["b"]), unit=_unit(match, 1))


@_sentence(
    rf"is {_A} (?P<near>clos|near)er to {_B} than(?: to)? {_C}",
    rf"is {_A} (?P<far>{_NOT_NEAR}) (?:away )?from {_B} than(?: from)? {_C}",
)
def _nearer(match: re.Match[str]) -> PlaceQuestion:
    """The last place is compared with the first ("than the depot is") or the second ("to")."""
    places = match["a"], match["b"], match["c"]
    if re.search(rf"than (?:to|from) (?:the |an? )?{re.escape(match['c'])}$", match.string):
        return PlaceQuestion(
            "nearer", (match["b"], match["a"], match["c"]), is_most=not _group(match, "far")
        )
    return PlaceQuestion("nearer", places, is_most=not _group(match, "far"))


@_sentence(
    rf"which (?:one |place )?is (?P<near>close|near)(?:r|er|st|est) to {_A}[,:] {_LIST}",
    rf"which of {_LIST} is (?:the )?(?P<near>close|near)(?:r|er|st|est) to {_A}",
    rf"which (?:one |place )?is (?P<far>{_NOT_NEAR}|farthest|furthest) (?:away )?from {_A}[,:]? "
    rf"{_LIST}",
    rf"which of {_LIST} is (?:the )?(?P<far>{_NOT_NEAR}|farthest|furthest) (?:away )?from {_A}",
)
def _nearest(match: re.Match[str]) -> PlaceQuestion:
    places = (match["a"], *_listed(match["list"]))
    return PlaceQuestion("nearest", places, is_most=not _group(match, "far"))


@_sentence(
    rf"how (?P<word>large|big|long|wide) is {_A}",
    rf"(?:what is the )?(?:total )?(?P<word>size|area|length|width) of {_A}(?: in {_UNIT})?",
    rf"(?:what is )?{_A}'s (?P<word>size|area|length|width)",
    rf"how many {_UNIT} (?P<word>large|big|long|wide) is {_A}",
)
def _size(match: re.Match[str]) -> PlaceQuestion:
    measure = {"long": "length", "wide": "width"}.get(match["word"], match["word"])
    measure = measure if measure in ("length", "width") else "area"
    unit = _unit(match, 2 if measure == "area" else 1)
    return PlaceQuestion("size", (match["a"],), measure=measure, unit=unit)


@_sentence(rf"is {_A} {_STEM}er than {_B}", rf"is {_A} {_STEM}er in area than {_B}")
def _larger(match: re.Match[str]) -> PlaceQuestion:
    word = SIZES[match["stem"]]
    places = match["a"], match["b"]
    return PlaceQuestion("larger", places, measure=word.measure, is_most=word.is_more)


@_sentence(
    rf"which (?:one |place )?(?:is|covers) (?:the )?{_STEM}(?:er|est)(?: area)?[,:]? {_LIST}",
    rf"which of {_LIST} is (?:the )?{_STEM}(?:er|est)",
)
def _largest(match: re.Match[str]) -> PlaceQuestion:
    word = SIZES[match["stem"]]
    places = _listed(match["list"])
    return PlaceQuestion("largest", places, measure=word.measure, is_most=word.is_more)


@_sentence(rf"{_ONE_IS}(?:in )?between {_B} and {_C}")
def _between(match: re.Match[str]) -> PlaceQuestion:
    return PlaceQuestion("between", (match["a"], match["b"], match["c"]))


@_sentence(rf"is {_A} {_STAND}{_FAR} (?:to the )?{_DIR} than {_B}")
def _farther(match: re.Match[str]) -> PlaceQuestion:
    direction = plain_direction(match["dir"])
    return PlaceQuestion("farther", (match["a"], match["b"]), direction)


@_sentence(
    rf"which (?:one |place )?(?:is|lies) (?:the )?(?:{_FAR}|farthest|furthest) (?:to the )?{_DIR}"
    rf"[,:]? {_LIST}",
    rf"which of {_LIST} (?:is|lies) (?:the )?(?:{_FAR}|farthest|furthest) (?:to the )?{_DIR}",
    rf"which of {_LIST} is (?:the )?{_DIR}(?:ern)?most",
    rf"which (?:one |place )?is (?:the )?{_DIR}(?:ern)?most[,:]? {_LIST}",
)
def _farthest(match: re.Match[str]) -> PlaceQuestion:
    direction = plain_direction(match["dir"])
    return PlaceQuestion("farthest", _listed(match["list"]), direction)


@_sentence(
    rf"(?:list|order|sort|name|give|what is the order of) {_LIST} "
    rf"from (?:the )?(?P<from>{DIRECTION}) to (?:the )?(?P<to>{DIRECTION})",
)
def _order(match: re.Match[str]) -> PlaceQuestion:
    start, end = plain_direction(match["from"]), plain_direction(match["to"])
    if _OPPOSITE.get(start) != end:
        raise QuestionError(f"{start} and {end} are not opposite")
    return PlaceQuestion("order", _listed(match["list"]), start)


_PAIRS = (
    ("north", "south"),
    ("east", "west"),
    ("left", "right"),
    ("above", "below"),
    ("northeast", "southwest"),
    ("northwest", "southeast"),
)
_OPPOSITE = {one: two for pair in _PAIRS for one, two in (pair, pair[::-1])}


def _group(match: re.Match[str], name: str) -> str:
    return match.groupdict().get(name) or ""


def _unit(match: re.Match[str], power: int) -> str:
    """The symbol of the unit that was asked for.

    Raises:
        LookupError: If the word is no unit of that power.
    """
    words = _group(match, "unit")
    if not words:
        return ""
    unit = unit_called(words)
    if unit is None or unit.power != power:
        raise LookupError(words)
    return unit.symbol
