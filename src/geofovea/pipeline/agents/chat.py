"""``/v1/chat/completions``: any OpenAI client asks about a scene, which it names as the model."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from geofovea.errors import CancelledError, GeoFoveaError
from geofovea.pipeline.agents.chat_errors import CHAT_PREFIX, error_body
from geofovea.pipeline.agents.chat_request import ChatRequest, ChatRequestError
from geofovea.pipeline.agents.plain import plain_text
from geofovea.pipeline.agents.questions import (
    answer_facts,
    ask,
    check_answered,
    news_of,
    submit,
)
from geofovea.pipeline.agents.scene_choice import chosen_scene
from geofovea.pipeline.viewer.desk import Desk, DeskFullError, NoSuchSceneError
from geofovea.pipeline.viewer.job import AnswerError, Job

__all__ = ["chat_routes"]

_RETRY_SECONDS = 2
_LOOK_SECONDS = 0.5
_GONE = 499


def chat_routes(desk: Desk) -> list[Route]:
    """The routes of chat completions over one desk."""
    routes = _Routes(desk)
    return [
        Route(f"{CHAT_PREFIX}chat/completions", routes.complete, methods=["POST"]),
        Route(f"{CHAT_PREFIX}models", routes.models),
        Route(f"{CHAT_PREFIX}models/{{model}}", routes.model),
        Route(f"{CHAT_PREFIX}{{rest:path}}", routes.other, methods=["GET", "POST"]),
    ]


class _Routes:
    """The handlers, with what they share."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._since = int(time.time())

    async def models(self, request: Request) -> Response:  # noqa: ARG002
        rows = [self._row(scene_id) for scene_id in self._desk.scenes]
        return JSONResponse({"object": "list", "data": rows})

    async def model(self, request: Request) -> Response:
        try:
            scene = chosen_scene(self._desk, request.path_params["model"])
        except NoSuchSceneError as error:
            return _refused(error)
        return JSONResponse(self._row(scene.id))

    async def other(self, request: Request) -> Response:
        # newer clients begin with /v1/responses, and say nothing of why it failed but these words
        message = (
            f"{request.method} {request.url.path} is not served: ask with POST "
            f"{CHAT_PREFIX}chat/completions, and list the scenes with GET {CHAT_PREFIX}models"
        )
        is_known = request.url.path == f"{CHAT_PREFIX}chat/completions"
        status = 405 if is_known else 404
        return JSONResponse(error_body(status, message), status)

    async def complete(self, request: Request) -> Response:
        try:
            chat = ChatRequest.from_json(_parsed(await request.body()))
            scene = chosen_scene(self._desk, chat.model)
            question = chat.job(scene.id)
            if chat.is_streamed:
                stream = _chunks(self._desk, chat, await submit(self._desk, question))
                return StreamingResponse(stream, media_type="text/event-stream")
            job = await _while_connected(request, ask(self._desk, question))
        except GeoFoveaError as error:
            return _refused(error)
        if job is None:
            return Response(status_code=_GONE)
        return JSONResponse(_completion(chat, job))

    def _row(self, scene_id: str) -> dict[str, Any]:
        scene = self._desk.scenes[scene_id]
        return {
            "id": f"scene:{scene_id}",
            "object": "model",
            "created": self._since,
            "owned_by": "geofovea",
            "name": plain_text(scene.name, 200),
        }


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ChatRequestError("the body of a request is JSON") from error


async def _while_connected(request: Request, work: Any) -> Job | None:
    """The result of some work, which ends when the client is gone; None then."""
    task = asyncio.ensure_future(work)
    try:
        while not task.done():
            await asyncio.wait({task}, timeout=_LOOK_SECONDS)
            if not task.done() and await request.is_disconnected():
                return None
        job: Job = task.result()
        return job
    finally:
        if not task.done():
            task.cancel()
            with suppress(asyncio.CancelledError, GeoFoveaError):
                await task


async def _chunks(desk: Desk, chat: ChatRequest, job: Job) -> AsyncIterator[bytes]:
    """An answer as chunks: first the role, then progress as comments, then the text at once."""
    head: dict[str, Any] = {"id": f"chatcmpl-{job.id}", "object": "chat.completion.chunk"}
    head |= {"created": int(job.asked_at), "model": chat.model}

    def chunk(delta: dict[str, Any], reason: str | None = None, **more: Any) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": reason, "logprobs": None}
        return _event(head | {"choices": [choice]} | more)

    async with aclosing(news_of(desk, job)) as news:
        yield chunk({"role": "assistant", "content": ""})
        async for text in news:
            # a comment keeps the line open; clients pass over it
            yield f": {' '.join(text.split())}\n\n".encode()
    try:
        check_answered(job)
        facts = answer_facts(job)
    except GeoFoveaError as error:
        yield _event(error_body(_status_of(error), str(error)))
    else:
        yield chunk({"content": facts["answer"]})
        yield chunk({}, "stop", geofovea=_with_notes(facts, chat))
    yield b"data: [DONE]\n\n"


def _event(data: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(data, separators=(',', ':'))}\n\n".encode()


def _completion(chat: ChatRequest, job: Job) -> dict[str, Any]:
    facts = answer_facts(job)
    message = {"role": "assistant", "content": facts["answer"], "refusal": None}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
    return {
        "id": f"chatcmpl-{job.id}",
        "object": "chat.completion",
        "created": int(job.asked_at),
        "model": chat.model,
        "choices": [choice],
        "geofovea": _with_notes(facts, chat),
    }


def _with_notes(facts: dict[str, Any], chat: ChatRequest) -> dict[str, Any]:
    return facts | {"warnings": [*facts["warnings"], *chat.notes]}


def _refused(error: GeoFoveaError) -> JSONResponse:
    status = _status_of(error)
    param = getattr(error, "param", None)
    code = "model_not_found" if isinstance(error, NoSuchSceneError) else None
    headers = {"retry-after": str(_RETRY_SECONDS)} if status == 429 else None
    return JSONResponse(error_body(status, str(error), param, code), status, headers=headers)


def _status_of(error: GeoFoveaError) -> int:
    if isinstance(error, NoSuchSceneError):
        return 404
    if isinstance(error, DeskFullError):
        return 429
    if isinstance(error, AnswerError):
        return 500
    return 409 if isinstance(error, CancelledError) else 400
