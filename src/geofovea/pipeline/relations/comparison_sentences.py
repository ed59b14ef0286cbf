"""Sentences that compare by a number: how far east, how much larger, how far apart are all.

As in the grammar, each is matched from its first word to its last.
"""

from __future__ import annotations

import re

from geofovea.datasets.scoring.number_words import amount_of
from geofovea.errors import QuestionError
from geofovea.pipeline.relations.names import names_in
from geofovea.pipeline.relations.place_question import Kind, PlaceQuestion
from geofovea.pipeline.relations.sentences import (
    COVER,
    DIR,
    DISTANCE,
    EACH_OTHER,
    FAR_TO,
    GROUND,
    IN_UNIT,
    LIES,
    LIST,
    ONE_IS,
    OPPOSITE,
    STEM,
    TO_IT,
    UNIT,
    WHICH_ONE,
    A,
    B,
    C,
    Sentence,
    adds_to,
    group_of,
    unit_of,
)
from geofovea.pipeline.relations.vocabulary import SIZES, UNITS, SizeWord, plain_direction
from geofovea.regionfocus.search.router import DIRECTION

__all__ = ["COMPARISONS"]

COMPARISONS: list[Sentence] = []
"""Sentences that compare by a number."""

_sentence = adds_to(COMPARISONS)

_HOW_MUCH = rf"(?:by )?how (?:much|many {UNIT})"
_ASPECT = r"(?P<aspect>size|area|footprint|length|width)"
_AS_SIZE = r"(?P<size>large|big|small|long|short|wide|broad|narrow)"
_NEARER, _FARTHER = r"(?P<near>clos|near)er", r"(?:farther|further)"
_EQUALLY = r"(?:equally|just as|exactly as|as)"
_FAR, _FROM = r"(?:far|distant|close|near)(?: away)?", r"(?:from|to)"
_SAME_WAY = r"(?:equidistant|(?:at )?(?:an equal|the same) distance)(?: away)?"
_TO_THE = r"(?:(?:to|on) the )?"
_EDGES = r"(?:nearest |closest |facing )?(?:edges|outlines|boundaries|borders)"
_EDGE = r"(?:edge|outline|boundary|border)"
_SORT = r"(?:list|order|sort|rank|arrange|put)"
_MORE = r"(?P<more>more than|at least|over|(?:no|not) less than)"
_LESS = r"(?:less than|at most|under|(?:no|not) more than)"
_AMOUNT = rf"(?P<number>\d+(?:,\d{{3}})*(?:\.\d+)?)[ -]?{UNIT}"
_MEASURES = {"length": "length", "width": "width"}


@_sentence(
    rf"how far {_TO_THE}{DIR} of {B} (?:is|does|lies) {A}(?: lie)?{IN_UNIT}",
    rf"how far {_TO_THE}{DIR} (?:is|does|lies) {A} (?:lie )?(?:of|from) {B}{IN_UNIT}",
    rf"how far (?:is|does) {A} (?:lie )?{_TO_THE}{DIR} of {B}{IN_UNIT}",
    rf"how many {UNIT} {_TO_THE}{DIR} of {B} (?:is|does|lies) {A}(?: lie)?",
    rf"how many {UNIT} (?:is|does) {A} (?:lie )?{_TO_THE}{DIR} of {B}",
    rf"{_HOW_MUCH} {FAR_TO} {DIR} (?:is|does|lies) {A} (?:lie )?than {B}(?: is| does)?",
    rf"{_HOW_MUCH} (?:is|does) {A} (?:lie )?{FAR_TO} {DIR} than {B}(?: is| does)?",
)
def _offset(match: re.Match[str]) -> PlaceQuestion:
    direction = plain_direction(match["dir"])
    if direction not in ("north", "east", "south", "west"):
        # how far northeast may be the whole way, and a picture has no meters to the left
        raise QuestionError(f"nobody knows how far {direction} is meant")
    return PlaceQuestion("offset", (match["a"], match["b"]), direction, unit=unit_of(match, 1))


@_sentence(
    rf"{ONE_IS}{_TO_THE}{DIR}(?: of)? or {_TO_THE}(?P<other>{DIRECTION})(?: side)?(?: of)? {B}",
)
def _side(match: re.Match[str]) -> PlaceQuestion:
    one, two = plain_direction(match["dir"]), plain_direction(match["other"])
    if OPPOSITE[one] != two:
        raise QuestionError(f"{one} and {two} are not opposite")
    return PlaceQuestion("side", (match["a"], match["b"]), one)


