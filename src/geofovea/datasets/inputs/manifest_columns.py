"""Finds the columns of a manifest for scene, question and id under any of their usual names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geofovea.errors import DataError

__all__ = ["COLUMNS", "ManifestColumns"]

COLUMNS = ("id", "scene", "question", "scene_before")
"""The columns of a manifest, by our names."""

# limits that hold for all rows; a column of such a name would be ignored, and its rows cost more
_OPTIONS_OF_A_RUN = ("max_tiles", "max_tokens")

# rows of LRS-VQA, which ``geofovea synthesize`` writes too
_OF_LRS_VQA = (("image", "scene"), ("text", "question"), ("question_id", "id"))


@dataclass(frozen=True, slots=True)
class ManifestColumns:
    """Columns that the user named.

    Attributes:
        scene: The column of scenes; None means ``scene``, or ``image`` in a file without it.
        question: The column of questions; None means ``question``, or ``text`` beside ``image``.
    """

    scene: str | None = None
    question: str | None = None

    @property
    def known(self) -> tuple[str, ...]:
        """Names of columns that have a meaning."""
        named = (name for name in (self.scene, self.question) if name)
        return (*COLUMNS, *named, *(theirs for theirs, _ in _OF_LRS_VQA))

    def in_known_case(self, columns: Iterable[str]) -> list[str]:
        """Columns as they are known: ``Scene`` is ``scene``, unless that stands beside it."""
        present = list(columns)
        known = {name.lower(): name for name in self.known}
        names = (known.get(column.strip().lower(), column) for column in present)
        return [
            c if c in self.known or n in present else n for c, n in zip(present, names, strict=True)
        ]

    def names(self, file: Path, columns: Iterable[str]) -> dict[str, str]:
        """Our name of each column that has another one in the file.

        If the user named a column, another one that bears our name gets a name of its own.

        Raises:
            DataError: If a column that was named is not there, or one holds an option of the run.
        """
        present = list(columns)
        self._check_options(file, present)
        names: dict[str, str] = {}
        if self.scene is None and "scene" not in present and "image" in present:
            names = {t: o for t, o in _OF_LRS_VQA if t in present and o not in present}
        for ours, theirs in (("scene", self.scene), ("question", self.question)):
            if theirs is None:
                continue
            if theirs not in present:
                raise DataError(
                    f"{file}: has no column {theirs!r}, only "
                    f"{', '.join(map(repr, present[:8])) or 'none'}"
                )
            names = {t: o for t, o in names.items() if o != ours}
            if theirs != ours:
                names |= {theirs: ours} | ({ours: f"{ours} of the file"} if ours in present else {})
        return names

    def _check_options(self, file: Path, present: Iterable[str]) -> None:
        """Refuse columns with names of options that hold for the whole run."""
        for column in present:
            name = column.strip().lower()
            if name in _OPTIONS_OF_A_RUN and column not in self.known:
                raise DataError(
                    f"{file}: the column {column!r} is not read, because all rows have one budget: "
                    f"remove it, and give {name}= of the run"
                )

    def renamed(self, file: Path, fields: Mapping[str, Any]) -> dict[str, Any]:
        """A row by our names.

        Raises:
            DataError: If a column that was named is not there.
        """
        names = self.names(file, fields)
        return {names.get(column, column): value for column, value in fields.items()}
