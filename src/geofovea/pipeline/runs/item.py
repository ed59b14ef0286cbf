"""One piece of work of a run, and what does it.

A run is a list of items and one kind of work. The work is sent to every worker (this process,
another one, an actor on another machine) and opened there once; items follow one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

__all__ = ["Item", "ItemKey", "Record", "Work", "Worker"]

Record = dict[str, Any]
"""What becomes of an item that was answered: ready for ``json.dumps``."""


@dataclass(frozen=True, slots=True, order=True)
class ItemKey:
    """What makes an answer this one and no other.

    Attributes:
        scene: Identity of the scene: its name and what tells its present content from another.
        question: All that is asked, with the place that it is restricted to, if any.
        configuration: Hash of everything else that an answer depends on.
    """

    scene: str
    question: str
    configuration: str


@dataclass(frozen=True, slots=True)
class Item:
    """One piece of work.

    Attributes:
        key: Under this an answer is kept; two items of one key are worked on once.
        group: Items of one group share what a worker keeps, such as an open scene; they go to one
            worker, one after the other, as long as others have something else to do.
        payload: What the worker needs; it is pickled.
    """

    key: ItemKey
    group: str
    payload: Mapping[str, Any]


Worker = Callable[[str, Mapping[str, Any]], Record]
"""Takes the group and the payload of an item. What it raises is the failure of that item."""


class Work(Protocol):
    """What is done to items. It is pickled, so it holds settings and no model."""

    def open(self) -> Worker:
        """Load what all items need; called once in each worker."""
        ...