@_sentence(
    rf"how many {UNIT} apart are the {_EDGES} of {A} and {B}",
    rf"how far apart are the {_EDGES} of {A} and {B}{IN_UNIT}",
    rf"how far is the {_EDGE} of {A} (?:away )?from (?:the {_EDGE}|that) of {B}{IN_UNIT}",
    rf"how far is {A} from {B},? (?:from )?edge to edge{IN_UNIT}",
    rf"(?:what is )?the (?:gap|clearance) between {A} and {B}{IN_UNIT}",
    rf"{DISTANCE} between the {_EDGES} of {A} and {B}{IN_UNIT}",
    rf"{DISTANCE} (?:from|between) the {_EDGE} of {A} (?:to|and) (?:the {_EDGE}|that) of {B}"
    rf"{IN_UNIT}",
    rf"(?:what is )?the edge[- ]to[- ]edge distance (?:between|from) {A} (?:and|to) {B}{IN_UNIT}",
)
def _gap(match: re.Match[str]) -> PlaceQuestion:
    return PlaceQuestion("gap", (match["a"], match["b"]), unit=unit_of(match, 1))


@_sentence(
    rf"{_HOW_MUCH} {STEM}er is {A} (?:than|compared (?:to|with)) {B}(?: is)?",
    rf"{_HOW_MUCH} is {A} {STEM}er than {B}(?: is)?",
    rf"is {A} {STEM}er or (?P<other>{'|'.join(SIZES)})er than {B}(?: is)?",
    rf"{_HOW_MUCH} {STEM}er than {B} is {A}",
)
def _difference(match: re.Match[str]) -> PlaceQuestion:
    word = SIZES[match["stem"]]
    if stem := group_of(match, "other"):
        _check_opposite(match["stem"], stem)
    unit = unit_of(match, 2 if word.measure == "area" else 1)
    return PlaceQuestion(
        "difference",
        (match["a"], match["b"]),
        measure=word.measure,
        is_most=word.is_more,
        unit=unit,
    )


@_sentence(
    rf"how (?:much|many {UNIT}(?: of)?) (?P<more>more|less)(?: {GROUND})? does {A} {COVER} "
    rf"than {B}(?: does)?",
)
def _difference_of_area(match: re.Match[str]) -> PlaceQuestion:
    places, is_most = (match["a"], match["b"]), match["more"] == "more"
    unit = unit_of(match, 2)
    return PlaceQuestion("difference", places, measure="area", is_most=is_most, unit=unit)


@_sentence(rf"(?:what is )?(?:the )?difference in {_ASPECT} (?:between|of) {A} and {B}{IN_UNIT}")
def _difference_in(match: re.Match[str]) -> PlaceQuestion:
    measure = _MEASURES.get(match["aspect"], "area")
    unit = unit_of(match, 2 if measure == "area" else 1)
    return PlaceQuestion("difference", (match["a"], match["b"]), measure=measure, unit=unit)


@_sentence(
    rf"{_HOW_MUCH} (?:{_NEARER}|{_FARTHER})(?: away)? is {A} (?:to|from) {B} "
    rf"than (?P<same>(?:to|from) )?{C}(?: is)?",
    rf"{_HOW_MUCH} is {A} (?:{_NEARER}|{_FARTHER}) (?:away )?(?:to|from) {B} "
    rf"than (?P<same>(?:to|from) )?{C}(?: is)?",
    rf"{_HOW_MUCH} (?:{_NEARER}{TO_IT}|{_FARTHER} (?:away )?from) {B} is {A} than {C}(?: is)?",
)
def _difference_of_ways(match: re.Match[str]) -> PlaceQuestion:
    """Of the ways from one place: to the first, and to the second that it is compared with."""
    one, two, reference = match["a"], match["c"], match["b"]
    if group_of(match, "same"):
        one, reference = reference, one
    places, unit = (one, two, reference), unit_of(match, 1)
    is_most = not group_of(match, "near")
    return PlaceQuestion("difference", places, measure="distance", is_most=is_most, unit=unit)


