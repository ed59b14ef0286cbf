"""Which questions are about where places lie and how large they are, by an explicit grammar.

A question that none of the sentences below fits is left to the model. So the sentences are whole:
each is matched from its first word to its last, and what stands for a place may hold no word that
makes another question of it.
"""

from __future__ import annotations

import re

from geofovea.errors import QuestionError
from geofovea.pipeline.relations.comparison_sentences import COMPARISONS
from geofovea.pipeline.relations.names import is_cover, is_line, is_name, names_in
from geofovea.pipeline.relations.place_question import PlaceQuestion
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
    STAND,
    STEM,
    TO_IT,
    UNIT,
    WHICH,
    WHICH_OF,
    WHICH_ONE,
    A,
    B,
    C,
    Sentence,
    adds_to,
    group_of,
    unit_of,
)
from geofovea.pipeline.relations.vocabulary import (
    CLOSER,
    LENGTH,
    SIZES,
    length_called,
    plain_direction,
)
from geofovea.pipeline.relations.wording import plain_question
from geofovea.regionfocus.search.router import DIRECTION

__all__ = ["parse_question", "seems_of_places"]

_ONE_OF_TWO = r"[^\W_][\w' -]*? or [^\W_][\w' -]*?"
_NEAR, _NOT_NEAR = "close|near", "further|farther"
_NEAREST = rf"(?P<near>{_NEAR})(?:r|er|st|est)"
_NEARER_TO = rf"(?P<near>clos|near)er{TO_IT}"
_FARTHEST = rf"(?P<far>{_NOT_NEAR}|farthest|furthest|most distant)"
_COVERS = r"(?:covers|has|occupies|takes up)"
_ASPECT = r"(?P<word>size|area|footprint|length|width|breadth)"
_ARTICLE = re.compile(r"\b(?:the|an?) $")
_COMPASS = r"(?:compass |cardinal )?"
_CLOSER = rf"(?:{CLOSER}|nearer than)"
_BEYOND = r"(?P<far>more than|at least|(?:no|not) less than|(?:farther|further) than|over)"
_RELATIVE = r"(?:from|of|relative to|in relation to|with respect to|(?:as )?seen from)"
_SEEMING = re.compile(
    r"\bhow (?:far|distant)\b(?! along)|\bhow (?:close|near)\b.* (?:to|from) the\b"
    r"|\b(?:distances?|separation|gap) (?:between|from|to|of)\b|\bfarthest apart\b|\bequidistant\b"
    rf"|\bhow (?:much|many [a-z]+) (?:{'|'.join(SIZES)}|clos|near|furth|farth)er\b"
    r"|\b(?:twice|half|times) (?:as (?:large|big|long|wide|far)|the (?:size|area|length))\b"
    r"|\b(?:the )?same (?:size|area|distance)\b|\bas (?:far|large|big|long|wide)\b.* as\b"
    r"|\b(?:area|size|length|width|perimeter|dimensions|coordinates) of the\b"
    r"|\bhow (?:large|big|long|wide) (?:is|are) the\b"
    rf"|\b{DIRECTION}(?: of)? or \w+(?: \w+)* of the\b"
    rf"|\b(?:{'|'.join(SIZES)}|clos|near)er than\b|\b(?:farther|further) \w+ than\b"
)

_SENTENCES: list[Sentence] = []
_sentence = adds_to(_SENTENCES)


def parse_question(question: str) -> PlaceQuestion | None:
    """What a question asks of the geometry of places; None where it is no such question.

    Args:
        question: English, in any case and spacing. Bare phrases such as ``distance from the roof to
            the pond`` count, too.
    """
    text = plain_question(question)
    for pattern, make in (*_SENTENCES, *COMPARISONS):
        match = pattern.fullmatch(text)
        if match is None:
            continue
        try:
            parsed = make(match)
        except (QuestionError, LookupError):
            continue
        if parsed.is_of_size and _is_any(match):
            continue
        are_places = all(is_name(name) and not is_line(name) for name in parsed.places)
        if are_places and len(set(parsed.places)) == len(parsed.places) and not _means_all(match):
            return parsed
    return None


