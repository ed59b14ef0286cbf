"""Follows a program's question through the desk, and ends it if nobody waits for it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

from geofovea.pipeline.agents.plain import first_of, plain_text, plain_values
from geofovea.pipeline.answers.page.data import answer_data
from geofovea.pipeline.session.measuring import measurement_of
from geofovea.pipeline.viewer.desk import Desk
from geofovea.pipeline.viewer.events import Event
from geofovea.pipeline.viewer.following import follow
from geofovea.pipeline.viewer.job import AnswerError, Job
from geofovea.pipeline.viewer.job_request import JobRequest

__all__ = [
    "Tell",
    "answer_facts",
    "ask",
    "check_answered",
    "measured_facts",
    "news_of",
    "progress_text",
    "submit",
]

Tell = Callable[[str], Awaitable[None]]
"""Takes a sentence about how far a question is."""

_MOST_EVIDENCE = 12
_NEWS_SECONDS = 10.0


async def submit(desk: Desk, question: JobRequest) -> Job:
    """Put a question to the desk.

    Raises:
        GeoFoveaError: If it is refused; see ``Desk.submit``.
    """
    # a region may have many corners
    return await asyncio.to_thread(desk.submit, question)


async def news_of(desk: Desk, job: Job) -> AsyncGenerator[str, None]:
    """How far a question is, in words, until it has ended; who closes it early ends the question.

    At least every ten seconds something comes.
    """
    text = ""
    try:
        async with aclosing(follow(job, every_s=_NEWS_SECONDS)) as events:
            async for event in events:
                if event is not None and event.is_end:
                    return
                text = text if event is None else progress_text(event)
                yield text
    finally:
        if not job.has_ended:
            desk.cancel(job.id)


async def ask(desk: Desk, question: JobRequest, tell: Tell | None = None) -> Job:
    """Ask, and wait for the answer. If the wait is canceled, so is the question.

    Args:
        desk: Where to ask.
        question: The question.
        tell: Hears how far it is.

    Returns:
        The job; its ``answer`` is there.

    Raises:
        GeoFoveaError: If the question is refused; see ``Desk.submit``.
        AnswerError: If it fails.
        CancelledError: If somebody else ended it.
    """
    job = await submit(desk, question)
    async with aclosing(news_of(desk, job)) as news:
        async for text in news:
            if tell is not None:
                await tell(text)
    check_answered(job)
    return job


def check_answered(job: Job) -> None:
    """Tell why a job that has ended has no answer.

    Raises:
        AnswerError: If it failed.
        CancelledError: If somebody ended it.
    """
    try:
        job.result()
    except AnswerError as error:
        raise AnswerError(plain_text(str(error))) from None


def progress_text(event: Event) -> str:
    """One event in words."""
    data = json.loads(event.text)
    match event.name:
        case "queued":
            before = data["before"]
            return f"{before} questions before this one" if before else "taken"
        case "preparing":
            return f"building coarser levels: {data['share']:.0%}"
        case "look":
            levels = sorted({tile[0] for tile in data["tiles"]})
            return f"looking at {len(data['tiles'])} tiles of level {', '.join(map(str, levels))}"
        case "seen":
            return f"{data['tiles']} tiles read"
        case "reading":
            return f"answering from {data['tokens']} tokens of {data['tiles']} tiles"
        case _:
            return "working"


def answer_facts(job: Job) -> dict[str, Any]:
    """What a program needs of an answer: bounded, no path in it, and no list of tokens.

    Args:
        job: A job with an answer.
    """
    assert job.answer is not None  # noqa: S101  (as `ask` returns it)
    scene = next(
        (s for s in job.scenes if s.session.scene.path == job.answer.scene.path), job.scene
    )
    facts = answer_data(job.answer, scene.name)["answer"]
    evidence = facts.get("evidence") or []
    listed, notes = first_of(
        evidence,
        _MOST_EVIDENCE,
        "places of evidence",
        "they are the surest; ask within a box to see the others",
    )
    selection = {
        "scene": scene.id,
        "scene_name": scene.name,
        "question": facts["question"],
        "answer": facts["answer"],
        "confidence": facts["confidence"] if facts.get("confidence_known") else None,
        "warnings": [*map(job.told, facts["warnings"]), *notes],
        "evidence": [
            {name: row[name] for name in ("level", "box_scene", "score", "geometry") if name in row}
            for row in listed
        ],
        "evidence_total": len(evidence),
        "choices": facts.get("choices") or [],
        "stopped": facts.get("stopped"),
        "model": facts["model"],
        "tiles": job.answer.cost.tiles_encoded,
        "tokens": job.answer.cost.tokens_llm,
        "seconds": round(job.answer.cost.seconds.get("total", 0.0), 3),
    }
    if (memory := job.answer.cost.memory) is not None:
        selection["memory_bytes"] = memory.nbytes + memory.ready_bytes
    plain: dict[str, Any] = plain_values(selection)
    return plain


def measured_facts(job: Job) -> dict[str, Any]:
    """The same of an answer that was computed, with its numbers, places and lines.

    Raises:
        AnswerError: If a place was not found, or its name may mean several.
    """
    facts = answer_facts(job)
    assert job.answer is not None  # noqa: S101  (as `ask` returns it)
    measurement = measurement_of(job.answer)
    if not measurement.text:
        # the first of them says why there is no number
        raise AnswerError(plain_text(f"nothing was measured: {'; '.join(facts['warnings'])}"))
    own = ("kind", "sentence", "quantities", "places", "is_on_ground", "geojson")
    numbers = measurement.to_json()
    plain: dict[str, Any] = plain_values({name: numbers[name] for name in own})
    return facts | plain
