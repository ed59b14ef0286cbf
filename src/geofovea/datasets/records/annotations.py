"""Annotation files of LRS-VQA: one JSON object a line, as it is read and written.

Boxes are in pixel space; count rows have no boxes; the text carries an instruction on the form of
the answer behind the question.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from geofovea.datasets.records.rows import cell_text, clipped_box
from geofovea.datasets.tables.json_lines import json_lines
from geofovea.datasets.tables.list_files import open_lines
from geofovea.datasets.tables.text_files import BadLineError
from geofovea.errors import DataError, GeometryError, OutputError
from geofovea.tiling.machine.system_errors import reason_of, why_unwritten
from geofovea.tiling.pyramid import Box

__all__ = ["INSTRUCTION", "Record", "read_records", "write_records"]

INSTRUCTION = "\n Answer the question using a single word or phrase."
_REQUIRED = ("question_id", "image", "category", "text", "ground_truth")


@dataclass(frozen=True)
class Record:
    """One annotated question.

    Attributes:
        question_id: ``SOURCE_number``.
        image: Path of the scene, relative to the data set's root.
        category: One of the eight.
        question: The text without its instruction.
        answer: The ground truth.
        box: The annotated object in scene pixels, clipped to the image where its size is given;
            None for count rows.
        image_size: ``(width, height)``, or None where not given.
        more: All other fields, as read; among them ``text``, where it is not the question with
            the usual instruction.
        sticks_out: Whether the box as read reached over the edge of its image.
    """

    question_id: str
    image: str
    category: str
    question: str
    answer: str
    box: Box | None = None
    image_size: tuple[int, int] | None = None
    more: dict[str, Any] = field(default_factory=dict)
    sticks_out: bool = field(default=False, compare=False)

    @property
    def source(self) -> str:
        """The collection that the image came from, such as ``FAIR``."""
        return self.question_id.split("_", 1)[0]

    def to_json(self) -> dict[str, Any]:
        """The record with the benchmark's field names; a box gives ``hbox`` and ``rbox``."""
        row: dict[str, Any] = {
            "question_id": self.question_id,
            "image": self.image,
            "category": self.category,
            "text": self.question + INSTRUCTION,
            "ground_truth": self.answer,
        }
        if self.box:
            x0, y0, x1, y1 = self.box.as_tuple()
            row["hbox"] = [round(c) for c in (x0, y0, x1, y1)]
            row["rbox"] = [float(c) for c in (x0, y0, x1, y0, x1, y1, x0, y1)]
        if self.image_size:
            row["image_size"] = list(self.image_size)
        return row | self.more

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> Record:
        """Adapt one row.

        Raises:
            DataError: If a field is missing, the image or the question is not text, a box is not
                four numbers, or a size is not two.
        """
        missing = [name for name in _REQUIRED if name not in row]
        if missing:
            raise DataError(f"the fields {missing} are missing; a row needs {list(_REQUIRED)}")
        size = _size(row["image_size"]) if "image_size" in row else None
        for name in ("image", "text"):
            if not isinstance(row[name], str):
                raise DataError(f"{name} must be text, got {row[name]!r:.60}")
        own_fields = {*_REQUIRED, "hbox", "rbox", "image_size"}
        annotated = _box(row["hbox"]) if row.get("hbox") else None
        box = clipped_box(annotated, size)
        text = row["text"]
        question = text.split("\n", 1)[0].strip()
        more = {k: v for k, v in row.items() if k not in own_fields}
        if text != question + INSTRUCTION:
            # what was published is asked, blanks included
            more["text"] = text
        return cls(
            question_id=cell_text(row["question_id"]) or "",
            image=row["image"],
            category=cell_text(row["category"]) or "",
            question=question,
            answer=cell_text(row["ground_truth"]) or "",
            box=box,
            image_size=size,
            more=more,
            sticks_out=box != annotated,
        )


def _size(numbers: Any) -> tuple[int, int]:
    is_pair = isinstance(numbers, list) and len(numbers) == 2
    if not is_pair or not all(type(n) is int and n > 0 for n in numbers):
        raise DataError(f"image_size must be [width, height] in pixels, got {numbers!r:.60}")
    width, height = numbers
    return width, height


def _box(corners: Any) -> Box:
    if not isinstance(corners, list) or len(corners) != 4:
        raise DataError(f"hbox must be [x0, y0, x1, y1], got {corners!r}")
    return Box(*(float(c) for c in corners))


def read_records(path: str | os.PathLike[str]) -> Iterator[Record]:
    """Read an annotation file lazily.

    Raises:
        DataError: If a line is not a valid row; the message names the line.
    """
    try:
        with closing(open_lines(path)) as lines:
            for number, values in json_lines(lines):
                yield _record(values, f"{path}, line {number}")
    except BadLineError as error:
        raise DataError(f"{path}, line {error.line}: not a JSON object ({error})") from error
    except (OSError, UnicodeError) as error:
        raise DataError(
            f"{path} cannot be read as an annotation file: {reason_of(error)}"
        ) from error


def _record(values: Any, place: str) -> Record:
    try:
        return Record.from_json(values)
    except (DataError, GeometryError) as error:
        raise DataError(f"{place}: {error}") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise DataError(f"{place}: not a JSON object ({error})") from error


def write_records(records: Iterable[Record], path: str | os.PathLike[str]) -> int:
    """Write an annotation file, aside first and then into place; returns the number of rows.

    Raises:
        OutputError: If the file cannot be written; an older one then stays.
    """
    target = Path(path)
    aside = target.with_name(target.name + ".part")
    count = 0
    try:
        with aside.open("w", encoding="utf-8") as out:
            for record in records:
                out.write(json.dumps(record.to_json(), ensure_ascii=False) + "\n")
                count += 1
        aside.replace(target)
    except OSError as error:
        raise OutputError(f"{target} could not be written: {why_unwritten(error)}") from error
    finally:
        aside.unlink(missing_ok=True)
    return count
