"""``geofovea bench``: quality of answers, of descents, of token reductions, of confidences."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from geofovea.pipeline.cli.measurements.bench_options import numbers_of, output_option
from geofovea.pipeline.cli.measurements.bench_places import count, find
from geofovea.pipeline.cli.options.ask import checked_chain
from geofovea.pipeline.cli.options.grouped import GroupedCommand, option, with_options
from geofovea.pipeline.cli.options.model import synthetic_model_options, unusual
from geofovea.pipeline.cli.options.shared import comma_separated, json_option, world_option
from geofovea.pipeline.system.terminal import echo
from geofovea.regionfocus.cache_policies.kv_spec import KV_NAMES
from geofovea.regionfocus.layer_plans.registry import LAYER_METHOD_NAMES

if TYPE_CHECKING:
    from geofovea.regionfocus.budget import Budget

__all__ = ["bench"]

Command = Callable[..., Any]


def _scene_options(scenes: int, per_category: int) -> Callable[[Command], Command]:
    """Add the options that choose synthetic scenes, with the defaults of a bench."""
    options = (
        click.option("--scenes", default=scenes, show_default=True, help="Scenes of each side."),
        click.option(
            "--per-category",
            default=per_category,
            show_default=True,
            help="Questions of each category.",
        ),
        click.option("--seed", default=900_000, show_default=True, help="Seed of the first scene."),
        world_option,
    )
    return partial(with_options, options=options)


def _budget_options(command: Command) -> Command:
    """Options that replace limits of the model's own budget; see ``_budget``."""
    command = click.option("--tokens", type=int, help="Budget of tokens.")(command)
    return click.option("--tiles", type=int, help="Budget of tiles.")(command)


@click.command(
    "synthetic",
    cls=GroupedCommand,
    examples=["geofovea bench synthetic --output runs/bench --sides 4096 --scenes 2"],
)
@output_option
@click.option("--sides", default="4096,16384,32768", show_default=True, help="Sides in pixels.")
@_scene_options(scenes=6, per_category=3)
@synthetic_model_options
@_budget_options
def synthetic(
    output: Path,
    sides: str,
    scenes: int,
    per_category: int,
    seed: int,
    world: int,
    loading: dict[str, Any],
    tiles: int | None,
    tokens: int | None,
) -> None:
    """Measure accuracy and cost on synthetic scenes.

    Compares no picture, overview, uniform tiles, the search and the oracle, with intervals.
    The same command resumes a stopped run.
    """
    from geofovea.pipeline.evaluation.synthetic_accuracy import run_bench
    from geofovea.pipeline.hosts.load import load_host

    host = load_host(**loading)
    budget = _budget(host.default_budget, tiles=tiles, tokens=tokens)
    numbers = list(comma_separated(sides, int))
    table = run_bench(
        output,
        numbers,
        scenes,
        per_category,
        seed,
        host,
        budget,
        unusual(loading),
        version=world,
    )
    echo(table, lines=True)


def _several_numbers(
    _: click.Context, param: click.Parameter, value: tuple[str, ...]
) -> tuple[int, ...]:
    """A callback: whole numbers, several in a word or in a word each."""
    return tuple(
        number
        for word in value
        for number in comma_separated(word, int, example="4096,16384", param=param)
    )


@click.command(
    cls=GroupedCommand,
    examples=["geofovea bench policies --output runs/policies --sides 4096 --tiles 48"],
)
@output_option
@option(
    "--sides",
    callback=_several_numbers,
    multiple=True,
    earlier=["--side"],
    help="Sides in pixels, such as 4096,16384.",
)
@_scene_options(scenes=2, per_category=4)
@synthetic_model_options
@_budget_options
def policies(
    output: Path,
    sides: tuple[int, ...],
    scenes: int,
    per_category: int,
    seed: int,
    world: int,
    loading: dict[str, Any],
    tiles: int | None,
    tokens: int | None,
) -> None:
    """Compare the searches at one budget.

    Measures hit rate and accuracy. The same command resumes a stopped run.
    """
    from geofovea.pipeline.evaluation.descent_comparison import run_policies
    from geofovea.pipeline.hosts.load import load_host

    host = load_host(**loading)
    budget = _budget(host.default_budget, tiles=tiles, tokens=tokens)
    scene_sides = list(sides) or [4096, 16384, 32768]
    table = run_policies(
        output,
        scene_sides,
        scenes,
        per_category,
        seed,
        host,
        budget,
        unusual(loading),
        version=world,
    )
    echo(table, lines=True)


