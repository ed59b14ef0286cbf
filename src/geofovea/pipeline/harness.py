"""The one function behind the models of other people's harnesses: a path and a prompt, an answer.

Scenes are opened from their path and read lazily; the last few stay open, because harnesses ask
about one image several times in a row.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

from geofovea.errors import QuestionError
from geofovea.pipeline.ask_settings import AskSettings
from geofovea.pipeline.load_options import LoadOptions
from geofovea.pipeline.models import EMBEDDED
from geofovea.pipeline.session import SceneSession
from geofovea.regionfocus.strategies import DEFAULT_DESCENT, DEFAULT_REDUCTION
from geofovea.tiling.scene import open_scene

__all__ = ["Answerer", "make_answerer"]

_OPEN_SCENES = 4

Answerer = Callable[[str, str], str]
"""Takes the path of an image and a prompt, gives the text of the answer."""


def make_answerer(
    model: str = EMBEDDED,
    device: str = "cpu",
    *,
    tiles: int | None = None,
    tokens: int | None = None,
    seconds: float | None = None,
    focus: str | None = None,
    reduction: str = DEFAULT_REDUCTION,
    descent: str = DEFAULT_DESCENT,
    dtype: str | None = None,
    device_map: str | None = None,
    quantization: str | None = None,
    positions: str | None = None,
) -> Answerer:
    """Load a model for a harness; numbers may come as text, as harnesses give them.

    Raises:
        ModelError: If the model cannot be loaded.
        BudgetError: If a limit is impossible.
    """
    given: dict[str, Any] = {
        "tiles": None if tiles is None else int(tiles),
        "tokens": None if tokens is None else int(tokens),
        "seconds": None if seconds is None else float(seconds),
    }
    settings = AskSettings(
        model,
        {name: value for name, value in given.items() if value is not None},
        focus=focus,
        reduction=reduction,
        descent=descent,
        load=LoadOptions(device, dtype, device_map, quantization, positions),
    )
    settings.budget()
    host = settings.load_host()
    sessions: OrderedDict[str, SceneSession] = OrderedDict()

    def answer(image: str, prompt: str) -> str:
        session = sessions.get(image) or settings.open_session(open_scene(image), host)
        sessions[image] = session
        sessions.move_to_end(image)
        if len(sessions) > _OPEN_SCENES:
            sessions.popitem(last=False)
        return settings.ask(session, prompt).text

    return answer


def only_image(images: Sequence[str]) -> str:
    """The image of a request: the first, as our own runs have it.

    Raises:
        QuestionError: If there is none.
    """
    if not images:
        raise QuestionError("this model answers questions about images, and none was given")
    return images[0]
