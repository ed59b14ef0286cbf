"""``geofovea bench synthetic``: accuracy with intervals, and cost, of every way of looking.

Scenes are files on disk from held-out seeds; every answer goes the whole way from path to text.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Protocol

import numpy as np

from geofovea.datasets.synthetic.questions import Question, ask_world
from geofovea.datasets.synthetic.scene_files import write_scene
from geofovea.datasets.synthetic.vocabulary import CATEGORIES
from geofovea.datasets.synthetic.world import World, make_world
from geofovea.errors import DataError
from geofovea.pipeline.evaluation.hits import hit_rate, is_hit, tile_share
from geofovea.pipeline.hosts.base import Host
from geofovea.pipeline.session.session import SceneSession
from geofovea.pipeline.system.files import make_folder, write_text
from geofovea.pipeline.system.progress import progress_bar
from geofovea.pipeline.system.tables import markdown_table
from geofovea.regionfocus.budget import Budget
from geofovea.tiling.opening import open_scene

__all__ = [
    "Item",
    "Judged",
    "accuracy_text",
    "bootstrap_interval",
    "run_bench",
]

METHODS = ("blind", "overview", "uniform", "attention", "rfm", "oracle")
"""Blind answers from no vision token at all; the others are words for ``focus``. A host without a
region focus module is not asked by ``rfm``."""

_RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Item:
    """One answer to one question by one method.

    Attributes:
        side: Side of the scene in pixels.
        scene: Seed of the scene; intervals resample scenes.
        method: One of ``METHODS``.
        category: Of the question.
        question: Its text.
        answer: What was answered.
        truth: What is right.
        confidence: As answered.
        hit: Whether native tiles covered at least half of the box (`hits`); None without a box.
        tiles: Tiles looked at.
        tokens: Vision tokens that reached the decoder.
        seconds: Wall time of the question.
        peak_rss_mb: Of the process so far.
    """

    side: int
    scene: int
    method: str
    category: str
    question: str
    answer: str
    truth: str
    confidence: float
    hit: bool | None
    tiles: int
    tokens: int
    seconds: float
    peak_rss_mb: float

    @property
    def correct(self) -> bool:
        """Exact match; answers of the synthetic world are single words in lower case."""
        return self.answer == self.truth


def run_bench(
    folder: Path,
    sides: list[int],
    scenes: int,
    per_category: int,
    seed: int,
    host: Host,
    budget: Budget,
) -> str:
    """Ask every question in every way; write ``items.jsonl`` and ``table.md``; return the table.

    Scenes that are already in the folder are used again; answers are not.

    Raises:
        DataError: If there is nothing to ask.
        OutputError: If the folder cannot be written.
    """
    if scenes < 1 or per_category < 1 or not sides:
        raise DataError("a bench needs at least one side, one scene and one question a category")
    make_folder(folder)
    items: list[Item] = []
    with progress_bar("asking") as advance:
        for done, (side, index) in enumerate((s, i) for s in sides for i in range(scenes)):
            world = make_world(seed + index, side, side)
            path = folder / f"scene_{side}_{world.seed}.tif"
            if not path.exists():
                write_scene(world, path)
            items += _ask_scene(path, world, ask_world(world, per_category), host, budget)
            advance((done + 1) / (len(sides) * scenes))
    write_text(folder / "items.jsonl", "\n".join(json.dumps(asdict(item)) for item in items))
    table = _report(items, host, budget)
    write_text(folder / "table.md", table)
    return table


def _ask_scene(
    path: Path, world: World, questions: list[Question], host: Host, budget: Budget
) -> Iterator[Item]:
    for method in METHODS:
        if method == "rfm" and not host.capabilities.region_focus:
            continue
        # a fresh session for each method: none profits from tiles that another has read
        session = SceneSession(open_scene(path), host)
        for question in questions:
            yield _ask_once(session, world, question, method, budget)


def _ask_once(
    session: SceneSession, world: World, question: Question, method: str, budget: Budget
) -> Item:
    common = {
        "side": world.width,
        "scene": world.seed,
        "method": method,
        "category": question.category,
        "question": question.text,
        "truth": question.answer,
    }
    if method == "blind":
        return Item(
            **common,  # type: ignore[arg-type]
            answer=session.host.generate(question.text, None).text,
            confidence=0.0,
            hit=None,
            tiles=0,
            tokens=0,
            seconds=0.0,
            peak_rss_mb=0.0,
        )
    boxes = question.places if method == "oracle" else ()
    answer = session.ask(question.text, budget=budget, focus=method, boxes=boxes)
    return Item(
        **common,  # type: ignore[arg-type]
        answer=answer.text,
        confidence=answer.confidence,
        hit=is_hit(tile_share(answer, [question.box])) if question.box else None,
        tiles=answer.cost.tiles_encoded,
        tokens=answer.cost.tokens_llm,
        seconds=answer.cost.seconds["total"],
        peak_rss_mb=answer.cost.peak_rss_mb,
    )


class Judged(Protocol):
    """An answer that is right or wrong, from a scene."""

    @property
    def side(self) -> int:
        """Side of the scene in pixels."""
        ...

    @property
    def scene(self) -> int:
        """Seed of the scene."""
        ...

    @property
    def correct(self) -> bool:
        """Whether it is right."""
        ...


def bootstrap_interval(items: Iterable[Judged], seed: int = 0) -> tuple[float, float]:
    """95 % interval of the mean accuracy, scenes resampled with replacement."""
    by_scene: dict[tuple[int, int], list[bool]] = {}
    for item in items:
        by_scene.setdefault((item.side, item.scene), []).append(item.correct)
    right = np.array([sum(answers) for answers in by_scene.values()], float)
    asked = np.array([len(answers) for answers in by_scene.values()], float)
    draws = np.random.default_rng(seed).integers(len(asked), size=(_RESAMPLES, len(asked)))
    means = right[draws].sum(1) / asked[draws].sum(1)
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)


def _report(items: list[Item], host: Host, budget: Budget) -> str:
    parts = [
        f"Model {host.name}, at most {budget.tiles} tiles and {budget.tokens} tokens a question; "
        "accuracy [95 % interval, bootstrap over scenes]."
    ]
    for side in sorted({item.side for item in items}):
        chosen = [item for item in items if item.side == side]
        count = len({item.scene for item in chosen})
        questions = len([item for item in chosen if item.method == METHODS[0]])
        parts.append(f"\n### {side} × {side} px ({count} scenes, {questions} questions)\n")
        parts.append(markdown_table(*_table(chosen)))
    return "\n".join(parts)


def _table(items: list[Item]) -> tuple[list[str], list[list[str]]]:
    methods = [m for m in METHODS if any(item.method == m for item in items)]
    rows = []
    for category in CATEGORIES:
        cells = [[i for i in items if i.method == m and i.category == category] for m in methods]
        if any(cells):
            rows.append([category, *(accuracy_text(cell) for cell in cells)])
    of_method = [[i for i in items if i.method == m] for m in methods]
    rows.append(["**overall**", *(f"**{accuracy_text(cell)}**" for cell in of_method)])
    rows.append(["tile hit rate", *(_hit_rate(cell) for cell in of_method)])
    rows.append(["tiles", *(f"{fmean(i.tiles for i in cell):.1f}" for cell in of_method)])
    rows.append(["tokens to decoder", *(f"{fmean(i.tokens for i in c):.0f}" for c in of_method)])
    rows.append(["seconds, median", *(f"{median(i.seconds for i in c):.2f}" for c in of_method)])
    names = {"attention": "descent", "rfm": "descent by rfm", "overview": "overview only"}
    return ["category", *(names.get(m, m) for m in methods)], rows


def accuracy_text(items: Sequence[Judged]) -> str:
    """Accuracy with its interval; a dash where nothing was asked."""
    if not items:
        return "–"
    low, high = bootstrap_interval(items)
    return f"{fmean(i.correct for i in items):.2f} [{low:.2f}, {high:.2f}]"


def _hit_rate(items: list[Item]) -> str:
    rate = hit_rate(item.hit for item in items)
    return "–" if rate is None else f"{rate:.3f}"
