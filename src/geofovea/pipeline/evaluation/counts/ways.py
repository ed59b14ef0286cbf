"""Ways to count things of a kind in a scene: by places, by one question, by a question a tile."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from geofovea.datasets.scoring.number_words import number_in
from geofovea.pipeline.engine.accounting import QuestionUsage, StageClock
from geofovea.pipeline.engine.calls import DirectCalls
from geofovea.pipeline.inference.prompts.presence import plural_of
from geofovea.pipeline.inference.vision.inputs import EncodePlan
from geofovea.pipeline.places.counting import count_places
from geofovea.pipeline.places.in_tile.presence import presence_words
from geofovea.pipeline.places.native_tiles import NativeTiles
from geofovea.pipeline.session.session import SceneSession
from geofovea.regionfocus.budget import Budget

__all__ = ["WAYS", "Counted", "count_by", "sample_way", "ways_of"]

_TILES_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Counted:
    """What came of one way; see ``CountItem``."""

    value: float
    low: float | None
    high: float | None
    tiles: int
    tokens: int
    seconds: float


def sample_way(tiles: int) -> str:
    """The name of a count under a budget."""
    return f"count, {tiles} tiles"


def ways_of(budgets: Sequence[int]) -> tuple[str, ...]:
    """All ways of a bench, in the order of its table."""
    return ("count, sweep", *map(sample_way, budgets), *WAYS)


def count_by(way: str, session: SceneSession, kind: str, budgets: Sequence[int]) -> Counted:
    """Count in one way.

    Args:
        way: One of ``ways_of``.
        session: The scene and the model, with no tile in memory, so that every way pays for its
            own.
        kind: What is counted.
        budgets: Tiles of the counts under a budget; the descent has the most of them.

    Raises:
        GeoFoveaError: As counting and asking do.
    """
    began = time.process_time()
    tiles = {sample_way(budget): budget for budget in budgets}
    if way in WAYS:
        value, looked, tokens = WAYS[way](session, kind, max(budgets))
        return Counted(value, None, None, looked, tokens, time.process_time() - began)
    count = count_places(session, kind, tiles=tiles.get(way))
    seconds = time.process_time() - began
    cost = count.cost
    return Counted(count.value, count.low, count.high, cost.tiles_encoded, cost.tokens_llm, seconds)


def _descent(session: SceneSession, kind: str, tiles: int) -> tuple[float, int, int]:
    """One question over the scene: places found from coarse to fine, their numbers added up."""
    return _asked(session, kind, Budget(tiles, session.host.default_budget.tokens), None)


def _thumbnail(session: SceneSession, kind: str, tiles: int) -> tuple[float, int, int]:  # noqa: ARG001
    """The same question to the overview alone."""
    return _asked(session, kind, session.host.default_budget, "overview")


def _asked(
    session: SceneSession, kind: str, budget: Budget, focus: str | None
) -> tuple[float, int, int]:
    answer = session.ask(f"How many {plural_of(kind)} are there?", budget=budget, focus=focus)
    # an answer without a number counted nothing
    return number_in(answer.text) or 0, answer.cost.tiles_encoded, answer.cost.tokens_llm


def _exhaustive(session: SceneSession, kind: str, tiles: int) -> tuple[float, int, int]:  # noqa: ARG001
    """Every native tile asked by itself in words, the numbers added up; nothing mends seams."""
    host, words = session.host, presence_words(session.host)
    asks_for_number = words.numbers is not None
    question = words.ask(kind) if asks_for_number else f"How many {plural_of(kind)} are there?"
    calls = DirectCalls(host, session.tiles)
    usage = QuestionUsage.of(host, EncodePlan(), StageClock(calls.now))
    native = NativeTiles.of(session.pyramid, None).tiles
    total = tokens_entered = 0
    for start in range(0, len(native), _TILES_AT_ONCE):
        tokens = calls.tokens(native[start : start + _TILES_AT_ONCE], usage)
        usage.entries.clear()
        for place in range(len(tokens.tiles)):
            picture = tokens.select(tokens.tile_index == place)
            total += number_in(host.generate(question, picture).text) or 0
            tokens_entered += len(picture)
    return total, len(native), tokens_entered


WAYS: dict[str, Callable[[SceneSession, str, int], tuple[float, int, int]]] = {
    "descent and add": _descent,
    "exhaustive": _exhaustive,
    "thumbnail": _thumbnail,
}
"""Ways without an interval, by name: of session, kind and tiles the number, tiles and tokens."""
