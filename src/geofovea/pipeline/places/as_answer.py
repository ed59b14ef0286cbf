"""Questions about all places of a class, as answers: ``find: red truck``, the largest field.

A thing that a question names, such as *the plane*, is looked for as one of its class.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from geofovea.pipeline.answers.answer import Answer
from geofovea.pipeline.answers.cost import Cost
from geofovea.pipeline.answers.evidence import Evidence
from geofovea.pipeline.answers.evidence_list import EvidenceList
from geofovea.pipeline.answers.measurement import Measurement
from geofovea.pipeline.engine.watching import Watcher
from geofovea.pipeline.hosts.base import Host
from geofovea.pipeline.places.count import Count
from geofovea.pipeline.places.counting import count_in_area, count_places
from geofovea.pipeline.places.find import FindOptions, find_in_area, find_places
from geofovea.pipeline.places.phrase_area import (
    LaidArea,
    Reference,
    area_notes,
    find_reference,
    find_sites,
    limits_of,
    placed,
    where_in_scene,
)
from geofovea.pipeline.places.place_list import Places
from geofovea.pipeline.places.report import second_look_cost
from geofovea.pipeline.places.second_look import kept_for_second_look, second_look_after
from geofovea.pipeline.places.things import located_place, look_for_things, measure_things
from geofovea.pipeline.relations.counts import PartCount
from geofovea.pipeline.relations.extremes import Extent, compute_extreme, not_located
from geofovea.pipeline.relations.place_question import ThingQuestion
from geofovea.pipeline.relations.superlatives import Superlative
from geofovea.pipeline.session.model_choice import is_beyond
from geofovea.pipeline.session.request import AskRequest, unusual_limits
from geofovea.pipeline.session.session import SceneSession
from geofovea.pipeline.system.failure import failure_of

__all__ = [
    "answer_extreme",
    "answer_part_count",
    "answer_rows",
    "answer_things",
    "asked_places",
    "asks_for_places",
    "own_limits",
    "place_answer",
    "places_as_answer",
]

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
    places. Its `own_limits` are those of the search.

    Raises:
        GeoFoveaError: As ``find_places`` and ``count_places`` do.
    """
    verb, phrase = asked_places(request.question) or ("find", request.question)
    limits = own_limits(session.host, request)
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


def answer_extreme(
    session: SceneSession, request: AskRequest, question: Superlative, watch: Watcher | None = None
) -> Answer:
    """The answer to a question for the extreme of a class, with its measurement.

    All places of the class are looked for as by ``find``. A quarter of the tiles may go to the
    place from which distances or directions are taken. Where too few places are found, the answer
    says so; it is sure of nothing then.

    Raises:
        BudgetError: If the budget cannot hold a tile for each of the two.
        GeoFoveaError: As ``find_places`` and ``SceneSession.ask`` do.
    """
    limits = own_limits(session.host, request)
    found = find_reference(session, request, question.part, question.place, limits, watch)
    if found.missing is not None:
        return _missing_answer(session, request, question.words, found)
    limits = found.limits
    reserve = kept_for_second_look(session, question.count, limits)
    limits |= {name: limits[name] - kept for name, kept in reserve.items() if name in limits}
    part = None if question.part is None else placed(question.part, found)
    region = request.region if part is None else part.region(session.scene, request.region)
    options = FindOptions(focus=request.options.focus, focus_model=request.options.focus_model)
    laid = LaidArea(question.thing, region, limits)
    places = find_in_area(session, laid, options, watch=watch)
    again = second_look_after(session, places.cost, reserve, question.thing, request.region, watch)
    measurement = compute_extreme(
        question,
        [located_place(place) for place in places],
        session.scene,
        Extent(places.coverage.share, places.coverage.recall),
        found.place if question.reference else None,
        lambda place: again.probability(place.box_scene),
    )
    if part is not None and part.rule:
        measurement = replace(measurement, warnings=(*measurement.warnings, part.rule))
    costs = [*found.costs, places.cost, second_look_cost(session, again)]
    return _measured_answer(session, request, measurement, costs, found, [places])


def answer_things(
    session: SceneSession,
    request: AskRequest,
    question: ThingQuestion,
    watch: Watcher | None = None,
) -> Answer:
    """The answer to a question about where things lie or how large they are, with its measurement.

    Each thing is looked for as by ``find``, and one at a site within the outline of the site alone;
    by default within the tiles that one answer of the model takes. A quarter of them may go to the
    sites, and what is left is shared by the things. What is not found has no number.

    Raises:
        BudgetError: If the budget cannot hold a tile for the sites and one for each thing.
        GeoFoveaError: As ``find_places`` and ``SceneSession.ask`` do.
    """
    limits = {"tiles": session.host.default_budget.tiles} | own_limits(session.host, request)
    found = find_sites(session, request, question.sites, limits, watch)
    if found.missing is not None:
        told = replace(found.missing, question=request.question, kind=question.question.kind)
        return _measured_answer(session, request, told, found.costs, Reference((), limits))
    seen = look_for_things(session, request, question, found, watch)
    measurement = measure_things(session.scene, request.question, question, found, seen)
    costs = [*found.costs, *(each.cost(session) for each in seen)]
    return _measured_answer(session, request, measurement, costs, found, [s.places for s in seen])


