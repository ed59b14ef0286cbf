"""What can be the name of a place that is looked for, and what makes another question of it.

A wrong name is worse than none: it is looked for, something is found, and its numbers answer
another question without a sign. So a phrase that may mean something else goes to the model.
"""

from __future__ import annotations

import re

from geofovea.datasets.synthetic.vocabulary import COLORS, SHAPES, STATUSES
from geofovea.pipeline.relations.vocabulary import SIZES
from geofovea.regionfocus.search.router import DIRECTION

__all__ = ["ABSTRACT", "LONGEST", "NUMBERS", "is_cover", "is_name", "names_in", "without_article"]

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
    r"interests?|focus|concerns?|attention|match(?:es)?|examples?|options?|answers?|choices?|"
    r"levels?(?! crossing)|pixels?|swaths?|resolutions?|similarit(?:y|ies)|contrasts?|trends?|"
    r"shares?|percentages?|proportions?|fractions?|yields?|(?:field|angle)s? of view|objects?|"
    r"densit(?:y|ies)|prices?|costs?"
)
"""Words for what has no place of its own, however large or near it may be called."""

_COVERS = re.compile(
    r"(?:water|forest|woodland|vegetation|grass|grassland|farmland|cropland|snow|ice|sand|land|soil|"
    r"concrete|asphalt|[a-z]+(?<!s)s)"
)
"""What without an article means all of it: "how many hectares are covered by forest"."""

_NO_NAME = re.compile(
    r"\b(?:number|count|amount|colou?rs?|shapes?|status|kinds?|types?|names?|age|"
    r"state|condition|quality|direction|distance|"
    r"what|which|who|whose|where|when|why|how|is|are|was|were|be|been|being|does|do|did|has|have|"
    r"had|can|could|will|would|should|there|than|and|or|nor|not|no|if|it|its|they|them|he|she|this|"
    r"that|these|those|here|each|every|all|any|some|most|many|much|more|less|between|versus|vs|"
    r"other|others|another|else|anything|everything|something|nothing|everywhere|anywhere|home|"
    r"same|both|either|neither|going|likely|able|supposed|"
    r"scene|image|picture|photo|map|"
    r"left|right|upper|lower|top|bottom|covered|combined|together|surrounded|along|via|through|around|across|compared|relative|regarding|starting|"
    r"(?:on|by) (?:foot|road|car|bus|train|bike|boat|ship|plane|air|sea|land|rail|truck|bicycle)|"
    r"(?:(?:larg|bigg|small|long|short|wid|narrow|broad|near|clos|old|new|tall|high|low|deep|dark|"
    r"bright)est|farthest|furthest)|\w+[- ]?most)\b"
    rf"|\b{DIRECTION} (?:of|from)\b|\bfrom .* to\b|. an? |\b(?:{ABSTRACT})\b"
    # a number, or a number and its unit: "larger than 5 hectares", "than in 2020"
    r"|^\d[\d.,]*(?: (?:[a-z]+|square [a-z]+))?$"
    r"|^(?:in|at|on|by|for|to|from|of|with|near|last|next|during|since|after|first|second|third|"
    rf"occupied|taken|one|{'|'.join(NUMBERS)}) "
    r"|^[a-z]+ing (?:the|an?) |^.$"
    r"|^(?:area|land|region|ground|side|part|terrain|space|place|places|sun|wind|shadow|light|view)$"
)
"""Words that no name of a place holds: with one of them the question is about something else."""

_NO_END = re.compile(
    rf"\b(?:{'|'.join((*COLORS, *STATUSES, *SHAPES))}|gr[ae]y|brown|open|empty|full|visible|"
    r"in [a-z0-9²]+|directly|due|exactly|just|immediately|straight|mostly|partly|lie|lies|"
    r"flow|flows|run|runs|go|goes|face|faces|point|points|move|moves|head|heads|lead|leads|extend|"
    r"extends|stretch|reach|grow|old|new|busy|wet|dry|dirty|clean|large|small|big|tall|high|low|"
    r"deep|wide|narrow|long|short|safe|active|vacant|rural|urban|bare|broken|intact|apart|away|"
    rf"(?:{'|'.join(SIZES)}|clos|near|tall|high|low|old|new|deep|dark|bright)er|better|worse|"
    r"from|of|to|by|with|for|in|on|at|the|likely|correct|true|right now|so far|operational|"
    r"accessible|"
    # participles: "the road north of the camp flooded"; not all words in -ed and -ing are such
    r"(?!(?:bed|shed|seabed|riverbed|watershed|seed|feed|weed|reed)$)[a-z]+ed|"
    r"(?!(?:building|parking|crossing|landing|housing|mooring|clearing|ring|wing|spring|railing|"
    r"dwelling|opening|outbuilding|king|swing|ceiling|awning|holding|planting)$)[a-z]+ing)$"
)
"""What no name of a place ends with: "the plane north of the hall red" is no place."""


def is_name(text: str) -> bool:
    """Whether a phrase without its article can be the name of a place."""
    return 1 <= len(text.split()) <= _MOST_WORDS and not (
        _NO_NAME.search(text) or _NO_END.search(text)
    )


def names_in(text: str) -> tuple[str, ...]:
    """The names of a list such as ``the camp, the depot or the quarry``."""
    parts = re.split(r",? (?:or|and) |, ", text)
    return tuple(without_article(part.strip(" ,")) for part in parts)


def is_cover(name: str) -> bool:
    """Whether a name without its article means all of a kind, and no single place."""
    return _COVERS.fullmatch(name) is not None


def without_article(name: str) -> str:
    """A name without ``the`` or ``a`` before it."""
    return re.sub(r"^(?:the|an?) ", "", name)
