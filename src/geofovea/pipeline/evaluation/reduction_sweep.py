"""``geofovea bench reductions``: every reduction at several shares, on held-out synthetic scenes.

Each question is looked at in two ways, and every method reduces the tokens of the same looks:

* ``base``: the overview and the base level, whatever is asked: the any-resolution set of a model
  that knows no descent;
* ``descent``: what the descent brings under the tile budget.

A share is of the tokens that a look would show: those of one place and the map around it, not all
that was looked at on the way. A method on projected tokens keeps that share of them;
one inside the decoder gets all of them and keeps that share to the last layer; one inside the
encoder keeps that share of the patches of every tile, and all tokens that come out are shown (so it
is the only kind that changes where the descent looks).

Answers are written down one by one; a bench that was stopped resumes where it was.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from geofovea.datasets.synthetic.questions import Question
from geofovea.datasets.synthetic.world import World
from geofovea.errors import BudgetError, DataError
from geofovea.pipeline.engine.accounting import QuestionUsage
from geofovea.pipeline.evaluation.answer_file import AnswerFile
from geofovea.pipeline.evaluation.metrics import is_hit, token_share
from geofovea.pipeline.evaluation.synthetic_bench import (
    BenchAnswer,
    BenchScene,
    BenchScenes,
    bench_settings,
    measure,
    question_facts,
)
from geofovea.pipeline.focus.visual_search import SearchOptions, SearchResult
from geofovea.pipeline.hosts.base import Host
from geofovea.pipeline.session.plan import plan_encoding
from geofovea.pipeline.session.reducer import Reducer
from geofovea.pipeline.session.session import SceneSession
from geofovea.pipeline.system.files import make_folder
from geofovea.pipeline.system.memory import peak_rss_since, reset_peak_rss
from geofovea.regionfocus.budget import Budget
from geofovea.regionfocus.reductions.chain import Chain, make_chain
from geofovea.regionfocus.reductions.chain_spec import CHAIN_NAMES, Link, parse_chain
from geofovea.regionfocus.reductions.registry import FIRST_PARTS

__all__ = ["LOOKS", "SHARES", "ReductionItem", "measure_reductions", "methods_at"]

LOOKS = {"base": SearchOptions("overview"), "descent": SearchOptions("attention")}
"""Ways of looking."""

SHARES = (0.05, 0.1, 0.25, 0.5)
"""Of the tokens that a look would show."""

ALL_TOKENS = "all tokens"
"""The method that reduces nothing: what the others are compared with."""

_WITHOUT_SHARE = frozenset({"todre_drop_all"})
"""They drop all or none; they are asked once, and stand under the share 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReductionItem(BenchAnswer):
    """An answer after one reduction; native tokens that entered the decoder make its hit.

    Attributes:
        number: Of the question on its scene.
        look: One of ``LOOKS``.
        method: As in a chain, without its share; or ``all tokens``.
        share: Of the tokens that the looks gave, as asked for.
        looked: Tokens that the look would show.
        entered: Tokens that entered the decoder.
        end: Tokens that its last layer saw.
        selection_seconds: Time of the choice on projected tokens.
        decoder_seconds: Time of prefill and decoding.
        peak_mb: Resident memory that selection and answer took at most, in MB of 10⁶ bytes.
        refused: Why there is no answer; empty otherwise. It counts as wrong.
    """

    number: int
    look: str
    method: str
    share: float
    looked: int
    entered: int
    end: int
    selection_seconds: float
    decoder_seconds: float
    peak_mb: float
    refused: str = ""

    @property
    def correct(self) -> bool:
        """Exact match; a question that was refused has no right answer."""
        return self.answer == self.truth and not self.refused

    @property
    def key(self) -> tuple[int, int, int, str, str, float]:
        """What was measured; twice the same is measured once."""
        return (self.side, self.scene, self.number, self.look, self.method, self.share)


