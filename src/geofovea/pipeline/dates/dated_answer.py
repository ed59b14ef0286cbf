"""The answer to a question about several dates."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geofovea.errors import OutputError
from geofovea.pipeline.answers.answer import Answer
from geofovea.pipeline.answers.evidence import Evidence
from geofovea.pipeline.answers.evidence_list import EvidenceList
from geofovea.pipeline.dates.stack import SceneStack
from geofovea.pipeline.system.files import write_text
from geofovea.tiling.pyramid import Box

__all__ = ["FORMATS", "DateCost", "DatedAnswer"]

FORMATS = (".json", ".png", ".geojson", ".gpkg", ".parquet")
"""Suffixes of the files that an answer about dates is saved as."""


@dataclass(frozen=True, slots=True)
class DateCost:
    """What one date took of the budget.

    Attributes:
        tiles_read: Tiles read from its scene.
        tiles_encoded: Tiles that went through the encoder.
        tokens_llm: Vision tokens of it that reached the decoder.
    """

    tiles_read: int
    tiles_encoded: int
    tokens_llm: int


@dataclass(frozen=True)
class DatedAnswer:
    """An answer about several dates.

    Attributes:
        answer: With its evidence on the grid of the reference scene, and the cost of all dates.
        stack: The scenes with their dates.
        costs: What each date took.
    """

    answer: Answer
    stack: SceneStack
    costs: tuple[DateCost, ...]

    @property
    def text(self) -> str:
        """The answer."""
        return self.answer.text

    @property
    def confidence(self) -> float:
        """See ``Answer``."""
        return self.answer.confidence

    @property
    def evidence(self) -> EvidenceList:
        """The places that the answer was read from at all dates, on the reference's grid."""
        return self.answer.evidence

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a careful reader should know; empty if nothing."""
        return self.answer.warnings

    def boxes_of(self, item: Evidence) -> tuple[Box | None, ...]:
        """Where a piece of evidence lies in each scene, in its own pixels; None outside of one."""
        return tuple(
            item.box_scene
            if each.alignment is None
            else each.alignment.box_of_other(item.box_scene)
            for each in self.stack.scenes
        )

    def to_json(self) -> dict[str, Any]:
        """The object of the command line: that of ``ask``, and ``dates``."""
        record, stack = self.answer.to_json(), self.stack
        for row, item in zip(record["evidence"] or [], self.evidence, strict=False):
            row["box_by_date"] = [box and list(box.as_tuple()) for box in self.boxes_of(item)]
        record["dates"] = [
            {
                "name": name,
                "path": each.scene.path,
                "date": each.date.text or None,
                "date_source": each.date.source or None,
                "is_reference": number == stack.reference,
                "overlap": round(each.overlap, 6),
                "tiles_read": cost.tiles_read,
                "tiles_encoded": cost.tiles_encoded,
                "tokens_llm": cost.tokens_llm,
            }
            for number, (name, each, cost) in enumerate(
                zip(stack.names, stack.scenes, self.costs, strict=True)
            )
        ]
        return record

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the answer as what the suffix says.

        ``.json`` is the object of the command line, ``.png`` a picture of all dates side by side;
        ``.geojson``, ``.gpkg`` and ``.parquet`` hold the evidence.

        Raises:
            OutputError: If no format has this suffix, or the file cannot be written.
            MissingExtraError: If a package is missing for the format.
        """
        suffix = Path(path).suffix.lower()
        if suffix == ".json":
            import json

            write_text(path, json.dumps(self.to_json(), indent=1))
        elif suffix == ".png":
            from geofovea.pipeline.dates.picture import save_dates_picture

            save_dates_picture(self.answer, self.stack, path)
        elif suffix in FORMATS:
            self.answer.save(path)
        else:
            raise OutputError(
                f"{os.fspath(path)!r:.80} has no suffix of a format of answers about dates; choose "
                f"one of {', '.join(FORMATS)}"
            )

    def __repr__(self) -> str:
        days = ", ".join(each.date.text or "?" for each in self.stack.scenes)
        return f"DatedAnswer({self.text!r:.60}, {len(self.stack)} dates: {days})"
