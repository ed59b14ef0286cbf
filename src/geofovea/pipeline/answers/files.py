"""The files that may be asked for with an answer: its evidence, its picture, its page."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from geofovea.pipeline.answers.afterwork import Afterwork
from geofovea.pipeline.answers.answer import Answer
from geofovea.tiling.reader import TileReader

__all__ = ["with_files"]


def with_files(
    answer: Answer,
    reader: TileReader,
    evidence: Path | None = None,
    picture: Path | None = None,
    page: Path | None = None,
) -> Answer:
    """Write the files of an answer; one that cannot be written becomes a warning of it.

    Args:
        answer: What was answered.
        reader: Of the answer's scene.
        evidence: Where the evidence goes as GeoJSON, if wanted.
        picture: Where the picture goes as PNG, if wanted.
        page: Where the page goes as HTML, if wanted.

    Returns:
        The answer, with a warning for each file that is not there.
    """
    after = Afterwork()
    if evidence:
        after.attempt(f"the file {evidence}", lambda: answer.evidence.to_geojson(evidence), None)
    if picture:
        after.attempt(f"the file {picture}", lambda: _save_picture(answer, reader, picture), None)
    if page:
        after.attempt(f"the file {page}", lambda: _save_page(answer, page), None)
    return replace(answer, warnings=(*answer.warnings, *after.warnings))


def _save_picture(answer: Answer, reader: TileReader, picture: Path) -> None:
    from geofovea.pipeline.answers.picture import save_picture

    save_picture(answer, reader, picture)


def _save_page(answer: Answer, page: Path) -> None:
    from geofovea.pipeline.answers.page.document import save_answer_page

    save_answer_page(answer, page)
