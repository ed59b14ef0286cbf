"""The area that a phrase names, laid out on a scene: *trucks in the north*, *within 500 m of*."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import shapely

from geofovea._plurals import counted
from geofovea.errors import BudgetError, GeometryError, NothingShownError
from geofovea.pipeline.answers.cost import Cost
from geofovea.pipeline.answers.measurement import LocatedPlace, Measurement
from geofovea.pipeline.engine.watching import Watcher
from geofovea.pipeline.places.place import NamedArea, Place
from geofovea.pipeline.places.place_list import Places
from geofovea.pipeline.relations.counts import parse_area_phrase
from geofovea.pipeline.relations.place_question import PlaceQuestion
from geofovea.pipeline.relations.plane import NORTH_AT_TOP
from geofovea.pipeline.relations.results import listed_names
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
    "Reference",
    "area_notes",
    "find_reference",
    "find_sites",
    "lay_out",
    "limits_left",
    "limits_of",
    "placed",
    "where_in_scene",
]

LIMITS = ("tiles", "tokens", "seconds", "host_ram_mb")
"""Of a budget: what a search may still spend, so that it says itself what it cannot hold."""

# of a budget, at most, for the place that distances or directions are taken from
_SHARE = 4
# centers of tokens often lie on the edge that two areas share, and belong to one of them: the one
# to the lower right, in a direction that hardly any edge has
_BESIDE = (1e-6, 0.618e-6)
_LEAST = {"tiles": 1, "tokens": 1, "seconds": 1e-3}


@dataclass(frozen=True, slots=True)
class LaidArea:
    """The area in which a phrase is looked for: one that it names, a region, or both.

    The model sees whole tiles, so that what the edge of the area cuts is seen as a whole. It counts
    where its center lies. So areas that share an edge never count a thing twice.

    Attributes:
        thing: What is looked for in it.
        region: In scene pixels; None for the whole scene.
        limits: What looking for its place left of the limits, by name.
        named: How the phrase was read; None where it names no area.
        notes: The same in words, and what is to be known of its place.
        cost: Of looking for its place; None where it has none.
    """

    thing: str
    region: Region | None
    limits: dict[str, Any]
    named: NamedArea | None = None
    notes: tuple[str, ...] = ()
    cost: Cost | None = None

    def holds(self, place: Place) -> bool:
        """Whether the center of a place lies in the area; all do in the whole scene."""
        if self.region is None:
            return True
        (x, y), (aside_x, aside_y) = place.center, _BESIDE
        return bool(shapely.intersects_xy(self.region.geometry, x + aside_x, y + aside_y))

    def held(self, places: Sequence[Place]) -> tuple[list[Place], tuple[str, ...]]:
        """Those whose centers lie in the area, and what to say of those that only reach into it."""
        kept = [place for place in places if self.holds(place)]
        if self.region is None or len(kept) == len(places):
            return kept, ()
        outside = [place for place in places if not self.holds(place)]
        cut = sum(self.region.overlaps(place.box_scene) for place in outside)
        if not cut:
            return kept, ()
        have, was = ("has its center", "is") if cut == 1 else ("have their centers", "are")
        return kept, (
            f"{counted(cut, 'place')} at the edge of the area {have} outside of it, and {was} left "
            "out",
        )

    def told(self, places: Places, phrase: str) -> Places:
        """Places that were found in it, with the whole phrase, the notes, and the whole cost."""
        if self.named is None:
            return places
        cost = places.cost if self.cost is None else self.cost.before(places.cost)
        warnings = tuple(dict.fromkeys((*self.notes, *places.warnings)))
        return replace(places, phrase=phrase, area=self.named, cost=cost, warnings=warnings)


@dataclass(frozen=True, slots=True)
class Reference:
    """The place that an area or a distance is measured from, after it was looked for.

    Attributes:
        ends: Where it lies; empty where nothing is measured from a place.
        limits: What that left of the limits, by name.
    """

    ends: tuple[Measurement, ...]
    limits: dict[str, Any]

    @property
    def missing(self) -> Measurement | None:
        """What is told of it where it was not found, or may be several; else None."""
        return next((end for end in self.ends if not end.text), None)

    @property
    def place(self) -> LocatedPlace | None:
        """The place; None where there is none."""
        return self.ends[0].places[0] if self.ends else None

    @property
    def costs(self) -> list[Cost]:
        """What looking for it took."""
        return [end.cost for end in self.ends if end.cost is not None]


def limits_of(budget: Budget | None, limits: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The limits of a search that were given, by name.

    Args:
        budget: That was given; None for none.
        limits: Those that hold in place of the budget's; None among them is no limit.
    """
    of_budget = {} if budget is None else {name: getattr(budget, name) for name in LIMITS}
    chosen = {name: limit for name, limit in (limits or {}).items() if limit is not None}
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
    request = AskRequest(area.thing, options=options, region=within)
    found = find_reference(session, request, area.part, "", limits_of(budget, limits), watch)
    if found.missing is not None:
        raise NothingShownError(
            f"nothing was looked for {area.part.text}: {found.missing.sentence} "
            f"({_took(found.costs)}); name the thing alone, and limit the search with region="
        )
    part = placed(area.part, found)
    try:
        region = part.region(session.scene, within)
    except GeometryError as error:
        raise NothingShownError(str(error)) from error
    where = where_in_scene(part)
    note = f"the phrase was read as {area.thing!r} {where}: only what has its center there counts"
    notes = (note, *area_notes(part, session.scene, found))
    named = NamedArea(area.thing, where, part.rule, region)
    cost = next(iter(found.costs), None)
    return LaidArea(area.thing, region, found.limits, named, notes, cost)


