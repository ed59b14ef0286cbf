"""What ``find`` and ``count`` have in common: polygons, progress, and the lines about coverage."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from geofovea._plurals import counted
from geofovea.errors import DataError, NothingShownError
from geofovea.pipeline.cli.options.grouped import in_group, option, with_options
from geofovea.pipeline.cli.options.shell_words import in_shell_words
from geofovea.pipeline.system.terminal import fact, notice

if TYPE_CHECKING:
    from geofovea.datasets.inputs.region_files import NamedRegion
    from geofovea.pipeline.answers.cost import Cost
    from geofovea.pipeline.engine.watching import Watcher
    from geofovea.pipeline.places.count import Count
    from geofovea.pipeline.places.coverage import Coverage
    from geofovea.pipeline.places.place_list import Places
    from geofovea.pipeline.session.session import SceneSession
    from geofovea.pipeline.session.settings import AskSettings
    from geofovea.tiling.geo.region import Region
    from geofovea.tiling.scene import Scene

__all__ = [
    "Area",
    "min_score_option",
    "open_regions",
    "phrase_argument",
    "print_end",
    "region_options",
    "results_of_regions",
    "told_by_a_bar",
]

Command = TypeVar("Command", bound=Callable[..., Any])
Result = TypeVar("Result", "Places", "Count")
_input = in_group("Input options")
_MOST_LEFT_OUT = 5

phrase_argument = click.argument("words", metavar="PHRASE...", nargs=-1, required=True)

min_score_option = option(
    "--min-score",
    type=float,
    default=0.5,
    show_default=True,
    is_common=True,
    help="List places that score at least this, from 0 to 1.",
)


@dataclass(frozen=True, slots=True)
class Area:
    """What is looked at.

    Attributes:
        name: Of the polygon; None for the whole scene.
        region: The polygon; None for the whole scene.
        warnings: What to know of how it was placed.
    """

    name: str | None = None
    region: Region | None = None
    warnings: tuple[str, ...] = ()


def region_options(command: Command) -> Command:
    """Add ``--regions`` and the options about them; the verb gets ``regions``, a dictionary."""

    def run(
        *,
        regions: Path | None,
        region_layer: str | None,
        region_name: str | None,
        region_crs: str | None,
        **values: Any,
    ) -> Any:
        if regions is None and (region_layer or region_name or region_crs):
            raise click.UsageError(
                "--region-layer, --region-name and --region-crs go with --regions"
            )
        how = {"layer": region_layer, "name_column": region_name, "crs": region_crs}
        return command(regions=None if regions is None else {"path": regions, **how}, **values)

    options = (
        _input(
            "--regions",
            type=click.Path(path_type=Path),
            is_common=True,
            help="Look within each polygon of this file.",
        ),
        _input("--region-layer", metavar="NAME", help="Layer of the polygons."),
        _input("--region-name", metavar="COLUMN", help="Column that names the polygons."),
        _input(
            "--region-crs",
            metavar="CRS",
            help="CRS of the polygons, such as EPSG:4326; or pixels.",
        ),
    )
    wrapped: Any = run
    wrapped.__name__, wrapped.__doc__ = command.__name__, command.__doc__
    wrapped.__click_params__ = getattr(command, "__click_params__", [])
    result: Command = with_options(wrapped, options)
    return result


def named_regions(scene: Scene, regions: Mapping[str, Any] | None) -> list[Area]:
    """The polygons that a scene shows, by name; the whole scene without a file.

    Raises:
        DataError: If the file cannot be read, or the scene shows none of its polygons.
        GeometryError: If a polygon is not valid, or cannot be placed on the scene.
    """
    if regions is None:
        return [Area()]
    from geofovea.datasets.inputs.region_files import read_regions
    from geofovea.tiling.geo.region import OutsideSceneError

    inside: list[Area] = []
    outside: list[NamedRegion] = []
    file, how = regions["path"], {k: v for k, v in regions.items() if k != "path"}
    for each in read_regions(file, **how):
        try:
            region = each.on(scene)
        except OutsideSceneError:
            outside.append(each)
        else:
            inside.append(Area(each.name, region, each.cautions(scene, region)))
    for each in outside[:_MOST_LEFT_OUT]:
        notice(f"  left out   {each.name}: the scene does not show this polygon")
    if len(outside) > _MOST_LEFT_OUT:
        notice(f"  left out   {len(outside) - _MOST_LEFT_OUT} more that it does not show")
    if not inside:
        raise DataError(
            f"the scene shows none of the polygons of {file}: check the CRS and that longitude "
            f"comes first ({outside[0].origin}: {outside[0].extent})"
        )
    return inside


def open_regions(
    scene: str,
    regions: Mapping[str, Any] | None,
    settings: AskSettings,
    output: Path | None,
    **access: Any,
) -> tuple[SceneSession, list[Area]]:
    """A scene with its model loaded, and the regions of it that are looked at; see `named_regions`.

    Args:
        scene: Its path.
        regions: The file of polygons and how to read it; None for the whole scene.
        settings: How the model is loaded.
        output: A file for the result of one region.
        access: What the scene may reach; see ``open_scene``.

    Raises:
        UsageError: If there is one file for several regions.
        GeoFoveaError: If the scene, the polygons or the model cannot be used.
    """
    from geofovea.tiling.opening import open_scene

    raster = open_scene(scene, nodata=settings.nodata, **access)
    areas = named_regions(raster, regions)
    if output and len(areas) > 1:
        raise click.UsageError("--output is for one region: name a file with one polygon")
    settings = settings.for_scenes([raster])
    return settings.open_session(raster, settings.load_host()), areas


def results_of_regions(
    areas: Sequence[Area],
    look: Callable[[str | None, Region | None], Result],
) -> Iterator[tuple[str | None, Result]]:
    """What each region gives, with its name; one that shows no valid pixel is told and left out.

    Raises:
        NothingShownError: If none of them shows any.
    """
    nothing: NothingShownError | None = None
    is_any = False
    for area in areas:
        try:
            result = look(area.name, area.region)
        except NothingShownError as error:
            nothing = error
            if len(areas) > 1:
                told = in_shell_words(str(error), click.get_current_context().command)
                notice(f"  left out   {area.name}: {told}")
        else:
            is_any = True
            yield area.name, result.with_warnings(area.warnings)
    if nothing is not None and not is_any:
        raise nothing


@contextmanager
def told_by_a_bar(title: str, expected: int) -> Iterator[Watcher]:
    """A watcher that shows how many tiles were looked at.

    Args:
        title: What is done, in words.
        expected: How many tiles at most.
    """
    from geofovea.pipeline.engine.watching import Watcher
    from geofovea.pipeline.system.progress import progress_bar

    with progress_bar(title) as advance:

        class Bar(Watcher):
            """Counts tiles."""

            tiles = 0

            def seen(self, tiles: int, tokens: int) -> None:  # noqa: ARG002
                """Move the bar."""
                self.tiles += tiles
                advance(min(1.0, self.tiles / max(1, expected)))

        yield Bar()


def print_end(coverage: Coverage, cost: Cost, warnings: tuple[str, ...]) -> None:
    """What was covered, what it took, and what to be careful about."""
    fact("looked at", f"{coverage.text}")
    fact(
        "cost",
        f"{counted(cost.tokens_llm, 'vision token')} to the model, {cost.seconds['total']:.2f} s, "
        f"{cost.peak_rss_mb:.0f} MB of memory",
    )
    if cost.tiles_indexed:
        fact("index", f"{counted(cost.tiles_indexed, 'tile')} compared, {cost.tiles_read} read")
    if cost.endpoint is not None:
        use = cost.endpoint
        fact(
            "endpoint",
            f"{counted(use.calls, 'call')}, {counted(use.images, 'picture')}, "
            f"{counted(use.tokens, 'token')}",
        )
    command = click.get_current_context().command
    for warning in warnings:
        fact("warning", in_shell_words(warning, command), is_warning=True)