def _methods(context: click.Context, param: click.Parameter, value: str) -> tuple[str, ...]:
    """A callback: chains, layer methods and cache policies; empty for all of them."""
    if value == "all":
        return ()
    other = (*LAYER_METHOD_NAMES, *KV_NAMES)
    words = value.split(",")
    chains = [word for word in words if word.partition(":")[0] not in other]
    for chain in chains:
        checked_chain(context, param, chain)
    return tuple(words)


@click.command(cls=GroupedCommand, examples=["geofovea bench reductions --output runs/reductions"])
@output_option
@click.option("--sides", callback=numbers_of(int), default="4096,16384", show_default=True)
@_scene_options(scenes=6, per_category=2)
@synthetic_model_options
@click.option("--tiles", type=int, help="Budget of tiles; the model's own default if unset.")
@click.option(
    "--methods",
    callback=_methods,
    default="all",
    show_default=True,
    help=(
        "Chains, layer methods (--skip) and cache policies (--kv) separated by commas, such as "
        "divprune,divprune+fastv,ima,plain:2,compresskv."
    ),
)
@click.option(
    "--shares",
    callback=numbers_of(float),
    default="0.05,0.1,0.25,0.5",
    show_default=True,
    help="Shares of the tokens that the looks give.",
)
def reductions(
    output: Path,
    sides: tuple[int, ...],
    scenes: int,
    per_category: int,
    seed: int,
    world: int,
    loading: dict[str, Any],
    tiles: int | None,
    methods: tuple[str, ...],
    shares: tuple[float, ...],
) -> None:
    """Compare token reductions, skipped layers and caches.

    Measures accuracy, tokens, bytes of the cache, CPU, time and memory. The same command resumes a
    stopped run.

    Writes reductions.md, reductions.json and reductions.png beside the journal of answers.
    """
    from geofovea.pipeline.evaluation.reduction_report import check_drawing, write_report
    from geofovea.pipeline.evaluation.reduction_sweep import METHODS, measure_reductions
    from geofovea.pipeline.hosts.load import load_host

    check_drawing()
    host = load_host(**loading)
    budget = _budget(host.default_budget, tiles=tiles)
    items = measure_reductions(
        output,
        sides,
        scenes,
        per_category,
        seed,
        host,
        budget,
        methods or METHODS,
        shares,
        unusual(loading),
        version=world,
    )
    echo(write_report(output, items, host.name), lines=True)


