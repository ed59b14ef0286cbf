"""Areas that a question names by a place: north of the depot, within 500 m of the harbor.

What has no bounds (near, beyond, across), no single place (the river) or another measure (a minute
by car) is left in the question, and `unread_area` says so.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import shapely

from geofovea.errors import GeometryError, QuestionError
from geofovea.pipeline.answers.features import is_on_ground
from geofovea.pipeline.answers.measurement import LocatedPlace
from geofovea.pipeline.relations.names import is_cover, is_line, is_name
from geofovea.pipeline.relations.parts import (
    ScenePart,
    cut_region,
    gradients,
    half_plane,
    slopes,
    split_part,
)
from geofovea.pipeline.relations.vocabulary import (
    CLOSER,
    COMPASS,
    LENGTH,
    PICTURE,
    length_called,
    plain_direction,
)
from geofovea.pipeline.relations.wording import plain_question
from geofovea.regionfocus.search.router import DIRECTION
from geofovea.tiling.geo.region import Region
from geofovea.tiling.scene import Scene

__all__ = ["Part", "Surroundings", "split_area", "unbounded_area", "unread_area"]

_PLACE = r"(?P<article>the |an? )?(?P<place>[^\W_][\w' -]*?)"
# "in the north of it" is within it
_TO_THE = r"(?:(?:to|on) the )?"
_CLOSER = rf"(?:{CLOSER}|up to)"
_AREA = (
    r"(?:(?:in|on|inside|within) the (?:area|region|zone|land|part) )?"
    r"(?:(?:that|which) (?:is|are|lies?|stands?) |(?:located|situated|lying|standing) )?"
    rf"(?:{_TO_THE}(?P<dir>{DIRECTION})(?P<of> of)? {_PLACE}"
    rf"|{_CLOSER} {LENGTH}(?: radius)? (?:of|from|around|to) "
    rf"{_PLACE.replace('<article>', '<near_article>').replace('<place>', '<near_place>')})"
)
_SENTENCES = (
    re.compile(rf"(?P<rest>.+?),? {_AREA}"),
    re.compile(rf"{_AREA}, (?P<rest>.+)"),
    re.compile(rf"(?P<before>(?:which|what) [a-z' -]+?) {_AREA} (?P<after>(?:is|has) the .+)"),
)

_OF_PICTURE = r"(?:scene|image|picture|photo|map|frame)"
_SIDE = (
    rf"(?:(?:{DIRECTION}|upper|top|lower|bottom|middle|cent(?:er|re)|central)(?:ern|most|ernmost)?"
    r"(?:[- ](?:left|right))?(?:[- ]hand)?)"
)
_PIECE = r"(?:half|third|quarter|quadrant|corner|edge|side|part|area|region|section|portion|border)"
_UNREAD = re.compile(
    r"\b(?:"
    rf"(?:(?:in|on|at|near|within|along|around|from|to) )?the {_SIDE} {_PIECE}\b"
    r"|(?:in )?between (?:the|an?) [a-z]\w*"
    r"|(?:walk|drive|throw) from (?:the|an?) [a-z]\w*"
    rf"|(?:in|at|near|around|from|to) the (?:{_SIDE}|corners?|edges?|borders?)"
    rf"(?:$|(?= of (?:the|this) )(?: of (?:the|this) {_OF_PICTURE}\b)?)"
    rf"|(?:(?:to|on|in) the )?{DIRECTION}(?:[- ]hand)?(?: side)? (?:of|from) "
    r"(?:the|an?|this|that)\b"
    r"|(?:above|below|beyond|behind|across|opposite|in front of) (?:the|an?|from)\b"
    r"|(?:on|at) the (?:other|opposite|far|near|same) side\b"
    rf"|(?:{_CLOSER}|more than|at least|(?:farther|further) than|over) (?:an? )?(?:few )?"
    r"(?:walking distance|driving distance|[\d.,]+[ -]?[a-z]+|[a-z]+ (?:met(?:er|re)s?|kilomet\w+|"
    r"miles?|minutes?|hours?))(?: radius| drive| walk)?,? (?:away )?(?:of|from|around) "
    r")"
)
_UNBOUNDED = re.compile(
    r"\b(?:near(?:by| to)?|close to|next to|beside|by|adjacent to|around|alongside) "
    r"(?P<place>(?:the|an?) [^\W_][\w' -]*)"
)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What lies in a direction from a place that a question names, or within a distance of it.

    Attributes:
        reference: What the question calls the place, without its article.
        direction: As the vocabulary spells it; empty for a distance.
        meters: The distance, measured from the outline of the place; 0 for a direction.
        distance: The same in the words of the question, such as ``500 m``.
        place: Where the place was found; None before it is looked for.

    Raises:
        QuestionError: If it has neither a direction nor a distance, or both.
    """

    reference: str
    direction: str = ""
    meters: float = 0.0
    distance: str = ""
    place: LocatedPlace | None = None

    def __post_init__(self) -> None:
        known = self.direction in COMPASS or self.direction in PICTURE
        if known == (self.meters > 0) or (self.direction and not known) or not self.reference:
            raise QuestionError(
                f"the surroundings of a place lie in a direction or within a distance, got {self}"
            )

    def at(self, place: LocatedPlace) -> Surroundings:
        """The same around a place that was found."""
        return replace(self, place=place)

    @property
    def directions(self) -> tuple[str, ...]:
        """The direction, if there is one."""
        return (self.direction,) if self.direction else ()

    @property
    def text(self) -> str:
        """As a sentence names it: ``north of the depot``, ``within 500 m of the depot``."""
        if not self.direction:
            return f"within {self.distance} of the {self.reference}"
        of = "" if self.direction in ("above", "below") else " of"
        return f"{self.direction}{of} the {self.reference}"

    @property
    def where(self) -> str:
        """As a sentence continues with it."""
        return self.text

    @property
    def rule(self) -> str:
        """How it is laid out."""
        if not self.direction:
            return f"{self.text} is measured from its outline, and what is inside counts, too"
        return (
            f"{self.text} is taken to be all that lies farther that way than the center of the "
            f"{self.reference}, without the {self.reference} itself"
        )

    def check(self, scene: Scene) -> None:
        """Refuse a distance in a scene that does not say how long a meter is.

        Raises:
            GeometryError: If it is such a distance.
        """
        if self.meters and not is_on_ground(scene):
            raise GeometryError(
                f"the scene does not say where it lies, so {self.distance} cannot be laid out: "
                "limit the question with region="
            )

    def is_known_in(self, scene: Scene) -> bool:
        """Whether a scene shows where it lies: north and meters are of the ground."""
        return self.direction in PICTURE or is_on_ground(scene)

    def region(self, scene: Scene, within: Region | None = None) -> Region:
        """The area in scene pixels.

        A direction between two main ones is both: what is northeast of a place is north of its
        center and east of it. North is that of the ground at the place where the scene says where
        it lies, else the top of the picture.

        Args:
            scene: The scene.
            within: What alone is asked about; None for the whole scene.

        Raises:
            GeometryError: If the place was not found yet, the scene does not say how long a meter
                is, or the area shares nothing with the scene or with what is asked about.
        """
        if self.place is None:
            raise GeometryError(f"{self.text}: the {self.reference} was not looked for yet")
        if not self.direction:
            return cut_region(self._grown(scene, self.place), self.text, scene, within)
        frame, center = scene.box, self.place.center
        shape = shapely.box(*frame.as_tuple())
        for slope in slopes(scene, center, self.directions):
            shape = shapely.intersection(shape, half_plane(frame, center, slope))
        shape = shapely.difference(shape, self.place.region)
        return cut_region(shape, self.text, scene, within)

    def _grown(self, scene: Scene, place: LocatedPlace) -> shapely.Geometry:
        """The place and what is within the distance of its outline; a pixel need be no square."""
        self.check(scene)
        to_ground = np.array(gradients(scene, place.center, on_ground=True))
        origin = np.array(place.center)
        flat = shapely.transform(place.region, lambda points: (points - origin) @ to_ground.T)
        back = np.linalg.inv(to_ground).T
        grown = shapely.buffer(flat, self.meters)
        return shapely.transform(grown, lambda points: points @ back + origin)


