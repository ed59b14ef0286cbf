"""Questions about a synthetic world, in the eight categories of LRS-VQA, with their answers.

Most need native detail at one place that the question names; *rural or urban* is answered by what
surrounds that place, and half of *reasoning* compares where two places are. No answer follows from
the wording: kinds, colors, surfaces and counts are drawn independently of the site.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from geofovea.datasets.synthetic.vocabulary import CATEGORIES, COLORS, DIRECTIONS, THINGS
from geofovea.datasets.synthetic.wordings import COMPARE, FORMS, PRESENCE, VERIFY
from geofovea.datasets.synthetic.world import Hall, Site, Thing, World
from geofovea.tiling.pyramid import Box

__all__ = ["SITE_QUESTIONS", "Question", "ask_about", "ask_site", "ask_world"]

_Asker = Callable[[World, Site, random.Random], "Question | None"]
_Item = TypeVar("_Item")
_Answer = Callable[[Site, _Item], str]


@dataclass(frozen=True, slots=True)
class Question:
    """One question with its truth.

    Attributes:
        category: One of ``CATEGORIES``; ``presence`` for whether something is in a picture, and one
            of ``CHANGE_CATEGORIES`` for a question about two dates.
        text: The question without any instruction on the form of the answer.
        answer: The one right answer, lower case.
        box: The annotated object in scene pixels; None for a count (as in LRS-VQA) and for a
            question about two places.
        places: What one has to see whole, in scene pixels; never empty.
        counted: The objects that a count is about, within its place; empty for other questions.
    """

    category: str
    text: str
    answer: str
    box: Box | None
    places: tuple[Box, ...]
    counted: tuple[Box, ...] = ()

    @property
    def evidence(self) -> tuple[Box, ...]:
        """What the answer is read from, in scene pixels; never empty."""
        return self.counted or self.places


def ask_world(world: World, per_category: int, seed: int = 0) -> list[Question]:
    """Up to ``per_category`` different questions of each category, sites in random order.

    A category gives fewer where the world does not hold enough different ones.
    """
    rng = random.Random(f"geofovea-questions-{world.seed}-{seed}")
    questions: list[Question] = []
    for category in CATEGORIES:
        by_text: dict[str, Question] = {}
        for _ in range(4):
            sites = list(world.named_sites)
            rng.shuffle(sites)
            for site in sites:
                question = _ASKERS[category](world, site, rng)
                if question and len(by_text) < per_category:
                    by_text.setdefault(question.text, question)
        questions += by_text.values()
    return questions


def ask_about(world: World, site: Site, rng: random.Random) -> Iterator[Question]:
    """Endless questions about one site, categories in turn; repetitions happen."""
    while True:
        for category in CATEGORIES:
            question = _ASKERS[category](world, site, rng)
            if question:
                yield question


def ask_site(kind: str, world: World, site: Site, rng: random.Random) -> Question | None:
    """One question of a kind about a site; None where nothing there can be asked for.

    Args:
        kind: One of ``SITE_QUESTIONS``.
        world: Where the site is.
        site: What is asked about.
        rng: Decides what is asked for.
    """
    return _ASKERS[kind](world, site, rng)


def _unique_things(site: Site) -> list[Thing]:
    return [t for t in site.things if len(site.of_kind(t.kind)) == 1]


def _count(_: World, site: Site, rng: random.Random) -> Question:
    """Every count from zero up is asked for equally often among those that the pad offers."""
    by_count: dict[int, list[str]] = {}
    for kind in THINGS:
        by_count.setdefault(len(site.of_kind(kind)), []).append(kind)
    number = rng.choice(sorted(by_count))
    kind = rng.choice(by_count[number])
    text = rng.choice(FORMS["count"]).format(thing=kind, site=site.kind)
    boxes = tuple(thing.box for thing in site.of_kind(kind))
    return Question("count", text, str(number), None, (site.pad,), boxes)


def _category(_: World, site: Site, rng: random.Random) -> Question | None:
    things = [t for t in site.things if len(site.of_color(t.color)) == 1]
    if not things:
        return None
    thing = rng.choice(things)
    text = rng.choice(FORMS["object category"]).format(color=thing.color, site=site.kind)
    return Question("object category", text, thing.kind, thing.box, (thing.box,))


def _thing_asker(category: str, answer: _Answer[Thing]) -> _Asker:
    """Asks about a thing that is the only one of its kind on its pad."""

    def ask(_: World, site: Site, rng: random.Random) -> Question | None:
        things = _unique_things(site)
        if not things:
            return None
        thing = rng.choice(things)
        text = rng.choice(FORMS[category]).format(thing=thing.kind, site=site.kind)
        return Question(category, text, answer(site, thing), thing.box, (thing.box,))

    return ask


def _hall_asker(category: str, answer: _Answer[Hall]) -> _Asker:
    """Asks about the hall of a site."""

    def ask(_: World, site: Site, rng: random.Random) -> Question:
        text = rng.choice(FORMS[category]).format(site=site.kind)
        return Question(category, text, answer(site, site.hall), site.hall.box, (site.hall.box,))

    return ask


def _reasoning(world: World, site: Site, rng: random.Random) -> Question | None:
    first, second = rng.sample((_verify, _compare_places), 2)
    return first(world, site, rng) or second(world, site, rng)


def _verify(_: World, site: Site, rng: random.Random) -> Question | None:
    things = _unique_things(site)
    if not things:
        return None
    thing = rng.choice(things)
    right = rng.random() < 0.5
    color = thing.color if right else rng.choice([c for c in COLORS if c != thing.color])
    text = VERIFY.format(thing=thing.kind, site=site.kind, color=color)
    return Question("reasoning", text, _yes_no(right), thing.box, (thing.box,))


def _presence(_: World, site: Site, rng: random.Random) -> Question | None:
    """Of a kind of thing, with its color or without; yes and no are as likely."""
    with_color, right = rng.random() < 0.6, rng.random() < 0.5
    present = [(t.kind, t.color) for t in site.things]
    candidates = present if right else _absent(site, with_color=with_color)
    if not candidates:
        return None
    kind, color = rng.choice(candidates)
    near = [t for t in site.of_kind(kind) if not (right and with_color and t.color != color)]
    text = PRESENCE.format(phrase=f"{color} {kind}" if with_color else kind)
    boxes = tuple(t.box for t in near)
    return Question("presence", text, _yes_no(right), None, (site.pad,), boxes)


def _absent(site: Site, *, with_color: bool) -> list[tuple[str, str]]:
    """What is not at a site; with colors, what shares its kind or its color with a thing there."""
    present = {(t.kind, t.color) for t in site.things}
    kinds, colors = {t.kind for t in site.things}, {t.color for t in site.things}
    if not with_color or not present:
        return [(k, c) for k in THINGS for c in COLORS if k not in kinds]
    return [
        (k, c)
        for k in THINGS
        for c in COLORS
        if (k, c) not in present and (k in kinds or c in colors)
    ]


def _compare_places(world: World, site: Site, rng: random.Random) -> Question | None:
    """Only asked where the centers differ by half a cell, so that a map decides it at a glance."""
    x, y = site.box.center
    direction = rng.choice(DIRECTIONS)
    others = []
    for other in world.named_sites:
        east, south = x - other.box.center[0], y - other.box.center[1]
        offset = {"north": -south, "south": south, "east": east, "west": -east}[direction]
        if abs(offset) >= world.cell_side / 2:
            others.append((other, offset > 0))
    should_be_true = rng.random() < 0.5
    others = [o for o in others if o[1] == should_be_true] or others
    if not others:
        return None
    other, right = rng.choice(others)
    text = COMPARE.format(site=site.kind, direction=direction, other=other.kind)
    return Question("reasoning", text, _yes_no(right), None, (site.box, other.box))


def _yes_no(right: bool) -> str:
    return "yes" if right else "no"


_ASKERS: dict[str, _Asker] = {
    "count": _count,
    "object background": _thing_asker("object background", lambda site, _: site.surface),
    "object category": _category,
    "object color": _thing_asker("object color", lambda _, thing: thing.color),
    "object shape": _hall_asker("object shape", lambda _, hall: hall.shape),
    "object status": _thing_asker("object status", lambda _, thing: thing.status),
    "reasoning": _reasoning,
    "rural or urban": _hall_asker("rural or urban", lambda site, _: site.setting),
    "verify": _verify,
    "compare": _compare_places,
    "presence": _presence,
}
SITE_QUESTIONS = tuple(_ASKERS)
"""The categories, the two kinds of *reasoning* one by one, and whether something is there."""
