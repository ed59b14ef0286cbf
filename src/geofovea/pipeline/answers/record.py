"""An answer as fields: text, confidence, evidence on the map, cost, warnings."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from geofovea.pipeline.answers.afterwork import Afterwork
from geofovea.pipeline.answers.confidence import Choice, confidence_text
from geofovea.pipeline.answers.cost import Cost
from geofovea.pipeline.answers.evidence import Look
from geofovea.pipeline.answers.evidence_list import EvidenceList
from geofovea.pipeline.answers.features import AnswerFacts
from geofovea.pipeline.answers.measurement import Measurement
from geofovea.regionfocus.search.router import Route
from geofovea.tiling.pixels.radiometry import Radiometry
from geofovea.tiling.scene import Scene

if TYPE_CHECKING:
    import xarray

__all__ = ["AnswerRecord"]

_SHORT = 60


@dataclass(frozen=True)
class AnswerRecord:
    """The fields of an ``Answer``, which says what each is, and the answer as values.

    What writes, draws and shows answers takes this class, and ``Answer`` calls it.
    """

    question: str
    text: str
    confidence: float
    model: str
    scene: Scene
    levels: int
    evidence: EvidenceList
    cost: Cost
    looks: tuple[Look, ...] = field(default=(), repr=False)
    warnings: tuple[str, ...] = ()
    stopped: str = ""
    route: Route | None = None
    radiometry: Radiometry | None = None
    choices: tuple[Choice, ...] = ()
    confidence_known: bool = True
    is_demo: bool = False
    measurement: Measurement | None = None

    @property
    def confidence_text(self) -> str:
        """How sure the model is, in words."""
        known = self.confidence if self.confidence_known else None
        return confidence_text(known, is_demo=self.is_demo)

    def __post_init__(self) -> None:
        if isinstance(self.evidence, EvidenceList):
            # what is not a number would be no JSON
            is_number = self.confidence_known and math.isfinite(self.confidence)
            confidence = self.confidence if is_number else None
            facts = AnswerFacts(self.question, self.text, confidence, self.model)
            object.__setattr__(self, "evidence", self.evidence.about(facts))

    def __repr__(self) -> str:
        scene = self.scene
        lines = (
            f"Answer({_short(self.text)}, {self.confidence_text}, "
            f"model {self.model!r}, {_count(len(self.warnings), 'warning')})",
            f"  {_short(self.question)} of {PurePath(scene.path).name!r}, {scene.width} x "
            f"{scene.height} px, read from {_count(len(self.evidence), 'tile')}",
        )
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """The answer as plain values, ready for ``json.dumps``.

        ``geofovea ask --json`` prints the same. Boxes are ``[x0, y0, x1, y1]`` in scene pixels.
        What could not be made of the answer, such as a geometry, is None, and a warning says why.
        """
        after, scene = Afterwork(), self.scene
        parts: dict[str, Callable[[], Any]] = {
            "scene": lambda: {
                "path": scene.path,
                "width": scene.width,
                "height": scene.height,
                "levels": self.levels,
                "crs": after.attempt("the name of the CRS", lambda: scene.crs_name, None),
                "gsd_m": after.attempt("the size of a pixel", lambda: scene.gsd_m, None),
            },
            "evidence": lambda: self.evidence.to_json(after),
            "cost": self.cost.to_json,
            "route": lambda: None if self.route is None else self.route.to_json(),
            "radiometry": lambda: None if self.radiometry is None else self.radiometry.to_json(),
            "choices": lambda: [choice.to_json() for choice in self.choices],
            "measurement": lambda: None if self.measurement is None else self.measurement.to_json(),
        }
        values = {name: after.attempt(name, make, None) for name, make in parts.items()}
        return {
            "question": self.question,
            "answer": self.text,
            "confidence": self.confidence if self.confidence_known else None,
            "confidence_known": self.confidence_known,
            "confidence_text": self.confidence_text,
            "model": self.model,
            "scene": values["scene"],
            "evidence": values["evidence"],
            "cost": values["cost"],
            "warnings": [*self.warnings, *after.warnings],
            "stopped": self.stopped,
            "route": values["route"],
            "radiometry": values["radiometry"],
            "choices": values["choices"],
            "measurement": values["measurement"],
        }

    def to_xarray(self, level: int | None = None) -> xarray.DataArray:
        """Where the model looked, as a map on the grid of the scene.

        float32 ``(y, x)`` in [0, 1]: attention relative to the strongest of its level, the finest
        look over the coarser ones, and NaN where nothing was looked at. The coordinate
        ``look_level`` says which level each pixel is from.

        Args:
            level: Whose pixels the map has; by default the finest of at most 2048 a side.

        Raises:
            GeometryError: If the level is negative or too fine to be held in memory.
        """
        # here, because most answers are asked for words alone and xarray takes long to import
        from geofovea.pipeline.answers.heat_map import heat_map

        labels = {"question": self.question, "answer": self.text}
        return heat_map(self.scene, self.looks, level, labels)


def _short(text: str) -> str:
    """A text as Python writes it, cut where it is long."""
    return repr(text if len(text) <= _SHORT else text[: _SHORT - 1] + "…")


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
