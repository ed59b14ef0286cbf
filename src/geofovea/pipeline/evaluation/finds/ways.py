"""Ways to find things of a kind in a scene: all tiles, the likeliest of them, or a thumbnail.

All take second looks at what the grid cuts, but for *one look*, a sweep without them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from geofovea.pipeline.engine.accounting import QuestionUsage, StageClock
from geofovea.pipeline.engine.calls import DirectCalls
from geofovea.pipeline.inference.vision.inputs import EncodePlan
from geofovea.pipeline.places.find import find_places
from geofovea.pipeline.places.in_tile.looking import TileLooker
from geofovea.pipeline.session.session import SceneSession
from geofovea.tiling.pyramid import Box

__all__ = ["SWEEP", "Finding", "find_by", "search_way", "ways_of"]

SWEEP = "sweep"
_ONE_LOOK = "one look"
_THUMBNAIL = "thumbnail"


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of one way; see ``FindItem``."""

    boxes: tuple[Box, ...]
    looked: int
    tiles: int
    tokens: int
    recall_told: float | None = None
    recall_low: float | None = None


def search_way(tiles: int) -> str:
    """The name of a search under a budget."""
    return f"search {tiles}"


def ways_of(budgets: Sequence[int]) -> tuple[str, ...]:
    """All ways of a bench, in the order of its table; the sweep is the first."""
    return (SWEEP, _ONE_LOOK, *map(search_way, budgets), _THUMBNAIL)


def find_by(way: str, session: SceneSession, phrase: str, budgets: Sequence[int]) -> Finding:
    """Find in one way.

    Args:
        way: One of ``ways_of``.
        session: The scene and the model.
        phrase: What is looked for.
        budgets: Tiles of the searches.

    Raises:
        GeoFoveaError: As searches do.
    """
    if way == _THUMBNAIL:
        return _in_thumbnail(session, phrase)
    tiles = {search_way(budget): budget for budget in budgets}.get(way)
    places = find_places(
        session,
        phrase,
        coverage="sweep" if tiles is None else "search",
        tiles=tiles,
        second_look=way != _ONE_LOOK,
    )
    coverage, cost = places.coverage, places.cost
    return Finding(
        tuple(place.box_scene for place in places),
        coverage.tiles_looked,
        cost.tiles_encoded,
        cost.tokens_llm,
        coverage.recall,
        coverage.recall_low,
    )


def _in_thumbnail(session: SceneSession, phrase: str) -> Finding:
    """Ask about the overview as if it were a native tile."""
    host = session.host
    calls = DirectCalls(host, session.tiles)
    usage = QuestionUsage.of(host, EncodePlan(), StageClock(calls.now))
    looker = TileLooker(host, session.pyramid, phrase, calls, usage, host.default_budget)
    looker.look([session.pyramid.overview])
    boxes = tuple(place.box_scene for place in looker.places)
    return Finding(boxes, 0, 1, looker.asker.tokens)
