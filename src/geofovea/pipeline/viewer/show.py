"""``geofovea.show``: a scene, a session or an answer before somebody's eyes, in a notebook."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from geofovea.pipeline.answers.answer import Answer
from geofovea.pipeline.hosts.base import Host
from geofovea.pipeline.hosts.load_options import AUTO
from geofovea.pipeline.session.session import SceneSession
from geofovea.pipeline.viewer.opened_scene import open_session, widget_class
from geofovea.tiling.scene import Scene

if TYPE_CHECKING:
    from geofovea.pipeline.viewer.widget import SceneWidget

__all__ = ["Shown", "show"]

Shown = Answer | SceneSession | Scene | str | os.PathLike[str]


def show(
    shown: Shown | Sequence[SceneSession | Scene | str | os.PathLike[str]],
    *,
    model: str | Host = AUTO,
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
        NoModelError: If no model is named, and a scene is not synthetic.
        ModelError: If there is no such model.
    """
    if isinstance(shown, Answer):
        return widget_class().of_answer(shown, height=height)
    several = shown if isinstance(shown, Sequence) and not isinstance(shown, str) else [shown]
    return widget_class()([_session(each, model) for each in several], height=height)


def _session(
    shown: SceneSession | Scene | str | os.PathLike[str], model: str | Host
) -> SceneSession:
    if isinstance(shown, SceneSession):
        return shown
    return open_session(shown, model=model)
