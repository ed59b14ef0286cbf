"""The log of a training run: one JSON record a line, in the folder of the run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from geofovea.errors import OutputError
from geofovea.pipeline.system.files import write_text
from geofovea.tiling.machine.system_errors import why_unwritten

__all__ = ["RunLog", "StepMeans", "distillation_log", "training_log"]


@dataclass(frozen=True, slots=True)
class RunLog:
    """Records of a run, oldest first.

    Attributes:
        path: Of the file; a run that has logged nothing yet has none.
    """

    path: Path

    def append(self, record: dict[str, Any]) -> dict[str, Any]:
        """Append a record; returns it.

        Raises:
            OutputError: If it cannot be written.
        """
        try:
            with self.path.open("a", encoding="utf-8") as log:
                log.write(json.dumps(record) + "\n")
        except OSError as error:
            raise OutputError(
                f"{self.path} could not be written: {why_unwritten(error)}"
            ) from error
        return record

    def read(self) -> list[dict[str, Any]]:
        """All records; none if the run has none yet."""
        if not self.path.exists():
            return []
        lines = self.path.read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines if line.strip()]

    def forget_beyond(self, step: int) -> None:
        """Leave out steps that are taken again because the run was killed.

        The last line of a killed run may be half a line.

        Raises:
            OutputError: If the file cannot be written.
        """
        if not self.path.exists():
            return
        lines = []
        for line in self.path.read_text(encoding="utf-8").splitlines():
            try:
                if json.loads(line)["step"] <= step:
                    lines.append(line)
            except (ValueError, KeyError, TypeError):
                continue
        if lines:
            write_text(self.path, "\n".join(lines))
        else:
            self.path.unlink()


@dataclass(slots=True)
class StepMeans:
    """Means over the steps since the last line of a log.

    Steps differ in what they ask and hide, so that one of them says little about a run.

    Attributes:
        sums: Of each name, the sum and the number of steps that had it. They belong to the state
            of a run, so that one that was killed logs what it would have logged.
    """

    sums: dict[str, tuple[float, int]] = field(default_factory=dict)

    def add(self, values: Mapping[str, float]) -> None:
        """Note what a step has to say; one step may have less to say than another."""
        for name, value in values.items():
            total, count = self.sums.get(name, (0.0, 0))
            self.sums[name] = total + value, count + 1

    def taken(self) -> dict[str, float]:
        """The mean of each name over the steps that had it, to four digits; begins anew."""
        means = {name: round(total / count, 4) for name, (total, count) in self.sums.items()}
        self.sums = {}
        return means


def training_log(run: Path) -> RunLog:
    """The log of a run of the embedded model."""
    return RunLog(run / "training_log.jsonl")


def distillation_log(run: Path) -> RunLog:
    """The log of a distillation."""
    return RunLog(run / "distillation_log.jsonl")
