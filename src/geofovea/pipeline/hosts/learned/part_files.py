"""A trained part as files beside the weights of a model: written, copied along, read again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from geofovea.errors import ModelError
from geofovea.pipeline.hosts.learned.card import (
    PART_FILES,
    SETTINGS_FILE,
    PartCard,
    cards_from_json,
    cards_to_json,
    kind_of,
)
from geofovea.pipeline.hosts.settings import settings_record
from geofovea.pipeline.system.files import file_digest, make_folder, write_file, write_text
from geofovea.pipeline.system.tensor_files import write_tensors
from geofovea.tiling.machine.system_errors import reason_of

__all__ = ["install_part", "part_tensors", "read_cards"]

_KEY = "parts"


def read_cards(folder: Path) -> dict[str, PartCard]:
    """What the model in a folder says of its parts; nothing if it has none.

    Raises:
        ModelError: If its settings are not a JSON object, or an entry cannot be meant.
    """
    return cards_from_json(_settings(folder).get(_KEY, {}))


def part_tensors(path: Path, sha256: str = "") -> dict[str, Tensor]:
    """The weights of a part.

    Args:
        path: The file.
        sha256: Of the file, hexadecimal; empty where that is not known.

    Raises:
        ModelError: If the file is missing, damaged or another one, or holds numbers that are not
            finite.
    """
    try:
        tensors: dict[str, Tensor] = load_file(path)
        is_another = bool(sha256) and file_digest(path) != sha256
    except (OSError, SafetensorError) as error:
        raise ModelError(
            f"{path} does not hold the part that {SETTINGS_FILE} speaks of "
            f"({reason_of(error)}): train it "
            "again with geofovea train --with"
        ) from error
    if is_another:
        raise ModelError(
            f"{path} is not the file that {SETTINGS_FILE} speaks of: it was changed, or is that of "
            "another model; train it again with geofovea train --with"
        )
    # a comparison with them is false without a sign
    if bad := [name for name, each in tensors.items() if not bool(each.isfinite().all())]:
        raise ModelError(
            f"{path} holds numbers that are not finite (in {bad[0]}): train it again with "
            "geofovea train --with"
        )
    return tensors


def install_part(model: Path, folder: Path, card: PartCard, tensors: Mapping[str, Tensor]) -> None:
    """Write a model with a part: its own files are copied into a folder, if it is another.

    Weights of the part are stored as float16. A part of the same kind is replaced.

    Raises:
        ModelError: If the model or its settings cannot be read.
        OutputError: If a file cannot be written.
    """
    make_folder(folder)
    if model.resolve() != folder.resolve():
        for path in _files_in(model):
            # aside first: a run that is killed here leaves the model that stood there before
            write_file(folder / path.name, partial(shutil.copyfile, path))
    kind = kind_of(card.method)
    stored = {name: value.detach().cpu().half().contiguous() for name, value in tensors.items()}
    write_tensors(folder / PART_FILES[kind], stored)
    settings = _settings(folder)
    own = replace(card, sha256=file_digest(folder / PART_FILES[kind]))
    cards = cards_from_json(settings.get(_KEY, {})) | {kind: own}
    settings[_KEY] = cards_to_json(cards)
    # last: a model never speaks of a part that is not there
    write_text(folder / SETTINGS_FILE, json.dumps(settings, indent=1))


def _files_in(model: Path) -> list[Path]:
    try:
        return sorted(path for path in model.iterdir() if path.is_file())
    except OSError as error:
        raise ModelError(f"the model in {model} cannot be copied: {reason_of(error)}") from error


def _settings(folder: Path) -> dict[str, Any]:
    path = folder / SETTINGS_FILE
    return settings_record(path) if path.exists() else {}
