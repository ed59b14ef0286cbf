"""Halves and quarters of a scene that a question names: in the north, in the upper left quarter.

What is no half and no quarter, such as a third, a corner or the north of a country, is left in the
question, so that no other grammar reads it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from geofovea.errors import GeometryError, QuestionError
from geofovea.pipeline.answers.features import is_on_ground
from geofovea.pipeline.relations.vocabulary import COMPASS, PICTURE, plain_direction
from geofovea.tiling.geo.geodesic import Point, displacement
from geofovea.tiling.geo.region import Region
from geofovea.tiling.pyramid import Box
from geofovea.tiling.scene import Scene

__all__ = ["ScenePart", "split_part"]

_UPRIGHT = {"upper": "above", "top": "above", "lower": "below", "bottom": "below"}
_HALF = r"(?:half|part|side)"
_QUARTER = r"(?:quarter|quadrant|part)"
_SIDES = "|".join(("left", "right", *_UPRIGHT))
_WORDS = (
    # in the north, in the northern half; nobody says "in the left" or "in the upper"
    r"(?P<half>north|south|east|west)"
    rf"|(?P<named_half>(?:north|south|east|west)(?:ern)?|{_SIDES}) {_HALF}"
    rf"|(?P<quarter>(?:north|south)[- ]?(?:east|west))(?:ern)?(?: {_QUARTER})?"
    rf"|(?P<upright>{'|'.join(_UPRIGHT)})[- ](?P<side>left|right)(?: {_QUARTER})?"
)
_OF_SCENE = (
    r"(?: (?:of|in) (?:the|this) (?:(?:whole|entire) )?"
    r"(?:scene|image|picture|photo|map))?"
)
_PART = rf"(?:in|on|within|inside) the (?:{_WORDS}){_OF_SCENE}"
_AT_END = re.compile(rf"(?P<rest>.+?),? {_PART}")
_AT_START = re.compile(rf"{_PART},? (?P<rest>.+)")
# "which truck in the north is the largest"
_INSIDE = re.compile(rf"(?P<before>(?:which|what) [a-z' -]+?) {_PART} (?P<after>(?:is|has) the .+)")


@dataclass(frozen=True, slots=True)
class ScenePart:
    """A half or a quarter of a scene.

    Attributes:
        directions: One direction for a half, as the vocabulary spells it; for a quarter one of the
            four between two main directions, or one up or down with one to a side.

    Raises:
        QuestionError: If there is no such part.
    """

    directions: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.directions or not all(d in COMPASS or d in PICTURE for d in self.directions):
            raise QuestionError(f"a part of a scene lies in a direction, got {self.directions}")

    @property
    def is_of_picture(self) -> bool:
        """Whether it is a part of the picture, whatever lies in the north."""
        return self.directions[0] in PICTURE

    def is_known_in(self, scene: Scene) -> bool:
        """Whether a scene shows where it lies: north is on the ground, and left in the picture."""
        return self.is_of_picture or is_on_ground(scene)

    @property
    def text(self) -> str:
        """As a sentence names it: ``the northern half``, ``the upper left quarter``."""
        words = {"above": "upper", "below": "lower"}
        names = [f"{d}ern" if d in COMPASS else words.get(d, d) for d in self.directions]
        is_half = len(self.directions) == 1 and len(self._axes) == 1
        return f"the {' '.join(names)} {'half' if is_half else 'quarter'}"

    @property
    def _axes(self) -> list[tuple[float, float]]:
        """The main directions that it lies in: east and north, or right and up in the picture."""
        axes = []
        for direction in self.directions:
            x, y = COMPASS[direction] if direction in COMPASS else PICTURE[direction]
            y = y if direction in COMPASS else -y
            axes += [(float(np.sign(x)), 0.0)] if x else []
            axes += [(0.0, float(np.sign(y)))] if y else []
        return axes

    def region(self, scene: Scene, within: Region | None = None, around: float = 0.0) -> Region:
        """The part in scene pixels: what lies in its directions from the middle of the scene.

        North is that of the ground where the scene says where it lies, else the top of the picture.

        Args:
            scene: The scene.
            within: What alone is asked about; None for the whole scene.
            around: How many pixels around the part are taken in.

        Raises:
            GeometryError: If it shares no area with what is asked about.
        """
        frame = scene.box
        shape = whole = shapely.box(*frame.as_tuple())
        east, north = _gradients(scene, frame, on_ground=not self.is_of_picture)
        for along_east, along_north in self._axes:
            slope = along_east * np.array(east) + along_north * np.array(north)
            shape = shapely.intersection(shape, _half_plane(frame, slope))
        if around:
            shape = shapely.intersection(shapely.buffer(shape, around, join_style="mitre"), whole)
        if within is not None:
            shape = shapely.intersection(shape, within.geometry)
        polygons = [part for part in shapely.get_parts(shape) if isinstance(part, shapely.Polygon)]
        if not polygons:
            raise GeometryError(
                f"{self.text} of the scene shares no area with the region that is asked about: "
                "leave out one of them"
            )
        return Region(shapely.union_all(polygons))


def split_part(text: str) -> tuple[str, ScenePart] | None:
    """A question without the half or quarter of the scene that it names, and that part.

    Args:
        text: A plain question; see ``plain_question``.

    Returns:
        None where it names none.
    """
    for pattern in (_AT_END, _AT_START, _INSIDE):
        if match := pattern.fullmatch(text):
            groups = match.groupdict()
            rest = groups.get("rest") or f"{groups.get('before')} {groups.get('after')}"
            return rest, ScenePart(_directions(groups))
    return None


def _directions(groups: dict[str, str | None]) -> tuple[str, ...]:
    if upright := groups["upright"]:
        return _UPRIGHT[upright], groups["side"] or ""
    word = groups["half"] or groups["named_half"] or groups["quarter"] or ""
    return (plain_direction(_UPRIGHT.get(word, word.removesuffix("ern"))),)


def _gradients(scene: Scene, frame: Box, *, on_ground: bool) -> tuple[Point, Point]:
    """How far a step of a pixel to the right, and one down, lead to the east; and to the north."""
    if on_ground and is_on_ground(scene):
        x, y = frame.center
        step = max(1.0, min(frame.width, frame.height) / 4)
        right = displacement(scene, (x, y), (x + step, y))
        down = displacement(scene, (x, y), (x, y + step))
        if right is not None and down is not None:
            return (right.east / step, down.east / step), (right.north / step, down.north / step)
    return (1.0, 0.0), (0.0, -1.0)


def _half_plane(frame: Box, slope: NDArray[np.float64]) -> shapely.Polygon:
    """What rises from the middle of a frame along a slope, as far as the frame reaches."""
    center = np.array(frame.center)
    ahead = slope / np.linalg.norm(slope)
    beside = np.array([-ahead[1], ahead[0]])
    reach = frame.width + frame.height
    corners = (beside, beside + ahead, ahead - beside, -beside)
    return shapely.Polygon([center + reach * corner for corner in corners])
