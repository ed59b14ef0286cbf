"""Samples of one tile or of the same tile at two dates: short, so that there are many.

A pad is the paved ground of a site, on which its things stand. On a lone pad, a model learns which
words mean which things, because nothing else is shown. A search for things sees a scene in other
ways, too. So some samples are native tiles of a scene as the grid cuts them, and some show only one
thing.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import cycle, islice

import numpy as np
from numpy.typing import NDArray

from geofovea.datasets.synthetic.questions import Question, ask_site
from geofovea.datasets.synthetic.versions import pad_of, world_of
from geofovea.datasets.synthetic.vocabulary import SITES
from geofovea.datasets.synthetic.world import Site, Thing, World
from geofovea.pipeline.hosts.scene_positions import token_places
from geofovea.pipeline.training.embedded_model import ModelShape
from geofovea.pipeline.training.lessons.dated import (
    behind_words,
    changed_world,
    date_words,
    groups_of_dates,
    questions_of_changes,
)
from geofovea.pipeline.training.lessons.spec import SampleSpec, TrainingSample
from geofovea.pipeline.training.lessons.spelling import is_asked, lesson_kinds, spell
from geofovea.pipeline.training.lessons.views import View, forget_place, show_crowd, show_tile
from geofovea.tiling.pyramid import Pyramid, Tile

__all__ = ["make_pad_sample"]

_SHARE_OF_ANY_TILES = 0.15
_SCENE_SIDE = 4096
_LEAST_SEEN, _MOST_HIDDEN = 0.4, 0.15
"""Shares of a thing in a tile: from the first on it is there, up to the second it is not."""


@dataclass(frozen=True, slots=True)
class _Scene:
    """What a sample shows, and what may be asked about it.

    Attributes:
        views: One a date.
        tile: Which tile it is.
        pyramid: Of what the tile is of.
        questions: Endless ones.
        visible: bool (g²,), which tokens of the tile are shown.
    """

    views: list[View]
    tile: Tile
    pyramid: Pyramid
    questions: Iterator[Question]
    visible: NDArray[np.bool_]


def make_pad_sample(
    rng: random.Random, shape: ModelShape, plan: SampleSpec, word_ids: dict[str, int]
) -> TrainingSample:
    """One tile at one date or two, with questions about its details.

    Args:
        rng: Decides everything.
        shape: Of the model.
        plan: Of the sample; its tile is a pad, or, by ``cut``, one of a scene.
        word_ids: Ids of all words.
    """
    scene = _make_scene(rng, shape, plan)
    boxes = scene.views[0][1]
    questions = list(islice(scene.questions, plan.questions))
    words, targets = spell(rng, questions, plan, word_ids)
    crowds = [show_crowd(rng, shape, plan.world) for _ in range(plan.crowded_tiles)]
    views, dates = [*scene.views, *crowds], plan.dates
    focus = np.stack([boxes.over_any(q.evidence) for q in questions])
    return TrainingSample(
        tiles=np.stack([pixels for pixels, _, _ in views]),
        places=np.tile(token_places(scene.pyramid, scene.tile, shape.grid), (dates, 1)),
        labels=date_words(dates, word_ids),
        visible=behind_words(np.tile(scene.visible, dates), dates, of_word=True),
        group=groups_of_dates(np.zeros(shape.grid**2, np.int64), dates),
        dense=np.concatenate([dense for _, _, dense in views], 1),
        words=words,
        targets=targets,
        answered=np.ones(len(questions), bool),
        focus=behind_words(np.tile(focus, (1, dates)), dates, of_word=False),
        category=lesson_kinds(questions),
    )


def _make_scene(rng: random.Random, shape: ModelShape, plan: SampleSpec) -> _Scene:
    if plan.dates > 1:
        return _two_dates(rng, shape, plan)
    if plan.cut and rng.random() < plan.cut:
        return _cut_tile(rng, shape, plan)
    pad = pad_of(plan.world, rng, shape.tile_size)
    view = _pad_view(rng, pad, shape)
    pyramid, tile = _somewhere(rng, shape, plan)
    if plan.close_up and rng.random() < plan.close_up:
        return _close_up(rng, pad, view, (pyramid, tile), plan)
    questions = _details(pad, pad.sites[0], rng, plan.kinds)
    return _Scene([view], tile, pyramid, questions, np.ones(shape.grid**2, bool))


def _pad_view(rng: random.Random, pad: World, shape: ModelShape) -> View:
    around = Pyramid(pad.width, pad.height, shape.tile_size)
    return forget_place(show_tile(rng, pad, around, Tile(0, 0, 0), shape))


def _somewhere(rng: random.Random, shape: ModelShape, plan: SampleSpec) -> tuple[Pyramid, Tile]:
    """A native tile of some scene, for the places of tokens of a pad that is in none."""
    side = rng.choice(plan.scene_sides)
    pyramid = Pyramid(side, side, shape.tile_size)
    rows, cols = pyramid.grid_shape(0)
    return pyramid, Tile(0, rng.randrange(rows), rng.randrange(cols))


def _close_up(
    rng: random.Random, pad: World, view: View, place: tuple[Pyramid, Tile], plan: SampleSpec
) -> _Scene:
    """A pad of which only the tokens that one thing touches are shown."""
    site, boxes = pad.sites[0], view[1]
    visible = boxes.over_any((rng.choice(site.things).box,))
    shares = [(t, float((boxes.overlap(t.box) * visible).sum() / t.box.area)) for t in site.things]
    questions = _of_seen(pad, site, shares, rng, plan)
    return _Scene([view], place[1], place[0], questions, visible)


def _cut_tile(rng: random.Random, shape: ModelShape, plan: SampleSpec) -> _Scene:
    """A native tile of a scene: mostly one that shows some thing."""
    world = world_of(plan.world, rng.getrandbits(48), _SCENE_SIDE, _SCENE_SIDE)
    pyramid = Pyramid(world.width, world.height, shape.tile_size)
    tile = _tile_of(rng, world, pyramid)
    view = show_tile(rng, world, pyramid, tile, shape)
    frame = pyramid.box_scene(tile)
    shares = [(t, t.box.share_inside(frame)) for s in world.sites for t in s.things]
    site = next((s for s in world.sites if s.pad.intersection(frame)), world.sites[0])
    # a search asks every tile about the site in the question, whatever site the tile shows
    here = replace(site, kind=rng.choice(SITES), pad=frame)
    questions = _of_seen(world, here, shares, rng, plan)
    return _Scene([view], tile, pyramid, questions, np.asarray(view[1].on_scene))


def _of_seen(
    world: World,
    site: Site,
    shares: list[tuple[Thing, float]],
    rng: random.Random,
    plan: SampleSpec,
) -> Iterator[Question]:
    """Questions about what is shown of a site; its hall may be asked about without being shown.

    Args:
        world: Where the site is.
        site: What is asked about.
        shares: Things, and how much of each is shown.
        rng: Decides which questions.
        plan: Of the sample.
    """
    visible_things = tuple(thing for thing, share in shares if share >= _LEAST_SEEN)
    unsure = [thing for thing, share in shares if _MOST_HIDDEN < share < _LEAST_SEEN]
    kinds = tuple(kind for kind in plan.kinds if kind != "object shape")
    for question in _details(world, replace(site, things=visible_things), rng, kinds):
        if not _is_about(question, unsure):
            yield question


def _tile_of(rng: random.Random, world: World, pyramid: Pyramid) -> Tile:
    if rng.random() < _SHARE_OF_ANY_TILES:
        rows, cols = pyramid.grid_shape(0)
        return Tile(0, rng.randrange(rows), rng.randrange(cols))
    thing = rng.choice([t for site in world.sites for t in site.things])
    return rng.choice(pyramid.tiles_over(0, thing.box))


def _is_about(question: Question, things: list[Thing]) -> bool:
    """Whether a question names the kind or the color of one of some things."""
    return any(name in question.text for t in things for name in (t.kind, t.color))


def _two_dates(rng: random.Random, shape: ModelShape, plan: SampleSpec) -> _Scene:
    """A pad before and after some changes; the questions are about these."""
    before = pad_of(plan.world, rng, shape.tile_size)
    after = changed_world(before, before.sites[0], rng)
    views = [_pad_view(rng, world, shape) for world in (before, after)]
    pyramid, tile = _somewhere(rng, shape, plan)
    every = questions_of_changes(plan.kinds, before, after, 0, rng)
    questions = (question for question in every if is_asked(question, rng))
    return _Scene(views, tile, pyramid, questions, np.ones(shape.grid**2, bool))


def _details(
    world: World, site: Site, rng: random.Random, kinds: tuple[str, ...]
) -> Iterator[Question]:
    """Endless questions about a site, kinds in turn from any of them on."""
    start = rng.randrange(len(kinds))
    for kind in cycle((*kinds[start:], *kinds[:start])):
        question = ask_site(kind, world, site, rng)
        if question and is_asked(question, rng):
            yield question
