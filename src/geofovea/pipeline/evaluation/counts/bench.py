"""``geofovea bench count``: every way to count, on scenes whose truth is known."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from geofovea.datasets.synthetic.vocabulary import THINGS
from geofovea.datasets.synthetic.world import World
from geofovea.pipeline.evaluation.counts.item import CountItem
from geofovea.pipeline.evaluation.counts.table import counts_table
from geofovea.pipeline.evaluation.counts.ways import count_by, ways_of
from geofovea.pipeline.evaluation.synthetic_bench import BenchScene, measure_ways
from geofovea.pipeline.hosts.base import Host
from geofovea.pipeline.system.files import write_text

__all__ = ["run_count_bench"]


def run_count_bench(
    folder: Path,
    sides: Sequence[int],
    scenes: int,
    seed: int,
    host: Host,
    budgets: Sequence[int],
    loading: Mapping[str, Any] | None = None,
    *,
    version: int = 1,
) -> str:
    """Count every kind in every way; write ``items.jsonl`` and ``table.md``; return the table.

    Scenes and counts that are already in the folder are used again.

    Args:
        folder: For scenes and results.
        sides: Of the scenes in pixels.
        scenes: Scenes of each side.
        seed: Of the first scene.
        host: The model.
        budgets: Tiles of the counts under a budget.
        loading: Options that loaded the model, as far as they differ from their defaults.
        version: Of the synthetic world, one of ``VERSIONS``.

    Raises:
        DataError: If there is nothing to count, or the folder holds a run with other settings.
        OutputError: If the folder cannot be written.
    """
    look = partial(_count_scene, host, tuple(budgets))
    items = measure_ways(
        folder, sides, scenes, seed, host, budgets, CountItem, look, loading, version
    )
    table = counts_table(items, host.name, ways_of(budgets))
    write_text(folder / "table.md", table)
    return table


def _count_scene(
    host: Host,
    budgets: Sequence[int],
    scene: BenchScene,
    earlier: Mapping[Hashable, CountItem],
) -> Iterator[CountItem]:
    for kind in THINGS:
        for way in ways_of(budgets):
            key = (scene.world.width, scene.world.seed, kind, way)
            yield earlier.get(key) or _count_once(host, budgets, scene, kind, way)


def _count_once(
    host: Host, budgets: Sequence[int], scene: BenchScene, kind: str, way: str
) -> CountItem:
    # a fresh session for each: none profits from tiles that another has read
    counted = count_by(way, scene.session(host), kind, budgets)
    world = scene.world
    return CountItem(
        side=world.width,
        scene=world.seed,
        kind=kind,
        way=way,
        truth=_truth(world, kind),
        **asdict(counted),
    )


def _truth(world: World, kind: str) -> int:
    return sum(len(site.of_kind(kind)) for site in world.sites)
