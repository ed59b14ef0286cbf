"""What a training run shows people: its curve and, for the embedded model, its card."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from geofovea.pipeline.system.extras import figure_class
from geofovea.pipeline.system.files import write_file, write_text
from geofovea.pipeline.training.curriculum import TrainingConfig
from geofovea.pipeline.training.run_log import distillation_log, training_log
from geofovea.pipeline.training.student import Student

__all__ = ["draw_curve", "draw_distillation", "write_card"]

_FLOOR = 1e-4


def draw_curve(run: Path, path: Path) -> None:
    """Draw losses and held-out accuracy of a run into a PNG.

    Raises:
        MissingExtraError: If matplotlib is not installed.
    """
    records = training_log(run).read()
    figure = figure_class("the training curve")(figsize=(10, 4.2), layout="constrained")
    loss_axes, accuracy_axes = figure.subplots(1, 2)
    _plot_losses(loss_axes, [record for record in records if "dense" in record])
    _plot_accuracies(accuracy_axes, [record for record in records if "held_out" in record])
    write_file(path, lambda aside: figure.savefig(aside, dpi=110, format="png"))


def _plot_losses(axes: Any, records: Sequence[Mapping[str, Any]]) -> None:
    steps = [record["step"] for record in records]
    for name in ("answer", "dense", "focus"):
        axes.plot(steps, [record.get(name) for record in records], label=name, lw=1)
    axes.set(xlabel="step", ylabel="loss", yscale="log", title="training losses")
    axes.legend()


def _plot_accuracies(axes: Any, records: Sequence[Mapping[str, Any]]) -> None:
    steps = [record["step"] for record in records]
    accuracies = [record["held_out"]["accuracy"] for record in records]
    for category in sorted({name for by_category in accuracies for name in by_category}):
        values = [by_category.get(category) for by_category in accuracies]
        axes.plot(steps, values, label=category, lw=1)
    overall = [record["held_out"]["overall"] for record in records]
    axes.plot(steps, overall, color="black", label="overall")
    axes.set(xlabel="step", ylim=(0, 1), title="accuracy on held-out samples")
    axes.legend(fontsize=7)


def draw_distillation(run: Path, path: Path) -> None:
    """Draw the losses of a run, and how well it finds held-out places, into a PNG.

    Raises:
        MissingExtraError: If matplotlib is not installed.
        OutputError: If the file cannot be written.
    """
    records = distillation_log(run).read()
    losses = [r for r in records if "loss" in r]
    measurements = [r for r in records if "held_out" in r]
    figure = figure_class("the curve of a distillation")(figsize=(10, 4.2), layout="constrained")
    loss_axes, rank_axes = figure.subplots(1, 2)
    for name in ("row", "image", "logits", "boxes"):
        # a scale of powers of ten has no place for 0
        values = [max(r[name], _FLOOR) for r in losses]
        loss_axes.plot([r["step"] for r in losses], values, label=name, lw=1)
    loss_axes.set(xlabel="step", ylabel="loss", yscale="log", title="losses")
    loss_axes.legend()
    for name in ("mass", "hit_1", "hit_4", "chance"):
        values = [r["held_out"][name] for r in measurements]
        rank_axes.plot([r["step"] for r in measurements], values, label=name, marker=".", lw=1)
    rank_axes.set(xlabel="step", ylim=(0, 1), title="held-out base levels: attention in the box")
    if measurements:
        rank_axes.legend()
    write_file(path, lambda aside: figure.savefig(aside, dpi=110, format="png"))


def write_card(run: Path, path: Path, config: TrainingConfig, keep: float = 0.0) -> None:
    """Write what is known about a run's model: data, steps, time, hardware, accuracy, limits.

    Args:
        run: Folder of the run.
        path: Of the card.
        config: Of the run.
        keep: Share of its start that was kept when the model was exported.
    """
    records = training_log(run).read()
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
            origin=f"trained further, from `{config.start}`," if config.start else _FROM_NOTHING,
            option=_options(config, keep),
            parameters=sum(p.numel() for p in Student(config.shape).llava.parameters()) / 1e6,
            shape=asdict(config.shape),
            seed=config.seed,
            steps=last["step"],
            questions=round(questions),
            hours=hours,
            hardware=_hardware(),
            world=_worlds_in_words(config.worlds),
            rows=rows,
            average=_AVERAGE.format(keep=keep, rest=1 - keep, start=config.start) if keep else "",
            overall=last["held_out"]["overall"],
        ),
    )


def _options(config: TrainingConfig, keep: float) -> str:
    """What stands in the command of a run beside its folder."""
    start = f"--from {config.start} " if config.start else ""
    share = f"--keep {keep:g} " if keep else ""
    chosen = config.worlds if config.worlds != (1,) else ()
    return start + share + "".join(f"--world {world} " for world in chosen)


def _worlds_in_words(worlds: tuple[int, ...]) -> str:
    """Which versions of the synthetic world a run showed, if not the first one alone."""
    if worlds == (1,):
        return ""
    return f" of version{'s' * (len(worlds) > 1)} {' and '.join(map(str, worlds))}"


def _hardware() -> str:
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{os.cpu_count()} CPU cores ({platform.machine()}), bfloat16 autocast"


_FROM_NOTHING = "trained from nothing"
_AVERAGE = """
Each weight is then {keep:g} times that of `{start}` plus {rest:g} times that of the run. The
accuracies above were measured before that.
"""
_CARD = """\
# Model card: the embedded model of GeoFovea

A LLaVA of stock `transformers` classes ({parameters:.1f} M parameters), {origin} on
the synthetic world of this package, and shipped so that demos, tests and measurements run anywhere.

**It knows synthetic scenes only.** On a photograph of the real Earth its answers mean nothing, and
the pipeline says so with every such answer.

| | |
|---|---|
| shape | `{shape}` |
| data | synthetic world{world}, rendered on the fly, seed {seed}; half of the tiles are JPEG |
| steps | {steps} ({questions:,} questions) |
| time | {hours:.2f} h |
| hardware | {hardware} |
| made by | `geofovea train {option}--output RUN` |

Accuracy on held-out samples (right tiles given) at the end of the run:

| category | accuracy |
|---|---|
{rows}
| **overall** | **{overall:.3f}** |
{average}
The accuracy of the whole pipeline, from a file on disk to an answer, with intervals and baselines,
is measured by `geofovea bench synthetic`; its table is in the README.

## What it cannot do

Anything but the questions of `geofovea synth`: its vocabulary is some 125 words. It does not
know any other wording, kind of object, season, sensor or ground resolution than those of the
synthetic world. Its confidence is a probability of words and is not calibrated.
"""
