"""What a worker keeps between items: its model, and the scene that was asked about last."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from geofovea.errors import SceneError
from geofovea.pipeline.ahead import AnswersAhead, Payload
from geofovea.pipeline.ask_settings import AskSettings
from geofovea.pipeline.failure import failure_of
from geofovea.pipeline.work import Record, Worker

if TYPE_CHECKING:
    from geofovea.pipeline.answer import Answer
    from geofovea.pipeline.asked import Asked
    from geofovea.pipeline.host import Host
    from geofovea.pipeline.session import SceneSession

__all__ = ["KeptScene", "loaded_host"]

Made = TypeVar("Made")


def loaded_host(settings: AskSettings, threads: int | None = None) -> Host:
    """The model of a worker; ``threads`` is how many torch may use, None leaves its own choice.

    Raises:
        ModelError: If it cannot be loaded, or the settings contradict each other.
    """
    from geofovea.pipeline.stop_at import StopAt

    # refused for all items at once
    StopAt(settings.flatness, settings.confidence)
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    return settings.load_host()


class KeptScene:
    """Opens scenes; the last one stays open, because work comes scene by scene."""

    def __init__(
        self, settings: AskSettings, host: Host, access: Mapping[str, Any] | None = None
    ) -> None:
        """Keep how scenes are opened; ``access`` is what ``open_scene`` may open."""
        self._settings = settings
        self._host = host
        self._access = access or {}
        # one: sessions hold hundreds of megabytes
        self._kept = functools.lru_cache(maxsize=1)(self._open)

    def session(self, path: str) -> SceneSession:
        """A scene, ready to be asked about.

        Raises:
            SceneError: If it cannot be opened; it is tried once and not with every question.
        """
        session = self._kept(path)
        if isinstance(session, SceneError):
            raise session
        return session

    def worker(
        self,
        asked: Callable[[SceneSession, Payload], Asked],
        record: Callable[[SceneSession, Payload, Answer], Record],
    ) -> Worker:
        """Answers items; those that follow along with one, if the model takes several at once."""
        from geofovea.pipeline.host import AnswersTogether

        return AnswersAhead(
            lambda path, payloads: self.records(path, payloads, asked, record),
            together=isinstance(self._host, AnswersTogether),
        ).answer

    def records(
        self,
        path: str,
        payloads: Sequence[Payload],
        asked: Callable[[SceneSession, Payload], Asked],
        record: Callable[[SceneSession, Payload, Answer], Record],
    ) -> list[Record | Exception]:
        """Answer questions about a scene together.

        Args:
            path: Of the scene.
            payloads: Of the items.
            asked: The question of an item.
            record: What is written down of its answer.

        Returns:
            For each item its record, or why it has none.

        Raises:
            SceneError: If the scene cannot be opened.
        """
        session = self.session(path)
        questions = [_tried(partial(asked, session, payload)) for payload in payloads]
        answers = iter(session.ask_many([q for q in questions if not isinstance(q, Exception)]))
        found = [q if isinstance(q, Exception) else next(answers) for q in questions]
        return [
            f if isinstance(f, Exception) else _tried(partial(record, session, payload, f))
            for payload, f in zip(payloads, found, strict=True)
        ]

    def _open(self, path: str) -> SceneSession | SceneError:
        from geofovea.tiling.scene import open_scene

        started = time.perf_counter()
        try:
            scene = open_scene(path, nodata=self._settings.nodata, **self._access)
            return self._settings.open_session(scene, self._host, time.perf_counter() - started)
        except SceneError as error:
            return error


def _tried(make: Callable[[], Made]) -> Made | Exception:
    """What is made, or why it could not be: one item must not spoil those beside it."""
    try:
        return make()
    except BaseException as error:
        return failure_of(error)