Part: TypeAlias = ScenePart | Surroundings
"""An area that a question names."""


def split_area(text: str) -> tuple[str, Part] | None:
    """A question without the area that it names, and that area.

    Args:
        text: A plain question; see ``plain_question``.

    Returns:
        None where it names none whose bounds are known.
    """
    if split := split_part(text):
        return split
    for sentence in _SENTENCES:
        match = sentence.fullmatch(text)
        area = None if match is None else _surroundings(match.groupdict())
        if match is not None and area is not None:
            groups = match.groupdict()
            rest = groups.get("rest") or f"{groups.get('before')} {groups.get('after')}"
            return rest, area
    return None


def unread_area(question: str) -> str | None:
    """The words by which a question names an area, or seems to; None where it names none.

    Args:
        question: English, in any case and spacing.
    """
    match = _UNREAD.search(plain_question(question))
    return None if match is None else match[0].strip()


def unbounded_area(phrase: str) -> tuple[str, str] | None:
    """The words by which a phrase names the neighborhood of a place, which has no bounds.

    Args:
        phrase: English, in any case and spacing, such as ``tent near the harbor``.

    Returns:
        The words and the place in them, with its article; None where there are none.
    """
    match = _UNBOUNDED.search(plain_question(phrase))
    return None if match is None else (match[0], match["place"])


def _surroundings(groups: dict[str, str | None]) -> Surroundings | None:
    place = groups["place"] or groups["near_place"] or ""
    has_article = groups["article"] or groups["near_article"]
    if not is_name(place) or is_line(place) or (is_cover(place) and not has_article):
        return None
    if word := groups["dir"]:
        direction = plain_direction(word)
        # above and below need no preposition, and nothing else does without one
        is_said_so = (direction in ("above", "below")) != bool(groups["of"])
        return Surroundings(place, direction) if is_said_so else None
    number = groups["number"] or ""
    length = length_called(number, groups["unit"] or "")
    if length is None:
        return None
    meters, unit = length
    return Surroundings(place, "", meters, f"{number.replace(',', '')} {unit.symbol}")
