"""Synthetic scenes with questions as a data set on disk, in the LRS-VQA layout."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from geofovea.datasets.records.annotations import Record, write_records
from geofovea.datasets.synthetic.annotations import record_of
from geofovea.datasets.synthetic.change_questions import ask_changes
from geofovea.datasets.synthetic.dates import make_dated_world
from geofovea.datasets.synthetic.lawn_questions import ask_lawns
from geofovea.datasets.synthetic.plants import with_green_roofs
from geofovea.datasets.synthetic.questions import Question, ask_world
from geofovea.datasets.synthetic.roof_questions import ask_roofs
from geofovea.datasets.synthetic.scene_files import write_scene
from geofovea.datasets.synthetic.versions import world_of
from geofovea.datasets.synthetic.world import World
from geofovea.errors import DataError, OutputError
from geofovea.pipeline.session.model_choice import is_synthetic
from geofovea.pipeline.system.files import check_writable, make_folder
from geofovea.tiling.opening import open_scene

__all__ = ["ANNOTATIONS", "write_benchmark", "write_dated_benchmark", "write_one_scene"]

ANNOTATIONS = "annotations.jsonl"


def write_benchmark(
    folder: Path,
    scenes: int,
    side: int,
    seed: int,
    per_category: int,
    on_progress: Callable[[float], None] = lambda _: None,
    *,
    version: int = 1,
    bands: int = 3,
    green_roofs: bool = False,
) -> Path:
    """Write ``scenes`` COGs into ``folder/image`` and one annotation file; returns its path.

    Worlds are of ``version``, one of ``VERSIONS``; version 2 may be written in 4 ``bands``. Then
    there are questions about lawns too, which only near infrared answers, and about roofs where
    halls have ``green_roofs``.

    Raises:
        DataError: If a number is not positive or out of its range, the scenes are too small, or
            green roofs are asked for without near infrared.
        OutputError: If something cannot be written.
    """
    if scenes < 1 or per_category < 1:
        raise DataError(f"scenes and questions must be at least 1, got {scenes}, {per_category}")
    worlds = [
        _seen(world_of(version, seed + index, side, side), bands, green_roofs)
        for index in range(scenes)
    ]
    images = make_folder(folder / "image")
    check_writable(folder / ANNOTATIONS)
    records: list[Record] = []
    for index, world in enumerate(worlds):
        name = f"synth_{side}_{world.seed}.tif"
        write_scene(
            world,
            images / name,
            _progress_of(index, scenes, on_progress),
            bands,
        )
        for question in _questions(world, per_category, bands):
            records.append(record_of(question, len(records), f"image/{name}", world))
    write_records(records, folder / ANNOTATIONS)
    return folder / ANNOTATIONS


def write_one_scene(
    path: Path,
    side: int,
    seed: int,
    per_category: int,
    on_progress: Callable[[float], None] = lambda _: None,
    *,
    version: int = 1,
    bands: int = 3,
    green_roofs: bool = False,
) -> list[Record]:
    """Write one COG at ``path``, and questions about it beside it, with the suffix ``.jsonl``.

    See `write_benchmark` for the arguments. A file that is there is replaced only if it is a
    synthetic scene: whoever names an own image by mistake keeps it.

    Returns:
        The questions with their answers.

    Raises:
        DataError: If a number is not positive or out of its range, or the scene is too small.
        OutputError: If another file stands there, or something cannot be written.
    """
    if per_category < 1:
        raise DataError(f"questions must be at least 1, got {per_category}")
    world = _seen(world_of(version, seed, side, side), bands, green_roofs)
    check_writable(path)
    check_writable(path.with_suffix(".jsonl"))
    if path.exists() and not is_synthetic(open_scene(path)):
        raise OutputError(f"{path} exists and is not a synthetic scene: name another file to write")
    write_scene(world, path, on_progress, bands)
    questions = _questions(world, per_category, bands)
    records = [record_of(question, i, path.name, world) for i, question in enumerate(questions)]
    write_records(records, path.with_suffix(".jsonl"))
    return records


def _questions(world: World, per_category: int, bands: int) -> list[Question]:
    """Questions about a world, with those that only near infrared answers where there is some."""
    plants = ask_lawns(world, per_category) + ask_roofs(world, per_category) if bands > 3 else []
    return ask_world(world, per_category) + plants


def _seen(world: World, bands: int, green_roofs: bool) -> World:
    """A world with green roofs, where they are asked for and the picture can tell them apart."""
    if green_roofs and bands < 4:
        raise DataError("green roofs need near infrared: write the scenes in bands=4")
    return with_green_roofs(world) if green_roofs else world


def write_dated_benchmark(
    folder: Path,
    scenes: int,
    side: int,
    seed: int,
    dates: int,
    per_category: int,
    on_progress: Callable[[float], None] = lambda _: None,
    *,
    version: int = 1,
    bands: int = 3,
    green_roofs: bool = False,
) -> Path:
    """Write scenes at several dates, and questions about what changed between two that follow.

    A row names the earlier scene as ``image`` and both as ``images``. See `write_benchmark` for
    ``version``, ``bands`` and ``green_roofs``.

    Raises:
        DataError: If a number is out of its range, or the scenes are too small.
        OutputError: If something cannot be written.
    """
    if scenes < 1 or per_category < 1 or dates < 2:
        raise DataError(
            "scenes and questions must be at least 1 and dates at least 2, got "
            f"{scenes}, {per_category} and {dates}"
        )
    seeds, numbers = range(seed, seed + scenes), range(dates)
    # an impossible size or date is refused before anything is written
    worlds = {
        s: [_seen(make_dated_world(s, side, side, n, version), bands, green_roofs) for n in numbers]
        for s in seeds
    }
    images = make_folder(folder / "image")
    check_writable(folder / ANNOTATIONS)
    records: list[Record] = []
    for index, (own_seed, at_dates) in enumerate(worlds.items()):
        names = [f"image/synth_{side}_{own_seed}_date{number}.tif" for number in numbers]
        for number, (world, name) in enumerate(zip(at_dates, names, strict=True)):
            write_scene(
                world,
                images / Path(name).name,
                _progress_of(index * dates + number, scenes * dates, on_progress),
                bands,
            )
        for number in range(1, dates):
            before, after = at_dates[number - 1 : number + 1]
            pair = names[number - 1 : number + 1]
            for question in ask_changes(before, after, per_category):
                record = record_of(question, len(records), pair[0], after)
                records.append(replace(record, more=record.more | {"images": pair}))
    write_records(records, folder / ANNOTATIONS)
    return folder / ANNOTATIONS


def _progress_of(
    number: int, count: int, on_progress: Callable[[float], None]
) -> Callable[[float], None]:
    """Takes the share of one scene that is written, and tells that of all scenes."""
    return lambda share: on_progress((number + share) / count)
