"""The routes of the server: scenes, tiles, jobs and their events, exports, and the page itself."""

from __future__ import annotations

import asyncio
import json
import re
import traceback
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Lifespan

from geofovea.errors import GeoFoveaError, SceneChangedError
from geofovea.pipeline.answers.page.assets import PAGE_FILES, read_page_file
from geofovea.pipeline.answers.page.data import json_text
from geofovea.pipeline.system.terminal import echo
from geofovea.pipeline.viewer.desk import Desk, DeskFullError, NoSuchSceneError
from geofovea.pipeline.viewer.events import Event, in_page_words
from geofovea.pipeline.viewer.exports import EXPORTS
from geofovea.pipeline.viewer.following import follow
from geofovea.pipeline.viewer.guard import Guard, ServedAt
from geofovea.pipeline.viewer.job import Job
from geofovea.pipeline.viewer.job_request import JobRequest
from geofovea.pipeline.viewer.served_scene import ServedScene
from geofovea.pipeline.viewer.tile_images import TILE_KINDS, TILE_THREADS, TileImages
from geofovea.tiling.pyramid import Tile

__all__ = ["make_app"]

_PING_SECONDS = 15.0
_RETRY_SECONDS = 2
_GONE = 499
_KEPT = "private, max-age=86400, immutable"
_INDEX = re.compile("[0-9]{1,9}")


def make_app(
    desk: Desk,
    token: str,
    served_at: ServedAt,
    *,
    images: TileImages | None = None,
    extra_routes: Sequence[BaseRoute] = (),
    public: Sequence[str] = (),
    lifespan: Lifespan[Starlette] | None = None,
) -> ASGIApp:
    """The application behind its guard.

    Args:
        desk: Where questions are asked.
        token: What requests have to bring.
        served_at: Where the server is reached.
        images: Makes tiles.
        extra_routes: Of other ways to ask; the guard stands before them, too.
        public: Paths of theirs that need no token.
        lifespan: What they need while the server runs.
    """
    routes = _Routes(desk, images or TileImages())
    job = "/api/jobs/{job}"
    app = Starlette(
        routes=[
            *(Route(path, routes.page) for path in PAGE_FILES),
            Route("/api/scenes", routes.scenes),
            Route("/api/scenes/{scene}/{kind}/{level}/{row}/{col}", routes.tile),
            Route("/api/jobs", routes.submit, methods=["POST"]),
            Route("/api/jobs", routes.history),
            Route(f"{job}/events", routes.events),
            Route(f"{job}/{{file}}", routes.export),
            Route(job, routes.cancel, methods=["DELETE"]),
            *extra_routes,
        ],
        exception_handlers={
            HTTPException: _http_error,
            GeoFoveaError: _own_error,
            Exception: _other_error,
        },
        lifespan=lifespan,
    )
    return Guard(app, token, served_at, {*PAGE_FILES, *public})


