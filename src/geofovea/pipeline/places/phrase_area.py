"""The area that a phrase names, laid out on a scene: *trucks in the north*, *within 500 m of*."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from geofovea.errors import BudgetError, GeometryError, NothingShownError
from geofovea.pipeline.answers.cost import Cost
from geofovea.pipeline.answers.measurement import Measurement
from geofovea.pipeline.engine.watching import Watcher
from geofovea.pipeline.places.place import Places
from geofovea.pipeline.relations.counts import parse_area_phrase
from geofovea.pipeline.relations.place_question import PlaceQuestion
from geofovea.pipeline.relations.plane import NORTH_AT_TOP
from geofovea.pipeline.relations.surroundings import Part, Surroundings
from geofovea.pipeline.session.measuring import measurement_of
from geofovea.pipeline.session.options import AnswerOptions
from geofovea.pipeline.session.request import AskRequest
from geofovea.pipeline.session.session import SceneSession
from geofovea.regionfocus.budget import Budget
from geofovea.tiling.geo.region import Region
from geofovea.tiling.scene import Scene

__all__ = [
    "LIMITS",
    "LaidArea",
    "area_notes",
    "lay_out",
    "placed",
    "reference_place",
    "where_in_scene",
]

LIMITS = ("tiles", "tokens", "seconds", "host_ram_mb")
"""Of a budget: what a search may still spend, so that it says itself what it cannot hold."""

# of a budget, at most, for the place that distances or directions are taken from
_SHARE = 4
_LEAST = {"tiles": 1, "tokens": 1, "seconds": 1e-3}


@dataclass(frozen=True, slots=True)
class LaidArea:
    """An area of a phrase on a scene.

    Attributes:
        thing: What is looked for in it.
        region: In scene pixels; None for the whole scene.
        limits: What looking for its place left of the limits, by name.
        notes: How the phrase was read; empty where it names no area.
        cost: Of looking for its place; None where it has none.
    """

    thing: str
    region: Region | None
    limits: dict[str, Any]
    notes: tuple[str, ...] = ()
    cost: Cost | None = None

    def told(self, places: Places, phrase: str) -> Places:
        """Places that were found in it, with the whole phrase, the notes, and the whole cost."""
        if not self.notes:
            return places
        cost = places.cost if self.cost is None else self.cost.before(places.cost)
        warnings = tuple(dict.fromkeys((*self.notes, *places.warnings)))
        return replace(places, phrase=phrase, cost=cost, warnings=warnings)


def _limits_of(budget: Budget | None, limits: Mapping[str, Any]) -> dict[str, Any]:
    """The limits that were given, those of a budget included, by name."""
    of_budget = {} if budget is None else {name: getattr(budget, name) for name in LIMITS}
    chosen = {name: limit for name, limit in limits.items() if limit is not None}
    return {name: limit for name, limit in of_budget.items() if limit is not None} | chosen


def lay_out(
    session: SceneSession,
    phrase: str,
    within: Region | None,
    budget: Budget | None,
    limits: dict[str, Any],
    options: AnswerOptions,
    watch: Watcher | None,
) -> LaidArea:
    """Where the area of a phrase lies; its place is looked for first, if it has one.

    Args:
        session: The scene and the model.
        phrase: What is looked for, and where; all of ``within`` if it names no area.
        within: What alone is looked at; None for the whole scene.
        budget: What may be spent; a quarter of the tiles may go to the place.
        limits: What holds in place of the budget's, by name.
        options: How the place is looked for.
        watch: Hears of it, and may end it.

    Raises:
        NothingShownError: If the place was not found, or the area shares nothing with ``within``.
        GeometryError: If it is a distance, and the scene does not say how long a meter is.
        BudgetError: If the budget cannot hold a tile for the place and one for the thing.
    """
    if (area := parse_area_phrase(phrase)) is None:
        return LaidArea(phrase, within, limits)
    part, ends = area.part, list[Measurement]()
    limits = _limits_of(budget, limits)
    if isinstance(part, Surroundings):
        part.check(session.scene)
        request = AskRequest(area.thing, options=options, region=within)
        end, limits = reference_place(session, request, part.reference, limits, watch)
        if not end.text:
            raise NothingShownError(
                f"nothing was looked for {part.text}: {end.sentence}; name the thing alone, and "
                "limit the search with region="
            )
        ends.append(end)
    part = placed(part, ends)
    try:
        region = part.region(session.scene, within)
    except GeometryError as error:
        raise NothingShownError(str(error)) from error
    where = where_in_scene(part)
    note = f"the phrase was read as {area.thing!r} {where}: only that area was looked at"
    notes = (note, *area_notes(part, session.scene, ends))
    return LaidArea(area.thing, region, limits, notes, ends[0].cost if ends else None)


def placed(part: Part, ends: Sequence[Measurement]) -> Part:
    """A part of the scene, laid around the place that was found if it is named by one."""
    return part.at(ends[0].places[0]) if isinstance(part, Surroundings) else part


def where_in_scene(part: Part) -> str:
    """Where a part lies, as a sentence continues: ``in the northern half of the scene``."""
    return part.where if isinstance(part, Surroundings) else f"{part.where} of the scene"


def area_notes(part: Part, scene: Scene, ends: Sequence[Measurement]) -> tuple[str, ...]:
    """How a part was laid out, and what is to be known of the place that it is named by."""
    north = () if part.is_known_in(scene) else (NORTH_AT_TOP,)
    return (*filter(None, (part.rule,)), *north, *(w for end in ends for w in end.warnings))


def reference_place(
    session: SceneSession,
    request: AskRequest,
    name: str,
    limits: dict[str, Any],
    watch: Watcher | None,
) -> tuple[Measurement, dict[str, Any]]:
    """Where the place lies that is measured from, and what that leaves of limits.

    Args:
        session: The scene and the model.
        request: Whose options and region hold.
        name: Of the place.
        limits: What may be spent, by name.
        watch: Hears of it, and may end it.

    Raises:
        BudgetError: If the budget cannot hold a tile for each of the two.
    """
    own = session.host.default_budget
    if (tiles := limits.get("tiles")) is not None:
        if tiles < 2:
            raise BudgetError(
                f"tiles={tiles} cannot hold the {name} and what is compared: allow at least 2"
            )
        own = replace(own, tiles=min(own.tiles, max(1, tiles // _SHARE)))
    own = replace(own, **{k: v for k, v in limits.items() if k not in ("tiles", "tokens")})
    # those of a search are for a prompt a tile, and this is one question
    own = replace(own, tokens=min(own.tokens, limits.get("tokens", own.tokens)))
    options = replace(request.options, geometry="auto", stop=None)
    size = PlaceQuestion("size", (name,), measure="area")
    answer = session.answer(
        AskRequest(size.words, own, options, region=request.region, measure=size), watch=watch
    )
    measurement, cost = measurement_of(answer), answer.cost
    spent = {
        "tiles": cost.tiles_encoded,
        "tokens": cost.tokens_llm,
        "seconds": cost.seconds["total"],
    }
    left = {
        key: max(_LEAST[key], limit - spent[key]) if key in spent else limit
        for key, limit in limits.items()
    }
    return measurement, left
