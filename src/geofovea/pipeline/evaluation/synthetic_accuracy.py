"""``geofovea bench synthetic``: accuracy with intervals, and cost, of every way of looking."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean, median
from typing import Any

from geofovea.datasets.synthetic.questions import Question
from geofovea.datasets.synthetic.vocabulary import CATEGORIES
from geofovea.datasets.synthetic.world import World
from geofovea.pipeline.evaluation.answer_file import answers_of_run
from geofovea.pipeline.evaluation.metrics import accuracy_text, hit_rate, is_hit, tile_share
from geofovea.pipeline.evaluation.synthetic_bench import (
    BenchAnswer,
    BenchScene,
    BenchScenes,
    bench_settings,
    measure,
    question_facts,
)
from geofovea.pipeline.hosts.base import Host
from geofovea.pipeline.session.session import SceneSession
from geofovea.pipeline.system.files import make_folder, write_text
from geofovea.pipeline.system.tables import markdown_table
from geofovea.regionfocus.budget import Budget

__all__ = ["METHODS", "MethodItem", "run_bench"]

METHODS = ("blind", "overview", "uniform", "attention", "rfm", "oracle")
"""Blind answers from no vision token at all; the others are words for ``focus``. A host without a
region focus module is not asked by ``rfm``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodItem(BenchAnswer):
    """An answer by one method; native tiles that were looked at make its hit.

    Attributes:
        method: One of ``METHODS``.
        question: Its text.
        confidence: As answered; None where the answer has none.
        tiles: Tiles looked at.
        tokens: Vision tokens that reached the decoder.
        seconds: Wall time of the question.
        peak_rss_mb: Of the process so far.
    """

    method: str
    question: str
    confidence: float | None
    tiles: int
    tokens: int
    seconds: float
    peak_rss_mb: float

    @property
    def key(self) -> tuple[int, int, str, str]:
        """What it answers, and how."""
        return self.side, self.scene, self.method, self.question


def run_bench(
    folder: Path,
    sides: list[int],
    scenes: int,
    per_category: int,
    seed: int,
    host: Host,
    budget: Budget,
    loading: Mapping[str, Any] | None = None,
    *,
    version: int = 1,
) -> str:
    """Ask every question in every way; write ``items.jsonl`` and ``table.md``; return the table.

    Scenes and answers that are already in the folder are used again. ``loading`` holds the options
    that loaded the model, as far as they differ from their defaults: a run resumes only with the
    same. Worlds are of ``version``, one of ``VERSIONS``.

    Raises:
        DataError: If there is nothing to ask, or the folder holds a run with other settings.
        OutputError: If the folder cannot be written.
    """
    places = BenchScenes(folder, sides, scenes, per_category, seed, version=version)
    make_folder(folder)
    settings = bench_settings(host, loading, version, budget=budget.to_json())
    file = answers_of_run(folder, MethodItem, settings)
    items = measure(places, partial(_ask_scene, host, budget), file)
    table = _report(items, host, budget)
    write_text(folder / "table.md", table)
    return table


def _ask_scene(
    host: Host, budget: Budget, scene: BenchScene, earlier: Mapping[Hashable, MethodItem]
) -> Iterator[MethodItem]:
    world = scene.world
    for method in METHODS:
        if method == "rfm" and not host.capabilities.region_focus:
            continue
        # a fresh session for each method: none profits from tiles that another has read
        session = scene.session(host)
        for question in scene.questions:
            key = (world.width, world.seed, method, question.text)
            yield earlier.get(key) or _ask_once(session, world, question, method, budget)


def _ask_once(
    session: SceneSession, world: World, question: Question, method: str, budget: Budget
) -> MethodItem:
    common = question_facts(world, question) | {"method": method, "question": question.text}
    if method == "blind":
        return MethodItem(
            **common,
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
    return MethodItem(
        **common,
        answer=answer.text,
        confidence=answer.confidence if answer.confidence_known else None,
        hit=is_hit(tile_share(answer, [question.box])) if question.box else None,
        tiles=answer.cost.tiles_encoded,
        tokens=answer.cost.tokens_llm,
        seconds=answer.cost.seconds["total"],
        peak_rss_mb=answer.cost.peak_rss_mb,
    )


def _report(items: list[MethodItem], host: Host, budget: Budget) -> str:
    parts = [
        f"Model {host.name}, at most {budget.tiles} tiles and {budget.tokens} tokens a question; "
        "accuracy [95 % interval, bootstrap over scenes]."
    ]
    for side in sorted({item.side for item in items}):
        of_side = [item for item in items if item.side == side]
        count = len({item.scene for item in of_side})
        questions = len([item for item in of_side if item.method == METHODS[0]])
        parts.append(f"\n### {side} × {side} px ({count} scenes, {questions} questions)\n")
        parts.append(markdown_table(*_table(of_side)))
    return "\n".join(parts)


def _table(items: list[MethodItem]) -> tuple[list[str], list[list[str]]]:
    """A column for each method, and a row for each category and each figure."""
    by_method: dict[str, list[MethodItem]] = {}
    for method in METHODS:
        if of_method := [item for item in items if item.method == method]:
            by_method[method] = of_method

    def row(name: str, cell: Callable[[list[MethodItem]], str]) -> list[str]:
        return [name, *map(cell, by_method.values())]

    present = {item.category for item in items}
    rows = [
        row(name, partial(_accuracy_of, category=name)) for name in CATEGORIES if name in present
    ]
    rows += [
        row("**overall**", lambda cell: f"**{accuracy_text(cell)}**"),
        row("tile hit rate", _hit_rate),
        row("tiles", lambda cell: f"{fmean(i.tiles for i in cell):.1f}"),
        row("tokens to decoder", lambda cell: f"{fmean(i.tokens for i in cell):.0f}"),
        row("seconds, median", lambda cell: f"{median(i.seconds for i in cell):.2f}"),
    ]
    names = {"attention": "descent", "rfm": "descent by rfm", "overview": "overview only"}
    return ["category", *(names.get(m, m) for m in by_method)], rows


def _accuracy_of(items: list[MethodItem], category: str) -> str:
    return accuracy_text([item for item in items if item.category == category])


def _hit_rate(items: list[MethodItem]) -> str:
    rate = hit_rate(item.hit for item in items)
    return "–" if rate is None else f"{rate:.3f}"
