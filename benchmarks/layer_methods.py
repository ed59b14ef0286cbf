"""Layer methods beside the default on the same questions, at the same tokens in the sequence.

    python benchmarks/layer_methods.py --output runs/layer_methods --skips deepstack,deepstack_alone

Worlds that no training used are drawn. Each question is asked once for each method and each budget
of tokens, in one session a scene, so that all see the same tiles. What is printed: accuracy with
its interval over scenes, the share of answers that are those of the first row, tokens in the
sequence and beside it, vision tokens by layers, and operations of the prefill as a ratio.
``deepstack_alone`` is the sequence of ``deepstack`` with nothing added. Replies are kept scene
by scene in the folder, so a stopped bench resumes.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean

from geofovea.datasets.synthetic.questions import ask_world
from geofovea.datasets.synthetic.scene_files import write_scene
from geofovea.datasets.synthetic.world import make_world
from geofovea.pipeline.answers.answer import Answer
from geofovea.pipeline.evaluation.metrics import accuracy_text
from geofovea.pipeline.hosts.base import Host
from geofovea.pipeline.hosts.learned.trained_parts import layer_method
from geofovea.pipeline.hosts.load import load_host
from geofovea.pipeline.session import plan
from geofovea.pipeline.session.session import SceneSession
from geofovea.pipeline.system.files import make_folder, write_text
from geofovea.pipeline.system.tables import markdown_table
from geofovea.regionfocus.budget import Budget
from geofovea.regionfocus.layer_plans.base import LayerMethod
from geofovea.regionfocus.layer_plans.deepstack import DeepStack
from geofovea.regionfocus.tokens import TokenSet
from geofovea.tiling.opening import open_scene
from world_replies import WorldReply, same_share

FIRST_SEED = 992_000
"""Beyond those of every training and of the published benches."""

ALONE = "deepstack_alone"
"""The control: it takes the finest level out of the sequence and adds it nowhere."""

Way = tuple[int, str | None]
"""Tokens that may enter the decoder, and a layer method."""


@dataclass(frozen=True)
class Reply(WorldReply):
    """One answer, and what it cost.

    Attributes:
        tokens: Vision tokens in the sequence.
        beside: Those that entered layers without a place in it.
        layers: Vision tokens by layers; 0 where nothing was skipped.
        prefill: Operations of the prefill, in 10¹².
    """

    tokens: int
    beside: int
    layers: int
    prefill: float


class DeepStackAlone(DeepStack):
    """See `ALONE`."""

    def beside(self, fine: TokenSet) -> DeepStack:  # noqa: ARG002 - that is the control
        """The method as it is."""
        return self


def method_or_control(host: Host, text: str) -> LayerMethod:
    """As ``layer_method``, and the control by its name."""
    return DeepStackAlone() if text == ALONE else layer_method(host, text)


def ask_scene(
    host: Host, folder: Path, seed: int, side: int, each: int, ways: list[Way]
) -> list[list[Reply]]:
    """The replies of each way to the questions about one scene; kept, and not asked for again."""
    world = make_world(seed, side, side)
    path_replies = folder / f"replies_{seed}.json"
    if path_replies.exists():
        return [
            [Reply(**row) for row in some] for some in json.loads(path_replies.read_text("utf-8"))
        ]
    path = folder / f"scene_{seed}.tif"
    if not path.exists():
        write_scene(world, path)
    session = SceneSession(open_scene(path), host, cache_tokens=False)
    replies: list[list[Reply]] = [[] for _ in ways]
    for question in ask_world(world, each):
        for some, (tokens, skip) in zip(replies, ways, strict=True):
            budget = Budget(host.default_budget.tiles, tokens)
            answer = session.ask(question.text, budget=budget, skip=skip, geometry="off")
            some.append(_reply(answer, seed, side, question.answer))
    write_text(path_replies, json.dumps([[asdict(reply) for reply in some] for some in replies]))
    return replies


def _reply(answer: Answer, seed: int, side: int, expected: str) -> Reply:
    cost = answer.cost
    prefill = 0.0 if cost.flops is None else cost.flops.full.prefill
    return Reply(
        seed,
        side,
        answer.text == expected,
        answer.text,
        cost.tokens_llm,
        cost.tokens_beside,
        cost.vision_layers or 0,
        prefill,
    )


def report(ways: list[Way], replies: list[list[Reply]]) -> str:
    """The table."""
    rows = []
    for (tokens, skip), some in zip(ways, replies, strict=True):
        same = same_share(some, replies[0])
        prefill, of_first = (mean(r.prefill for r in which) for which in (some, replies[0]))
        rows.append([
            f"{skip or 'none'}, {tokens}",
            accuracy_text(some),
            f"{same:.3f}",
            f"{mean(r.tokens for r in some):.0f}",
            f"{mean(r.beside for r in some):.0f}",
            f"{mean(r.layers for r in some):.0f}" if skip else "-",
            f"{prefill / of_first:.2f}",
        ])  # fmt: skip
    titles = ("method, tokens", "accuracy", "same", "in", "beside", "token-layers", "prefill")
    return markdown_table(titles, rows)


def main() -> None:
    """Ask in all ways, and write the table after each scene."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--skips", default=f"deepstack,{ALONE},lazyllm,dyvte")
    parser.add_argument("--tokens", default="384,48,24")
    parser.add_argument("--scenes", type=int, default=6)
    parser.add_argument("--side", type=int, default=4096)
    parser.add_argument("--per-category", type=int, default=3)
    options = parser.parse_args()
    # no option chooses a control
    vars(plan)["layer_method"] = method_or_control
    make_folder(options.output)
    host = load_host(options.model, threads=1)
    skips = [None, *options.skips.split(",")]
    ways = [(int(count), skip) for count in options.tokens.split(",") for skip in skips]
    replies: list[list[Reply]] = [[] for _ in ways]
    for number in range(options.scenes):
        scene = FIRST_SEED + number, options.side, options.per_category
        for some, new in zip(replies, ask_scene(host, options.output, *scene, ways), strict=True):
            some += new
        table = report(ways, replies)
        print(f"scene {number + 1} of {options.scenes}\n\n{table}", flush=True)
        write_text(options.output / "layer_methods.md", table)


if __name__ == "__main__":
    main()
