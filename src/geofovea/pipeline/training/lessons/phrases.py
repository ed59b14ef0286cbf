"""Phrases about the synthetic world, which of them a tile shows, and how people word them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geofovea.datasets.synthetic.vocabulary import (
    COLORS,
    SHAPES,
    SITES,
    STATUSES,
    SURFACES,
    THINGS,
)
from geofovea.datasets.synthetic.world import Hall, Site, Thing, World
from geofovea.tiling.pyramid import Box

__all__ = ["IGNORED_PHRASE", "PHRASES", "Phrase", "shown_phrases", "worded"]

IGNORED_PHRASE = -1
"""Of a phrase that may or may not be true of a tile, such as one about a thing at its edge."""

_SEEN, _HIDDEN = 0.4, 0.1
"""Shares of a thing or of a tile: from the first on it is there, up to the second it is not."""

_LEVEL_OF_DOUBT = 2
"""Things are clear below this level, doubtful on it, and too small above."""


@dataclass(frozen=True, slots=True)
class Phrase:
    """Something that a tile may show.

    Attributes:
        site: A key of ``SITES``, or "".
        thing: One of ``THINGS``, ``"hall"``, or "".
        attribute: A color, a status, a shape, or "".
        surface: One of ``SURFACES``, or "".
    """

    site: str = ""
    thing: str = ""
    attribute: str = ""
    surface: str = ""

    @property
    def text(self) -> str:
        """The phrase in words, such as ``red truck`` or ``truck at the depot``."""
        noun = " ".join(filter(None, (self.attribute, self.thing)))
        return " at the ".join(filter(None, (noun, self.site))) or self.surface


def _all_phrases() -> Iterator[Phrase]:
    yield from (Phrase(site=site) for site in SITES)
    yield from (Phrase(thing=thing) for thing in (*THINGS, "hall"))
    yield from (
        Phrase(thing=thing, attribute=word) for thing in THINGS for word in (*COLORS, *STATUSES)
    )
    yield from (Phrase(thing="hall", attribute=shape) for shape in SHAPES)
    yield from (Phrase(surface=surface) for surface in SURFACES)
    yield from (Phrase(site=site, thing=thing) for site in SITES for thing in (*THINGS, "hall"))


PHRASES = tuple(_all_phrases())
_PLACES = {phrase: place for place, phrase in enumerate(PHRASES)}


def shown_phrases(
    world: World, box_scene: Box, level: int, *, knows_site: bool = True
) -> NDArray[np.int8]:
    """Which of the p ``PHRASES`` are true of a tile, int8 (p,): 1, 0, or ``IGNORED_PHRASE``.

    Args:
        world: What the tile shows.
        box_scene: Of the tile.
        level: Of the tile.
        knows_site: Whether what is around a pad tells which site it is.
    """
    labels = np.zeros(len(PHRASES), np.int8)
    for site in world.sites:
        if box_scene.intersection(site.box) is None:
            continue
        for phrase, label in _of_site(site, box_scene, level):
            place = _PLACES.get(phrase)
            # what is seen once is seen, and what may be seen is not denied
            if place is not None and (label == 1 or labels[place] == 0):
                labels[place] = label
    if not knows_site:
        labels[[bool(phrase.site) for phrase in PHRASES]] = IGNORED_PHRASE
    return labels


def _of_site(site: Site, box_scene: Box, level: int) -> Iterator[tuple[Phrase, int]]:
    grounds = _label(max(site.box.share_inside(box_scene), box_scene.share_inside(site.box)))
    yield Phrase(site=site.kind), grounds
    if level < _LEVEL_OF_DOUBT:
        yield Phrase(surface=site.surface), _label(box_scene.share_inside(site.pad))
    items: tuple[Hall | Thing, ...] = (site.hall, *site.things)
    for item in items:
        label = _seen(item, box_scene, level)
        kind = "hall" if isinstance(item, Hall) else item.kind
        words = (item.shape,) if isinstance(item, Hall) else (item.color, item.status)
        for attribute in ("", *words):
            yield Phrase(thing=kind, attribute=attribute), label
        # from afar, the site is where one has to look
        at_site = grounds if level >= _LEVEL_OF_DOUBT else label
        yield Phrase(site=site.kind, thing=kind), at_site


def _seen(item: Hall | Thing, box_scene: Box, level: int) -> int:
    if level > _LEVEL_OF_DOUBT:
        return 0
    label = _label(item.box.share_inside(box_scene))
    return IGNORED_PHRASE if level == _LEVEL_OF_DOUBT and label else label


def _label(share: float) -> int:
    if share >= _SEEN:
        return 1
    return 0 if share <= _HIDDEN else IGNORED_PHRASE


_FORMS = ("{p}", "{p}", "a {p}", "the {p}", "is there a {p} in the picture")
_FORMS_OF_A_SITE = ("{s}", "the {s}", "what is the shape of the hall at the {s}")
_FORMS_OF_THINGS = ("{p}", "{a} {t}s", "any {p} visible", "is there a {p} in the picture")
_FORMS_AT_A_SITE = (
    "{t} at the {s}",
    "{t}s at the {s}",
    "how many {t}s are at the {s}",
    "what is the color of the {t} at the {s}",
    "what color is the {t} at the {s}",
    "what is the status of the {t} at the {s}",
    "what is the surface under the {t} at the {s}",
    "what is the {t} at the {s} standing on",
)


def worded(phrase: Phrase, rng: random.Random) -> str:
    """A phrase as somebody may word it, in words of the demo model."""
    forms: tuple[str, ...] = _FORMS
    if phrase.site:
        forms = _FORMS_AT_A_SITE if phrase.thing in THINGS else _FORMS_OF_A_SITE
    elif phrase.thing in THINGS:
        forms = _FORMS_OF_THINGS
    return rng.choice(forms).format(
        p=phrase.text, s=phrase.site, t=phrase.thing, a=phrase.attribute
    )
