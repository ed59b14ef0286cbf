"""One question on its way: its events, who listens to them, and its result."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable
from typing import Any, Literal

import shapely

from geofovea.errors import CancelledError, GeoFoveaError
from geofovea.pipeline.answers.answer import Answer
from geofovea.pipeline.places.count import Count
from geofovea.pipeline.places.place_list import Places
from geofovea.pipeline.session.request import AskRequest
from geofovea.pipeline.viewer.events import Event, JobWatcher, to_text
from geofovea.pipeline.viewer.place_work import Task
from geofovea.pipeline.viewer.public_text import without_paths
from geofovea.pipeline.viewer.served_scene import ServedScene
from geofovea.tiling.geo.region import Region
from geofovea.tiling.machine.forks import ForkSafeLock

__all__ = ["AnswerError", "Job", "JobState"]

JobState = Literal["queued", "running", "answered", "failed", "cancelled"]

_ENDED: dict[str, JobState] = {"answer": "answered", "error": "failed", "cancelled": "cancelled"}


class AnswerError(GeoFoveaError):
    """A question was accepted, but has no answer."""


class Job:
    """A question about one scene. Threads may share it.

    Attributes:
        id: By which pages name it; nobody can guess it.
        scene: What is asked about.
        request: What is asked.
        asked_at: When, in seconds since 1970.
        answer: What was answered, once it is there.
        task: What is done with the question: it is asked, or what it names is found or counted.
        sweep: Whether finding looks at every native tile.
        before: The earlier scene of two that are compared; None for one scene.
        places: What was found, counted or changed; None of a question that was asked.
        watcher: Hears of the question, and ends it.
    """

    def __init__(
        self,
        scene: ServedScene,
        request: AskRequest,
        task: Task = "ask",
        *,
        sweep: bool = False,
        before: ServedScene | None = None,
        worded: Callable[[str], str] = str,
    ) -> None:
        """Take what is asked; nothing is done yet.

        Args:
            scene: What is asked about.
            request: What is asked.
            task: What is done with the question.
            sweep: Whether finding looks at every native tile.
            before: The earlier scene of two that are compared.
            worded: See ``Desk``.
        """
        self.id = secrets.token_urlsafe(12)
        self.scene = scene
        self.request = request
        self.task, self.sweep, self.before = task, sweep, before
        self.asked_at = time.time()
        self.answer: Answer | None = None
        self.places: Places | Count | None = None
        self.watcher = JobWatcher(self.post)
        self._worded = worded
        self._since = time.monotonic()
        self._state: JobState = "queued"
        self._lock = ForkSafeLock()
        self._events: list[Event] = []
        self._listeners: list[Callable[[], None]] = []
        self.nbytes = 0

    @property
    def state(self) -> JobState:
        """How far it is."""
        return self._state

    @property
    def scenes(self) -> tuple[ServedScene, ...]:
        """What it is about, the later date first."""
        return (self.scene,) if self.before is None else (self.scene, self.before)

    def scene_at(self, path: str) -> ServedScene:
        """The one of its scenes in whose pixels a result lies; of two dates that may be either."""
        return next((each for each in self.scenes if each.session.scene.path == path), self.scene)

    @property
    def error(self) -> str:
        """Why a scene of it cannot be asked about; empty if all can."""
        return next((scene.error for scene in self.scenes if scene.error), "")

    def told(self, text: str) -> str:
        """A text for whoever asked, with names in place of paths, and options of the server."""
        known = (path for scene in self.scenes for path in scene.paths)
        return self._worded(without_paths(text, *known))

    @property
    def has_ended(self) -> bool:
        """Whether no event follows."""
        return self._state not in ("queued", "running")

    def post(self, name: str, data: dict[str, Any]) -> None:
        """Add an event and wake who listens; what comes after the end is dropped."""
        text = to_text(data, self._since)
        with self._lock:
            if self.has_ended:
                return
            event = Event(len(self._events) + 1, name, text)
            self._events.append(event)
            self.nbytes += len(text)
            if name == "started":
                self._state = "running"
            self._state = _ENDED.get(name, self._state)
            listeners = tuple(self._listeners)
        for wake in listeners:
            wake()

    def result(self) -> Answer:
        """The answer of a job that has ended.

        Raises:
            AnswerError: If it failed; the message is what pages are told.
            CancelledError: If somebody ended it.
        """
        if self.answer is not None:
            return self.answer
        last = self.events_after(0)[-1]
        if last.name == "error":
            raise AnswerError(json.loads(last.text)["message"])
        raise CancelledError("the question was canceled")

    def events_after(self, number: int) -> tuple[Event, ...]:
        """The events behind that of a number; 0 for all."""
        with self._lock:
            return tuple(self._events[max(0, number) :])

    def listen(self, wake: Callable[[], None]) -> Callable[[], None]:
        """Call a function at each event from now on, in the thread that posts it.

        Returns:
            A function that ends it.
        """
        with self._lock:
            self._listeners.append(wake)

        def leave() -> None:
            with self._lock:
                if wake in self._listeners:
                    self._listeners.remove(wake)

        return leave

    def to_json(self) -> dict[str, Any]:
        """A line of the history."""
        answer, region = self.answer, self.request.region
        return {
            "job": self.id,
            "scene": self.scene.id,
            "before": None if self.before is None else self.before.id,
            "question": self.request.question,
            "task": self.task,
            "state": self._state,
            "asked_at": round(self.asked_at, 3),
            "region": None if region is None else _rings(region),
            "answer": None if answer is None else answer.text,
            "confidence": answer.confidence if answer and answer.confidence_known else None,
        }


def _rings(region: Region) -> list[list[list[float]]]:
    """The outlines of a region's parts, ``[[x, y], ...]`` in scene pixels, not closed."""
    parts = shapely.get_parts(region.geometry)
    return [[list(point) for point in part.exterior.coords[:-1]] for part in parts]
