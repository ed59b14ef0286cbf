"""The synthetic world at later dates: things come, go and change, and sites are built.

The world of a date follows from the seed and the number of the date alone. Date 0 is the world as
it was made; every later one is the one before with some changes, seen in another light.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Literal

from geofovea.datasets.synthetic.plants import with_lawn
from geofovea.datasets.synthetic.versions import world_of
from geofovea.datasets.synthetic.vocabulary import (
    COLORS,
    FILLER_SITES,
    SITES,
    STATUSES,
    THINGS,
)
from geofovea.datasets.synthetic.world import (
    PAD_SLOTS,
    Site,
    Thing,
    World,
    make_site,
    make_thing,
    slot_center,
)
from geofovea.errors import DataError
from geofovea.tiling.pyramid import Box

__all__ = ["ChangeKind", "WorldChange", "change_site", "changes_between", "make_dated_world"]

ChangeKind = Literal["appeared", "gone", "changed", "new site", "gone site"]

_FIRST_DATE = date(2024, 6, 1)
_DAYS_BETWEEN = 120
_MOST_DATES = 64
_SHARE_OF_SITES = 0.4
_SHARE_OF_BUILDING = 0.5
_LIGHT = (0.85, 1.15)


@dataclass(frozen=True, slots=True)
class WorldChange:
    """One thing that two dates do not have in common.

    Attributes:
        kind: What happened.
        site: Kind of the site where it happened.
        box: Where, in scene pixels: the thing, or the grounds of a site that is new or gone.
        before: The thing at the earlier date; None where there was none, and for sites.
        after: The thing at the later date; None where there is none, and for sites.
    """

    kind: ChangeKind
    site: str
    box: Box
    before: Thing | None = None
    after: Thing | None = None

    @property
    def thing(self) -> Thing | None:
        """The thing as it is, or as it was where it went; None for sites."""
        return self.after or self.before


def make_dated_world(seed: int, width: int, height: int, number: int, version: int = 1) -> World:
    """The world of a seed at a date.

    Args:
        seed: See ``make_world``.
        width: In pixels.
        height: In pixels.
        number: Of the date, from 0; 120 days lie between two.
        version: Of the world, one of ``VERSIONS``.

    Raises:
        DataError: If the scene is too small for a site, or there is no such date or version.
    """
    if not 0 <= number < _MOST_DATES:
        raise DataError(f"a synthetic world has dates 0 to {_MOST_DATES - 1}, got {number}")
    world = world_of(version, seed, width, height)
    for step in range(1, number + 1):
        rng = random.Random(f"geofovea-date-{seed}-{width}-{height}-{step}")
        world = _changed(world, rng)
    day = _FIRST_DATE + timedelta(days=_DAYS_BETWEEN * number)
    return replace(world, date=day.isoformat())


def changes_between(before: World, after: World) -> tuple[WorldChange, ...]:
    """What differs between two dates of one world, site after site."""
    earlier, later = ({(s.kind, s.box): s for s in w.sites} for w in (before, after))
    changes = [
        WorldChange("gone site", site.kind, site.box)
        for key, site in earlier.items()
        if key not in later
    ]
    for key, site in later.items():
        if key in earlier:
            changes += _changes_on(earlier[key], site)
        else:
            changes.append(WorldChange("new site", site.kind, site.box))
    return tuple(changes)


def _changes_on(before: Site, after: Site) -> list[WorldChange]:
    """What changed at a site; a thing is identified by its kind and its place."""
    old = {(t.kind, t.x, t.y): t for t in before.things}
    new = {(t.kind, t.x, t.y): t for t in after.things}
    changes = []
    for key, thing in old.items():
        if key not in new:
            changes.append(WorldChange("gone", after.kind, thing.box, before=thing))
        elif new[key] != thing:
            changes.append(WorldChange("changed", after.kind, thing.box, thing, new[key]))
    return changes + [
        WorldChange("appeared", after.kind, thing.box, after=thing)
        for key, thing in new.items()
        if key not in old
    ]


def _changed(world: World, rng: random.Random) -> World:
    """The world one date later; at least one of its sites is not as it was."""
    certain = rng.randrange(len(world.sites))
    sites = [
        change_site(site, rng) if rng.random() < _SHARE_OF_SITES or i == certain else site
        for i, site in enumerate(world.sites)
    ]
    if rng.random() < _SHARE_OF_BUILDING:
        sites = _with_new_site(world, sites, rng)
    return replace(world, sites=tuple(sites), light=rng.uniform(*_LIGHT))


def change_site(site: Site, rng: random.Random) -> Site:
    """One or two things come, go or change; what cannot happen on a pad becomes a change."""
    for change in rng.sample((_one_comes, _one_goes, _one_changes), rng.randint(1, 2)):
        site = change(site, rng) or _one_changes(site, rng) or site
    return site


def _one_comes(site: Site, rng: random.Random) -> Site | None:
    free = [slot for slot in PAD_SLOTS if not _is_taken(site, slot)]
    if not free:
        return None
    thing = make_thing(rng, rng.choice(THINGS), site.pad, rng.choice(free))
    return replace(site, things=(*site.things, thing))


def _is_taken(site: Site, slot: tuple[int, int]) -> bool:
    x, y = slot_center(site.pad, slot)
    half = site.pad.width / 6
    places = [(site.hall.x, site.hall.y), *((thing.x, thing.y) for thing in site.things)]
    return any(abs(px - x) < half and abs(py - y) < half for px, py in places)


def _one_goes(site: Site, rng: random.Random) -> Site | None:
    if len(site.things) < 2:
        return None
    removed = rng.choice(site.things)
    return replace(site, things=tuple(thing for thing in site.things if thing is not removed))


def _one_changes(site: Site, rng: random.Random) -> Site | None:
    if not site.things:
        return None
    thing = rng.choice(site.things)
    if rng.random() < 0.5:
        other = replace(thing, color=rng.choice([c for c in COLORS if c != thing.color]))
    else:
        other = replace(thing, status=rng.choice([s for s in STATUSES if s != thing.status]))
    return replace(site, things=tuple(other if t is thing else t for t in site.things))


def _with_new_site(world: World, sites: list[Site], rng: random.Random) -> list[Site]:
    """Sites with one that is built in a free cell, or else in place of a village or farm.

    It is of a kind that the world lacks, as long as there is one.
    """
    side = world.cell_side
    site_of_cell = {_cell_of(site, side): site for site in sites}
    cells = [(r, c) for r in range(world.height // side) for c in range(world.width // side)]
    free = [cell for cell in cells if cell not in site_of_cell and world.is_dry(*cell)]
    free = free or [cell for cell, site in site_of_cell.items() if site.kind in FILLER_SITES]
    if not free:
        return sites
    kinds = [kind for kind in SITES if all(site.kind != kind for site in sites)]
    cell = rng.choice(free)
    kind = rng.choice(kinds or FILLER_SITES)
    built = make_site(rng, kind, *cell, side, world.terrain[cell[0]][cell[1]])
    if world.bands > 3:
        built = with_lawn(rng, built)
    standing = [*(site for site in sites if _cell_of(site, side) != cell), built]
    # named sites stand before the others
    return sorted(standing, key=lambda site: site.kind not in SITES)


def _cell_of(site: Site, cell_side: int) -> tuple[int, int]:
    x, y = site.box.center
    return int(y // cell_side), int(x // cell_side)
