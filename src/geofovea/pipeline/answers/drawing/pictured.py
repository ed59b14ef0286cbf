"""The parts of an answer, of any class, that a picture, a page or a notebook shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from geofovea.pipeline.answers.cost import Cost
from geofovea.pipeline.answers.evidence import Evidence, Look
from geofovea.tiling.pixels.radiometry import Radiometry
from geofovea.tiling.scene import Scene

__all__ = ["Pictured"]


class Pictured(Protocol):
    """What a picture shows of an answer; an ``Answer`` has all of it."""

    @property
    def question(self) -> str:
        """As it was asked."""
        ...

    @property
    def text(self) -> str:
        """The answer."""
        ...

    @property
    def confidence(self) -> float:
        """How likely, in [0, 1]."""
        ...

    @property
    def confidence_known(self) -> bool:
        """Whether that is known."""
        ...

    @property
    def confidence_text(self) -> str:
        """The same in words, which say why where it is not known."""
        ...

    @property
    def model(self) -> str:
        """Name of the host."""
        ...

    @property
    def scene(self) -> Scene:
        """The scene that was asked about."""
        ...

    @property
    def radiometry(self) -> Radiometry | None:
        """How pixels became colors; chosen anew where it is not known."""
        ...

    @property
    def evidence(self) -> Sequence[Evidence]:
        """What reached the decoder, finest level first."""
        ...

    @property
    def cost(self) -> Cost:
        """What was spent."""
        ...

    @property
    def looks(self) -> tuple[Look, ...]:
        """Where the model looked, coarse to fine."""
        ...

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a careful reader should know."""
        ...
