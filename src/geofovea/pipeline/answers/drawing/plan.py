"""What the panels of a picture show: the scene, the search, and the places it was answered from."""

from __future__ import annotations

from dataclasses import dataclass

from geofovea.pipeline.answers.drawing.layout import Frame, Layout, arranged
from geofovea.pipeline.answers.drawing.panel import Panel
from geofovea.pipeline.answers.drawing.pictured import Pictured
from geofovea.pipeline.answers.drawing.places import Place, framed, places_of
from geofovea.tiling.pyramid import Box
from geofovea.tiling.scene import Scene

__all__ = ["PicturePlan", "plan_picture"]

_MOST_PLACES = 3
_LARGE_PLACE = 0.5
_WAY_IN = 5.0
_LARGE_WAY_IN = 0.4


@dataclass(frozen=True, slots=True)
class PicturePlan:
    """The panels of a picture.

    Attributes:
        scene: Shows all of it.
        way_in: Shows the surroundings of the only place; None where that is not far.
        places: All places of the finest evidence, the first ones with a panel.
        close_ups: A panel for each of the first places; none where they are most of the scene.
        layout: Where they stand.
    """

    scene: Panel
    way_in: Panel | None
    places: tuple[Place, ...]
    close_ups: tuple[Panel, ...]
    layout: Layout

    @property
    def evidence(self) -> list[Box]:
        """The finest tiles whose tokens reached the decoder."""
        return [box for place in self.places for box in place.boxes]


def plan_picture(answer: Pictured, top: int) -> PicturePlan:
    """Choose and place the panels.

    Args:
        answer: What is shown.
        top: Where they begin on the page.
    """
    scene = answer.scene
    places = tuple(places_of(answer.evidence))
    close = _worth_a_panel(places, scene)
    has_way_in = len(close) == 1 and _is_far(close[0], scene)
    layout = arranged(scene.width / scene.height, len(close) + has_way_in, top)
    frames = list(layout.others)
    way_in = None
    if has_way_in:
        around = framed(close[0].boxes, frames[0].aspect, scene.box, times=_WAY_IN)
        way_in = _unstretched(around, frames.pop(0))
    return PicturePlan(
        scene=Panel(scene.box, layout.scene),
        way_in=way_in,
        places=places,
        close_ups=tuple(
            _unstretched(framed(place.boxes, frame.aspect, scene.box), frame)
            for place, frame in zip(close, frames, strict=True)
        ),
        layout=layout,
    )


def _worth_a_panel(places: tuple[Place, ...], scene: Scene) -> list[Place]:
    """The first places; none where one of them is most of the scene."""
    first = list(places[:_MOST_PLACES])
    if any(place.box.area > _LARGE_PLACE * scene.box.area for place in first):
        return []
    return first


def _is_far(place: Place, scene: Scene) -> bool:
    """Whether a place is so small on the scene that one wants to see the way to it."""
    around = framed(place.boxes, 1.0, scene.box, times=_WAY_IN)
    return around.area < _LARGE_WAY_IN * scene.box.area


def _unstretched(box: Box, frame: Frame) -> Panel:
    """A panel of the shape of its box, where the scene ends before the frame does."""
    aspect = box.width / box.height
    width = min(frame.width, max(1, round(frame.height * aspect)))
    height = min(frame.height, max(1, round(width / aspect)))
    return Panel(box, Frame(frame.left, frame.top, width, height, frame.slot))
