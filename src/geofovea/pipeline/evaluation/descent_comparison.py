"""``geofovea bench policies``: hit rate and accuracy of every way from coarse to fine.

All of them answer the same questions about the same scenes, with the same model and budget. Every
answer is saved at once, and a stopped run resumes where it was.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

from geofovea.datasets.scoring.metrics import interval_text
from geofovea.datasets.synthetic.questions import Question
from geofovea.datasets.synthetic.world import World
from geofovea.pipeline.evaluation.answer_file import answers_of_run
from geofovea.pipeline.evaluation.metrics import (
    accuracy_text,
    covered_share,
    difference_interval,
    hit_rate,
    is_hit,
    tile_share,
)
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

__all__ = ["POLICIES", "PolicyItem", "run_policies"]

POLICIES: dict[str, dict[str, Any]] = {
    "geometric, all places": {"descent": "geometric", "route": "one", "concentrated": False},
    "geometric": {"descent": "geometric", "route": "one"},
    "geometric_chained": {"descent": "geometric_chained", "route": "one"},
    "all_to_best": {"descent": "all_to_best", "route": "one"},
    "best_first": {"descent": "best_first", "route": "one"},
    "best_first, routed": {"descent": "best_first", "route": "auto"},
    "oracle": {"descent": "best_first", "focus": "oracle"},
}
"""Arguments of ``SceneSession.ask``; the first is what the others are compared with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyItem(BenchAnswer):
    """An answer by one policy; native tiles that were looked at make its hit.

    Attributes:
        policy: One of ``POLICIES``.
        question: Its text.
        shown: The hit of the tiles whose tokens reached the decoder.
        tiles: Tiles looked at.
        tokens: Vision tokens that reached the decoder.
    """

    policy: str
    question: str
    shown: bool | None
    tiles: int
    tokens: int

    @property
    def key(self) -> tuple[int, int, str, str]:
        """What it answers, and how."""
        return self.side, self.scene, self.policy, self.question


def run_policies(
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
    """Ask every question by every policy; write ``items.jsonl`` and ``table.md``; return the table.

    Scenes and answers that are already in the folder are used again. ``loading`` holds the options
    that loaded the model, as far as they differ from their defaults: a run resumes only with the
    same. Worlds are of ``version``, one of ``VERSIONS``.

    Raises:
        DataError: If there is nothing to ask, or the folder holds a run with other settings.
        OutputError: If the folder cannot be written.
    """
    places = BenchScenes(
        folder, sides, scenes, per_category, seed, sides_in_turn=True, version=version
    )
    make_folder(folder)
    settings = bench_settings(host, loading, version, budget=budget.to_json())
    file = answers_of_run(folder, PolicyItem, settings)
    items = measure(places, partial(_ask_scene, host, budget), file)
    table = _report(items, host, budget)
    write_text(folder / "table.md", table)
    return table


def _ask_scene(
    host: Host, budget: Budget, scene: BenchScene, earlier: Mapping[Hashable, PolicyItem]
) -> Iterator[PolicyItem]:
    # one session for all: no time is measured here, and a tile is encoded once
    session, world = scene.session(host), scene.world
    for question in scene.questions:
        for policy in POLICIES:
            key = (world.width, world.seed, policy, question.text)
            yield earlier.get(key) or _ask_once(session, world, question, policy, budget)


def _ask_once(
    session: SceneSession, world: World, question: Question, policy: str, budget: Budget
) -> PolicyItem:
    options = dict(POLICIES[policy])
    if options.get("focus") == "oracle":
        options["boxes"] = question.places
    answer = session.ask(question.text, budget=budget, **options)
    box = question.box
    native = {item.box_scene for item in answer.evidence if item.tile.level == 0}
    return PolicyItem(
        **question_facts(world, question),
        policy=policy,
        question=question.text,
        answer=answer.text,
        hit=None if box is None else is_hit(tile_share(answer, [box])),
        shown=None if box is None else is_hit(covered_share(native, [box])),
        tiles=answer.cost.tiles_encoded,
        tokens=answer.cost.tokens_llm,
    )


def _report(items: Sequence[PolicyItem], host: Host, budget: Budget) -> str:
    base = next(iter(POLICIES))
    parts = [
        f"Model {host.name}, at most {budget.tiles} tiles and {budget.tokens} tokens a question; "
        "accuracy [95 % interval, bootstrap over scenes]. *Tile hit*: native tiles that were "
        "looked at cover half of the place; *shown*: so do those whose tokens reached the decoder."
    ]
    sides = sorted({item.side for item in items})
    groups = [(f"{s} × {s} px", [i for i in items if i.side == s]) for s in sides]
    if len(sides) > 1:
        groups.append(("all sides", list(items)))
    for title, group_items in groups:
        count = len({(item.side, item.scene) for item in group_items})
        questions = sum(item.policy == base for item in group_items)
        parts.append(f"\n### {title} ({count} scenes, {questions} questions)\n")
        header = ["policy", "accuracy", f"against {base}", "tile hit", "shown", "tiles", "tokens"]
        parts.append(
            markdown_table(header, [_row(group_items, policy, base) for policy in POLICIES])
        )
    return "\n".join(parts)


def _row(items: Sequence[PolicyItem], policy: str, base: str) -> list[str]:
    mine = [item for item in items if item.policy == policy]
    others = [item for item in items if item.policy == base]
    mean, low, high = difference_interval(mine, others)
    rate = hit_rate(item.hit for item in mine)
    shown_hits = [item.shown for item in mine if item.shown is not None]
    return [
        policy,
        accuracy_text(mine),
        "–" if policy == base else f"{mean:+.2f} {interval_text(low, high, '+.2f')}",
        "–" if rate is None else f"{rate:.2f}",
        f"{fmean(shown_hits):.2f}" if shown_hits else "–",
        f"{fmean(item.tiles for item in mine):.1f}",
        f"{fmean(item.tokens for item in mine):.0f}",
    ]
