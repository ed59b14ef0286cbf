"""``geofovea bench find``: every way to find things, on scenes whose truth is known."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from geofovea.datasets.synthetic.vocabulary import THINGS
from geofovea.datasets.synthetic.world import World
from geofovea.pipeline.evaluation.finds.item import FindItem
from geofovea.pipeline.evaluation.finds.misses import misses_of, misses_table
from geofovea.pipeline.evaluation.finds.rows import FindRow, find_rows
from geofovea.pipeline.evaluation.finds.table import finds_table
from geofovea.pipeline.evaluation.finds.ways import SWEEP, find_by, ways_of
from geofovea.pipeline.evaluation.synthetic_bench import BenchScene, measure_ways
from geofovea.pipeline.hosts.base import Host
from geofovea.pipeline.places.confusion import Confusion
from geofovea.pipeline.session.session import SceneSession
from geofovea.pipeline.system.files import write_text
from geofovea.tiling.pyramid import Box

__all__ = ["phrases_of", "run_find_bench", "sweep_confusion", "truth_of"]


def run_find_bench(
    folder: Path,
    sides: Sequence[int],
    scenes: int,
    seed: int,
    host: Host,
    budgets: Sequence[int],
    loading: Mapping[str, Any] | None = None,
    *,
    version: int = 1,
    colors: bool = True,
) -> list[FindRow]:
    """Look for every kind in every way; write the results, and return a row for each way.

    The folder gets ``items.jsonl``, ``table.md``, ``misses.md`` with each thing that was missed and
    a cause, and ``confusion.json``, the errors of the sweeps for phrases without a color, as
    ``geofovea count --confusion`` takes them. Scenes and searches
    that are already in the folder are used again.

    Args:
        folder: For scenes and results.
        sides: Of the scenes in pixels.
        scenes: Scenes of each side.
        seed: Of the first scene.
        host: The model.
        budgets: Tiles of the searches.
        loading: Options that loaded the model, as far as they differ from their defaults.
        version: Of the synthetic world, one of ``VERSIONS``.
        colors: Whether phrases with a color are looked for, too.

    Raises:
        DataError: If there is nothing to look for, or the folder holds a run with other settings.
        OutputError: If the folder cannot be written.
    """
    look = partial(_look_in_scene, host, tuple(budgets), colors)
    items = measure_ways(
        folder, sides, scenes, seed, host, budgets, FindItem, look, loading, version
    )
    if confusion := sweep_confusion(items, host.name):
        confusion.save(folder / "confusion.json")
    rows = find_rows(items, ways_of(budgets))
    write_text(folder / "table.md", finds_table(rows, host.name))
    misses = misses_of(items, host.tile_size)
    write_text(folder / "misses.md", misses_table(misses, ways_of(budgets)))
    return rows


def phrases_of(world: World, *, colors: bool) -> list[str]:
    """Every kind, and one colored thing of each kind that is there."""
    things = [thing for site in world.sites for thing in site.things] if colors else []
    colored = {thing.kind: f"{thing.color} {thing.kind}" for thing in reversed(things)}
    return [*THINGS, *sorted(colored.values())]


def sweep_confusion(items: Sequence[FindItem], model: str) -> Confusion | None:
    """The errors of the sweeps for phrases without a color; None where they found nothing."""
    sweeps = [item for item in items if item.way == SWEEP and not item.has_color]
    hits, misses, false_alarms = (sum(item.matches[n] for item in sweeps) for n in range(3))
    tiles = sum(item.native for item in sweeps)
    return Confusion(hits, misses, false_alarms, tiles, model) if hits else None


def _look_in_scene(
    host: Host,
    budgets: Sequence[int],
    colors: bool,
    scene: BenchScene,
    earlier: Mapping[Hashable, FindItem],
) -> Iterator[FindItem]:
    # one session: what is told of a way are its tiles and tokens, not its time
    session = scene.session(host)
    for phrase in phrases_of(scene.world, colors=colors):
        for way in ways_of(budgets):
            key = (scene.world.width, scene.world.seed, phrase, way)
            yield earlier.get(key) or _look_once(session, scene.world, phrase, way, budgets)


def _look_once(
    session: SceneSession, world: World, phrase: str, way: str, budgets: Sequence[int]
) -> FindItem:
    rows, cols = session.pyramid.grid_shape(0)
    finding = asdict(find_by(way, session, phrase, budgets))
    boxes = tuple(tuple(box.values()) for box in finding.pop("boxes"))
    return FindItem(
        side=world.width,
        scene=world.seed,
        phrase=phrase,
        way=way,
        truth=tuple(box.as_tuple() for box in truth_of(world, phrase)),
        boxes=boxes,
        native=rows * cols,
        **finding,
    )


def truth_of(world: World, phrase: str) -> list[Box]:
    """Boxes of the things that a phrase names, such as ``red truck``, in scene pixels."""
    *color, kind = phrase.split()
    return [
        thing.box
        for site in world.sites
        for thing in site.of_kind(kind)
        if not color or thing.color == color[0]
    ]
