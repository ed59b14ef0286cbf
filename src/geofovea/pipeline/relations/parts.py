"""Parts of a scene that a question names: its north, its upper left corner, its middle.

What is none of them, such as a fifth or the north of a country, is left in the question, so that no
other grammar reads it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

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

__all__ = ["ScenePart", "cut_region", "gradients", "half_plane", "slopes", "split_part"]

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
    rf"|(?P<third>(?:north|south|east|west)(?:ern(?:most)?)?|{_SIDES}) third"
    r"|(?P<corner>(?:north|south)[- ]?(?:east|west))(?:ern(?:most)?)? corner"
    rf"|(?P<corner_upright>{'|'.join(_UPRIGHT)})[- ](?P<corner_side>left|right)(?:[- ]hand)? corner"
    rf"|(?P<middle>middle|cent(?:er|re)|central {_HALF}|central (?:area|region))"
)
_OF_SCENE = (
    r"(?: (?:of|in) (?:the|this) (?:(?:whole|entire) )?"
    r"(?:scene|image|picture|photo|map))?"
)
_PART = rf"(?:in|on|at|within|inside) the (?:{_WORDS}){_OF_SCENE}"
_AT_END = re.compile(rf"(?P<rest>.+?),? {_PART}")
_AT_START = re.compile(rf"{_PART},? (?P<rest>.+)")
# "which truck in the north is the largest"
_INSIDE = re.compile(rf"(?P<before>(?:which|what) [a-z' -]+?) {_PART} (?P<after>(?:is|has) the .+)")


@dataclass(frozen=True, slots=True)
class ScenePart:
    """A part of a scene: a half, a quarter, a third, a corner, or the middle.

    Attributes:
        directions: One direction for a half or a third, as the vocabulary spells it; for a quarter
            or a corner one of the four between two main directions, or one up or down with one to a
            side; none for the middle.
        share: How much of each side it takes up: a half, or a third at the edge of the scene. The
            middle is the middle third of both sides.

    Raises:
        QuestionError: If there is no such part.
    """

    directions: tuple[str, ...]
    share: Literal["half", "third"] = "half"

    def __post_init__(self) -> None:
        is_middle = not self.directions and self.share == "third"
        known = all(d in COMPASS or d in PICTURE for d in self.directions)
        if not known or not (self.directions or is_middle):
            raise QuestionError(f"a part of a scene lies in a direction, got {self.directions}")

    @property
    def is_of_picture(self) -> bool:
        """Whether it is a part of the picture, whatever lies in the north."""
        return not self.directions or self.directions[0] in PICTURE

    def is_known_in(self, scene: Scene) -> bool:
        """Whether a scene shows where it lies: north is on the ground, and left in the picture."""
        return self.is_of_picture or is_on_ground(scene)

    @property
    def text(self) -> str:
        """As a sentence names it: ``the northern half``, ``the upper left corner``."""
        if not self.directions:
            return "the middle"
        words = {"above": "upper", "below": "lower"}
        names = [f"{d}ern" if d in COMPASS else words.get(d, d) for d in self.directions]
        kinds = {"half": ("half", "quarter"), "third": ("third", "corner")}[self.share]
        return f"the {' '.join(names)} {kinds[len(_main_axes(self.directions)) - 1]}"

    @property
    def where(self) -> str:
        """As a sentence continues with it: ``in the northern half``."""
        return f"in {self.text}"

    @property
    def rule(self) -> str:
        """How large it is taken to be, where its name does not say so; else empty."""
        if not self.directions:
            return f"{self.text} is taken to be the middle third of the width and of the height"
        is_corner = self.share == "third" and len(_main_axes(self.directions)) > 1
        return f"{self.text} is taken to be a third of both sides" if is_corner else ""

    def region(self, scene: Scene, within: Region | None = None) -> Region:
        """The part in scene pixels: what lies in its directions from the middle of the scene.

        North is that of the ground where the scene says where it lies, else the top of the picture.

        Args:
            scene: The scene.
            within: What alone is asked about; None for the whole scene.

        Raises:
            GeometryError: If it shares no area with what is asked about.
        """
        frame = scene.box
        if not self.directions:
            x, y = frame.width / 3, frame.height / 3
            shape = shapely.box(frame.x0 + x, frame.y0 + y, frame.x1 - x, frame.y1 - y)
            return cut_region(shape, f"{self.text} of the scene", scene, within)
        shape = shapely.box(*frame.as_tuple())
        for slope in slopes(scene, frame.center, self.directions):
            start = _start_of_third(frame, slope) if self.share == "third" else frame.center
            shape = shapely.intersection(shape, half_plane(frame, start, slope))
        return cut_region(shape, f"{self.text} of the scene", scene, within)


def _main_axes(directions: Sequence[str]) -> list[tuple[float, float]]:
    """The main directions of some words: along east and north, or right and up in the picture."""
    axes = []
    for direction in directions:
        x, y = COMPASS[direction] if direction in COMPASS else PICTURE[direction]
        y = y if direction in COMPASS else -y
        axes += [(float(np.sign(x)), 0.0)] if x else []
        axes += [(0.0, float(np.sign(y)))] if y else []
    return axes


def cut_region(shape: shapely.Geometry, name: str, scene: Scene, within: Region | None) -> Region:
    """A shape of scene pixels, cut to the scene and to what is asked about.

    Args:
        shape: In scene pixels.
        name: What it is called in an error.
        scene: The scene.
        within: What alone is asked about; None for the whole scene.

    Raises:
        GeometryError: If nothing is left of it.
    """
    shape = shapely.intersection(shape, shapely.box(*scene.box.as_tuple()))
    if within is not None:
        shape = shapely.intersection(shape, within.geometry)
    parts = shapely.get_parts(shape)
    polygons = [part for part in parts if isinstance(part, shapely.Polygon) and part.area > 0]
    if not polygons:
        what = "the scene" if within is None else "the region that is asked about"
        raise GeometryError(f"{name} shares no area with {what}: leave out one of them")
    return Region(shapely.union_all(polygons))


def split_part(text: str) -> tuple[str, ScenePart] | None:
    """A question without the part of the scene that it names, and that part.

    Args:
        text: A plain question; see ``plain_question``.

    Returns:
        None where it names none.
    """
    for pattern in (_AT_END, _AT_START, _INSIDE):
        if match := pattern.fullmatch(text):
            groups = match.groupdict()
            rest = groups.get("rest") or f"{groups.get('before')} {groups.get('after')}"
            return rest, _part(groups)
    return None


def _part(groups: dict[str, str | None]) -> ScenePart:
    if groups["middle"]:
        return ScenePart((), "third")
    if upright := groups["upright"]:
        return ScenePart((_UPRIGHT[upright], groups["side"] or ""))
    if upright := groups["corner_upright"]:
        return ScenePart((_UPRIGHT[upright], groups["corner_side"] or ""), "third")
    if word := groups["third"] or groups["corner"]:
        return ScenePart((_direction(word),), "third")
    return ScenePart(
        (_direction(groups["half"] or groups["named_half"] or groups["quarter"] or ""),)
    )


def _direction(word: str) -> str:
    word = word.removesuffix("most").removesuffix("ern")
    return plain_direction(_UPRIGHT.get(word, word))


def gradients(scene: Scene, point: Point, *, on_ground: bool) -> tuple[Point, Point]:
    """How far a step of a pixel to the right, and one down, lead to the east; and to the north.

    Args:
        scene: The scene.
        point: Where, in scene pixels.
        on_ground: Whether in meters on the ground; else, and where the scene does not say where it
            lies, in pixels with north at the top.
    """
    if on_ground and is_on_ground(scene):
        x, y = point
        step = max(1.0, min(scene.box.width, scene.box.height) / 4)
        right = displacement(scene, (x, y), (x + step, y))
        down = displacement(scene, (x, y), (x, y + step))
        if right is not None and down is not None:
            return (right.east / step, down.east / step), (right.north / step, down.north / step)
    return (1.0, 0.0), (0.0, -1.0)


def slopes(scene: Scene, point: Point, directions: Sequence[str]) -> list[NDArray[np.float64]]:
    """Where each main direction of some words leads in the picture: right and down, by `gradients`.

    Args:
        scene: The scene.
        point: Where, in scene pixels.
        directions: As the vocabulary spells them, at least one; all of the ground or all of the
            picture.
    """
    gradients_there = gradients(scene, point, on_ground=directions[0] in COMPASS)
    east, north = map(np.array, gradients_there)
    return [right * east + up * north for right, up in _main_axes(directions)]


def half_plane(frame: Box, start: Point, slope: NDArray[np.float64]) -> shapely.Polygon:
    """What rises from a point along a slope, as far as a frame around that point reaches."""
    origin = np.array(start)
    ahead = slope / np.linalg.norm(slope)
    beside = np.array([-ahead[1], ahead[0]])
    reach = 2 * (frame.width + frame.height)
    corners = (beside, beside + ahead, ahead - beside, -beside)
    return shapely.Polygon([origin + reach * corner for corner in corners])


def _start_of_third(frame: Box, slope: NDArray[np.float64]) -> Point:
    """A point from which a third of a frame, by how far it reaches along a slope, rises."""
    ahead = slope / np.linalg.norm(slope)
    reach = float(np.abs(ahead) @ (frame.width, frame.height))
    x, y = np.array(frame.center) + ahead * reach / 6
    return float(x), float(y)
