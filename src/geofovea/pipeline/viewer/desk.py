"""The desk: questions about several scenes wait in one queue, and one thread asks the model."""

from __future__ import annotations

import threading
import traceback
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from geofovea.errors import CancelledError, GeoFoveaError
from geofovea.pipeline.answers.answer import Answer
from geofovea.pipeline.answers.page.data import model_name
from geofovea.pipeline.dates.stack import make_stack
from geofovea.pipeline.hosts.base import Host
from geofovea.pipeline.places.as_answer import places_as_answer
from geofovea.pipeline.session.options import AnswerOptions
from geofovea.pipeline.system.failure import failure_of
from geofovea.pipeline.system.terminal import echo
from geofovea.pipeline.viewer.job import Job
from geofovea.pipeline.viewer.job_request import JobRequest
from geofovea.pipeline.viewer.place_work import (
    TASKS,
    boxes_by_scene,
    compare_dates,
    find_or_count,
    search_budget,
    shown_data,
)
from geofovea.pipeline.viewer.public_text import without_paths
from geofovea.pipeline.viewer.served_scene import ServedScene
from geofovea.regionfocus.budget import Budget
from geofovea.tiling.machine.forks import renew_after_fork

__all__ = ["Desk", "DeskFullError", "NoSuchSceneError"]

_MOST_WAITING = 16
_MOST_JOBS = 100
_MOST_EVENT_BYTES = 32 * 2**20
_CLOSING_SECONDS = 5.0
MODEL_FAILED = "the model failed; see the terminal"
"""What a page is told of an error that is not ours: its words may hold anything."""


class DeskFullError(GeoFoveaError):
    """As many questions wait as may."""


class NoSuchSceneError(GeoFoveaError):
    """No scene has such an id."""


class Desk:
    """Takes questions, and lets one thread answer them in turn. Threads may share it.

    A question about a scene whose levels are being built lets later ones about other scenes go
    first.

    Attributes:
        scenes: By id.
        host: Answers.
        budget: The most that a question may spend.
        search_budget: The most that finding or counting may spend.
    """

    def __init__(
        self,
        scenes: Sequence[ServedScene],
        host: Host,
        *,
        budget: Budget | None = None,
        search_tiles: int | None = None,
        options: AnswerOptions | None = None,
        most_waiting: int = _MOST_WAITING,
        worded: Callable[[str], str] = str,
    ) -> None:
        """Start the thread that asks, and one that prepares scenes, one after the other.

        Args:
            scenes: What may be asked about.
            host: The model of their sessions.
            budget: The most that a question may spend; the model's own by default.
            search_tiles: Most tiles of finding or counting; see ``search_budget``.
            options: How questions are answered.
            most_waiting: Questions that may wait beside the one that is answered.
            worded: Names the options of whoever serves the scenes in warnings and errors, which
                have them as arguments of Python.
        """
        self.scenes = {scene.id: scene for scene in scenes}
        self.host = host
        self.budget = budget or host.default_budget
        self.search_budget = search_budget(host, self.budget, search_tiles)
        self._options = options or AnswerOptions()
        self._most_waiting = most_waiting
        self._worded = worded
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._waiting: list[Job] = []
        self._running: Job | None = None
        self._is_closed = False
        self._renew()
        # a child of a fork has none of the threads that answer; it must not wait for them either
        renew_after_fork(self, Desk._renew)
        self._thread = threading.Thread(target=self._work, name="geofovea-desk", daemon=True)
        self._thread.start()
        unready = [scene for scene in scenes if not scene.is_ready]
        if unready:
            args = (unready,)
            threading.Thread(target=self._prepare, args=args, daemon=True).start()

    def _renew(self) -> None:
        self._changed = threading.Condition()

    def to_json(self) -> dict[str, Any]:
        """What a page knows before it asks."""
        return {
            "model": model_name(self.host.name),
            "domain": self.host.capabilities.domain,
            "choices": self.host.capabilities.choices,
            "budget": self.budget.to_json(),
            "search_budget": self.search_budget.to_json(),
            "scenes": [scene.to_json() for scene in self.scenes.values()],
        }

    def without_paths(self, text: str) -> str:
        """A text in which paths of this machine are names; see ``ServedScene``."""
        return without_paths(
            text, *(path for scene in self.scenes.values() for path in scene.paths)
        )

    def submit(self, sent: JobRequest) -> Job:
        """Take a question.

        Raises:
            NoSuchSceneError: If it is about none of the scenes.
            DeskFullError: If too many wait.
            GeoFoveaError: If it cannot be asked; see ``JobRequest.request``.
        """
        scene = self._scene(sent.scene)
        before = self._scene(sent.before) if sent.before else None
        is_question = sent.task in ("ask", "compare", "measure")
        most = self.budget if is_question else self.search_budget
        try:
            request = sent.request(scene.session.scene, most, self._options)
        except GeoFoveaError as error:
            error.args = (scene.without_paths(str(error)),)
            raise
        job = Job(scene, request, sent.task, sweep=sent.sweep, before=before, worded=self._worded)
        with self._changed:
            if self._is_closed or len(self._waiting) >= self._most_waiting:
                raise DeskFullError(
                    f"{len(self._waiting)} questions wait already: ask again when one is answered"
                )
            ahead = len(self._waiting) + (self._running is not None)
            what = {"question": job.request.question, "task": job.task}
            job.post("queued", {"job": job.id, **what, "before": ahead})
            if job.error:
                job.post("error", {"type": "SceneError", "message": job.error})
            else:
                self._waiting.append(job)
            self._jobs[job.id] = job
            self._forget_oldest()
            self._changed.notify_all()
        return job

    def _scene(self, scene_id: str) -> ServedScene:
        if scene_id not in self.scenes:
            raise NoSuchSceneError(f"there is no scene {scene_id!r:.40}")
        return self.scenes[scene_id]

    def jobs(self) -> list[Job]:
        """All that are known and a page could have asked, newest first."""
        with self._changed:
            return [job for job in reversed(self._jobs.values()) if job.task in TASKS]

    def job(self, job_id: str) -> Job | None:
        """One of them."""
        with self._changed:
            return self._jobs.get(job_id)

    def cancel(self, job_id: str) -> bool:
        """End a job, or forget one that has ended.

        Returns:
            Whether there is such a job.
        """
        with self._changed:
            job = self._jobs.get(job_id)
            if job is None:
                return False
            if job.has_ended:
                del self._jobs[job_id]
                return True
            job.watcher.cancel()
            if job in self._waiting:
                self._waiting.remove(job)
                job.post("cancelled", {})
        return True

    def close(self) -> None:
        """End all jobs, and wait a few seconds for the one that is answered."""
        with self._changed:
            self._is_closed = True
            for job in self._waiting:
                job.post("cancelled", {})
            self._waiting.clear()
            if self._running is not None:
                self._running.watcher.cancel()
            self._changed.notify_all()
        self._thread.join(_CLOSING_SECONDS)

    def _work(self) -> None:
        while (job := self._next()) is not None:
            try:
                self._answer(job)
            finally:
                with self._changed:
                    self._running = None

    def _next(self) -> Job | None:
        """The first job whose scene is ready; None once the desk is closed."""
        with self._changed:
            while not self._is_closed:
                for job in self._waiting:
                    if all(scene.is_ready for scene in job.scenes):
                        self._waiting.remove(job)
                        self._running = job
                        return job
                self._changed.wait()
        return None

    def _answer(self, job: Job) -> None:
        session = job.scene.session
        pyramid = session.pyramid
        levels = {"top": pyramid.top_level, "base": pyramid.base_level, "tile": pyramid.tile_size}
        job.post("started", levels)
        try:
            answer, data = _compared(job) if job.before is not None else _answered(job)
        except CancelledError:
            job.post("cancelled", {})
        except GeoFoveaError as error:
            message = job.told(str(error))
            job.post("error", {"type": type(error).__name__, "message": message})
        except BaseException as error:  # whatever a library raises ends its question alone
            failure = failure_of(error)
            echo("".join(traceback.format_exception(failure)), err=True, lines=True)
            job.post("error", {"type": "ModelError", "message": MODEL_FAILED})
        else:
            job.answer = answer
            job.post("answer", data)

    def _prepare(self, scenes: Sequence[ServedScene]) -> None:
        for scene in scenes:
            scene.prepare(partial(self._told, scene))

    def _told(self, scene: ServedScene) -> None:
        """Something happened to a scene that is prepared: its questions hear of it."""
        with self._changed:
            waiting = [job for job in self._waiting if scene in job.scenes]
            for job in waiting:
                if scene.error:
                    self._waiting.remove(job)
                    job.post("error", {"type": "SceneError", "message": scene.error})
                elif not scene.is_ready:
                    job.post("preparing", {"share": round(scene.share, 3)})
            self._changed.notify_all()

    def _forget_oldest(self) -> None:
        """Forget jobs that have ended, the oldest first, beyond what may be kept."""
        ended = [job for job in self._jobs.values() if job.has_ended]
        count, nbytes = len(self._jobs), sum(job.nbytes for job in self._jobs.values())
        for job in ended:
            if count <= _MOST_JOBS and nbytes <= _MOST_EVENT_BYTES:
                return
            del self._jobs[job.id]
            count, nbytes = count - 1, nbytes - job.nbytes


