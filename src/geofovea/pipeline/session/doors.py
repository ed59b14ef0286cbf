"""Doors of a session to what is made with it, by name: a session knows nothing of that."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, TypeAlias

from geofovea.pipeline.answers.answer import Answer
from geofovea.pipeline.engine.watching import Watcher
from geofovea.pipeline.relations.counts import PartCount
from geofovea.pipeline.relations.place_question import ThingQuestion
from geofovea.pipeline.relations.superlatives import Superlative
from geofovea.pipeline.session.request import AskRequest

__all__ = ["ClassQuestion", "class_answer", "door_to"]

ClassQuestion: TypeAlias = Superlative | PartCount | ThingQuestion
"""What is answered from all places of a class."""

_ANSWERED_BY: Mapping[type[ClassQuestion], str] = {
    Superlative: "answer_extreme",
    PartCount: "answer_part_count",
    ThingQuestion: "answer_things",
}


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


def class_answer(
    session: object,
    request: AskRequest,
    question: ClassQuestion,
    watch: Watcher | None,
) -> Answer:
    """The answer of a ``SceneSession`` to a question for all places of a class.

    See ``places.as_answer``.
    """
    name = _ANSWERED_BY[type(question)]
    answer: Answer = door_to("places.as_answer", name)(session, request, question, watch)
    return answer
