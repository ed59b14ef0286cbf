"""A worker that keeps its model and its last scene between items."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from geofovea.errors import GeoFoveaError, RunError, SceneChangedError, SceneError
from geofovea.pipeline.runs.item import Record, Worker
from geofovea.pipeline.runs.lookahead import Lookahead, Payload
from geofovea.pipeline.session.settings import AskSettings
from geofovea.pipeline.system.failure import failure_of
from geofovea.tiling.files.stamp import scene_identity

if TYPE_CHECKING:
    from geofovea.pipeline.answers.answer import Answer
    from geofovea.pipeline.dates.session import StackSession
    from geofovea.pipeline.hosts.base import Host
    from geofovea.pipeline.session.request import AskRequest
    from geofovea.pipeline.session.session import SceneSession
    from geofovea.tiling.scene import Scene

__all__ = ["BEFORE", "PLANNED", "PLANNED_BEFORE", "SceneWorker", "loaded_host", "openable_scenes"]

PLANNED = "planned scene"
"""Under this the payload of an item holds the identity of its scene when the run was planned."""

BEFORE, PLANNED_BEFORE = "earlier scene", "planned earlier scene"
"""Likewise the name of an earlier scene of the same place, and its identity."""

Value = TypeVar("Value")


def loaded_host(
    settings: AskSettings, threads: int | None = None, planned: str | None = None
) -> Host:
    """The model of a worker.

    Args:
        settings: How it is loaded.
        threads: Its part of the cores; None gives it all.
        planned: The hash of the settings when the run was planned, which says what files the model
            had; None where that is no matter.

    Raises:
        ModelError: If it cannot be loaded, or the settings contradict each other.
        GeoFoveaError: If no question can be answered with these settings.
        RunError: If the model's files, or this package, are not those of the plan.
    """
    if threads is not None:
        from geofovea.pipeline.system.torch_threads import share_cores

        share_cores(threads)
    host = settings.load_host()
    if planned is not None and settings.hash != planned:
        raise RunError(
            f"the files of the model {settings.model!r}, or this package, are not those that the "
            "run was planned with: run the same command again to plan it with those of now"
        )
    _check_answerable(settings, host)
    return host


def _check_answerable(settings: AskSettings, host: Host) -> None:
    """Refuse settings that would fail every row; those that differ by row are told by the row.

    Raises:
        GeoFoveaError: See ``check_options``.
    """
    # an index knows its scenes, and an oracle the boxes of its rows
    if settings.index is None and settings.options.focus != "oracle":
        from geofovea.pipeline.session.plan import check_options

        check_options(host, settings.options, has_memory=settings.memory is not None)


def openable_scenes(names: Iterable[str], access: Mapping[str, Any]) -> Iterator[Scene]:
    """The scenes that can be opened, each once; what is wrong with the others is told by their row.

    Args:
        names: Paths and URLs.
        access: What ``open_scene`` may open.
    """
    from geofovea.tiling.opening import open_scene

    for name in dict.fromkeys(names):
        with suppress(GeoFoveaError):
            yield open_scene(name, **access)


class SceneWorker:
    """Opens scenes; the last one stays open, because work comes scene by scene."""

    def __init__(
        self,
        settings: AskSettings,
        host: Host,
        access: Mapping[str, Any] | None = None,
        *,
        verify: bool = False,
    ) -> None:
        """Keep how scenes are opened.

        Args:
            settings: How questions are asked.
            host: The model.
            access: What ``open_scene`` may open.
            verify: Whether every block of a scene is read once before it is asked about.
        """
        self._verify = verify
        self._settings = settings
        self._host = host
        self._access = access or {}
        # one: sessions hold hundreds of megabytes
        self._session_of = functools.lru_cache(maxsize=1)(self._open)
        # likewise, with which earlier date rows compare it
        self._stack_of = functools.lru_cache(maxsize=1)(self._stacked)

    def session(self, path: str, planned: str | None = None) -> SceneSession:
        """A scene, ready to be asked about.

        Args:
            path: Of the scene.
            planned: Its identity when the run was planned; None where that is no matter.

        Raises:
            SceneChangedError: If the file is not the one that was planned.
            SceneError: If it cannot be opened; it is tried once and not with every question.
        """
        session = self._session_of(path)
        if not isinstance(session, SceneError) and not session.scene.source.is_current:
            # the file that was planned may be back by now
            self._session_of.cache_clear()
            session = self._session_of(path)
        self._check_planned(path, planned, session)
        if isinstance(session, SceneError):
            raise session
        return session

    def _check_planned(
        self, path: str, planned: str | None, session: SceneSession | SceneError
    ) -> None:
        if planned is None:
            return
        is_planned = scene_identity(path) == planned
        # looked at after the identity was: so it is of what was opened
        if not isinstance(session, SceneError):
            is_planned = is_planned and session.scene.source.is_current
        if not is_planned:
            self._session_of.cache_clear()
            raise SceneChangedError(
                f"{path!r} is not the file that it was when the run was planned, and was not asked "
                "about; run the same command again to ask about the file of now"
            )

    def worker(
        self,
        make_request: Callable[[SceneSession, Payload], AskRequest],
        record: Callable[[SceneSession, Payload, Answer], Record],
    ) -> Worker:
        """Answers items; those that follow along with one, if the model takes several at once."""
        from geofovea.pipeline.hosts.base import SupportsBatching

        return Lookahead(
            lambda path, payloads: self.records(path, payloads, make_request, record),
            together=isinstance(self._host, SupportsBatching),
        )

    def records(
        self,
        path: str,
        payloads: Sequence[Payload],
        make_request: Callable[[SceneSession, Payload], AskRequest],
        record: Callable[[SceneSession, Payload, Answer], Record],
    ) -> list[Record | Exception]:
        """Answer questions about a scene together.

        Args:
            path: Of the scene.
            payloads: Of the items.
            make_request: The question of an item.
            record: What is written down of its answer.

        Returns:
            For each item its record, or why it has none.

        Raises:
            SceneError: If the scene cannot be opened.
        """
        # items of one scene were planned at one moment
        session = self.session(path, payloads[0].get(PLANNED) if payloads else None)
        if any(BEFORE in payload for payload in payloads):
            # what is compared has tokens of its own, so nothing is shared with the others
            return [
                _attempt(partial(self._compared, session, payload, make_request, record))
                if BEFORE in payload
                else self.records(path, [payload], make_request, record)[0]
                for payload in payloads
            ]
        questions = [_attempt(partial(make_request, session, payload)) for payload in payloads]
        # brings torch, like the session
        from geofovea.pipeline.places.as_answer import answer_rows

        answers = iter(answer_rows(session, [q for q in questions if not isinstance(q, Exception)]))
        results = [q if isinstance(q, Exception) else next(answers) for q in questions]
        return [
            f if isinstance(f, Exception) else _attempt(partial(record, session, payload, f))
            for payload, f in zip(payloads, results, strict=True)
        ]

    def _compared(
        self,
        session: SceneSession,
        payload: Payload,
        make_request: Callable[[SceneSession, Payload], AskRequest],
        record: Callable[[SceneSession, Payload, Answer], Record],
    ) -> Record:
        """The record of one row about two dates, in the pixels of the one with the finer ones."""
        from geofovea.pipeline.dates.as_answer import dated_row

        before = self._earlier.session(payload[BEFORE], payload.get(PLANNED_BEFORE))
        stack = self._stack_of(before, session)
        reference = before if stack.stack.reference == 0 else session
        answer = dated_row(stack, reference, make_request(reference, payload))
        result = record(reference, payload, answer)
        identities = [each.scene.identity for each in stack.stack.scenes]
        result["provenance"]["date_identities"] = identities
        return result

    @functools.cached_property
    def _earlier(self) -> SceneWorker:
        """Opens the earlier dates with which rows compare scenes."""
        return SceneWorker(self._settings, self._host, self._access, verify=self._verify)

    def _stacked(self, before: SceneSession, after: SceneSession) -> StackSession:
        from geofovea.pipeline.dates.session import StackSession
        from geofovea.pipeline.dates.stack import make_stack

        settings = self._settings
        return StackSession(
            make_stack((before.scene, after.scene)),
            self._host,
            settings.bands,
            composite=settings.composite,
            band_map=settings.band_map,
        )

    def _open(self, path: str) -> SceneSession | SceneError:
        from geofovea.tiling.opening import open_scene
        from geofovea.tiling.verification import verify_scene

        started = time.perf_counter()
        try:
            scene = open_scene(path, nodata=self._settings.nodata, **self._access)
            if self._verify:
                verify_scene(scene)
            return self._settings.open_session(scene, self._host, time.perf_counter() - started)
        except SceneError as error:
            return error


def _attempt(make: Callable[[], Value]) -> Value | Exception:
    """What is made, or why it could not be: one item must not spoil those beside it."""
    try:
        return make()
    except BaseException as error:
        return failure_of(error)
