"""Signs that a scene may not show what a question takes for granted.

A model asked about the truck at the airport answers, whether there are both or not.
"""

from __future__ import annotations

from collections.abc import Sequence

from geofovea.pipeline.answers.evidence import Evidence
from geofovea.pipeline.focus.shown_names import LIKELY, ShownNames
from geofovea.pipeline.focus.visual_search import SearchResult
from geofovea.pipeline.hosts.base import Host, SupportsPresence
from geofovea.regionfocus.search.router import Route, is_at_place
from geofovea.tiling.pyramid import Pyramid
from geofovea.tiling.scene import Scene

__all__ = ["absence_warnings"]


def absence_warnings(
    host: Host,
    question: str,
    result: SearchResult,
    evidence: Sequence[Evidence],
    scene: Scene,
    pyramid: Pyramid,
) -> tuple[str, ...]:
    """Sentences about places and things that a question names and that the scene may not show.

    A dual encoder beside the model looks for them: for a place in all tiles that were looked at,
    for a thing in the native ones that the answer was read from. Without one, a model doubts the
    place if it is measured how much of its attention falls on a place that is there.

    Args:
        host: The model.
        question: What it was asked.
        result: What was looked at.
        evidence: What the answer was read from.
        scene: What was asked about.
        pyramid: Of the scene.

    Raises:
        ModelError: If the dual encoder of the model is damaged.
    """
    named = ShownNames.of(host, scene, pyramid)
    if named is None:
        return _scattered(host, result.route, evidence) if is_at_place(question) else ()
    sites = _absent_sites(named, question, result) if is_at_place(question) else ()
    if sites is None:
        sites = _scattered(host, result.route, evidence)
    # of what stands at a place that is not there, nothing else is to be said
    return sites or _absent_things(named, question, result, evidence)


def _absent_sites(named: ShownNames, question: str, result: SearchResult) -> tuple[str, ...] | None:
    """A sentence about each site that no tile is likely to show; None if that cannot be told."""
    seen = [look.tokens for look in result.descent.looks]
    likely = {site: named.site_probability(site, seen) for site in named.sites_in(question)}
    if not likely or None in likely.values():
        return None
    return tuple(
        _doubt(site, "tiles that were looked at", most)
        for site, most in likely.items()
        if most is not None and most < LIKELY
    )


def _absent_things(
    named: ShownNames, question: str, result: SearchResult, evidence: Sequence[Evidence]
) -> tuple[str, ...]:
    """A sentence about each thing that no native tile of the evidence is likely to show."""
    read = {piece.tile for piece in evidence if piece.tile.level == 0}
    tiles = [
        look.tokens.select(look.tokens.tile_index == number)
        for look in result.descent.looks
        for number, tile in enumerate(look.tokens.tiles)
        if tile in read
    ]
    warnings = []
    for thing in named.things_in(question):
        likely = [each for each in named.thing_probabilities(thing, tiles) if each is not None]
        if likely and max(likely) < LIKELY:
            warnings.append(
                _doubt(thing, "native tiles that the answer was read from", max(likely))
            )
    return tuple(warnings)


def _doubt(name: str, tiles: str, most: float) -> str:
    return (
        f"the scene may not show the {name}, or the search did not find it: none of the {tiles} "
        f"is likely to show one ({most:.0%} at most)"
    )


def _scattered(host: Host, route: Route | None, evidence: Sequence[Evidence]) -> tuple[str, ...]:
    """A sentence about an attention that finds no place to rest on."""
    least = host.presence.share if isinstance(host, SupportsPresence) else None
    native = [piece.score for piece in evidence if piece.tile.level == 0]
    is_one = route is not None and route.word == "one"
    if least is None or not is_one or not native or (share := sum(native)) >= least:
        return ()
    return (
        "the scene may not show the place, or the search did not find it: "
        f"{share:.0%} of the attention at native resolution falls on what was read, and at least "
        f"{least:.0%} does where a place is there",
    )
