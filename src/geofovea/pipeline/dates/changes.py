"""Finds the places that changed between dates by their tokens alone, without words.

Every native tile, or those that a search under a budget goes to, is compared at all dates. What
differs more than places usually do is a change; cells that touch are one place.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from geofovea._arguments import is_number, shown
from geofovea.errors import BudgetError, NothingShownError, QuestionError
from geofovea.pipeline.answers.cost import Cost
from geofovea.pipeline.dates.change_focus import CHANGES, ChangeFocus, ChangeFocuses
from geofovea.pipeline.dates.change_places import (
    SEARCHED_TAIL_SHARE,
    TAIL_SHARE,
    Compared,
    changed_places,
)
from geofovea.pipeline.dates.change_words import ask_of_changes
from geofovea.pipeline.dates.stack_tokens import StackTokens
from geofovea.pipeline.dates.tile_series import TileSeries
from geofovea.pipeline.engine.accounting import QuestionUsage, StageClock, limit_reached
from geofovea.pipeline.engine.calls import DirectCalls
from geofovea.pipeline.focus.visual_search import SearchOptions, VisualSearch
from geofovea.pipeline.places.coverage import Coverage
from geofovea.pipeline.places.find import checked_phrase
from geofovea.pipeline.places.native_tiles import NativeTiles
from geofovea.pipeline.places.place_list import Places
from geofovea.pipeline.session.request import checked_budget
from geofovea.pipeline.system.cancellation import check_cancelled
from geofovea.pipeline.system.memory import peak_rss_mb
from geofovea.regionfocus.budget import Budget
from geofovea.regionfocus.search.descent import Encode
from geofovea.regionfocus.search.region_filter import restrict
from geofovea.regionfocus.uniform_sampling import spread_tiles
from geofovea.tiling.geo.region import Region
from geofovea.tiling.overviews.deadline import builds_within
from geofovea.tiling.pyramid import Tile

__all__ = ["MIN_SCORE", "find_changes"]

MIN_SCORE = 0.99
"""The least score of a change by default: one in 100 scenes without changes lists a place."""

_MIN_SCORE_OF_PHRASE = 0.5
_TILES_AT_ONCE = 16
_TILES_OF_SCALE = 32
_SAMPLED_SHARE = 0.25
_PROMPTS_A_TILE = 4


def find_changes(
    series: TileSeries,
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
    """Find the places that changed.

    The score of a place is the probability that no token of a scene where nothing changed differs
    as much, given how differences of this scene are distributed; see ``change_scores``. So it
    speaks of the whole list. Where more than about a tenth of the tokens changed, those that
    changed least are missed.

    Args:
        series: The dates and the model.
        phrase: What came or went, such as ``"truck"``: the model is asked at the first and the last
            date whether it is there. None takes every change.
        budget: What may be spent on all dates together. Without one, every native tile is compared
            at every date. With one that does not hold them, three quarters go where a search by
            differences leads, and a quarter is spread over the scene to tell what is usual. Its
            tokens are those of all prompts about a phrase together.
        tiles: Most tiles of all dates together, in place of the budget's.
        tokens: Most vision tokens of all prompts about a phrase, in place of the budget's.
        seconds: After how many seconds no further tile is compared, and no place is asked about.
        host_ram_mb: The same once the process and its children use this many MiB of memory.
        region: What alone is compared, in the reference scene.
        min_score: The least score of a place that is listed, in (0, 1). By default `MIN_SCORE`, and
            half with a phrase: there the score is also the model's, as that of ``find``.

    Returns:
        The places in the reference scene, the surest first; none is no error.

    Raises:
        QuestionError: If the phrase is empty or too long, or ``min_score`` is not a share.
        BudgetError: If the budget does not hold one tile of each date, and a native one.
        SceneError: If the scenes show no common place, or are not the files they were.
    """
    if min_score is None:
        min_score = MIN_SCORE if phrase is None else _MIN_SCORE_OF_PHRASE
    if not is_number(min_score) or not 0 < min_score < 1:
        raise QuestionError(
            f"min_score={shown(min_score)} is not a share: give a number between 0 and 1"
        )
    words = None if phrase is None else checked_phrase(phrase)
    clock = StageClock()
    native = NativeTiles.of(series.pyramid, region)
    limits = {"tiles": tiles, "tokens": tokens, "seconds": seconds, "host_ram_mb": host_ram_mb}
    allowed = _allowed(series, len(native.tiles), budget, limits)
    share = series.share_of(allowed).tiles
    look = _Look(series, series.tokens(clock), region, allowed)
    with builds_within(allowed.seconds):
        if share >= len(native.tiles):
            look.sweep(native.tiles)
        else:
            look.search(native.tiles, share)
    if native.tiles and not look.has_compared:
        raise BudgetError(
            f"tiles={allowed.tiles} was spent before a native tile of each date was reached: allow "
            "more tiles"
        )
    if not look.compared.count:
        raise NothingShownError(
            f"no place of {series.stack.reference_scene.path} shows data at two dates: there is "
            "nothing to compare"
        )
    cells = len(native.tiles) * look.cells_per_tile
    least = min_score if words is None else MIN_SCORE
    places = changed_places(look.compared, least, cells, look.tail_share)
    coverage = look.coverage(native)
    warnings: tuple[str, ...] = ()
    tokens_llm = 0
    if coverage.limit_text:
        warnings = (f"{coverage.limit_text}; raise the limit",)
    if words is not None:
        places, tokens_llm, doubts = ask_of_changes(
            series, look.stack, words, places, min_score, allowed
        )
        warnings += doubts
    is_limited = budget is not None or any(limit is not None for limit in limits.values())
    return Places(
        tuple(places),
        words or "change",
        series.host.name,
        series.stack.reference_scene,
        coverage,
        look.cost(allowed if is_limited else None, tokens_llm),
        (*series.warnings, *series.reference_reader.radiometry.warnings, *warnings),
    )


def _allowed(
    series: TileSeries, native: int, budget: Budget | None, limits: Mapping[str, Any]
) -> Budget:
    """What may be spent: the budget that was given, or one that holds every native tile."""
    every = len(series.stack) * max(1, native)
    rows, cols = series.host.grid
    own = checked_budget(budget) or Budget(every, _PROMPTS_A_TILE * rows * cols * every)
    return replace(own, **{name: limit for name, limit in limits.items() if limit is not None})


class _Look:
    """What is compared for one call."""

    def __init__(
        self, series: TileSeries, stack: StackTokens, region: Region | None, budget: Budget
    ) -> None:
        self.stack = stack
        self._budget, self._stopped = budget, ""
        self.compared = Compared()
        self._series, self._region = series, region
        self._focus = ChangeFocus(stack, len(series.stack))
        self._compared_tiles: dict[Tile, None] = {}
        self._coarse: Counter[int] = Counter()
        self._area_shown = self._area_compared = 0.0
        self._is_search = False

    def sweep(self, tiles: Sequence[Tile]) -> None:
        """Compare tiles; some of all parts first, so that the scale is that of the scene."""
        sample = spread_tiles(list(tiles), min(len(tiles), _TILES_OF_SCALE))
        self._measure(sample)
        for start in range(0, len(tiles), _TILES_AT_ONCE):
            check_cancelled()
            if start and self._is_over():
                return
            self._compare(tiles[start : start + _TILES_AT_ONCE])

    def search(self, tiles: Sequence[Tile], share: int) -> None:
        """Compare the tiles to which differences lead, and some of all parts."""
        self._is_search = True
        sampled = min(len(tiles), max(1, int(_SAMPLED_SHARE * share))) if share > 1 else 0
        reached = self._tiles_of_search(share - sampled)
        others = [tile for tile in tiles if tile not in reached]
        sample = spread_tiles(others, sampled) if sampled else []
        self._measure(sample)
        for start in range(0, len(sample), _TILES_AT_ONCE):
            if start and self._is_over():
                break
            self._compare(sample[start : start + _TILES_AT_ONCE])
        # what the search has read is compared whatever limit ended it
        read = [tile for tile in tiles if tile in reached]
        for start in range(0, len(read), _TILES_AT_ONCE):
            self._compare(read[start : start + _TILES_AT_ONCE])

    @property
    def has_compared(self) -> bool:
        """Whether a native tile was compared, whatever it shows."""
        return bool(self._compared_tiles)

    @property
    def tail_share(self) -> float:
        """Where the tail of the unchanged cells begins; see ``changed_places``."""
        return SEARCHED_TAIL_SHARE if self._is_search else TAIL_SHARE

    @property
    def cells_per_tile(self) -> int:
        """Tokens of a tile."""
        rows, cols = self._series.host.grid
        return rows * cols

    def coverage(self, native: NativeTiles) -> Coverage:
        """How much of the scene was compared; what one date alone shows was not."""
        count, total = len(self._compared_tiles), len(native.tiles)
        both = self._area_compared / self._area_shown if self._area_shown else 1.0
        return Coverage(
            mode="search" if self._is_search else "sweep",
            tiles_total=total,
            tiles_looked=count,
            share=native.share_of(list(self._compared_tiles)) * both,
            stopped="complete" if count == total else self._stopped or "tiles",
        )

    def cost(self, budget: Budget | None, tokens_llm: int) -> Cost:
        """What was spent on all dates together."""
        usages, dates = self.stack.usages, len(self._series.stack)
        by_level = self._coarse + Counter({0: len(self._compared_tiles)})
        encoded = {level: dates * count for level, count in by_level.items()}
        return Cost(
            tiles_read=sum(usage.tiles_read for usage in usages),
            tiles_encoded=sum(encoded.values()),
            tiles_by_level=encoded,
            tokens_total=self.cells_per_tile * sum(encoded.values()),
            tokens_llm=tokens_llm,
            seconds=usages[0].clock.seconds(),
            peak_rss_mb=peak_rss_mb(),
            budget=budget or Budget(max(1, sum(encoded.values())), max(1, tokens_llm)),
        )

    def _tiles_of_search(self, share: int) -> set[Tile]:
        """The native tiles that a search by differences alone looks at."""
        series, stack = self._series, self.stack
        focuses = ChangeFocuses(series.focuses, stack, len(series.stack))
        calls = DirectCalls(series.host, series.reference_tiles)
        encode: Encode = stack.encode
        if self._region is not None:
            encode = restrict(encode, self._region, series.pyramid)
        usage = QuestionUsage(clock=stack.usages[0].clock)
        search = VisualSearch(focuses, calls, series.pyramid, encode, usage)
        options = SearchOptions(CHANGES, route="several", concentrated=False)
        limited = replace(self._budget, tiles=max(1, share), tokens=1)
        result = search.run(options, "What changed?", limited)
        if result.descent.stopped in ("time", "memory"):
            self._stopped = result.descent.stopped
        self._coarse.update(
            {look.level: len(look.tiles) for look in result.descent.looks if look.level}
        )
        return {t for look in result.descent.looks if look.level == 0 for t in look.tiles}

    def _is_over(self) -> bool:
        """Whether a limit of time or memory ends it here."""
        self._stopped = limit_reached(self._budget, self.stack.usages[0].clock) or self._stopped
        return bool(self._stopped)

    def _measure(self, tiles: Sequence[Tile]) -> None:
        """Let the scale of differences see some tiles."""
        if tiles:
            self._focus.distances(self.stack.encode(tiles))

    def _compare(self, tiles: Sequence[Tile]) -> None:
        tokens = self.stack.encode(tiles)
        self._compared_tiles |= dict.fromkeys(tiles)
        pyramid = self._series.pyramid
        whole = pyramid.tile_size**2
        self.compared.cut |= {tile for tile in tiles if pyramid.box_scene(tile).area < whole}
        with self.stack.usages[0].clock.stage("focus"):
            distances, shows = self._focus.distances(tokens)
        lacks_data = set(tokens.tile_index[~shows].tolist())
        self.compared.cut |= {tokens.tiles[place] for place in lacks_data}
        areas = (tokens.boxes_scene[:, 2:] - tokens.boxes_scene[:, :2]).prod(1)
        if self._region is not None:
            inside = shows.new_tensor(self._region.overlap_mask(tokens.boxes_scene.numpy()))
            shows, areas = shows & inside, areas * inside
        self._area_shown += float(areas.sum())
        self._area_compared += float(areas[shows].sum())
        self.compared.add(
            tokens.boxes_scene[shows].numpy(),
            distances[shows].numpy().astype(np.float64),
            [tokens.tiles[i] for i in tokens.tile_index[shows].tolist()],
        )
        # a sweep sees every tile once: what is known of each would fill the memory
        self.stack.forget()
