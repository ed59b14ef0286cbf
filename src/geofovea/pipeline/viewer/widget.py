"""The page of the server as a widget of a notebook. Needs the extra ``notebook``."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from contextlib import suppress
from html import escape
from typing import Any

import anywidget
import traitlets

from geofovea._arguments import shown
from geofovea.errors import GeometryError, QuestionError
from geofovea.pipeline.answers.answer import Answer
from geofovea.pipeline.answers.page.assets import PAGE_FILES, read_page_file
from geofovea.pipeline.answers.page.document import MOST_PAGE_BYTES, page_content
from geofovea.pipeline.session.session import SceneSession
from geofovea.pipeline.viewer.desk import Desk
from geofovea.pipeline.viewer.job import Job
from geofovea.pipeline.viewer.job_request import JobRequest
from geofovea.pipeline.viewer.kernel_channel import KernelChannel
from geofovea.pipeline.viewer.served_scene import ServedScene
from geofovea.tiling.pyramid import Box

__all__ = ["SHORTEST", "TALLEST", "SceneWidget"]

SHORTEST, TALLEST = 200, 4000
"""Heights that a widget can have, in pixels of the screen."""

_MOST_SAVED = 5
_WIDGET_TYPE = "application/vnd.jupyter.widget-view+json"


def _asset(path: str) -> str:
    content = read_page_file(PAGE_FILES[path])
    if content is None:
        raise FileNotFoundError("the page was not built: run make web in the source tree")
    return content.decode()


class SceneWidget(anywidget.AnyWidget):
    """Scenes to look around in and to ask about, or one answer.

    ``observe(function, "answer")`` hears of each answer, in the thread that answers.

    Attributes:
        question: What stands in the field for the question; set from both sides.
        region: Corners ``[[x, y], ...]`` in scene pixels that questions are about, or None; set
            from both sides.
        view: The middle of the first map in scene pixels, and scene pixels a screen pixel; set
            from both sides.
        status: What happens, in words.
        height: In pixels of the screen.
        answer: The answer that came last, or None.
    """

    _esm = _asset("/viewer.js")
    _css = _asset("/viewer.css")
    scenes = traitlets.List(traitlets.Dict()).tag(sync=True)
    host = traitlets.Unicode().tag(sync=True)
    budget = traitlets.Dict().tag(sync=True)
    search_budget = traitlets.Dict().tag(sync=True)
    content = traitlets.Dict().tag(sync=True)
    height = traitlets.Int(640, min=SHORTEST, max=TALLEST).tag(sync=True)
    question = traitlets.Unicode().tag(sync=True)
    region: traitlets.List[Any] = traitlets.List(allow_none=True, default_value=None).tag(sync=True)
    status = traitlets.Unicode().tag(sync=True)
    view = traitlets.List(traitlets.Float()).tag(sync=True)
    answer = traitlets.Instance(Answer, allow_none=True)

    def __init__(self, sessions: Sequence[SceneSession] = (), *, height: int = 640) -> None:
        """Show the scenes of sessions, which share one model; see ``geofovea.show``."""
        super().__init__(height=height)
        self._answers: list[Answer] = []
        self._record: Any = None
        self._running: Job | None = None
        if not sessions:
            return
        served = [ServedScene(str(n), session) for n, session in enumerate(sessions, 1)]
        self._desk = Desk(served, sessions[0].host)
        self._channel = KernelChannel(self._desk, self._deliver, self._on_end)
        overview = self._desk.to_json()
        self.host, self.budget = overview["model"], overview["budget"]
        self.search_budget = overview["search_budget"]
        self.scenes = json.loads(json.dumps(overview["scenes"]))
        self.on_msg(lambda _, message, buffers: self._channel.take(message))  # noqa: ARG005

    @classmethod
    def of_answer(cls, answer: Answer, *, height: int = 640) -> SceneWidget:
        """Show one answer with the pixels that it was read from; it needs no model and no kernel.

        Raises:
            SceneError: If the scene is not the file it was, or cannot be read.
        """
        widget = cls(height=height)
        widget.content = page_content(answer, MOST_PAGE_BYTES)
        widget._answers.append(answer)
        widget.answer = answer
        return widget

    @property
    def answers(self) -> tuple[Answer, ...]:
        """All answers since the widget was made, oldest first."""
        return tuple(self._answers)

    def ask(self, question: str) -> Answer:
        """Ask about the first scene, within ``region`` if it is set; the page shows it.

        Raises:
            QuestionError: If the question cannot be asked, or the widget shows an answer.
            CancelledError: If it was stopped.
            AnswerError: If it failed.
        """
        if self.content:
            raise QuestionError("this widget shows an answer: ask with geofovea.show(scene)")
        region = None if self.region is None else {"polygon": self.region}
        job = self._desk.submit(JobRequest(self.scenes[0]["id"], question, region))
        self.question, self._running = question, job
        self._channel.follow(job)
        try:
            _wait(job)
        except KeyboardInterrupt:
            self.cancel()
            raise
        self._on_end(job)
        return job.result()

    def cancel(self) -> None:
        """Stop the questions that wait or are answered."""
        for job in self._desk.jobs():
            if not job.has_ended:
                self._desk.cancel(job.id)

    def zoom_to(self, box: Box | Sequence[float]) -> None:
        """Put a box of scene pixels (x0, y0, x1, y1) into the middle of the first map.

        Raises:
            GeometryError: If it is no box.
        """
        if not isinstance(box, Box):
            try:
                box = Box(*box)
            except TypeError:
                raise GeometryError(
                    "box= is a geofovea.Box or four numbers x0, y0, x1, y1 in scene pixels, got "
                    f"{shown(box)}"
                ) from None
        self._deliver({"kind": "zoom", "box": list(map(float, box.as_tuple()))}, ())

    def close(self) -> None:
        """End the questions and the threads of the widget."""
        if not self.content and self.scenes:
            self._channel.close()
            self._desk.close()
        super().close()

    def _deliver(self, content: dict[str, Any], buffers: Sequence[bytes]) -> None:
        self.send(content, list(buffers))

    def _on_end(self, job: Job) -> None:
        if job.answer is None or any(answer is job.answer for answer in self._answers):
            return
        self._answers.append(job.answer)
        self.answer = job.answer
        if self._record is not None:
            # the thread of the desk goes on, whatever the notebook makes of it
            with suppress(Exception):
                self._record.update(_Saved(self._answers))

    def _ipython_display_(self) -> None:
        """Show the widget, and below it, folded, what a saved notebook keeps of its answers."""
        from IPython.display import display

        bundle = self._repr_mimebundle_()
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
        display(data or {}, metadata=metadata, raw=True)  # type: ignore[no-untyped-call]
        self._record = display(  # type: ignore[no-untyped-call]
            _Saved(self._answers), display_id=True
        )


class _Saved:
    """Answers as a notebook keeps them: without a kernel there is no widget."""

    def __init__(self, answers: Sequence[Answer]) -> None:
        self._answers = tuple(answers[-_MOST_SAVED:])

    def __repr__(self) -> str:
        return "\n".join(f"{answer.question} {answer.text}" for answer in self._answers)

    def _repr_html_(self) -> str:
        return "".join(
            f"<details><summary>{escape(answer.question)} <b>{escape(answer.text)}</b></summary>"
            f"{answer._repr_html_()}</details>"
            for answer in self._answers
        )


def _wait(job: Job) -> None:
    ended = threading.Event()
    job.listen(lambda: ended.set() if job.has_ended else None)
    while not job.has_ended:
        # in pieces, so that an interrupt of the kernel is heard
        ended.wait(0.2)