@_sentence(
    rf"how many times {STEM}er is {A} than {B}(?: is)?",
    rf"how many times is {A} {STEM}er than {B}(?: is)?",
    rf"how many times is {A} as {_AS_SIZE} as {B}",
    rf"how many times as {_AS_SIZE} as {B} is {A}",
    rf"how many times as {_AS_SIZE} is {A} (?:as|compared (?:to|with)) {B}",
    rf"how many times the {_ASPECT} of {B} is {A}",
    rf"(?:what is )?the ratio of the {_ASPECT} of {A} to (?:that|the (?P=aspect)) of {B}",
)
def _ratio(match: re.Match[str]) -> PlaceQuestion:
    if aspect := group_of(match, "aspect"):
        measure, is_more = _MEASURES.get(aspect, "area"), True
    else:
        word = _size_word(group_of(match, "stem") or match["size"])
        measure, is_more = word.measure, word.is_more
    places = match["a"], match["b"]
    return PlaceQuestion("ratio", places if is_more else places[::-1], measure=measure)


_TIMES = r"(?P<times>twice|double|triple|half|(?:\d+(?:\.\d+)?|[a-z]+(?: and a half)?) times)"
_AT_LEAST = r"(?:(?P<more>more than|at least|over|(?:no|not) less than) )?"


@_sentence(
    rf"is {A} {_AT_LEAST}{_TIMES} as {_AS_SIZE} as {B}(?: is)?",
    rf"is {A} {_AT_LEAST}{_TIMES} the {_ASPECT} of {B}",
    rf"(?:has|does) {A} (?:have |{COVER} )?{_AT_LEAST}{_TIMES} the {_ASPECT} of {B}",
)
def _some_times_as_large(match: re.Match[str]) -> PlaceQuestion:
    """Twice as large is about twice; at least twice may be more."""
    times, measure = _times_called(match["times"]), _MEASURES.get(group_of(match, "aspect"), "area")
    if word := group_of(match, "size"):
        size = _size_word(word)
        measure, times = size.measure, times if size.is_more else 1 / times
        if not size.is_more and group_of(match, "more"):
            raise QuestionError(f"{match['times']} {word} has no bound that is understood")
    kind: Kind = "larger" if group_of(match, "more") else "equal"
    return PlaceQuestion(kind, (match["a"], match["b"]), measure=measure, times=times)


@_sentence(rf"is {A} {_TIMES} as (?:far|distant)(?: away)? {_FROM} {B} as {C}(?: is)?")
def _some_times_as_far(match: re.Match[str]) -> PlaceQuestion:
    places, times = (match["a"], match["c"], match["b"]), _times_called(match["times"])
    return PlaceQuestion("equal", places, measure="distance", times=times)


def _times_called(words: str) -> float:
    """``twice``, ``2.5 times``, ``three times``, ``half``.

    Raises:
        QuestionError: If they are no number.
    """
    number = words.removesuffix(" times")
    amount = {"twice": 2.0, "double": 2.0, "triple": 3.0, "half": 0.5}.get(number)
    if amount is None:
        is_digits = re.fullmatch(r"\d+(?:\.\d+)?", number)
        amount = float(number) if is_digits else amount_of(number.replace(" a half", " half"))
    if not amount:
        raise QuestionError(f"{words!r} is no number of times")
    return amount


@_sentence(
    rf"is {A} {_EQUALLY} {_AS_SIZE} as {B}(?: is)?",
    rf"is {A} (?:of )?(?:the same|equal) {_ASPECT} (?:as|to) {B}",
    rf"are {A} and {B} (?:of )?(?:the same|equal) {_ASPECT}",
    rf"do {A} and {B} (?:have|cover) (?:the same|an equal) {_ASPECT}",
    rf"are {A} and {B} equally {_AS_SIZE}",
)
def _as_large(match: re.Match[str]) -> PlaceQuestion:
    aspect, size = group_of(match, "aspect"), group_of(match, "size")
    measure = _size_word(size).measure if size else _MEASURES.get(aspect, "area")
    return PlaceQuestion("equal", (match["a"], match["b"]), measure=measure)


