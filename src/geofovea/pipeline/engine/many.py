"""Several questions about one scene: together as far as they can be, each with its own answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol, TypeVar

from geofovea.pipeline.engine.batching import answer_together
from geofovea.pipeline.engine.tile_tokens import TileTokens
from geofovea.pipeline.hosts.base import Host, SupportsBatching
from geofovea.pipeline.system.failure import failure_of

__all__ = ["CanBeBatched", "answer_each"]

Result = TypeVar("Result")


class CanBeBatched(Protocol):
    """A question that knows whether it costs the same beside others."""

    @property
    def can_be_batched(self) -> bool:
        """Whether it does."""
        ...


def answer_each(
    host: Host,
    tiles: TileTokens | None,
    answer: Callable[..., Result],
    requests: Sequence[CanBeBatched],
) -> list[Result | Exception]:
    """Answer several questions; see ``SceneSession.answer_many``.

    Args:
        host: The model.
        tiles: Of the scene; None answers each question alone.
        answer: Answers a request, with the calls of a batch where it is one of several.
        requests: The questions.

    Returns:
        An answer for each question, or the error that prevented it.
    """
    answers = dict[int, Result | Exception]()
    batch = [i for i, each in enumerate(requests) if each.can_be_batched]
    if isinstance(host, SupportsBatching) and tiles is not None and len(batch) > 1:
        works = [partial(answer, requests[i]) for i in batch]
        answers |= zip(batch, answer_together(host, tiles, works), strict=True)
    for i, each in enumerate(requests):
        if i not in answers:
            try:
                answers[i] = answer(each)
            except BaseException as error:  # in place of the answer, like those of others
                answers[i] = failure_of(error)
    return [answers[i] for i in range(len(requests))]