@click.command(
    cls=GroupedCommand,
    examples=["geofovea bench calibration runs/bench/items.jsonl --output runs/calibration"],
)
@click.argument("items", type=click.Path(path_type=Path))
@output_option
@click.option("--method", default="attention", show_default=True, help="Whose answers.")
@click.option("--bins", type=click.IntRange(1, 100), default=10, show_default=True)
@json_option
def calibration(items: Path, output: Path, method: str, bins: int, as_json: bool) -> None:
    """Measure how far confidences can be believed.

    Draws a reliability curve of ITEMS, the items.jsonl of bench synthetic.
    """
    from geofovea.datasets.scoring.metrics import interval_text
    from geofovea.pipeline.evaluation.calibration import (
        calibrate,
        draw_reliability,
        read_confidences,
    )
    from geofovea.pipeline.system.files import make_folder, write_text
    from geofovea.pipeline.system.tables import print_table

    result = calibrate(read_confidences(items, method), bins)
    folder = make_folder(output)
    write_text(folder / "calibration.json", json.dumps(result.to_json(), indent=1))
    draw_reliability(
        result,
        f"Are answers as sure as right? {method}, {result.answers} answers",
        folder / "calibration.png",
    )
    if as_json:
        echo(json.dumps(result.to_json()))
        return
    rows = [
        [f"{b.low:.2f}-{b.high:.2f}", str(b.count), f"{b.confidence:.3f}", f"{b.accuracy:.3f}"]
        for b in result.bins
    ]
    print_table(("confidence", "answers", "mean confidence", "accuracy"), rows)
    interval = interval_text(*result.ece_interval, ".3f")
    echo(
        f"{result.answers} answers about {result.scenes} scenes: accuracy {result.accuracy:.3f}, "
        f"mean confidence {result.confidence:.3f}, ECE {result.ece:.3f} {interval}, "
        f"Brier {result.brier:.3f}; a temperature of {result.temperature:.2f} would fit them best"
    )
    echo(f"wrote {folder / 'calibration.json'} and {folder / 'calibration.png'}")


@click.command(cls=GroupedCommand, examples=["geofovea bench focus --output runs/focus"])
@output_option
@synthetic_model_options
@click.option(
    "--kinds",
    default="all",
    show_default=True,
    help="What is planted, separated by commas, such as place,corner,trend.",
)
@click.option(
    "--shares",
    callback=numbers_of(float),
    default="0,0.5,0.9",
    show_default=True,
    help="Shares of each row that fall on the sinks.",
)
@click.option(
    "--looks",
    type=click.IntRange(1),
    default=12,
    show_default=True,
    help="Looks, with up to 8 questions each.",
)
@click.option(
    "--first-look",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Number of the first look; others are further looks.",
)
@click.option(
    "--calibrate",
    is_flag=True,
    help="Also calibrate under each planting, with so many looks in each of its parts.",
)
@click.option("--hosts", default=0, show_default=True, help="Hosts with one good layer to find.")
def focus(
    output: Path,
    loading: dict[str, Any],
    kinds: str,
    shares: tuple[float, ...],
    looks: int,
    first_look: int,
    calibrate: bool,
    hosts: int,
) -> None:
    """Measure how well attention points under planted sinks.

    Plants sinks and trends into the attention of a model, and compares the ways to read it.
    """
    from geofovea.pipeline.calibration import robustness
    from geofovea.pipeline.calibration.planting import PLANTINGS
    from geofovea.pipeline.hosts.load import load_host
    from geofovea.pipeline.system.files import make_folder
    from geofovea.pipeline.system.progress import progress_bar

    host = load_host(**loading)
    names = tuple(PLANTINGS) if kinds == "all" else comma_separated(kinds, str)
    modes = robustness.modes_of(host)
    depth = host.decoder.config.num_hidden_layers  # type: ignore[attr-defined]
    plantings = robustness.plantings_of(names, shares, depth)
    with progress_bar("planting") as advance:
        samples = robustness.bench_samples(host)
        numbers = range(first_look, first_look + looks)
        rows = robustness.measure_plantings(host, modes, plantings, samples, numbers, advance)
    make_folder(output)
    calibrated = robustness.calibrate_planted(host, plantings, output, looks) if calibrate else []
    planted = robustness.find_planted_layers(output, range(hosts))
    echo(robustness.write_focus_bench(output, rows, planted, calibrated), lines=True)


def _budget(default: Budget, **limits: int | None) -> Budget:
    """The budget of a model with the limits of the command line in place of its own."""
    from dataclasses import replace

    return replace(default, **{name: n for name, n in limits.items() if n is not None})


@click.group()
def bench() -> None:
    """Measure answers on synthetic scenes."""


for _measurement in (calibration, count, find, focus, policies, reductions, synthetic):
    bench.add_command(_measurement)
