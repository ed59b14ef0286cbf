"""One piece of work of a run, what does it, and what can become of it.

A run is a list of items and one kind of work. The work is sent to every worker (this process,
another one, an actor on another machine) and opened there once; items follow one by one.
"""

from __future__ import annotations

import errno
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from geofovea.errors import (
    EndpointUnavailableError,
    GeoFoveaError,
    MissingExtraError,
    OutputError,
    SpendLimitError,
)
from geofovea.pipeline.system.failure import failure_of
from geofovea.tiling.remote.names import without_secrets

__all__ = [
    "OF_THE_RUN",
    "Died",
    "Done",
    "Failed",
    "Halted",
    "Item",
    "ItemKey",
    "Record",
    "Result",
    "TookTooLong",
    "Work",
    "Worker",
    "carry_out",
    "in_one_line",
]

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


@dataclass(frozen=True, slots=True)
class Done:
    """The item was answered.

    Attributes:
        record: The answer as JSON text.
    """

    record: str


@dataclass(frozen=True, slots=True)
class Failed:
    """The item cannot be answered: a bad scene, an impossible question.

    Attributes:
        error: One line: the kind of the error and its message.
    """

    error: str


@dataclass(frozen=True, slots=True)
class Halted:
    """No item can be answered as things are: a full disk, a used up limit, no endpoint.

    Attributes:
        error: One line: what is missing.
    """

    error: str


@dataclass(frozen=True, slots=True)
class Died:
    """The worker is gone, with the item that it had.

    Attributes:
        how: How it ended.
        was_ready: Whether it had opened its work; if not, the item is not to blame.
    """

    how: str
    was_ready: bool


@dataclass(frozen=True, slots=True)
class TookTooLong:
    """The item had its time and no end was to be seen, so its worker was ended with it.

    Attributes:
        seconds: The time that an item may take.
    """

    seconds: float


Result = Done | Failed | Halted | Died | TookTooLong

OF_THE_RUN = (OutputError, MissingExtraError, SpendLimitError, EndpointUnavailableError)
"""Errors that say something about the machine or what a run may spend, and nothing of an item."""
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def carry_out(worker: Worker, group: str, payload: Mapping[str, Any]) -> Done | Failed | Halted:
    """Let a worker answer one item; nothing but an interrupt gets out of here.

    Errors that say something about the machine, the purse or the endpoint and nothing about the
    item (a full disk, a missing package, a spend limit, an endpoint that is down) halt a run: the
    item is not spoilt by them, and the next run does it.
    """
    try:
        # NaN is no JSON: such a record would spoil the file of all answers
        return Done(json.dumps(worker(group, payload), allow_nan=False))
    except OF_THE_RUN as error:
        return Halted(without_secrets(str(error)))
    except BaseException as error:  # whatever a model or a decoder raises is this item's failure
        failure = failure_of(error)
        if isinstance(failure, OSError) and failure.errno in _NO_ROOM:
            return Halted(in_one_line(failure))
        return Failed(in_one_line(failure))


def in_one_line(error: BaseException) -> str:
    """The kind of an error and its message; where in the code, if it is none of our own kinds."""
    text = without_secrets(" ".join(f"{type(error).__name__}: {error}".split()))
    if isinstance(error, GeoFoveaError) or error.__traceback__ is None:
        return text
    place = error.__traceback__
    while place.tb_next is not None:
        place = place.tb_next
    return f"{text} ({place.tb_frame.f_code.co_filename}:{place.tb_lineno})"
