"""Synthetic scenes with questions as a data set on disk, in the LRS-VQA layout."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from geofovea.datasets.records.annotations import Record, write_records
from geofovea.datasets.synthetic.annotations import record_of
from geofovea.datasets.synthetic.questions import ask_world
from geofovea.datasets.synthetic.scene_files import write_scene
from geofovea.datasets.synthetic.world import make_world
from geofovea.errors import DataError
from geofovea.pipeline.system.files import check_writable, make_folder

__all__ = ["ANNOTATIONS", "write_benchmark"]

ANNOTATIONS = "annotations.jsonl"


def write_benchmark(
    folder: Path,
    scenes: int,
    side: int,
    seed: int,
    per_category: int,
    on_progress: Callable[[float], None] = lambda _: None,
) -> Path:
    """Write ``scenes`` COGs into ``folder/image`` and one annotation file; returns its path.

    Raises:
        DataError: If a number is not positive or the scenes are too small.
        OutputError: If something cannot be written.
    """
    if scenes < 1 or per_category < 1:
        raise DataError(f"scenes and questions must be at least 1, got {scenes}, {per_category}")
    worlds = [make_world(seed + index, side, side) for index in range(scenes)]
    images = make_folder(folder / "image")
    check_writable(folder / ANNOTATIONS)
    records: list[Record] = []
    for index, world in enumerate(worlds):
        name = f"synth_{side}_{world.seed}.tif"
        write_scene(
            world,
            images / name,
            lambda share, index=index: on_progress((index + share) / scenes),  # type: ignore[misc]
        )
        for question in ask_world(world, per_category):
            records.append(record_of(question, len(records), f"image/{name}", world))
    write_records(records, folder / ANNOTATIONS)
    return folder / ANNOTATIONS
