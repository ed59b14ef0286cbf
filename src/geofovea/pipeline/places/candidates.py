"""Which thing a question means that names one, such as *the plane*, where several are there.

Of a site there is one, and it is outlined. Things stand in many places, and each that is found may
be the one that is meant.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from geofovea._plurals import counted
from geofovea.pipeline.answers.measurement import LocatedPlace
from geofovea.pipeline.relations.place_question import PlaceQuestion
from geofovea.pipeline.relations.plane import Plane
from geofovea.pipeline.relations.results import distance_of

__all__ = ["choose_things", "goes_by_nearest", "several_text"]

_BY_NEAREST = ("distance", "distances", "gap", "nearer", "nearest", "pair", "within")
# pairs of two classes are compared, so that there are not too many of them
_MOST_OF_PAIR = 32
_MOST_TOLD = 3


def goes_by_nearest(question: PlaceQuestion) -> bool:
    """Whether of several things the nearest is meant, as in a question for a distance.

    Of others it is the surest one.
    """
    return question.kind in _BY_NEAREST or question.measure == "distance"


def choose_things(
    question: PlaceQuestion, candidates: Sequence[Sequence[LocatedPlace]], plane: Plane
) -> tuple[LocatedPlace | None, ...]:
    """One place for each name of a question.

    How far it is to one of several things is how far it is to the nearest. So two names are the
    two places that are nearest to each other; of more names one is measured from, and is the surest
    there. Where nothing goes by distance, all are the surest.

    Args:
        question: What is asked.
        candidates: For each of its names all places that it may mean; none where none was found.
        plane: Measures between them.

    Returns:
        None for a name without candidates.
    """
    ranked = [sorted(some, key=lambda place: -place.score) for some in candidates]
    surest = tuple(next(iter(some), None) for some in ranked)
    if not goes_by_nearest(question) or None in surest:
        return surest
    if len(ranked) == 2:
        pairs = itertools.product(*(some[:_MOST_OF_PAIR] for some in ranked))
        return min(pairs, key=lambda pair: distance_of(plane, pair).value)
    start = surest[1 if question.kind == "nearer" else 0]
    assert start is not None  # noqa: S101 - asked before
    return tuple(
        start if place is start else min(some, key=lambda p: distance_of(plane, (start, p)).value)
        for some, place in zip(ranked, surest, strict=True)
    )


def several_text(
    question: PlaceQuestion,
    name: str,
    chosen: LocatedPlace,
    candidates: Sequence[LocatedPlace],
) -> str:
    """A sentence that says which of several things was measured, and where the others are."""
    if len(candidates) < 2:
        return ""
    others = [place.center for place in candidates if place is not chosen]
    listed = "; ".join(f"x {x:.0f}, y {y:.0f}" for x, y in others[:_MOST_TOLD])
    more = len(others) - _MOST_TOLD
    listed += f", and {counted(more, 'more place')}" if more > 0 else ""
    x, y = chosen.center
    return (
        f"{counted(len(candidates), 'place')} may be the {name}: measured was the "
        f"{'nearest' if goes_by_nearest(question) else 'surest'}, at x {x:.0f}, y {y:.0f}; "
        f"{'the other one is' if len(others) == 1 else 'others are'} at {listed}"
    )
