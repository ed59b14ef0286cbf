"""``geofovea distill``: a region focus module for a host that exposes attention."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import click

from geofovea.pipeline.cli.options.grouped import CommandWithExamples
from geofovea.pipeline.cli.options.shared import (
    SEED,
    FiniteRange,
    comma_separated,
    json_option,
    minutes_option,
    world_option,
)
from geofovea.pipeline.system.terminal import echo

__all__ = ["distill"]


@click.command(
    cls=CommandWithExamples,
    examples=[
        "geofovea distill --output runs/focus",
        "geofovea distill --model llava-hf/llava-1.5-7b-hf -o runs/llava --minutes 60",
    ],
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, help="Folder of the run."
)
@click.option("--model", default="embedded", show_default=True, help="Folder or hub id of a LLaVA.")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Questions in the LRS-VQA format beside their scenes; synthetic worlds if unset.",
)
@click.option("--layers", help="Decoder layers to copy, such as 0,2; the first and the host's own.")
@click.option(
    "--steps",
    default=600,
    show_default=True,
    type=click.IntRange(1),
    help="Samples, one a step.",
)
@click.option(
    "--questions",
    default=24,
    show_default=True,
    type=click.IntRange(1),
    help="Ask at most this many questions a sample.",
)
@click.option(
    "--learning-rate",
    default=1e-3,
    show_default=True,
    type=FiniteRange(0, min_open=True),
    help="Peak of the learning rate.",
)
@click.option(
    "--boxes",
    default=1.0,
    show_default=True,
    type=FiniteRange(0),
    help="Weight of the annotated boxes.",
)
@click.option(
    "--rows",
    default=0.1,
    show_default=True,
    type=FiniteRange(0),
    help="Weight of the host's attention.",
)
@click.option(
    "--without-sinks", "sinks", is_flag=True, help="Take attention sinks out of the rows."
)
@click.option(
    "--without-trend", "trend", is_flag=True, help="Take the positional trend out of the rows."
)
@click.option("--seed", default=0, show_default=True, type=SEED, help="Seed of the samples.")
@world_option
@click.option("--device", default="cpu", show_default=True, help="A torch device.")
@minutes_option
@click.option("--install", is_flag=True, help="Copy the module beside the model's weights.")
@json_option
def distill(
    output: Path,
    model: str,
    data: Path | None,
    layers: str | None,
    steps: int,
    questions: int,
    learning_rate: float,
    boxes: float,
    rows: float,
    sinks: bool,
    trend: bool,
    seed: int,
    world: int,
    device: str,
    minutes: float | None,
    install: bool,
    as_json: bool,
) -> None:
    """Train a region focus module for a model.

    The same command resumes a stopped run.
    """
    if data is not None and world != 1:
        raise click.UsageError("--data brings its own scenes; leave out --world")
    layer_numbers = comma_separated(layers, int, what="layers", example="0,2") if layers else ()
    import torch

    from geofovea.pipeline.hosts.load import folder_of, load_host
    from geofovea.pipeline.system.progress import progress_bar
    from geofovea.pipeline.training import distill as distillation
    from geofovea.pipeline.training.focus_samples import FocusSamples, RecordSamples, WorldSamples
    from geofovea.pipeline.training.report import draw_distillation

    config = distillation.DistillationConfig(
        steps=steps,
        layers=layer_numbers,
        learning_rate=learning_rate,
        rows_weight=rows,
        boxes_weight=boxes,
        sinks=sinks,
        trend=trend,
    )
    # attention is full of numbers too small for a CPU's fast path
    torch.set_flush_denormal(True)
    host = load_host(model, device)
    samples: FocusSamples = WorldSamples(host, seed=seed, questions=questions, version=world)
    if data is not None:
        samples = RecordSamples.read(host, data, seed=seed, questions=questions)
    stop_after = math.inf if minutes is None else 60 * minutes
    with progress_bar(f"distilling from {model}") as advance:
        for record in distillation.distill(host, samples, config, output, stop_after=stop_after):
            echo(json.dumps(record), err=True)
            advance(record["step"] / steps)
    card = distillation.write_module(output, host)
    draw_distillation(output, output / "distillation_curve.png")
    if install:
        distillation.install_focus(output, folder_of(model), host)
    _report(output, card.cost, record=_last_measurement(output), as_json=as_json)


def _last_measurement(run: Path) -> dict[str, Any]:
    from geofovea.pipeline.training.run_log import distillation_log

    measurements = [r["held_out"] for r in distillation_log(run).read() if "held_out" in r]
    return measurements[-1] if measurements else {}


def _report(output: Path, cost: str, record: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        echo(json.dumps({"folder": str(output), "cost": cost, "held_out": record}))
        return
    echo(f"wrote {output}")
    echo(f"  runs  {cost}")
    if record:
        echo(
            f"  finds {record['mass']:.0%} of its attention in the box, {record['hit_1']:.0%} of "
            f"places at once, {record['hit_4']:.0%} among four tokens (held out)"
        )
