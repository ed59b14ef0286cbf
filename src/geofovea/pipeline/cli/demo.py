"""``geofovea demo``: a gigapixel scene, a question of each kind, and pictures of the answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from geofovea.pipeline.cli.options.grouped import CommandWithExamples
from geofovea.pipeline.cli.options.model import threads_option
from geofovea.pipeline.cli.options.shared import world_option
from geofovea.pipeline.system.terminal import echo

if TYPE_CHECKING:
    from geofovea.datasets.synthetic.questions import Question
    from geofovea.datasets.synthetic.world import World
    from geofovea.pipeline.answers.answer import Answer
    from geofovea.pipeline.session.session import SceneSession

__all__ = ["demo"]


@click.command(
    cls=CommandWithExamples,
    examples=[
        "geofovea demo",
        "geofovea demo --side 4096 --output small-demo",
        "geofovea demo --world 2 --side 8192",
    ],
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path("demo-output"),
    show_default=True,
    help="Folder for the scene, the pictures and the evidence.",
)
@click.option("--side", default=32768, show_default=True, help="Side of the scene in pixels.")
@click.option("--seed", default=2026, show_default=True, help="Seed of the scene.")
@world_option
@threads_option
def demo(output: Path, side: int, seed: int, world: int, threads: int | None) -> None:
    """Ask about a synthetic gigapixel scene."""
    _run(output, side, seed, world, threads)


def _run(folder: Path, side: int, seed: int, version: int = 1, threads: int | None = None) -> None:
    """Write the scene (kept for the next time), ask, and leave pictures and evidence.

    Raises:
        OutputError: If the folder cannot be written.
        ModelError: If the embedded model is missing.
    """
    from geofovea.datasets.records.annotations import write_records
    from geofovea.datasets.synthetic.annotations import record_of
    from geofovea.datasets.synthetic.questions import ask_world
    from geofovea.datasets.synthetic.versions import world_of
    from geofovea.pipeline.hosts.load import demo_model_of, load_host
    from geofovea.pipeline.session.session import SceneSession
    from geofovea.pipeline.system.files import make_folder, write_text
    from geofovea.tiling.opening import open_scene

    make_folder(folder)
    world = world_of(version, seed, side, side)
    stem = f"scene_{side}_{seed}" if version == 1 else f"scene_{side}_{seed}_world{version}"
    path = _write_once(world, folder / f"{stem}.tif")
    # a table that begins with nothing to be seen says nothing
    questions = sorted(ask_world(world, per_category=1), key=lambda q: q.answer == "0")
    records = [record_of(q, i, path.name, world) for i, q in enumerate(questions)]
    write_records(records, folder / "questions.jsonl")
    session = SceneSession(open_scene(path), load_host(demo_model_of([version]), threads=threads))
    answers = _ask_each(session, questions, folder)
    write_text(folder / "answers.json", json.dumps([a.to_json() for a in answers], indent=1))
    _print(world, questions, answers, folder)


def _write_once(world: World, path: Path) -> Path:
    """Write the scene of a world unless it is there, say how large it is, and return its path."""
    from geofovea.datasets.synthetic.scene_files import write_scene
    from geofovea.pipeline.system.progress import progress_bar

    if not path.exists():
        with progress_bar(f"writing {world.width} × {world.height} pixels") as advance:
            write_scene(world, path, advance)
    pixels, megabytes = _pixels(world.width * world.height), path.stat().st_size / 1e6
    echo(f"{path}: {world.width} × {world.height} px, {pixels}, {megabytes:.0f} MB on disk")
    return path


def _ask_each(session: SceneSession, questions: list[Question], folder: Path) -> list[Answer]:
    """The answers, each with its evidence and its picture in the folder."""
    from geofovea.pipeline.answers.picture import save_picture
    from geofovea.pipeline.system.progress import counting_bar

    answers = []
    with counting_bar("asking", len(questions)) as advance:
        for number, question in enumerate(questions, 1):
            answer = session.ask(question.text)
            answers.append(answer)
            name = f"{number}_{question.category.replace(' ', '_')}"
            answer.evidence.to_geojson(folder / f"{name}.geojson")
            save_picture(answer, session.reader, folder / f"{name}.png")
            advance(number, question.category)
    return answers


def _pixels(count: int) -> str:
    """A number of pixels, in the unit that shows its size."""
    return f"{count / 1e9:.2f} gigapixels" if count >= 10**9 else f"{count / 1e6:.1f} megapixels"


def _print(world: World, questions: list[Question], answers: list[Answer], folder: Path) -> None:
    from geofovea.pipeline.system.tables import print_table

    rows = []
    for question, answer in zip(questions, answers, strict=True):
        cost = answer.cost
        rows.append(
            [
                question.text,
                answer.text
                + ("" if answer.text == question.answer else f" (is {question.answer})"),
                f"{answer.confidence:.0%}" if answer.confidence_known else "–",
                str(cost.tiles_encoded),
                str(cost.tokens_llm),
                f"{cost.seconds['total']:.1f}",
            ]
        )
    header = ("question", "answer", "sure", "tiles", "tokens", "s")
    print_table(header, rows, numbers_from=2)
    right = sum(a.text == q.answer for q, a in zip(questions, answers, strict=True))
    peak = max(answer.cost.peak_rss_mb for answer in answers)
    echo(f"{right} of {len(rows)} right, {peak:.0f} MB of memory at most.")
    if not all(answer.confidence_known for answer in answers):
        echo("–: the scene may not show it, see the warnings in answers.json.")
    if any(answer.cost.tokens_llm == 0 for answer in answers):
        echo("0 tokens: the answer was computed from where the places lie.")
    echo(f"Pictures, evidence (GeoJSON, for QGIS) and answers.json are in {folder}/")
    if len(rows) < 8:
        echo(f"the world of seed {world.seed} offers {len(rows)} kinds of questions")
