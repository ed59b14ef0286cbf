"""The outcome of an item: an answer, a failure, or nothing under the present conditions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from geofovea.errors import (
    EndpointUnavailableError,
    GeoFoveaError,
    MissingExtraError,
    OutputError,
    SpendLimitError,
)
from geofovea.pipeline.runs.item import Worker
from geofovea.pipeline.system.failure import failure_of
from geofovea.tiling.machine.system_errors import NO_ROOM
from geofovea.tiling.remote.names import without_secrets

__all__ = [
    "OF_THE_RUN",
    "Answered",
    "Failed",
    "Halted",
    "Result",
    "TimedOut",
    "WorkerDied",
    "carry_out",
    "in_one_line",
]


@dataclass(frozen=True, slots=True)
class Answered:
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
class WorkerDied:
    """The worker is gone, with the item that it had.

    Attributes:
        how: How it ended.
        was_ready: Whether it had opened its work; if not, the item is not to blame.
    """

    how: str
    was_ready: bool


@dataclass(frozen=True, slots=True)
class TimedOut:
    """The item had its time and no end was to be seen, so its worker was ended with it.

    Attributes:
        seconds: The time that an item may take.
    """

    seconds: float


Result = Answered | Failed | Halted | WorkerDied | TimedOut

OF_THE_RUN = (OutputError, MissingExtraError, SpendLimitError, EndpointUnavailableError)
"""Errors that say something about the machine or what a run may spend, and nothing of an item."""


def carry_out(worker: Worker, group: str, payload: Mapping[str, Any]) -> Answered | Failed | Halted:
    """Let a worker answer one item; nothing but an interrupt gets out of here.

    Errors that say something about the machine, what may be spent or the endpoint, and nothing
    about the item (a full disk, a missing package, a spend limit, an endpoint that is down) halt a
    run: the item is not spoilt by them, and the next run does it.
    """
    try:
        # NaN is not JSON: such a record would spoil the file of all answers
        return Answered(json.dumps(worker(group, payload), allow_nan=False))
    except OF_THE_RUN as error:
        return Halted(without_secrets(str(error)))
    except BaseException as error:  # whatever a model or a decoder raises is this item's failure
        failure = failure_of(error)
        if isinstance(failure, OSError) and failure.errno in NO_ROOM:
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
