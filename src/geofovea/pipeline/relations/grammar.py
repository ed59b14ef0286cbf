"""Which questions are about where places lie and how large they are, by an explicit grammar.

A question that none of the sentences below fits is left to the model. So the sentences are whole:
each is matched from its first word to its last, and what stands for a place may hold no word that
makes another question of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from geofovea.errors import QuestionError
from geofovea.pipeline.relations.names import NUMBERS, is_cover, is_line, is_name, names_in
from geofovea.pipeline.relations.place_question import PlaceQuestion
from geofovea.pipeline.relations.vocabulary import (
    CLOSER,
    LENGTH,
    SIZES,
    length_called,
    plain_direction,
    unit_called,
)
from geofovea.pipeline.relations.wording import plain_question
from geofovea.regionfocus.search.router import DIRECTION

__all__ = ["parse_question"]


def _name(group: str) -> str:
    return rf"(?:the |an? )?(?P<{group}>[^\W_][\w' -]*?)"


_A, _B, _C = _name("a"), _name("b"), _name("c")
_ONE_OF_TWO = r"[^\W_][\w' -]*? or [^\W_][\w' -]*?"
_LIST = r"(?P<list>[^\W_][\w', -]*?)"
_DIR = rf"(?P<dir>{DIRECTION})"
_STAND = r"(?:located |situated |placed |positioned |standing |lying )?"
_ONE_IS = rf"(?:is|does) {_A} (?:(?:lie|stand|sit) )?{_STAND}"
_STEM = rf"(?P<stem>{'|'.join(SIZES)})"
_FAR_TO = r"(?:(?:further|farther)(?: to the)?|more to the)"
_UNIT = r"(?P<unit>(?:square |sq\.? |nautical )?[a-z]+(?:\^?2|²)?)"
_IN_UNIT = rf"(?:,? (?:(?:measured|expressed|given) )?in {_UNIT})?"
_NEAR, _NOT_NEAR = "close|near", "further|farther"
_NEAREST = rf"(?P<near>{_NEAR})(?:r|er|st|est)"
# "nearest the barn" is "nearest to the barn", and "the nearest barn" is a barn
_TO_IT = r"(?: to|(?<=near[a-z]{2})(?= the )|(?<=near[a-z]{3})(?= the ))"
_NEARER_TO = rf"(?P<near>clos|near)er{_TO_IT}"
_FARTHEST = rf"(?P<far>{_NOT_NEAR}|farthest|furthest|most distant)"
_LIES = r"(?:is|lies|stands|sits)"
_OF_THESE = rf"(?: of (?:these|those|them|the (?:{'|'.join(NUMBERS)})))?(?: places| sites)?"
_WHICH_ONE = rf"(?:which|what)(?: one| place)?{_OF_THESE}"
_WHICH = rf"{_WHICH_ONE} {_LIES} (?:the )?"
_WHICH_OF = rf"which of {_LIST} {_LIES} (?:the )?"
_COVERS = r"(?:covers|has|occupies|takes up)"
_COVER = r"(?:cover|have|occupy|take up)"
_EACH_OTHER = r"(?:each other|one another)"
_ASPECT = r"(?P<word>size|area|footprint|length|width|breadth)"
_DISTANCE = (
    r"(?:(?:what is|what would be) )?(?:the )?"
    r"(?:(?:straight[- ]line|direct|geodesic|great[- ]circle|exact|approximate|total) )?"
    r"(?:distance|separation)"
)
_GROUND = r"(?:area|footprint|land|ground|space|surface(?: area)?)"
_ARTICLE = re.compile(r"\b(?:the|an?) $")
_COMPASS = r"(?:compass |cardinal )?"
_CLOSER = rf"(?:{CLOSER}|nearer than)"
_BEYOND = r"(?P<far>more than|at least|(?:no|not) less than|(?:farther|further) than|over)"
_RELATIVE = r"(?:from|of|relative to|in relation to|with respect to|(?:as )?seen from)"


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
    text = plain_question(question)
    for pattern, make in _SENTENCES:
        match = pattern.fullmatch(text)
        if match is None:
            continue
        try:
            parsed = make(match)
        except (QuestionError, LookupError):
            continue
        are_places = all(is_name(name) and not is_line(name) for name in parsed.places)
        if are_places and len(set(parsed.places)) == len(parsed.places) and not _means_all(match):
            return parsed
    return None


def _means_all(match: re.Match[str]) -> bool:
    """Whether a name without its article means all of a kind: the distance from water."""
    groups = match.groupdict()
    spans = [match.span(group) for group in "abc" if groups.get(group)]
    listed = re.split(r",? (?:or|and) |, ", groups.get("list") or "")
    alone = [match.string[a:b] for a, b in spans if not _ARTICLE.search(match.string[:a])]
    return any(is_cover(name.strip(" ,")) for name in (*alone, *listed))


@_sentence(
    rf"{_ONE_IS}(?:to the )?{_DIR}(?: of| from)? {_B}",
    rf"{_ONE_IS}(?:on|to) the (?P<dir>left|right)(?:[- ]hand)?(?: side)? of {_B}",
)
def _direction(match: re.Match[str]) -> PlaceQuestion:
    word = plain_direction(match["dir"])
    between = match.string[match.end("dir") : match.start("b")]
    # above and below need no preposition, and nothing else does without one
    if (word in ("above", "below")) == bool(re.search(r" (?:of|from) ", between)):
        raise QuestionError(f"{word!r} does not stand so")
    return PlaceQuestion("direction", (match["a"], match["b"]), word)


@_sentence(
    rf"(?:in )?(?:which|what) {_COMPASS}direction (?:from|of) {_B} (?:is|does) {_A}"
    rf"(?: lie)?",
    rf"(?:in )?(?:which|what) {_COMPASS}(?:direction|way) (?:is|does) {_A} "
    rf"(?:lie )?{_RELATIVE} {_B}",
    rf"(?:in )?(?:which|what) direction "
    rf"(?:is it|(?:do|should|must|would) (?:i|we|you) (?:go|travel|walk|head|move))"
    rf"(?: to get)? from {_B} to {_A}",
    rf"(?:on )?(?:which|what) side of {_B} (?:is|does) {_A}(?: lie)?(?: on)?",
    rf"(?:(?:as )?seen )?from {_B}, (?:in )?(?:which|what) direction is {_A}",
    rf"(?:what is the )?{_COMPASS}(?:direction|bearing|heading|azimuth) from {_B} to {_A}",
    rf"(?:what is the )?{_COMPASS}(?:direction|bearing|azimuth) of {_A} (?:as seen )?from {_B}",
    rf"(?:what is the )?(?:location|position) of {_A} {_RELATIVE} {_B}",
    rf"(?:what is )?{_A}'s (?:location|position|direction|bearing) {_RELATIVE} {_B}",
    rf"(?:where|how) (?:is|does) {_A} (?:lie |stand |sit )?{_STAND}"
    rf"(?:relative to|in relation to|with respect to|as seen from) {_B}",
)
def _bearing(match: re.Match[str]) -> PlaceQuestion:
    return PlaceQuestion("bearing", (match["a"], match["b"]))


@_sentence(
    rf"how far (?:away )?is {_A} (?:away )?(?:from|to) {_B}{_IN_UNIT}",
    rf"how (?:far|distant) (?:is|does) {_A} (?:lie )?{_STAND}(?:away )?from {_B}{_IN_UNIT}",
    rf"how far (?:away )?from {_A} (?:is|does) {_B}(?: lie)?{_IN_UNIT}",
    rf"how far {_A} (?:is|lies) (?:away )?from {_B}{_IN_UNIT}",
    rf"how far (?:is it )?(?:from|between) {_A} (?:to|and) {_B}{_IN_UNIT}",
    rf"how far is it to {_A} from {_B}{_IN_UNIT}",
    rf"at (?:which|what) distance from {_A} (?:is|does) {_B}(?: lie| stand)?{_IN_UNIT}",
    rf"how far apart (?:are|do|lie) {_A} and {_B}(?: lie)?(?: from {_EACH_OTHER})?{_IN_UNIT}",
    rf"how far apart {_A} and {_B} (?:are|lie){_IN_UNIT}",
    rf"how close (?:together )?are {_A} and {_B}(?: to {_EACH_OTHER})?{_IN_UNIT}",
    rf"how far (?:are|do) {_A} and {_B} (?:lie )?(?:apart|(?:away )?from {_EACH_OTHER}){_IN_UNIT}",
    # without its article it may be a deed: "how close is the plane to landing"
    rf"how (?:close|near) is {_A} to the (?P<b>[^\W_][\w' -]*?){_IN_UNIT}",
    rf"{_DISTANCE} (?:between|from|separating) {_A} (?:and|to) {_B}{_IN_UNIT}",
    rf"(?:the )?distance (?!.* (?:by|of|for|in|on|at|with) ){_A} to {_B}{_IN_UNIT}",
    rf"{_DISTANCE} in {_UNIT} (?:between|from) {_A} (?:and|to) {_B}",
    rf"{_DISTANCE} (?:of|from) {_A} from {_B}{_IN_UNIT}",
    rf"(?:what is )?{_A}'s distance (?:from|to) {_B}{_IN_UNIT}",
    rf"{_DISTANCE} to {_A} from {_B}{_IN_UNIT}",
    rf"(?:what|which|how much) distance (?:separates|lies between|is between|is there between) "
    rf"{_A} (?:and|from) {_B}{_IN_UNIT}",
    rf"by (?:how much|(?:what|which) distance) (?:is|are) {_A} separated from {_B}{_IN_UNIT}",
    rf"by (?:how much|(?:what|which) distance) are {_A} and {_B} separated{_IN_UNIT}",
    rf"by how many {_UNIT} (?:is|are) {_A} separated from {_B}",
    rf"by how many {_UNIT} are {_A} and {_B} separated",
    rf"how many {_UNIT} is it (?:between|from) {_A} (?:to|and) {_B}",
    rf"how many {_UNIT} (?:away |apart )?(?:is|are) {_A} "
    rf"(?:(?:away )?from|to|and) {_B}(?: apart)?",
    rf"how many {_UNIT} (?:lie|are|are there) between {_A} and {_B}",
    rf"(?:(?:in|at) )?how many {_UNIT} (?:away )?(?:does|do|is|are) {_A} (?:lie )?"
    rf"(?:away )?from {_B}",
    rf"(?:in|at) (?:how many {_UNIT}|(?:what|which) distance)(?: away)? from {_A} {_LIES} {_B}",
    rf"how many {_UNIT} separate {_A} (?:from|and) {_B}",
)
def _distance(match: re.Match[str]) -> PlaceQuestion:
    return PlaceQuestion("distance", (match["a"], match["b"]), unit=_unit(match, 1))


@_sentence(
    rf"{_ONE_IS}(?:{_CLOSER}|{_BEYOND}) {LENGTH} (?:away )?(?:of|from|to) {_B}",
    rf"(?:are|do) {_A} and {_B} (?:lie )?(?:{_CLOSER}|{_BEYOND}) {LENGTH} "
    rf"(?:apart|(?:away )?(?:of|from) {_EACH_OTHER})",
)
def _within(match: re.Match[str]) -> PlaceQuestion:
    length = length_called(match["number"], match["unit"])
    if length is None:
        raise LookupError(match["unit"])
    meters, unit = length
    is_within = not _group(match, "far")
    return PlaceQuestion(
        "within", (match["a"], match["b"]), is_most=is_within, unit=unit.symbol, meters=meters
    )


@_sentence(
    rf"(?:is|does) {_A} (?:lie )?{_NEARER_TO} {_B} than(?: to)? {_C}(?: is| does)?",
    rf"(?:is|does) {_A} (?:lie )?(?P<far>{_NOT_NEAR}) (?:away )?from {_B} than(?: from)? {_C}"
    rf"(?: is| does)?",
)
def _nearer(match: re.Match[str]) -> PlaceQuestion:
    """The last place is compared with the first ("than the depot is") or the second ("to")."""
    places = match["a"], match["b"], match["c"]
    if re.search(rf"than (?:to|from) (?:the |an? )?{re.escape(match['c'])}$", match.string):
        return PlaceQuestion(
            "nearer", (match["b"], match["a"], match["c"]), is_most=not _group(match, "far")
        )
    return PlaceQuestion("nearer", places, is_most=not _group(match, "far"))


@_sentence(rf"is {_A} (?P<near>clos|near)er than {_B} to {_C}")
def _nearer_than(match: re.Match[str]) -> PlaceQuestion:
    return PlaceQuestion("nearer", (match["a"], match["c"], match["b"]))


@_sentence(
    rf"{_WHICH}{_NEAREST}{_TO_IT} {_A}[,:] {_LIST}",
    rf"{_WHICH_OF}{_NEAREST}{_TO_IT} {_A}",
    rf"{_WHICH}{_FARTHEST} (?:away )?from {_A}[,:]? {_LIST}",
    rf"{_WHICH_OF}{_FARTHEST} (?:away )?from {_A}",
)
def _nearest(match: re.Match[str]) -> PlaceQuestion:
    places = (match["a"], *names_in(match["list"]))
    return PlaceQuestion("nearest", places, is_most=not _group(match, "far"))


@_sentence(
    rf"(?:is|does) {_A} (?:lie )?{_NEARER_TO} {_B},? or (?:to )?{_C}",
    rf"is {_B} or {_C} {_NEARER_TO} {_A}",
    rf"is {_B} or {_C} (?P<far>{_NOT_NEAR}) (?:away )?from {_A}",
    rf"(?:is|does) {_A} (?:lie )?(?P<far>{_NOT_NEAR}) (?:away )?from {_B},? or (?:from )?{_C}",
)
def _nearest_of_two(match: re.Match[str]) -> PlaceQuestion:
    places = (match["a"], match["b"], match["c"])
    return PlaceQuestion("nearest", places, is_most=not _group(match, "far"))


@_sentence(
    rf"how (?P<word>large|big|long|wide|broad) is {_A}{_IN_UNIT}",
    rf"how (?P<word>large|big|long|wide|broad) {_A} is{_IN_UNIT}",
    rf"(?:what is )?(?:the )?(?:(?:total|surface|ground|land|overall) )?{_ASPECT} "
    rf"(?:of|covered by) {_A}{_IN_UNIT}",
    rf"(?:what|which) {_ASPECT} (?:is|has|does) {_A}(?: have| cover)?{_IN_UNIT}",
    rf"what {_ASPECT} is (?:covered|occupied|taken up) by {_A}{_IN_UNIT}",
    rf"(?:what is )?{_A}'s {_ASPECT}{_IN_UNIT}",
    rf"how much {_GROUND} does {_A} {_COVER}{_IN_UNIT}",
    rf"how much {_GROUND} is (?:covered|occupied|taken up) by {_A}{_IN_UNIT}",
    rf"how many {_UNIT} (?P<word>large|big|long|wide|broad) is {_A}",
    rf"how many {_UNIT} is {_A} (?P<word>large|big|long|wide|broad)",
    rf"how many {_UNIT} (?:of {_GROUND} )?does {_A} (?:cover|occupy|take up|have|span)",
    rf"how many {_UNIT} (?:is|are covered by|are occupied by) {_A}",
)
def _size(match: re.Match[str]) -> PlaceQuestion:
    word = _group(match, "word")
    measure = {"long": "length", "wide": "width", "broad": "width", "breadth": "width"}.get(
        word, word
    )
    measure = measure if measure in ("length", "width") else "area"
    unit = _unit(match, 2 if measure == "area" else 1)
    return PlaceQuestion("size", (match["a"],), measure=measure, unit=unit)


@_sentence(
    rf"is {_A} (?:the )?{_STEM}er than {_B}(?: is)?",
    rf"is {_A} {_STEM}er in area than {_B}(?: is)?",
    rf"does {_A} {_COVER} an? {_STEM}er {_GROUND} than {_B}(?: does)?",
)
def _larger(match: re.Match[str]) -> PlaceQuestion:
    word = SIZES[match["stem"]]
    places = match["a"], match["b"]
    return PlaceQuestion("larger", places, measure=word.measure, is_most=word.is_more)


@_sentence(rf"does {_A} {_COVER} (?P<more>more|less) {_GROUND} than {_B}(?: does)?")
def _larger_area(match: re.Match[str]) -> PlaceQuestion:
    places = match["a"], match["b"]
    return PlaceQuestion("larger", places, measure="area", is_most=match["more"] == "more")


@_sentence(
    rf"{_WHICH}{_STEM}(?:er|est)(?: one)?[,:] {_LIST}",
    rf"{_WHICH_ONE} {_COVERS} (?:the |an? )?{_STEM}(?:er|est) "
    rf"{_GROUND}[,:] {_LIST}",
    rf"{_WHICH}{_STEM}(?:er|est)(?: one)? (?:of|out of|among|between) {_LIST}",
    rf"is (?P<list>{_ONE_OF_TWO}) (?:the )?{_STEM}er(?: one)?",
    rf"{_WHICH_OF}{_STEM}(?:er|est)",
    rf"which of {_LIST} {_COVERS} (?:the |an? )?{_STEM}(?:er|est) {_GROUND}",
)
def _largest(match: re.Match[str]) -> PlaceQuestion:
    word = SIZES[match["stem"]]
    places = names_in(match["list"])
    return PlaceQuestion("largest", places, measure=word.measure, is_most=word.is_more)


@_sentence(
    rf"{_WHICH_ONE} {_COVERS} (?:the )?(?P<more>more|most|less|least) {_GROUND}[,:] "
    rf"{_LIST}",
    rf"which of {_LIST} {_COVERS} (?:the )?(?P<more>more|most|less|least) {_GROUND}",
)
def _largest_area(match: re.Match[str]) -> PlaceQuestion:
    is_most = match["more"] in ("more", "most")
    return PlaceQuestion("largest", names_in(match["list"]), measure="area", is_most=is_most)


@_sentence(rf"{_ONE_IS}(?:in |somewhere )?between {_B} and {_C}")
def _between(match: re.Match[str]) -> PlaceQuestion:
    return PlaceQuestion("between", (match["a"], match["b"], match["c"]))


@_sentence(
    rf"{_ONE_IS}{_FAR_TO} {_DIR} than {_B}(?: is| does)?",
    rf"is {_A} more {_DIR}(?:ern|erly) than {_B}(?: is)?",
)
def _farther(match: re.Match[str]) -> PlaceQuestion:
    direction = plain_direction(match["dir"])
    return PlaceQuestion("farther", (match["a"], match["b"]), direction)


@_sentence(
    rf"{_WHICH}(?:{_FAR_TO}|(?:farthest|furthest)(?: to the)?) {_DIR}[,:]? {_LIST}",
    rf"is (?P<list>{_ONE_OF_TWO}) {_FAR_TO} {_DIR}",
    rf"{_WHICH_OF}(?:{_FAR_TO}|(?:farthest|furthest)(?: to the)?) {_DIR}",
    rf"{_WHICH_OF}(?:{_DIR}(?:ern)?[- ]?most)",
    rf"{_WHICH}{_DIR}(?:ern)?[- ]?most(?: one)? (?:of|out of|among) {_LIST}",
    rf"{_WHICH}(?:more|most) {_DIR}(?:ern|erly)(?: one)? (?:of|out of|among) {_LIST}",
    rf"{_WHICH}{_DIR}(?:ern)?[- ]?most(?: one)?[,:]? {_LIST}",
    rf"{_WHICH}(?:more|most) {_DIR}(?:ern|erly)[,:] {_LIST}",
    rf"{_WHICH_OF}(?:more|most) {_DIR}(?:ern|erly)",
)
def _farthest(match: re.Match[str]) -> PlaceQuestion:
    direction = plain_direction(match["dir"])
    return PlaceQuestion("farthest", names_in(match["list"]), direction)


@_sentence(
    rf"(?:list|order|sort|name|give|put|arrange|rank|what is the order of) {_LIST} (?:in order )?"
    rf"from (?:the )?(?P<from>{DIRECTION}) to (?:the )?(?P<to>{DIRECTION})",
    rf"in (?:which|what) order do {_LIST} (?:lie|stand|come) "
    rf"from (?:the )?(?P<from>{DIRECTION}) to (?:the )?(?P<to>{DIRECTION})",
    rf"(?:from (?:the )?(?P<from>{DIRECTION}) to (?:the )?(?P<to>{DIRECTION})),? "
    rf"(?:list|order|sort|name|give|arrange|rank) {_LIST}",
    rf"(?:list|order|sort|name|give|arrange|rank) "
    rf"from (?:the )?(?P<from>{DIRECTION}) to (?:the )?(?P<to>{DIRECTION}): {_LIST}",
)
def _order(match: re.Match[str]) -> PlaceQuestion:
    start, end = plain_direction(match["from"]), plain_direction(match["to"])
    if _OPPOSITE.get(start) != end:
        raise QuestionError(f"{start} and {end} are not opposite")
    return PlaceQuestion("order", names_in(match["list"]), start)


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
        LookupError: If the word is not a unit of that power.
    """
    words = _group(match, "unit")
    if not words:
        return ""
    unit = unit_called(words)
    if unit is None or unit.power != power:
        raise LookupError(words)
    return unit.symbol
