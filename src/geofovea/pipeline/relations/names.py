"""What can be the name of a place that is looked for, and what makes another question of it.

A wrong name is worse than none: it is looked for, something is found, and its numbers answer
another question without a sign. So a phrase that may mean something else goes to the model.
"""

from __future__ import annotations

import re

from geofovea.datasets.synthetic.vocabulary import COLORS, SHAPES, STATUSES
from geofovea.pipeline.relations.vocabulary import SIZES, unit_called
from geofovea.regionfocus.search.router import DIRECTION

__all__ = [
    "ABSTRACT",
    "LONGEST",
    "NUMBERS",
    "bare_phrase",
    "is_cover",
    "is_line",
    "is_name",
    "names_in",
    "without_article",
]

LONGEST = 200
"""Most characters of a question that is read."""

NUMBERS = ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")

_MOST_WORDS = 8

ABSTRACT = (
    r"damages?|problems?|risks?|threats?|dangers?|chang(?:e|es)|(?:in|de)creases?|differences?|"
    r"impacts?|effects?|delays?|waits?|waiting|flights?|journeys?|trips?|drives?|walks?|rides?|"
    r"times?|days?|weeks?|months?|years?|hours?|minutes?|seasons?|periods?|ago|now|today|yesterday|"
    r"tomorrow|before|ever|usual|average|normal|expected|expectations?|complet(?:e|ion)|finish(?:ed)?|"
    r"done|ready|progress|phases?|stages?|schedules?|plans?|planned|deadlines?|goals?|targets?|"
    r"budgets?|truth|reality|probabilit(?:y|ies)|likelihood|chances?|errors?|uncertaint(?:y|ies)|"
    r"variet(?:y|ies)|diversity|fleets?|crowds?|herds?|crews?|staff|teams?|famil(?:y|ies)|"
    r"populations?|compan(?:y|ies)|econom(?:y|ies)|traffic|capacit(?:y|ies)|volumes?|heights?|"
    r"depths?|weights?|speeds?|temperatures?|deals?|details?|issues?|challenges?|mistakes?|"
    r"queues?|closures?|interests?|focus|concerns?|attention|match(?:es)?|examples?|options?|answers?|choices?|"
    r"levels?(?! crossing)|pixels?|swaths?|resolutions?|similarit(?:y|ies)|contrasts?|trends?|"
    r"shares?|percentages?|proportions?|fractions?|yields?|(?:field|angle)s? of view|objects?|"
    r"densit(?:y|ies)|prices?|costs?|tides?|nights?|noon|dawn|dusk|sunsets?|sunrises?|mornings?|"
    r"evenings?|afternoons?"
)
"""Words for what has no place of its own, however large or near it may be called."""

_COVERS = re.compile(
    r"(?:water|forest|woodland|vegetation|grass|grassland|farmland|cropland|snow|ice|sand|land|soil|"
    r"concrete|asphalt|(?:[a-z -]+ )?[a-z]+(?<![suiy])s)"
)
"""What without an article means all of it: "how many hectares are covered by forest"."""

_NO_NAME = re.compile(
    r"\b(?:number|count|amount|colou?rs?|shapes?|status|kinds?|types?|names?|age|"
    r"state|condition|quality|direction|distance|"
    r"perimeters?|circumferences?|diagonals?|diamet(?:er|re)s?|radi(?:us|i)|way of|"
    r"what|which|who|whose|where|when|why|how|is|are|was|were|be|been|being|does|do|did|has|have|"
    r"had|can|could|will|would|should|there|than|and|or|nor|not|no|if|it|its|they|them|he|she|this|"
    r"that|these|those|here|each|every|all|any|some|most|many|much|more|less|between|versus|vs|"
    r"(?:parts?|half|thirds?|quarters?|corners?|edges?|sides?|ends?|tips?|sections?|portions?|rest|"
    r"middle|cent(?:er|re)|interior|surroundings) of|"
    # with these it is more than a name: "the airfield under construction", "without the apron"
    r"about|after|against|along|amid|among|as|beneath|beyond|but|despite|down|except|excluding|from|"
    r"including|inside|into|like|minus|off|onto|out|outside|past|per|plus|since|throughout|to|"
    r"towards?|under|underneath|until|up|upon|while|within|without|just|only|so|such|then|twice|"
    r"percent|typical|near|nearby|beside|next|close|adjacent|opposite|behind|in front|gaps?|"
    r"outskirts|"
    r"in the middle|midway|halfway|located|situated|positioned|"
    r"other|others|another|else|anything|everything|something|nothing|everywhere|anywhere|home|"
    r"i|me|my|us|we|our|you|your|him|her|"
    r"same|both|either|neither|going|likely|able|supposed|"
    r"scene|image|picture|photo|map|frame|"
    # what no scene shows as a place
    r"equator|(?:north|south) pole|meridian|tropics?|moon|sky|horizon|borders?|boundar(?:y|ies)|"
    r"coordinates?|sea level|"
    r"left|right|upper|lower|top|bottom|covered|combined|together|surrounded|via|through|around|across|compared|relative|regarding|starting|"
    r"(?:on|by) (?:foot|road|car|bus|train|bike|boat|ship|plane|air|sea|land|rail|truck|bicycle)|"
    r"(?:(?:larg|bigg|small|long|short|wid|narrow|broad|near|clos|old|new|tall|high|low|deep|dark|"
    r"bright)est|farthest|furthest)|\w+[- ]?most)\b"
    # of two ponds the northern one: which it is depends on where both lie
    rf"|\b{DIRECTION}(?:ern|erly)\b|\bin the {DIRECTION}$|\b{DIRECTION} of\b"
    # "the chapel the tallest building" are two names
    r"|\b(?!(?:at|in|on|of|by|over|with|for)\b)[\w'-]+ the "
    rf"|. an? |\b(?:{ABSTRACT})\b"
    # a number, or a number and its unit: "larger than 5 hectares", "than in 2020"
    r"|^\d[\d.,]*(?: ?[a-z]+(?:\^?2|²)?){0,3}$"
    r"|^(?:in|at|on|by|for|to|from|of|with|near|last|next|during|since|after|first|second|third|"
    rf"occupied|taken|one|{'|'.join(NUMBERS)}) "
    r"|^[a-z]+ing (?:the|an?) |^.$"
    # of a kind without bounds, also with an article: "the crane closest to the water"
    r"|^(?:water|vegetation|grass|snow|ice|sand|soil|concrete|asphalt)$"
    r"|^(?:area|land|region|ground|side|part|terrain|space|place|places|cent(?:er|re)|middle|sun|wind|shadow|light|view)$"
)
"""Words that no name of a place holds: with one of them the question is about something else."""

