"""Places and counts for agents: asked in a thread, told of on the way, ended with the wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from threading import Event
from typing import Any

from geofovea.errors import CancelledError
from geofovea.pipeline.agents.plain import plain_values
from geofovea.pipeline.agents.questions import Tell
from geofovea.pipeline.agents.scene_choice import chosen_box, ready_scene
from geofovea.pipeline.engine.watching import Watcher
from geofovea.pipeline.places.count import Count
from geofovea.pipeline.places.counting import count_places as count_in
from geofovea.pipeline.places.find import find_places as find_in
from geofovea.pipeline.places.place import Places
from geofovea.pipeline.viewer.desk import Desk
from geofovea.pipeline.viewer.served_scene import ServedScene
from geofovea.tiling.geo.coordinates import polygon_scene
from geofovea.tiling.geo.region import Region

__all__ = ["count_facts", "places_facts"]

Boxes = tuple[Sequence[float] | None, Sequence[float] | None]
_MOST_PLACES = 50
_NEWS_SECONDS = 10.0


class _Ender(Watcher):
    """Ends the work when nobody waits for it, and knows how far it is."""

    def __init__(self) -> None:
        self.is_over, self.tiles = Event(), 0

    def check(self) -> None:
        """See ``Watcher``."""
        if self.is_over.is_set():
            raise CancelledError("nobody waits for the places any more")

    def seen(self, tiles: int, tokens: int) -> None:  # noqa: ARG002
        """See ``Watcher``."""
        self.tiles += tiles


async def places_facts(
    desk: Desk,
    tell: Tell,
    phrase: str,
    scene: str,
    boxes: Boxes,
    max_tiles: int,
    *,
    sweep: bool,
) -> dict[str, Any]:
    """What ``find_places`` gives an agent: bounded, and no path in it."""
    served, region = _asked(desk, scene, boxes)
    places: Places = await _watched(
        tell,
        lambda watch: find_in(
            served.session,
            phrase,
            coverage="sweep" if sweep else "search",
            tiles=max_tiles,
            region=region,
            watch=watch,
        ),
    )
    return _plain(served, places.to_dict())


async def count_facts(
    desk: Desk, tell: Tell, phrase: str, scene: str, boxes: Boxes, max_tiles: int
) -> dict[str, Any]:
    """What ``count_places`` gives an agent."""
    served, region = _asked(desk, scene, boxes)
    count: Count = await _watched(
        tell,
        lambda watch: count_in(served.session, phrase, tiles=max_tiles, region=region, watch=watch),
    )
    return _plain(served, count.to_dict())


def _asked(desk: Desk, scene: str, boxes: Boxes) -> tuple[ServedScene, Region | None]:
    served = ready_scene(desk, scene)
    box, lonlat_box = (None if b is None else list(b) for b in boxes)
    part = chosen_box(served.session.scene, box, lonlat_box)
    return served, None if part is None else Region(polygon_scene(part))


async def _watched(tell: Tell, work: Callable[[Watcher], Any]) -> Any:
    """Do work in a thread; tell how far it is, and end it if the wait for it ends."""
    ender = _Ender()
    task = asyncio.ensure_future(asyncio.to_thread(work, ender))
    try:
        while not (await asyncio.wait({task}, timeout=_NEWS_SECONDS))[0]:
            await tell(f"{ender.tiles} tiles looked at")
        return task.result()
    finally:
        ender.is_over.set()


def _plain(served: ServedScene, facts: dict[str, Any]) -> dict[str, Any]:
    """Facts without a path, and with a bounded list of places."""
    facts |= {"scene": served.id, "scene_name": served.name}
    if "places" in facts:
        facts["places"] = facts["places"][:_MOST_PLACES]
    plain: dict[str, Any] = plain_values(facts)
    return plain
