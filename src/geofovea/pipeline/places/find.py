"""``find``: where something is in a scene, tile by tile, with the share that was looked at."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from geofovea._arguments import check_flag, is_number, shown
from geofovea.errors import BudgetError, QuestionError
from geofovea.pipeline.engine.accounting import QuestionUsage, StageClock
from geofovea.pipeline.engine.calls import DirectCalls, EngineCalls
from geofovea.pipeline.engine.watching import Watcher, watched_by, watched_calls
from geofovea.pipeline.focus.factory import default_focus, focus_model_of
from geofovea.pipeline.focus.shown_names import ShownNames
from geofovea.pipeline.focus.visual_search import SearchOptions
from geofovea.pipeline.hosts.base import Host
from geofovea.pipeline.inference.vision.inputs import EncodePlan
from geofovea.pipeline.places.coverage import Mode, checked_mode, checked_score, checked_seed
from geofovea.pipeline.places.in_tile.looking import TileLooker
from geofovea.pipeline.places.in_tile.presence import asked_phrase, presence_words
from geofovea.pipeline.places.merging import merge_places
from geofovea.pipeline.places.native_tiles import NativeTiles, indexed_places
from geofovea.pipeline.places.phrase_area import LaidArea, lay_out
from geofovea.pipeline.places.place_list import Places
from geofovea.pipeline.places.report import (
    PassedOver,
    places_cost,
    places_warnings,
    search_coverage,
)
from geofovea.pipeline.places.second_look import look_again
from geofovea.pipeline.session.answer_warnings import warn_of_demo
from geofovea.pipeline.session.model_choice import is_beyond
from geofovea.pipeline.session.options import AnswerOptions, check_names
from geofovea.pipeline.session.request import (
    MAX_QUESTION_LENGTH,
    checked_budget,
    is_blank,
    writable,
)
from geofovea.pipeline.session.session import SceneSession
from geofovea.pipeline.system.torch_threads import using_threads
from geofovea.regionfocus.budget import Budget
from geofovea.regionfocus.search.looks import Descent
from geofovea.tiling.files.handles import check_current
from geofovea.tiling.geo.region import Region

__all__ = [
    "FindOptions",
    "checked_phrase",
    "find_budget",
    "find_in_area",
    "find_places",
]

_SEARCH_TILES = 256
# of the tiles of a search; and what a sweep may take at most, beside all native ones
_AGAIN_SHARE = 1 / 16
_AGAIN_BESIDE = 1 / 4


@dataclass(frozen=True, slots=True)
class FindOptions:
    """How places are looked for.

    Attributes:
        coverage: ``sweep`` looks at every native tile, ``search`` at the likeliest of them.
        min_score: The least probability of a place, in (0, 1].
        focus: What leads a search; None is what the model does by default.
        focus_model: Folder or hub id of the dual encoder of the focus ``similarity``.
        sampled_share: Share of the tiles of a search that are drawn at random from those that it
            passed over, to tell the expected recall; in [0, 0.9].
        seed: Of that draw: equal seeds draw equal tiles.
        second_look: Whether tiles shifted by half show whole what lies across a seam.

    Raises:
        QuestionError: If there is no such coverage, or a share is impossible.
    """

    coverage: Mode = "search"
    min_score: float = 0.5
    focus: str | None = None
    focus_model: str | None = None
    sampled_share: float = 0.2
    seed: int = 0
    second_look: bool = True

    def __post_init__(self) -> None:
        checked_mode(self.coverage)
        checked_score(self.min_score)
        share = self.sampled_share
        if not is_number(share) or not 0 <= share <= 0.9:
            raise QuestionError(
                f"sampled_share={shown(share)} is not a share: give a number from 0 to 0.9"
            )
        checked_seed(self.seed)
        check_names(self, ("focus", "focus_model"))
        check_flag("second_look", self.second_look, QuestionError)


def find_places(
    session: SceneSession,
    phrase: str,
    *,
    coverage: Mode = "search",
    budget: Budget | None = None,
    tiles: int | None = None,
    tokens: int | None = None,
    seconds: float | None = None,
    host_ram_mb: float | None = None,
    region: Region | None = None,
    min_score: float = 0.5,
    focus: str | None = None,
    focus_model: str | None = None,
    sampled_share: float = 0.2,
    seed: int = 0,
    second_look: bool = True,
    watch: Watcher | None = None,
) -> Places:
    """Find every place of a scene that shows something.

    The model is asked about one native tile at a time whether it shows the thing, and the
    probability of yes against no is the score. Where it is within the tile comes from boxes that
    the model writes, else from the tokens that it attends to, else it is the whole tile. What a
    seam cuts is looked at again as a whole.

    Args:
        session: The scene and the model.
        phrase: What is looked for, such as ``"red truck"``. Of ``"truck in the north"`` or
            ``"truck within 500 m of the depot"``, the truck is looked for in that area alone.
        coverage: ``sweep`` looks at every native tile. ``search`` goes to the likeliest from coarse
            to fine, and draws some of the others at random to tell the expected recall. With an
            index it goes to those whose vectors are most like the phrase, and encodes no coarser
            tile.
        budget: What may be spent. Its tokens are those of all prompts together. By default a search
            looks at 256 tiles, and a sweep at all of them.
        tiles: Most tiles to look at, in place of the budget's.
        tokens: Most vision tokens for the decoder over all tiles, in place of the budget's.
        seconds: After how many seconds no further tiles are looked at.
        host_ram_mb: The same once the process and its children use this many MiB of memory.
        region: What alone is looked at, by whole tiles. What its edge cuts counts if its center
            lies in it.
        min_score: The least probability of a place.
        focus: What leads a search; see ``SceneSession.ask``.
        focus_model: See ``SceneSession.ask``.
        sampled_share: Share of a search's tiles that are drawn at random.
        seed: Of that draw.
        second_look: Whether a place that reaches the edge of its tile is looked at again in a tile
            shifted by half, which counts toward the budget.
        watch: Hears what happens while it happens, and may end it.

    Returns:
        The places, the surest first, with what was covered. A thing that no tile shows has no
        places; that is no error.

    Raises:
        QuestionError: If the phrase is empty or too long, or an option cannot be meant.
        BudgetError: If the budget cannot hold a single tile.
        ModelError: If the focus does not fit the host.
        SceneError: If the scene shows nothing, is damaged, or is not the file it was.
        CancelledError: If the watcher ended it.

    Warns:
        DemoModelWarning: If the host is the demo model and the scene is not synthetic.
    """
    options = FindOptions(coverage, min_score, focus, focus_model, sampled_share, seed, second_look)
    limits = {"tiles": tiles, "tokens": tokens, "seconds": seconds, "host_ram_mb": host_ram_mb}
    words = checked_phrase(phrase)
    how = AnswerOptions(focus=focus, focus_model=focus_model)
    laid = lay_out(session, words, region, budget, limits, how, watch)
    places = laid.told(find_in_area(session, laid, options, budget, watch), words)
    warn_of_demo(places)
    return places


def find_in_area(
    session: SceneSession,
    laid: LaidArea,
    options: FindOptions | None = None,
    budget: Budget | None = None,
    watch: Watcher | None = None,
) -> Places:
    """Find every place of an area that was laid out; see `find_places`.

    Args:
        session: The scene and the model.
        laid: What is looked for, where, and within which limits.
        options: How; None for those of `find_places`.
        budget: What may be spent where the limits of the area say nothing.
        watch: Hears what happens while it happens, and may end it.
    """
    direct = DirectCalls(session.host, session.tiles)
    calls = watched_calls(direct, watch, session.pyramid)
    threads = using_threads(getattr(session.host, "threads", None))
    with threads, watched_by(watch):
        return _find(session, laid, options or FindOptions(), budget, calls, watch)


def checked_phrase(phrase: str) -> str:
    """The phrase without needless blanks.

    Raises:
        QuestionError: If it is empty or too long.
    """
    value: object = phrase
    if not isinstance(value, str):
        raise QuestionError(f"a phrase is a text such as 'red truck', got {value!r:.60}")
    words = " ".join(writable(phrase, "the phrase").split()).rstrip(".?!")
    if is_blank(words):
        raise QuestionError("the phrase is empty: say what to look for, such as 'red truck'")
    if len(words) > MAX_QUESTION_LENGTH:
        raise QuestionError(
            f"the phrase has {len(words)} characters, at most {MAX_QUESTION_LENGTH} are taken: "
            "look for one thing at a time"
        )
    return words


def _find(
    session: SceneSession,
    laid: LaidArea,
    options: FindOptions,
    budget: Budget | None,
    calls: EngineCalls,
    watch: Watcher | None,
) -> Places:
    check_current(session.scene.source)
    usage = QuestionUsage.of(session.host, EncodePlan(), StageClock(calls.now))
    native = NativeTiles.of(session.pyramid, laid.region)
    allowed = find_budget(session.host, options.coverage, len(native.tiles), budget, laid.limits)
    looker = TileLooker(
        session.host,
        session.pyramid,
        asked_phrase(session.host, laid.thing),
        calls,
        usage,
        allowed,
        min_score=options.min_score,
        names=ShownNames.of(session.host, session.scene, session.pyramid),
    )
    look = _Look(session, looker, native, options, watch)
    look.sweep() if options.coverage == "sweep" else look.search()
    places, notes = laid.held(merge_places(looker.places))
    coverage = search_coverage(options.coverage, looker, native, places, look.passing)
    return Places(
        tuple(places),
        laid.thing,
        session.host.name,
        session.scene,
        coverage,
        places_cost(session, looker, look.coarse),
        (*places_warnings(session, looker, coverage, laid.thing), *notes),
        is_demo=is_beyond(session.host, session.scene),
    )


def find_budget(
    host: Host, mode: Mode, native: int, budget: Budget | None, limits: Mapping[str, Any]
) -> Budget:
    """What may be spent: the budget that was given, or one that holds what a mode looks at.

    Raises:
        BudgetError: If it cannot hold a single tile.
    """
    per_tile = host.grid[0] * host.grid[1]
    chosen = {name: limit for name, limit in limits.items() if limit is not None}
    if checked_budget(budget) is None:
        every = native + 1 + math.ceil(_AGAIN_BESIDE * native)
        tiles = every if mode == "sweep" else min(_SEARCH_TILES, every)
        # one prompt a tile, one more for boxes, and those of adjectives
        many = chosen.get("tiles", tiles)
        is_count = isinstance(many, int) and many > 0
        budget = Budget(tiles=max(1, tiles), tokens=4 * per_tile * (many if is_count else 1))
    result = replace(budget or Budget(), **chosen)
    if result.tokens < per_tile:
        raise BudgetError(
            f"tokens={result.tokens} cannot hold a single tile of {host.name}, which has "
            f"{per_tile} tokens: allow at least as many"
        )
    return result


@dataclass(slots=True)
class _Look:
    """One look for places, over all native tiles or the likeliest of them.

    Attributes:
        passing: What is known of the tiles that it passed over.
        coarse: Tiles of coarser levels that it looked at, by level.
    """

    session: SceneSession
    looker: TileLooker
    native: NativeTiles
    options: FindOptions
    watch: Watcher | None
    passing: PassedOver = field(default_factory=PassedOver)
    coarse: dict[int, int] = field(default_factory=dict)

    def sweep(self) -> None:
        """Look at every native tile."""
        self.looker.look(self.native.tiles)
        self._again(self.looker.budget.tiles)

    def search(self) -> None:
        """Look at the likeliest tiles, at what seams cut there, and at a sample of the others."""
        looker, native, options = self.looker, self.native, self.options
        budget = looker.budget.tiles
        if budget > len(native.tiles):
            # nothing has to be chosen
            return self.sweep()
        sampled = math.floor(options.sampled_share * budget)
        again = math.floor(_AGAIN_SHARE * budget) if options.second_look else 0
        likeness = indexed_places(self.session, looker, options.focus, options.focus_model)
        if likeness is not None:
            ranked = native.ranked(likeness)
            tiles, mask = list(ranked.tiles[: budget - sampled - again]), ranked.ruled_out
        else:
            most = budget - sampled - again
            descent = _descend(self.session, looker, native.region, most, options, self.watch)
            finest = descent.looks[-1]
            looker.spent_tiles += descent.tiles_encoded
            looker.spent_tiles -= 0 if finest.level else len(finest.tiles)
            self.coarse = Counter(t.level for look in descent.looks for t in look.tiles if t.level)
            tiles, mask = native.reached(descent), native.is_ruled_out(descent)
        looker.look(tiles)
        looked_again = self._again(again)
        # what no seam needed goes to the sample
        sampled += (again - looked_again) if sampled else 0
        drawn = _look_at_sample(looker, native, sampled, options.seed)
        self.passing = PassedOver(mask, drawn, by_index=likeness is not None)
        return None

    def _again(self, most: int) -> int:
        """Look again at what seams cut; returns how many tiles that took."""
        looker = self.looker
        if self.options.second_look and not looker.stopped:
            look_again(self.session, looker, most, self.watch)
        return looker.looked_again


def _look_at_sample(looker: TileLooker, native: NativeTiles, count: int, seed: int) -> int:
    """Look at some of the tiles that a search passed over; returns how many the budget held."""
    passed_over = [tile for tile in native.tiles if tile not in looker.looked]
    before = len(looker.looked)
    if not looker.stopped:
        # in the order of the draw, so that what a budget ends is a random sample, too
        looker.look(random.Random(seed).sample(passed_over, min(count, len(passed_over))))
    return len(looker.looked) - before


def _descend(
    session: SceneSession,
    looker: TileLooker,
    region: Region | None,
    tiles: int,
    options: FindOptions,
    watch: Watcher | None,
) -> Descent:
    """Look from coarse to fine for the tiles that are likeliest to show what is looked for."""
    words = presence_words(session.host)
    noun, _ = words.parts(looker.phrase)
    focus = options.focus or default_focus(session.host, session.index)
    search = SearchOptions(
        focus,
        "best_first",
        "several",
        focus_model=focus_model_of(focus, options.focus_model, session.index),
        region=region,
    )
    search.check(session.host)
    budget = replace(looker.budget, tiles=max(1, tiles))
    result = session.search(search, words.ask(noun), budget, looker.usage, looker.calls, watch)
    looker.usage.entries.clear()
    return result.descent
