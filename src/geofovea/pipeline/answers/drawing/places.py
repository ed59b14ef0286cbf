"""Where an answer was read from, as places to show: evidence that touches is one place."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from geofovea.pipeline.answers.evidence import Evidence
from geofovea.tiling.pyramid import Box

__all__ = ["Place", "bounds_of", "framed", "places_of", "touching"]

_TOUCH = 1e-6
_MARGIN = 0.16


@dataclass(frozen=True, slots=True)
class Place:
    """Tiles of the finest level in the evidence that touch each other.

    Attributes:
        level: Their level.
        boxes: What they show, in scene pixels, the highest score first.
        score: Sum of their scores.
    """

    level: int
    boxes: tuple[Box, ...]
    score: float

    @property
    def box(self) -> Box:
        """The smallest box around all of them."""
        return bounds_of(self.boxes)


def bounds_of(boxes: Iterable[Box]) -> Box:
    """The smallest box around some boxes."""
    x0, y0, x1, y1 = zip(*(box.as_tuple() for box in boxes), strict=True)
    return Box(min(x0), min(y0), max(x1), max(y1))


def places_of(evidence: Iterable[Evidence]) -> list[Place]:
    """The places of the finest evidence, the one that holds its first item first.

    Args:
        evidence: What reached the decoder, finest level first, then by falling score.

    Returns:
        None of them where there is no evidence.
    """
    items = list(evidence)
    if not items:
        return []
    finest = {item.box_scene: item for item in items if item.tile.level == items[0].tile.level}
    groups = [[finest[box] for box in group] for group in touching(list(finest))]
    first = items[0]
    for group in groups:
        group.sort(key=lambda item: (-item.score, item.tile))
    groups.sort(key=lambda g: (first not in g, -sum(o.score for o in g), g[0].tile))
    return [
        Place(g[0].tile.level, tuple(o.box_scene for o in g), sum(o.score for o in g))
        for g in groups
    ]


def touching(boxes: Sequence[Box]) -> list[list[Box]]:
    """Boxes in groups that touch each other, by an edge or a corner, in the order of the first."""
    groups: list[list[Box]] = []
    for box in boxes:
        near = [g for g in groups if any(_touch(box, other) for other in g)]
        if not near:
            groups.append([box])
            continue
        near[0] += [box, *(other for g in near[1:] for other in g)]
        groups = [g for g in groups if not any(g is other for other in near[1:])]
    return groups


def _touch(one: Box, other: Box) -> bool:
    slack = _TOUCH * max(one.width, one.height)
    return (
        one.x0 <= other.x1 + slack
        and other.x0 <= one.x1 + slack
        and one.y0 <= other.y1 + slack
        and other.y0 <= one.y1 + slack
    )


def framed(boxes: Sequence[Box], aspect: float, limits: Box, *, times: float = 1.0) -> Box:
    """A box of a shape around others, with a margin, moved into the limits where it fits.

    Args:
        boxes: What it shows.
        aspect: Its width over its height.
        limits: The scene; a side that is longer than the scene's ends with it.
        times: How much larger than needed.
    """
    inner = bounds_of(boxes)
    height = max(inner.height, inner.width / aspect) * (1 + 2 * _MARGIN) * times
    x0, x1 = _within(inner.center[0], height * aspect, limits.x0, limits.x1)
    y0, y1 = _within(inner.center[1], height, limits.y0, limits.y1)
    return Box(x0, y0, x1, y1)


def _within(middle: float, length: float, low: float, high: float) -> tuple[float, float]:
    if length >= high - low:
        return low, high
    start = min(max(middle - length / 2, low), high - length)
    return start, start + length
