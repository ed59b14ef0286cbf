"""Answers of a bench as JSON lines, from which an interrupted bench resumes."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from geofovea.errors import DataError, OutputError
from geofovea.pipeline.session.settings import described_hash
from geofovea.pipeline.system.files import write_text
from geofovea.tiling.machine.system_errors import reason_of, why_unwritten

__all__ = ["AnswerFile", "BenchItem", "Item", "answers_of_run"]


class BenchItem(Protocol):
    """A dataclass: one answer, or why there is none."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def key(self) -> Hashable:
        """What was asked, and how; twice the same is asked once."""
        ...


Item = TypeVar("Item", bound=BenchItem)


class AnswerFile(Generic[Item]):
    """Answers by their key, in a file that grows line by line: an interruption loses one at most.

    Attributes:
        answers: Those that are there, in the order of the file.
    """

    def __init__(
        self, path: Path, kind: type[Item], settings: Mapping[str, Any] | None = None
    ) -> None:
        """Read what is there.

        Args:
            path: Of the file; it is made with the first line.
            kind: Of the answers.
            settings: What they depend on beside their keys, for the first line; None where they are
                kept elsewhere.

        Raises:
            DataError: If the file holds something else, or answers under other settings.
            OutputError: If it cannot be read or written.
        """
        self.answers: dict[Hashable, Item] = {}
        self._path = path
        self._kind = kind
        lines = self._whole_lines()
        if settings is not None:
            self._check_settings(lines.pop(0) if lines else None, settings)
        for line in lines:
            self._remember(self._answer_in(line))

    def add(self, item: Item) -> None:
        """Write an answer down, unless it is there.

        Raises:
            OutputError: If the file cannot be written.
        """
        if item.key not in self.answers:
            self._append(asdict(item))
            self._remember(item)

    def _whole_lines(self) -> list[str]:
        if not self._path.exists():
            return []
        try:
            text = self._path.read_text(encoding="utf-8")
        except OSError as error:
            raise OutputError(f"{self._path} cannot be read: {reason_of(error)}") from error
        except ValueError as error:
            raise self._damaged(error) from error
        lines = [line for line in text.splitlines() if line.strip()]
        if lines and not text.endswith("\n"):
            # a bench that was killed may have left half a line
            try:
                json.loads(lines[-1])
            except ValueError:
                lines.pop()
            if lines:
                write_text(self._path, "\n".join(lines))
            else:
                self._path.unlink()
        return lines

    def _check_settings(self, line: str | None, settings: Mapping[str, Any]) -> None:
        if line is None:
            # a bench that was killed before its first line left an empty file
            write_text(self._path, json.dumps(dict(settings)))
            return
        try:
            earlier = json.loads(line)
        except ValueError as error:
            raise self._damaged(error) from error
        if not _are_same(earlier, settings):
            raise DataError(
                f"{self._path} is of another bench ({earlier}), this one has "
                f"{dict(settings)}; name another folder, or remove the file"
            )

    def _answer_in(self, line: str) -> Item:
        try:
            row = json.loads(line)
            names = {field.name for field in fields(self._kind)}
            return self._kind(**{name: row[name] for name in names & row.keys()})
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise self._damaged(error) from error

    def _damaged(self, error: Exception) -> DataError:
        return DataError(f"{self._path} holds no answers of this bench ({error}); remove it")

    def _remember(self, item: Item) -> None:
        self.answers[item.key] = item

    def _append(self, row: dict[str, Any]) -> None:
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
        except OSError as error:
            raise OutputError(f"{self._path} cannot be written: {why_unwritten(error)}") from error


def answers_of_run(folder: Path, kind: type[Item], settings: Mapping[str, Any]) -> AnswerFile[Item]:
    """The answers in ``items.jsonl`` of a run, whose settings lie beside them in ``run.json``.

    Args:
        folder: Of the run.
        kind: Of the answers.
        settings: What they depend on beside their keys.

    Raises:
        DataError: If the folder holds a run with other settings, or with unknown ones.
        OutputError: If the folder cannot be read or written.
    """
    path, answers = folder / "run.json", folder / "items.jsonl"
    if path.exists():
        _check_run(path, settings)
    elif answers.exists():
        raise DataError(
            f"{answers} is of a run whose settings are not known: choose an empty folder, or "
            "remove the file"
        )
    else:
        write_text(path, json.dumps(dict(settings)))
    return AnswerFile(answers, kind)


def _check_run(path: Path, settings: Mapping[str, Any]) -> None:
    try:
        earlier = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path} cannot be read: {reason_of(error)}; choose an empty folder"
        ) from error
    if not _are_same(earlier, settings):
        raise DataError(
            f"{path.parent} holds a run with {earlier}, not with {dict(settings)}: choose an empty "
            "folder, or the same settings"
        )


def _are_same(earlier: Any, settings: Mapping[str, Any]) -> bool:
    """Whether what a file holds are these settings."""
    return isinstance(earlier, dict) and described_hash(earlier) == described_hash(settings)
