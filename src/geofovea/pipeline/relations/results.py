"""What was computed of places, before the places and their scores are put around it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from geofovea.pipeline.answers.measurement import LocatedPlace, Quantity
from geofovea.pipeline.relations.place_question import PlaceQuestion
from geofovea.pipeline.relations.plane import Plane, certainty
from geofovea.pipeline.relations.vocabulary import UNITS
from geofovea.tiling.geo.geodesic import Point

__all__ = [
    "ABOUT_THE_SAME",
    "BETWEEN_DEGREES",
    "NOMINAL",
    "TOO_CLOSE",
    "Line",
    "Result",
    "Rule",
    "best_of",
    "certainty_between",
    "coarse_warnings",
    "distance_of",
    "error_between",
    "gap_of",
    "listed_names",
    "named",
    "ranked_with_ties",
    "seen_apart",
    "unit_warnings",
    "yes_no",
]

NOMINAL = 0.95
"""How often a number lies within its error: what errors are made for, and what was measured."""

_LEAST_CERTAINTY = 0.8
"""Answers that are less certain are not told: that it is close says more. With 0.75, a fifth more
were told wrong in synthetic scenes."""

ABOUT_THE_SAME = "about the same"
"""The answer to a comparison whose difference may well have another sign."""

TOO_CLOSE = "too close to call"
"""The answer to a question for a bound that may well lie on the other side."""

BETWEEN_DEGREES = 120.0
"""Seen from what lies between two places, they are at least this far apart."""

Line = tuple[Point, Point]


@dataclass(frozen=True, slots=True)
class Result:
    """What was computed, without the places and scores around it.

    Attributes:
        text: The answer.
        sentence: The same with its numbers.
        certainty: How likely the answer is right where its places are.
        quantities: The numbers.
        lines: Between which points was measured.
        warnings: What a careful reader should know.
        otherwise: What to answer where the errors of the numbers leave it open.
    """

    text: str
    sentence: str
    certainty: float
    quantities: tuple[Quantity, ...] = ()
    lines: tuple[Line, ...] = ()
    warnings: tuple[str, ...] = ()
    otherwise: str = ""

    @property
    def is_open(self) -> bool:
        """Whether the errors of the numbers leave the answer open."""
        return bool(self.otherwise) and self.certainty < _LEAST_CERTAINTY


Rule = Callable[[PlaceQuestion, Sequence[LocatedPlace], Plane], Result]
"""How a kind of question is answered from its places."""


def best_of(
    places: Sequence[LocatedPlace],
    numbers: Sequence[Quantity],
    *,
    is_most: bool,
    sentence: str,
    lines: tuple[Line, ...] = (),
) -> Result:
    """The place with the most of something, or the least."""
    sign = 1 if is_most else -1
    first, second = sorted(range(len(places)), key=lambda i: -sign * numbers[i].value)[:2]
    listed = ", ".join(f"{p.label} {n.text}" for p, n in zip(places, numbers, strict=True))
    best = numbers[first]
    alike = [p.label for p, n in zip(places, numbers, strict=True) if _is_tie(best, n)]
    return Result(
        places[first].label,
        f"{sentence.format(f'the {places[first].label}')}: {listed}",
        certainty_between(numbers[first], numbers[second]),
        tuple(numbers),
        lines,
        otherwise=f"{listed_names(alike)}: {ABOUT_THE_SAME}",
    )


def _is_tie(one: Quantity, two: Quantity) -> bool:
    """Whether it may well be the other one that is larger; no number is larger than itself."""
    return one is two or certainty_between(one, two) < _LEAST_CERTAINTY


def error_between(one: Quantity, two: Quantity) -> float:
    """By how much the difference of two numbers may be wrong: what they have in common cancels."""
    return math.hypot(one.own, two.own, one.common - two.common)


def certainty_between(one: Quantity, two: Quantity) -> float:
    """How likely the larger one of two numbers is the larger one."""
    return certainty(one.value - two.value, error_between(one, two))


def ranked_with_ties(ranked: Sequence[Quantity]) -> str:
    """The names of numbers in their order, those together that are about the same."""
    groups = [[ranked[0]]]
    for before, number in pairwise(ranked):
        if _is_tie(before, number):
            groups[-1].append(number)
        else:
            groups.append([number])
    names = [[number.name for number in group] for group in groups]
    return ", ".join(
        f"{listed_names(group)} ({ABOUT_THE_SAME})" if len(group) > 1 else group[0]
        for group in names
    )


def listed_names(names: Sequence[str]) -> str:
    """Names as a sentence lists them: ``pond, mill and school``."""
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def distance_of(plane: Plane, places: Sequence[LocatedPlace], name: str = "distance") -> Quantity:
    """From center to center."""
    one, two = places
    value = plane.way(one.center, two.center).distance
    return Quantity(name, value, plane.error(one, two), plane.unit)


def gap_of(plane: Plane, places: Sequence[LocatedPlace]) -> Quantity:
    """Between the nearest edges: one edge of each place counts, and none averages out."""
    one, two = places
    return Quantity("gap", plane.gap(one, two), plane.gap_error(one, two), plane.unit)


def seen_apart(plane: Plane, middle: LocatedPlace, ends: Sequence[LocatedPlace]) -> Quantity:
    """The angle between two places as seen from another one, in degrees."""
    ways = [plane.way(middle.center, end.center) for end in ends]
    angle = abs((ways[0].bearing - ways[1].bearing + 180) % 360 - 180)
    errors = [
        math.degrees(math.atan2(plane.error(middle, end), way.distance))
        for end, way in zip(ends, ways, strict=True)
    ]
    return Quantity("angle", angle, math.hypot(*errors), "°")


def named(quantity: Quantity, name: str) -> Quantity:
    """The same number under another name."""
    return replace(quantity, name=name)


def unit_warnings(question: PlaceQuestion, plane: Plane) -> tuple[str, ...]:
    """A sentence where a unit was asked for and the scene has only pixels."""
    if question.unit and question.unit in UNITS and not plane.is_on_ground:
        return (
            f"the scene does not say where it lies: numbers are in pixels and not in "
            f"{question.unit}",
        )
    return ()


def coarse_warnings(places: Sequence[LocatedPlace]) -> tuple[str, ...]:
    """A sentence about places whose sizes are guesses."""
    coarse = [p.label for p in places if p.region.area < 4 * p.token_side**2]
    if not coarse:
        return ()
    return (
        f"{', '.join(coarse)}: seen through fewer than four tokens, so its size is a guess; give "
        "more tiles",
    )


def yes_no(is_so: bool) -> str:
    """The answer to a question for the truth of something."""
    return "yes" if is_so else "no"
