"""The answer to a question about places, from where they lie."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

from geofovea.pipeline.answers.measurement import LocatedPlace, Measurement, Quantity
from geofovea.pipeline.relations.place_question import Kind, PlaceQuestion
from geofovea.pipeline.relations.plane import NORTH_AT_TOP, Plane, certainty
from geofovea.pipeline.relations.vocabulary import PICTURE, UNITS, compass_word
from geofovea.tiling.geo.geodesic import Point
from geofovea.tiling.scene import Scene

__all__ = ["compute"]

_BETWEEN_DEGREES = 120.0
"""Seen from what lies between two places, they are at least this far apart."""

_WITHOUT_NORTH = ("distance", "nearer", "nearest", "size", "larger", "largest", "within")
_SAME_SHARE = 0.5
# how often a number lies within its error: what errors are made for, and what was measured
_NOMINAL = 0.9

Line = tuple[Point, Point]


@dataclass(frozen=True, slots=True)
class _Result:
    """What was computed, without the places and scores around it."""

    text: str
    sentence: str
    certainty: float
    quantities: tuple[Quantity, ...] = ()
    lines: tuple[Line, ...] = ()
    warnings: tuple[str, ...] = ()


_Rule = Callable[[PlaceQuestion, Sequence[LocatedPlace], Plane], _Result]


def compute(
    question: PlaceQuestion,
    words: str,
    places: Sequence[LocatedPlace | None],
    scene: Scene,
) -> Measurement:
    """Answer a question from where its places lie; without a number where that is not known.

    Args:
        question: What is asked.
        words: The question as it was put.
        places: One for each of its names; None for one that was not found.
        scene: Where they lie.
    """
    there = [place for place in places if place is not None]
    missing = tuple(n for n, p in zip(question.places, places, strict=True) if p is None)
    plane = Plane.of(scene, there)
    result = _refusal(missing, there) or _RULES[question.kind](question, there, plane)
    confidence = math.prod(min(1.0, place.score) for place in there) * result.certainty
    uses_north = question.kind not in _WITHOUT_NORTH
    warnings = list(result.warnings)
    if result.text and not plane.is_on_ground and uses_north and question.direction not in PICTURE:
        warnings.append(NORTH_AT_TOP)
    return Measurement(
        words,
        question.kind,
        result.text,
        result.sentence,
        confidence,
        result.quantities,
        tuple(there),
        missing,
        result.lines,
        scene,
        plane.is_on_ground,
        tuple(warnings),
    )


def _refusal(missing: Sequence[str], there: Sequence[LocatedPlace]) -> _Result | None:
    if missing:
        return _Result("", f"not found: {', '.join(missing)}", 0.0)
    for one, two in combinations(there, 2):
        common = one.region.intersection(two.region).area
        if common > _SAME_SHARE * min(one.region.area, two.region.area):
            sentence = f"the {one.label} and the {two.label} were found at the same place"
            return _Result("", f"{sentence}: name them more exactly", 0.0)
    rivals = [place for place in there if place.rivals]
    if not rivals:
        return None
    parts = [
        f"{place.label!r} may mean {1 + len(place.rivals)} places, at x, y "
        + " and ".join(f"{round(x)}, {round(y)}" for x, y in (place.center, *place.rivals))
        for place in rivals
    ]
    return _Result("", f"{'; '.join(parts)}: name the place more exactly", 0.0)


def _direction(question: PlaceQuestion, places: Sequence[LocatedPlace], plane: Plane) -> _Result:
    subject, reference = places
    return _by_margin(plane.along(question.direction, reference, subject), question, places, plane)


def _by_margin(
    margin: float, question: PlaceQuestion, places: Sequence[LocatedPlace], plane: Plane
) -> _Result:
    """Whether the first of two places lies in a direction, by how much it does."""
    subject, reference = places
    error = plane.error_along(question.direction, subject, reference)
    way = plane.way(reference.center, subject.center)
    return _Result(
        _yes_no(margin > 0),
        f"the {subject.label} is {_where(way.bearing, question.direction, places)} of the "
        f"{reference.label}, {_distance(plane, places).text} away",
        certainty(margin, error),
        (_distance(plane, places), _bearing_of(plane, places)),
        ((reference.center, subject.center),),
    )


def _where(bearing: float, direction: str, places: Sequence[LocatedPlace]) -> str:
    if direction not in PICTURE:
        return compass_word(bearing)
    (x1, y1), (x0, y0) = (place.center for place in places)
    if direction in ("left", "right"):
        return "to the right" if x1 > x0 else "to the left"
    return "on the lower side" if y1 > y0 else "on the upper side"


def _bearing(question: PlaceQuestion, places: Sequence[LocatedPlace], plane: Plane) -> _Result:
    del question
    subject, reference = places
    bearing = _bearing_of(plane, places)
    text = compass_word(bearing.value)
    # how far the bearing is from where the next word begins
    off = abs((bearing.value + 22.5) % 45 - 22.5)
    return _Result(
        text,
        f"the {subject.label} is {text} of the {reference.label} (bearing {bearing.text}), "
        f"{_distance(plane, places).text} away",
        certainty(22.5 - off, bearing.error),
        (bearing, _distance(plane, places)),
        ((reference.center, subject.center),),
    )


def _distance_rule(
    question: PlaceQuestion, places: Sequence[LocatedPlace], plane: Plane
) -> _Result:
    one, two = places
    warnings = _unit_warnings(question, plane)
    distance = plane.in_unit(_distance(plane, places), question.unit)
    gap = plane.in_unit(_gap(plane, places), question.unit)
    return _Result(
        distance.text,
        f"the {one.label} is {distance.text} from the {two.label}, center to center; their nearest "
        f"edges are {gap.text} apart",
        _NOMINAL,
        (distance, gap, _bearing_of(plane, (two, one))),
        ((one.center, two.center),),
        warnings,
    )


def _within(question: PlaceQuestion, places: Sequence[LocatedPlace], plane: Plane) -> _Result:
    """By the nearest edges and not the centers, as geometry engines have it (``ST_DWithin``)."""
    if not plane.is_on_ground:
        why = "the scene does not say where it lies, so its pixels cannot be compared with a length"
        return _Result("", why, 0.0)
    one, two = places
    gap, distance = _gap(plane, places), _distance(plane, places)
    margins = [question.meters - number.value for number in (gap, distance)]
    by_edges, by_centers = ((margin >= 0) == question.is_most for margin in margins)
    shown = [plane.in_unit(number, question.unit) for number in (gap, distance)]
    warning = (
        f"the answer goes by the nearest edges; by the centers, it would be {_yes_no(by_centers)}"
    )
    return _Result(
        _yes_no(by_edges),
        f"the nearest edges of the {one.label} and the {two.label} are {shown[0].text} apart, "
        f"their centers {shown[1].text}",
        certainty(margins[0], gap.error),
        (shown[0], shown[1]),
        ((one.center, two.center),),
        () if by_edges == by_centers else (warning,),
    )


def _nearer(question: PlaceQuestion, places: Sequence[LocatedPlace], plane: Plane) -> _Result:
    subject, reference, other = places
    first, second = (_distance(plane, (one, reference), one.label) for one in (subject, other))
    margin = (second.value - first.value) * (1 if question.is_most else -1)
    return _Result(
        _yes_no(margin > 0),
        f"from the {reference.label} it is {first.text} to the {subject.label} and {second.text} "
        f"to the {other.label}",
        certainty(margin, plane.error(subject, other)),
        (first, second),
        tuple((reference.center, one.center) for one in (subject, other)),
    )


def _nearest(question: PlaceQuestion, places: Sequence[LocatedPlace], plane: Plane) -> _Result:
    reference, *others = places
    numbers = [_distance(plane, (one, reference), one.label) for one in others]
    word = "nearest to" if question.is_most else "farthest from"
    return _best(
        others,
        numbers,
        is_most=not question.is_most,
        sentence=f"{{}} is {word} the {reference.label}",
        lines=tuple((reference.center, one.center) for one in others),
    )


def _size(question: PlaceQuestion, places: Sequence[LocatedPlace], plane: Plane) -> _Result:
    (place,) = places
    size = plane.in_unit(plane.size(question.measure, place), question.unit)
    return _Result(
        size.text,
        f"the {question.measure} of the {place.label} is {size.text}",
        _NOMINAL,
        (size,),
        warnings=(*_unit_warnings(question, plane), *_coarse_warnings(places)),
    )


def _larger(question: PlaceQuestion, places: Sequence[LocatedPlace], plane: Plane) -> _Result:
    one, two = (_named(plane.size(question.measure, place), place.label) for place in places)
    margin = (one.value - two.value) * (1 if question.is_most else -1)
    first, second = places
    return _Result(
        _yes_no(margin > 0),
        f"the {question.measure} of the {first.label} is {plane.in_unit(one).text}, that of the "
        f"{second.label} {plane.in_unit(two).text}",
        certainty(margin, math.hypot(one.error, two.error)),
        (one, two),
        warnings=_coarse_warnings(places),
    )


def _largest(question: PlaceQuestion, places: Sequence[LocatedPlace], plane: Plane) -> _Result:
    numbers = [_named(plane.size(question.measure, place), place.label) for place in places]
    word = f"{'most' if question.is_most else 'least'} {question.measure}"
    return _best(places, numbers, is_most=question.is_most, sentence=f"{{}} has the {word}")


def _between(question: PlaceQuestion, places: Sequence[LocatedPlace], plane: Plane) -> _Result:
    del question
    middle, one, two = places
    ways = [plane.way(middle.center, end.center) for end in (one, two)]
    angle = abs((ways[0].bearing - ways[1].bearing + 180) % 360 - 180)
    errors = [
        math.degrees(math.atan2(plane.error(middle, end), way.distance))
        for end, way in zip((one, two), ways, strict=True)
    ]
    seen = Quantity("angle", angle, math.hypot(*errors), "°")
    margin = angle - _BETWEEN_DEGREES
    return _Result(
        _yes_no(margin >= 0),
        f"seen from the {middle.label}, the {one.label} and the {two.label} are {seen.text} apart; "
        f"it counts as between from {_BETWEEN_DEGREES:g}° on",
        certainty(margin, seen.error),
        (seen,),
        tuple((middle.center, end.center) for end in (one, two)),
    )


def _farther(question: PlaceQuestion, places: Sequence[LocatedPlace], plane: Plane) -> _Result:
    subject, reference = places
    margin = plane.position(question.direction, reference, subject)
    return _by_margin(margin, question, places, plane)


def _farthest(question: PlaceQuestion, places: Sequence[LocatedPlace], plane: Plane) -> _Result:
    return _best(
        places,
        _numbers_along(question.direction, places, plane),
        is_most=True,
        sentence=f"{{}} lies farthest {question.direction}",
    )


def _order(question: PlaceQuestion, places: Sequence[LocatedPlace], plane: Plane) -> _Result:
    numbers = _numbers_along(question.direction, places, plane)
    order = sorted(range(len(places)), key=lambda i: -numbers[i].value)
    text = ", ".join(places[i].label for i in order)
    likely = min(
        certainty(
            numbers[i].value - numbers[j].value, math.hypot(numbers[i].error, numbers[j].error)
        )
        for i, j in pairwise(order)
    )
    return _Result(text, f"beginning {question.direction}: {text}", likely, tuple(numbers))


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


def _best(
    places: Sequence[LocatedPlace],
    numbers: Sequence[Quantity],
    *,
    is_most: bool,
    sentence: str,
    lines: tuple[Line, ...] = (),
) -> _Result:
    sign = 1 if is_most else -1
    first, second = sorted(range(len(places)), key=lambda i: -sign * numbers[i].value)[:2]
    error = math.hypot(numbers[first].error, numbers[second].error)
    listed = ", ".join(f"{p.label} {n.text}" for p, n in zip(places, numbers, strict=True))
    return _Result(
        places[first].label,
        f"{sentence.format(f'the {places[first].label}')}: {listed}",
        certainty(numbers[first].value - numbers[second].value, error),
        tuple(numbers),
        lines,
    )


def _distance(plane: Plane, places: Sequence[LocatedPlace], name: str = "distance") -> Quantity:
    one, two = places
    value = plane.way(one.center, two.center).distance
    return Quantity(name, value, plane.error(one, two), plane.unit)


def _gap(plane: Plane, places: Sequence[LocatedPlace]) -> Quantity:
    one, two = places
    error = math.hypot(*(plane.length_of(place, place.token_side / 2) for place in places))
    return Quantity("gap", plane.gap(one, two), error, plane.unit)


def _bearing_of(plane: Plane, places: Sequence[LocatedPlace]) -> Quantity:
    """From the second place to the first, in degrees clockwise from north."""
    subject, reference = places
    way = plane.way(reference.center, subject.center)
    error = math.degrees(math.atan2(plane.error(subject, reference), way.distance))
    return Quantity("bearing", way.bearing, error, "°")


def _named(quantity: Quantity, name: str) -> Quantity:
    return Quantity(name, quantity.value, quantity.error, quantity.unit)


def _unit_warnings(question: PlaceQuestion, plane: Plane) -> tuple[str, ...]:
    if question.unit and question.unit in UNITS and not plane.is_on_ground:
        return (
            f"the scene does not say where it lies: numbers are in pixels and not in "
            f"{question.unit}",
        )
    return ()


def _coarse_warnings(places: Sequence[LocatedPlace]) -> tuple[str, ...]:
    coarse = [p.label for p in places if p.region.area < 4 * p.token_side**2]
    if not coarse:
        return ()
    return (
        f"{', '.join(coarse)}: seen through fewer than four tokens, so its size is a guess; give "
        "more tiles",
    )


def _yes_no(is_so: bool) -> str:
    return "yes" if is_so else "no"


_RULES: dict[Kind, _Rule] = {
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
    "within": _within,
}
