"""Which worker takes which item: group by group, shared out when a worker has nothing left."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import islice

from geofovea.pipeline.runs.item import Item

__all__ = ["ItemQueue"]


class ItemQueue:
    """Items in groups, handed out one by one.

    A worker keeps to its group, because what it has read for one item serves the next. When no
    group is left untouched, a worker without one takes the later half of the largest rest, so the
    last group of a run does not keep one worker busy and all others waiting. Items that took their
    worker down with them come last, so they cannot keep the others from being answered.
    """

    def __init__(self, items: Sequence[Item], *, last: Sequence[Item] = ()) -> None:
        """Group the items.

        Args:
            items: In the order in which their groups are to be worked on.
            last: Items that come after all others, each by itself.
        """
        groups: dict[str, deque[Item]] = {}
        for item in items:
            groups.setdefault(item.group, deque()).append(item)
        self._waiting = deque(groups.values())
        self._in_hand: dict[int, deque[Item]] = {}
        self._last = deque(last)

    def take(self, worker: int) -> Item | None:
        """The next item for a worker; None if there is none left."""
        rest = self._in_hand.get(worker)
        if not rest:
            rest = self._waiting.popleft() if self._waiting else self._later_half()
            self._in_hand[worker] = rest
        if rest:
            return rest.popleft()
        return self._last.popleft() if self._last else None

    def ahead(self, worker: int, count: int) -> list[Item]:
        """The items of its group that a worker will be given next, unless another takes them."""
        return list(islice(self._in_hand.get(worker, ()), count))

    def put_last(self, item: Item) -> None:
        """Hand an item out again, after all others."""
        self._last.append(item)

    def _later_half(self) -> deque[Item]:
        largest = max(self._in_hand.values(), key=len, default=deque[Item]())
        half = [largest.pop() for _ in range((len(largest) + 1) // 2)]
        return deque(reversed(half))
