"""The extreme places of a class, from where all that were found of it lie."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from geofovea._plurals import counted
from geofovea.errors import QuestionError
from geofovea.pipeline.answers.measurement import LocatedPlace, Measurement, Quantity
from geofovea.pipeline.relations.plane import NORTH_AT_TOP, Plane, certainty
from geofovea.pipeline.relations.superlatives import Superlative
from geofovea.pipeline.relations.vocabulary import PICTURE
from geofovea.tiling.geo.geodesic import Point
from geofovea.tiling.scene import Scene

__all__ = [
    "LEAST_HELD",
    "MOST_REFUTED",
    "UNCHECKED",
    "Extent",
    "LookAgain",
    "compute_extreme",
    "not_located",
]

_KIND = "superlative"
_CLOSE = (
    "the margin to the next place, {margin}, lies within the error of the tokens: it may be the "
    "other way round"
)
_PARTLY = (
    "{share:.1%} of the area was looked at: a more extreme place may lie in the rest; allow more "
    "tiles"
)


UNCHECKED = (
    "not every place that is named was looked at a second time: it may be a false alarm; allow "
    "more tiles"
)
LEAST_HELD = 0.5
"""A place whose score falls below this at a second look is refuted."""

MOST_REFUTED = 8
"""After so many refuted places the next one is named without a second look, and that is said."""

LookAgain = Callable[[LocatedPlace], float | None]


@dataclass(frozen=True, slots=True)
class _Ranked:
    """A place with what is compared of it."""

    place: LocatedPlace
    number: Quantity


@dataclass(frozen=True, slots=True)
class _Checked:
    """What is left of a ranking after a second look, what was refuted, and what to say of it."""

    ranking: Sequence[_Ranked]
    refuted: Sequence[_Ranked]
    warnings: Sequence[str]


@dataclass(frozen=True, slots=True)
class Extent:
    """How much was looked at.

    Attributes:
        share: Of the area, in [0, 1].
        recall: Of what is there, the share that was expected to be found, in [0, 1]; None where
            that is not known.

    Raises:
        QuestionError: If a number is not a share.
    """

    share: float
    recall: float | None = None

    def __post_init__(self) -> None:
        if not all(0 <= number <= 1 for number in (self.share, self.likely_share)):
            raise QuestionError(f"an extent needs shares in [0, 1], got {self}")

    @property
    def likely_share(self) -> float:
        """Of all places, the share that was probably found."""
        return self.share if self.recall is None else self.recall


def compute_extreme(
    question: Superlative,
    places: Sequence[LocatedPlace],
    scene: Scene,
    extent: Extent,
    reference: LocatedPlace | None = None,
    look_again: LookAgain | None = None,
) -> Measurement:
    """Choose the extreme places of a class.

    One false alarm at the edge would become the extreme. So each place is looked at again before it
    is named, and the next one takes the place of one that is refuted.

    Args:
        question: What is asked.
        places: All places of the class that were found.
        scene: Where they lie.
        extent: How much of the scene was looked at for them.
        reference: From where distances are measured.
        look_again: How likely a place shows its class when it is looked at again; None where no
            further look is possible. Without it nothing is looked at again.

    Returns:
        The extreme places first among its places, with a number for each, and the reference after
        them. Without text where fewer places were found than are wanted.

    Raises:
        QuestionError: If a distance is asked for without a reference.
    """
    if bool(question.reference) != (reference is not None):
        raise QuestionError(f"distances, and they alone, need a reference; got {question}")
    ends = () if reference is None else (reference,)
    plane = Plane.of(scene, [*places, *ends])
    ranking: Sequence[_Ranked] = _ranking(question, plane, places, reference)
    checked = _looked_again(ranking, question.count, look_again)
    ranking = checked.ranking
    compared = f"{counted(len(places), 'place')} compared, {extent.share:.1%} of the area looked at"
    if checked.refuted:
        compared += f", {counted(len(checked.refuted), 'place')} refuted by a second look"
    if len(ranking) < question.count:
        wanted = "" if question.count == 1 else f", {question.count} are wanted"
        within = "" if question.part is None else f" {question.part.where}"
        sentence = f"not enough to compare of {question.thing!r}{within}{wanted}: {compared}"
        left = [each.place for each in ranking]
        missing = () if left else (question.thing,)
        return _measurement(question, sentence, plane, places=(*left, *ends), missing=missing)
    chosen = [each.place for each in ranking[: question.count]]
    sure, warnings = _margin([each.number for each in ranking], question.count, plane)
    warnings += checked.warnings
    if extent.share < 1:
        warnings.append(_PARTLY.format(share=extent.share))
    if question.names_north and not plane.is_on_ground:
        warnings.append(NORTH_AT_TOP)
    text = " and ".join(_where(place) for place in chosen)
    # how far a place lies from the first one found says nothing to anybody
    numbers = [] if question.direction else [each.number for each in ranking[: len(chosen)]]
    own = [plane.in_unit(number) for number in numbers]
    shown = f" ({', '.join(number.text for number in own)})" if own else ""
    likely = math.prod(min(1.0, place.score) for place in (*chosen, *ends))
    return _measurement(
        question,
        f"{text}: {question.extreme}{shown}; {compared}",
        plane,
        text=text,
        confidence=sure * likely * extent.likely_share,
        quantities=own,
        places=(*chosen, *ends),
        lines=[(reference.center, place.center) for place in chosen] if reference else (),
        warnings=warnings,
    )


def not_located(words: str, reference: Measurement, scene: Scene) -> Measurement:
    """What is told where the place that is measured from was not found, or is several.

    Args:
        words: The question as it was asked.
        reference: Of that place alone, without a number.
        scene: The scene.
    """
    plane = Plane.of(scene, reference.places)
    return Measurement(
        words,
        _KIND,
        "",
        reference.sentence,
        0.0,
        (),
        reference.places,
        reference.missing,
        (),
        scene,
        plane.is_on_ground,
        reference.warnings,
    )


def _ranking(
    question: Superlative,
    plane: Plane,
    places: Sequence[LocatedPlace],
    reference: LocatedPlace | None,
) -> list[_Ranked]:
    """The places, the most extreme first."""
    sign = -1 if question.is_most else 1
    ranked = [
        _Ranked(place, _number(question, plane, place, places[0], reference)) for place in places
    ]
    return sorted(ranked, key=lambda each: sign * each.number.value)


def _looked_again(ranking: Sequence[_Ranked], count: int, look_again: LookAgain | None) -> _Checked:
    """Look at places in their order until enough of them hold.

    A place holds if both looks together still believe in it, and its score is their product.
    """
    left, refuted, holding = list(ranking), list[_Ranked](), 0
    while look_again is not None and holding < min(count, len(left)):
        place = left[holding].place
        share = None if len(refuted) == MOST_REFUTED else look_again(place)
        if share is None:
            return _Checked(left, refuted, [UNCHECKED])
        if place.score * share < LEAST_HELD:
            refuted.append(left.pop(holding))
            continue
        left[holding] = replace(left[holding], place=replace(place, score=place.score * share))
        holding += 1
    return _Checked(left, refuted, [])


def _number(
    question: Superlative,
    plane: Plane,
    place: LocatedPlace,
    origin: LocatedPlace,
    reference: LocatedPlace | None,
) -> Quantity:
    """What is compared of a place."""
    if question.measure == "direction":
        value = plane.position(question.direction, origin, place)
        unit = "px" if question.direction in PICTURE else plane.unit
        error = plane.error_along(question.direction, place)
        return Quantity(question.direction, value, error, unit)
    if reference is not None:
        value = plane.way(reference.center, place.center).distance
        return Quantity("distance", value, plane.error(place, reference), plane.unit)
    return plane.size(question.measure, place)


def _margin(numbers: Sequence[Quantity], count: int, plane: Plane) -> tuple[float, list[str]]:
    """How likely the last that is wanted is really before the next, and a warning if hardly."""
    if len(numbers) <= count:
        return 1.0, []
    last, rival = numbers[count - 1], numbers[count]
    margin, error = abs(last.value - rival.value), math.hypot(last.error, rival.error)
    if margin > error:
        return certainty(margin, error), []
    text = plane.in_unit(Quantity(last.name, margin, error, last.unit)).text
    return certainty(margin, error), [_CLOSE.format(margin=text)]


def _where(place: LocatedPlace) -> str:
    x, y = place.center
    return f"the {place.label} at x {x:.0f}, y {y:.0f}"


def _measurement(
    question: Superlative,
    sentence: str,
    plane: Plane,
    *,
    text: str = "",
    confidence: float = 0.0,
    quantities: Sequence[Quantity] = (),
    places: Sequence[LocatedPlace] = (),
    missing: Sequence[str] = (),
    lines: Sequence[tuple[Point, Point]] = (),
    warnings: Sequence[str] = (),
) -> Measurement:
    return Measurement(
        question.words,
        _KIND,
        text,
        sentence,
        confidence,
        tuple(quantities),
        tuple(places),
        tuple(missing),
        tuple(lines),
        plane.scene,
        plane.is_on_ground,
        tuple(warnings),
    )