@_sentence(
    rf"is {A} {_EQUALLY} {_FAR} {_FROM} {B} "
    rf"(?:and (?:(?:from|to) )?|as (?:it is )?(?:from|to) ){C}",
    rf"is {A} {_SAME_WAY} {_FROM} (?:both )?{B} (?:and|as) (?:(?:from|to) )?{C}",
    rf"are {B} and {C} (?:{_EQUALLY} {_FAR}|{_SAME_WAY}) {_FROM} {A}",
)
def _as_far(match: re.Match[str]) -> PlaceQuestion:
    return PlaceQuestion("equal", (match["b"], match["c"], match["a"]), measure="distance")


@_sentence(rf"is {A} {_EQUALLY} {_FAR} {_FROM} {B} as {C}(?: is)?")
def _as_far_as(match: re.Match[str]) -> PlaceQuestion:
    """As far from the mill as the school is: the ways from the mill are compared."""
    return PlaceQuestion("equal", (match["a"], match["c"], match["b"]), measure="distance")


@_sentence(
    rf"is {A} {STEM}er than {_AMOUNT}",
    rf"is (?:the )?{_ASPECT} of {A} (?:{_MORE}|{_LESS}|(?P<larger>larger|bigger|greater) than|"
    rf"smaller than) {_AMOUNT}",
    rf"is {A} (?:{_MORE}|{_LESS}) {_AMOUNT} {_AS_SIZE}",
    rf"does {A} {COVER} (?:{_MORE}|{_LESS}) {_AMOUNT}",
)
def _exceeds(match: re.Match[str]) -> PlaceQuestion:
    measure, is_most = _MEASURES.get(group_of(match, "aspect"), "area"), True
    if stem := group_of(match, "stem") or group_of(match, "size"):
        word = _size_word(stem)
        measure, is_most = word.measure, word.is_more
    if not group_of(match, "stem"):
        is_most = bool(group_of(match, "more") or group_of(match, "larger"))
    unit = unit_of(match, 2 if measure == "area" else 1)
    bound = float(match["number"].replace(",", "")) * UNITS[unit].size
    return PlaceQuestion(
        "exceeds", (match["a"],), measure=measure, is_most=is_most, unit=unit, meters=bound
    )


@_sentence(
    rf"how (?P<word>large|big|long|wide|broad) are {LIST}{IN_UNIT}",
    rf"(?:what (?:is|are) )?(?:the )?{_ASPECT}s? of (?:each of )?{LIST}{IN_UNIT}",
)
def _sizes(match: re.Match[str]) -> PlaceQuestion:
    words = {"long": "length", "wide": "width", "broad": "width"}
    word, aspect = group_of(match, "word"), group_of(match, "aspect")
    measure = words.get(word, "area") if word else _MEASURES.get(aspect, "area")
    unit = unit_of(match, 2 if measure == "area" else 1)
    return PlaceQuestion("sizes", _all_of(match), measure=measure, unit=unit)


_IN_ALL = r"(?:together|in total|altogether|combined)"


@_sentence(
    rf"(?:what is )?the (?:combined|total|joint) (?:area|size|footprint) of {LIST}{IN_UNIT}",
    rf"how (?:much {GROUND}|many {UNIT}) do {LIST} {COVER} {_IN_ALL}",
    rf"how (?:large|big) are {LIST} {_IN_ALL}{IN_UNIT}",
    rf"(?:what (?:is|are) )?(?:the )?(?:areas?|sizes?|footprints?) of {LIST} {_IN_ALL}{IN_UNIT}",
)
def _total(match: re.Match[str]) -> PlaceQuestion:
    return PlaceQuestion("total", _all_of(match), measure="area", unit=unit_of(match, 2))


@_sentence(
    rf"{_SORT} {LIST} by (?:their )?{_ASPECT}",
    rf"{_SORT} {LIST} (?:in order )?from (?:the )?{STEM}est to "
    rf"(?:the )?(?P<end>{'|'.join(SIZES)})est",
    rf"{_SORT} {LIST} by (?:their )?(?P<way>distance) (?:from|to) {A}",
    rf"{_SORT} {LIST} (?:in order )?from (?:the )?(?P<way>nearest|closest) to (?:the )?"
    rf"(?:farthest|furthest) from {A}",
)
def _ranking(match: re.Match[str]) -> PlaceQuestion:
    names = _all_of(match)
    if group_of(match, "way"):
        return PlaceQuestion("ranking", (match["a"], *names), measure="distance", is_most=False)
    if not (stem := group_of(match, "stem")):
        return PlaceQuestion("ranking", names, measure=_MEASURES.get(match["aspect"], "area"))
    _check_opposite(stem, match["end"])
    start = SIZES[stem]
    return PlaceQuestion("ranking", names, measure=start.measure, is_most=start.is_more)