class _Routes:
    """The handlers, with what they share."""

    def __init__(self, desk: Desk, images: TileImages) -> None:
        self._desk, self._images = desk, images
        # exports draw for a while, and tiles should not wait for them
        self._drawing = ThreadPoolExecutor(1, "geofovea-export")
        self._turns = asyncio.Semaphore(TILE_THREADS)

    async def page(self, request: Request) -> Response:
        file = PAGE_FILES[request.url.path]
        content = await asyncio.to_thread(read_page_file, file)
        if content is None:
            raise HTTPException(503, "the page was not built: run make web in the source tree")
        cache = {"cache-control": "no-cache"}
        return Response(content, media_type=file.media_type, headers=cache)

    async def scenes(self, request: Request) -> Response:  # noqa: ARG002
        # the first time, places on the ground are computed
        return JSONResponse(await asyncio.to_thread(self._desk.to_json))

    async def tile(self, request: Request) -> Response:
        scene = self._scene(request.path_params["scene"])
        kind = next((k for k in TILE_KINDS if k == request.path_params["kind"]), None)
        numbers = [request.path_params[name] for name in ("level", "row", "col")]
        if kind is None or not all(_INDEX.fullmatch(number) for number in numbers):
            raise HTTPException(404, "there is no such tile")
        tile = Tile(*map(int, numbers))
        if not scene.contains(kind, tile):
            raise HTTPException(404, "the scene has no such tile")
        if scene.error:
            raise HTTPException(422, scene.error)
        if not scene.is_ready:
            later = {"retry-after": str(_RETRY_SECONDS)}
            raise HTTPException(503, "the levels of the scene are being built", headers=later)
        async with self._turns:
            # who has zoomed on while it waited wants other tiles
            if await request.is_disconnected():
                return Response(status_code=_GONE)
            try:
                image = await asyncio.wrap_future(self._images.submit(scene, kind, tile))
            except GeoFoveaError as error:
                status = 409 if isinstance(error, SceneChangedError) else 422
                raise HTTPException(status, scene.without_paths(str(error))) from error
        is_known = request.query_params.get("v") == scene.version
        headers = {"cache-control": _KEPT if is_known else "no-store"}
        return Response(image.content, media_type=image.media_type, headers=headers)

    async def submit(self, request: Request) -> Response:
        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            raise HTTPException(415, "a job is sent as application/json")
        try:
            sent = json.loads(await request.body())
        except (ValueError, RecursionError) as error:
            raise HTTPException(422, "a job is sent as JSON") from error
        # a region may have many corners
        job = await asyncio.to_thread(lambda: self._desk.submit(JobRequest.from_json(sent)))
        return JSONResponse({"job": job.id}, 202)

    async def history(self, request: Request) -> Response:  # noqa: ARG002
        return JSONResponse({"jobs": [job.to_json() for job in self._desk.jobs()]})

    async def events(self, request: Request) -> Response:
        job = self._job(request)
        last = request.headers.get("last-event-id", "0")
        first = int(last) if _INDEX.fullmatch(last) else 0
        # no-cache rather than no-store: Chromium ends a stream of the latter as if it were aborted
        headers = {"x-accel-buffering": "no", "cache-control": "no-cache"}
        stream = _stream(job, first)
        return StreamingResponse(stream, media_type="text/event-stream", headers=headers)

    async def cancel(self, request: Request) -> Response:
        if not self._desk.cancel(request.path_params["job"]):
            raise HTTPException(404, "there is no such job")
        return Response(status_code=204)

    async def export(self, request: Request) -> Response:
        job = self._job(request)
        name = request.path_params["file"]
        export = EXPORTS.get(name)
        if export is None:
            raise HTTPException(404, f"an answer is given as {', '.join(EXPORTS)}")
        answer = job.answer
        if answer is None:
            raise HTTPException(409, "the question has no answer")
        work = asyncio.get_running_loop().run_in_executor(
            self._drawing, export.make, answer, job.scene_at(answer.scene.path)
        )
        headers = {"content-disposition": f'attachment; filename="{name}"'}
        return Response(await work, media_type=export.media_type, headers=headers)

    def _scene(self, scene_id: str) -> ServedScene:
        scene = self._desk.scenes.get(scene_id)
        if scene is None:
            raise HTTPException(404, "there is no such scene")
        return scene

    def _job(self, request: Request) -> Job:
        job = self._desk.job(request.path_params["job"])
        if job is None:
            raise HTTPException(404, "there is no such job")
        return job


async def _stream(job: Job, number: int) -> AsyncIterator[bytes]:
    """The events of a job behind one, as they come; a comment where nothing happens for a while.

    The headers are gone by then, so an error is the last event: a stream that broke off would leave
    the page without a word of what went wrong.
    """
    try:
        async with aclosing(follow(job, number, every_s=_PING_SECONDS)) as events:
            async for event in events:
                yield b": ping\n\n" if event is None else event.to_sse()
    except Exception as error:
        message = str(error) if isinstance(error, GeoFoveaError) else _told(error)
        yield Event(number, "error", json_text({"message": message})).to_sse()


async def _http_error(request: Request, error: Any) -> Response:  # noqa: ARG001
    return JSONResponse({"error": str(error.detail)}, error.status_code, headers=error.headers)


async def _own_error(request: Request, error: Any) -> Response:  # noqa: ARG001
    status = 422
    headers = {}
    if isinstance(error, DeskFullError):
        status, headers = 429, {"retry-after": str(_RETRY_SECONDS)}
    elif isinstance(error, NoSuchSceneError):
        status = 404
    return JSONResponse(
        {"error": in_page_words(str(error)), "type": type(error).__name__}, status, headers
    )


async def _other_error(request: Request, error: Exception) -> Response:  # noqa: ARG001
    return JSONResponse({"error": _told(error)}, 500)


def _told(error: Exception) -> str:
    """What a page is told of an error that nobody foresaw, which goes to the terminal."""
    echo("".join(traceback.format_exception(error)), err=True, lines=True)
    return "the server failed; see the terminal"
