"""``geofovea bench reductions``: every reduction at several shares, on held-out synthetic scenes.

Each question is looked at in two ways, and every method reduces the tokens of the same looks:

* ``base``: the overview and the base level, whatever is asked: the any-resolution set of a model
  that knows no descent;
* ``descent``: what the descent brings under the tile budget.

A share is of the tokens that a look would show: those of one place and the map around it, not all
that was looked at on the way. A method on projected tokens keeps that share of them;
one inside the decoder gets all of them and keeps that share to the last layer; one inside the
encoder keeps that share of the patches of every tile, and all tokens that come out are shown (so it
is the only kind that changes where the descent looks). What vision tokens skip inside the layers
has no share, nor has a policy by which a scene memory stores keys and values; one that drops or
chooses entries keeps that share of them. A memory holds the tiles before a question is measured.
Answers are written down one by one; a bench that was stopped resumes where it was.
"""

from __future__ import annotations

import time
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from geofovea.datasets.synthetic.questions import Question
from geofovea.datasets.synthetic.world import World
from geofovea.errors import BudgetError, DataError
from geofovea.pipeline.engine.accounting import QuestionUsage
from geofovea.pipeline.engine.memory_options import MemoryOptions
from geofovea.pipeline.engine.scene_memory import SceneMemory, calls_of
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
from geofovea.pipeline.hosts.base import Host, SupportsDecoderAccess, SupportsFlopCount
from geofovea.pipeline.session.plan import plan_encoding
from geofovea.pipeline.session.reducer import ReducedAnswer, Reducer
from geofovea.pipeline.session.session import SceneSession
from geofovea.pipeline.system.files import make_folder
from geofovea.pipeline.system.memory import peak_rss_since, reset_peak_rss
from geofovea.regionfocus.budget import Budget
from geofovea.regionfocus.cache_policies.kv_spec import KV_NAMES, READER_NAMES
from geofovea.regionfocus.layer_plans.base import LayerMethod, check_acts
from geofovea.regionfocus.layer_plans.registry import LAYER_METHOD_NAMES, make_layer_method
from geofovea.regionfocus.reductions.chain import Chain, make_chain
from geofovea.regionfocus.reductions.chain_spec import CHAIN_NAMES, Link, parse_chain
from geofovea.regionfocus.reductions.registry import FIRST_PARTS

__all__ = [
    "LOOKS",
    "METHODS",
    "SHARES",
    "MethodAt",
    "ReductionItem",
    "measure_reductions",
    "method_at",
    "methods_at",
]

METHODS = (*CHAIN_NAMES, *LAYER_METHOD_NAMES, *READER_NAMES, "exact", "plain:4", "plain:2",
           "zipcache", "vidkv")  # fmt: skip
"""What is compared unless methods are named: all rooms."""

LOOKS = {"base": SearchOptions("overview"), "descent": SearchOptions("attention")}
"""Ways of looking."""

SHARES = (0.05, 0.1, 0.25, 0.5)
"""Of the tokens that a look would show."""

