"""The log of a calibration, one look per line, from which an interrupted one resumes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from geofovea.errors import DataError, OutputError
from geofovea.pipeline.system.files import write_text
from geofovea.tiling.machine.system_errors import reason_of, why_unwritten

__all__ = ["Journal"]


class Journal:
    """Records by their key; the file grows line by line, so that one is lost at most.

    Attributes:
        records: Those that are there, by key.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        """Read what is there.

        Args:
            path: Of the file; it is made with its first line.
            settings: What the records depend on.

        Raises:
            DataError: If the file holds something else, or records under other settings.
            OutputError: If it cannot be read or written.
        """
        self._path = path
        self.records: dict[str, dict[str, Any]] = {}
        lines = self._whole_lines()
        if not lines:
            write_text(path, json.dumps(dict(settings)) + "\n")
            return
        try:
            first, *records = [json.loads(line) for line in lines]
            self.records = {str(record["key"]): record for record in records}
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise DataError(f"{path} is damaged ({error}); remove it to measure again") from error
        ours = json.loads(json.dumps(dict(settings)))
        if first != ours:
            raise DataError(
                f"{path} belongs to another calibration ({_difference(first, ours)}): name another "
                "folder, or remove the file"
            )

    def add(self, key: str, record: Mapping[str, Any]) -> dict[str, Any]:
        """Write a record down; returns it with its key.

        Raises:
            OutputError: If the file cannot be written.
        """
        row = {"key": key, **record}
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
        except OSError as error:
            raise OutputError(f"{self._path} cannot be written: {why_unwritten(error)}") from error
        self.records[key] = row
        return row

    @property
    def tokens(self) -> int:
        """Tokens that were run for all records."""
        return sum(int(record["tokens"]) for record in self.records.values())

    def _whole_lines(self) -> list[str]:
        if not self._path.exists():
            return []
        try:
            text = self._path.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise OutputError(f"{self._path} cannot be read: {reason_of(error)}") from error
        lines = text.splitlines()
        if lines and not text.endswith("\n"):
            # a calibration that was killed may have left half a line
            lines.pop()
            write_text(self._path, "".join(f"{line}\n" for line in lines))
        return lines


def _difference(there: object, here: Mapping[str, Any]) -> str:
    """What a file and this run do not have alike, in a few words."""
    if not isinstance(there, Mapping):
        return "it does not say of what"
    names = [n for n in dict.fromkeys((*there, *here)) if there.get(n) != here.get(n)]
    pairs = (f"{n} {_short(there.get(n))} there, {_short(here.get(n))} here" for n in names)
    return "; ".join(pairs)


def _short(value: object) -> str:
    return "none" if value is None else f"{value!s:.60}"
