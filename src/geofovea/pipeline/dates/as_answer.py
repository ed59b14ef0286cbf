"""What changed between dates as the answer to a question: rows of tables, and jobs of a server."""

from __future__ import annotations

from geofovea.errors import QuestionError
from geofovea.pipeline.answers.answer import Answer
from geofovea.pipeline.dates.session import StackSession
from geofovea.pipeline.places.as_answer import asked_places, own_limits, places_as_answer
from geofovea.pipeline.places.place_list import Places
from geofovea.pipeline.session.request import AskRequest
from geofovea.pipeline.session.session import SceneSession

__all__ = ["changes_as_answer", "dated_row"]

_EVERY = ("change", "changes")


def dated_row(session: StackSession, reference: SceneSession, request: AskRequest) -> Answer:
    """The answer to a row about two dates.

    ``find: truck`` lists where trucks came or went, ``find: changes`` every change, and any other
    words are asked about both dates.

    Args:
        session: The dates and the model.
        reference: The scene in whose pixels the answer lies.
        request: The row; limits that are the model's own for one answer limit no list.

    Raises:
        QuestionError: If it counts or measures, which applies to one date only.
        GeoFoveaError: As ``StackSession.ask`` and ``StackSession.changes`` do.
    """
    task = asked_places(request.question)
    if request.measure is not None or (task is not None and task[0] == "count"):
        raise QuestionError(
            f"{request.question!r:.80} is about one date; leave out scene_before, or ask what "
            "changed"
        )
    if task is None:
        return session.answer(request).answer
    phrase = None if task[1].strip().lower() in _EVERY else task[1]
    limits = own_limits(session.host, request)
    return places_as_answer(
        reference, request, session.changes(phrase, region=request.region, **limits)
    )


def changes_as_answer(
    session: StackSession,
    reference: SceneSession,
    request: AskRequest,
    phrase: str | None,
) -> tuple[Answer, Places]:
    """The places that changed, and the same as an answer.

    Args:
        session: The dates and the model.
        reference: The scene in whose pixels the places lie.
        request: What was asked, within which region and budget; that of all dates together.
        phrase: What came or went; None for every change.

    Raises:
        GeoFoveaError: As ``StackSession.changes`` does.
    """
    places = session.changes(phrase, budget=request.budget, region=request.region)
    return places_as_answer(reference, request, places), places
