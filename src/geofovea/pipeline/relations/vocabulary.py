"""The words of relations between places: directions, sizes, units. English, both spellings.

Words for directions are those of the router, so that what is asked here is routed there, too.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from types import MappingProxyType
from typing import Literal

__all__ = [
    "CLOSER",
    "COMPASS",
    "LENGTH",
    "PICTURE",
    "SIZES",
    "UNITS",
    "SizeWord",
    "Unit",
    "compass_word",
    "length_called",
    "plain_direction",
    "unit_called",
]

_HALF = math.sqrt(0.5)

COMPASS: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "north": (0.0, 1.0),
        "northeast": (_HALF, _HALF),
        "east": (1.0, 0.0),
        "southeast": (_HALF, -_HALF),
        "south": (0.0, -1.0),
        "southwest": (-_HALF, -_HALF),
        "west": (-1.0, 0.0),
        "northwest": (-_HALF, _HALF),
    }
)
"""Directions on the ground as unit vectors (east, north), clockwise from north."""

PICTURE: Mapping[str, tuple[float, float]] = MappingProxyType(
    {"left": (-1.0, 0.0), "right": (1.0, 0.0), "above": (0.0, -1.0), "below": (0.0, 1.0)}
)
"""Directions in the picture as unit vectors (x to the right, y down)."""


@dataclass(frozen=True, slots=True)
class SizeWord:
    """What a word compares.

    Attributes:
        measure: What of two things is compared.
        is_more: Whether the one with more of it is meant.
    """

    measure: Literal["area", "length", "width"]
    is_more: bool


SIZES: Mapping[str, SizeWord] = MappingProxyType(
    {
        "larg": SizeWord("area", True),
        "bigg": SizeWord("area", True),
        "small": SizeWord("area", False),
        "long": SizeWord("length", True),
        "short": SizeWord("length", False),
        "wid": SizeWord("width", True),
        "broad": SizeWord("width", True),
        "narrow": SizeWord("width", False),
    }
)
"""Stems of words for sizes; "er" makes them compare two, and "est" several."""


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit of length or area.

    Attributes:
        symbol: As it is written behind a number.
        power: 1 of a length, 2 of an area.
        size: In meters or square meters.
    """

    symbol: str
    power: Literal[1, 2]
    size: float


_METERS = {"mm": 1e-3, "cm": 1e-2, "m": 1.0, "km": 1e3, "mi": 1609.344, "ft": 0.3048, "yd": 0.9144}
UNITS: Mapping[str, Unit] = MappingProxyType(
    {name: Unit(name, 1, size) for name, size in _METERS.items()}
    | {f"{name}²": Unit(f"{name}²", 2, size**2) for name, size in _METERS.items()}
    | {"nmi": Unit("nmi", 1, 1852.0), "ha": Unit("ha", 2, 1e4)}
    | {"acres": Unit("acres", 2, 4046.8564224)}
)
"""Units by their symbol. A mile, a foot and a yard are international."""

_NAMES: Mapping[str, tuple[str, ...]] = {
    "m": ("meter", "meters", "metre", "metres", "mtr", "mtrs"),
    "km": ("kilometer", "kilometers", "kilometre", "kilometres", "kms"),
    "cm": ("centimeter", "centimeters", "centimetre", "centimetres"),
    "mm": ("millimeter", "millimeters", "millimetre", "millimetres"),
    "mi": ("mile", "miles"),
    "ft": ("foot", "feet"),
    "yd": ("yard", "yards"),
    "nmi": ("nautical mile", "nautical miles"),
    "ha": ("hectare", "hectares"),
    "acres": ("acre",),
}
_SYMBOLS = {name: symbol for symbol, names in _NAMES.items() for name in names}
# a slip of the finger in a word, and not another word: "kilomters", but not "kilograms"
_LEAST_LIKENESS = 0.85
_SHORTEST_MISSPELT = 5


def unit_called(words: str) -> Unit | None:
    """The unit that some words name, such as ``kilometres``, ``sq. miles``, ``m2`` or ``ha``.

    A slip in a long word is forgiven: ``kilomters``.
    """
    text = " ".join(words.lower().replace(".", "").split())
    text, squares = re.subn(r"^(?:square |sq ?)(?=[a-z])", "", text)
    text, powers = re.subn(r"(?:\^?2|²)$", "", text)
    symbol = text if text in _METERS or text in UNITS else _symbol_of(text)
    return UNITS.get(f"{symbol}²" if squares or powers else symbol)


CLOSER = r"within|less than|(?:no|not) more than|at most|closer than"
"""Alternatives of a pattern: what stands before a length that bounds a distance from above."""

LENGTH = r"(?:an? )?(?P<number>\d+(?:,\d{3})*(?:\.\d+)?)[ -]?(?P<unit>(?:nautical )?[a-z]+)"
"""A pattern of lengths such as ``500 m`` and ``1,200-metre``."""


def length_called(number: str, unit: str) -> tuple[float, Unit] | None:
    """A length in meters and the unit that it is given in, by the groups of `LENGTH`.

    Returns:
        None where the unit is not one of lengths, or the number is 0.
    """
    value, called = float(number.replace(",", "")), unit_called(unit)
    if called is None or called.power != 1 or not value > 0:
        return None
    return value * called.size, called


def _symbol_of(name: str) -> str:
    """The symbol of a unit by its name, also where that is misspelt; empty where it is none."""
    if name in _SYMBOLS or len(name) < _SHORTEST_MISSPELT:
        return _SYMBOLS.get(name, "")
    similar = get_close_matches(name, _SYMBOLS, 1, _LEAST_LIKENESS)
    return _SYMBOLS[similar[0]] if similar and similar[0][0] == name[0] else ""


def plain_direction(word: str) -> str:
    """A direction as `COMPASS` and `PICTURE` spell it: ``north-east`` is ``northeast``."""
    return re.sub(r"[- ]", "", word.lower())


def compass_word(bearing: float) -> str:
    """The nearest of the eight directions to a bearing in degrees clockwise from north."""
    return list(COMPASS)[round(bearing / 45) % 8]
