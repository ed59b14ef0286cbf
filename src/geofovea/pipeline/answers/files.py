"""Writes the files that come with an answer: its evidence, its picture, its page."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from geofovea.pipeline.answers.afterwork import Afterwork
from geofovea.pipeline.answers.answer import Answer
from geofovea.tiling.reader import TileReader

__all__ = ["with_files"]

_LOG = logging.getLogger(__name__)


def with_files(
    answer: Answer,
    reader: TileReader,
    evidence: Path | None = None,
    picture: Path | None = None,
    page: Path | None = None,
    output: Path | None = None,
) -> tuple[Answer, list[Path]]:
    """Write the files of an answer; one that cannot be written becomes a warning of it.

    Args:
        answer: What was answered.
        reader: Of the answer's scene.
        evidence: Where the evidence goes as GeoJSON, if wanted.
        picture: Where the picture goes as PNG, if wanted.
        page: Where the page goes as HTML, if wanted.
        output: A file in the format of its suffix, if wanted; see ``Answer.save``.

    Returns:
        The answer, with a warning for each file that is not there, and the files that are.
    """
    after = Afterwork()
    writers = (
        (evidence, answer.evidence.to_geojson),
        (picture, partial(_save_picture, answer, reader)),
        (page, partial(_save_page, answer)),
        (output, answer.save),
    )
    written = [
        path
        for path, write in writers
        if path and after.attempt(f"the file {path}", partial(_write, write, path), False)
    ]
    return replace(answer, warnings=(*answer.warnings, *after.warnings)), written


def _write(write: Callable[[Path], object], path: Path) -> bool:
    started = time.perf_counter()
    write(path)
    _LOG.info("file: wrote %s, %.2f s", path, time.perf_counter() - started)
    return True


def _save_picture(answer: Answer, reader: TileReader, picture: Path) -> None:
    from geofovea.pipeline.answers.picture import save_picture

    save_picture(answer, reader, picture)


def _save_page(answer: Answer, page: Path) -> None:
    from geofovea.pipeline.answers.page.document import save_answer_page

    save_answer_page(answer, page)
