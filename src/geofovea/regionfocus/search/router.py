"""Whether a question needs a closer look at all, at one place, or at several.

The words of a question decide, by the literal tables below. Where they decide nothing, the flatness
of the overview's scores may. The tables are English, and their order is the order of the rules: a
question that compares is about several places even where it counts, and the whole scene is judged
from its overview.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from geofovea.errors import ModelError, QuestionError
from geofovea.regionfocus.strategies import ROUTE_NAMES

__all__ = ["DIRECTION", "Route", "is_area", "is_at_place", "route_question"]

GLOBAL_PHRASES = (
    r"(rural or (an )?urban|urban or (a )?rural)",
    r"(land ?cover|land ?use|landscape|terrain)",
    r"(whole|entire) (scene|image|picture|area|map)",
    r"(describe|summari[sz]e|caption)",
    r"(kind|type|sort) of (scene|image|picture|area|region|place) ",
    r"(mostly|mainly|predominant\w*|dominant|overall)",
    r"(season|climate)",
)
"""What asks about the whole scene, unless it names one place."""

LARGE_THINGS = (
    "airports? harbou?rs? ports? stadiums? rivers? lakes? islands? cit(y|ies) towns? villages? "
    "forests? bridges? runways? quarr(y|ies) solar farms? golf courses? highways? depots? "
    "rail yards? power plants? car parks? vineyards? camps?"
)
"""What is large enough to be counted in an overview."""

AREAS = LARGE_THINGS + (
    " greenhouses? ponds? reservoirs? parks? fields? farms? beach(es)? bays? canals? roads? "
    "railways? plantations? orchards? woods? mines? districts? neighbou?rhoods? blocks? squares? "
    "marinas? dams? schools? hospitals? factor(y|ies) campus(es)?"
)
"""What has an extent of its own: those, and what is rarely counted from above."""

WHOLE_SCENE = r"(in|on|of|across) (this|the) ((whole|entire) )?(scene|image|picture|photo|map|area)"
COUNTS = r"(how many|number of|count)"

DIRECTION = r"(?:north|south|east|west|left|right|above|below|(?:north|south)[- ]?(?:east|west))"
COMPARATIVE = (
    r"(?:larger|smaller|bigger|wider|broader|narrower|longer|shorter|taller|higher|lower|closer|farther|"
    r"further|nearer|older|newer|denser|greener|brighter|darker|busier|(?:more|less) [a-z]+)"
)
PLACE = r"(?:the |an? )(?P<{0}>[a-z][a-z -]*?)"
COMPARISONS = (
    # "is the camp north of the stadium", "is the depot larger than the quarry"
    rf"^is {PLACE.format('one')} (?:to the |on the )?(?:{DIRECTION}|{COMPARATIVE})(?: side)?"
    rf"(?: of| than| to| from)? {PLACE.format('two')}[?.]?$",
    # "what lies between the camp and the stadium", "which is wider, the river or the canal"
    rf"\b{PLACE.format('one')} (?:and|or|than|versus|vs) (?:at )?{PLACE.format('two')}"
    r"(?: (?:has|have|is|are|in|on)\b.*)?[?.]?$",
)
"""What speaks of two places, and how they are called."""

SUPERLATIVE = (
    r"(([a-z]+[- ]?most)|"
    r"((larg|bigg|small|tall|long|short|wid|broad|narrow|old|new)est)|only|unique)"
)
"""What singles one thing out, and is not a name: "the left-most and the largest runway" is one."""

ALL_OVER = r"(each|every|all (of )?the|most of the|any) "
AT_A_PLACE = (
    r"\b(at|in|on|near|beside|inside|around|surrounding|by|next to) (the|an?) "
    r"(?!((whole|entire) )?(scene|image|picture|photo|map|area|region)\b|(rural|urban)\b)"
)
THE_ONE = rf"\b(the|that) {SUPERLATIVE}\b"

_PREPOSITION = r"(?:at|in|on|near|beside|inside|around|by|next to|with|of|from|behind)"
_FLAT_PEAK = 1.5


@dataclass(frozen=True, slots=True)
class Route:
    """Where to look for an answer, and why there.

    Attributes:
        word: ``none`` (the overview is enough), ``one`` (closer at one place) or ``several``.
        reason: Why, in a few words for the record of an answer.
        places: What the question calls the places that it compares; may be empty.
        is_count: Whether a number over several places is asked for.

    Raises:
        QuestionError: If the word is no route, or there are places without several.
    """

    word: str
    reason: str
    places: tuple[str, ...] = ()
    is_count: bool = False

    def __post_init__(self) -> None:
        if self.word not in ROUTE_NAMES[1:] or (self.places and self.word != "several"):
            raise QuestionError(
                f"a route is one of {', '.join(ROUTE_NAMES[1:])}, with places for several alone; "
                f"got {self}"
            )

    def to_json(self) -> dict[str, object]:
        """The route as a plain object."""
        return {"route": self.word, "reason": self.reason, "places": list(self.places)}


def route_question(
    question: str,
    *,
    wanted: str = "auto",
    can_focus: bool = True,
    peak: Callable[[], float] | None = None,
) -> Route:
    """Decide whether and where a question needs a closer look.

    Args:
        question: In any case and spacing.
        wanted: One of ``ROUTE_NAMES``; anything but ``auto`` is obeyed.
        can_focus: Whether the host can say where to look.
        peak: Called only where the words decide nothing: the best score of the overview over the
            mean score; under 1.5 there is nothing to look at more closely.

    Raises:
        ModelError: If there is no such route.
    """
    if wanted not in ROUTE_NAMES:
        raise ModelError(f"unknown route {wanted!r}; choose one of {', '.join(ROUTE_NAMES)}")
    text = _plain(question)
    places = _compared(text)
    is_count = bool(re.search(rf"\b{COUNTS}\b", text))
    if wanted != "auto":
        several = wanted == "several"
        return Route(
            wanted, "as demanded", places if several else (), several and is_count and not places
        )
    if not can_focus:
        return Route("none", "the model cannot say where to look closer")
    return _by_words(text, places, is_count) or _by_scores(peak)


def is_area(name: str) -> bool:
    """Whether a name means something with an extent of its own, as an airport has, but no plane.

    Args:
        name: Such as ``car park`` or ``plane at the airport``, which is a plane.
    """
    head = re.split(rf" {_PREPOSITION} ", " ".join(name.lower().split()))[0]
    return re.fullmatch(rf"(?:.* )?(?:{'|'.join(_split_names(AREAS))})", head) is not None


def _by_words(text: str, places: tuple[str, ...], is_count: bool) -> Route | None:
    for phrase in GLOBAL_PHRASES:
        if match := re.search(rf"\b{phrase}", text):
            if _names_one_place(text):
                return Route("one", f"{match[0].strip()!r} is asked of one place")
            return Route("none", f"{match[0].strip()!r} asks about the whole scene")
    if places:
        return Route("several", f"the question compares {places[0]!r} and {places[1]!r}", places)
    if is_count:
        large = "|".join(_split_names(LARGE_THINGS))
        if match := re.search(rf"\b{COUNTS} ({large})\b", text):
            return Route("none", f"{match[2]!r} can be counted from above")
        if re.search(rf"\b{WHOLE_SCENE}\b", text) or not re.search(AT_A_PLACE, text):
            return Route("several", "the question counts over an area", is_count=True)
        return Route("one", "the question counts at one place")
    if match := re.search(rf"\b{ALL_OVER}", text):
        return Route("several", f"{match[0].strip()!r} speaks of several places")
    if match := re.search(AT_A_PLACE, text):
        return Route("one", "the question names one place")
    return None


def _names_one_place(text: str) -> bool:
    """Whether something is asked of one place or thing, and not of the scene around it."""
    return bool(re.search(THE_ONE, text)) or is_at_place(text)


def is_at_place(question: str) -> bool:
    """Whether a question is about what is at a place, and not in all of the scene."""
    text = _plain(question)
    return bool(re.search(AT_A_PLACE, text)) and not re.search(rf"\b{WHOLE_SCENE}\b", text)


def _plain(question: str) -> str:
    return " ".join(question.lower().replace("?", " ?").split()).replace(" ?", "?")


def _by_scores(peak: Callable[[], float] | None) -> Route:
    if peak is not None and peak() < _FLAT_PEAK:
        return Route("none", "nothing in the overview stands out")
    return Route("one", "no word speaks of the whole scene or of several places")


def _compared(text: str) -> tuple[str, ...]:
    """How the two places of a comparison are called; nothing where none is compared."""
    for pattern in COMPARISONS:
        if match := re.search(pattern, text):
            one, two = match["one"].strip(), match["two"].strip()
            if not re.search(rf"\b{SUPERLATIVE}$", one):
                return one, two
    return ()


def _split_names(names: str) -> list[str]:
    """Alternatives of one or two words out of a plain list; the last word of each has a plural."""
    return re.findall(r"(?:solar|golf|rail|power|car) \S+|\S+", names)
