"""From a question to the tokens that answer it: which way of looking, where, and how much of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from geofovea.errors import ModelError
from geofovea.pipeline.engine.accounting import QuestionUsage
from geofovea.pipeline.engine.calls import EngineCalls
from geofovea.pipeline.engine.watching import WatchedFocus, Watcher
from geofovea.pipeline.focus.factory import FocusFactory, check_focus, check_meant, place_question
from geofovea.pipeline.hosts.base import Host
from geofovea.pipeline.system.memory import MemoryStop
from geofovea.regionfocus.budget import Budget
from geofovea.regionfocus.focus import Focus
from geofovea.regionfocus.search.baselines import look_full, look_overview, look_uniform
from geofovea.regionfocus.search.descent import Encode
from geofovea.regionfocus.search.diversity import DiscountedPlaces, Diversity
from geofovea.regionfocus.search.looks import Descent
from geofovea.regionfocus.search.multi_place import Walk, gather, merge_descents
from geofovea.regionfocus.search.registry import DESCENTS, walk
from geofovea.regionfocus.search.router import Route, route_question
from geofovea.regionfocus.search.stopping import FirstStop, FlatStop, StopRule
from geofovea.regionfocus.search.tile_budget import start_tiles
from geofovea.regionfocus.selection.places import best_places, concentrate
from geofovea.regionfocus.strategies import DEFAULT_DESCENT, DESCENT_NAMES
from geofovea.tiling.geo.region import Region
from geofovea.tiling.pyramid import Box, Pyramid, Tile

__all__ = ["BASELINES", "SearchOptions", "SearchResult", "VisualSearch"]

_PLACES_OF_AN_AREA = 4
BASELINES: dict[str, Callable[[Pyramid, int, Encode], Descent]] = {
    "overview": look_overview,
    "uniform": look_uniform,
    "full": look_full,
}


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """How to look.

    Attributes:
        focus: One of ``FOCUS_NAMES``.
        descent: One of ``DESCENT_NAMES``.
        route: One of ``ROUTE_NAMES``.
        stop: What may end a descent early, beside the budget.
        concentrated: Whether fine tokens come from the best places alone.
        focus_model: Folder or hub id of the dual encoder for the focus ``similarity``.
        boxes: Where the evidence is, for the focus ``oracle``.
        region: What alone is looked at; None for the whole scene.

    Raises:
        ModelError: If there is no such descent.
    """

    focus: str = "attention"
    descent: str = DEFAULT_DESCENT
    route: str = "auto"
    stop: tuple[StopRule, ...] = ()
    concentrated: bool = True
    focus_model: str | None = None
    boxes: Sequence[Box] = ()
    region: Region | None = None

    def __post_init__(self) -> None:
        if self.descent not in DESCENTS:
            raise ModelError(
                f"unknown descent {self.descent!r}; choose one of {', '.join(DESCENT_NAMES)}"
            )

    def check(self, host: Host) -> None:
        """Refuse what cannot be looked for with a host, before anything is looked at.

        Raises:
            ModelError: If there is no such focus, the host lacks what it needs, or an option is for
                another.
            GeometryError: If an oracle is given no box.
        """
        if self.focus in BASELINES:
            check_meant(self.focus, boxes=self.boxes, focus_model=self.focus_model)
        else:
            check_focus(host, self.focus, boxes=self.boxes, focus_model=self.focus_model)


@dataclass(frozen=True, slots=True, eq=False)
class SearchResult:
    """What was seen for a question, and what of it may reach the decoder.

    Attributes:
        descent: All that was looked at.
        relevant: What of it may reach the decoder.
        places: Tiles of the places that share the finest tokens; empty where nothing is shared.
        route: Why it was looked at so; None for ways of looking that ignore the question.
    """

    descent: Descent
    relevant: Descent
    places: tuple[tuple[Tile, ...], ...] = ()
    route: Route | None = None


@dataclass(frozen=True, slots=True)
class VisualSearch:
    """Looks at one scene for one question.

    Attributes:
        focuses: Makes the focus of a question.
        calls: How the host is asked.
        pyramid: Of the scene.
        encode: Makes tokens of tiles.
        usage: Counts what the focus does.
        watch: Hears of every look that the focus scores.
    """

    focuses: FocusFactory
    calls: EngineCalls
    pyramid: Pyramid
    encode: Encode
    usage: QuestionUsage
    watch: Watcher | None = None

    def run(self, options: SearchOptions, question: str, budget: Budget) -> SearchResult:
        """Look for what answers a question, under its budget of tiles.

        Raises:
            BudgetError: If the budget cannot hold what the focus needs.
            ModelError: If there is no such focus, descent or route, or the host lacks it.
            GeometryError: If the oracle is told no box.
        """
        if options.focus in BASELINES:
            descent = BASELINES[options.focus](self.pyramid, budget.tiles, self.encode)
            return SearchResult(descent, descent)
        focus = self.focus_on(options, question)
        route = self._route(options, question, budget, focus)
        if route.word == "none":
            descent = look_overview(self.pyramid, budget.tiles, self.encode)
            return SearchResult(descent, descent, route=route)
        if route.word == "several":
            # a model that is sure after one place has not seen the others
            options = replace(
                options, stop=tuple(rule for rule in options.stop if isinstance(rule, FlatStop))
            )
        if route.places:
            descent, places = self._walk_to_each(options, route.places, budget)
        else:
            descent, places = self._walk_over_area(options, route, budget, focus)
        if not options.concentrated:
            return SearchResult(descent, descent, route=route)
        return SearchResult(descent, concentrate(descent, places), places, route)

    def _route(self, options: SearchOptions, question: str, budget: Budget, focus: Focus) -> Route:
        """Whether to look closer at no place, one or several."""
        if options.focus == "oracle":
            word = "several" if len(options.boxes) > 1 else "one"
            return Route(word, "the boxes were given")
        peak = partial(self._peak, focus, budget)
        return route_question(question, wanted=options.route, peak=peak)

    def _walk_to_each(
        self, options: SearchOptions, names: Sequence[str], budget: Budget
    ) -> tuple[Descent, tuple[tuple[Tile, ...], ...]]:
        """One descent for each place that the question names, and the best tiles of each."""
        foci = [self.focus_on(options, place_question(name)) for name in names]
        go = self.walker(options, budget)
        descents = gather(self.pyramid, budget.tiles, self.encode, foci, go)
        nearest = [best_places(d)[:1] for d in descents if d.finest_level == 0]
        places = _disjoint([place for cluster in nearest for place in cluster])
        return merge_descents(descents), places

    def _walk_over_area(
        self, options: SearchOptions, route: Route, budget: Budget, focus: Focus
    ) -> tuple[Descent, tuple[tuple[Tile, ...], ...]]:
        """One descent, and the places of its finest level: one, or several of an area."""
        is_area = route.word == "several"
        spread = DiscountedPlaces() if is_area else None
        descent = self._walk(options, budget, budget.tiles, self.encode, focus, diversity=spread)
        several = max(_PLACES_OF_AN_AREA, len(options.boxes))
        return descent, best_places(descent, several if is_area else 1)

    def walker(self, options: SearchOptions, budget: Budget) -> Walk:
        """The descent of a question, which takes its tiles, its encoder and its focus."""
        return partial(self._walk, options, budget)

    def _walk(
        self,
        options: SearchOptions,
        budget: Budget,
        tiles: int,
        encode: Encode,
        focus: Focus,
        diversity: Diversity | None = None,
    ) -> Descent:
        limit = None if budget.seconds is None else self.usage.clock.started + budget.seconds
        memory = MemoryStop(budget.host_ram_mb, budget.device_ram_mb)
        return walk(
            options.descent,
            self.pyramid,
            tiles,
            encode,
            focus,
            diversity=diversity,
            stop=FirstStop((memory, *options.stop)),
            deadline=limit,
            clock=self.usage.clock.now,
        )

    def _peak(self, focus: Focus, budget: Budget) -> float:
        """The best score of the tiles from which a descent starts, over their mean score."""
        start = start_tiles(self.pyramid, budget.tiles)
        tokens = self.encode(start).at_level(start[-1].level)
        if not len(tokens):
            return 0.0
        scores = focus.score(tokens)
        return float(scores.max() / scores.mean().clamp(min=1e-30))

    def focus_on(self, options: SearchOptions, question: str) -> Focus:
        """What scores tokens for a question.

        Raises:
            ModelError: If there is no such focus, or the host lacks it.
        """
        focus = self.focuses.make(
            options.focus,
            question,
            self.calls,
            self.usage,
            boxes=options.boxes,
            focus_model=options.focus_model,
        )
        return focus if self.watch is None else WatchedFocus(focus, self.watch)


def _disjoint(places: Sequence[Sequence[Tile]]) -> tuple[tuple[Tile, ...], ...]:
    """Places without the tiles that an earlier one has."""
    covered: set[Tile] = set()
    parted = []
    for place in places:
        parted.append(tuple(tile for tile in place if tile not in covered))
        covered.update(place)
    return tuple(place for place in parted if place)
