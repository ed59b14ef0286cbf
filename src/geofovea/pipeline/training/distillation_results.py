"""What a distillation leaves behind: the module, its curve, and its place beside a model."""

from __future__ import annotations

import shutil
from pathlib import Path

from geofovea.errors import ModelError
from geofovea.pipeline.hosts.region_focus import (
    FOCUS_FILE,
    FOCUS_WEIGHTS_FILE,
    FocusCard,
    load_focus,
    save_focus,
    with_decoder_access,
)
from geofovea.pipeline.system.extras import figure_class
from geofovea.pipeline.system.files import write_file
from geofovea.pipeline.training.distill import load_distillation, read_distillation_log

__all__ = ["draw_distillation", "install_focus", "write_module"]

_SMALLEST_DRAWN = 1e-4


def write_module(run: Path, host: object) -> FocusCard:
    """Write the module of a run, as it stands, into the run's folder.

    Raises:
        DataError: If the folder holds no run of this host.
        OutputError: If it cannot be written.
    """
    state = load_distillation(host, run)
    save_focus(state.module, state.card, run)
    return state.card


def install_focus(run: Path, model_folder: Path, host: object) -> None:
    """Copy a module beside the weights of the model that it was made from.

    The description is moved into place last: without it, there is no module.

    Raises:
        ModelError: If there is no module, it belongs to another host, or no such model folder.
        OutputError: If a file cannot be written.
    """
    load_focus(run, with_decoder_access(host))
    if not (model_folder / "config.json").is_file():
        raise ModelError(
            f"{model_folder} is no model folder: a module can be installed beside the weights of a "
            "local model, or of 'embedded'"
        )
    for name in (FOCUS_WEIGHTS_FILE, FOCUS_FILE):
        write_file(model_folder / name, lambda aside, name=name: shutil.copyfile(run / name, aside))  # type: ignore[misc]


def draw_distillation(run: Path, path: Path) -> None:
    """Draw the losses of a run, and how well it finds held-out places, into a PNG.

    Raises:
        MissingExtraError: If matplotlib is not installed.
        OutputError: If the file cannot be written.
    """
    records = read_distillation_log(run)
    losses = [r for r in records if "loss" in r]
    found = [r for r in records if "held_out" in r]
    figure = figure_class("the curve of a distillation")(figsize=(10, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name in ("row", "image", "logits", "boxes"):
        # a scale of powers of ten has no place for 0
        values = [max(r[name], _SMALLEST_DRAWN) for r in losses]
        left.plot([r["step"] for r in losses], values, label=name, lw=1)
    left.set(xlabel="step", ylabel="loss", yscale="log", title="losses")
    left.legend()
    for name in ("mass", "hit_1", "hit_4", "chance"):
        values = [r["held_out"][name] for r in found]
        right.plot([r["step"] for r in found], values, label=name, marker=".", lw=1)
    right.set(xlabel="step", ylim=(0, 1), title="held-out base levels: attention in the box")
    if found:
        right.legend()
    write_file(path, lambda aside: figure.savefig(aside, dpi=110, format="png"))
