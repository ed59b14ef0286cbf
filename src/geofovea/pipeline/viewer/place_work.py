"""The desk's work on places and changes: what it may spend, and its results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal, get_args

import shapely

from geofovea.pipeline.answers.answer import Answer
from geofovea.pipeline.answers.page.data import answer_data
from geofovea.pipeline.dates.as_answer import changes_as_answer
from geofovea.pipeline.dates.session import StackSession
from geofovea.pipeline.dates.stack import SceneStack
from geofovea.pipeline.engine.watching import Watcher, watched_by
from geofovea.pipeline.hosts.base import Host
from geofovea.pipeline.places.count import Count
from geofovea.pipeline.places.counting import count_places
from geofovea.pipeline.places.find import find_places
from geofovea.pipeline.places.place_list import Places
from geofovea.pipeline.session.request import AskRequest
from geofovea.pipeline.session.session import SceneSession
from geofovea.regionfocus.budget import Budget
from geofovea.tiling.geo.alignment import align
from geofovea.tiling.geo.region import PIXELS, Region, region_from_crs
from geofovea.tiling.pyramid import Box
from geofovea.tiling.scene import Scene

__all__ = [
    "SEARCH_TILES",
    "TASKS",
    "PageTask",
    "Task",
    "boxes_by_scene",
    "compare_dates",
    "find_or_count",
    "search_budget",
    "shown_data",
]

PageTask = Literal["ask", "find", "count", "changes"]
"""What a page may ask for."""

TASKS: tuple[PageTask, ...] = get_args(PageTask)
Task = PageTask | Literal["compare", "measure"]
"""Also what agents alone ask: what changed between two scenes, and what has to be computed."""

SEARCH_TILES = 256
"""Tiles of a search whose job names no limit, if the server allows as many."""

_MOST_TILES = 1024
# a prompt for presence, one for boxes, and those of adjectives
_PROMPTS_A_TILE = 4
_MOST_SHOWN = 500


def search_budget(host: Host, budget: Budget, tiles: int | None = None) -> Budget:
    """The most that a search for places may spend on a server.

    Args:
        host: The model.
        budget: The most of a question; its limits of time and memory hold for a search, too. Its
            tokens are those of one prompt, and a search has a prompt for each tile.
        tiles: Most tiles of a search; 1024 by default.
    """
    most = tiles or _MOST_TILES
    return replace(budget, tiles=most, tokens=_PROMPTS_A_TILE * host.grid[0] * host.grid[1] * most)


def find_or_count(
    session: SceneSession, task: Task, request: AskRequest, watch: Watcher, *, sweep: bool
) -> Places | Count:
    """Look for the phrase that a request has for its question.

    Args:
        session: The scene and the model.
        task: ``find`` or ``count``.
        request: The phrase, the region, and what may be spent.
        watch: Hears of it, and may end it.
        sweep: Whether finding looks at every native tile that the budget holds.

    Raises:
        GeoFoveaError: As ``find_places`` and ``count_places`` do.
    """
    common: dict[str, Any] = {"budget": request.budget, "region": request.region, "watch": watch}
    if task == "count":
        return count_places(session, request.question, **common)
    return find_places(
        session,
        request.question,
        coverage="sweep" if sweep else "search",
        focus=request.options.focus,
        focus_model=request.options.focus_model,
        **common,
    )


def compare_dates(
    stack: SceneStack,
    before: SceneSession,
    after: SceneSession,
    task: Task,
    request: AskRequest,
    watch: Watcher,
) -> tuple[Answer, Places | None]:
    """What changed between two scenes: all places, or the answer to a question about them.

    Args:
        stack: Of the two scenes.
        before: The earlier scene and the model.
        after: The later scene.
        task: ``changes`` or ``compare``.
        request: What came or went, or empty for every change; or the question. Its region lies in
            the later scene.
        watch: Hears of it, and may end it.

    Returns:
        The answer, and the places where they were listed.

    Raises:
        GeoFoveaError: As ``StackSession.changes`` and ``StackSession.ask`` do.
    """
    # as the page shows each of them
    shown = [each.reader.radiometry for each in (before, after)]
    session = StackSession(stack, before.host, radiometries=shown)
    reference = before if stack.reference == 0 else after
    request = replace(request, region=_region_on(reference.scene, after.scene, request.region))
    with watched_by(watch):
        if task == "compare":
            return session.answer(request).answer, None
        phrase = request.question or None
        return changes_as_answer(session, reference, request, phrase)


def boxes_by_scene(
    stack: SceneStack, scene_ids: Sequence[str], boxes: Sequence[Box]
) -> list[dict[str, list[int] | None]]:
    """Boxes of the reference scene in whole pixels of each scene; None outside of one.

    Args:
        stack: Scenes laid on each other.
        scene_ids: By which pages name them, in the same order.
        boxes: In pixels of the reference.
    """
    rows = []
    for box in boxes:
        row: dict[str, list[int] | None] = {}
        for scene_id, each in zip(scene_ids, stack.scenes, strict=True):
            own = box if each.alignment is None else each.alignment.box_of_other(box)
            row[scene_id] = None if own is None else [round(side) for side in own.as_tuple()]
        rows.append(row)
    return rows


def _region_on(reference: Scene, scene: Scene, region: Region | None) -> Region | None:
    """A region of one scene as it lies on another.

    Raises:
        GeometryError: If it lies outside of that.
        AlignmentError: If the scenes share no ground.
    """
    if region is None or reference is scene:
        return region
    carry = align(scene, reference).other_from_reference
    return region_from_crs(reference, shapely.transform(region.geometry, carry), PIXELS)


def shown_data(answer: Answer, name: str) -> dict[str, Any]:
    """The data of an ``answer`` event, with no more evidence than a page can list.

    Args:
        answer: What was answered; of a search for places, its evidence may be thousands.
        name: Of the scene, in place of its path.
    """
    data = answer_data(answer, name)
    facts = data["answer"]
    total = len(facts.get("evidence") or ())
    if total > _MOST_SHOWN:
        facts["evidence"] = facts["evidence"][:_MOST_SHOWN]
        facts["warnings"].append(
            f"the {_MOST_SHOWN} surest of {total} places are shown; the GeoJSON file has them all"
        )
    return data
