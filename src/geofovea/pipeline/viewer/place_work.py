"""Work of the desk beside questions: what it may spend, and what comes of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal, get_args

from geofovea.pipeline.answers.answer import Answer
from geofovea.pipeline.answers.page.data import answer_data
from geofovea.pipeline.dates.as_answer import changes_as_answer
from geofovea.pipeline.dates.session import StackSession
from geofovea.pipeline.dates.stack import make_stack
from geofovea.pipeline.engine.watching import Watcher, watched_by
from geofovea.pipeline.hosts.base import Host
from geofovea.pipeline.places.count import Count
from geofovea.pipeline.places.counting import count_places
from geofovea.pipeline.places.find import find_places
from geofovea.pipeline.places.place import Places
from geofovea.pipeline.session.request import AskRequest
from geofovea.pipeline.session.session import SceneSession
from geofovea.regionfocus.budget import Budget

__all__ = [
    "SEARCH_TILES",
    "TASKS",
    "PageTask",
    "Task",
    "compare_dates",
    "find_or_count",
    "search_budget",
    "shown_data",
]

PageTask = Literal["ask", "find", "count"]
"""What a page may ask for."""

TASKS: tuple[PageTask, ...] = get_args(PageTask)
Task = PageTask | Literal["changes", "compare"]
"""Also between two scenes: list what changed, or ask about it."""

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
    before: SceneSession, after: SceneSession, task: Task, request: AskRequest, watch: Watcher
) -> tuple[Answer, Places | None]:
    """What changed between two scenes: all places, or the answer to a question about them.

    Args:
        before: The earlier scene and the model.
        after: The later scene.
        task: ``changes`` or ``compare``.
        request: What came or went, or empty for every change; or the question.
        watch: May end it.

    Returns:
        The answer, and the places where they were listed.

    Raises:
        GeoFoveaError: As ``StackSession.changes`` and ``StackSession.ask`` do.
    """
    stack = make_stack((before.scene, after.scene))
    session = StackSession(stack, before.host)
    reference = before if stack.reference == 0 else after
    with watched_by(watch):
        if task == "compare":
            return session.answer(request).answer, None
        phrase = request.question or None
        return changes_as_answer(session, reference, request, phrase, request.budget)


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
