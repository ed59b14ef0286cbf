"""A trained student as a folder of standard files."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from transformers.utils import SAFE_WEIGHTS_NAME

from geofovea.datasets.synthetic.vocabulary import SITES, domain_of
from geofovea.datasets.synthetic.wordings import FORMS, VERIFY
from geofovea.errors import ConfigurationError
from geofovea.pipeline.hosts.checkpoint import quiet_transformers
from geofovea.pipeline.hosts.load import folder_of
from geofovea.pipeline.hosts.scene_positions import SCENE_POSITION_FILE
from geofovea.pipeline.hosts.settings import SETTINGS_FILE
from geofovea.pipeline.system.files import make_folder, write_text
from geofovea.pipeline.system.tensor_files import full_disk_told, write_tensors
from geofovea.pipeline.training.averaging import average_with_start, checked_share
from geofovea.pipeline.training.checkpoint import load_student
from geofovea.pipeline.training.embedded_model import build_tokenizer
from geofovea.pipeline.training.student import IMAGE_MEAN, IMAGE_STD, Student

__all__ = ["export_model", "write_model"]

_DEFAULT_TILES = 48
_DEFAULT_TOKENS = 768

# words that it was taught: it counts, and a count of none is an absence; which site is named says
# nothing about a single native tile
_PRESENCE = {
    "presence_question": FORMS["count"][0]
    .format(thing="{thing}", site=SITES[0])
    .replace("{thing}s", "{plural}"),
    "presence_answers": ["1", "2", "3", "4", "5", "0"],
    "attribute_question": VERIFY.format(thing="{noun}", site=SITES[0], color="{attribute}"),
}


def export_model(run: Path, folder: Path, keep: float = 0.0) -> None:
    """Write the weights of a run as a model folder that ``--model`` takes.

    Args:
        run: Folder of the run.
        folder: To write.
        keep: Share of the weights of the model that the run started from; see
            `average_with_start`.

    Raises:
        ConfigurationError: If ``keep`` is not a share, or the run started from nothing.
        DataError: If the folder ``run`` holds no training state.
        ModelError: If the run's start cannot be read anymore.
        OutputError: If the model folder cannot be written.
    """
    student, config = load_student(run)
    if checked_share(keep):
        if not config.start:
            raise ConfigurationError(
                f"keep={keep} needs a model to keep something of, and {run} started from nothing"
            )
        average_with_start(student, folder_of(config.start), keep)
    write_model(student, folder, config.worlds)


def write_model(student: Student, folder: Path, worlds: tuple[int, ...] = (1,)) -> None:
    """Write a student, which has learned versions of the synthetic world, as a model folder.

    Weights are stored as float16 safetensors; they were trained in mixed precision.

    Raises:
        OutputError: If the folder cannot be written.
    """
    make_folder(folder)
    with full_disk_told(folder), quiet_transformers():
        copy.deepcopy(student.llava).half().save_pretrained(folder)
        _name_as_published(folder / SAFE_WEIGHTS_NAME)
        build_tokenizer().save_pretrained(folder)
    position = {"weight": student.scene_position.weight.detach().half().contiguous()}
    write_tensors(folder / SCENE_POSITION_FILE, position)
    write_text(folder / SETTINGS_FILE, json.dumps(_settings(student, worlds), indent=1))


def _name_as_published(path: Path) -> None:
    """Give the weights of the tower the names that they have in published LLaVAs.

    Later releases of ``transformers`` write shorter ones, which earlier ones do not know; all of
    them read these.
    """
    short, long = "vision_tower.", "vision_tower.vision_model."
    weights = {
        name if name.startswith(long) else name.replace(short, long, 1): weight
        for name, weight in load_file(path).items()
    }
    write_tensors(path, weights, {"format": "pt"})


def _settings(student: Student, worlds: tuple[int, ...]) -> dict[str, Any]:
    return {
        "template": "{image}{question}",
        "instruction": "",
        "pool": student.shape.pool,
        "focus_layer": student.shape.focus_layer,
        "domain": domain_of(worlds),
        "image_mean": IMAGE_MEAN,
        "image_std": IMAGE_STD,
        "tiles": _DEFAULT_TILES,
        "tokens": _DEFAULT_TOKENS,
        **_PRESENCE,
    }