def seems_of_places(question: str) -> bool:
    """Whether a question seems to ask how far, how large or on which side, in whatever words.

    Where the grammar does not read it, the model answers, and a model cannot measure.

    Args:
        question: English, in any case and spacing.
    """
    return _SEEMING.search(plain_question(question)) is not None


def _is_any(match: re.Match[str]) -> bool:
    """Whether the second place is any of a kind: as large as a football field."""
    start = match.start("b") if group_of(match, "b") else 0
    return re.search(r"\ban? $", match.string[:start]) is not None


def _means_all(match: re.Match[str]) -> bool:
    """Whether a name without its article means all of a kind: the distance from water."""
    groups = match.groupdict()
    spans = [match.span(group) for group in "abc" if groups.get(group)]
    listed = re.split(r",? (?:or|and) |, ", groups.get("list") or "")
    alone = [match.string[a:b] for a, b in spans if not _ARTICLE.search(match.string[:a])]
    return any(is_cover(name.strip(" ,")) for name in (*alone, *listed))


@_sentence(
    rf"{ONE_IS}(?:to the )?{DIR}(?: of| from)? {B}",
    rf"{ONE_IS}(?:on|to) the (?P<dir>left|right)(?:[- ]hand)?(?: side)? of {B}",
)
def _direction(match: re.Match[str]) -> PlaceQuestion:
    word = plain_direction(match["dir"])
    between = match.string[match.end("dir") : match.start("b")]
    # above and below need no preposition, and nothing else does without one
    if (word in ("above", "below")) == bool(re.search(r" (?:of|from) ", between)):
        raise QuestionError(f"{word!r} does not stand so")
    return PlaceQuestion("direction", (match["a"], match["b"]), word)


@_sentence(
    rf"(?:in )?(?:which|what) {_COMPASS}direction (?:from|of) {B} (?:is|does) {A}"
    rf"(?: lie)?",
    rf"(?:in )?(?:which|what) {_COMPASS}(?:direction|way) (?:is|does) {A} "
    rf"(?:lie )?{_RELATIVE} {B}",
    rf"(?:in )?(?:which|what) direction "
    rf"(?:is it|(?:do|should|must|would) (?:i|we|you) (?:go|travel|walk|head|move))"
    rf"(?: to get)? from {B} to {A}",
    rf"(?:on )?(?:which|what) side of {B} (?:is|does) {A}(?: lie)?(?: on)?",
    rf"(?:(?:as )?seen )?from {B}, (?:in )?(?:which|what) direction is {A}",
    rf"(?:what is the )?{_COMPASS}(?:direction|bearing|heading|azimuth) from {B} to {A}",
    rf"(?:what is the )?{_COMPASS}(?:direction|bearing|azimuth) of {A} (?:as seen )?from {B}",
    rf"(?:what is the )?(?:location|position) of {A} {_RELATIVE} {B}",
    rf"(?:what is )?{A}'s (?:location|position|direction|bearing) {_RELATIVE} {B}",
    rf"(?:where|how) (?:is|does) {A} (?:lie |stand |sit )?{STAND}"
    rf"(?:relative to|in relation to|with respect to|as seen from) {B}",
)
def _bearing(match: re.Match[str]) -> PlaceQuestion:
    return PlaceQuestion("bearing", (match["a"], match["b"]))