_NO_END = re.compile(
    rf"\b(?:{'|'.join((*COLORS, *STATUSES, *SHAPES))}|gr[ae]y|brown|open|empty|full|visible|"
    r"in (?!(?:the|an?) )[a-z0-9² ]+|due|just|straight|midway|halfway|far|well|back|somewhat|lie|"
    r"still|again|also|even|yet|too|quite|very|rather|immediate|"
    # a part of a place: "the barn's north corner"
    r"parts?|half|thirds?|quarters?|corners?|edges?|sides?|ends?|tips?|sections?|portions?|rest|"
    # adverbs: "the camp slightly north of the depot"
    r"lies|(?!(?:assembly|supply)$)[a-z]+ly|"
    r"flow|flows|run|runs|go|goes|face|faces|point|points|move|moves|head|heads|lead|leads|extend|"
    r"extends|stretch|reach|grow|old|new|busy|wet|dry|dirty|clean|large|small|big|tall|high|low|"
    r"deep|wide|narrow|long|short|safe|active|vacant|rural|urban|bare|broken|intact|apart|away|"
    rf"(?:{'|'.join(SIZES)}|clos|near|tall|high|low|old|new|deep|dark|bright)er|better|worse|"
    r"uphill|downhill|upstream|downstream|upwind|downwind|inland|offshore|ashore|[a-z]+wards?|"
    r"built|cut|shut|set|hit|laid|torn|sunk|burnt|overgrown|hidden|frozen|"
    r"of|by|with|for|in|on|at|the|likely|correct|true|right now|so far|operational|"
    r"accessible|"
    # participles: "the road north of the camp flooded"; not all words in -ed and -ing are such
    r"(?!(?:bed|shed|seabed|riverbed|watershed|seed|feed|weed|reed)$)[a-z]+ed|"
    r"(?!(?:building|parking|crossing|landing|housing|mooring|clearing|ring|wing|spring|railing|"
    r"dwelling|opening|outbuilding|king|swing|ceiling|awning|holding|planting)$)[a-z]+ing)$"
)
"""What no name of a place ends with: "the plane north of the hall red" is not a place."""

_MEASURED = re.compile(rf"\b(?:\d[\d.,]*|one|half|few|several|{'|'.join(NUMBERS)}) ?([a-z²]+)$")

_LINES = re.compile(
    r"\b(?:rivers?|channels?|estuar(?:y|ies)|fjords?|straits?|"
    r"streams?|creeks?|brooks?|canals?|roads?|streets?|highways?|motorways?|freeways?|"
    r"avenues?|paths?|trails?|railways?|railroads?|(?:rail|power)[ -]?lines?|pipelines?|fences?|"
    r"(?:sea)?walls?|hedges?|ditch(?:es)?|dikes?|levees?|valleys?|(?:coast|shore)(?:line)?s?|"
    r"riverbanks?|seashores?)$"
)
_BEHIND_HEAD = re.compile(r" (?:at|of|in|on|over|across|with|to)\b.*")


def is_name(text: str) -> bool:
    """Whether a phrase without its article can be the name of a place."""
    measured = _MEASURED.search(text)
    if measured is not None and unit_called(measured[1]) is not None:
        # "the camp 2 km north of the depot"
        return False
    return 1 <= len(text.split()) <= _MOST_WORDS and not (
        _NO_NAME.search(text) or _NO_END.search(text)
    )


def is_line(name: str) -> bool:
    """Whether a name is of something long and bent, such as a river.

    Its center says little about where it lies, and a rectangle around it nothing of its length and
    width; often a scene shows only a part of it.
    """
    return _LINES.search(_BEHIND_HEAD.sub("", name)) is not None


def names_in(text: str) -> tuple[str, ...]:
    """The names of a list such as ``the camp, the depot or the quarry``."""
    parts = re.split(r",? (?:or|and) |, ", text)
    return tuple(without_article(part.strip(" ,")) for part in parts)


def is_cover(name: str) -> bool:
    """Whether a name without its article means all of a kind, and no single place."""
    return _COVERS.fullmatch(name) is not None


_DETERMINERS = re.compile(
    r"^(?:(?:(?:all|each|every|any|some|both|several|many)(?: of)?|"
    r"the|an?|this|that|these|those) )+",
    re.IGNORECASE,
)


def bare_phrase(phrase: str) -> str:
    """A phrase without quotes and without words such as *all of the* before it."""
    text = re.sub(r"(?<=\w)\(e?s\)", "", phrase).strip(" '\"`‘’“”")
    return _DETERMINERS.sub("", text) or phrase


def without_article(name: str) -> str:
    """A name without ``the`` or ``a`` before it."""
    return re.sub(r"^(?:the|an?) ", "", name)
