"""The answer to a question about places, from where they lie."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from itertools import combinations, pairwise

from geofovea.pipeline.answers.measurement import Leaning, LocatedPlace, Measurement, Quantity
from geofovea.pipeline.relations.comparisons import COMPARISON_RULES
from geofovea.pipeline.relations.place_question import Kind, PlaceQuestion
from geofovea.pipeline.relations.plane import NORTH_AT_TOP, Plane, certainty
from geofovea.pipeline.relations.results import (
    ABOUT_THE_SAME,
    BETWEEN_DEGREES,
    NOMINAL,
    TOO_CLOSE,
    Result,
    Rule,
    best_of,
    certainty_between,
    coarse_warnings,
    distance_of,
    error_between,
    gap_of,
    listed_names,
    named,
    ranked_with_ties,
    seen_apart,
    unit_warnings,
    yes_no,
)
from geofovea.pipeline.relations.vocabulary import PICTURE, compass_word
from geofovea.tiling.scene import Scene

__all__ = ["compute"]

_BY_NORTH = (
    "direction",
    "bearing",
    "farther",
    "farthest",
    "order",
    "offset",
    "side",
    "which toward",
)
_SAME_SHARE = 0.5


def compute(
    question: PlaceQuestion,
    words: str,
    places: Sequence[LocatedPlace | None],
    scene: Scene,
    things: Collection[str] = (),
) -> Measurement:
    """Answer a question from where its places lie; without a number where that is not known.

    Args:
        question: What is asked.
        words: The question as it was put.
        places: One for each of its names; None for one that was not found.
        scene: Where they lie.
        things: Those of its names that call things: one may stand within another place.
    """
    there = [place for place in places if place is not None]
    missing = tuple(n for n, p in zip(question.places, places, strict=True) if p is None)
    plane = Plane.of(scene, there)
    result = _refusal(missing, there, things) or _RULES[question.kind](question, there, plane)
    found = math.prod(min(1.0, place.score) for place in there)
    text, sentence, confidence = result.text, result.sentence, found * result.certainty
    leaning = Leaning(text, confidence) if result.is_open else None
    if result.is_open:
        text, confidence = result.otherwise, found * NOMINAL
        sentence = f"{text}, for the difference is within its error; {sentence}"
    uses_north = question.kind in _BY_NORTH
    warnings = list(result.warnings)
    if result.text and not plane.is_on_ground and uses_north and question.direction not in PICTURE:
        warnings.append(NORTH_AT_TOP)
    return Measurement(
        words,
        question.kind,
        text,
        sentence,
        confidence,
        result.quantities,
        tuple(there),
        missing,
        result.lines,
        scene,
        plane.is_on_ground,
        tuple(warnings),
        leaning=leaning,
    )


def _refusal(
    missing: Sequence[str], there: Sequence[LocatedPlace], things: Collection[str]
) -> Result | None:
    if missing:
        return Result("", f"not found: {', '.join(missing)}", 0.0)
    for one, two in combinations(there, 2):
        if (one.label in things) != (two.label in things):
            # the plane stands at the depot
            continue
        common = one.region.intersection(two.region).area
        if common > _SAME_SHARE * min(one.region.area, two.region.area):
            sentence = f"the {one.label} and the {two.label} were found at the same place"
            return Result("", f"{sentence}: name them more exactly", 0.0)
    rivals = [place for place in there if place.rivals]
    if not rivals:
        return None
    parts = [
        f"{place.label!r} may mean {1 + len(place.rivals)} places, at x, y "
        + " and ".join(f"{round(x)}, {round(y)}" for x, y in (place.center, *place.rivals))
        for place in rivals
    ]
    return Result("", f"{'; '.join(parts)}: name the place more exactly", 0.0)


def _direction(question: PlaceQuestion, places: Sequence[LocatedPlace], plane: Plane) -> Result:
    subject, reference = places
    return _by_margin(plane.along(question.direction, reference, subject), question, places, plane)


def _by_margin(
    margin: float, question: PlaceQuestion, places: Sequence[LocatedPlace], plane: Plane
) -> Result:
    """Whether the first of two places lies in a direction, by how much it does."""
    subject, reference = places
    error = plane.error_along(question.direction, subject, reference)
    way = plane.way(reference.center, subject.center)
    return Result(
        yes_no(margin > 0),
        f"the {subject.label} is {_where(way.bearing, question.direction, places)} of the "
        f"{reference.label}, {distance_of(plane, places).text} away",
        certainty(margin, error),
        (distance_of(plane, places), _bearing_of(plane, places)),
        ((reference.center, subject.center),),
        otherwise=TOO_CLOSE,
    )


def _where(bearing: float, direction: str, places: Sequence[LocatedPlace]) -> str:
    if direction not in PICTURE:
        return compass_word(bearing)
    (x1, y1), (x0, y0) = (place.center for place in places)
    if direction in ("left", "right"):
        return "to the right" if x1 > x0 else "to the left"
    return "on the lower side" if y1 > y0 else "on the upper side"


def _bearing(question: PlaceQuestion, places: Sequence[LocatedPlace], plane: Plane) -> Result:
    del question
    subject, reference = places
    bearing = _bearing_of(plane, places)
    text = compass_word(bearing.value)
    # how far the bearing is from where the next word begins
    side = (bearing.value + 22.5) % 45 - 22.5
    off, beside = abs(side), compass_word(bearing.value + math.copysign(45, side))
    return Result(
        text,
        f"the {subject.label} is {text} of the {reference.label} (bearing {bearing.text}), "
        f"{distance_of(plane, places).text} away",
        certainty(22.5 - off, bearing.error),
        (bearing, distance_of(plane, places)),
        ((reference.center, subject.center),),
        otherwise=f"{text} or {beside}",
    )


def _distance_rule(question: PlaceQuestion, places: Sequence[LocatedPlace], plane: Plane) -> Result:
    one, two = places
    warnings = unit_warnings(question, plane)
    distance = plane.in_unit(distance_of(plane, places), question.unit)
    gap = plane.in_unit(gap_of(plane, places), question.unit)
    return Result(
        distance.text,
        f"the {one.label} is {distance.text} from the {two.label}, center to center; their nearest "
        f"edges are {gap.text} apart",
        NOMINAL,
        (distance, gap, _bearing_of(plane, (two, one))),
        ((one.center, two.center),),
        warnings,
    )


def _within(question: PlaceQuestion, places: Sequence[LocatedPlace], plane: Plane) -> Result:
    """By the nearest edges and not the centers, as geometry engines have it (``ST_DWithin``)."""
    if not plane.is_on_ground:
        why = "the scene does not say where it lies, so its pixels cannot be compared with a length"
        return Result("", why, 0.0)
    one, two = places
    gap, distance = gap_of(plane, places), distance_of(plane, places)
    margins = [question.meters - number.value for number in (gap, distance)]
    by_edges, by_centers = ((margin >= 0) == question.is_most for margin in margins)
    shown = [plane.in_unit(number, question.unit) for number in (gap, distance)]
    warning = (
        f"the answer goes by the nearest edges; by the centers, it would be {yes_no(by_centers)}"
    )
    return Result(
        yes_no(by_edges),
        f"the nearest edges of the {one.label} and the {two.label} are {shown[0].text} apart, "
        f"their centers {shown[1].text}",
        certainty(margins[0], gap.error),
        (shown[0], shown[1]),
        ((one.center, two.center),),
        () if by_edges == by_centers else (warning,),
        otherwise=TOO_CLOSE,
    )


def _nearer(question: PlaceQuestion, places: Sequence[LocatedPlace], plane: Plane) -> Result:
    subject, reference, other = places
    first, second = (distance_of(plane, (one, reference), one.label) for one in (subject, other))
    margin = (second.value - first.value) * (1 if question.is_most else -1)
    return Result(
        yes_no(margin > 0),
        f"from the {reference.label} it is {first.text} to the {subject.label} and {second.text} "
        f"to the {other.label}",
        certainty_between(first, second),
        (first, second),
        tuple((reference.center, one.center) for one in (subject, other)),
        otherwise=ABOUT_THE_SAME,
    )


def _nearest(question: PlaceQuestion, places: Sequence[LocatedPlace], plane: Plane) -> Result:
    reference, *others = places
    numbers = [distance_of(plane, (one, reference), one.label) for one in others]
    word = "nearest to" if question.is_most else "farthest from"
    return best_of(
        others,
        numbers,
        is_most=not question.is_most,
        sentence=f"{{}} is {word} the {reference.label}",
        lines=tuple((reference.center, one.center) for one in others),
    )


def _size(question: PlaceQuestion, places: Sequence[LocatedPlace], plane: Plane) -> Result:
    (place,) = places
    size = plane.in_unit(plane.size(question.measure, place), question.unit)
    return Result(
        size.text,
        f"the {question.measure} of the {place.label} is {size.text}",
        NOMINAL,
        (size,),
        warnings=(*unit_warnings(question, plane), *coarse_warnings(places)),
    )


def _larger(question: PlaceQuestion, places: Sequence[LocatedPlace], plane: Plane) -> Result:
    one, two = (named(plane.size(question.measure, place), place.label) for place in places)
    times = question.times
    margin = (one.value - times * two.value) * (1 if question.is_most else -1)
    first, second = places
    return Result(
        yes_no(margin > 0),
        f"the {question.measure} of the {first.label} is {plane.in_unit(one).text}, that of the "
        f"{second.label} {plane.in_unit(two).text}",
        certainty(margin, error_between(one, two.times(times))),
        (one, two),
        warnings=coarse_warnings(places),
        otherwise=ABOUT_THE_SAME if times == 1 else TOO_CLOSE,
    )


def _largest(question: PlaceQuestion, places: Sequence[LocatedPlace], plane: Plane) -> Result:
    numbers = [named(plane.size(question.measure, place), place.label) for place in places]
    word = f"{'most' if question.is_most else 'least'} {question.measure}"
    return best_of(places, numbers, is_most=question.is_most, sentence=f"{{}} has the {word}")


def _between(question: PlaceQuestion, places: Sequence[LocatedPlace], plane: Plane) -> Result:
    del question
    middle, one, two = places
    seen = seen_apart(plane, middle, (one, two))
    margin = seen.value - BETWEEN_DEGREES
    return Result(
        yes_no(margin >= 0),
        f"seen from the {middle.label}, the {one.label} and the {two.label} are {seen.text} apart; "
        f"it counts as between from {BETWEEN_DEGREES:g}° on",
        certainty(margin, seen.error),
        (seen,),
        tuple((middle.center, end.center) for end in (one, two)),
        otherwise=TOO_CLOSE,
    )


def _farther(question: PlaceQuestion, places: Sequence[LocatedPlace], plane: Plane) -> Result:
    subject, reference = places
    margin = plane.position(question.direction, reference, subject)
    return _by_margin(margin, question, places, plane)


def _farthest(question: PlaceQuestion, places: Sequence[LocatedPlace], plane: Plane) -> Result:
    return best_of(
        places,
        _numbers_along(question.direction, places, plane),
        is_most=True,
        sentence=f"{{}} lies farthest {question.direction}",
    )


def _order(question: PlaceQuestion, places: Sequence[LocatedPlace], plane: Plane) -> Result:
    numbers = _numbers_along(question.direction, places, plane)
    order = sorted(range(len(places)), key=lambda i: -numbers[i].value)
    text = ", ".join(places[i].label for i in order)
    likely = min(certainty_between(numbers[i], numbers[j]) for i, j in pairwise(order))
    return Result(
        text,
        f"beginning {question.direction}: {text}",
        likely,
        tuple(numbers),
        otherwise=ranked_with_ties([numbers[i] for i in order]),
    )


def _which_toward(question: PlaceQuestion, places: Sequence[LocatedPlace], plane: Plane) -> Result:
    """Which places lie in a direction of the first."""
    reference, *others = places
    way, unit = question.direction, "px" if question.direction in PICTURE else plane.unit
    numbers = [
        Quantity(
            it.label,
            plane.along(way, reference, it),
            plane.error_along(way, reference, it),
            unit,
        )
        for it in others
    ]
    there = [number.name for number in numbers if number.value > 0]
    listed = ", ".join(f"{number.name} {plane.in_unit(number).text}" for number in numbers)
    return Result(
        listed_names(there) if there else "none of them",
        f"how far {way} of the {reference.label} they lie: {listed}",
        min(certainty(number.value, number.error) for number in numbers),
        tuple(numbers),
        tuple((reference.center, it.center) for it in others),
        otherwise=TOO_CLOSE,
    )


def _numbers_along(direction: str, places: Sequence[LocatedPlace], plane: Plane) -> list[Quantity]:
    """How far each place lies on a line in a direction, from the first."""
    unit = "px" if direction in PICTURE else plane.unit
    return [
        Quantity(
            place.label,
            plane.position(direction, places[0], place),
            plane.error_along(direction, place),
            unit,
        )
        for place in places
    ]


def _bearing_of(plane: Plane, places: Sequence[LocatedPlace]) -> Quantity:
    """From the second place to the first, in degrees clockwise from north."""
    subject, reference = places
    way = plane.way(reference.center, subject.center)
    error = math.degrees(math.atan2(plane.error(subject, reference), way.distance))
    return Quantity("bearing", way.bearing, error, "°")


_RULES: Mapping[Kind, Rule] = {
    "direction": _direction,
    "bearing": _bearing,
    "distance": _distance_rule,
    "nearer": _nearer,
    "nearest": _nearest,
    "size": _size,
    "larger": _larger,
    "largest": _largest,
    "between": _between,
    "farther": _farther,
    "farthest": _farthest,
    "order": _order,
    "which toward": _which_toward,
    "within": _within,
    **COMPARISON_RULES,
}