@_sentence(
    rf"how far (?:away )?is {A} (?:away )?(?:from|to) {B}{IN_UNIT}",
    rf"how (?:far|distant) (?:is|does) {A} (?:lie )?{STAND}(?:away )?from {B}{IN_UNIT}",
    rf"how far (?:away )?from {A} (?:is|does) {B}(?: lie)?{IN_UNIT}",
    rf"how far {A} (?:is|lies) (?:away )?from {B}{IN_UNIT}",
    rf"how far (?:is it )?(?:from|between) {A} (?:to|and) {B}{IN_UNIT}",
    rf"how far is it to {A} from {B}{IN_UNIT}",
    rf"at (?:which|what) distance from {A} (?:is|does) {B}(?: lie| stand)?{IN_UNIT}",
    rf"how far apart (?:are|do|lie) {A} and {B}(?: lie)?(?: from {EACH_OTHER})?{IN_UNIT}",
    rf"how far apart {A} and {B} (?:are|lie){IN_UNIT}",
    rf"how close (?:together )?are {A} and {B}(?: to {EACH_OTHER})?{IN_UNIT}",
    rf"how far (?:are|do) {A} and {B} (?:lie )?(?:apart|(?:away )?from {EACH_OTHER}){IN_UNIT}",
    # without its article it may be a deed: "how close is the plane to landing"
    rf"how (?:close|near) is {A} to the (?P<b>[^\W_][\w' -]*?){IN_UNIT}",
    rf"{DISTANCE} (?:between|from|separating) {A} (?:and|to) {B}{IN_UNIT}",
    rf"(?:the )?distance (?!.* (?:by|of|for|in|on|at|with) ){A} to {B}{IN_UNIT}",
    rf"{DISTANCE} in {UNIT} (?:between|from) {A} (?:and|to) {B}",
    rf"{DISTANCE} (?:of|from) {A} from {B}{IN_UNIT}",
    rf"(?:what is )?{A}'s distance (?:from|to) {B}{IN_UNIT}",
    rf"{DISTANCE} to {A} from {B}{IN_UNIT}",
    rf"(?:what|which|how much) distance (?:separates|lies between|is between|is there between) "
    rf"{A} (?:and|from) {B}{IN_UNIT}",
    rf"by (?:how much|(?:what|which) distance) (?:is|are) {A} separated from {B}{IN_UNIT}",
    rf"by (?:how much|(?:what|which) distance) are {A} and {B} separated{IN_UNIT}",
    rf"by how many {UNIT} (?:is|are) {A} separated from {B}",
    rf"by how many {UNIT} are {A} and {B} separated",
    rf"how many {UNIT} is it (?:between|from) {A} (?:to|and) {B}",
    rf"how many {UNIT} (?:away |apart )?(?:is|are) {A} "
    rf"(?:(?:away )?from|to|and) {B}(?: apart)?",
    rf"how many {UNIT} (?:lie|are|are there) between {A} and {B}",
    rf"(?:(?:in|at) )?how many {UNIT} (?:away )?(?:does|do|is|are) {A} (?:lie )?"
    rf"(?:away )?from {B}",
    rf"(?:in|at) (?:how many {UNIT}|(?:what|which) distance)(?: away)? from {A} {LIES} {B}",
    rf"how many {UNIT} separate {A} (?:from|and) {B}",
)
def _distance(match: re.Match[str]) -> PlaceQuestion:
    return PlaceQuestion("distance", (match["a"], match["b"]), unit=unit_of(match, 1))


@_sentence(
    rf"{ONE_IS}(?:{_CLOSER}|{_BEYOND}) {LENGTH} (?:away )?(?:of|from|to) {B}",
    rf"is (?:the )?distance (?:between|from) {A} (?:and|to) {B} (?:{_CLOSER}|{_BEYOND}) {LENGTH}",
    rf"(?:are|do) {A} and {B} (?:lie )?(?:{_CLOSER}|{_BEYOND}) {LENGTH} "
    rf"(?:apart|(?:away )?(?:of|from) {EACH_OTHER})",
)
def _within(match: re.Match[str]) -> PlaceQuestion:
    length = length_called(match["number"], match["unit"])
    if length is None:
        raise LookupError(match["unit"])
    meters, unit = length
    is_within = not group_of(match, "far")
    return PlaceQuestion(
        "within", (match["a"], match["b"]), is_most=is_within, unit=unit.symbol, meters=meters
    )


@_sentence(
    rf"(?:is|does) {A} (?:lie )?{_NEARER_TO} {B} than(?: to)? {C}(?: is| does)?",
    rf"(?:is|does) {A} (?:lie )?(?P<far>{_NOT_NEAR}) (?:away )?from {B} than(?: from)? {C}"
    rf"(?: is| does)?",
)
def _nearer(match: re.Match[str]) -> PlaceQuestion:
    """The last place is compared with the first ("than the depot is") or the second ("to")."""
    places = match["a"], match["b"], match["c"]
    if re.search(rf"than (?:to|from) (?:the |an? )?{re.escape(match['c'])}$", match.string):
        return PlaceQuestion(
            "nearer", (match["b"], match["a"], match["c"]), is_most=not group_of(match, "far")
        )
    return PlaceQuestion("nearer", places, is_most=not group_of(match, "far"))