@_sentence(
    rf"how far apart (?:are|do|lie) {LIST}(?: lie)?(?: from {EACH_OTHER})?{IN_UNIT}",
    rf"how far (?:are|do) {LIST} (?:lie )?(?:apart|(?:away )?from {EACH_OTHER}){IN_UNIT}",
    rf"(?:what (?:is|are) )?(?:the )?(?:pairwise )?distances? (?:between|among) {LIST}{IN_UNIT}",
)
def _apart(match: re.Match[str]) -> PlaceQuestion:
    return PlaceQuestion("apart", _all_of(match), unit=unit_of(match, 1))


@_sentence(
    rf"how far (?:away )?is {A} (?:away )?from {LIST}{IN_UNIT}",
    rf"(?:what are )?(?:the )?distances (?:from|of) {A} (?:to|from) {LIST}{IN_UNIT}",
)
def _distances(match: re.Match[str]) -> PlaceQuestion:
    return PlaceQuestion("distances", (match["a"], *_all_of(match)), unit=unit_of(match, 1))


@_sentence(
    rf"which (?:two|pair) of {LIST} (?:are|is|lie|lies) (?:the )?(?P<near>closest|nearest)"
    rf"(?: together|(?: to)? {EACH_OTHER})",
    rf"which (?:two|pair) of {LIST} (?:are|is|lie|lies) (?:the )?"
    rf"(?:farthest|furthest|most distant)(?: apart| (?:away )?from {EACH_OTHER})",
)
def _pair(match: re.Match[str]) -> PlaceQuestion:
    return PlaceQuestion("pair", _all_of(match), is_most=bool(group_of(match, "near")))


_IN_BETWEEN = r"(?:in |somewhere )?between"


@_sentence(
    rf"which(?: one)? of {LIST} {LIES} (?:{_IN_BETWEEN} the (?:other two|two others|others)|"
    r"in the middle)",
    rf"{WHICH_ONE} {LIES} (?:{_IN_BETWEEN} the (?:other two|two others|others)|in the middle)"
    rf"[,:] {LIST}",
)
def _middle(match: re.Match[str]) -> PlaceQuestion:
    return PlaceQuestion("middle", _all_of(match, "and|or"))


@_sentence(
    rf"{WHICH_ONE} {LIES} {_IN_BETWEEN} {A} and {B}[,:] {LIST}",
    rf"which(?: one)? of {LIST} {LIES} {_IN_BETWEEN} {A} and {B}",
)
def _which_between(match: re.Match[str]) -> PlaceQuestion:
    names = _all_of(match, "and|or")
    return PlaceQuestion("which between", (match["a"], match["b"], *names))


@_sentence(
    rf"which(?: ones?)? of {LIST} (?:is|are|lies?) {_TO_THE}{DIR} (?:of|from) {A}",
    rf"{WHICH_ONE} (?:is|are|lies?) {_TO_THE}{DIR} (?:of|from) {A}[,:] {LIST}",
)
def _which_toward(match: re.Match[str]) -> PlaceQuestion:
    names = (match["a"], *_all_of(match, "and|or"))
    return PlaceQuestion("which toward", names, plain_direction(match["dir"]))


def _all_of(match: re.Match[str], links: str = "and") -> tuple[str, ...]:
    """The names of a list; each may repeat the preposition before it: "from A and from B".

    Raises:
        QuestionError: If one of them is meant, and not all.
    """
    text = re.sub(r"(,| and|, and) (?:from|to) (?=the |an? )", r"\1 ", match["list"])
    if "or" not in links.split("|") and " or " in text:
        raise QuestionError(f"{text!r} are not meant together")
    return names_in(text)


def _check_opposite(stem: str, other: str) -> None:
    one, two = SIZES[stem], SIZES[other]
    if one.measure != two.measure or one.is_more == two.is_more:
        raise QuestionError(f"{stem}er and {other}er are not opposite")


def _size_word(word: str) -> SizeWord:
    """What an adjective or its stem compares: ``large``, ``bigg``, ``wide``."""
    return next(size for stem, size in SIZES.items() if stem.startswith(word.removesuffix("e")))
