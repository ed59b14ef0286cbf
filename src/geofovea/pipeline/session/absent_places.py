"""Signs that a scene may not show the place that a question names.

A model asked about an airport answers, whether there is one or not.
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
    """Sentences about places that a question names and that the scene may not show.

    Models without a dual encoder have one of which it is measured how much of their attention falls
    on a place that is there; the others say nothing.

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
    if not is_at_place(question):
        return ()
    named = ShownNames.of(host, scene, pyramid)
    names = () if named is None else named.sites_in(question)
    if named is not None and names:
        seen = [look.tokens for look in result.descent.looks]
        likely = {name: named.site_probability(name, seen) for name in names}
        if None not in likely.values():
            return tuple(
                f"the scene may not show the {name}, or the search did not find it: none of the "
                f"tiles that were looked at is likely to show one ({most:.0%} at most)"
                for name, most in likely.items()
                if most is not None and most < LIKELY
            )
    return _scattered(host, result.route, evidence)


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
