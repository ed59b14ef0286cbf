"""Layer methods beside the default on the same questions, at the same tokens in the sequence.

    python benchmarks/layer_methods.py --output runs/layer_methods --skips deepstack,deepstack:99

Worlds that no training used are drawn. Each question is asked once for each method and each budget
of tokens, in one session a scene, so that all see the same tiles. What is printed: accuracy with
its interval over scenes, the share of answers that are those of the first row, tokens in the
sequence and beside it, vision tokens by layers, and operations of the prefill as a ratio. A method
that starts behind the last layer, such as ``deepstack:99``, shows its sequence alone.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import mean

from geofovea.datasets.synthetic.questions import ask_world
from geofovea.datasets.synthetic.scene_files import write_scene
from geofovea.datasets.synthetic.world import make_world
from geofovea.pipeline.answers.answer import Answer
from geofovea.pipeline.evaluation.metrics import accuracy_text
from geofovea.pipeline.hosts.base import Host
from geofovea.pipeline.hosts.load import load_host
from geofovea.pipeline.session.session import SceneSession
from geofovea.pipeline.system.files import make_folder, write_text
from geofovea.pipeline.system.tables import markdown_table
from geofovea.regionfocus.budget import Budget
from geofovea.tiling.opening import open_scene

FIRST_SEED = 992_000
"""Beyond those of every training and of the published benches."""

Way = tuple[int, str | None]
"""Tokens that may enter the decoder, and a layer method."""


@dataclass(frozen=True)
class Reply:
    """One answer.

    Attributes:
        scene: Seed of its world.
        side: Of its scene, in pixels.
        correct: Whether it is the right word.
        answer: What came back.
    """

    scene: int
    side: int
    correct: bool
    answer: Answer


def ask_scene(host: Host, path: Path, seed: int, side: int, each: int, ways: list[Way]):
    """The replies of each way to the questions about one scene."""
    world = make_world(seed, side, side)
    if not path.exists():
        write_scene(world, path)
    session = SceneSession(open_scene(path), host, cache_tokens=False)
    replies: dict[Way, list[Reply]] = {way: [] for way in ways}
    for question, way in product(ask_world(world, each), ways):
        budget = Budget(host.default_budget.tiles, way[0])
        answer = session.ask(question.text, budget=budget, skip=way[1], geometry="off")
        replies[way].append(Reply(seed, side, answer.text == question.answer, answer))
    return replies


def report(replies: dict[Way, list[Reply]]) -> str:
    """The table."""
    first = next(iter(replies.values()))
    rows = []
    for (tokens, skip), some in replies.items():
        same = mean(a.answer.text == b.answer.text for a, b in zip(some, first, strict=True))
        costs = [reply.answer.cost for reply in some]
        prefill, of_first = (
            mean(r.answer.cost.flops.full.prefill for r in which) for which in (some, first)
        )
        rows.append([
            f"{skip or 'none'}, {tokens}",
            accuracy_text(some),
            f"{same:.3f}",
            f"{mean(cost.tokens_llm for cost in costs):.0f}",
            f"{mean(cost.tokens_beside for cost in costs):.0f}",
            "-" if skip is None else f"{mean(cost.vision_layers or 0 for cost in costs):.0f}",
            f"{prefill / of_first:.2f}",
        ])  # fmt: skip
    titles = ("method, tokens", "accuracy", "same", "in", "beside", "token-layers", "prefill")
    return markdown_table(titles, rows)


def main() -> None:
    """Ask in all ways, and write the table after each scene."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--skips", default="deepstack,deepstack:99,lazyllm")
    parser.add_argument("--tokens", default="384,48,24")
    parser.add_argument("--scenes", type=int, default=6)
    parser.add_argument("--side", type=int, default=4096)
    parser.add_argument("--per-category", type=int, default=3)
    options = parser.parse_args()
    make_folder(options.output)
    host = load_host(options.model, threads=1)
    skips = [None, *options.skips.split(",")]
    ways = [(int(count), skip) for count in options.tokens.split(",") for skip in skips]
    replies: dict[Way, list[Reply]] = {way: [] for way in ways}
    for number in range(options.scenes):
        path = options.output / f"scene_{number}.tif"
        seed, side = FIRST_SEED + number, options.side
        for way, some in ask_scene(host, path, seed, side, options.per_category, ways).items():
            replies[way] += some
        table = report(replies)
        print(f"scene {number + 1} of {options.scenes}\n\n{table}", flush=True)
        write_text(options.output / "layer_methods.md", table)


if __name__ == "__main__":
    main()
