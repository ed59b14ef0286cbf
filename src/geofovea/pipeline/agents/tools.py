"""The tools of agents: one function each, with results made plain before they are sent.

A tool takes the desk, what hears of its progress, and then what an agent gives it. Its
docstring up to ``Raises``, and the texts beside its parameters, are what an agent reads of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from geofovea.errors import GeoFoveaError
from geofovea.pipeline.agents.place_questions import change_facts, place_facts
from geofovea.pipeline.agents.plain import MOST_ITEMS, first_of
from geofovea.pipeline.agents.questions import Tell, answer_facts, ask, measured_facts
from geofovea.pipeline.agents.scene_choice import (
    chosen_box,
    chosen_region,
    chosen_scene,
    ready_scene,
)
from geofovea.pipeline.agents.window_picture import LARGEST_SIDE, WindowPicture, window_picture
from geofovea.pipeline.answers.page.data import model_name
from geofovea.pipeline.viewer.desk import Desk
from geofovea.pipeline.viewer.job_request import JobRequest
from geofovea.pipeline.viewer.served_scene import ServedScene
from geofovea.tiling.geo.coordinates import lonlat_from_scene
from geofovea.tiling.pixels.bands import band_descriptions

__all__ = [
    "TOOLS",
    "Tool",
    "ask_scene",
    "compare_dates",
    "count_places",
    "find_places",
    "inspect_scene",
    "look_at",
    "measure",
]

Tool = Callable[..., Awaitable[dict[str, Any] | WindowPicture]]
"""An async function of ``(desk, tell, ...)``."""

_FACTS = (
    *("id", "name", "width", "height", "bands", "dtype", "crs", "georef", "gsd_m"),
    *("shown", "warnings", "ready", "error"),
)

SceneId = Annotated[str, "Id of the scene; may be left out where there is one scene only."]
PixelBox = Annotated[
    list[float] | None,
    "[x0, y0, x1, y1] in scene pixels, x to the right and y down; left out for the whole scene.",
]
DegreeBox = Annotated[
    list[float] | None,
    "[west, south, east, north] in degrees instead of box; the scene must have a georeference.",
]


async def inspect_scene(
    desk: Desk,
    tell: Tell,  # noqa: ARG001  (every tool takes the same)
    scene: Annotated[str, "Id of a scene; left out for all."] = "",
    skip: Annotated[int, "How many scenes to pass over, where a list did not hold all."] = 0,
) -> dict[str, Any]:
    """List the scenes that can be asked about, with facts about each.

    Facts are the id, the size in pixels, the place, the size of a pixel on the ground, the bands
    with what the file calls each (descriptions), and what to be careful about. No pixels are read.

    Raises:
        NoSuchSceneError: If no scene has the id.
    """
    first = max(0, skip)
    scenes = [chosen_scene(desk, scene)] if scene else list(desk.scenes.values())[first:]
    what = "further scenes" if first else "scenes"
    listed, notes = first_of(scenes, MOST_ITEMS, what, f"skip={first + MOST_ITEMS} lists the next")
    facts = await asyncio.to_thread(lambda: [_facts_of(one) for one in listed])
    host = desk.host
    return {
        "model": model_name(host.name),
        "model_knows": host.capabilities.domain,
        "scenes": facts,
        "scenes_total": len(desk.scenes),
        "warnings": notes,
    }


async def ask_scene(
    desk: Desk,
    tell: Tell,
    question: Annotated[str, "One question in English; each stands alone."],
    scene: SceneId = "",
    box: PixelBox = None,
    lonlat_box: DegreeBox = None,
    choices: Annotated[
        list[str] | None, "Answers to choose from, if only some are possible."
    ] = None,
    max_tiles: Annotated[int | None, "Most tiles to look at; fewer are faster."] = None,
    max_tokens: Annotated[int | None, "Most vision tokens to answer from."] = None,
) -> dict[str, Any]:
    """Ask a question about a scene of any size.

    The model searches from coarse to fine. It answers with a confidence, warnings, and the places
    that it read, in pixels and on the ground.

    Raises:
        NoSuchSceneError: If no scene has the id.
        GeoFoveaError: If the question is refused or fails; see ``ask``.
    """
    served = chosen_scene(desk, scene)
    region = chosen_region(served.session.scene, box, lonlat_box)
    limits = {"tiles": max_tiles, "tokens": max_tokens}
    request = JobRequest(
        served.id,
        question,
        region=region,
        budget={name: limit for name, limit in limits.items() if limit is not None},
        choices=tuple(choices or ()),
    )
    return answer_facts(await ask(desk, request, tell))


async def measure(
    desk: Desk,
    tell: Tell,
    question: Annotated[
        str,
        "About named places: how far is the pond from the school, is the pond north of the school, "
        "which is larger, the pond or the lake, which truck is the northernmost.",
    ],
    scene: SceneId = "",
    box: PixelBox = None,
    lonlat_box: DegreeBox = None,
    max_tiles: Annotated[int | None, "Most tiles to look at; fewer are faster."] = None,
) -> dict[str, Any]:
    """Measure distance, direction or size of places that the question names.

    The model finds the places, and the numbers are computed from where they lie, with units and
    errors. The result has the places and lines as GeoJSON.

    Raises:
        NoSuchSceneError: If no scene has the id.
        QuestionError: If the question asks for no measure.
        AnswerError: If a place was not found, or its name may mean several.
        GeoFoveaError: If the question is refused or fails; see ``ask``.
    """
    served = chosen_scene(desk, scene)
    region = chosen_region(served.session.scene, box, lonlat_box)
    request = JobRequest(
        served.id,
        question,
        region=region,
        budget={} if max_tiles is None else {"tiles": max_tiles},
        task="measure",
    )
    return measured_facts(await ask(desk, request, tell))


async def look_at(
    desk: Desk,
    tell: Tell,  # noqa: ARG001  (every tool takes the same)
    scene: SceneId = "",
    box: PixelBox = None,
    lonlat_box: DegreeBox = None,
    max_side: Annotated[int, f"Most pixels along a side, 16 to {LARGEST_SIDE}."] = 768,
) -> WindowPicture:
    """Show a scene, or a window of it, as a picture.

    The picture has the pixels that the model sees, at the finest level that fits. Smaller windows
    show more detail. Missing pixels are gray.

    Raises:
        NoSuchSceneError: If no scene has the id.
        SceneError: If its levels are being built, or it cannot be read.
        GeometryError: If the window is not a box, or lies outside the scene.
    """
    served = ready_scene(desk, scene)
    window = chosen_box(served.session.scene, box, lonlat_box) or served.session.scene.box
    return await asyncio.to_thread(window_picture, served.session, window, max_side)


async def find_places(
    desk: Desk,
    tell: Tell,
    phrase: Annotated[str, "What to find, such as: red truck."],
    scene: SceneId = "",
    box: PixelBox = None,
    lonlat_box: DegreeBox = None,
    sweep: Annotated[bool, "Look at every native tile, not only at the likeliest."] = False,
    max_tiles: Annotated[
        int | None,
        "Most tiles to look at; left out for 128, or in a sweep for all that the server allows.",
    ] = None,
) -> dict[str, Any]:
    """Find every place of a scene that shows something.

    Each place has a box in pixels, its outline on the ground, and a score. The coverage says how
    much of the scene was looked at, and how much of what is there was probably found.

    Raises:
        NoSuchSceneError: If no scene has the id.
        GeoFoveaError: If the phrase is refused or the search fails; see ``ask``.
    """
    boxes = (box, lonlat_box)
    return await place_facts(desk, tell, "find", phrase, scene, boxes, max_tiles, sweep=sweep)


async def count_places(
    desk: Desk,
    tell: Tell,
    phrase: Annotated[str, "What to count, such as: truck."],
    scene: SceneId = "",
    box: PixelBox = None,
    lonlat_box: DegreeBox = None,
    max_tiles: Annotated[
        int | None, "Most tiles to look at; left out for 128. The interval is wider with fewer."
    ] = None,
) -> dict[str, Any]:
    """Count something over a scene, with a 95 % interval.

    All native tiles are looked at if the limit allows it, else a sample of them.

    Raises:
        NoSuchSceneError: If no scene has the id.
        GeoFoveaError: If the phrase is refused or the count fails; see ``ask``.
    """
    boxes = (box, lonlat_box)
    return await place_facts(desk, tell, "count", phrase, scene, boxes, max_tiles)


async def compare_dates(
    desk: Desk,
    tell: Tell,
    before: Annotated[str, "Id of the earlier scene."],
    after: Annotated[str, "Id of the later scene of the same place."],
    question: Annotated[
        str, "A question about both dates; left out to list the places that changed."
    ] = "",
    phrase: Annotated[str, "List only where this came or went, such as: truck."] = "",
    max_tiles: Annotated[
        int | None, "Most tiles of both dates together; left out for 128 where changes are listed."
    ] = None,
    box: Annotated[
        list[float] | None,
        "[x0, y0, x1, y1] in pixels of the later scene; left out for all that both show.",
    ] = None,
    lonlat_box: DegreeBox = None,
) -> dict[str, Any]:
    """Compare two scenes of one place: list what changed, or ask about it.

    The scenes are aligned by the ground. Boxes are pixels of the scene that the result names, the
    one with the finer pixels. A change is scored by how much more it differs than places usually
    do. Shadows, seasons and clouds differ, too.

    Raises:
        NoSuchSceneError: If no scene has the id.
        QuestionError: If the scenes are one, or both a question and a phrase are given.
        AlignmentError: If the scenes share no ground.
        GeoFoveaError: If the comparison is refused or fails; see ``ask``.
    """
    return await change_facts(
        desk, tell, (before, after), question, phrase, max_tiles, (box, lonlat_box)
    )


TOOLS: tuple[Tool, ...] = (
    inspect_scene,
    ask_scene,
    find_places,
    count_places,
    measure,
    compare_dates,
    look_at,
)
"""All of them, in the order in which an agent should read them."""


def _facts_of(served: ServedScene) -> dict[str, Any]:
    facts = served.to_json()
    scene, pyramid = served.session.scene, served.session.pyramid
    row = {name: facts[name] for name in _FACTS}
    try:
        descriptions = band_descriptions(scene)
    except GeoFoveaError as error:
        # a file that is gone since must not hide the other scenes
        row["warnings"] = [*row["warnings"], served.without_paths(str(error))]
    else:
        row["descriptions"] = list(descriptions)
    row["levels"] = pyramid.top_level + 1
    row["footprint"] = lonlat_from_scene(scene, scene.box)
    if scene.description:
        row["description"] = scene.description
    return row
