"""What is told of a search for places beside the places: cost and warnings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from geofovea.pipeline.answers.cost import Cost
from geofovea.pipeline.places.coverage import Coverage
from geofovea.pipeline.places.looking import TileLooker
from geofovea.pipeline.places.presence import presence_words
from geofovea.pipeline.session.answer_warnings import answer_warnings
from geofovea.pipeline.session.session import SceneSession
from geofovea.pipeline.system.memory import peak_rss_mb

__all__ = ["places_cost", "places_warnings"]


def places_cost(
    session: SceneSession, looker: TileLooker, coarse: Mapping[int, int] | None = None
) -> Cost:
    """What the looks of a looker took.

    Args:
        session: The scene and the model.
        looker: What was looked at.
        coarse: Tiles of other levels that were looked at, by level.
    """
    usage, per_tile = looker.usage, session.host.grid[0] * session.host.grid[1]
    by_level = Counter(coarse or {})
    by_level[0] += len(looker.looked)
    return Cost(
        tiles_read=usage.tiles_read,
        tiles_encoded=sum(by_level.values()),
        tiles_by_level=dict(by_level),
        tokens_total=per_tile * sum(by_level.values()),
        tokens_llm=looker.asker.tokens,
        seconds=usage.clock.seconds(),
        peak_rss_mb=peak_rss_mb(),
        budget=looker.budget,
        endpoint=usage.endpoint_use(session.host),
        tiles_indexed=usage.tiles_indexed,
    )


def places_warnings(
    session: SceneSession, looker: TileLooker, coverage: Coverage
) -> tuple[str, ...]:
    """What a careful reader should know of what was found."""
    words = presence_words(session.host)
    noun, adjectives = words.parts(looker.phrase)
    warnings = [
        *answer_warnings(
            session.scene,
            session.reader.radiometry,
            session.host,
            words.ask(noun),
            "",
            adjectives,
        ),
        *looker.usage.warnings,
        *looker.warnings,
        *session.tiles.warnings,
        *session.reader.notes,
    ]
    if not coverage.is_complete and coverage.stopped != "complete":
        warnings.append(
            f"the limit of {coverage.stopped} ended the search after {coverage.tiles_looked} of "
            f"{coverage.tiles_total} native tiles: there may be more; raise the limit, or look "
            "within a region"
        )
    return tuple(dict.fromkeys(warnings))
