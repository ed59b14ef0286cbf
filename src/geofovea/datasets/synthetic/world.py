"""The synthetic world as a vector description: made from a seed, before any pixel exists.

A world is a chessboard of *cells*, each with one terrain. Some cells hold a *site* (an airport, a
quarry ...). Seen from far away a site is a patch of a few pixels with its own color and texture;
somewhere on it lies a *pad*, and on the pad stand the *things* that questions ask about, a few
tens of native pixels in size. So a question names something that the coarsest levels show, and its
answer is only visible at the finest.

All coordinates are scene pixels (x right, y down) and whole numbers.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from geofovea.datasets.synthetic.vocabulary import (
    COLORS,
    FILLER_SITES,
    SETTINGS,
    SHAPES,
    SITES,
    STATUSES,
    SURFACES,
    TERRAINS,
    THINGS,
    URBAN,
)
from geofovea.errors import DataError
from geofovea.tiling.pyramid import Box

__all__ = [
    "CELL_SIDE",
    "GSD_M",
    "MIN_SIDE",
    "PAD_SLOTS",
    "Hall",
    "Site",
    "Thing",
    "World",
    "check_size",
    "draw_sites",
    "make_crowd",
    "make_pad",
    "make_site",
    "make_thing",
    "make_world",
    "slot_center",
]

CELL_SIDE = 2048
MIN_SIDE = 768
"""The smallest side in pixels of a world: below it a site and its pad do not fit."""

GSD_M = 0.5
_URBAN_SHARE = 0.4
_FILLERS_PER_CELL = 1 / 8
_SLOTS_PER_SIDE = 3
PAD_SLOTS = tuple((i % _SLOTS_PER_SIDE, i // _SLOTS_PER_SIDE) for i in range(_SLOTS_PER_SIDE**2))
"""Column and row of the places of a pad where a hall or a thing can stand."""

_PAD_SIDE = (240, 300)
_PAD_RING = 60
_THING_HALF_LENGTH = (20, 30)
_HALL_HALF_LENGTH = (26, 34)
_CROWD_PITCH = 64


@dataclass(frozen=True, slots=True)
class Thing:
    """One movable object on a pad.

    Attributes:
        kind: One of ``THINGS``.
        color: A key of ``COLORS``.
        status: One of ``STATUSES``.
        x: Center column in scene pixels.
        y: Center row in scene pixels.
        half_length: Half the length in pixels.
        angle: Heading in degrees, clockwise from the x axis as y points down.
    """

    kind: str
    color: str
    status: str
    x: int
    y: int
    half_length: int
    angle: float

    @property
    def box(self) -> Box:
        """The square around the body, without the trail of a moving thing."""
        return _square(self.x, self.y, self.half_length)


@dataclass(frozen=True, slots=True)
class Hall:
    """The one building of a site; its plan is what questions about shape ask for.

    Its roof is one of ``ROOFS``, both of the same green; None for a gray one.
    """

    shape: str
    x: int
    y: int
    half_length: int
    angle: float
    roof: str | None = None

    @property
    def box(self) -> Box:
        """The square around the building."""
        return _square(self.x, self.y, self.half_length)


@dataclass(frozen=True, slots=True)
class Site:
    """A facility with its pad and everything that stands there.

    Attributes:
        kind: One of ``SITES`` or ``FILLER_SITES``.
        box: The grounds.
        pad: The part of the grounds where things stand.
        surface: One of ``SURFACES``, what covers the pad.
        setting: ``"rural"`` or ``"urban"``, the terrain around the grounds.
        hall: The building on the pad.
        things: The movable objects on the pad.
        gain: Brightness factor of the grounds.
        lawn: One of ``LAWNS``, the grass around the pad in version 2: only near infrared
            tells. None where there is no lawn.
    """

    kind: str
    box: Box
    pad: Box
    surface: str
    setting: str
    hall: Hall
    things: tuple[Thing, ...]
    gain: float
    lawn: str | None = None

    @property
    def apron(self) -> Box:
        """The pad and the dark ring around it."""
        pad = self.pad
        return Box(pad.x0 - _PAD_RING, pad.y0 - _PAD_RING, pad.x1 + _PAD_RING, pad.y1 + _PAD_RING)

    def of_kind(self, kind: str) -> tuple[Thing, ...]:
        """The things of one kind."""
        return tuple(t for t in self.things if t.kind == kind)

    def of_color(self, color: str) -> tuple[Thing, ...]:
        """The things of one color."""
        return tuple(t for t in self.things if t.color == color)


@dataclass(frozen=True, slots=True)
class World:
    """A whole scene as a description.

    Attributes:
        seed: The number that it was made from.
        width: Width in pixels.
        height: Height in pixels.
        cell_side: Side of a cell in pixels.
        terrain: Terrain of each cell, ``terrain[row][col]``.
        sites: All sites; those of a kind in ``SITES`` come first and are unique.
        date: When it is seen, as ``2024-06-01``; None for a world without dates.
        light: Brightness factor of the whole picture, as another day has another light.
        gsd_m: Meters on the ground that a pixel covers.
    """

    seed: int
    width: int
    height: int
    cell_side: int
    terrain: tuple[tuple[str, ...], ...]
    sites: tuple[Site, ...]
    date: str | None = None
    light: float = 1.0
    gsd_m: float = GSD_M

    @property
    def version(self) -> int:
        """Which of the looks of the world this one has; scenes are stamped with it."""
        return 1

    @property
    def bands(self) -> int:
        """How many a picture of it can have: red, green, blue, and near infrared if 4."""
        return 3

    @property
    def named_sites(self) -> tuple[Site, ...]:
        """The sites that a question can name without doubt."""
        return tuple(s for s in self.sites if s.kind in SITES)

    def is_dry(self, row: int, col: int) -> bool:  # noqa: ARG002
        """Whether a site can stand in a cell; there is no water in this version."""
        return True

    def setting_at(self, x_scene: float, y_scene: float) -> str:
        """``"urban"`` or ``"rural"`` at a point of the scene."""
        rows, cols = len(self.terrain), len(self.terrain[0])
        row = min(int(y_scene // self.cell_side), rows - 1)
        col = min(int(x_scene // self.cell_side), cols - 1)
        return "urban" if self.terrain[row][col] == URBAN else "rural"

    def settings_over(self, x_scene: Sequence[float], y_scene: Sequence[float]) -> list[list[str]]:
        """`setting_at` for a grid of points: a row for each ``y_scene``."""
        return [[self.setting_at(x, y) for x in x_scene] for y in y_scene]


def make_world(seed: int, width: int, height: int) -> World:
    """Make the world of a seed: equal arguments give equal worlds.

    Args:
        seed: Any whole number.
        width: Width in pixels, at least ``MIN_SIDE``.
        height: Height in pixels, at least ``MIN_SIDE``.

    Raises:
        DataError: If the scene is too small for a site.
    """
    check_size(width, height)
    rng = random.Random(f"geofovea-world-{seed}-{width}-{height}")
    cell_side = min(CELL_SIDE, width, height)
    rows, cols = -(-height // cell_side), -(-width // cell_side)
    terrain = tuple(tuple(_terrain(rng) for _ in range(cols)) for _ in range(rows))
    cells = [(r, c) for r in range(height // cell_side) for c in range(width // cell_side)]
    sites = tuple(draw_sites(rng, cells, cell_side, terrain))
    return World(seed, width, height, cell_side, terrain, sites)


def draw_sites(
    rng: random.Random, cells: list[tuple[int, int]], side: int, terrain: Sequence[Sequence[str]]
) -> Iterator[Site]:
    """Sites on cells ``(row, col)``, named kinds first; each is drawn when it is asked for."""
    rng.shuffle(cells)
    for kind, (row, col) in zip(_site_kinds(rng, len(cells)), cells, strict=False):
        yield make_site(rng, kind, row, col, side, terrain[row][col])


def check_size(width: int, height: int) -> None:
    """Refuse a scene in which no site would fit.

    Raises:
        DataError: If a side is below ``MIN_SIDE``.
    """
    if min(width, height) < MIN_SIDE:
        raise DataError(
            f"a synthetic scene needs at least {MIN_SIDE} pixels a side, got {width} x {height}"
        )


def make_crowd(rng: random.Random, slots: int) -> World:
    """A world that is one pad, crowded with things: one on each of ``slots × slots`` places.

    A scene shows a handful of things; this is for learning to tell them apart.
    """
    side = slots * _CROWD_PITCH
    everywhere = Box(0, 0, side, side)
    places = [
        (round((col + 0.5) * _CROWD_PITCH), round((row + 0.5) * _CROWD_PITCH))
        for row in range(slots)
        for col in range(slots)
    ]
    rng.shuffle(places)
    hall = Hall(
        rng.choice(SHAPES), *places[0], rng.randint(*_HALL_HALF_LENGTH), rng.uniform(0, 360)
    )
    things = tuple(
        Thing(
            rng.choice(THINGS),
            rng.choice(list(COLORS)),
            rng.choice(STATUSES),
            x + rng.randint(-5, 5),
            y + rng.randint(-5, 5),
            rng.randint(*_THING_HALF_LENGTH),
            rng.uniform(0, 360),
        )
        for x, y in places[1:]
    )
    surface = rng.choice(SURFACES)
    site = Site(SITES[0], everywhere, everywhere, surface, SETTINGS[0], hall, things, 1.0)
    return World(0, side, side, side, ((TERRAINS[0],),), (site,))


def make_pad(rng: random.Random, side: int) -> World:
    """A world that is nothing but the pad of one site, furnished as those of scenes are.

    Args:
        rng: Where everything comes from.
        side: Of the pad in pixels.
    """
    pad = Box(0, 0, side, side)
    hall, things = _furnish(rng, pad)
    site = Site(
        rng.choice(SITES), pad, pad, rng.choice(SURFACES), SETTINGS[0], hall, things, gain=1.0
    )
    return World(0, side, side, side, ((TERRAINS[0],),), (site,))


def _terrain(rng: random.Random) -> str:
    return URBAN if rng.random() < _URBAN_SHARE else rng.choice(TERRAINS[:-1])


def _site_kinds(rng: random.Random, cells: int) -> list[str]:
    """Named kinds first, then fillers: three named sites in four cells, at most all twelve."""
    count = min(len(SITES), max(1, cells * 3 // 4))
    fillers = round((cells - count) * _FILLERS_PER_CELL) or int(cells > count)
    return rng.sample(SITES, count) + [rng.choice(FILLER_SITES) for _ in range(fillers)]


def make_site(
    rng: random.Random, kind: str, row: int, col: int, cell_side: int, terrain: str
) -> Site:
    """A site with its pad, somewhere in a cell.

    Args:
        rng: Where everything comes from.
        kind: One of ``SITES`` or ``FILLER_SITES``.
        row: Row of the cell.
        col: Column of the cell.
        cell_side: Side of a cell in pixels.
        terrain: Of the cell.
    """
    width, height = (rng.randint(cell_side // 2, cell_side * 23 // 32) for _ in range(2))
    margin = cell_side // 14
    x0 = col * cell_side + rng.randint(margin, cell_side - margin - width)
    y0 = row * cell_side + rng.randint(margin, cell_side - margin - height)
    side = rng.randint(*_PAD_SIDE)
    inset = min(_PAD_RING + 30, (min(width, height) - side) // 2 - 1)
    pad_x = x0 + rng.randint(inset, width - inset - side)
    pad_y = y0 + rng.randint(inset, height - inset - side)
    pad = Box(pad_x, pad_y, pad_x + side, pad_y + side)
    hall, things = _furnish(rng, pad)
    return Site(
        kind=kind,
        box=Box(x0, y0, x0 + width, y0 + height),
        pad=pad,
        surface=rng.choice(SURFACES),
        setting="urban" if terrain == URBAN else "rural",
        hall=hall,
        things=things,
        gain=rng.uniform(0.92, 1.08),
    )


def _furnish(rng: random.Random, pad: Box) -> tuple[Hall, tuple[Thing, ...]]:
    """Put a hall and three to eight things on the slots of a pad; no two share a slot."""
    slots = list(PAD_SLOTS)
    rng.shuffle(slots)

    def place(slot: tuple[int, int], jitter: int) -> tuple[int, int]:
        x, y = slot_center(pad, slot)
        return x + rng.randint(-jitter, jitter), y + rng.randint(-jitter, jitter)

    hall = Hall(
        rng.choice(SHAPES),
        *place(slots[0], 4),
        rng.randint(*_HALL_HALF_LENGTH),
        rng.uniform(0, 360),
    )
    kinds = zip(_thing_kinds(rng), slots[1:], strict=False)
    things = tuple(make_thing(rng, kind, pad, slot) for kind, slot in kinds)
    return hall, things


def slot_center(pad: Box, slot: tuple[int, int]) -> tuple[int, int]:
    """The center ``(x, y)`` of one of `PAD_SLOTS` in scene pixels."""
    pitch = pad.width / _SLOTS_PER_SIDE
    return round(pad.x0 + (slot[0] + 0.5) * pitch), round(pad.y0 + (slot[1] + 0.5) * pitch)


def make_thing(rng: random.Random, kind: str, pad: Box, slot: tuple[int, int]) -> Thing:
    """A thing of a kind on a slot of a pad; all else of it is drawn."""
    color, status = rng.choice(list(COLORS)), rng.choice(STATUSES)
    x, y = slot_center(pad, slot)
    x, y = x + rng.randint(-7, 7), y + rng.randint(-7, 7)
    return Thing(kind, color, status, x, y, rng.randint(*_THING_HALF_LENGTH), rng.uniform(0, 360))


def _thing_kinds(rng: random.Random) -> list[str]:
    """A flock of one kind (so that counts vary) among single things of others."""
    flock, *others = rng.sample(THINGS, len(THINGS))
    kinds = [flock] * rng.randint(1, 5)
    kinds += others[: rng.randint(2, 3)]
    return kinds


def _square(x: int, y: int, half: int) -> Box:
    return Box(x - half, y - half, x + half, y + half)
