"""Rules for questions that compare by a number, and for those about all pairs of their places."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations, pairwise

from geofovea.pipeline.answers.measurement import LocatedPlace, Quantity
from geofovea.pipeline.relations.place_question import Kind, PlaceQuestion
from geofovea.pipeline.relations.plane import Plane, certainty
from geofovea.pipeline.relations.results import (
    ABOUT_THE_SAME,
    BETWEEN_DEGREES,
    NOMINAL,
    TOO_CLOSE,
    Line,
    Result,
    Rule,
    certainty_between,
    coarse_warnings,
    distance_of,
    error_between,
    gap_of,
    named,
    ranked_with_ties,
    seen_apart,
    unit_warnings,
    yes_no,
)
from geofovea.pipeline.relations.sentences import OPPOSITE

__all__ = ["COMPARISON_RULES"]

_EQUAL_SHARE = 0.1
"""Two numbers count as equal where they differ by at most this share of the larger one."""

_MORE_AND_LESS = {
    "area": ("larger", "smaller"),
    "length": ("longer", "shorter"),
    "width": ("wider", "narrower"),
    "distance": ("farther", "closer"),
}
_WITHIN_ERROR = "the difference is within its error, so it may be the other way round"


def _offset(question: PlaceQuestion, places: Sequence[LocatedPlace], plane: Plane) -> Result:
    subject, reference = places
    way = question.direction
    along = Quantity(
        "offset", plane.along(way, reference, subject), plane.error(*places), plane.unit
    )
    shown = plane.in_unit(along, question.unit)
    side = way if along.value >= 0 else OPPOSITE[way]
    text = f"{_size_of(shown)} {side}"
    return Result(
        text,
        f"the {subject.label} lies {text} of the {reference.label}, and "
        f"{plane.in_unit(distance_of(plane, places)).text} away in all",
        NOMINAL,
        (shown, distance_of(plane, places)),
        ((reference.center, subject.center),),
        (*unit_warnings(question, plane), *_sign_warnings(along)),
    )


def _side(question: PlaceQuestion, places: Sequence[LocatedPlace], plane: Plane) -> Result:
    subject, reference = places
    margin = plane.along(question.direction, reference, subject)
    error = plane.error_along(question.direction, *places)
    text = question.direction if margin > 0 else OPPOSITE[question.direction]
    distance = distance_of(plane, places)
    return Result(
        text,
        f"of {question.direction} and {OPPOSITE[question.direction]} of the {reference.label}, the "
        f"{subject.label} lies {text}, {plane.in_unit(distance).text} away",
        certainty(margin, error),
        (distance,),
        ((reference.center, subject.center),),
        otherwise=TOO_CLOSE,
    )


def _gap(question: PlaceQuestion, places: Sequence[LocatedPlace], plane: Plane) -> Result:
    one, two = places
    gap, distance = (
        plane.in_unit(number, question.unit)
        for number in (gap_of(plane, places), distance_of(plane, places))
    )
    return Result(
        gap.text,
        f"the nearest edges of the {one.label} and the {two.label} are {gap.text} apart, their "
        f"centers {distance.text}",
        NOMINAL,
        (gap, distance),
        ((one.center, two.center),),
        unit_warnings(question, plane),
    )


def _difference(question: PlaceQuestion, places: Sequence[LocatedPlace], plane: Plane) -> Result:
    first, second = _compared(question, places, plane)
    error = error_between(first, second)
    more, less = _MORE_AND_LESS[question.measure]
    is_more = first.value >= second.value
    gained = (first.value - second.value) * (1 if question.is_most else -1)
    difference = plane.in_unit(Quantity("difference", gained, error, first.unit), question.unit)
    text = f"{_size_of(difference)} {more if is_more else less}"
    one = places[0]
    return Result(
        text,
        f"the {one.label} is {text}{_than(question, places)}: " + _listed((first, second), plane),
        NOMINAL,
        (difference, first, second),
        _lines(question, places),
        (
            *unit_warnings(question, plane),
            *_sign_warnings(difference),
            *_size_warnings(question, places),
        ),
    )


def _than(question: PlaceQuestion, places: Sequence[LocatedPlace]) -> str:
    """What the first place is compared with."""
    if question.measure != "distance":
        return f" than the {places[1].label}"
    _, other, reference = places
    return f", seen from the {reference.label}, than the {other.label}"


def _ratio(question: PlaceQuestion, places: Sequence[LocatedPlace], plane: Plane) -> Result:
    first, second = _compared(question, places, plane)
    value = first.value / second.value
    # the same share of both is no error of their ratio
    error = value * error_between(first.times(1 / first.value), second.times(1 / second.value))
    ratio = Quantity("ratio", value, error, "times")
    one, two = places
    return Result(
        ratio.text,
        f"the {question.measure} of the {one.label} is {ratio.text} that of the {two.label}: "
        + _listed((first, second), plane),
        NOMINAL,
        (ratio, first, second),
        warnings=coarse_warnings(places),
    )


def _equal(question: PlaceQuestion, places: Sequence[LocatedPlace], plane: Plane) -> Result:
    first, second = _compared(question, places, plane)
    times = question.times
    said = second.times(times)
    error = error_between(first, said)
    allowed = _EQUAL_SHARE * max(first.value, said.value)
    apart = abs(first.value - said.value)
    # the difference may leave the band of equal numbers on both sides
    sides = [certainty(room, error) for room in (allowed - apart, allowed + apart)]
    is_equal = apart <= allowed
    return Result(
        yes_no(is_equal),
        f"the {question.measure} of the {_names(question, places)}: "
        + _listed((first, second), plane)
        + f"; it counts as {'the same' if times == 1 else f'{times:.3g} times as much'} up to a "
        f"difference of {_EQUAL_SHARE:.0%}",
        max(0.0, sum(sides) - 1) if is_equal else sides[0],
        (first, second),
        _lines(question, places),
        _size_warnings(question, places),
        otherwise=ABOUT_THE_SAME if apart <= error and times == 1 else TOO_CLOSE,
    )


def _names(question: PlaceQuestion, places: Sequence[LocatedPlace]) -> str:
    """The two places that are compared, and from where if it is by distance."""
    text = f"{places[0].label} and the {places[1].label}"
    return f"{text} from the {places[2].label}" if question.measure == "distance" else text


def _exceeds(question: PlaceQuestion, places: Sequence[LocatedPlace], plane: Plane) -> Result:
    if not plane.is_on_ground:
        why = "the scene does not say where it lies, so its pixels cannot be compared with a size"
        return Result("", why, 0.0)
    (place,) = places
    size = plane.size(question.measure, place)
    margin = size.value - question.meters
    shown = plane.in_unit(size, question.unit)
    return Result(
        yes_no((margin > 0) == question.is_most),
        f"the {question.measure} of the {place.label} is {shown.text}",
        certainty(margin, size.error),
        (shown,),
        warnings=coarse_warnings(places),
        otherwise=TOO_CLOSE,
    )


def _total(question: PlaceQuestion, places: Sequence[LocatedPlace], plane: Plane) -> Result:
    numbers = [named(plane.size("area", place), place.label) for place in places]
    # outlines that one model draws come out too large together, or too small
    value, common = sum(n.value for n in numbers), sum(n.common for n in numbers)
    error = math.hypot(common, *(n.own for n in numbers))
    total = plane.in_unit(Quantity("total", value, error, numbers[0].unit, common), question.unit)
    return Result(
        total.text,
        f"together they cover {total.text}: " + _listed(numbers, plane),
        NOMINAL,
        (total, *numbers),
        warnings=(*unit_warnings(question, plane), *coarse_warnings(places)),
    )


def _ranking(question: PlaceQuestion, places: Sequence[LocatedPlace], plane: Plane) -> Result:
    ranked: Sequence[LocatedPlace] = places
    if question.measure == "distance":
        reference, *ranked = places
        numbers = [distance_of(plane, (one, reference), one.label) for one in ranked]
    else:
        numbers = [named(plane.size(question.measure, one), one.label) for one in ranked]
    order = sorted(numbers, key=lambda n: n.value, reverse=question.is_most)
    more, less = _MORE_AND_LESS[question.measure]
    likely = min(certainty_between(a, b) for a, b in pairwise(order))
    return Result(
        ", ".join(number.name for number in order),
        f"the {more if question.is_most else less} first: {_listed(order, plane)}",
        likely,
        tuple(numbers),
        tuple((places[0].center, one.center) for one in ranked if one is not places[0])
        if question.measure == "distance"
        else (),
        _size_warnings(question, ranked),
        otherwise=ranked_with_ties(order),
    )


def _apart(question: PlaceQuestion, places: Sequence[LocatedPlace], plane: Plane) -> Result:
    return _all_distances(question, list(combinations(places, 2)), plane)


def _distances(question: PlaceQuestion, places: Sequence[LocatedPlace], plane: Plane) -> Result:
    first, *others = places
    return _all_distances(question, [(first, other) for other in others], plane)


def _all_distances(
    question: PlaceQuestion, pairs: Sequence[tuple[LocatedPlace, LocatedPlace]], plane: Plane
) -> Result:
    numbers = [plane.in_unit(n, question.unit) for n in _of_pairs(pairs, plane)]
    text = ", ".join(f"{number.name} {number.text}" for number in numbers)
    return Result(
        text,
        f"from center to center: {text}",
        NOMINAL,
        tuple(numbers),
        tuple((one.center, two.center) for one, two in pairs),
        unit_warnings(question, plane),
    )


def _pair(question: PlaceQuestion, places: Sequence[LocatedPlace], plane: Plane) -> Result:
    pairs = list(combinations(places, 2))
    numbers = _of_pairs(pairs, plane)
    order = sorted(numbers, key=lambda n: n.value, reverse=not question.is_most)
    first, second = order[:2]
    word = "closest together" if question.is_most else "farthest apart"
    return Result(
        first.name,
        f"{first.name} are {word}: {_listed(order, plane)}",
        certainty_between(first, second),
        tuple(numbers),
        tuple((one.center, two.center) for one, two in pairs),
        otherwise=f"{first.name}, or {second.name}: {ABOUT_THE_SAME}",
    )


def _middle(question: PlaceQuestion, places: Sequence[LocatedPlace], plane: Plane) -> Result:
    del question
    seen = [
        named(seen_apart(plane, one, [two for two in places if two is not one]), one.label)
        for one in places
    ]
    return _those_between(seen)


def _which_between(question: PlaceQuestion, places: Sequence[LocatedPlace], plane: Plane) -> Result:
    del question
    one, two, *others = places
    return _those_between([named(seen_apart(plane, it, (one, two)), it.label) for it in others])


def _those_between(seen: Sequence[Quantity]) -> Result:
    """The places that see two others far enough apart; "none of them" where none does."""
    between = [angle.name for angle in seen if angle.value >= BETWEEN_DEGREES]
    return Result(
        " and ".join(between) or "none of them",
        f"it counts as between from {BETWEEN_DEGREES:g}° on, and they see the two others apart by: "
        + ", ".join(f"{angle.name} {angle.text}" for angle in seen),
        min(certainty(angle.value - BETWEEN_DEGREES, angle.error) for angle in seen),
        tuple(seen),
        otherwise=TOO_CLOSE,
    )


def _compared(
    question: PlaceQuestion, places: Sequence[LocatedPlace], plane: Plane
) -> tuple[Quantity, Quantity]:
    """What is compared of the first two places: their sizes, or their ways from the third."""
    one, two = places[:2]
    if question.measure == "distance":
        ways = [distance_of(plane, (it, places[2]), it.label) for it in (one, two)]
        return ways[0], ways[1]
    sizes = [named(plane.size(question.measure, it), it.label) for it in (one, two)]
    return sizes[0], sizes[1]


def _of_pairs(pairs: Sequence[tuple[LocatedPlace, LocatedPlace]], plane: Plane) -> list[Quantity]:
    return [distance_of(plane, (a, b), f"{a.label} and {b.label}") for a, b in pairs]


def _lines(question: PlaceQuestion, places: Sequence[LocatedPlace]) -> tuple[Line, ...]:
    if question.measure != "distance":
        return ()
    return tuple((places[2].center, one.center) for one in places[:2])


def _listed(numbers: Sequence[Quantity], plane: Plane) -> str:
    return ", ".join(f"{number.name} {plane.in_unit(number).text}" for number in numbers)


def _size_of(number: Quantity) -> str:
    """A number without its sign, which a word behind it says."""
    return Quantity(number.name, abs(number.value), number.error, number.unit).text


def _sign_warnings(number: Quantity) -> tuple[str, ...]:
    return (_WITHIN_ERROR,) if abs(number.value) < number.error else ()


def _size_warnings(question: PlaceQuestion, places: Sequence[LocatedPlace]) -> tuple[str, ...]:
    return coarse_warnings(places) if question.is_of_size else ()


def _sizes(question: PlaceQuestion, places: Sequence[LocatedPlace], plane: Plane) -> Result:
    numbers = [
        plane.in_unit(named(plane.size(question.measure, it), it.label), question.unit)
        for it in places
    ]
    text = ", ".join(f"{number.name} {number.text}" for number in numbers)
    warnings = (*unit_warnings(question, plane), *coarse_warnings(places))
    return Result(text, f"{question.measure}: {text}", NOMINAL, tuple(numbers), warnings=warnings)


COMPARISON_RULES: Mapping[Kind, Rule] = {
    "offset": _offset,
    "side": _side,
    "gap": _gap,
    "difference": _difference,
    "ratio": _ratio,
    "equal": _equal,
    "exceeds": _exceeds,
    "total": _total,
    "ranking": _ranking,
    "apart": _apart,
    "distances": _distances,
    "pair": _pair,
    "middle": _middle,
    "which between": _which_between,
    "sizes": _sizes,
}
"""How each of these kinds is answered."""
