"""Reads from a model's files how its focus was chosen, without loading the model."""

from __future__ import annotations

from pathlib import Path

from geofovea.pipeline.hosts.checkpoint import read_json, weight_files
from geofovea.pipeline.hosts.settings import SETTINGS_FILE, HostSettings, with_calibration

__all__ = ["focus_state"]


def focus_state(folder: Path) -> str:
    """A few words on the focus of the model in a folder.

    Raises:
        ModelError: If its settings or its calibration are damaged, or of other weights.
    """
    settings = HostSettings.read(folder / SETTINGS_FILE)
    files = weight_files(str(folder), read_json(folder / "config.json"))
    settings = with_calibration(str(folder), settings, files)
    if settings.calibration is not None:
        low, high = settings.calibration.interval
        return (
            f"calibrated, points at {settings.calibration.accuracy:.2f} [{low:.2f}, {high:.2f}] of "
            f"{settings.calibration.questions} held-out objects"
        )
    if settings.focus_origin == "chosen":
        return f"chosen in {SETTINGS_FILE}, not measured"
    return f"the default, not measured: geofovea calibrate --model {folder}"
