"""The files that an answer can be saved as, by the suffix of their name."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

from geofovea.errors import OutputError
from geofovea.pipeline.answers.picture import save_picture
from geofovea.pipeline.answers.record import AnswerRecord
from geofovea.pipeline.system.files import write_text

__all__ = ["formats", "register_format", "save_answer"]

Writer = Callable[[AnswerRecord, Path], None]


def register_format(suffix: str, write: Writer) -> None:
    """Let answers be saved as one more kind of file, or write one kind in another way.

    Args:
        suffix: With its dot, such as ``.html``.
        write: Takes an answer and a path; raises ``OutputError`` where it cannot write.
    """
    _WRITERS[suffix.lower()] = write


def formats() -> tuple[str, ...]:
    """The suffixes that an answer can be saved under."""
    return tuple(sorted(_WRITERS))


def save_answer(answer: AnswerRecord, path: str | os.PathLike[str]) -> None:
    """Write an answer in the format that the suffix of a name says.

    Raises:
        OutputError: If no format has this suffix, or the file cannot be written.
        MissingExtraError: If a package is missing for the format.
        SceneError: If a picture is wanted and the scene cannot be read.
    """
    file = Path(path)
    write = _WRITERS.get(file.suffix.lower())
    if write is None:
        known = ", ".join(formats())
        raise OutputError(
            f"{file} has the suffix {file.suffix!r}, and an answer is saved as one of: {known}"
        )
    write(answer, file)


def _write_json(answer: AnswerRecord, path: Path) -> None:
    write_text(path, json.dumps(answer.to_json(), indent=1))


def _write_page(answer: AnswerRecord, path: Path) -> None:
    # here, because it is large and few answers are saved as a page
    from geofovea.pipeline.answers.page.document import save_answer_page

    save_answer_page(answer, path)


def _write_heat_map(answer: AnswerRecord, path: Path) -> None:
    from geofovea.pipeline.answers.heat_map_file import write_heat_map

    write_heat_map(path, answer.to_xarray(), answer.scene)


_WRITERS: dict[str, Writer] = {
    ".geojson": lambda answer, path: answer.evidence.to_geojson(path),
    ".gpkg": lambda answer, path: answer.evidence.to_geopackage(path),
    ".html": _write_page,
    ".json": _write_json,
    ".parquet": lambda answer, path: answer.evidence.to_geoparquet(path),
    ".tif": _write_heat_map,
    ".png": lambda answer, path: save_picture(answer, None, path),
}
