"""One scene and one host, ready for any number of questions.

Data flows one way: tiles are read, encoded, scored, chosen, kept, answered. What does not depend on
the question, the tokens of a tile, is kept for the next one.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial

from geofovea.errors import ModelError, SceneError
from geofovea.pipeline.answers.afterwork import Afterwork
from geofovea.pipeline.answers.answer import Answer
from geofovea.pipeline.answers.confidence import Choice, confidence_of
from geofovea.pipeline.answers.cost import Cost
from geofovea.pipeline.answers.evidence import EvidenceList, evidence_of, record_of
from geofovea.pipeline.engine.accounting import StageClock
from geofovea.pipeline.engine.batching import CompanyCalls, in_company
from geofovea.pipeline.engine.calls import DirectCalls, HostCalls
from geofovea.pipeline.engine.question_tally import QuestionTally
from geofovea.pipeline.engine.tile_tokens import Gathered, TileTokens
from geofovea.pipeline.engine.token_store import store_of_tokens
from geofovea.pipeline.engine.token_store_upkeep import is_keeping_wanted
from geofovea.pipeline.focus.factory import FocusChoice
from geofovea.pipeline.focus.stopping import StopAt
from geofovea.pipeline.focus.visual_search import Found, Looker, Way
from geofovea.pipeline.hosts.base import Host, SupportsBatching, SupportsImages
from geofovea.pipeline.hosts.endpoint.host import check_for_pictures
from geofovea.pipeline.hosts.flops import answer_flops
from geofovea.pipeline.hosts.usage import EndpointUse
from geofovea.pipeline.inference.decoder.choice_scoring import checked_choices
from geofovea.pipeline.session.answer_warnings import cautions, overruns
from geofovea.pipeline.session.plan import fitting_budget
from geofovea.pipeline.session.published import ask_as_published
from geofovea.pipeline.session.reducer import Reducer, plan_encoding
from geofovea.pipeline.session.request import MAX_QUESTION_LENGTH, Asked
from geofovea.pipeline.system.failure import failure_of
from geofovea.pipeline.system.memory import peak_rss_mb
from geofovea.pipeline.system.progress import progress_bar
from geofovea.pipeline.system.torch_threads import using_threads
from geofovea.regionfocus.budget import Budget
from geofovea.regionfocus.reductions.chain import make_chain
from geofovea.regionfocus.search.descent import Encode
from geofovea.regionfocus.search.region_filter import restrict
from geofovea.regionfocus.strategies import DEFAULT_DESCENT, DEFAULT_REDUCTION
from geofovea.regionfocus.tokens import TokenSet
from geofovea.tiling.files.handles import check_current
from geofovea.tiling.geo.region import Region
from geofovea.tiling.overviews.deadline import builds_within
from geofovea.tiling.pixels.radiometry import plan_radiometry
from geofovea.tiling.pyramid import Box, Pyramid, Tile
from geofovea.tiling.reader import TileReader
from geofovea.tiling.scene import Scene

__all__ = ["MAX_QUESTION_LENGTH", "SceneSession"]


class SceneSession:
    """Answers questions about one scene with one host.

    Threads may share a session, and sessions a scene and a host. What touches the model waits for
    its turn, and so does what reads and encodes tiles of one session; the time is the question's.
    """

    def __init__(
        self,
        scene: Scene,
        host: Host,
        bands: tuple[int, ...] | None = None,
        *,
        composite: str | None = None,
        band_map: Mapping[str, int] | None = None,
        cache_tokens: bool | None = None,
        open_seconds: float = 0.0,
    ) -> None:
        """Prepare a scene: plan its pyramid and its radiometry.

        Args:
            scene: The scene.
            host: The model.
            bands: Which bands to show, 1-based; None chooses them from the scene.
            composite: A named composite instead, such as ``"false-colour"`` or ``"ndvi"``.
            band_map: Which band plays which role in it, such as ``{"red": 3, "nir": 8}``.
            cache_tokens: Whether encoded tiles are kept on disk for later sessions; None does as
                ``$GEOFOVEA_CACHE_TOKENS`` says, and not where it is unset.
            open_seconds: What opening the scene took; the first answer reports it as its own.

        Raises:
            SceneReadError: If the scene is damaged.
            SceneError: If it has no such bands.
            OutputError: If a variable about what is kept on disk cannot be understood.
        """
        started = time.perf_counter()
        self.scene = scene
        self.host = host.for_scene(scene) if isinstance(host, SupportsImages) else host
        self.pyramid: Pyramid = scene.pyramid(host.tile_size)
        radiometry = plan_radiometry(scene, bands, composite=composite, band_map=band_map)
        self.reader = TileReader(scene, self.pyramid, radiometry, progress=progress_bar)
        kept = store_of_tokens(self.host, self.reader) if is_keeping_wanted(cache_tokens) else None
        self.tiles = TileTokens(self.host, self.reader, kept)
        self._focuses = FocusChoice(self.host, self.reader)
        # taken by the first question: no two threads can pop it
        self._open_seconds = [open_seconds + time.perf_counter() - started]

    def ask(
        self,
        question: str,
        *,
        budget: Budget | None = None,
        focus: str | None = None,
        reduction: str = DEFAULT_REDUCTION,
        descent: str = DEFAULT_DESCENT,
        route: str = "auto",
        stop: StopAt | None = None,
        boxes: Sequence[Box] = (),
        concentrated: bool = True,
        region: Region | None = None,
        choices: Sequence[str] = (),
        focus_model: str | None = None,
    ) -> Answer:
        """Answer one question.

        Args:
            question: In the words of the model.
            budget: What may be spent; the host's own default if None.
            focus: One of ``FOCUS_NAMES``; by default ``attention``, or ``prompted`` for a model
                behind an endpoint.
            reduction: What drops tokens: a name, or several with ``+`` between them, one for each
                place (encoder, projected tokens, decoder), such as ``divprune+fastv:0.25``; see
                ``parse_chain``.
            descent: One of ``DESCENT_NAMES``; ``published`` needs a published model and its own
                focus, ``rfm``, and keeps tokens in its own way.
            route: One of ``ROUTE_NAMES``: how many places to look at closely; ``auto`` decides by
                the words of the question. Ways of looking without a focus take no route.
            stop: When to end a descent before its tiles are spent.
            boxes: Where the evidence is, for ``focus="oracle"``.
            concentrated: Whether fine tokens come from the best places alone, or from all.
            region: What alone is looked at; see ``restrict``. Not with ``published``.
            choices: Answers to choose from; the likeliest is the answer, and all are scored.
            focus_model: Folder or hub id of the dual encoder for ``focus="similarity"``.

        Raises:
            EndpointError: If the model is behind an endpoint that does not answer.
            QuestionError: If the question is empty or too long, or the choices cannot be meant.
            BudgetError: If the budget cannot hold what the focus needs.
            ModelError: If the focus or the reduction does not exist or fit the host; the message
                names what is missing and what would do.
            SceneError: If the scene shows nothing, is damaged, or is not the file it was.
        """
        return self.answer(
            Asked(
                question,
                budget=budget,
                focus=focus,
                reduction=reduction,
                descent=descent,
                route=route,
                stop=stop,
                boxes=boxes,
                concentrated=concentrated,
                region=region,
                choices=choices,
                focus_model=focus_model,
            )
        )

    def ask_many(self, questions: Sequence[str | Asked]) -> list[Answer | Exception]:
        """Answer several questions, each as `ask` would, at less than the cost of as many calls.

        With a model in this process, tiles that several questions want are read and encoded once,
        and looks and answers go through the decoder together. Budgets and costs stay those of each
        question; one with a limit of time or memory is asked alone.

        Returns:
            An answer for each question, or the error that prevented it.
        """
        asked = [Asked(q) if isinstance(q, str) else q for q in questions]
        host, found = self.host, dict[int, Answer | Exception]()
        company = [i for i, each in enumerate(asked) if each.may_have_company]
        if isinstance(host, SupportsBatching) and len(company) > 1:
            works = [partial(self.answer, asked[i]) for i in company]
            found |= zip(company, in_company(host, self.tiles, works), strict=True)
        for i, each in enumerate(asked):
            if i not in found:
                try:
                    found[i] = self.answer(each)
                except BaseException as error:  # in place of the answer, like those of others
                    found[i] = failure_of(error)
        return [found[i] for i in range(len(asked))]

    def answer(self, asked: Asked, company: CompanyCalls | None = None) -> Answer:
        """Answer a question as `ask` does; in ``company``, where others are asked beside it."""
        # here too: tokens are chosen with torch between two calls of the model
        with using_threads(getattr(self.host, "threads", None)):
            return self._answer(asked, company)

    def _answer(self, asked: Asked, company: CompanyCalls | None) -> Answer:
        # what is remembered of a file that is no longer there answers nothing
        check_current(self.scene.source)
        words, options = asked.words(), checked_choices(asked.choices)
        budget = asked.budget or self.host.default_budget
        focus = asked.focus or self._focuses.default()
        calls: HostCalls = company or DirectCalls(self.host, self.tiles)
        now = company.now if company else time.perf_counter
        clock = StageClock(now, open=self._take_open_seconds())
        if options and (asked.descent == "published" or not self.host.capabilities.choices):
            raise ModelError(
                f"{self.host.name} cannot score choices in this descent: list them in the question"
            )
        if asked.descent == "published":
            return ask_as_published(self.host, self.reader, asked, focus, budget, clock)
        stop = asked.stop
        asks_on_the_way = stop is not None and stop.confidence is not None
        check_for_pictures(self.host, asked.reduction, asks_on_the_way=asks_on_the_way)
        chain = make_chain(asked.reduction)
        tally, use_before = QuestionTally(), self._endpoint_use()
        gathered = Gathered(plan_encoding(self.host, [chain]))
        reducer = Reducer(self.host, chain, words, self.tiles, gathered, options, calls)
        fitting, cut = fitting_budget(self.host, words, budget, options)
        sure = stop.confident(reducer.host, words, fitting, reducer.informed) if stop else None
        rules = stop.rules(sure) if stop else ()
        way = Way(focus, asked.descent, asked.route, rules, asked.concentrated, asked.focus_model)
        with builds_within(budget.seconds):
            looked = self.look(
                way,
                words,
                gathered,
                budget=budget,
                boxes=asked.boxes,
                region=asked.region,
                clock=clock,
                tally=tally,
                calls=calls,
            )
        found = looked.descent
        with clock.stage("answer"):
            reduced = reducer.answer(words, looked, fitting, sure)
        said = reduced.said
        generation, kept = said.generation, said.kept
        seconds, peak = clock.seconds(), peak_rss_mb()
        # tiles that show nothing were read and found empty, not encoded
        encoded = {k.level: len(k.tokens.tiles) for k in found.looks if len(k.tokens)}
        after, reader = Afterwork(), self.reader
        items = after.done("the evidence", lambda: evidence_of(found, kept, self.pyramid), ())
        flops = after.done(
            "the count of operations",
            # what is dropped inside the encoder is not known to the count
            lambda: (
                None
                if chain.encoder
                else answer_flops(
                    self.host,
                    tiles_encoded=gathered.tiles_encoded,
                    scored=tally.tokens_scored,
                    runs=reduced.runs,
                )
            ),
            None,
        )
        looks = after.done(
            "the record of looks",
            lambda: tuple(record_of(look, self.pyramid) for look in found.looks),
            (),
        )
        warned = after.done(
            "the list of warnings",
            lambda: cautions(
                self.scene, reader.radiometry, self.host, words, found.stopped, options
            ),
            (),
        )
        return Answer(
            question=asked.question,
            text=generation.text,
            confidence=confidence_of(generation.log_probabilities),
            confidence_known=bool(generation.log_probabilities),
            model=self.host.name,
            scene=self.scene,
            levels=self.pyramid.top_level + 1,
            evidence=EvidenceList(items, self.scene),
            cost=Cost(
                tiles_read=gathered.tiles_read + tally.tiles_read,
                tiles_encoded=sum(encoded.values()),
                tiles_by_level=encoded,
                tokens_total=sum(len(look.tokens) for look in found.looks),
                tokens_llm=said.tokens_llm,
                seconds=seconds,
                peak_rss_mb=peak,
                budget=budget,
                tokens_end=reduced.tokens_end,
                reductions=reduced.stages,
                endpoint=self._endpoint_use(since=use_before),
                flops=flops,
            ),
            looks=looks,
            warnings=(
                *warned,
                *dict.fromkeys((*tally.warnings, *said.warnings, *generation.warnings)),
                *cut,
                *overruns(budget, seconds["total"], peak),
                *self.tiles.warnings,
                *self.reader.notes,
                *after.warnings,
            ),
            stopped=found.stopped,
            route=looked.route,
            radiometry=self.reader.radiometry,
            choices=Choice.of(options, generation.choices),
        )

    def charge_region(self, seconds: float) -> None:
        """Count the time of bringing a region into the scene towards the next answer."""
        self._open_seconds.append(seconds)

    def tokens(self, tiles: Sequence[Tile]) -> TokenSet:
        """Vision tokens of some tiles, each tile once; those that show nothing have none.

        Raises:
            SceneError: If no tile shows anything, or the scene is damaged.
        """
        return self.tiles.of(tiles, StageClock(), Gathered())

    def look(
        self,
        way: Way,
        question: str,
        gathered: Gathered,
        *,
        budget: Budget,
        boxes: Sequence[Box] = (),
        region: Region | None = None,
        clock: StageClock | None = None,
        tally: QuestionTally | None = None,
        calls: HostCalls | None = None,
    ) -> Found:
        """Look for what answers a question, without answering it.

        Args:
            way: How to look.
            question: In the words of the model.
            gathered: Takes what was read and encoded, by its plan; see ``plan_encoding``.
            budget: What may be spent.
            boxes: Where the evidence is, for ``focus="oracle"``.
            region: What alone is looked at; None for the whole scene.
            clock: What counts the time.
            tally: Takes what the focus does.
            calls: How the host and the tiles are asked; directly if None.

        Raises:
            GeoFoveaError: As `ask` does.
        """
        clock, calls = clock or StageClock(), calls or DirectCalls(self.host, self.tiles)
        encode: Encode = lambda tiles: calls.tokens(tiles, clock, gathered)  # noqa: E731
        if region is not None:
            encode = restrict(encode, region, self.pyramid, partial(clock.stage, "focus"))
        tally = tally or QuestionTally()
        looker = Looker(self._focuses, calls, self.pyramid, encode, clock, tally)
        found = looker.look(way, question, budget, boxes)
        if not any(len(look.tokens) for look in found.descent.looks):
            raise SceneError(f"{self.scene.path} shows no valid pixel: there is nothing to look at")
        return found

    def _take_open_seconds(self) -> float:
        # each entry is popped by one thread alone
        seconds = 0.0
        with suppress(IndexError):
            while True:
                seconds += self._open_seconds.pop()
        return seconds

    def _endpoint_use(self, since: EndpointUse | None = None) -> EndpointUse | None:
        if not isinstance(self.host, SupportsImages):
            return None
        use = self.host.use_here
        return use if since is None else use.since(since)
