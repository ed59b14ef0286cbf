"""Where a calibration is written so that the next load of the model finds it."""

from __future__ import annotations

import json
import os
from pathlib import Path

from geofovea.errors import ModelError, OutputError
from geofovea.pipeline.calibration.calibrate import Calibration
from geofovea.pipeline.hosts.checkpoint import companion, read_json, weight_files
from geofovea.pipeline.hosts.file_digests import checkpoint_digest
from geofovea.pipeline.hosts.load import EMBEDDED_MODELS, folder_of
from geofovea.pipeline.hosts.settings import SETTINGS_FILE, settings_record, user_calibration
from geofovea.pipeline.inference.attention.calibration_record import CalibrationRecord
from geofovea.pipeline.system.files import make_folder, write_text
from geofovea.regionfocus.attention_mode import AttentionMode
from geofovea.tiling.machine.system_errors import NO_ROOM, reason_of

__all__ = ["digest_of", "install_calibration", "record_of", "settings_text"]


def digest_of(name: str) -> str:
    """The digest of a checkpoint's weights; see ``file_digests.checkpoint_digest``.

    Args:
        name: ``embedded``, ``embedded-earth``, a folder, or a hub id.

    Raises:
        ModelError: If it has no weights in safetensors.
    """
    source = str(folder_of(name))
    config = companion(source, "config.json")
    files = weight_files(source, read_json(config)) if config else []
    if not files:
        raise ModelError(f"{name} has no weights in safetensors that a calibration could be of")
    return checkpoint_digest(files)


def record_of(
    calibration: Calibration, digest: str, best_focus: str = "attention"
) -> CalibrationRecord:
    """What is kept of a calibration beside its mode."""
    accuracy, low, high = calibration.accuracy()
    return CalibrationRecord(
        weights=digest,
        questions=calibration.questions,
        accuracy=round(accuracy, 4),
        interval=(round(low, 4), round(high, 4)),
        uncalibrated=round(calibration.uncalibrated[0], 4),
        best_focus=best_focus,
    )


def settings_text(mode: AttentionMode, record: CalibrationRecord, before: Path | None) -> str:
    """A settings file with a calibration.

    Args:
        mode: What was chosen.
        record: What is known of it.
        before: A settings file whose other values stay.

    Raises:
        ModelError: If that is not a JSON object.
    """
    values: dict[str, object] = {}
    if before is not None and before.exists():
        values = settings_record(before)
    # a focus layer stays: the focus goes before it, and whoever trains the model on needs it
    return json.dumps(
        {**values, "focus": mode.to_json(), "calibration": record.to_json()}, indent=1
    )


def install_calibration(name: str, mode: AttentionMode, record: CalibrationRecord) -> Path:
    """Write a calibration beside the weights, or else into the user's configuration folder.

    Folders of the package and of the hub's cache belong to others, and their files come and go.

    Args:
        name: Of the model.
        mode: What was chosen.
        record: What is known of it.

    Returns:
        The file.

    Raises:
        OutputError: If it cannot be written.
        ModelError: If the model's own settings file is damaged.
    """
    folder = Path(name)
    if name not in EMBEDDED_MODELS and folder.is_dir() and not _is_of_the_hub(folder):
        path = folder / SETTINGS_FILE
        if os.access(path if path.exists() else folder, os.W_OK) and os.access(folder, os.W_OK):
            write_text(path, settings_text(mode, record, path))
            return path
    path = user_calibration(record.weights)
    try:
        make_folder(path.parent)
        write_text(path, settings_text(mode, record, None))
    except OutputError as error:
        cause = error.__cause__
        if getattr(cause, "errno", None) in NO_ROOM:
            # once there is room, the same command goes on from here
            raise
        reason = reason_of(cause if isinstance(cause, Exception) else error)
        raise OutputError(
            "the model was measured, but neither its folder nor your configuration folder can be "
            f"written ({path.parent}: {reason}): put {SETTINGS_FILE} of the output folder beside "
            "the weights, or leave it where it is with install=False"
        ) from error
    return path


def _is_of_the_hub(folder: Path) -> bool:
    from huggingface_hub.constants import HF_HUB_CACHE

    return folder.resolve().is_relative_to(Path(HF_HUB_CACHE).resolve())