@_sentence(rf"is {A} (?P<near>clos|near)er than {B} to {C}")
def _nearer_than(match: re.Match[str]) -> PlaceQuestion:
    return PlaceQuestion("nearer", (match["a"], match["c"], match["b"]))


@_sentence(
    rf"{WHICH}{_NEAREST}{TO_IT} {A}[,:] {LIST}",
    rf"{WHICH_OF}{_NEAREST}{TO_IT} {A}",
    rf"{WHICH}{_FARTHEST} (?:away )?from {A}[,:]? {LIST}",
    rf"{WHICH_OF}{_FARTHEST} (?:away )?from {A}",
)
def _nearest(match: re.Match[str]) -> PlaceQuestion:
    places = (match["a"], *names_in(match["list"]))
    return PlaceQuestion("nearest", places, is_most=not group_of(match, "far"))


@_sentence(
    rf"(?:is|does) {A} (?:lie )?{_NEARER_TO} {B},? or (?:to )?{C}",
    rf"is {B} or {C} {_NEARER_TO} {A}",
    rf"is {B} or {C} (?P<far>{_NOT_NEAR}) (?:away )?from {A}",
    rf"(?:is|does) {A} (?:lie )?(?P<far>{_NOT_NEAR}) (?:away )?from {B},? or (?:from )?{C}",
)
def _nearest_of_two(match: re.Match[str]) -> PlaceQuestion:
    places = (match["a"], match["b"], match["c"])
    return PlaceQuestion("nearest", places, is_most=not group_of(match, "far"))


@_sentence(
    rf"how (?P<word>large|big|long|wide|broad) is {A}{IN_UNIT}",
    rf"how (?P<word>large|big|long|wide|broad) {A} is{IN_UNIT}",
    rf"(?:what is )?(?:the )?(?:(?:total|surface|ground|land|overall) )?{_ASPECT} "
    rf"(?:of|covered by) {A}{IN_UNIT}",
    rf"(?:what|which) {_ASPECT} (?:is|has|does) {A}(?: have| cover)?{IN_UNIT}",
    rf"what {_ASPECT} is (?:covered|occupied|taken up) by {A}{IN_UNIT}",
    rf"(?:what is )?{A}'s {_ASPECT}{IN_UNIT}",
    rf"how much {GROUND} does {A} {COVER}{IN_UNIT}",
    rf"how much {GROUND} is (?:covered|occupied|taken up) by {A}{IN_UNIT}",
    rf"how many {UNIT} (?P<word>large|big|long|wide|broad) is {A}",
    rf"how many {UNIT} is {A} (?P<word>large|big|long|wide|broad)",
    rf"how many {UNIT} (?:of {GROUND} )?does {A} (?:cover|occupy|take up|have|span)",
    rf"how many {UNIT} (?:is|are covered by|are occupied by) {A}",
)
def _size(match: re.Match[str]) -> PlaceQuestion:
    word = group_of(match, "word")
    measure = {"long": "length", "wide": "width", "broad": "width", "breadth": "width"}.get(
        word, word
    )
    measure = measure if measure in ("length", "width") else "area"
    unit = unit_of(match, 2 if measure == "area" else 1)
    return PlaceQuestion("size", (match["a"],), measure=measure, unit=unit)


@_sentence(
    rf"is {A} (?:the )?{STEM}er than {B}(?: is)?",
    rf"is {A} {STEM}er in area than {B}(?: is)?",
    rf"does {A} {COVER} an? {STEM}er {GROUND} than {B}(?: does)?",
)
def _larger(match: re.Match[str]) -> PlaceQuestion:
    word = SIZES[match["stem"]]
    places = match["a"], match["b"]
    return PlaceQuestion("larger", places, measure=word.measure, is_most=word.is_more)


@_sentence(rf"does {A} {COVER} (?P<more>more|less) {GROUND} than {B}(?: does)?")
def _larger_area(match: re.Match[str]) -> PlaceQuestion:
    places = match["a"], match["b"]
    return PlaceQuestion("larger", places, measure="area", is_most=match["more"] == "more")


