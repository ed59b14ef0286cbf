"""Several dates of one place and one host, ready for questions about what changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from geofovea.errors import ModelError, NothingShownError
from geofovea.pipeline.dates.assembly import assemble_dated
from geofovea.pipeline.dates.change_focus import CHANGES, ChangeFocuses
from geofovea.pipeline.dates.changes import find_changes
from geofovea.pipeline.dates.dated_answer import DatedAnswer
from geofovea.pipeline.dates.stack_tokens import StackTokens
from geofovea.pipeline.dates.tile_series import TileSeries
from geofovea.pipeline.engine.accounting import QuestionUsage, StageClock
from geofovea.pipeline.engine.calls import DirectCalls
from geofovea.pipeline.engine.metered_generator import MeteredGenerator
from geofovea.pipeline.focus.factory import check_meant
from geofovea.pipeline.focus.visual_search import SearchOptions, SearchResult, VisualSearch
from geofovea.pipeline.hosts.base import SupportsImages
from geofovea.pipeline.places.place_list import Places
from geofovea.pipeline.session.options import AnswerOptions
from geofovea.pipeline.session.plan import check_search_is_meant, fitting_budget
from geofovea.pipeline.session.request import AskRequest, budget_of, checked_choices
from geofovea.pipeline.system.torch_threads import using_threads
from geofovea.regionfocus.budget import Budget
from geofovea.regionfocus.dated_tokens import DatedTokens
from geofovea.regionfocus.reductions.chain import Chain, make_chain
from geofovea.regionfocus.search.descent import Encode
from geofovea.regionfocus.search.region_filter import restrict
from geofovea.regionfocus.selection.kept_tokens import keep_tokens
from geofovea.regionfocus.selection.whole_tiles import keep_tiles
from geofovea.regionfocus.strategies import DEFAULT_DESCENT, DEFAULT_REDUCTION
from geofovea.regionfocus.tokens import TokenSet
from geofovea.tiling.geo.region import Region
from geofovea.tiling.overviews.deadline import builds_within

__all__ = ["StackSession"]

# words between the pictures of two dates, on the safe side
_PLACES_OF_A_DATE = 8


class StackSession(TileSeries):
    """Answers questions about several dates of one place with one host.

    Attributes:
        stack: The scenes with their dates.
        host: The model.
        pyramid: Of the reference scene.
        sources: What reads each date on the grid of the reference, in its light.
    """

    def __repr__(self) -> str:
        days = ", ".join(each.date.text or "?" for each in self.stack.scenes)
        return (
            f"StackSession({len(self.stack)} dates: {days}; {self.pyramid.width} x "
            f"{self.pyramid.height} px, model {self.host.name!r})"
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
        region: Region | None = None,
        choices: Sequence[str] = (),
        focus_model: str | None = None,
    ) -> DatedAnswer:
        """Answer one question about what changed.

        The search goes where the tokens of the dates differ, led by what the question names. The
        same places of all dates reach the model, each date behind the words that say when it was.
        All dates share one budget: a tile of the search counts once for each date.

        Args:
            question: In the words of the model.
            budget: What may be spent on all dates together; the host's own default if None.
            tiles: Most tiles to encode, in place of the budget's.
            tokens: Most vision tokens for the decoder, in place of the budget's.
            focus: What reads the question: one of ``FOCUS_NAMES``; ``changes`` reads differences
                alone. By default ``attention`` where the host shows it, else ``changes``.
            reduction: What drops tokens, before the decoder alone.
            descent: One of ``DESCENT_NAMES`` but ``published``.
            route: See ``SceneSession.ask``.
            region: What alone is looked at, in the reference scene.
            choices: Answers to choose from.
            focus_model: Folder or hub id of the dual encoder for ``focus="similarity"``.

        Raises:
            BudgetError: If the budget does not hold one tile and one token of each date.
            QuestionError: If the question is empty or too long, or the choices cannot be meant.
            ModelError: If the host takes no pictures of several dates, or a method does not fit.
            SceneError: If the scenes show no common place, are damaged, or are not the files they
                were.
        """
        options = AnswerOptions(focus, reduction, descent, route, None, focus_model)
        limits = budget_of(self.host, budget, tiles, tokens)
        return self.answer(AskRequest(question, limits, options, region=region, choices=choices))

    def answer(self, request: AskRequest) -> DatedAnswer:
        """Answer a question as `ask` does."""
        with using_threads(getattr(self.host, "threads", None)):
            return self._answer(request)

    def changes(
        self,
        phrase: str | None = None,
        *,
        budget: Budget | None = None,
        tiles: int | None = None,
        tokens: int | None = None,
        seconds: float | None = None,
        host_ram_mb: float | None = None,
        region: Region | None = None,
        min_score: float | None = None,
    ) -> Places:
        """The places that changed, with their scores, in pixels of the reference scene.

        Args:
            phrase: What came or went, such as ``"truck"``; None takes every change.
            budget: What may be spent on all dates together; None looks at every native tile.
            tiles: Most tiles of all dates together, in place of the budget's.
            tokens: Most vision tokens of all prompts about a phrase, in place of the budget's.
            seconds: After how many seconds no further tile is compared, and no place is asked
                about.
            host_ram_mb: The same once the process and its children use this many MiB of memory.
            region: What alone is looked at, in the reference scene.
            min_score: The least score of a place that is listed, in (0, 1); 0.99 by default, and
                0.5 with a phrase.

        Raises:
            GeoFoveaError: As `ask` does.
        """
        with using_threads(getattr(self.host, "threads", None)):
            return find_changes(
                self,
                phrase,
                budget=budget,
                tiles=tiles,
                tokens=tokens,
                seconds=seconds,
                host_ram_mb=host_ram_mb,
                region=region,
                min_score=min_score,
            )

    def _answer(self, request: AskRequest) -> DatedAnswer:
        host, clock = self.host, StageClock()
        question, choices = request.words(), checked_choices(request.choices)
        chain = self._checked(request, choices)
        budget = request.budget or host.default_budget
        fitting, warnings = fitting_budget(
            host, " ".join((question, *self.stack.labels)), budget, choices
        )
        if fitting.tokens < budget.tokens:
            less = fitting.tokens - _PLACES_OF_A_DATE * len(self.stack)
            fitting = replace(fitting, tokens=max(1, less))
        share = self.share_of(fitting)
        stack = self.tokens(clock)
        result = self._search(request, question, share, stack, clock)
        with clock.stage("answer"):
            tokens = self._kept(result, share, chain)
            sets = tuple(stack.set_at(date, tokens) for date in range(len(self.stack)))
            warnings = (*warnings, *self._dates_not_shown(sets))
            generator = MeteredGenerator(DirectCalls(host, self.reference_tiles), None, choices)
            generation = generator.generate(question, DatedTokens(self.stack.labels, sets))
        return assemble_dated(
            self, request, budget, result, tokens, sets, generation, stack, warnings
        )

    def _dates_not_shown(self, sets: Sequence[TokenSet]) -> list[str]:
        """A warning for each date of which no token reaches the model.

        Raises:
            NothingShownError: If fewer than two dates would reach it.
        """
        scenes = [each.scene for each in self.stack.scenes]
        missing = [s.path for s, tokens in zip(scenes, sets, strict=True) if not len(tokens)]
        if len(sets) - len(missing) < 2:
            raise NothingShownError(
                f"{', '.join(missing)} shows no data where the model looked: there is nothing to "
                "compare; ask about a place that two dates show, or allow more tiles and tokens"
            )
        return [
            f"the model saw nothing of {path}: it shows no data where the model looked"
            for path in missing
        ]

    def _checked(self, request: AskRequest, choices: Sequence[str]) -> Chain:
        """The reductions of a request that several dates can be asked with."""
        host, options = self.host, request.options
        if not host.capabilities.dates:
            raise ModelError(
                f"{host.name} takes one picture of one date; ask about each scene by itself, or "
                "choose another model"
            )
        if options.stop is not None and options.stop.confidence is not None:
            raise ModelError(
                f"{host.name} cannot be asked about several dates on the way; leave out the "
                "confidence at which to stop"
            )
        check_search_is_meant(options.focus or self._default_focus, options)
        if options.descent == "published":
            raise ModelError(
                "descent='published' knows one scene; choose another descent for several dates"
            )
        if choices and not host.capabilities.choices:
            raise ModelError(f"{host.name} cannot score choices: list them in the question")
        if options.skip is not None:
            raise ModelError(
                f"skip={options.skip!r} acts inside the decoder, on tokens of one date; leave out "
                "skip="
            )
        if options.resampler is not None:
            raise ModelError(
                f"resampler={options.resampler!r} was trained with tokens of one date; leave it out"
            )
        chain = make_chain(options.reduction)
        if isinstance(host, SupportsImages) and options.reduction != DEFAULT_REDUCTION:
            raise ModelError(
                f"{host.name} gets whole tiles as pictures, of which no token can be dropped by "
                f"{options.reduction!r}; leave out reduction="
            )
        if chain.encoder is not None or chain.decoder is not None:
            raise ModelError(
                f"reduction={options.reduction!r} acts inside the model, where the tokens of two "
                "dates would part; choose one on projected tokens, such as focus_spread"
            )
        chain.fields_wanted(frozenset())
        return chain

    def _search(
        self,
        request: AskRequest,
        question: str,
        share: Budget,
        stack: StackTokens,
        clock: StageClock,
    ) -> SearchResult:
        options = SearchOptions(
            request.options.focus or self._default_focus,
            request.options.descent,
            request.options.route,
            focus_model=request.options.focus_model,
            stop=request.options.stop.rules(None) if request.options.stop else (),
            boxes=request.boxes,
            region=request.region,
        )
        if options.focus == CHANGES:
            check_meant(CHANGES, boxes=options.boxes, focus_model=options.focus_model)
        else:
            options.check(self.host)
        encode: Encode = stack.encode
        if options.region is not None:
            encode = restrict(encode, options.region, self.pyramid, partial(clock.stage, "focus"))
        usage = QuestionUsage.of(self.host, stack.usages[0].encoding, clock)
        search = VisualSearch(
            ChangeFocuses(self.focuses, stack, len(self.stack)),
            DirectCalls(self.host, self.reference_tiles),
            self.pyramid,
            encode,
            usage,
        )
        with builds_within(share.seconds):
            result = search.run(options, question, share)
        if not any(len(look.tokens) for look in result.descent.looks):
            raise NothingShownError(
                f"{self.stack.reference_scene.path} shows no valid pixel: there is nothing to "
                "compare"
            )
        return result

    @property
    def _default_focus(self) -> str:
        return "attention" if self.host.capabilities.attention else CHANGES

    def _kept(self, result: SearchResult, share: Budget, chain: Chain) -> TokenSet:
        host = self.host
        if isinstance(host, SupportsImages):
            return keep_tiles(result.relevant, share.tokens, host.image_tokens)
        tokens, _ = keep_tokens(result.relevant, share.tokens, chain.projected, result.places)
        return tokens