def answer_part_count(
    session: SceneSession, request: AskRequest, question: PartCount, watch: Watcher | None = None
) -> Answer:
    """The answer to a question for a number in a part of the scene, or whether there is any.

    A number is counted as by ``count``, by default within the tiles that one answer of the model
    takes; whether there is any is looked for as by ``find``. A quarter of the tiles may go to the
    place around which the part lies; where that is not found, the answer says so.

    Raises:
        GeometryError: If the part shares nothing with the region of the question, or its distance
            is in meters and the scene does not say how long one is.
        GeoFoveaError: As ``count_places`` and ``find_places`` do.
    """
    limits = own_limits(session.host, request)
    if not question.is_yes_no:
        limits = {"tiles": session.host.default_budget.tiles} | limits
    found = find_reference(session, request, question.part, "", limits, watch)
    if found.missing is not None:
        return _missing_answer(session, request, request.question, found)
    part, limits = placed(question.part, found), found.limits
    region, where = part.region(session.scene, request.region), where_in_scene(part)
    laid = LaidArea(question.thing, region, limits)
    if question.is_yes_no:
        places = find_in_area(session, laid, watch=watch)
        answer = places_as_answer(session, request, places)
        text = "yes" if places else "no"
        note = f"{len(places) or 'none'} found {where}, which is looked at as by find"
    else:
        count = count_in_area(session, laid, watch=watch, region_name=part.text)
        answer, text = places_as_answer(session, request, count), f"{count.value:.0f}"
        note = f"the number is an estimate of what has its center {where}: {count.text}"
    notes = (note, *area_notes(part, session.scene, found))
    cost = functools.reduce(Cost.before, [*found.costs, answer.cost])
    warnings = tuple(dict.fromkeys((*notes, *answer.warnings)))
    return replace(answer, text=text, cost=cost, warnings=warnings)


def _missing_answer(
    session: SceneSession, request: AskRequest, words: str, found: Reference
) -> Answer:
    """The answer where the place that is measured from is missing: it says so, and what it cost."""
    assert found.missing is not None  # noqa: S101 - asked before
    told = not_located(words, found.missing, session.scene)
    return _measured_answer(session, request, told, found.costs, Reference((), found.limits))


def places_as_answer(session: SceneSession, request: AskRequest, result: Places | Count) -> Answer:
    """Places or a count as the answer to a question: its text in words, its evidence the places."""
    places = result.places if isinstance(result, Count) else result
    text = f"{len(places)} place{'' if len(places) == 1 else 's'}"
    return _answer(
        session,
        request,
        result.text if isinstance(result, Count) else text,
        [Evidence(place.evidence[0], place.box_scene, place.score, 0) for place in places],
        places.cost,
        (f"coverage: {places.coverage.text}", *places.warnings),
        is_demo=places.is_demo,
        stopped=places.coverage.stopped,
    )


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


def own_limits(host: Host, request: AskRequest) -> dict[str, Any]:
    """The limits of a request that are not just the model's own for one answer, by name."""
    budget = request.budget
    if budget is None:
        return {}
    own = unusual_limits(budget, host) if request.stated is None else request.stated
    return {name: value for name, value in limits_of(budget).items() if name in own}


def _measured_answer(
    session: SceneSession,
    request: AskRequest,
    measurement: Measurement,
    costs: Sequence[Cost],
    found: Reference,
    searches: Sequence[Places] = (),
) -> Answer:
    """The answer that a measurement is, with the cost of all that was looked for."""
    notes = [warning for end in found.ends for warning in end.warnings]
    for places in searches:
        of = f" of the {places.phrase}" if len(searches) > 1 else ""
        notes += [f"coverage{of}: {places.coverage.text}", *places.warnings]
    warnings = tuple(dict.fromkeys((*measurement.warnings, *notes)))
    cost = functools.reduce(Cost.before, costs)
    is_demo = is_beyond(session.host, session.scene)
    evidence = [
        Evidence(place.tiles[0], place.box_scene, min(1.0, place.score), len(place.tiles))
        for place in measurement.places
        if place.tiles
    ]
    is_known = bool(measurement.text) and not is_demo
    return _answer(
        session,
        request,
        measurement.text or measurement.sentence,
        evidence,
        cost,
        warnings,
        confidence=measurement.confidence if is_known else None,
        is_demo=is_demo,
        stopped=next((places.coverage.stopped for places in searches), ""),
        measurement=replace(measurement, model=session.host.name, cost=cost, warnings=warnings),
    )


def _answer(
    session: SceneSession,
    request: AskRequest,
    text: str,
    evidence: Sequence[Evidence],
    cost: Cost,
    warnings: tuple[str, ...],
    *,
    is_demo: bool,
    stopped: str,
    confidence: float | None = None,
    measurement: Measurement | None = None,
) -> Answer:
    """An answer about a session's scene; without a confidence where that is not known."""
    return Answer(
        question=request.question,
        text=text,
        confidence=confidence or 0.0,
        confidence_known=confidence is not None,
        is_demo=is_demo,
        model=session.host.name,
        scene=session.scene,
        levels=session.pyramid.top_level + 1,
        evidence=EvidenceList(evidence, session.scene),
        cost=cost,
        warnings=warnings,
        stopped=stopped,
        radiometry=session.reader.radiometry,
        measurement=measurement,
    )