@_sentence(
    rf"{WHICH}{STEM}(?:er|est)(?: one)?[,:] {LIST}",
    rf"{WHICH_ONE} {_COVERS} (?:the |an? )?{STEM}(?:er|est) "
    rf"{GROUND}[,:] {LIST}",
    rf"{WHICH}{STEM}(?:er|est)(?: one)? (?:of|out of|among|between) {LIST}",
    rf"is (?P<list>{_ONE_OF_TWO}) (?:the )?{STEM}er(?: one)?",
    rf"{WHICH_OF}{STEM}(?:er|est)",
    rf"which of {LIST} {_COVERS} (?:the |an? )?{STEM}(?:er|est) {GROUND}",
)
def _largest(match: re.Match[str]) -> PlaceQuestion:
    word = SIZES[match["stem"]]
    places = names_in(match["list"])
    return PlaceQuestion("largest", places, measure=word.measure, is_most=word.is_more)


@_sentence(
    rf"{WHICH_ONE} {_COVERS} (?:the )?(?P<more>more|most|less|least) {GROUND}[,:] "
    rf"{LIST}",
    rf"which of {LIST} {_COVERS} (?:the )?(?P<more>more|most|less|least) {GROUND}",
)
def _largest_area(match: re.Match[str]) -> PlaceQuestion:
    is_most = match["more"] in ("more", "most")
    return PlaceQuestion("largest", names_in(match["list"]), measure="area", is_most=is_most)


@_sentence(rf"{ONE_IS}(?:in |somewhere )?between {B} and {C}")
def _between(match: re.Match[str]) -> PlaceQuestion:
    return PlaceQuestion("between", (match["a"], match["b"], match["c"]))


@_sentence(
    rf"{ONE_IS}{FAR_TO} {DIR} than {B}(?: is| does)?",
    rf"is {A} more {DIR}(?:ern|erly) than {B}(?: is)?",
)
def _farther(match: re.Match[str]) -> PlaceQuestion:
    direction = plain_direction(match["dir"])
    return PlaceQuestion("farther", (match["a"], match["b"]), direction)


@_sentence(
    rf"{WHICH}(?:{FAR_TO}|(?:farthest|furthest)(?: to the)?) {DIR}[,:]? {LIST}",
    rf"is (?P<list>{_ONE_OF_TWO}) {FAR_TO} {DIR}",
    rf"{WHICH_OF}(?:{FAR_TO}|(?:farthest|furthest)(?: to the)?) {DIR}",
    rf"{WHICH_OF}(?:{DIR}(?:ern)?[- ]?most)",
    rf"{WHICH}{DIR}(?:ern)?[- ]?most(?: one)? (?:of|out of|among) {LIST}",
    rf"{WHICH}(?:more|most) {DIR}(?:ern|erly)(?: one)? (?:of|out of|among) {LIST}",
    rf"{WHICH}{DIR}(?:ern)?[- ]?most(?: one)?[,:]? {LIST}",
    rf"{WHICH}(?:more|most) {DIR}(?:ern|erly)[,:] {LIST}",
    rf"{WHICH_OF}(?:more|most) {DIR}(?:ern|erly)",
)
def _farthest(match: re.Match[str]) -> PlaceQuestion:
    direction = plain_direction(match["dir"])
    return PlaceQuestion("farthest", names_in(match["list"]), direction)


@_sentence(
    rf"(?:list|order|sort|name|give|put|arrange|rank|what is the order of) {LIST} (?:in order )?"
    rf"from (?:the )?(?P<from>{DIRECTION}) to (?:the )?(?P<to>{DIRECTION})",
    rf"in (?:which|what) order do {LIST} (?:lie|stand|come) "
    rf"from (?:the )?(?P<from>{DIRECTION}) to (?:the )?(?P<to>{DIRECTION})",
    rf"(?:from (?:the )?(?P<from>{DIRECTION}) to (?:the )?(?P<to>{DIRECTION})),? "
    rf"(?:list|order|sort|name|give|arrange|rank) {LIST}",
    rf"(?:list|order|sort|name|give|arrange|rank) "
    rf"from (?:the )?(?P<from>{DIRECTION}) to (?:the )?(?P<to>{DIRECTION}): {LIST}",
)
def _order(match: re.Match[str]) -> PlaceQuestion:
    start, end = plain_direction(match["from"]), plain_direction(match["to"])
    if OPPOSITE.get(start) != end:
        raise QuestionError(f"{start} and {end} are not opposite")
    return PlaceQuestion("order", names_in(match["list"]), start)
