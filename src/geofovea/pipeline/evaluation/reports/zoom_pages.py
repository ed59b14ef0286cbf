"""Pages with deep zoom about the wrong answers of a run whose scenes are still at hand.

A run records which tiles were looked at and which evidence reached the decoder. It does not record
the scores of single tokens, which would be most of its journal. So the pages show tiles and
evidence, but no heat map.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from geofovea.errors import DataError, GeoFoveaError, OutputError
from geofovea.pipeline.answers.answer import Answer
from geofovea.pipeline.answers.cost import Cost
from geofovea.pipeline.answers.evidence import Evidence, Look
from geofovea.pipeline.answers.evidence_list import EvidenceList
from geofovea.pipeline.answers.page.data import Truth
from geofovea.pipeline.answers.page.document import save_answer_page
from geofovea.tiling.opening import open_scene
from geofovea.tiling.pixels.radiometry_plan import plan_radiometry
from geofovea.tiling.pyramid import Box, Tile
from geofovea.tiling.scene import Scene

__all__ = ["MOST_ZOOM_PAGES", "MOST_ZOOM_PAGE_BYTES", "ZoomPages", "answer_of_item"]

MOST_ZOOM_PAGES = 12
"""A report may have more failures; the others have pages with a picture alone."""

MOST_ZOOM_PAGE_BYTES = 2 * 10**6
"""Of one page, the script of the page included."""


@dataclass(slots=True)
class ZoomPages:
    """Writes the pages of one report, up to a bound.

    Attributes:
        folder: Where they are written; it is there.
        configuration: How the run asked, as its manifest has it.
        written: How many there are.
    """

    folder: Path
    configuration: Mapping[str, Any]
    written: int = 0

    def write(self, item: Mapping[str, Any], path: Path | None, name: str) -> str:
        """Write the page of a failure.

        Args:
            item: A row of ``items.jsonl``.
            path: Its scene, or None where it is not at hand.
            name: Of the file.

        Returns:
            Why there is no page; empty where there is one.

        Raises:
            OutputError: If the file cannot be written.
        """
        if path is None:
            return "its image is not at hand"
        if self.written == MOST_ZOOM_PAGES:
            return f"a report has at most {MOST_ZOOM_PAGES}"
        try:
            scene = open_scene(path, nodata=self.configuration.get("nodata"))
            answer = answer_of_item(item, scene, self.configuration)
            truth = Truth(tuple(map(str, item["truth"])), tuple(_boxes(item["boxes"])))
            save_answer_page(answer, self.folder / name, MOST_ZOOM_PAGE_BYTES, truth)
        except OutputError:
            raise
        except GeoFoveaError as error:
            return str(error)
        self.written += 1
        return ""

    def summary(self, failures: int) -> str:
        """How many pages there are, and what they leave out; empty where there is none."""
        if not self.written:
            return ""
        size = MOST_ZOOM_PAGE_BYTES // 10**6
        return (
            f"{self.written} of these {failures} answers have a page with deep zoom (at most "
            f"{MOST_ZOOM_PAGES} pages of {size} MB). A run does not keep the scores of single "
            "tokens, so these pages show tiles and evidence without heat."
        )


def answer_of_item(
    item: Mapping[str, Any], scene: Scene, configuration: Mapping[str, Any]
) -> Answer:
    """The answer that a run kept, without scores of tokens.

    Args:
        item: A row of ``items.jsonl``.
        scene: What it was asked about.
        configuration: How the run asked, as its manifest has it.

    Raises:
        DataError: If the run kept too little; runs of earlier versions did.
        SceneError: If the bands that were shown do not exist.
    """
    try:
        roles = configuration.get("band_map")
        bands = configuration.get("bands")
        radiometry = plan_radiometry(
            scene,
            None if bands is None else tuple(bands),
            composite=configuration.get("composite"),
            band_map=roles,
        )
        confidence = item.get("confidence")
        return Answer(
            question=str(item["question"]),
            text=str(item["answer"] or ""),
            confidence=0.0 if confidence is None else float(confidence),
            model=str(configuration.get("model", "")),
            scene=scene,
            levels=int(item["levels"]),
            evidence=EvidenceList([_evidence(row) for row in item["evidence"]], scene),
            cost=Cost.from_json(item["cost"]),
            looks=tuple(_look(row) for row in item["looks"]),
            warnings=tuple(map(str, item.get("warnings") or ())),
            stopped=str(item.get("stopped", "")),
            radiometry=radiometry,
            confidence_known=confidence is not None,
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        if isinstance(error, GeoFoveaError):
            raise
        raise DataError(
            "the run keeps too little of this answer for a page with deep zoom; a run of this "
            "version keeps enough"
        ) from error


def _evidence(row: Mapping[str, Any]) -> Evidence:
    tile = Tile(int(row["level"]), int(row["row"]), int(row["col"]))
    return Evidence(tile, Box(*row["box_scene"]), float(row["score"]), int(row["tokens"]))


def _look(row: Mapping[str, Any]) -> Look:
    level = int(row["level"])
    return Look(
        level=level,
        tiles=tuple(_boxes(row["tiles"])),
        token_boxes=np.empty((0, 4)),
        token_scores=np.empty(0, np.float32),
        addresses=tuple(Tile(level, int(r), int(c)) for r, c in row["addresses"]),
    )


def _boxes(rows: Sequence[Sequence[float]]) -> list[Box]:
    return [Box(*corners) for corners in rows]
