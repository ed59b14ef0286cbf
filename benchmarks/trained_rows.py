"""What a trained part of a model answers, beside the default reduction with as many tokens.

    python benchmarks/trained_rows.py --model runs/m3/model --output runs/m3_row

Worlds that no training used are drawn. Each question is searched once. From what the search found,
it is answered with all tokens, by the part, and by `focus_spread` with as many tokens as the part
left. A resampler is asked for each length, and once more with its tokens dealt among tiles by
the focus. Exits and projectors drop no token: what is counted is the vision tokens of which a layer
computed more than keys and values. Thresholds drop tokens on the way, so the default gets as many
tokens as make the same work. Stacked tokens are asked for with several budgets, with the trained
maps and without.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean

from geofovea.datasets.synthetic.questions import Question, ask_world
from geofovea.datasets.synthetic.scene_files import write_scene
from geofovea.datasets.synthetic.world import make_world
from geofovea.pipeline.engine.accounting import QuestionUsage, StageClock
from geofovea.pipeline.engine.calls import DirectCalls
from geofovea.pipeline.evaluation.metrics import accuracy_text
from geofovea.pipeline.focus.visual_search import SearchResult
from geofovea.pipeline.hosts.load import load_host
from geofovea.pipeline.session.options import AnswerOptions
from geofovea.pipeline.session.plan import AnswerPlan, plan_answer
from geofovea.pipeline.session.request import AskRequest
from geofovea.pipeline.session.session import SceneSession
from geofovea.pipeline.system.files import make_folder, write_text
from geofovea.pipeline.system.tables import markdown_table
from geofovea.tiling.opening import open_scene
from world_replies import WorldReply, same_share

FIRST_SEED = 985_000
"""Beyond those of every training and of the published benches."""


@dataclass(frozen=True)
class Reply(WorldReply):
    """One answer, and what it cost.

    Attributes:
        tokens: Vision tokens that entered the decoder.
        work: Vision tokens of which a layer computed more than keys and values, over all layers.
    """

    tokens: int
    work: int


class SearchedQuestion:
    """One question about one scene, searched once and answered in several ways."""

    def __init__(self, session: SceneSession, question: Question, seed: int) -> None:
        """Search as the default does."""
        self._session, self._question, self._seed = session, question, seed
        plan = self._plan(AnswerOptions(geometry="off"))
        self._usage = QuestionUsage.of(session.host, plan.encoding, StageClock(time.perf_counter))
        self._result: SearchResult = session.search(
            plan.search_with(None), plan.question, plan.budget, self._usage
        )

    def reply(self, options: AnswerOptions, tokens: int | None = None) -> Reply:
        """Answer in one way, from at most so many tokens."""
        plan = self._plan(replace(options, geometry="off"))
        tiles, host = self._session.tiles, self._session.host
        budget = plan.decoder_budget
        if tokens is not None:
            budget = replace(budget, tokens=tokens)
        reducer = plan.reducer(host, tiles, self._usage, DirectCalls(host, tiles))
        reduced = reducer.answer(self._result, budget)
        text, used = reduced.reply.generation.text, reduced.reply.tokens_llm
        depth = len(host.decoder.layers)
        work = reduced.vision_layers
        side = self._session.scene.width
        return Reply(
            self._seed, side, text == self._question.answer, text, used,
            depth * used if work is None else work,
        )  # fmt: skip

    def tokens_for(self, work: int) -> int:
        """As many tokens as make so much work, where all of them run through all layers."""
        return max(1, round(work / len(self._session.host.decoder.layers)))

    def _plan(self, options: AnswerOptions) -> AnswerPlan:
        plan = plan_answer(self._session.host, AskRequest(self._question.text, options=options))
        assert isinstance(plan, AnswerPlan)
        return plan


def ways_of(
    search: SearchedQuestion, parts: dict, lengths: list[int], budgets: list[int]
) -> Iterator[tuple[str, Reply]]:
    """All answers to one question, by the name of the way."""
    plain = AnswerOptions()
    yield "all tokens", search.reply(plain)
    for kind, skip in (("exits", "dyvte"), ("saisa", "saisa")):
        if kind in parts:
            yield skip, search.reply(replace(plain, skip=skip))
    if "thresholds" in parts:
        part = search.reply(replace(plain, skip="atp"))
        yield "atp", part
        yield "focus_spread, as much work as atp", search.reply(plain, search.tokens_for(part.work))
    for budget in budgets if "stack" in parts else []:
        part = search.reply(replace(plain, skip="deepstack"), budget)
        yield f"deepstack, {budget}", part
        yield (
            f"deepstack without training, {budget}",
            search.reply(replace(plain, skip="deepstack:0"), budget),
        )
        yield (
            f"focus_spread, as many tokens as deepstack, {budget}",
            search.reply(plain, part.tokens),
        )
    if "resampler" not in parts:
        return
    name = parts["resampler"].method
    for length in lengths:
        part = search.reply(replace(plain, resampler=f"{name}:{length}"))
        yield f"{name}:{length}", part
        dealt = search.reply(replace(plain, resampler=name), part.tokens)
        yield f"{name}, as many tokens as {length} a tile, dealt by the focus", dealt
        yield f"focus_spread, as many tokens as {length} a tile", search.reply(plain, part.tokens)


def report(replies: dict[str, list[Reply]]) -> str:
    """The table."""
    stock = replies["all tokens"]
    rows = []
    for name, own in replies.items():
        same = same_share(own, stock)
        rows.append([
            name,
            f"{mean(reply.tokens for reply in own):.0f}",
            f"{mean(reply.work for reply in own) / mean(reply.work for reply in stock):.2f}",
            accuracy_text(own),
            f"{same:.3f}",
        ])  # fmt: skip
    return markdown_table(("way", "tokens", "vision work", "accuracy", "same"), rows)


def main() -> None:
    """Ask all questions in all ways and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--scenes", type=int, default=6)
    parser.add_argument("--side", type=int, default=4096)
    parser.add_argument("--per-category", type=int, default=3)
    parser.add_argument("--budgets", type=int, nargs="*", default=[24, 48, 96])
    parser.add_argument("--lengths", type=int, nargs="*", default=[1, 4, 9])
    options = parser.parse_args()
    make_folder(options.output)
    host = load_host(options.model, threads=1)
    parts = {} if host.parts is None else host.parts.cards
    replies: dict[str, list[Reply]] = {}
    for number in range(options.scenes):
        world = make_world(FIRST_SEED + number, options.side, options.side)
        path = options.output / f"scene_{options.side}_{number}.tif"
        if not path.exists():
            write_scene(world, path)
        session = SceneSession(open_scene(path), host, cache_tokens=False)
        for question in ask_world(world, options.per_category):
            search = SearchedQuestion(session, question, world.seed)
            for name, reply in ways_of(search, parts, options.lengths, options.budgets):
                replies.setdefault(name, []).append(reply)
        table = report(replies)
        print(f"scene {number + 1} of {options.scenes}", table, sep="\n", flush=True)
        write_text(options.output / "trained_rows.md", table)


if __name__ == "__main__":
    main()
