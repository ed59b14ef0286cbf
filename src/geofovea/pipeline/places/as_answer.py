"""Rows of tables that ask for places: ``find: red truck`` and ``count: truck``, as answers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from geofovea.pipeline.answers.answer import Answer
from geofovea.pipeline.answers.evidence import Evidence, EvidenceList
from geofovea.pipeline.engine.watching import Watcher
from geofovea.pipeline.places.count import Count
from geofovea.pipeline.places.counting import count_places
from geofovea.pipeline.places.find import find_places
from geofovea.pipeline.places.place import Places
from geofovea.pipeline.session.request import AskRequest
from geofovea.pipeline.session.session import SceneSession
from geofovea.pipeline.system.failure import failure_of

__all__ = ["answer_rows", "asked_places", "asks_for_places", "place_answer", "places_as_answer"]

_VERB = re.compile(r"\s*(find|count)\s*:\s*(.*)", re.IGNORECASE | re.DOTALL)


def asks_for_places(question: str) -> bool:
    """Whether a question is ``find:`` or ``count:`` and a phrase."""
    return asked_places(question) is not None


def asked_places(question: str) -> tuple[str, str] | None:
    """The verb of such a question, ``find`` or ``count``, and its phrase; None for any other."""
    match = _VERB.fullmatch(question)
    return None if match is None else (match[1].lower(), match[2])


def place_answer(
    session: SceneSession, request: AskRequest, watch: Watcher | None = None
) -> Answer:
    """The answer to a question that `asks_for_places`.

    The text is the number of places, or the count with its interval, and the evidence are the
    places. Limits that differ from the model's own for one answer are those of the search.

    Raises:
        GeoFoveaError: As ``find_places`` and ``count_places`` do.
    """
    verb, phrase = asked_places(request.question) or ("find", request.question)
    limits = _limits(session, request)
    if verb == "count":
        count = count_places(session, phrase, region=request.region, watch=watch, **limits)
        return places_as_answer(session, request, count)
    places = find_places(
        session,
        phrase,
        region=request.region,
        focus=request.options.focus,
        focus_model=request.options.focus_model,
        watch=watch,
        **limits,
    )
    return places_as_answer(session, request, places)


def places_as_answer(session: SceneSession, request: AskRequest, result: Places | Count) -> Answer:
    """Places or a count as the answer to a question: its text in words, its evidence the places."""
    places = result.places if isinstance(result, Count) else result
    text = f"{len(places)} place{'' if len(places) == 1 else 's'}"
    return _answer(session, request, places, result.text if isinstance(result, Count) else text)


def answer_rows(session: SceneSession, requests: Sequence[AskRequest]) -> list[Answer | Exception]:
    """Answers of a table's rows about one scene: those for places alone, the others together."""
    others = [request for request in requests if not asks_for_places(request.question)]
    answers = iter(session.answer_many(others) if others else ())
    results: list[Answer | Exception] = []
    for request in requests:
        if not asks_for_places(request.question):
            results.append(next(answers))
            continue
        try:
            results.append(place_answer(session, request))
        except BaseException as error:  # in place of the answer, like those of others
            results.append(failure_of(error))
    return results


def _limits(session: SceneSession, request: AskRequest) -> dict[str, Any]:
    budget, usual = request.budget, session.host.default_budget
    if budget is None:
        return {}
    limits = {"tiles": budget.tiles, "tokens": budget.tokens, "seconds": budget.seconds}
    return {name: value for name, value in limits.items() if value != getattr(usual, name)}


def _answer(session: SceneSession, request: AskRequest, places: Places, text: str) -> Answer:
    evidence = [Evidence(place.evidence[0], place.box_scene, place.score, 0) for place in places]
    return Answer(
        question=request.question,
        text=text,
        confidence=0.0,
        confidence_known=False,
        is_demo=places.is_demo,
        model=places.model,
        scene=places.scene,
        levels=session.pyramid.top_level + 1,
        evidence=EvidenceList(evidence, places.scene),
        cost=places.cost,
        warnings=(f"coverage: {places.coverage.text}", *places.warnings),
        stopped=places.coverage.stopped,
        radiometry=session.reader.radiometry,
    )
