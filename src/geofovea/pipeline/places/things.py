"""Where the things of a question stand: each is looked for as ``find`` looks for its class.

How much attention falls on a tile says little of whether a plane is in it. So the tiles are judged
one by one, the likeliest first. Of several that are found the question says which is meant, and it
is looked at once more before it is measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import shapely

from geofovea.errors import BudgetError
from geofovea.pipeline.answers.cost import Cost
from geofovea.pipeline.answers.measurement import LocatedPlace, Measurement
from geofovea.pipeline.engine.watching import Watcher
from geofovea.pipeline.places.candidates import choose_things, goes_by_nearest, several_text
from geofovea.pipeline.places.find import FindOptions, find_in_area
from geofovea.pipeline.places.phrase_area import LaidArea, Reference, limits_left
from geofovea.pipeline.places.place import Place
from geofovea.pipeline.places.place_list import Places
from geofovea.pipeline.places.report import second_look_cost
from geofovea.pipeline.places.second_look import (
    SecondLook,
    kept_for_second_look,
    second_look_after,
)
from geofovea.pipeline.relations.compute import compute
from geofovea.pipeline.relations.extremes import LEAST_HELD, MOST_REFUTED, UNCHECKED
from geofovea.pipeline.relations.parts import cut_region
from geofovea.pipeline.relations.place_question import NamedThing, ThingQuestion
from geofovea.pipeline.relations.plane import Plane
from geofovea.pipeline.session.request import AskRequest
from geofovea.pipeline.session.session import SceneSession
from geofovea.tiling.geo.region import Region
from geofovea.tiling.scene import Scene

__all__ = ["SeenThings", "located_place", "look_for_things", "measure_things"]


@dataclass(frozen=True, slots=True, eq=False)
class SeenThings:
    """All that was found of one thing.

    Attributes:
        thing: What was looked for.
        places: What was found, and what was looked at for it.
        again: Looks at one of them once more.
    """

    thing: NamedThing
    places: Places
    again: SecondLook

    def cost(self, session: SceneSession) -> Cost:
        """What the search and the second looks took."""
        return self.places.cost.before(second_look_cost(session, self.again))


def located_place(place: Place) -> LocatedPlace:
    """A place of a class as one that can be measured."""
    return LocatedPlace(
        place.label,
        shapely.box(*place.box_scene.as_tuple()),
        place.level,
        place.error_px,
        place.score,
        place.evidence,
    )


def look_for_things(
    session: SceneSession,
    request: AskRequest,
    question: ThingQuestion,
    sites: Reference,
    watch: Watcher | None,
) -> list[SeenThings]:
    """Look for each thing of a question; what the sites left of the limits is shared by them.

    Args:
        session: The scene and the model.
        request: Whose options and region hold.
        question: What is asked.
        sites: The sites that it names, which were found.
        watch: Hears of it, and may end it.

    Raises:
        BudgetError: If there is no tile for each thing.
        GeoFoveaError: As ``find_places`` does.
    """
    outlines = {place.label: place for end in sites.ends for place in end.places}
    options = FindOptions(focus=request.options.focus, focus_model=request.options.focus_model)
    limits, seen = sites.limits, list[SeenThings]()
    for number, thing in enumerate(question.things):
        own = _share_of(limits, len(question.things) - number)
        region = request.region
        if thing.place:
            region = _within(session.scene, outlines[thing.place], request.region)
        reserve = kept_for_second_look(session, 1, own)
        limited = {name: own[name] - reserve.get(name, 0) for name in own}
        laid = LaidArea(thing.phrase, region, limited)
        places = find_in_area(session, laid, options, watch=watch)
        again = second_look_after(session, places.cost, reserve, thing.phrase, region, watch)
        seen.append(SeenThings(thing, places, again))
        limits = limits_left(limits, places.cost)
    return seen


def measure_things(
    scene: Scene,
    words: str,
    question: ThingQuestion,
    sites: Reference,
    seen: Sequence[SeenThings],
) -> Measurement:
    """The answer to a question from its sites and from what was found of its things.

    Args:
        scene: The scene.
        words: The question as it was put.
        question: What is asked.
        sites: The sites that it names, which were found.
        seen: What was found of each thing.
    """
    asked = question.question
    known = {place.label: [place] for end in sites.ends for place in end.places}
    known |= {
        each.thing.name: [replace(located_place(p), label=each.thing.name) for p in each.places]
        for each in seen
    }
    candidates = [known[name] for name in asked.places]
    plane = Plane.of(scene, [place for some in candidates for place in some])
    looks = {each.thing.name: each.again for each in seen}
    chosen, shares, warnings = _held(question, candidates, plane, looks)
    places = [
        None if place is None else replace(place, score=place.score * share)
        for place, share in zip(chosen, shares, strict=True)
    ]
    named = {each.name for each in question.things}
    measurement = compute(asked, words, places, scene, things=named)
    several = [
        several_text(asked, place.label, place, some)
        for place, some in zip(chosen, candidates, strict=True)
        if place is not None and place.label in named
    ]
    confidence = measurement.confidence
    if goes_by_nearest(asked) and any(several):
        # a nearer one may lie where nothing was looked at
        for each in seen:
            extent = each.places.coverage
            confidence *= extent.share if extent.recall is None else extent.recall
    notes = (*filter(None, several), *warnings) if measurement.text else ()
    return replace(measurement, confidence=confidence, warnings=(*notes, *measurement.warnings))


def _held(
    question: ThingQuestion,
    candidates: list[list[LocatedPlace]],
    plane: Plane,
    looks: dict[str, SecondLook],
) -> tuple[tuple[LocatedPlace | None, ...], list[float], list[str]]:
    """The places that are measured, how likely each is at a second look, and what to say of that.

    One that a second look refutes is no candidate any more, as among the extremes of a class.
    """
    shares, refuted = dict[int, float](), 0
    while True:
        chosen = choose_things(question.question, candidates, plane)
        fresh = [
            (number, place)
            for number, place in enumerate(chosen)
            if place is not None and place.label in looks and id(place) not in shares
        ]
        held = [shares.get(id(place), 1.0) for place in chosen]
        if None in chosen or not fresh:
            return chosen, held, []
        number, place = fresh[0]
        share = None
        if refuted < MOST_REFUTED:
            share = looks[place.label].probability(place.box_scene)
        if share is None:
            return chosen, held, [UNCHECKED]
        if place.score * share < LEAST_HELD:
            refuted += 1
            candidates[number].remove(place)
        else:
            shares[id(place)] = share


def _within(scene: Scene, site: LocatedPlace, region: Region | None) -> Region:
    """Where a thing at a site may stand: in its outline, which may be off by half a token."""
    shape = shapely.buffer(site.region, site.token_side / 2, join_style="mitre")
    return cut_region(shape, f"the {site.label}", scene, region)


def _share_of(limits: dict[str, Any], things: int) -> dict[str, Any]:
    """The share of one of several things in what is left of limits.

    Raises:
        BudgetError: If it is less than a tile.
    """
    if (tiles := limits.get("tiles")) is not None and tiles < things:
        raise BudgetError(
            f"tiles={tiles} are left for {things} things that are looked for: allow at least one "
            "for each"
        )
    return {
        name: limit // things if name in ("tiles", "tokens") else limit
        for name, limit in limits.items()
    }
