"""Follows the events of a job from an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress

from geofovea.pipeline.viewer.events import Event
from geofovea.pipeline.viewer.job import Job

__all__ = ["follow"]


async def follow(
    job: Job, number: int = 0, *, every_s: float = 15.0
) -> AsyncGenerator[Event | None, None]:
    """The events of a job behind one, up to the last.

    Args:
        job: The job.
        number: Of the event that is known already; 0 for none.
        every_s: Seconds without an event after which None comes.
    """
    loop, woken = asyncio.get_running_loop(), asyncio.Event()

    def wake() -> None:
        # a server that has ended wakes nobody
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(woken.set)

    leave = job.listen(wake)
    try:
        while True:
            woken.clear()
            # asked first: what ends a job between two looks at it is still to be sent
            has_ended = job.has_ended
            for event in job.events_after(number):
                number = event.number
                yield event
                if event.is_end:
                    return
            if has_ended:
                return
            try:
                await asyncio.wait_for(woken.wait(), every_s)
            except TimeoutError:
                yield None
    finally:
        leave()
