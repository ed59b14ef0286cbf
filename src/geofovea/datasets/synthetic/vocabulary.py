"""The words of the synthetic world: what stands in it, and how a question may call it."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from itertools import combinations

__all__ = [
    "CATEGORIES",
    "COLORS",
    "DIRECTIONS",
    "DOMAINS",
    "FILLER_SITES",
    "LAWNS",
    "ROOFS",
    "SETTINGS",
    "SHAPES",
    "SITES",
    "SPELLINGS",
    "STATUSES",
    "SURFACES",
    "SYNTHETIC_MARK",
    "TERRAINS",
    "THINGS",
    "URBAN",
    "VERSIONS",
    "domain_of",
    "is_in_domain",
    "sites_in",
    "things_taken_for_granted",
    "version_of",
]

SYNTHETIC_MARK = "GeoFovea synthetic world"
"""How the description of a synthetic scene begins, so that no one takes one for the real thing."""

VERSIONS = (1, 2)
"""Ways in which the world looks: a chessboard of terrains, and land as on the Earth."""


def domain_of(versions: Collection[int]) -> str:
    """What a model has learned that was trained on some versions of the world."""
    only_first = set(versions) == {1}
    return "synthetic" if only_first else "synthetic " + " and ".join(map(str, sorted(versions)))


DOMAINS: Mapping[str, tuple[int, ...]] = {
    domain_of(versions): versions
    for count in range(1, len(VERSIONS) + 1)
    for versions in combinations(VERSIONS, count)
}
"""What a model can have learned of the synthetic world, and which versions that are."""


def version_of(description: str) -> int | None:
    """The version of the world that a scene's description names; None if it is another scene.

    Scenes of version 1 name none.
    """
    if not description.startswith(SYNTHETIC_MARK):
        return None
    stamp = re.match(r", version (\d{1,9})\b", description[len(SYNTHETIC_MARK) :])
    return int(stamp.group(1)) if stamp else 1


def is_in_domain(domain: str, description: str) -> bool:
    """Whether what has learned a domain knows scenes with such a description.

    Args:
        domain: ``"general"``, or one of `DOMAINS`.
        description: Of a scene.
    """
    version = version_of(description)
    return domain == "general" or version in DOMAINS.get(domain, ())


CATEGORIES = (
    "count",
    "object background",
    "object category",
    "object color",
    "object shape",
    "object status",
    "reasoning",
    "rural or urban",
)
"""The eight categories of LRS-VQA, in that benchmark's spelling."""

SITES = (
    "airport",
    "harbour",
    "depot",
    "car park",
    "stadium",
    "solar farm",
    "rail yard",
    "quarry",
    "greenhouse",
    "vineyard",
    "power plant",
    "camp",
)
"""Facilities that a question can name; a world holds each at most once."""

FILLER_SITES = ("village", "farm")
"""Facilities that repeat and are never asked about: distractors with pads and things too."""

URBAN = "urban"
TERRAINS = ("field", "meadow", "forest", "desert", URBAN)
"""What covers a cell of the world; all but the last are rural."""

SETTINGS = ("rural", "urban")
THINGS = ("plane", "helicopter", "truck", "boat", "tank", "tent")
"""Movable objects; the hall of a site is not among them."""

COLORS = {
    "red": (205, 45, 40),
    "green": (40, 150, 60),
    "blue": (45, 80, 210),
    "white": (245, 245, 245),
    "black": (25, 25, 28),
    "yellow": (240, 215, 50),
    "orange": (245, 140, 30),
    "purple": (140, 60, 170),
}
STATUSES = ("parked", "moving", "damaged")
SHAPES = ("rectangular", "circular", "triangular", "l-shaped", "cross-shaped")
"""Plans of the hall of a site."""

SURFACES = ("concrete", "asphalt", "grass", "sand", "brick", "gravel")
"""Coverings of the pad on which the things of a site stand."""

LAWNS = ("healthy", "dry")
"""States of the grass around a pad of version 2; both look the same but in near infrared."""

ROOFS = ("planted", "painted")
"""Green roofs, which halls of version 2 can have; both look the same but in near infrared."""

DIRECTIONS = ("north", "south", "east", "west")

SPELLINGS = {"colour": "color", "harbor": "harbour", "grey": "gray", "an": "a"}
"""Other spellings of words above, and those that questions were taught in."""


_LINKS = "a|at|by|from|in|is|near|of|on|or|the|to|with|without"
_BETWEEN = rf"(?:(?!(?:{_LINKS}) )[a-z]+ ){{0,2}}"


def sites_in(text: str) -> tuple[str, ...]:
    """The kinds of sites that a text names, in its order and each once; either spelling counts."""
    return tuple(dict.fromkeys(re.findall(rf"\b({'|'.join(SITES)})\b", _plain(text))))


def things_taken_for_granted(text: str) -> tuple[str, ...]:
    """The kinds of things of which a text says *the*, in its order and each once.

    *The white truck* is taken to be there; *a truck*, *any trucks* and *how many trucks* are not.
    """
    pattern = rf"\b(?:the|this|that|these|those) {_BETWEEN}({'|'.join(THINGS)})s?\b"
    return tuple(dict.fromkeys(re.findall(pattern, _plain(text))))


def thing_called(name: str) -> str | None:
    """The kind of thing that a name calls, as *the red truck at the depot* calls a truck.

    None where it calls something else, as *helicopter pad* does.
    """
    pattern = rf"(?:the )?{_BETWEEN}({'|'.join(THINGS)})s?(?: (?:{_LINKS}) .*)?"
    called = re.fullmatch(pattern, _plain(name))
    return None if called is None else called[1]


def _plain(text: str) -> str:
    """The words of a text as questions were taught in them."""
    words = re.findall(r"[a-z]+", text.lower())
    return " ".join(SPELLINGS.get(word, word) for word in words)
