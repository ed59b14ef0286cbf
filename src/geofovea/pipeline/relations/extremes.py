"""The extreme places of a class, from where all that were found of it lie."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from geofovea.errors import QuestionError
from geofovea.pipeline.answers.measurement import LocatedPlace, Measurement, Quantity
from geofovea.pipeline.relations.plane import NORTH_AT_TOP, Plane, certainty
from geofovea.pipeline.relations.superlatives import Superlative
from geofovea.pipeline.relations.vocabulary import PICTURE
from geofovea.tiling.geo.geodesic import Point
from geofovea.tiling.scene import Scene

__all__ = ["Extent", "compute_extreme", "not_located"]

_KIND = "superlative"
_CLOSE = (
    "the margin to the next place, {margin}, lies within the error of the tokens: it may be the "
    "other way round"
)
_PARTLY = (
    "{share:.1%} of the area was looked at: a more extreme place may lie in the rest; allow more "
    "tiles"
)


@dataclass(frozen=True, slots=True)
class Extent:
    """How much was looked at.

    Attributes:
        share: Of the area, in [0, 1].
        recall: Of what is there, the share that was expected to be found, in [0, 1]; None where
            that is not known.

    Raises:
        QuestionError: If a number is no share.
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
) -> Measurement:
    """Choose the extreme places of a class.

    Args:
        question: What is asked.
        places: All places of the class that were found.
        scene: Where they lie.
        extent: How much of the scene was looked at for them.
        reference: From where distances are measured.

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
    compared = f"{_counted(len(places))} compared, {extent.share:.1%} of the area looked at"
    if len(places) < question.count:
        wanted = "" if question.count == 1 else f", {question.count} are wanted"
        sentence = f"not enough to compare of {question.thing!r}{wanted}: {compared}"
        missing = () if places else (question.thing,)
        return _measurement(question, sentence, plane, places=(*places, *ends), missing=missing)
    numbers = [_number(question, plane, place, places[0], reference) for place in places]
    sign = -1 if question.is_most else 1
    order = sorted(range(len(places)), key=lambda i: sign * numbers[i].value)
    chosen = [places[i] for i in order[: question.count]]
    sure, warnings = _margin([numbers[i] for i in order], question.count, plane)
    if extent.share < 1:
        warnings.append(_PARTLY.format(share=extent.share))
    if question.direction and question.direction not in PICTURE and not plane.is_on_ground:
        warnings.append(NORTH_AT_TOP)
    text = " and ".join(_where(place) for place in chosen)
    # how far a place lies from the first one found says nothing to anybody
    own = [] if question.direction else [plane.in_unit(numbers[i]) for i in order[: len(chosen)]]
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


def not_located(question: Superlative, reference: Measurement, scene: Scene) -> Measurement:
    """What is told where the place from which distances are measured was not found, or is several.

    Args:
        question: What is asked.
        reference: Of that place alone, without a number.
        scene: The scene.
    """
    plane = Plane.of(scene, reference.places)
    return _measurement(
        question,
        reference.sentence,
        plane,
        places=reference.places,
        missing=reference.missing,
        warnings=reference.warnings,
    )


def _number(
    question: Superlative,
    plane: Plane,
    place: LocatedPlace,
    origin: LocatedPlace,
    reference: LocatedPlace | None,
) -> Quantity:
    """What is compared of a place."""
    if question.measure == "direction":
        value = plane.along(question.direction, origin, place)
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


def _counted(count: int) -> str:
    return "1 place" if count == 1 else f"{count} places"


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
