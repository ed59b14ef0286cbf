"""Doors of a session to what is made with it, by name: a session knows nothing of that."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from geofovea.pipeline.answers.answer import Answer
from geofovea.pipeline.engine.watching import Watcher
from geofovea.pipeline.relations.superlatives import Superlative
from geofovea.pipeline.session.request import AskRequest

__all__ = ["door_to", "extreme_answer"]


def door_to(module: str, name: str) -> Callable[..., Any]:
    """A function of a folder above this one, imported when it is first used.

    Args:
        module: Within the pipeline, such as ``places.find``.
        name: Of the function, which takes a session first.
    """
    # by its name, as the root does: what is below knows no room above before somebody uses it
    pipeline = __package__.rpartition(".")[0]
    function: Callable[..., Any] = getattr(import_module(f"{pipeline}.{module}"), name)
    return function


def extreme_answer(
    session: object, request: AskRequest, question: Superlative, watch: Watcher | None
) -> Answer:
    """The answer of a ``SceneSession`` to a question for the extreme of a class.

    See ``places.as_answer``.
    """
    answer: Answer = door_to("places.as_answer", "answer_extreme")(
        session, request, question, watch
    )
    return answer