def _took(costs: Sequence[Cost]) -> str:
    """What looking for a place cost, in words."""
    tiles, tokens = sum(c.tiles_encoded for c in costs), sum(c.tokens_llm for c in costs)
    seconds = sum(c.seconds["total"] for c in costs)
    return (
        f"looking for it took {counted(tiles, 'tile')}, {counted(tokens, 'vision token')} and "
        f"{seconds:.1f} s"
    )


def placed(part: Part, found: Reference) -> Part:
    """A part of the scene, laid around the place that was found if it is named by one."""
    if isinstance(part, Surroundings) and found.place is not None:
        return part.at(found.place)
    return part


def where_in_scene(part: Part) -> str:
    """Where a part lies, as a sentence continues: ``in the northern half of the scene``."""
    return part.where if isinstance(part, Surroundings) else f"{part.where} of the scene"


def area_notes(part: Part, scene: Scene, found: Reference) -> tuple[str, ...]:
    """How a part was laid out, and what is to be known of the place that it is named by."""
    north = () if part.is_known_in(scene) else (NORTH_AT_TOP,)
    return (*filter(None, (part.rule,)), *north, *(w for end in found.ends for w in end.warnings))


def find_reference(
    session: SceneSession,
    request: AskRequest,
    part: Part | None,
    name: str,
    limits: dict[str, Any],
    watch: Watcher | None,
) -> Reference:
    """Look for the place that an area is named by, or else for the one that was named.

    Args:
        session: The scene and the model.
        request: Whose options and region hold.
        part: The area; None where none is named.
        name: Of another place that is measured from; empty for none.
        limits: What may be spent, by name; a quarter of the tiles may go to the place.
        watch: Hears of it, and may end it.

    Raises:
        GeometryError: If the area is a distance, and the scene does not say how long a meter is.
        BudgetError: If the budget cannot hold a tile for the place and one for the thing.
    """
    if isinstance(part, Surroundings):
        part.check(session.scene)
        name = part.reference
    return find_sites(session, request, (name,) if name else (), limits, watch)


def find_sites(
    session: SceneSession,
    request: AskRequest,
    names: Sequence[str],
    limits: dict[str, Any],
    watch: Watcher | None,
) -> Reference:
    """Look for the places from which things are measured, all together.

    Args:
        session: The scene and the model.
        request: Whose options and region hold.
        names: Of the places; none are looked for without any.
        limits: What may be spent, by name; a quarter of the tiles may go to the places.
        watch: Hears of it, and may end it.

    Raises:
        BudgetError: If the budget cannot hold a tile for the places and one for the things.
    """
    if not names:
        return Reference((), limits)
    own = session.host.default_budget
    if (tiles := limits.get("tiles")) is not None:
        if tiles < 2:
            raise BudgetError(
                f"tiles={tiles} cannot hold the {listed_names(names)} and what is compared: allow "
                "at least 2"
            )
        own = replace(own, tiles=min(own.tiles, max(1, tiles // _SHARE)))
    own = replace(own, **{k: v for k, v in limits.items() if k not in ("tiles", "tokens")})
    # those of a search are for a prompt a tile, and this is one question
    own = replace(own, tokens=min(own.tokens, limits.get("tokens", own.tokens)))
    options = replace(request.options, geometry="auto", stop=None)
    size = PlaceQuestion("size" if len(names) == 1 else "sizes", tuple(names), measure="area")
    inner = AskRequest(size.words, own, options, region=request.region, measure=size)
    # what is no limit of the caller is none of a thing that is looked for in between
    answer = session.answer(replace(inner, stated=frozenset(limits)), watch=watch)
    return Reference((measurement_of(answer),), limits_left(limits, answer.cost))


def limits_left(limits: Mapping[str, Any], cost: Cost) -> dict[str, Any]:
    """What is left of limits after something was paid for; never nothing."""
    spent = {
        "tiles": cost.tiles_encoded,
        "tokens": cost.tokens_llm,
        "seconds": cost.seconds["total"],
    }
    return {
        key: max(_LEAST[key], limit - spent[key]) if key in spent else limit
        for key, limit in limits.items()
    }
