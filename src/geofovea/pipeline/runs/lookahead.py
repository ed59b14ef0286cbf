"""Items to be answered together with an earlier one, handed over on request.

A run hands out items one by one and writes down the end of each. What a worker is likely to be
given next comes along with an item, so that it can be answered in the same batch; for the journal
nothing changes, and what is lost with a worker is asked again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from geofovea.pipeline.runs.item import Item, Record

__all__ = ["Lookahead", "Payload", "with_lookahead"]

Payload = Mapping[str, Any]
_AHEAD = "ahead"


def with_lookahead(item: Item, following: Sequence[Item]) -> Item:
    """An item whose payload holds those of items of its group that may follow."""
    if not following:
        return item
    return Item(item.key, item.group, {**item.payload, _AHEAD: [i.payload for i in following]})


class Lookahead:
    """A worker that answers an item together with what comes along with it."""

    def __init__(
        self,
        answer_all: Callable[[str, Sequence[Payload]], Sequence[Record | Exception]],
        *,
        together: bool = True,
    ) -> None:
        """Take what answers items.

        Args:
            answer_all: Answers several items of a group: a record for each, or why there is none.
            together: Whether it gains by several; one by one, nothing is lost that was paid for.
        """
        self._answer_all = answer_all
        self._together = together
        self._outcomes: list[tuple[str, Payload, Record | Exception]] = []

    def __call__(self, group: str, payload: Payload) -> Record:
        """The record of an item; see ``Worker``."""
        return self.answer(group, payload)

    def remembers(self, group: str, payload: Payload) -> bool:
        """Whether an item was answered along with another and not handed over yet."""
        own = _own(payload)
        return any(g == group and p == own for g, p, _ in self._outcomes)

    def answer(self, group: str, payload: Payload) -> Record:
        """The record of an item; see ``Worker``."""
        own = _own(payload)
        result = self._remembered(group, own)
        if result is None:
            together: list[Payload] = [own, *(payload.get(_AHEAD, ()) if self._together else ())]
            result, *others = self._answer_all(group, together)
            self._outcomes = [(group, p, o) for p, o in zip(together[1:], others, strict=True)]
        if isinstance(result, Exception):
            raise result
        return result

    def _remembered(self, group: str, payload: Payload) -> Record | Exception | None:
        for index, (own_group, own_payload, outcome) in enumerate(self._outcomes):
            if own_group == group and own_payload == payload:
                del self._outcomes[index]
                return outcome
        return None


def _own(payload: Payload) -> dict[str, Any]:
    """The payload of an item without those that came along."""
    return {name: value for name, value in payload.items() if name != _AHEAD}
