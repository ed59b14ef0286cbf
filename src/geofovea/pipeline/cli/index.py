"""``geofovea index``: many scenes embedded once, to be searched by words."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from geofovea._plurals import counted
from geofovea.pipeline.cli.options.grouped import GroupedCommand, in_group, option
from geofovea.pipeline.cli.options.scene import access_options, asset_option, view_options
from geofovea.pipeline.cli.options.shared import FiniteRange, comma_separated
from geofovea.pipeline.cli.options.shell_words import in_shell_words
from geofovea.pipeline.engine.memory_options import MemoryOptions
from geofovea.pipeline.hosts.load import EMBEDDED
from geofovea.pipeline.hosts.load_options import AUTO
from geofovea.pipeline.system.terminal import echo, fact, notice

if TYPE_CHECKING:
    from collections.abc import Callable

    from geofovea.pipeline.archive.remember import RememberedScene
    from geofovea.pipeline.archive.report import IndexReport

__all__ = ["index", "parsed_levels"]

_EXAMPLES = (
    "geofovea index archive/ -o index --encoder openai/clip-vit-base-patch32",
    "geofovea index synthetic/ -o index --encoder embedded",
    "geofovea index archive/ -o index --max-seconds 3600",
    "geofovea index scene.tif --memory 500 --model embedded --kv plain:2",
    'geofovea search index "red roof"',
)
_MOST_FAILURES = 10
_budget = in_group("Budget options")
_memory = in_group("Memory options")
_OF_INDEX = ("encoder", "tile_size", "number_format")


def parsed_levels(_context: Any, parameter: click.Parameter, text: str | None) -> Any:
    """The value of ``--levels`` as numbers; None where it is not given."""
    if text is None:
        return None
    return comma_separated(text, int, what="levels", example="0,1,2", param=parameter)


@click.command(cls=GroupedCommand, examples=_EXAMPLES)
@click.argument("scenes", metavar="SCENES...", nargs=-1, required=True)
@option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    is_common=True,
    help="Folder of the index; an existing one is continued. Needed without --memory.",
)
@option(
    "--encoder",
    metavar="NAME",
    is_common=True,
    help="Folder or hub id of a CLIP or SigLIP, or 'embedded' for synthetic scenes. An "
    "existing index remembers its own.",
)
@option(
    "--levels",
    callback=parsed_levels,
    metavar="0,1,...",
    is_common=True,
    help="Levels to embed, 0 for native. Default: those of the index; from base to native in a new "
    "one.",
)
@option(
    "--tile-size",
    type=click.IntRange(16, 8192),
    help="Side of a tile in pixels. Default: the side of the encoder's pictures.",
)
@option(
    "--number-format",
    type=click.Choice(["int8", "float16"]),
    help="How a vector is stored. Default: int8.",
)
@_budget(
    "--max-tiles", "tiles", type=click.IntRange(1), is_common=True, help="Read at most this many."
)
@_budget(
    "--max-seconds",
    "seconds",
    type=float,
    is_common=True,
    help="Start no more tiles after this time.",
)
@_budget("--max-megabytes", "megabytes", type=float, help="Write at most this many 10^6 bytes.")
@_memory(
    "--memory",
    "memory_megabytes",
    type=FiniteRange(min=0, min_open=True),
    metavar="MB",
    help=(
        "Keep the keys and values of each tile in the decoder of --model on disk, at most so many "
        "megabytes a scene, for geofovea ask --cache-tokens --memory."
    ),
)
@_memory(
    "--kv",
    default="plain",
    show_default=True,
    goes_with=["--memory"],
    help="How to store them; see geofovea ask.",
)
@_memory(
    "--model",
    default=EMBEDDED,
    show_default=True,
    goes_with=["--memory"],
    help="A folder or a hub id.",
)
@_memory(
    "--device",
    default=AUTO,
    show_default=True,
    goes_with=["--memory"],
    help="A torch device.",
)
@option("--json", "as_json", is_flag=True, is_common=True, help="Print one JSON object.")
@asset_option
@view_options
@access_options
def index(
    scenes: tuple[str, ...],
    output: Path | None,
    tiles: int | None,
    seconds: float | None,
    megabytes: float | None,
    memory_megabytes: float | None,
    kv: str,
    model: str,
    device: str,
    as_json: bool,
    **settings: Any,
) -> None:
    """Embed the tiles of many scenes, to search them by words.

    With --memory, tiles run through a model instead, so that later questions about the scenes run
    only their own words.

    SCENES are raster files, folders, globs, manifests or STAC item collections. The same command
    resumes where a run ended, and reads again what has changed. It ends with code 1 if a scene
    cannot be read.
    """
    if memory_megabytes is not None:
        memory = MemoryOptions(memory_megabytes, kv)
        _check_alone(output, settings, (tiles, seconds, megabytes))
        _remember(scenes, memory, {"name": model, "device": device}, settings, as_json)
        return
    if output is None:
        raise click.UsageError("name a folder for the index with --output, or give --memory")
    from geofovea.pipeline.archive.allowance import IndexBudget
    from geofovea.pipeline.archive.build import build_index

    budget = IndexBudget(tiles, seconds, megabytes)
    with _bar() as advance:
        report = build_index(output, scenes, budget=budget, on_progress=advance, **settings)
    if as_json:
        echo(json.dumps(report.to_dict()))
    else:
        _print(report)
    if report.failures:
        click.get_current_context().exit(1)


def _check_alone(output: Path | None, settings: dict[str, Any], limits: tuple[Any, ...]) -> None:
    """Refuse options of an index beside --memory.

    Raises:
        click.UsageError: If one is given.
    """
    of_index = [output, *limits, *(settings.pop(name) for name in _OF_INDEX)]
    if any(value is not None for value in of_index):
        raise click.UsageError(
            "--memory takes only --levels, --kv, --model, --device and what is shown of a scene; "
            "embed the scenes in a command of its own"
        )


def _remember(
    scenes: tuple[str, ...],
    memory: MemoryOptions,
    loading: dict[str, Any],
    settings: dict[str, Any],
    as_json: bool,
) -> None:
    from geofovea.pipeline.archive.remember import remember_scenes
    from geofovea.pipeline.hosts.load import load_host

    access = {name: settings.pop(name) for name in ("allow_vrt", "allow_remote", "allowed_hosts")}
    host = load_host(**loading)
    with _bar() as advance:
        remembered = list(
            remember_scenes(scenes, host, memory, access=access, on_progress=advance, **settings)
        )
    if as_json:
        echo(json.dumps({"scenes": [scene.to_dict() for scene in remembered]}))
    else:
        for scene in remembered:
            _print_remembered(scene)
    if any(scene.error for scene in remembered):
        click.get_current_context().exit(1)


def _print_remembered(scene: RememberedScene) -> None:
    command = click.get_current_context().command
    if scene.fill is None:
        notice(f"  failed     {scene.name}: {in_shell_words(scene.error, command)}")
        return
    fill = scene.fill
    echo(f"{scene.name}: {counted(fill.made, 'tile')} run, {fill.known} known")
    fact(
        "stored",
        f"{fill.nbytes / 1e6:.2f} MB of keys and values, "
        f"{scene.megabytes_per_gigapixel:.0f} MB a gigapixel",
    )
    if not fill.is_whole:
        tiles_left = fill.tiles - fill.made - fill.known - fill.empty
        fact(
            "warning",
            f"{tiles_left} of {counted(fill.tiles, 'tile')} do not fit; give --memory more",
            is_warning=True,
        )
    for warning in scene.warnings:
        fact("warning", in_shell_words(warning, command), is_warning=True)


@contextmanager
def _bar() -> Iterator[Callable[[str, float], None]]:
    from geofovea.pipeline.system.progress import progress_bar

    with progress_bar("Indexing scenes") as advance:
        yield lambda _name, share: advance(share)


def _print(report: IndexReport) -> None:
    scenes = counted(len(report.scenes), "scene")
    echo(f"{scenes}, {counted(report.tiles_read, 'tile')} read")
    per_gigapixel = report.megabytes_per_gigapixel
    size = f"{report.size_bytes / 1e6:.2f} MB"
    if per_gigapixel is not None:
        size += f", {per_gigapixel:.1f} MB a gigapixel"
    fact("on disk", f"{size}, in {report.folder}")
    fact("encoder", f"{report.encoder}, {report.seconds:.1f} s")
    levels = sorted({level for scene in report.scenes for level in scene.levels})
    if levels:
        fact("levels", f"{', '.join(map(str, levels))} (0 is native)")
    replaced = sum(scene.was_replaced for scene in report.scenes)
    if replaced:
        fact("replaced", f"{counted(replaced, 'scene')} that had changed")
    damaged = sum(scene.tiles_damaged for scene in report.scenes)
    if damaged:
        fact(
            "warning",
            f"damaged in the index and read again: {counted(damaged, 'tile')}",
            is_warning=True,
        )
    if report.records_removed:
        fact(
            "warning",
            f"damaged in the index and removed: {counted(report.records_removed, 'scene')} of "
            "another run; index it again if it is still there",
            is_warning=True,
        )
    if report.stopped:
        rest = f", {report.scenes_left} of the scenes not begun" if report.scenes_left else ""
        fact(
            "warning",
            f"out of {report.stopped}{rest}: the same command continues from here",
            is_warning=True,
        )
    command = click.get_current_context().command
    for failure in report.failures[:_MOST_FAILURES]:
        notice(f"  failed     {failure.name}: {in_shell_words(failure.error, command)}")
    if len(report.failures) > _MOST_FAILURES:
        notice(f"  failed     {len(report.failures) - _MOST_FAILURES} more: see --json")
