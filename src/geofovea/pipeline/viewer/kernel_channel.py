"""The desk behind a widget: kernel messages carry what the server carries over HTTP.

The messages stand in ``web/src/transport/kernel.js``. Tiles come from threads, answers from the
thread of the desk, so a page stays alive while a question is answered.
"""

from __future__ import annotations

import base64
import json
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any

from geofovea.errors import GeoFoveaError
from geofovea.pipeline.viewer.desk import Desk
from geofovea.pipeline.viewer.exports import EXPORTS
from geofovea.pipeline.viewer.job import Job
from geofovea.pipeline.viewer.job_request import JobRequest
from geofovea.pipeline.viewer.tile_images import TILE_KINDS, TileImage, TileImages
from geofovea.tiling.machine.forks import ForkSafeLock
from geofovea.tiling.pyramid import Tile

__all__ = ["KernelChannel"]

_MOST_WAITING_TILES = 64

Send = Callable[[dict[str, Any], Sequence[bytes]], None]


class KernelChannel:
    """Answers the messages of one widget, from however many places it is shown in."""

    def __init__(self, desk: Desk, send: Send, ended: Callable[[Job], None]) -> None:
        """Take the desk and the way back.

        Args:
            desk: Where questions are asked.
            send: Takes a message and its buffers; called from several threads, one at a time.
            ended: Called with each job of this widget that has ended, in the thread of the desk.
        """
        self._desk, self._ended = desk, ended
        self._deliver = send
        self._images = TileImages()
        self._lock = ForkSafeLock()
        self._tiles: OrderedDict[Any, Future[TileImage]] = OrderedDict()
        self._as_text = False

    def take(self, message: Any) -> None:
        """Answer one message; one that no page sends is passed over."""
        if not isinstance(message, dict):
            return
        takes: Mapping[str, Callable[[dict[str, Any]], None]] = {
            "tile": self._take_tile,
            "drop": self._drop,
            "ask": self._ask,
            "events": self._events,
            "cancel": self._cancel,
            "history": self._history,
            "export": self._export,
            "base64": self._take_base64,
        }
        take = takes.get(str(message.get("kind")))
        if take is None:
            return
        try:
            take(message)
        except GeoFoveaError as error:
            self._refuse(message, str(error))
        except (KeyError, TypeError, ValueError, OverflowError):
            self._refuse(message, "the message is not complete")

    def follow(self, job: Job) -> None:
        """Show a job that a program asked; its events go out without being asked for."""
        number = f"job {job.id}"
        self._send({"kind": "follow", "id": number, "job": job.to_json()})
        self._push(job, number)

    def watch_end(self, job: Job) -> None:
        """Tell once when a job has ended."""
        turn, is_due = ForkSafeLock(), True

        def look() -> None:
            nonlocal is_due
            # the thread that asks and the one that answers may look at the same moment
            with turn:
                is_now = is_due and job.has_ended
                is_due = is_due and not is_now
            if is_now:
                self._ended(job)

        job.listen(look)
        look()

    def close(self) -> None:
        """Give up the tiles that nobody has begun to read."""
        self._images.close()

    def _send(self, content: dict[str, Any], buffers: Sequence[bytes] = ()) -> None:
        with self._lock:
            if buffers and self._as_text:
                text = base64.b64encode(buffers[0]).decode()
                self._deliver(content | {"base64": text}, ())
            else:
                self._deliver(content, buffers)

    def _reply(self, message: dict[str, Any], data: Any) -> None:
        self._send({"kind": "reply", "id": message["id"], "data": data})

    def _refuse(self, message: dict[str, Any], text: str) -> None:
        self._send({"kind": "error", "id": message.get("id"), "message": text})

    def _take_base64(self, _: dict[str, Any]) -> None:
        self._as_text = True

    def _take_tile(self, message: dict[str, Any]) -> None:
        scene = self._desk.scenes[message["scene"]]
        tile = Tile(*(int(message[name]) for name in ("level", "row", "col")))
        kind = next((kind for kind in TILE_KINDS if kind == message["tiles"]), None)
        if kind is None:
            raise ValueError
        if not scene.contains(kind, tile):
            return self._refuse(message, "the scene has no such tile")
        future = self._images.submit(scene, kind, tile)
        self._tiles[message["id"]] = future
        future.add_done_callback(partial(self._send_tile, message))
        while len(self._tiles) > _MOST_WAITING_TILES:
            # whoever asked for it has zoomed on since
            self._tiles.popitem(last=False)[1].cancel()
        return None

    def _send_tile(self, message: dict[str, Any], future: Future[TileImage]) -> None:
        self._tiles.pop(message["id"], None)
        if future.cancelled():
            self._refuse(message, "the tile was given up")
            return
        error = future.exception()
        if error is not None:
            is_ours = isinstance(error, GeoFoveaError)
            self._refuse(message, str(error) if is_ours else "the tile cannot be read")
            return
        image = future.result()
        content = {"kind": "tile", "id": message["id"], "media_type": image.media_type}
        self._send(content, [image.content])

    def _drop(self, message: dict[str, Any]) -> None:
        future = self._tiles.pop(message["id"], None)
        if future is not None:
            future.cancel()

    def _ask(self, message: dict[str, Any]) -> None:
        job = self._desk.submit(JobRequest.from_json(message["question"]))
        self._reply(message, {"job": job.id})
        self.watch_end(job)

    def _events(self, message: dict[str, Any]) -> None:
        self._push(self._job(message), message["id"])

    def _push(self, job: Job, number: Any) -> None:
        """Send the events of a job, those that are there and those that come."""
        turn, sent = ForkSafeLock(), [0]

        def wake() -> None:
            with turn:
                for event in job.events_after(sent[0]):
                    sent[0] = event.number
                    content = {"event": event.name, "data": json.loads(event.text)}
                    self._send({"kind": "event", "id": number} | content)

        job.listen(wake)
        wake()

    def _cancel(self, message: dict[str, Any]) -> None:
        self._desk.cancel(self._job(message).id)
        self._reply(message, None)

    def _history(self, message: dict[str, Any]) -> None:
        self._reply(message, [job.to_json() for job in self._desk.jobs()])

    def _export(self, message: dict[str, Any]) -> None:
        job, export = self._job(message), EXPORTS[message["file"]]
        if job.answer is None:
            return self._refuse(message, "the question has no answer")
        content = {"kind": "file", "id": message["id"], "media_type": export.media_type}
        return self._send(content, [export.make(job.answer, job.scene_at(job.answer.scene.path))])

    def _job(self, message: dict[str, Any]) -> Job:
        job = self._desk.job(str(message["job"]))
        if job is None:
            raise GeoFoveaError("there is no such question: the kernel keeps the last hundred")
        return job
