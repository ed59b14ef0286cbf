"""What is told of a search for places beside the places: coverage, cost and warnings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geofovea.pipeline.answers.cost import Cost
from geofovea.pipeline.hosts.base import Host, knows_no_word
from geofovea.pipeline.places.coverage import LEAST_SAMPLE, Coverage, Mode, expected_recall
from geofovea.pipeline.places.in_tile.looking import TileLooker
from geofovea.pipeline.places.in_tile.presence import presence_words
from geofovea.pipeline.places.native_tiles import NativeTiles
from geofovea.pipeline.places.place import Place
from geofovea.pipeline.places.second_look import SecondLook
from geofovea.pipeline.relations.surroundings import unbounded_area, unread_area
from geofovea.pipeline.session.answer_warnings import answer_warnings
from geofovea.pipeline.session.session import SceneSession
from geofovea.pipeline.system.memory import peak_rss_mb
from geofovea.tiling.pyramid import Tile

__all__ = [
    "PassedOver",
    "places_cost",
    "places_warnings",
    "sampled_recall",
    "search_coverage",
    "second_look_cost",
    "sweep_coverage",
]


@dataclass(frozen=True, slots=True, eq=False)
class PassedOver:
    """What is known of the native tiles that a search did not choose.

    Attributes:
        ruled_out: Which of the native tiles, in reading order, a coarser level or an index rules
            out, bool ``(n,)``; None where nothing does.
        sampled: How many of the tiles looked at, the last ones, were drawn at random.
        by_index: Whether an index ruled tiles out.
    """

    ruled_out: NDArray[np.bool_] | None = None
    sampled: int = 0
    by_index: bool = False


def search_coverage(
    mode: Mode,
    looker: TileLooker,
    native: NativeTiles,
    places: Sequence[Place],
    passing: PassedOver,
) -> Coverage:
    """How much was looked at, and what may have been missed.

    Args:
        mode: How tiles were chosen.
        looker: What was looked at.
        native: All tiles.
        places: What came of it, each thing once.
        passing: What is known of the other tiles.
    """
    looked = list(looker.looked)
    drawn = looked[len(looked) - passing.sampled :]
    passed_over = len(native.tiles) - len(looked)
    recall, recall_low = sampled_recall(places, drawn, passed_over, looker.pyramid.tile_size)
    if passed_over and passing.sampled < LEAST_SAMPLE:
        recall = None
    outside = _ruled_out(native, passing.ruled_out) if passed_over else set()
    tested = [tile for tile in drawn if tile in outside]
    return Coverage(
        mode,
        len(native.tiles),
        len(looked),
        # what was never put to the test is not called ruled out
        len(outside - set(looked)) if tested else 0,
        native.share_of(looked),
        recall,
        recall_low,
        passing.sampled,
        "complete" if not passed_over else looker.stopped or "tiles",
        len(tested),
        sum(looker.looked[tile] > 0 for tile in tested),
        passing.by_index,
        looker.looked_again,
    )


def sweep_coverage(native: NativeTiles, looker: TileLooker) -> Coverage:
    """How many of all native tiles were looked at.

    Args:
        native: All tiles.
        looker: What was looked at.
    """
    looked = [tile for tile in native.tiles if tile in looker.looked]
    return Coverage(
        "sweep",
        len(native.tiles),
        len(looked),
        share=native.share_of(looked),
        stopped="complete" if len(looked) == len(native.tiles) else looker.stopped or "tiles",
        looked_again=looker.looked_again,
    )


def _ruled_out(native: NativeTiles, mask: NDArray[np.bool_] | None) -> set[Tile]:
    """The native tiles that a coarser level of a descent, or an index, rules out."""
    if mask is None:
        return set()
    return {tile for tile, is_out in zip(native.tiles, mask, strict=True) if is_out}


def sampled_recall(
    places: Sequence[Place], drawn: Sequence[Tile], passed_over: int, side: int
) -> tuple[float | None, float | None]:
    """The expected recall with its lower end, from what the sample alone shows.

    A place counts in the tile of its center, so that what a seam cuts is missed once at most; and
    what a tile that was chosen shows in part was not missed.

    Args:
        places: What was found, each thing once.
        drawn: Native tiles of the sample.
        passed_over: Native tiles that were not looked at.
        side: Of a tile in pixels.
    """
    if not passed_over:
        return (1.0, 1.0) if places else (None, None)
    counts = dict.fromkeys(((tile.row, tile.col) for tile in drawn), 0)
    of_sample = set(drawn)
    for place in places:
        x, y = place.center
        key = (int(y // side), int(x // side))
        if key in counts and of_sample.issuperset(place.evidence):
            counts[key] += 1
    return expected_recall(len(places), list(counts.values()), passed_over)


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
    by_level[0] += len(looker.looked) + looker.looked_again + looker.left_unasked
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


def second_look_cost(session: SceneSession, again: SecondLook) -> Cost:
    """What the windows of a second look took."""
    per_tile = session.host.grid[0] * session.host.grid[1]
    return Cost(
        tiles_read=again.usage.tiles_read,
        tiles_encoded=again.looked,
        tiles_by_level={0: again.looked},
        tokens_total=per_tile * again.looked,
        tokens_llm=again.asker.tokens,
        seconds=again.usage.clock.seconds(),
        peak_rss_mb=peak_rss_mb(),
        budget=again.budget,
    )


def places_warnings(
    session: SceneSession, looker: TileLooker, coverage: Coverage, phrase: str
) -> tuple[str, ...]:
    """What a careful reader should know of what was found.

    Args:
        session: The scene and the model.
        looker: What was looked at, and how the model was asked.
        coverage: How much was looked at.
        phrase: What was looked for, as the caller wrote it.
    """
    words = presence_words(session.host)
    noun, adjectives = words.parts(looker.phrase)
    warnings = []
    if knows_no_word(session.host, noun):
        warnings.append(
            f"the {session.host.name} model knows no word for {noun!r}: whatever it finds is "
            "something else"
        )
    elif wording := _unknown_wording(session.host, noun, looker.phrase):
        warnings.append(wording)
    warnings += [
        *answer_warnings(
            session.scene,
            session.reader.radiometry,
            session.host,
            words.ask(noun),
            "",
            names=(noun, *adjectives),
        ),
        *looker.usage.warnings,
        *looker.warnings,
        *session.tiles.warnings,
        *session.reader.notes,
    ]
    if (area := unread_area(phrase)) is not None:
        warnings.append(
            f"{area!r} limits nothing: the model is asked about one tile at a time, and does not "
            "see where it lies; look for the thing alone, within region="
        )
    elif (unbounded := unbounded_area(phrase)) is not None:
        area, place = unbounded
        warnings.append(
            f"{area!r} has no bounds and limits nothing: the model is asked about one tile at a "
            f"time; give a distance, as in 'within 500 m of {place}'"
        )
    if coverage.limit_text:
        warnings.append(f"{coverage.limit_text}; raise the limit, or look within a region")
    return tuple(dict.fromkeys(warnings))


def _unknown_wording(host: Host, noun: str, name: str) -> str:
    """What a model is asked about a noun that it knows, in words that it does not; else empty.

    It may know a name in the singular alone, such as that of a site.
    """
    known = host.unknown_words(noun)
    asked = [w for w in host.unknown_words(presence_words(host).ask(noun)) if w not in known]
    if not asked:
        return ""
    return (
        f"the {host.name} model counts things, and knows {name!r} but not {', '.join(asked)!r}: "
        f"that it finds none says nothing; if it is a place, ask 'how large is the {name}?'"
    )
