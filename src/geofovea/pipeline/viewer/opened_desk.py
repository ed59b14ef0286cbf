"""Scenes and a model as a desk that takes questions, for the verbs that stay and answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from geofovea.pipeline.session.plan import check_options
from geofovea.pipeline.session.settings import AskSettings
from geofovea.pipeline.viewer.desk import Desk
from geofovea.pipeline.viewer.served_scene import ServedScene
from geofovea.tiling.opening import open_scene

__all__ = ["open_desk"]


def open_desk(
    scenes: Sequence[str],
    settings: AskSettings,
    *,
    allow_vrt: bool,
    allow_remote: bool,
    allowed_hosts: tuple[str, ...],
    worded: Callable[[str], str],
) -> Desk:
    """Open scenes, load the model, and start the desk; close it at the end.

    Args:
        scenes: Paths or addresses; their ids count up from 1.
        settings: The model, and how questions are answered.
        allow_vrt: See ``open_scene``.
        allow_remote: See ``open_scene``.
        allowed_hosts: See ``open_scene``.
        worded: See ``Desk``.

    Raises:
        SceneError: If a scene cannot be opened; before the model is loaded.
        ModelError: If the model cannot be loaded, or none is named and a scene is not synthetic, or
            if no question can be answered with these settings.
    """
    opened = [
        open_scene(
            scene,
            allow_vrt=allow_vrt,
            allow_remote=allow_remote,
            allowed_hosts=allowed_hosts,
            nodata=settings.nodata,
        )
        for scene in scenes
    ]
    settings = settings.for_scenes(opened)
    model = settings.load_host()
    served = [
        ServedScene(str(number), settings.open_session(scene, model))
        for number, scene in enumerate(opened, 1)
    ]
    for scene in served:
        session = scene.session
        # whoever asks later could not change them
        check_options(
            session.host, settings.options, session.index, has_memory=session.memory is not None
        )
    budget = settings.budget(model.default_budget)
    return Desk(
        served,
        model,
        budget=budget,
        search_tiles=settings.limits.get("tiles"),
        options=settings.options,
        worded=worded,
    )
