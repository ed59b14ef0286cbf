"""A trained student as a folder of standard files, its curve, and its model card."""

from __future__ import annotations

import copy
import json
import os
import platform
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers.utils import SAFE_WEIGHTS_NAME

from geofovea.pipeline.hosts.scene_positions import SCENE_POSITION_FILE
from geofovea.pipeline.hosts.settings import SETTINGS_FILE
from geofovea.pipeline.system.extras import figure_class
from geofovea.pipeline.system.files import make_folder, write_file, write_text
from geofovea.pipeline.training.curriculum import Recipe
from geofovea.pipeline.training.embedded_model import build_tokenizer
from geofovea.pipeline.training.student import IMAGE_MEAN, IMAGE_STD, Student
from geofovea.pipeline.training.train import load_student

__all__ = ["draw_curve", "export_model", "read_log", "write_card", "write_model"]

_DEFAULT_TILES = 48
_DEFAULT_TOKENS = 768


def export_model(run: Path, folder: Path) -> None:
    """Write the weights of a run as a model folder that ``--model`` takes.

    Raises:
        DataError: If the folder ``run`` holds no training state.
        OutputError: If the model folder cannot be written.
    """
    write_model(load_student(run)[0], folder)


def write_model(student: Student, folder: Path) -> None:
    """Write a student as a model folder.

    Weights are stored as float16 safetensors; they were trained in mixed precision.

    Raises:
        OutputError: If the folder cannot be written.
    """
    make_folder(folder)
    copy.deepcopy(student.llava).half().save_pretrained(folder)
    _name_as_published(folder / SAFE_WEIGHTS_NAME)
    build_tokenizer().save_pretrained(folder)
    position = {"weight": student.scene_position.weight.detach().half().contiguous()}
    write_file(folder / SCENE_POSITION_FILE, lambda aside: save_file(position, aside))
    write_text(folder / SETTINGS_FILE, json.dumps(_settings(student), indent=1))


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
    write_file(path, lambda aside: save_file(weights, aside, metadata={"format": "pt"}))


def _settings(student: Student) -> dict[str, Any]:
    return {
        "template": "{image}{question}",
        "instruction": "",
        "pool": student.shape.pool,
        "focus_layer": student.shape.focus_layer,
        "domain": "synthetic",
        "image_mean": IMAGE_MEAN,
        "image_std": IMAGE_STD,
        "tiles": _DEFAULT_TILES,
        "tokens": _DEFAULT_TOKENS,
    }


def read_log(run: Path) -> list[dict[str, Any]]:
    """All records of a run's log, oldest first."""
    from geofovea.pipeline.training.train import LOG_FILE

    lines = (run / LOG_FILE).read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines if line.strip()]


def draw_curve(run: Path, path: Path) -> None:
    """Draw losses and held-out accuracy of a run into a PNG.

    Raises:
        MissingExtraError: If matplotlib is not installed.
    """
    records = read_log(run)
    losses = [r for r in records if "answer" in r]
    measured = [r for r in records if "held_out" in r]
    figure = figure_class("the training curve")(figsize=(10, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name in ("answer", "dense", "focus"):
        left.plot([r["step"] for r in losses], [r[name] for r in losses], label=name, lw=1)
    left.set(xlabel="step", ylabel="loss", yscale="log", title="training losses")
    left.legend()
    categories = sorted({c for r in measured for c in r["held_out"]["accuracy"]})
    for category in categories:
        points = [(r["step"], r["held_out"]["accuracy"].get(category)) for r in measured]
        right.plot([p[0] for p in points], [p[1] for p in points], label=category, lw=1)
    right.plot(
        [r["step"] for r in measured],
        [r["held_out"]["overall"] for r in measured],
        color="black",
        label="overall",
    )
    right.set(xlabel="step", ylim=(0, 1), title="accuracy on held-out lessons")
    right.legend(fontsize=7)
    write_file(path, lambda aside: figure.savefig(aside, dpi=110, format="png"))


def write_card(run: Path, path: Path, recipe: Recipe) -> None:
    """Write what is known about a run's model: data, steps, time, hardware, accuracy, limits."""
    records = read_log(run)
    last = [r for r in records if "held_out" in r][-1]
    hours = sum(r.get("seconds", 0) for r in records) / 3600
    logged = [r for r in records if "seconds" in r]
    questions = sum(r["questions"] * round(r["seconds"] * r["steps_per_second"]) for r in logged)
    rows = "\n".join(
        f"| {name} | {value:.3f} |" for name, value in last["held_out"]["accuracy"].items()
    )
    write_text(
        path,
        _CARD.format(
            parameters=sum(p.numel() for p in Student(recipe.shape).llava.parameters()) / 1e6,
            shape=asdict(recipe.shape),
            seed=recipe.seed,
            steps=last["step"],
            questions=questions,
            hours=hours,
            hardware=_hardware(),
            rows=rows,
            overall=last["held_out"]["overall"],
        ),
    )


def _hardware() -> str:
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{os.cpu_count()} CPU cores ({platform.machine()}), bfloat16 autocast"


_CARD = """\
# Model card: the embedded model of GeoFovea

A LLaVA of stock `transformers` classes ({parameters:.1f} M parameters), trained from nothing on
the synthetic world of this package, and shipped so that demos, tests and measurements run anywhere.

**It knows synthetic scenes only.** On a photograph of the real Earth its answers mean nothing, and
the pipeline says so with every such answer.

| | |
|---|---|
| shape | `{shape}` |
| data | synthetic world, rendered on the fly, seed {seed}; half of the tiles pass through JPEG |
| steps | {steps} ({questions:,} questions) |
| time | {hours:.2f} h |
| hardware | {hardware} |
| made by | `geofovea train --output RUN` |

Accuracy on held-out lessons (right tiles given) at the end of the run:

| category | accuracy |
|---|---|
{rows}
| **overall** | **{overall:.3f}** |

The accuracy of the whole pipeline, from a file on disk to an answer, with intervals and baselines,
is measured by `geofovea bench synthetic`; its table is in the README.

## What it cannot do

Anything but the questions of `geofovea synth`: its vocabulary is about a hundred words. It does not
know any other wording, kind of object, season, sensor or ground resolution than those of the
synthetic world. Its confidence is a probability of words and is not calibrated.
"""
