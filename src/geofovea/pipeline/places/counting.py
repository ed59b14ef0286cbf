"""``count``: a number over a scene or a region, from all native tiles or from a sample of them."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from geofovea._arguments import shown
from geofovea.errors import QuestionError
from geofovea.pipeline.engine.accounting import QuestionUsage, StageClock
from geofovea.pipeline.engine.calls import DirectCalls, EngineCalls
from geofovea.pipeline.engine.watching import Watcher, watched_by, watched_calls
from geofovea.pipeline.focus.shown_names import ShownNames
from geofovea.pipeline.hosts.flops import ShownTokens
from geofovea.pipeline.inference.decoder.outputs import Generation
from geofovea.pipeline.inference.vision.inputs import EncodePlan
from geofovea.pipeline.places.confusion import Confusion, confusion_of
from geofovea.pipeline.places.count import Count
from geofovea.pipeline.places.coverage import Coverage, checked_score, checked_seed
from geofovea.pipeline.places.estimate import StratumCounts, estimate_total
from geofovea.pipeline.places.find import checked_phrase, find_budget
from geofovea.pipeline.places.in_tile.looking import TileLooker
from geofovea.pipeline.places.in_tile.presence import asked_phrase, presence_words
from geofovea.pipeline.places.merging import merge_places
from geofovea.pipeline.places.native_tiles import NativeTiles, indexed_places
from geofovea.pipeline.places.phrase_area import LaidArea, lay_out
from geofovea.pipeline.places.place import Place
from geofovea.pipeline.places.place_list import Places
from geofovea.pipeline.places.report import places_cost, places_warnings, sweep_coverage
from geofovea.pipeline.places.second_look import look_again
from geofovea.pipeline.places.strata import Stratum, draw_order, make_strata
from geofovea.pipeline.session.answer_warnings import warn_of_demo
from geofovea.pipeline.session.answering import Reply
from geofovea.pipeline.session.model_choice import is_beyond
from geofovea.pipeline.session.options import AnswerOptions
from geofovea.pipeline.session.reducer import ReducedAnswer
from geofovea.pipeline.session.request import AskRequest
from geofovea.pipeline.session.session import SceneSession
from geofovea.pipeline.system.torch_threads import using_threads
from geofovea.regionfocus.budget import Budget
from geofovea.regionfocus.scoring import as_masses, mass_collector
from geofovea.regionfocus.tokens import TokenSet
from geofovea.tiling.files.handles import check_current
from geofovea.tiling.geo.region import Region
from geofovea.tiling.pyramid import Tile

__all__ = ["count_in_area", "count_places", "count_shown"]

_COARSE_SHARE = 1 / 3
_NEIGHBOR_SHARE = 0.1
_FIRST_DRAWN = 8

# most false alarms of the demo model lie between this and one half, and few things do
_SURE = 0.8
_OF_DETECTIONS = (
    "the errors of detection of this model were not measured: the interval is one of what the "
    "model would detect in all tiles; compare it with places that you know, and give hits, misses, "
    "false alarms and tiles with confusion="
)
_NO_AUXILIARY = (
    "this model scores no coarse level, so tiles were drawn evenly: the interval is wider than it "
    "would be with a model that does"
)


def count_places(
    session: SceneSession,
    phrase: str,
    *,
    budget: Budget | None = None,
    tiles: int | None = None,
    tokens: int | None = None,
    seconds: float | None = None,
    host_ram_mb: float | None = None,
    region: Region | None = None,
    region_name: str | None = None,
    confusion: Confusion | None = None,
    min_score: float = 0.5,
    seed: int = 0,
    watch: Watcher | None = None,
) -> Count:
    """Count something over a scene or a region.

    Every native tile is looked at, if the budget holds them all. Otherwise a coarse level is
    scored, or an index is asked, native tiles are put into strata by that, and some are drawn from
    each; see ``make_strata`` and ``estimate_total``. A thing that a seam cuts counts in the tile of
    its center, and for that the neighbor is looked at, too.

    Args:
        session: The scene and the model.
        phrase: What is counted, such as ``"truck"``; see `find_places` for areas in it.
        budget: What may be spent; by default every tile is looked at.
        tiles: Most tiles to look at, coarse ones included, in place of the budget's.
        tokens: Most vision tokens for the decoder over all tiles, in place of the budget's.
        seconds: After how many seconds no further tiles are looked at.
        host_ram_mb: The same once the process and its children use this many MiB of memory.
        region: What alone is counted: what has its center in it.
        region_name: What the region is called in the result.
        confusion: Measured errors of detection; by default those that came with the model.
        min_score: The least probability of a place.
        seed: Of the draw of tiles: equal seeds draw equal tiles.
        watch: Hears what happens while it happens, and may end it.

    Returns:
        The number with a 95 % interval. Without measured errors it is one of detections, and a
        warning says so.

    Raises:
        QuestionError: If the phrase is empty or too long.
        BudgetError: If the budget cannot hold a single tile.
        SceneError: If the scene shows nothing, is damaged, or is not the file it was.
        CancelledError: If the watcher ended it.

    Warns:
        DemoModelWarning: If the host is the demo model and the scene is not synthetic.
    """
    words = checked_phrase(phrase)
    checked_score(min_score)
    checked_seed(seed)
    errors: object = confusion
    if errors is not None and not isinstance(errors, Confusion):
        raise QuestionError(f"confusion is a Confusion, got {shown(errors)}")
    check_current(session.scene.source)
    limits = {"tiles": tiles, "tokens": tokens, "seconds": seconds, "host_ram_mb": host_ram_mb}
    laid = lay_out(session, words, region, budget, limits, AnswerOptions(), watch)
    result = count_in_area(
        *(session, laid, budget, confusion, min_score, seed, watch), region_name=region_name
    )
    result = replace(result, phrase=words, places=laid.told(result.places, words))
    warn_of_demo(result)
    return result


def count_in_area(
    session: SceneSession,
    laid: LaidArea,
    budget: Budget | None = None,
    confusion: Confusion | None = None,
    min_score: float = 0.5,
    seed: int = 0,
    watch: Watcher | None = None,
    *,
    region_name: str | None = None,
) -> Count:
    """Count what has its center in an area that was laid out; see `count_places` for the rest.

    Args:
        session: The scene and the model.
        laid: What is counted, where, and within which limits.
        budget: What may be spent where the limits of the area say nothing.
        confusion: Measured errors of detection.
        min_score: The least probability of a place.
        seed: Of the draw of tiles.
        watch: Hears what happens while it happens, and may end it.
        region_name: What the area is called in the result.
    """
    native = NativeTiles.of(session.pyramid, laid.region)
    allowed = find_budget(session.host, "sweep", len(native.tiles), budget, laid.limits)
    counting = _Counting(session, laid, native, allowed, min_score, seed)
    threads = using_threads(getattr(session.host, "threads", None))
    with threads, watched_by(watch):
        return counting.run(confusion, region_name, watch)


def count_shown(
    session: SceneSession,
    phrase: str,
    shown: TokenSet,
    request: AskRequest,
    limits: Budget,
    usage: QuestionUsage,
    calls: EngineCalls,
) -> ReducedAnswer:
    """Count what is in tiles that a question has looked at already, place after place.

    Models that read many tokens at once count too few: on twelve scenes the demo model gave 92 of
    121 such numbers right, and this 102 to 104.

    Args:
        session: The scene and the model.
        phrase: What is counted.
        shown: Tokens of native tiles at the place.
        request: The question.
        limits: Its tokens are those of all prompts together, and hold all tiles.
        usage: What the question spends; it takes what this spends.
        calls: How tiles and the host are asked.
    """
    host = session.host
    own = QuestionUsage.of(host, EncodePlan(), usage.clock)
    limits = replace(limits, tiles=len(shown.tiles))
    # the threshold below was set for what the model says alone: judged twice, 39 numbers of 48 are
    # right, and 43 so
    looker = TileLooker(host, session.pyramid, phrase, calls, own, limits, request.region)
    looker.look(shown.tiles)
    usage.looks_scored += own.looks_scored
    usage.tiles_read += own.tiles_read
    usage.tiles_encoded += own.tiles_encoded
    merged = merge_places(looker.places)
    sure = [place.score for place in merged if place.score >= _SURE]
    doubts = [1 - place.score for place in merged if place.score < _SURE]
    likely = math.prod((looker.absence, *sure, *doubts))
    counted = f"{len(looker.looked)} of the {len(shown.tiles)}"
    warnings = (
        f"the number is that of places found one by one in {counted} native tiles at the place",
        *looker.warnings,
    )
    number = Generation(str(len(sure)), (math.log(max(likely, 1e-9)),))
    reply = Reply(number, shown.in_reading_order(), looker.asker.tokens, warnings)
    return ReducedAnswer(reply, (), looker.asker.tokens, tuple(looker.asker.runs))


@dataclass(frozen=True, slots=True)
class _Counting:
    """One count to be made."""

    session: SceneSession
    laid: LaidArea
    native: NativeTiles
    budget: Budget
    min_score: float
    seed: int

    def run(
        self, confusion: Confusion | None, region_name: str | None, watch: Watcher | None
    ) -> Count:
        """Look, and make a number of it."""
        looker = self._looker(watch)
        native = self.native.tiles
        coarse: dict[int, int] = {}
        notes: list[str] = []
        if self.budget.tiles >= len(native):
            strata = [self._everything(looker)]
            looker.look([native[index] for index in strata[0].drawn])
        else:
            scores, coarse, notes = self._auxiliary(looker)
            strata = make_strata(scores, max(1, self._affordable(looker)), self.seed)
            self._look_evenly(looker, strata)
        looker.check_looked()
        if not looker.stopped:
            look_again(self.session, looker, self.budget.tiles - looker.spent_tiles, watch)
        places, cut = self.laid.held(merge_places(looker.places))
        confusion = confusion or confusion_of(self.session.host)
        interval = estimate_total(_counts(native, strata, looker, places), confusion, self.seed)
        notes += [*cut, *(() if confusion else (_OF_DETECTIONS,))]
        coverage = sweep_coverage(self.native, looker)
        is_sweep = coverage.is_complete
        return Count(
            interval.value,
            interval.low,
            interval.high,
            self.laid.thing,
            region_name,
            "sweep" if is_sweep else "sample",
            self._places(looker, places, coverage, coarse, notes),
            confusion,
            len(strata),
        )

    def _looker(self, watch: Watcher | None) -> TileLooker:
        session = self.session
        direct = DirectCalls(session.host, session.tiles)
        calls = watched_calls(direct, watch, session.pyramid)
        return TileLooker(
            session.host,
            session.pyramid,
            asked_phrase(session.host, self.laid.thing),
            calls,
            QuestionUsage.of(session.host, EncodePlan(), StageClock(calls.now)),
            self.budget,
            min_score=self.min_score,
            names=ShownNames.of(session.host, session.scene, session.pyramid),
        )

    def _everything(self, looker: TileLooker) -> Stratum:
        """All tiles in reading order; in random order where the budget may end before the last.

        What was looked at by then has to be a random sample, for the rest is estimated from it.
        """
        order = list(range(len(self.native.tiles)))
        if not looker.is_affordable(len(order)):
            random.Random(self.seed).shuffle(order)
        return Stratum(tuple(range(len(order))), tuple(order))

    def _affordable(self, looker: TileLooker) -> int:
        """How many tiles are drawn.

        Where the tokens may end first, the first draws tell what a tile takes. Where the others
        take more, the last draws are not reached. Each stratum is drawn from in random order, so
        what was reached is a random sample of it.
        """
        count = self.budget.tiles - looker.spent_tiles
        if count > _FIRST_DRAWN and not looker.is_affordable(count):
            native, before = self.native.tiles, looker.asker.tokens
            looker.look([native[i] for i in draw_order(len(native), self.seed)[:_FIRST_DRAWN]])
            seen, spent = len(looker.looked), looker.asker.tokens - before
            left = self.budget.tokens - looker.asker.tokens
            count = min(count, seen + left * seen // max(1, spent))
        # some are kept for the neighbors of tiles whose things a seam cuts
        return int(count * (1 - _NEIGHBOR_SHARE))

    def _auxiliary(
        self, looker: TileLooker
    ) -> tuple[NDArray[np.float64], dict[int, int], list[str]]:
        """What an index, or the finest level that a third of the budget affords, says of tiles."""
        likeness = indexed_places(self.session, looker, None)
        if likeness is not None:
            return likeness.masses(self.native.boxes()), {}, []
        even = np.ones(len(self.native.tiles))
        host, pyramid = looker.host, self.session.pyramid
        if not host.capabilities.attention:
            return even, {}, [_NO_AUXILIARY]
        level = self.native.coarse_level(int(_COARSE_SHARE * self.budget.tiles))
        if level is None:
            return even, {}, []
        looks = self.native.over(level)
        looker.spent_tiles += len(looks)
        tokens = looker.calls.tokens(looks, looker.usage)
        looker.usage.entries.clear()
        if not len(tokens):
            return even, {level: len(looks)}, []
        words = presence_words(host)
        question = words.ask(words.parts(looker.phrase)[0])
        with looker.usage.clock.stage("focus"):
            (scores,) = looker.calls.scores(question, [tokens], again=True)
        looker.usage.looks_scored.append(ShownTokens.of(tokens))
        masses = as_masses(scores, len(tokens))
        drawn = mass_collector(tokens, self.native.tiles, pyramid)(masses).numpy()
        return drawn, {level: len(looks)}, []

    def _look_evenly(self, looker: TileLooker, strata: Sequence[Stratum]) -> None:
        """Look at what was drawn so that every stratum has its share whenever the budget ends."""
        native = self.native.tiles
        # the n-th of a stratum comes after the same share of it as that of any other
        order = sorted(
            ((n + 0.5) / len(s.drawn), i, index)
            for i, s in enumerate(strata)
            for n, index in enumerate(s.drawn)
        )
        looker.look([native[index] for _, _, index in order])
        if not looker.stopped:
            looker.look(self.native.reached_by(looker.places))

    def _places(
        self,
        looker: TileLooker,
        places: Sequence[Place],
        coverage: Coverage,
        coarse: dict[int, int],
        notes: Sequence[str],
    ) -> Places:
        session = self.session
        warnings = places_warnings(
            session, looker, replace(coverage, stopped="complete"), self.laid.thing
        )
        return Places(
            tuple(places),
            self.laid.thing,
            session.host.name,
            session.scene,
            coverage,
            places_cost(session, looker, coarse),
            (*warnings, *notes),
            is_demo=is_beyond(session.host, session.scene),
        )


def _counts(
    native: Sequence[Tile], strata: Sequence[Stratum], looker: TileLooker, places: Sequence[Place]
) -> list[StratumCounts]:
    """What was counted in the tiles that were drawn and looked at: places by their center."""
    side = looker.pyramid.tile_size
    by_tile: dict[tuple[int, int], int] = {}
    for place in places:
        x, y = place.center
        key = (int(y // side), int(x // side))
        by_tile[key] = by_tile.get(key, 0) + 1
    counts = []
    for stratum in strata:
        seen = [native[i] for i in stratum.drawn if native[i] in looker.looked]
        if seen:
            counted = tuple(by_tile.get((t.row, t.col), 0) for t in seen)
            counts.append(StratumCounts(len(stratum.members), counted, stratum.expected))
        elif counts:
            # nothing is known of it: it is taken for like the one before
            last = counts.pop()
            counts.append(
                StratumCounts(last.tiles + len(stratum.members), last.counts, last.expected)
            )
    return counts
