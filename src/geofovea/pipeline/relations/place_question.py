"""A question about where named places lie and how large they are, as a value."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from geofovea.errors import QuestionError
from geofovea.pipeline.relations.names import LONGEST, without_article

__all__ = ["Kind", "NamedThing", "PlaceQuestion", "ThingQuestion", "distance_between"]

_AT_PLACE = re.compile(r"(?P<thing>.+?) (?:at|in|on|inside|within) (?:the |an? )?(?P<place>.+)")
_MOST_PLACES = 8

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
    "within",
    "offset",
    "side",
    "gap",
    "difference",
    "ratio",
    "equal",
    "exceeds",
    "total",
    "ranking",
    "apart",
    "distances",
    "pair",
    "middle",
    "which between",
    "which toward",
    "sizes",
]


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
            along a direction), ``within`` (are two within a distance of each other), ``offset``
            (how far in a direction of the second is the first), ``side`` (on which of two sides of
            the second is the first), ``gap`` (between the nearest edges of two), ``difference``
            (by how much is the first larger than the second, or farther than it from the third),
            ``ratio`` (how many times as large), ``equal`` (are two as large, or as far from the
            third), ``exceeds`` (is one larger than an area or a length), ``total`` (area of all),
            ``ranking`` (all, by size or by their distance from the first), ``apart`` (distances of
            all from each other), ``distances`` (from the first to the rest), ``pair`` (which two
            are nearest to each other), ``middle`` (which of three is between the others), ``which
            between`` (which of the rest are between the first two), ``which toward`` (which of the
            rest lie in a direction of the first), ``sizes`` (of each).
        places: What the question calls its places, without articles.
        direction: As the vocabulary spells it; empty where none is asked about.
        measure: ``area``, ``length`` or ``width``, of sizes; ``distance`` where distances from one
            place are compared as sizes are.
        is_most: Whether the nearest or largest is meant, and not the farthest or smallest; whether
            two are to be within a distance, and not beyond it; whether the first is said to be
            larger or farther, and not smaller or nearer.
        unit: The unit that was asked for, by its symbol; empty where none was.
        meters: The distance that two are within, or beyond; the length, or the area in square
            meters, that a size exceeds. 0 for other kinds.
        times: How many times as large or far as the second the first is said to be, where two are
            compared as ``larger`` or ``equal``.

    Raises:
        QuestionError: If there are too few or too many places for its kind, or no number where it
            needs one.
    """

    kind: Kind
    places: tuple[str, ...]
    direction: str = ""
    measure: str = ""
    is_most: bool = True
    unit: str = ""
    meters: float = 0.0
    times: float = 1.0

    def __post_init__(self) -> None:
        least, most = _COUNTS[self.kind]
        if not least <= len(self.places) <= most:
            raise QuestionError(
                f"a question about {self.kind} names {least} to {most} places, got "
                f"{len(self.places)}: {', '.join(self.places)}"
            )
        if (self.kind in ("within", "exceeds")) != (self.meters > 0):
            raise QuestionError(
                "a question whether a distance or a size is within a bound names one, and no other "
                f"does; got {self}"
            )
        if not self.times > 0:
            raise QuestionError(f"a place is some times as large as another one, got {self.times}")

    @property
    def words(self) -> str:
        """What is asked, in a few words."""
        return f"{self.kind} of {' and '.join(self.places)}"

    @property
    def is_of_size(self) -> bool:
        """Whether it goes by how large places are, so that their outlines have to be right."""
        return self.measure in ("area", "length", "width")


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
    "within": (2, 2),
    "offset": (2, 2),
    "side": (2, 2),
    "gap": (2, 2),
    "difference": (2, 3),
    "ratio": (2, 2),
    "equal": (2, 3),
    "exceeds": (1, 1),
    "total": (2, _MOST_PLACES),
    "ranking": (2, _MOST_PLACES),
    "apart": (3, _MOST_PLACES),
    "distances": (3, _MOST_PLACES),
    "pair": (3, _MOST_PLACES),
    "middle": (3, 3),
    "which between": (4, _MOST_PLACES),
    "which toward": (3, _MOST_PLACES),
    "sizes": (2, _MOST_PLACES),
}


@dataclass(frozen=True, slots=True)
class NamedThing:
    """A thing that a question names.

    Attributes:
        name: What the question calls it, such as ``red truck at the depot``.
        phrase: What is looked for, such as ``red truck``.
        place: Where alone it may stand, such as ``depot``; empty for anywhere.
    """

    name: str
    phrase: str
    place: str = ""

    @staticmethod
    def called(name: str) -> NamedThing:
        """The thing and the place that a name calls."""
        match = _AT_PLACE.fullmatch(name)
        return NamedThing(name, name) if match is None else NamedThing(name, *match.groups())


@dataclass(frozen=True, slots=True)
class ThingQuestion:
    """A question about where places lie of which some are things.

    Attributes:
        question: What is asked.
        things: Those of its names that call things, in its order.
    """

    question: PlaceQuestion
    things: tuple[NamedThing, ...]

    @property
    def sites(self) -> tuple[str, ...]:
        """The other places that have to be found: those that it names, and where things stand."""
        named = {thing.name for thing in self.things}
        own = (name for name in self.question.places if name not in named)
        return tuple(dict.fromkeys((*own, *(t.place for t in self.things if t.place))))


def distance_between(start: str, end: str) -> PlaceQuestion:
    """The question how far two places are apart, whatever their names are.

    Raises:
        QuestionError: If a name is empty or too long, or both are the same.
    """
    names = tuple(without_article(" ".join(name.split())) for name in (start, end))
    for name in names:
        if not name or len(name) > LONGEST:
            raise QuestionError(
                f"a place has a name of 1 to {LONGEST} characters, got {name!r:.60}"
            )
    if names[0].lower() == names[1].lower():
        raise QuestionError(f"a distance needs two places, got {names[0]!r} twice")
    return PlaceQuestion("distance", names)
