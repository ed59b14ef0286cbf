"""Places, counts and changes for agents: jobs of the desk, in its queue and its limits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from geofovea.errors import QuestionError
from geofovea.pipeline.agents.plain import first_of, plain_values
from geofovea.pipeline.agents.questions import Tell, answer_facts, ask
from geofovea.pipeline.agents.scene_choice import chosen_region, chosen_scene
from geofovea.pipeline.answers.page.data import model_name
from geofovea.pipeline.places.count import Count
from geofovea.pipeline.viewer.desk import Desk
from geofovea.pipeline.viewer.job import Job
from geofovea.pipeline.viewer.job_request import JobRequest
from geofovea.pipeline.viewer.place_work import Task

__all__ = ["change_facts", "place_facts"]

Boxes = tuple[Sequence[float] | None, Sequence[float] | None]
_MOST_PLACES = 50
_USUAL_TILES = 128


async def place_facts(
    desk: Desk,
    tell: Tell,
    task: Task,
    phrase: str,
    scene: str,
    boxes: Boxes,
    max_tiles: int | None,
    *,
    sweep: bool = False,
) -> dict[str, Any]:
    """What ``find_places`` and ``count_places`` give an agent: bounded, and no path in it.

    Args:
        desk: Where it is done.
        tell: Hears how far it is.
        task: ``find`` or ``count``.
        phrase: What is looked for.
        scene: Id of the scene; empty where there is one only.
        boxes: In pixels and in degrees; see ``chosen_box``.
        max_tiles: None for 128, or for all that the server allows in a sweep.
        sweep: Whether every native tile is looked at.

    Raises:
        GeoFoveaError: If it is refused or fails; see ``ask``.
    """
    served = chosen_scene(desk, scene)
    region = chosen_region(served.session.scene, *boxes)
    most = desk.search_budget.tiles
    usual = most if sweep else min(_USUAL_TILES, most)
    request = JobRequest(
        served.id,
        phrase,
        region=region,
        budget={"tiles": usual if max_tiles is None else max_tiles},
        task=task,
        sweep=sweep,
    )
    rest = "they are the surest; look within smaller boxes for the others"
    return _facts(await ask(desk, request, tell), rest)


async def change_facts(
    desk: Desk,
    tell: Tell,
    scenes: tuple[str, str],
    question: str,
    phrase: str,
    max_tiles: int | None,
    boxes: Boxes,
) -> dict[str, Any]:
    """What ``compare_dates`` gives an agent: an answer in words, or the places that changed.

    Args:
        desk: Where it is done.
        tell: Hears how far it is.
        scenes: Ids of the earlier and the later scene.
        question: Asked of both dates; empty to list what changed.
        phrase: What came or went, where changes are listed; empty for every change.
        max_tiles: Of both dates together; None for the server's, or 128 where changes are listed.
        boxes: Of the later scene, in pixels and in degrees; see ``chosen_box``.

    Raises:
        QuestionError: If both a question and a phrase are given, or the scenes are one.
        GeoFoveaError: If it is refused or fails; see ``ask``.
    """
    before, after = (chosen_scene(desk, scene) for scene in scenes)
    if before is after:
        raise QuestionError("name two scenes: the earlier one as before, the later one as after")
    if question and phrase:
        raise QuestionError("give a question, or what came or went, not both")
    usual = None if question else min(_USUAL_TILES, desk.search_budget.tiles)
    tiles = usual if max_tiles is None else max_tiles
    request = JobRequest(
        after.id,
        question or phrase,
        region=chosen_region(after.session.scene, *boxes),
        budget={} if tiles is None else {"tiles": tiles},
        task="compare" if question else "changes",
        before=before.id,
    )
    job = await ask(desk, request, tell)
    rest = "they changed most; compare within smaller boxes for the others"
    dates: dict[str, Any] = {"before": before.id, "after": after.id}
    return (answer_facts(job) if question else _facts(job, rest)) | dates


def _facts(job: Job, rest: str) -> dict[str, Any]:
    assert job.places is not None  # noqa: S101  (as `ask` returns it)
    path = (job.places.places if isinstance(job.places, Count) else job.places).scene.path
    scene = job.scene_at(path)
    facts = job.places.to_dict() | {"scene": scene.id, "scene_name": scene.name}
    facts["model"] = model_name(facts["model"])
    facts["warnings"] = [job.told(warning) for warning in facts["warnings"]]
    if "places" in facts:
        facts["places"], notes = first_of(facts["places"], _MOST_PLACES, "places", rest)
        facts["warnings"] += notes
    plain: dict[str, Any] = plain_values(facts)
    return plain
