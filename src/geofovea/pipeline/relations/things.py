"""Names of things that are looked for from above, and which of them are something else.

A model that is asked for trucks may list cars as well, and calls them so. Whether a name means
another thing is told only of names in these tables; what they do not know may be anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from geofovea.pipeline.inference.prompts.presence import singular_of
from geofovea.pipeline.relations.names import is_line
from geofovea.regionfocus.search.router import is_area

__all__ = ["is_known_thing", "other_thing"]

_SYNONYMS = """
car: automobile, sedan, passenger car, suv, taxi
truck: lorry, dump truck, cargo truck, pickup truck, pickup, trailer truck
van: minivan
bus: buses, coach, minibus
motorcycle: motorbike, scooter
bicycle: bike
excavator: digger, backhoe
tractor
train: locomotive, railcar, train car, railway car
plane: airplane, aeroplane, jet, airliner, fighter jet
helicopter: chopper
ship: boat, container ship, cargo ship, ferry, yacht, sailboat, tanker, oil tanker, fishing boat, \
motorboat, warship, tugboat, barge
crane: tower crane, container crane
shipping container
storage tank: oil tank, fuel tank
military tank: armored vehicle, armoured vehicle
tree: palm tree
person: pedestrian, people
swimming pool: pool
tennis court
basketball court
soccer field: football field, football pitch, soccer pitch, soccer ball field
baseball field: baseball diamond
running track: ground track field
golf course
playground
house: residential building, villa
warehouse
hangar
hall
greenhouse
stadium
parking lot: car park, parking area, truck park, truck stop
road: street, highway
railway: rail track, railroad
bridge: overpass
roundabout: traffic circle
runway
harbor: harbour, port, pier, dock, marina
airport: airfield
helipad: helicopter pad
river
lake: pond
wind turbine: windmill
solar panel: photovoltaic panel
chimney: smokestack
power line: transmission tower, pylon
"""
_KINDS = {
    "vehicle": "car, truck, van, bus, motorcycle, bicycle, excavator, tractor, train, "
    "military tank",
    "small vehicle": "car, van, motorcycle",
    "large vehicle": "truck, bus, tractor, excavator",
    "motor vehicle": "car, truck, van, bus, motorcycle, tractor",
    "construction vehicle": "truck, excavator, tractor, crane",
    "machine": "excavator, tractor, crane",
    "aircraft": "plane, helicopter",
    "vessel": "ship",
    "watercraft": "ship",
    "building": "house, warehouse, hangar, hall, greenhouse, stadium",
    "court": "tennis court, basketball court",
    "sports field": "tennis court, basketball court, soccer field, baseball field, running track",
    "track": "running track, railway",
    "field": "soccer field, baseball field",
    "tank": "storage tank, military tank",
    "container": "shipping container",
    "water": "river, lake, swimming pool",
}
"""What is said of several things; none of these is another thing than one of its own."""


@dataclass(frozen=True, slots=True)
class _Name:
    """A known name, and the things that it can mean."""

    text: str
    things: frozenset[str]


def _words(text: str) -> list[str]:
    return [singular_of(word) for word in re.findall(r"[^\W_]+", text.lower())]


def _known_names() -> Iterator[_Name]:
    for line in _SYNONYMS.strip().splitlines():
        thing, _, more = line.partition(": ")
        for name in (thing, *filter(None, more.split(", "))):
            yield _Name(name, frozenset({thing}))
    for kind, things in _KINDS.items():
        yield _Name(kind, frozenset(things.split(", ")))


_NAMES = {tuple(_words(name.text)): name for name in _known_names()}
_MOST_WORDS = max(map(len, _NAMES))
_LONGEST_TEXT = 200


def other_thing(name: str, wanted: str) -> str | None:
    """The thing that a name means, where that is certainly none of those that are wanted.

    Args:
        name: What something is called, in any words; the first 200 characters are read.
        wanted: What is looked for, likewise.

    Returns:
        A known name of it. None where the name is empty or not known, or can mean what is wanted, a
        kind of it, or what it is a kind of; and where what is wanted is not known.
    """
    called, sought = _names_in(name), _names_in(wanted)
    # a "white truck at the car park" names the truck as well
    can_be_meant = any(one.things & other.things for one in called for other in sought)
    return called[0].text if called and sought and not can_be_meant else None


def is_known_thing(name: str) -> bool:
    """Whether a name calls a known thing that a tile shows whole, and no area or line.

    Args:
        name: Such as ``red truck``; the first 200 characters are read.
    """
    return bool(_names_in(name)) and not is_area(name) and not is_line(name)


def _names_in(text: str) -> list[_Name]:
    """The known names in a text, each as long as can be."""
    words, names, place = _words(text[:_LONGEST_TEXT]), [], 0
    while place < len(words):
        lengths = range(min(_MOST_WORDS, len(words) - place), 0, -1)
        length = next((n for n in lengths if tuple(words[place : place + n]) in _NAMES), 0)
        if length:
            names.append(_NAMES[tuple(words[place : place + length])])
        place += max(1, length)
    return names
