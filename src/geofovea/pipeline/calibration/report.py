"""Runs a whole calibration: measures it, writes it down, and installs it beside the model."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geofovea.errors import ModelError
from geofovea.pipeline.calibration.calibrate import (
    Calibration,
    CalibrationBudget,
    calibrate,
    calibration_samples,
)
from geofovea.pipeline.calibration.card import PICTURE, calibration_card
from geofovea.pipeline.calibration.focuses import FocusScore, focuses_of, measure_focuses
from geofovea.pipeline.calibration.installation import (
    digest_of,
    install_calibration,
    record_of,
    settings_text,
)
from geofovea.pipeline.calibration.picture import draw_calibration, example_of
from geofovea.pipeline.hosts.settings import SETTINGS_FILE
from geofovea.pipeline.system.files import make_folder, write_text

__all__ = ["CARD", "CalibrationResult", "run_calibration", "write_report"]

CARD = "calibration.md"
_SCENES = 4


@dataclass(frozen=True, slots=True, eq=False)
class CalibrationResult:
    """What was found.

    Attributes:
        model: Name of the model.
        calibration: Of its attention; None for a host that exposes none.
        focuses: How well each focus points, where several or another than attention were measured.
        digest: Of the weights; empty for an endpoint.
    """

    model: str
    calibration: Calibration | None
    focuses: list[FocusScore]
    digest: str

    @property
    def best_focus(self) -> str:
        """The focus that points best."""
        if not self.focuses:
            return "attention"
        return max(self.focuses, key=lambda score: score.accuracy[0]).focus

    def to_json(self) -> dict[str, Any]:
        """All of it by name."""
        focuses = [
            {
                "focus": score.focus,
                "accuracy": score.accuracy,
                "seconds": score.seconds,
                "tokens": score.tokens,
            }
            for score in self.focuses
        ]
        record: dict[str, Any] = {"model": self.model, "focuses": focuses}
        if self.calibration is not None:
            record |= {
                "mode": self.calibration.mode.to_json(),
                "accuracy": self.calibration.accuracy(),
                "uncalibrated": self.calibration.uncalibrated,
                "questions": self.calibration.questions,
                "tokens": self.calibration.tokens,
                "seconds": self.calibration.seconds,
            }
        return record | {"best_focus": self.best_focus}


def run_calibration(
    host: Any,
    folder: Path,
    budget: CalibrationBudget,
    loading: Mapping[str, Any],
    focus_model: str | None = None,
    on_progress: Callable[[float], None] = lambda _: None,
) -> CalibrationResult:
    """Measure the attention of a host, and its other focuses where it has any.

    Args:
        host: The model.
        folder: For the journal and scenes.
        budget: What may be spent.
        loading: Options that loaded the model, as far as they differ from their defaults.
        focus_model: A dual encoder whose ``similarity`` is compared.
        on_progress: Takes the share that is done.

    Raises:
        ModelError: If no such way is open to the host.
        BudgetError: If the budget ends before the end.
        DataError: If the folder holds another calibration.
    """
    names = focuses_of(host, focus_model)
    if not names:
        raise ModelError(
            f"{host.name} exposes no attention and sees no pictures, so nothing can be calibrated; "
            "name a dual encoder with focus_model="
        )
    make_folder(folder)
    calibration, digest = None, ""
    if "attention" in names:
        digest = digest_of(host.name)
        settings = {"model": host.name, "weights": digest, **loading}
        calibration = calibrate(host, folder, budget, settings, on_progress)
        host = host.with_attention(calibration.mode)
    focuses: list[FocusScore] = []
    if names != ("attention",):
        focuses = measure_focuses(
            host,
            names,
            folder,
            scenes=_SCENES,
            focus_model=focus_model,
            seconds=budget.seconds,
        )
    return CalibrationResult(host.name, calibration, focuses, digest)


def write_report(
    host: Any, result: CalibrationResult, folder: Path, *, install: bool
) -> list[Path]:
    """Write the card, the picture and the settings; returns the files.

    Args:
        host: The model.
        result: What was found.
        folder: An existing folder.
        install: Whether the next load of the model is to find it.

    Raises:
        OutputError: If a file cannot be written.
        MissingExtraError: If matplotlib is not installed.
    """
    calibration = result.calibration
    files = [folder / CARD]
    if calibration is None:
        text = json.dumps(result.to_json(), indent=1)
        write_text(folder / CARD, f"# Focuses of {result.model}\n\n```json\n{text}\n```\n")
        return files
    example = example_of(host, calibration, calibration_samples(host))
    draw_calibration(calibration, example, folder / PICTURE)
    card = calibration_card(result.model, calibration, result.focuses, has_picture=True)
    write_text(folder / CARD, card)
    record = record_of(calibration, result.digest, result.best_focus)
    write_text(folder / SETTINGS_FILE, settings_text(calibration.mode, record, None))
    files += [folder / PICTURE, folder / SETTINGS_FILE]
    if install:
        files.append(install_calibration(result.model, calibration.mode, record))
    return files
