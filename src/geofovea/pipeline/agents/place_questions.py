"""Places and counts for agents: jobs of the desk like questions, in its queue and its limits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from geofovea.pipeline.agents.plain import plain_values
from geofovea.pipeline.agents.questions import Tell, ask
from geofovea.pipeline.agents.scene_choice import chosen_region, chosen_scene
from geofovea.pipeline.viewer.desk import Desk
from geofovea.pipeline.viewer.job import Job
from geofovea.pipeline.viewer.job_request import JobRequest
from geofovea.pipeline.viewer.place_work import Task

__all__ = ["place_facts"]

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
    return _facts(await ask(desk, request, tell))


def _facts(job: Job) -> dict[str, Any]:
    assert job.places is not None  # noqa: S101  (as `ask` returns it)
    facts = job.places.to_dict() | {"scene": job.scene.id, "scene_name": job.scene.name}
    facts["warnings"] = [job.scene.without_path(warning) for warning in facts["warnings"]]
    if "places" in facts:
        facts["places"] = facts["places"][:_MOST_PLACES]
    plain: dict[str, Any] = plain_values(facts)
    return plain
