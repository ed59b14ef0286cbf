"""``geofovea.show``: a scene, a session or an answer before somebody's eyes, in a notebook."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from geofovea.errors import MissingExtraError
from geofovea.pipeline.answers.answer import Answer
from geofovea.pipeline.hosts.base import Host
from geofovea.pipeline.hosts.load import EMBEDDED
from geofovea.pipeline.session.ask import host_of
from geofovea.pipeline.session.session import SceneSession
from geofovea.tiling.opening import open_scene
from geofovea.tiling.scene import Scene

if TYPE_CHECKING:
    from geofovea.pipeline.viewer.widget import SceneWidget

__all__ = ["Shown", "show"]

Shown = Answer | SceneSession | Scene | str | os.PathLike[str]


def show(
    shown: Shown | Sequence[SceneSession | Scene | str | os.PathLike[str]],
    *,
    model: str | Host = EMBEDDED,
    height: int = 640,
) -> SceneWidget:
    """A widget with the page of ``geofovea serve``: look around, ask, see where it is read.

    Nothing listens on a port: tiles and events go through the kernel.

    Args:
        shown: A scene, its path, a session, or several of them, to ask about; or an answer, which
            is shown with the pixels that it was read from and needs no model.
        model: Of scenes that come without a session, as for ``ask``.
        height: In pixels of the screen.

    Raises:
        MissingExtraError: If anywidget is not installed.
        SceneError: If a scene cannot be opened, or is not the one that the answer is about.
        ModelError: If there is no such model.
    """
    try:
        from geofovea.pipeline.viewer.widget import SceneWidget
    except ImportError as error:
        if (error.name or "").startswith("geofovea"):
            raise
        raise MissingExtraError("anywidget", "notebook", "show()") from error
    if isinstance(shown, Answer):
        return SceneWidget.of_answer(shown, height=height)
    several = shown if isinstance(shown, Sequence) and not isinstance(shown, str) else [shown]
    return SceneWidget([_session(each, model) for each in several], height=height)


def _session(
    shown: SceneSession | Scene | str | os.PathLike[str], model: str | Host
) -> SceneSession:
    if isinstance(shown, SceneSession):
        return shown
    scene = shown if isinstance(shown, Scene) else open_scene(shown)
    return SceneSession(scene, host_of(model))
