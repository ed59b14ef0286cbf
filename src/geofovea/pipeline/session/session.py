"""One scene and one host, ready for any number of questions.

Data flows one way: tiles are read, encoded, scored, chosen, kept, answered. What does not depend on
the question, the tokens of a tile, is kept for the next one.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from geofovea.pipeline.answers.answer import Answer
from geofovea.pipeline.answers.measurement import Measurement
from geofovea.pipeline.engine.accounting import OpeningTime, QuestionUsage, StageClock
from geofovea.pipeline.engine.batching import BatchedCalls
from geofovea.pipeline.engine.calls import EngineCalls
from geofovea.pipeline.engine.logged_calls import LoggedCalls
from geofovea.pipeline.engine.many import answer_each
from geofovea.pipeline.engine.memory_options import MemoryOptions
from geofovea.pipeline.engine.scene_memory import SceneMemory, calls_of
from geofovea.pipeline.engine.tile_tokens import TileTokens
from geofovea.pipeline.engine.token_store import store_of_tokens
from geofovea.pipeline.engine.token_store_upkeep import keeps_tokens
from geofovea.pipeline.engine.watching import WatchedCalls, Watcher, build_progress, watched_by
from geofovea.pipeline.focus.factory import FocusFactory
from geofovea.pipeline.focus.stopping import StopAt
from geofovea.pipeline.focus.visual_search import SearchOptions, SearchResult, VisualSearch
from geofovea.pipeline.hosts.base import Host
from geofovea.pipeline.hosts.learned.band_reading import host_for_scene
from geofovea.pipeline.index.scene_index import open_scene_index
from geofovea.pipeline.relations.superlatives import Measurable
from geofovea.pipeline.session.answer_warnings import warn_of_demo
from geofovea.pipeline.session.assembly import assemble_answer
from geofovea.pipeline.session.doors import ClassQuestion, class_answer, door_to
from geofovea.pipeline.session.doubt import search_budget
from geofovea.pipeline.session.measuring import (
    check_shown,
    measure_places,
    measurement_of,
    measuring_request,
)
from geofovea.pipeline.session.named_things import asks_of_map
from geofovea.pipeline.session.options import AnswerOptions
from geofovea.pipeline.session.place_counts import counted_or_read
from geofovea.pipeline.session.plan import AnswerPlan, plan_answer
from geofovea.pipeline.session.published import PublishedAnswerPlan, ask_as_published
from geofovea.pipeline.session.reducer import ReducedAnswer
from geofovea.pipeline.session.request import AskRequest, limited, requests_of
from geofovea.pipeline.system.torch_threads import using_threads
from geofovea.regionfocus.budget import Budget
from geofovea.regionfocus.search.descent import Encode
from geofovea.regionfocus.search.region_filter import restrict
from geofovea.regionfocus.strategies import DEFAULT_DESCENT, DEFAULT_GEOMETRY, DEFAULT_REDUCTION
from geofovea.regionfocus.tokens import TokenSet
from geofovea.tiling.files.handles import check_current
from geofovea.tiling.geo.region import Region
from geofovea.tiling.overviews.deadline import builds_within
from geofovea.tiling.pixels.radiometry_plan import plan_radiometry
from geofovea.tiling.pyramid import Box, Pyramid, Tile
from geofovea.tiling.reader import TileReader
from geofovea.tiling.scene import Scene, checked_scene

if TYPE_CHECKING:
    from geofovea.pipeline.places.count import Count
    from geofovea.pipeline.places.place_list import Places

__all__ = ["SceneSession"]

_LOG = logging.getLogger(__name__)


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
        memory: MemoryOptions | None = None,
        index: str | os.PathLike[str] | None = None,
        open_seconds: float = 0.0,
    ) -> None:
        """Prepare a scene: plan its pyramid and its radiometry.

        Args:
            scene: The scene.
            host: The model.
            bands: Which bands to show, 1-based; None chooses them from the scene.
            composite: A named composite instead, such as ``"false-color"`` or ``"ndvi"``.
            band_map: Which band plays which role in it, such as ``{"red": 3, "nir": 8}``.
            cache_tokens: Whether encoded tiles are kept on disk for later sessions; None does as
                ``$GEOFOVEA_CACHE_TOKENS`` says, and not where it is unset.
            memory: Keeps what the decoder makes of each tile, and answers further questions from
                that; answers may differ from those without. None keeps nothing.
            index: Folder of ``build_index``: questions and searches that name no focus go where
                its vectors match best, without pixels. What it does not hold is read.
            open_seconds: What opening the scene took; the first answer reports it as its own.

        Raises:
            ModelError: If the model cannot answer from a memory.
            DataError: If there is no such index, or it is damaged.
            SceneReadError: If the scene is damaged.
            SceneError: If it has no such bands.
            OutputError: If a variable about what is kept on disk cannot be understood.
        """
        started = time.perf_counter()
        self.scene = checked_scene(scene)
        radiometry = plan_radiometry(scene, bands, composite=composite, band_map=band_map)
        self.host = host_for_scene(host, scene, radiometry)
        self.pyramid: Pyramid = scene.pyramid(host.tile_size)
        self.reader = TileReader(scene, self.pyramid, radiometry, progress=build_progress)
        store = store_of_tokens(self.host, self.reader) if keeps_tokens(cache_tokens) else None
        self.tiles = TileTokens(self.host, self.reader, store)
        self.memory = None if memory is None else SceneMemory(self.host, self.tiles, memory)
        self.index = None if index is None else open_scene_index(index, scene)
        self._focuses = FocusFactory(self.host, self.reader, self.index)
        self._opening = OpeningTime(open_seconds + time.perf_counter() - started)

    def __repr__(self) -> str:
        pyramid = self.pyramid
        return (
            f"SceneSession({self.scene.path!r}, {pyramid.width} x {pyramid.height} px, model "
            f"{self.host.name!r}, tiles of {pyramid.tile_size} px, levels 0 to {pyramid.top_level})"
        )

    def ask(
        self,
        question: str,
        *,
        budget: Budget | None = None,
        tiles: int | None = None,
        tokens: int | None = None,
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
        geometry: str = DEFAULT_GEOMETRY,
        skip: str | None = None,
        resampler: str | None = None,
        watch: Watcher | None = None,
    ) -> Answer:
        """Answer one question.

        Args:
            question: In the words of the model.
            budget: What may be spent; the host's own default if None.
            tiles: Most tiles to encode, in place of the budget's.
            tokens: Most vision tokens for the decoder, in place of the budget's.
            focus: As for ``geofovea.ask``; by default ``similarity`` with an index, ``prompted``
                for a model behind an endpoint, and else ``attention``.
            reduction: What drops tokens: a name, or several with ``+`` between them, one for each
                place (encoder, projected tokens, decoder), such as ``divprune+fastv:0.25``.
            descent: As for ``geofovea.ask``; ``published`` needs a published model and its own
                focus, ``rfm``, and keeps tokens in its own way.
            route: How many places to look at closely: ``none``, ``one``, ``several``, or ``auto``,
                which decides by the words. Ways of looking without a focus take no route.
            stop: When to end a descent before its tiles are spent.
            boxes: Where the evidence is, for ``focus="oracle"``.
            concentrated: Whether fine tokens come from the best places alone, or from all.
            region: The polygon that is asked about, such as one of ``Region.from_crs``; nothing
                outside of it is evidence. Not with ``published``.
            choices: Answers to choose from; the likeliest is the answer, and all are scored.
            focus_model: Folder or hub id of the dual encoder for ``focus="similarity"``.
            geometry: ``auto`` computes the answers to questions about where named places lie and
                how large they are; ``off`` leaves them to the model.
            skip: What vision tokens skip inside the decoder, as for ``geofovea.ask``.
            resampler: What makes few tokens of each tile, as for ``geofovea.ask``.
            watch: Hears what happens while it happens, and may end the question.

        Raises:
            CancelledError: If the watcher ended it; the session can be asked again.
            EndpointError: If the model is behind an endpoint that does not answer.
            QuestionError: If the question is empty or too long, or the choices cannot be meant.
            BudgetError: If the budget cannot hold what the focus needs.
            ModelError: If the focus or the reduction does not exist or fit the host; the message
                names what is missing and what would do.
            SceneError: If the scene shows nothing, is damaged, or is not the file it was.

        Warns:
            DemoModelWarning: If the host is the demo model and the scene is not synthetic.
        """
        options = AnswerOptions(
            focus, reduction, descent, route, stop, focus_model, geometry, skip, resampler
        )
        request = AskRequest(question, None, options, boxes, concentrated, region, choices)
        answer = self.answer(limited(request, self.host, budget, tiles, tokens), watch=watch)
        warn_of_demo(answer)
        return answer

    def measure(self, question: str | Measurable, **options: Any) -> Measurement:
        """Compute where named places lie to one another, how far, or how large they are.

        The model finds the places; the numbers come from their geometry: on the ellipsoid where the
        scene says where it lies, else in pixels.

        Args:
            question: Such as ``distance from the pond to the school`` or ``Is the pond north of the
                school?`` or ``the largest field``; or what ``distance_between`` makes of two names.
            options: ``budget``, ``tiles``, ``tokens``, ``focus``, ``descent``, ``focus_model``,
                ``region``: as for `ask`.

        Raises:
            QuestionError: If the question asks for no measure.
            GeoFoveaError: As `ask` does.
        """
        answer = self.answer(measuring_request(self.host, question, **options))
        warn_of_demo(answer)
        return measurement_of(answer)

    def find(self, phrase: str, **options: Any) -> Places:
        """Find every place of the scene that shows something, such as ``"red truck"``.

        Args:
            phrase: What is looked for.
            options: ``coverage``, ``budget``, ``tiles``, ``tokens``, ``seconds``, ``host_ram_mb``,
                ``region``, ``min_score``, ``focus``, ``focus_model``, ``sampled_share``, ``seed``,
                ``second_look``, ``watch``: see ``geofovea.pipeline.places.find.find_places``.

        Raises:
            GeoFoveaError: As ``find_places`` does.
        """
        places: Places = door_to("places.find", "find_places")(self, phrase, **options)
        return places

    def count(self, phrase: str, **options: Any) -> Count:
        """Count something over the scene or a region of it, with a 95 % interval.

        Args:
            phrase: What is counted, such as ``"truck"``.
            options: The limits, ``region``, ``min_score``, ``seed`` and ``watch`` of `find`, and
                ``region_name``, ``confusion``: see ``pipeline.places.counting.count_places``.

        Raises:
            GeoFoveaError: As ``count_places`` does.
        """
        count: Count = door_to("places.counting", "count_places")(self, phrase, **options)
        return count

    def ask_many(self, questions: Sequence[str | AskRequest]) -> list[Answer | Exception]:
        """Answer several questions, each as `ask` would, at less than the cost of as many calls.

        Returns:
            An answer for each question, or the error that prevented it.

        Raises:
            QuestionError: If the questions are one text, and not several.
        """
        answers = self.answer_many(requests_of(questions))
        warn_of_demo(*answers)
        return answers

    def answer_many(self, requests: Sequence[AskRequest]) -> list[Answer | Exception]:
        """What `ask_many` does, without its Python warnings.

        With a model in this process, tiles that several questions want are read and encoded once,
        and looks and answers go through the decoder together. Budgets and costs stay those of each
        question; one with a limit of time or memory is asked alone.
        """
        # questions to a memory run a few words each: there is little to share
        tiles = self.tiles if self.memory is None else None
        return answer_each(self.host, tiles, self.answer, requests)

    def answer(
        self,
        request: AskRequest,
        calls: BatchedCalls | None = None,
        *,
        watch: Watcher | None = None,
    ) -> Answer:
        """Answer a question as `ask` does.

        Args:
            request: The question.
            calls: Of a batch, if it is answered with others.
            watch: See `ask`.
        """
        direct: EngineCalls = LoggedCalls(calls or calls_of(self.tiles, self.memory))
        # here too: tokens are chosen with torch between two calls of the model
        with using_threads(getattr(self.host, "threads", None)):
            if watch is None:
                return self._answer(request, direct, None)
            with watched_by(watch):
                return self._answer(request, WatchedCalls(direct, watch, self.pyramid), watch)

    def _answer(self, request: AskRequest, calls: EngineCalls, watch: Watcher | None) -> Answer:
        # what is remembered of a file that is no longer there answers nothing
        check_current(self.scene.source)
        _LOG.info("question: %r about %s", request.question, self.scene.path)
        clock = StageClock(calls.now)
        plan = plan_answer(self.host, request, self.index, has_memory=self.memory is not None)
        clock.add_earlier("open", self._opening.take())
        if isinstance(plan, PublishedAnswerPlan):
            return ask_as_published(plan, self.reader, clock, watch)
        question = asks_of_map(plan, self.host, self.scene, self.pyramid)
        if isinstance(question, ClassQuestion):
            # its cost is that of searches, and the next answer reports the opening
            self._opening.add(clock.seconds()["open"])
            return class_answer(self, request, question, watch)
        usage = QuestionUsage.of(self.host, plan.encoding, clock)
        search = self._looking(plan.search, usage, calls, watch)
        measured = measure_places(plan, question, search, self.host, calls, self.scene)
        if measured is not None and measured.is_answer:
            numbers = measured.measurement
            return self._assembled(plan, measured.result, measured.reduced, usage, numbers)
        reducer = plan.reducer(self.host, self.tiles, usage, calls)
        if measured is None:
            options = plan.search_with(reducer.probe(plan.stop, plan.decoder_budget))
            budget = search_budget(plan, self.tiles)
            result = self.search(options, plan.question, budget, usage, calls, watch)
            budget = plan.decoder_budget
        else:
            usage.warnings.append(measured.why_not)  # its tiles are spent
            result, budget = measured.result, measured.budget_left(plan.decoder_budget)
        reduced = counted_or_read(self, self.host, plan, result, budget, search, reducer)
        return self._assembled(plan, result, reduced, usage)

    def _assembled(
        self,
        plan: AnswerPlan,
        result: SearchResult,
        reduced: ReducedAnswer,
        usage: QuestionUsage,
        numbers: Measurement | None = None,
    ) -> Answer:
        notes = (*self.tiles.warnings, *self.reader.notes)
        return assemble_answer(self.host, self.reader, plan, result, reduced, usage, notes, numbers)

    def charge_region(self, seconds: float) -> None:
        """Count the time of bringing a region into the scene toward the next answer."""
        self._opening.add(seconds)

    def tokens(self, tiles: Sequence[Tile]) -> TokenSet:
        """Vision tokens of some tiles, each tile once; those that show nothing have none.

        Raises:
            SceneError: If no tile shows anything, or the scene is damaged.
        """
        return self.tiles.of(tiles, QuestionUsage())

    def search(
        self,
        options: SearchOptions,
        question: str,
        budget: Budget,
        usage: QuestionUsage,
        calls: EngineCalls | None = None,
        watch: Watcher | None = None,
    ) -> SearchResult:
        """Look for what answers a question, without answering it.

        Args:
            options: How to look.
            question: In the words of the model.
            budget: What may be spent.
            usage: Takes what is spent; its encoding says what is wanted beside tokens.
            calls: How the host and the tiles are asked; directly if None.
            watch: Hears of the looks that are scored; ``calls`` tell it of the rest.

        Raises:
            GeoFoveaError: As `ask` does.
        """
        calls = calls or calls_of(self.tiles, self.memory)
        search = self._looking(options, usage, calls, watch)
        with builds_within(budget.seconds):
            result = search.run(options, question, budget)
        check_shown(self.scene, result, options.region)
        return result

    def _looking(
        self,
        options: SearchOptions,
        usage: QuestionUsage,
        calls: EngineCalls,
        watch: Watcher | None,
    ) -> VisualSearch:
        encode: Encode = lambda tiles: calls.tokens(tiles, usage)  # noqa: E731
        if options.region is not None:
            stage = partial(usage.clock.stage, "focus")
            encode = restrict(encode, options.region, self.pyramid, stage)
        return VisualSearch(self._focuses, calls, self.pyramid, encode, usage, watch)
