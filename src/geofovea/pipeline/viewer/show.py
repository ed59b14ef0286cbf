"""``geofovea.show``: shows a scene, a session or an answer in a notebook."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

from geofovea._arguments import is_whole
from geofovea._arguments import shown as quoted
from geofovea.errors import ConfigurationError, MissingExtraError
from geofovea.pipeline.answers.answer import Answer
from geofovea.pipeline.hosts.base import Host
from geofovea.pipeline.hosts.load_options import AUTO
from geofovea.pipeline.session.ask import host_of
from geofovea.pipeline.session.model_choice import chosen_model
from geofovea.pipeline.session.session import SceneSession
from geofovea.tiling.opening import Picture, open_scene
from geofovea.tiling.scene import Scene

if TYPE_CHECKING:
    from geofovea.pipeline.viewer.widget import SceneWidget

__all__ = ["Shown", "show"]

Shown: TypeAlias = "Answer | SceneSession | Scene | Picture"


def show(
    shown: Shown | Sequence[SceneSession | Scene | Picture],
    *,
    model: str | Host = AUTO,
    height: int = 640,
) -> SceneWidget:
    """A widget with the page of ``geofovea serve``: look around, ask, see where it is read.

    Nothing listens on a port: tiles and events go through the kernel.

    Args:
        shown: A scene, a picture as for ``ask``, a session, or several of them, to ask about; or an
            answer, which is shown with the pixels that it was read from and needs no model.
        model: Of scenes that come without a session, as for ``ask``; loaded once for all.
        height: In pixels of the screen.

    Raises:
        MissingExtraError: If anywidget is not installed.
        SceneError: If a scene cannot be opened, or is not the one that the answer is about.
        NoModelError: If no model is named, and one of the scenes is not synthetic.
        ModelError: If there is no such model.
        ConfigurationError: If the height is not a whole number of pixels that a page can have.
    """
    try:
        from geofovea.pipeline.viewer.widget import SHORTEST, TALLEST, SceneWidget
    except ImportError as error:
        if (error.name or "").startswith("geofovea"):
            raise
        raise MissingExtraError("anywidget", "notebook", "show()") from error
    if not is_whole(height, SHORTEST, TALLEST):
        raise ConfigurationError(
            f"height={quoted(height)} is no height; give a whole number from {SHORTEST} to "
            f"{TALLEST} pixels"
        )
    if isinstance(shown, Answer):
        return SceneWidget.of_answer(shown, height=height)
    several = shown if isinstance(shown, Sequence) and not isinstance(shown, str) else [shown]
    return SceneWidget(_sessions(several, model), height=height)


def _sessions(
    shown: Sequence[SceneSession | Scene | Picture], model: str | Host
) -> list[SceneSession]:
    opened = [
        each if isinstance(each, SceneSession | Scene) else open_scene(each) for each in shown
    ]
    scenes = [each for each in opened if isinstance(each, Scene)]
    if not scenes:
        return [each for each in opened if isinstance(each, SceneSession)]
    name = chosen_model(model, scenes) if isinstance(model, str) else model
    host = host_of(name, scenes[0], device=AUTO)
    return [each if isinstance(each, SceneSession) else SceneSession(each, host) for each in opened]
