"""A place: where something is in a scene, and how sure the model is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from geofovea.errors import GeometryError
from geofovea.tiling.geo.region import Region
from geofovea.tiling.pyramid import Box, Tile

__all__ = ["NamedArea", "Outline", "Place"]

Outline = Literal["box", "tokens", "tile"]
_OUTLINES: tuple[Outline, ...] = ("box", "tokens", "tile")


@dataclass(frozen=True, slots=True)
class Place:
    """One place where something is.

    Attributes:
        box_scene: Left, top, right and bottom in scene pixels, x right and y down.
        score: Probability that it is there, as the model believes, in [0, 1]; not calibrated.
        level: The level that it was seen on; 0 is native.
        label: What was looked for.
        evidence: The tiles in which it was seen; several where it crosses a seam.
        outline: How well the box is known: ``box`` if the model wrote it, ``tokens`` if it is
            made of the vision tokens that the model attended to, ``tile`` if it is the whole tile.
        error_px: How far an edge may be off, in scene pixels: the longer side of a token, or of a
            tile.

    Raises:
        GeometryError: If the score is not a probability, or no tile shows it.
    """

    box_scene: Box
    score: float
    level: int
    label: str
    evidence: tuple[Tile, ...]
    outline: Outline = "tokens"
    error_px: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.score <= 1 or not self.evidence or self.outline not in _OUTLINES:
            raise GeometryError(
                "a place needs a score in [0, 1], a tile that shows it, and an outline of "
                f"{', '.join(_OUTLINES)}; got {self}"
            )

    @property
    def center(self) -> tuple[float, float]:
        """The middle of its box as ``(x_scene, y_scene)``."""
        return self.box_scene.center


@dataclass(frozen=True, slots=True)
class NamedArea:
    """The area that a phrase names, as it was read and laid out.

    Attributes:
        thing: What was looked for in it.
        where: As a sentence continues, such as ``in the northern half of the scene``.
        rule: How it was laid out, where its name does not say so; else empty.
        region: In which the center of every place lies, in scene pixels.
    """

    thing: str
    where: str
    rule: str
    region: Region
