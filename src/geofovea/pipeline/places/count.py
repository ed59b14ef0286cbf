"""A count: how many of something a scene holds, with its interval and what it rests on."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Any, Literal

from geofovea.errors import OutputError
from geofovea.pipeline.answers.cost import Cost
from geofovea.pipeline.places.confusion import Confusion
from geofovea.pipeline.places.coverage import Coverage
from geofovea.pipeline.places.place_list import Places, area_row
from geofovea.pipeline.system.files import write_text
from geofovea.tiling.scene import Scene

__all__ = ["FORMATS", "Count", "CountMethod"]

_PLACES = (".geojson", ".gpkg", ".parquet", ".csv")
FORMATS = (".json", *_PLACES)
"""Suffixes of the files that a count is saved as."""

CountMethod = Literal["sweep", "sample"]


@dataclass(frozen=True, repr=False)
class Count:
    """How many of something there are.

    Attributes:
        value: The estimate; no whole number where tiles were sampled or errors taken out.
        low: Lower end of the 95 % interval.
        high: Upper end.
        phrase: What was counted.
        region: Name of the polygon that it is about; None for the whole scene.
        method: ``sweep`` if every native tile was looked at, ``sample`` if some were drawn.
        places: What was found in the tiles looked at. Of a sample they are not all there are.
        confusion: Measured errors of detection that were taken out; None if none were known, and
            then value and interval are those of detections.
        strata: Groups of tiles that were drawn from.
    """

    value: float
    low: float
    high: float
    phrase: str
    region: str | None
    method: CountMethod
    places: Places
    confusion: Confusion | None = None
    strata: int = 1

    @property
    def scene(self) -> Scene:
        """What was asked about."""
        return self.places.scene

    @property
    def model(self) -> str:
        """Name of the host."""
        return self.places.model

    @property
    def coverage(self) -> Coverage:
        """How much of the scene was looked at."""
        return self.places.coverage

    @property
    def cost(self) -> Cost:
        """What it took."""
        return self.places.cost

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a careful reader should know."""
        return self.places.warnings

    @property
    def is_demo(self) -> bool:
        """Whether a demo model guessed about a scene of a kind that it does not know."""
        return self.places.is_demo

    @property
    def text(self) -> str:
        """The number and its interval, for people."""
        return f"{self.value:.0f} (95 % interval {self.low:.0f} to {self.high:.0f})"

    def with_warnings(self, warnings: Sequence[str]) -> Count:
        """The same count, with further warnings."""
        return replace(self, places=self.places.with_warnings(warnings)) if warnings else self

    def __repr__(self) -> str:
        return (
            f"Count({self.text} of {self.phrase!r} in {PurePath(self.scene.path).name!r}, "
            f"{self.method} of {self.coverage.tiles_looked} of {self.coverage.tiles_total} tiles)"
        )

    def to_dict(self) -> dict[str, Any]:
        """A plain object, ready for ``json.dumps``; ``geofovea count --json`` prints it."""
        return {
            "phrase": self.phrase,
            "region": self.region,
            "area": area_row(self.places),
            "count": self.value,
            "low": self.low,
            "high": self.high,
            "method": self.method,
            "strata": self.strata,
            "detections": len(self.places),
            "confusion": None if self.confusion is None else self.confusion.to_dict(),
            "model": self.model,
            "scene": self.scene.path,
            "coverage": self.coverage.to_dict(),
            "cost": self.cost.to_json(),
            "warnings": list(self.warnings),
        }

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the count as .json, or the places behind it as a file of ``Places.save``.

        Raises:
            OutputError: If no format has this suffix, or the file cannot be written.
        """
        file = Path(path)
        if file.suffix.lower() == ".json":
            write_text(file, json.dumps(self.to_dict(), indent=1))
            return
        if file.suffix.lower() not in _PLACES:
            raise OutputError(
                f"{file} has the suffix {file.suffix!r}, and a count is saved as .json, its places "
                f"as {', '.join(_PLACES[:-1])} or {_PLACES[-1]}"
            )
        self.places.save(file)