_PLACES = {"encoder_layer": "encoder", "projected": "projector", "decoder_layer": "prefill"}
_MEMORY_MEGABYTES = 512.0

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
        place: Where the method acts: ``encoder``, ``projector``, ``prefill``, ``decode``,
            ``cache``, or several of them.
        cache_bytes: Keys and values of vision tokens that the answer is read from, as stored.
        cpu_seconds: CPU time of selection, prefill and decoding.
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
    place: str = ""
    cache_bytes: int = 0
    cpu_seconds: float = 0.0

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
    methods: Sequence[str] = METHODS,
    shares: Sequence[float] = SHARES,
    loading: Mapping[str, Any] | None = None,
    *,
    version: int = 1,
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
        methods: Chains without shares, layer methods, or cache policies; see `method_at`.
        shares: Of the tokens that the looks give, above 0 and below 1.
        loading: Options that loaded the model, as far as they differ from their defaults; a bench
            resumes only with the same.
        version: Of the synthetic world, one of ``VERSIONS``.

    Raises:
        DataError: If there is nothing to ask, or the journal is of another bench.
        ModelError: If a method does not exist or fit the host.
        OutputError: If the folder cannot be written.
    """
    if not methods or not shares:
        raise DataError("a bench needs at least one method and one share")
    places = BenchScenes(folder, sides, scenes, per_category, seed, version=version)
    plan = [(ALL_TOKENS, 1.0), *((m, s) for m in methods for s in shares_of(m, shares))]
    # without a reduction first: what comes first also warms up
    ways = [(method, share, method_at(method, share)) for method, share in plan]
    _check_starts(host, ways)
    settings = bench_settings(
        host, loading, version, seed=seed, tiles=budget.tiles, questions=per_category
    )
    file = AnswerFile(make_folder(folder) / "reductions.jsonl", ReductionItem, settings)
    return measure(places, partial(_ask_scene, host, budget, ways), file)


def _check_starts(host: Host, ways: Sequence[tuple[str, float, MethodAt]]) -> None:
    """Refuse a first layer that somebody wrote and the host does not have."""
    for method, _, way in ways:
        if way.skip is not None and ":" in method and isinstance(host, SupportsDecoderAccess):
            check_acts(way.skip, len(host.decoder.layers))


def shares_of(method: str, shares: Sequence[float]) -> tuple[float, ...]:
    """The shares at which a method is asked."""
    name = method.partition(":")[0]
    if name in (*LAYER_METHOD_NAMES, *KV_NAMES):
        return tuple(shares) if name in READER_NAMES else (1.0,)
    words = {link.name for link in parse_chain(method).links}
    return (1.0,) if words & _WITHOUT_SHARE else tuple(shares)


@dataclass(frozen=True, slots=True, eq=False)
class MethodAt:
    """One method at a share.

    Attributes:
        place: See `ReductionItem`.
        chain: What drops tokens.
        skip: What vision tokens do inside the layers.
        memory: How a scene memory stores and reads; None asks without one.
    """

    place: str
    chain: Chain
    skip: LayerMethod | None = None
    memory: MemoryOptions | None = None


def method_at(method: str, share: float) -> MethodAt:
    """A method at a share of the tokens that the looks give.

    Args:
        method: A chain; a layer method, with its first layer or without; or a cache policy, with
            its number or without.
        share: For a chain, of tokens; for a policy that drops or chooses entries, of these.

    Raises:
        ModelError: If there is no such method.
    """
    name = method.partition(":")[0]
    whole = methods_at(ALL_TOKENS, 1.0)
    if name in LAYER_METHOD_NAMES:
        return MethodAt("prefill", whole, skip=make_layer_method(method))
    if name in READER_NAMES:
        # what is read is measured apart from how it is stored
        memory = MemoryOptions(_MEMORY_MEGABYTES, f"exact+{name}:{share!r}")
        return MethodAt("decode", whole, memory=memory)
    if name in KV_NAMES:
        return MethodAt("cache", whole, memory=MemoryOptions(_MEMORY_MEGABYTES, method))
    stages = [] if method == ALL_TOKENS else [link.stage for link in parse_chain(method).links]
    place = " + ".join(dict.fromkeys(_PLACES[stage] for stage in stages))
    return MethodAt(place, methods_at(method, share))


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
    ways: Sequence[tuple[str, float, MethodAt]],
    scene: BenchScene,
    earlier: Mapping[Hashable, ReductionItem],
) -> Iterator[ReductionItem]:
    session = scene.session(host)
    memories: dict[str, SceneMemory] = {}
    for number, question in enumerate(scene.questions):
        for look, looking in LOOKS.items():
            blank = _blank(scene.world, number, question, look)
            items = [
                (replace(blank, method=m, share=s, place=way.place), way) for m, s, way in ways
            ]
            shared = [
                way.chain
                for item, way in items
                if item.key not in earlier and way.chain.encoder is None
            ]
            common = None
            if shared:
                usage = QuestionUsage(plan_encoding(host, shared))
                common = session.search(looking, question.text, budget, usage), usage
            for item, way in items:
                if item.key in earlier:
                    yield earlier[item.key]
                    continue
                search = common
                if way.chain.encoder is not None or search is None:
                    own = QuestionUsage(plan_encoding(host, [way.chain]))
                    search = session.search(looking, question.text, budget, own), own
                yield _measure(item, way, session, question, *search, memories)


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
    way: MethodAt,
    session: SceneSession,
    question: Question,
    search: SearchResult,
    usage: QuestionUsage,
    memories: dict[str, SceneMemory],
) -> ReductionItem:
    tokens_in = sum(len(look.tokens) for look in search.relevant.looks)
    # the budget of tokens is the share, which the chain holds
    budget = Budget(tokens=tokens_in)
    memory = _memory_of(way, session, search, usage, memories)
    reducer = Reducer(
        session.host,
        way.chain,
        question.text,
        session.tiles,
        usage,
        calls=calls_of(session.tiles, memory),
        skip=way.skip,
    )
    before, started = reset_peak_rss(), time.process_time()
    try:
        reduced = reducer.answer(search, budget)
    except BudgetError as error:
        return replace(blank, refused=str(error), looked=tokens_in)
    cpu, reply = time.process_time() - started, reduced.reply
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
        cache_bytes=_cache_bytes(session.host, reduced, memory, blank.share),
        cpu_seconds=cpu,
    )


def _memory_of(
    way: MethodAt,
    session: SceneSession,
    search: SearchResult,
    usage: QuestionUsage,
    memories: dict[str, SceneMemory],
) -> SceneMemory | None:
    """A memory that holds the tiles of a search already; None for a method without one."""
    if way.memory is None:
        return None
    policy = way.memory.policy
    if policy not in memories:
        memories[policy] = SceneMemory(session.host, session.tiles, way.memory)
    tiles = [tile for look in search.relevant.looks for tile in look.tokens.tiles]
    memories[policy].of(tiles, usage)
    return memories[policy]


def _cache_bytes(
    host: Host, reduced: ReducedAnswer, memory: SceneMemory | None, share: float
) -> int:
    """Bytes of the keys and values of vision tokens that the answer was read from, as stored."""
    last = reduced.runs[-1]
    if memory is not None:
        # what a reader drops is gone for the answer; what it passes over stays
        drops = memory.reader is not None and memory.reader.needs_question
        return round(memory.nbytes_of(reduced.reply.tokens) * (share if drops else 1))
    shape = host.shape if isinstance(host, SupportsFlopCount) else None
    if shape is None:
        return 0
    decoder = shape.decoder
    by_layer = last.tokens_by_layer or (last.vision_tokens,) * decoder.layers
    item: int = reduced.reply.tokens.features.element_size()
    return 2 * sum(by_layer) * decoder.kv_heads * decoder.head_width * item
