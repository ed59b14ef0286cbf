"""The events of a job that a page reads; the last one says how the job ended."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from geofovea.errors import CancelledError
from geofovea.pipeline.answers.page.data import boxes_and_shares, json_text, tile_row
from geofovea.pipeline.engine.watching import Watcher
from geofovea.tiling.pyramid import Box, Tile

__all__ = ["ENDINGS", "Event", "JobWatcher", "Post", "in_page_words", "to_text"]

# the fields of the page; what else may be given is an option of who serves it
_FIELD = re.compile(r"\b(tiles|tokens|region|choices)=(?P<value>\w)?")

ENDINGS = frozenset({"answer", "error", "cancelled"})
"""Exactly one of these ends a job."""

Post = Callable[[str, dict[str, Any]], None]
"""Takes the name of an event and its data."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a job.

    Attributes:
        number: Counts up from 1 within the job.
        name: ``queued``, ``started``, ``preparing``, ``aligned``, ``look``, ``seen``,
            ``scored``, ``reading``, ``answer``, ``error`` or ``cancelled``.
        text: Its data as JSON, in one line.
    """

    number: int
    name: str
    text: str

    @property
    def is_end(self) -> bool:
        """Whether none follows."""
        return self.name in ENDINGS

    def to_sse(self) -> bytes:
        """The event as ``text/event-stream`` has it, in the words of the page."""
        text = self.text
        if self.name == "error":
            data = json.loads(text)
            text = json_text(data | {"message": in_page_words(str(data.get("message", "")))})
        elif self.name == "answer":
            data = json.loads(text)
            answer = data.get("answer", {})
            warnings = [in_page_words(warning) for warning in answer.get("warnings", ())]
            text = json_text(data | {"answer": answer | {"warnings": warnings}})
        return f"id: {self.number}\nevent: {self.name}\ndata: {text}\n\n".encode()


def in_page_words(text: str) -> str:
    """A message of the package by the fields of the page: ``tiles=3`` is its limit ``tiles 3``."""
    return _FIELD.sub(lambda found: " ".join(filter(None, found.groups())), text)


class JobWatcher(Watcher):
    """Turns what happens to a question into events, and ends it when it is canceled."""

    def __init__(self, post: Post) -> None:
        """Take what receives the events."""
        self._post = post
        self._cancelled = False
        self._share = -1.0

    def cancel(self) -> None:
        """End the question at its next step."""
        self._cancelled = True

    @property
    def is_cancelled(self) -> bool:
        """Whether it is to end."""
        return self._cancelled

    def check(self) -> None:
        """See ``Watcher``.

        Raises:
            CancelledError: If the question was canceled.
        """
        if self._cancelled:
            raise CancelledError("the question was canceled")

    def preparing(self, share: float) -> None:
        """See ``Watcher``; a hundred events at most."""
        self.check()
        if share - self._share >= 0.01:
            self._share = share
            self._post("preparing", {"share": round(share, 3)})

    def looking(self, tiles: Mapping[Tile, Box]) -> None:
        """See ``Watcher``."""
        self._post("look", {"tiles": [tile_row(tile, box) for tile, box in tiles.items()]})

    def seen(self, tiles: int, tokens: int) -> None:
        """See ``Watcher``."""
        self._post("seen", {"tiles": tiles, "tokens": tokens})

    def scored(self, level: int, boxes_scene: Tensor, scores: Tensor) -> None:
        """See ``Watcher``."""
        self._post("scored", {"level": level} | boxes_and_shares(boxes_scene, scores))

    def reading(self, tiles: int, tokens: int) -> None:
        """See ``Watcher``."""
        self._post("reading", {"tiles": tiles, "tokens": tokens})


def to_text(data: Mapping[str, Any], since: float) -> str:
    """Data with its age as one line of JSON; NaN and infinity become null.

    Args:
        data: Plain values.
        since: When the job began, as ``time.monotonic`` counts.
    """
    return json_text({"t": round(time.monotonic() - since, 4), **data})