def measure_reductions(
    folder: Path,
    sides: Sequence[int],
    scenes: int,
    per_category: int,
    seed: int,
    host: Host,
    budget: Budget,
    methods: Sequence[str] = CHAIN_NAMES,
    shares: Sequence[float] = SHARES,
    loading: Mapping[str, Any] | None = None,
) -> list[ReductionItem]:
    """Ask every question after every reduction; continue with what the folder's journal holds.

    Args:
        folder: Holds the scenes (made where they are missing) and ``reductions.jsonl``.
        sides: Of the scenes in pixels.
        scenes: Of each side.
        per_category: Questions of each category.
        seed: Of the first scene; those of training are below 900,000.
        host: The model.
        budget: Of tiles; the shares are the budget of tokens.
        methods: Chains without shares, one word each or several.
        shares: Of the tokens that the looks give, above 0 and below 1.
        loading: How the model was loaded, as far as it is unusual; a bench continues with the same
            alone.

    Raises:
        DataError: If there is nothing to ask, or the journal is of another bench.
        ModelError: If a method does not exist or fit the host.
        OutputError: If the folder cannot be written.
    """
    if not methods or not shares:
        raise DataError("a bench needs at least one method and one share")
    places = BenchScenes(folder, sides, scenes, per_category, seed)
    plan = [(ALL_TOKENS, 1.0), *((m, s) for m in methods for s in shares_of(m, shares))]
    # without a reduction first: what comes first also warms up
    chains = [(method, share, methods_at(method, share)) for method, share in plan]
    settings = bench_settings(host, loading, seed=seed, tiles=budget.tiles, questions=per_category)
    file = AnswerFile(make_folder(folder) / "reductions.jsonl", ReductionItem, settings)
    return measure(places, partial(_ask_scene, host, budget, chains), file)


def shares_of(method: str, shares: Sequence[float]) -> tuple[float, ...]:
    """The shares at which a method is asked."""
    words = {link.name for link in parse_chain(method).links}
    return (1.0,) if words & _WITHOUT_SHARE else tuple(shares)


def methods_at(method: str, share: float) -> Chain:
    """The chain of a method at a share of the tokens that the looks give.

    Where it acts at several places, projected tokens are kept at the share, and the decoder goes on
    by its own schedule.
    """
    if method == ALL_TOKENS:
        return make_chain("top_score:1")
    links = list(parse_chain(method).links)
    projected = [link.name for link in links if link.stage == "projected"]
    if projected or len(links) > 1:
        resized = [_at(link, share) if link.stage == "projected" else link for link in links]
    else:
        resized = [Link(FIRST_PARTS.get(links[0].name, "top_score"), 1.0), _at(links[0], share)]
    return make_chain("+".join(_word(link) for link in resized))


def _at(link: Link, share: float) -> Link:
    return link if link.name in _WITHOUT_SHARE else replace(link, share=share)


def _word(link: Link) -> str:
    return link.name if link.share is None else f"{link.name}:{link.share!r}"


def _ask_scene(
    host: Host,
    budget: Budget,
    chains: Sequence[tuple[str, float, Chain]],
    scene: BenchScene,
    earlier: Mapping[Hashable, ReductionItem],
) -> Iterator[ReductionItem]:
    session = scene.session(host)
    for number, question in enumerate(scene.questions):
        for look, way in LOOKS.items():
            blank = _blank(scene.world, number, question, look)
            items = [(replace(blank, method=m, share=s), chain) for m, s, chain in chains]
            shared = [c for item, c in items if item.key not in earlier and c.encoder is None]
            common = None
            if shared:
                usage = QuestionUsage(plan_encoding(host, shared))
                common = session.search(way, question.text, budget, usage), usage
            for item, chain in items:
                if item.key in earlier:
                    yield earlier[item.key]
                    continue
                search = common
                if chain.encoder is not None or search is None:
                    own = QuestionUsage(plan_encoding(host, [chain]))
                    search = session.search(way, question.text, budget, own), own
                yield _measure(item, chain, session, question, *search)


def _blank(world: World, number: int, question: Question, look: str) -> ReductionItem:
    return ReductionItem(
        **question_facts(world, question),
        number=number,
        look=look,
        method="",
        share=1.0,
        answer="",
        hit=None,
        looked=0,
        entered=0,
        end=0,
        selection_seconds=0.0,
        decoder_seconds=0.0,
        peak_mb=0.0,
    )


def _measure(
    blank: ReductionItem,
    chain: Chain,
    session: SceneSession,
    question: Question,
    search: SearchResult,
    usage: QuestionUsage,
) -> ReductionItem:
    tokens_in = sum(len(look.tokens) for look in search.relevant.looks)
    # the budget of tokens is the share, which the chain holds
    budget = Budget(tokens=tokens_in)
    reducer = Reducer(session.host, chain, question.text, session.tiles, usage)
    before = reset_peak_rss()
    try:
        reduced = reducer.answer(search, budget)
    except BudgetError as error:
        return replace(blank, refused=str(error), looked=tokens_in)
    reply = reduced.reply
    return replace(
        blank,
        answer=reply.generation.text,
        hit=is_hit(token_share(reply.tokens, [question.box])) if question.box else None,
        looked=tokens_in,
        entered=reply.tokens_llm,
        end=reduced.tokens_end,
        selection_seconds=reducer.selection_seconds,
        decoder_seconds=reducer.decoder_seconds,
        peak_mb=peak_rss_since(before),
    )