def _answered(job: Job) -> tuple[Answer, dict[str, Any]]:
    """Do what a job about one scene asks for, on the calling thread; its answer as pages get it."""
    session, request = job.scene.session, job.request
    if job.task in ("ask", "measure"):
        answer = session.answer(request, watch=job.watcher)
    else:
        job.places = find_or_count(session, job.task, request, job.watcher, sweep=job.sweep)
        answer = places_as_answer(session, request, job.places)
    answer = _told(answer, job)
    return answer, shown_data(answer, job.scene.name)


def _compared(job: Job) -> tuple[Answer, dict[str, Any]]:
    """Do what a job about two dates asks for; each place has its box in both scenes."""
    after, before = (scene.session for scene in job.scenes)
    stack = make_stack((before.scene, after.scene))
    ids = [scene.id for scene in reversed(job.scenes)]
    job.post("aligned", {"scene": ids[stack.reference]})
    answer, job.places = compare_dates(stack, before, after, job.task, job.request, job.watcher)
    answer = _told(answer, job)
    data = shown_data(answer, job.scene_at(answer.scene.path).name)
    rows = data["answer"]["evidence"] or []
    boxes = boxes_by_scene(stack, ids, [item.box_scene for item in answer.evidence][: len(rows)])
    for row, box in zip(rows, boxes, strict=True):
        row["box_by_scene"] = box
    return answer, data


def _told(answer: Answer, job: Job) -> Answer:
    """An answer for whoever asked: options of the server in its warnings, and no path."""
    own, told = model_name(answer.model), tuple(map(job.told, answer.warnings))
    measured = answer.measurement
    if measured is not None:
        measured = replace(measured, model=own, warnings=tuple(map(job.told, measured.warnings)))
    return replace(answer, model=own, warnings=told, measurement=measured)
