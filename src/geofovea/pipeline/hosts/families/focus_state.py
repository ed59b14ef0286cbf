"""Reads from a model's files how its focus was chosen, without loading the model."""

from __future__ import annotations

from pathlib import Path

from geofovea.datasets.scoring.metrics import interval_text
from geofovea.errors import ModelError
from geofovea.pipeline.hosts.checkpoint import read_json, weight_files
from geofovea.pipeline.hosts.load import folder_of
from geofovea.pipeline.hosts.settings import SETTINGS_FILE, HostSettings, with_calibration
from geofovea.tiling.machine.paths import is_folder

__all__ = ["focus_state"]


def focus_state(name: str) -> str:
    """A few words on the focus of a model that is on this machine; no hub is asked.

    Args:
        name: ``embedded``, a folder, or a hub id that was downloaded.

    Raises:
        ModelError: If there is no such model here, or its settings or its calibration are damaged
            or of other weights.
    """
    folder = _folder_here(name)
    settings = HostSettings.read(folder / SETTINGS_FILE)
    files = weight_files(str(folder), read_json(folder / "config.json"))
    settings = with_calibration(name, settings, files)
    if settings.calibration is not None:
        low, high = settings.calibration.interval
        return (
            f"calibrated, points at {settings.calibration.accuracy:.2f} "
            f"{interval_text(low, high)} of {settings.calibration.questions} held-out objects"
        )
    if settings.focus_origin == "chosen":
        return f"chosen in {SETTINGS_FILE}, not measured"
    return f"the default, not measured: geofovea calibrate --model {name}"


def _folder_here(name: str) -> Path:
    """The folder that holds the files of a model."""
    if is_folder(folder_of(name)):
        return folder_of(name)
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        config = try_to_load_from_cache(name, "config.json")
    except HFValidationError as error:
        raise ModelError(f"{name!r} is neither a folder nor a hub id") from error
    if not isinstance(config, str):
        raise ModelError(
            f"{name} is neither a folder nor a downloaded model: geofovea models get {name}"
        )
    return Path(config).parent
