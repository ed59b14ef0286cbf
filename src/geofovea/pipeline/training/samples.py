"""Training samples of the embedded model: pyramid tiles of a synthetic world with questions.

One sample is one site of one world, seen the way the descent sees it: the overview, a few tiles of
two coarse levels, and the native tiles of the pad, then many questions that share those tiles.
Everything is a numpy array of fixed shape; this module knows no model.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from geofovea.datasets.synthetic.change_questions import CHANGE_CATEGORIES, ask_undated
from geofovea.datasets.synthetic.questions import Question, ask_about
from geofovea.datasets.synthetic.versions import world_of
from geofovea.datasets.synthetic.vocabulary import CATEGORIES
from geofovea.datasets.synthetic.world import Site, World
from geofovea.pipeline.hosts.scene_positions import token_places
from geofovea.pipeline.training.embedded_model import ModelShape
from geofovea.pipeline.training.lessons.dated import (
    behind_words,
    changed_world,
    date_words,
    groups_of_dates,
    questions_of_changes,
)
from geofovea.pipeline.training.lessons.dense_labels import TokenBoxes
from geofovea.pipeline.training.lessons.pads import make_pad_sample
from geofovea.pipeline.training.lessons.scene_tiles import (
    ChooseTiles,
    choose_tiles,
    tiles_around,
)
from geofovea.pipeline.training.lessons.spec import SampleSpec, TrainingSample
from geofovea.pipeline.training.lessons.spelling import is_asked, lesson_kinds, spell
from geofovea.pipeline.training.lessons.token_dropout import hide_some, is_kept, is_shown, thin
from geofovea.pipeline.training.lessons.views import show_crowd, show_tile
from geofovea.tiling.pyramid import Pyramid

__all__ = ["SampleSpec", "TrainingSample", "tiles_around", "training_samples"]


def training_samples(
    seed: int,
    shape: ModelShape,
    plan: SampleSpec,
    word_ids: dict[str, int],
    choose: ChooseTiles = choose_tiles,
) -> Iterator[TrainingSample]:
    """Endless samples; equal arguments give equal samples.

    Args:
        seed: Decides everything.
        shape: Of the model.
        plan: What a sample shows and asks.
        word_ids: Number of each word.
        choose: Which tiles of a scene a sample with questions shows.
    """
    rng = random.Random(f"geofovea-lessons-{seed}")
    while True:
        if plan.lone_pad:
            yield make_pad_sample(rng, shape, plan, word_ids)
            continue
        side = rng.choice(plan.scene_sides)
        world = world_of(plan.world, rng.getrandbits(48), side, side)
        for site in rng.sample(world.named_sites, min(3, len(world.named_sites))):
            if not plan.questions:
                yield _make_drill(rng, world, site, shape, plan)
            else:
                yield _make_sample(rng, world, site, shape, plan, word_ids, choose)


def _make_sample(
    rng: random.Random,
    world: World,
    site: Site,
    shape: ModelShape,
    plan: SampleSpec,
    word_ids: dict[str, int],
    choose: ChooseTiles,
) -> TrainingSample:
    pyramid = Pyramid(world.width, world.height, shape.tile_size)
    distracted = rng.random() < plan.distracted
    groups = choose(rng, pyramid, site, plan, distracted)
    tiles = [tile for group in groups for tile in group]
    group = np.repeat([i for i, g in enumerate(groups) for _ in g], shape.grid**2)
    dates = _dates(rng, world, site, plan)
    by_date = [[show_tile(rng, each, pyramid, t, shape) for t in tiles] for each in dates]
    boxes = [b for _, b, _ in by_date[0]]
    native_tiles = {t for t in tiles if t.level == 0}
    whole_pad = native_tiles.issuperset(pyramid.tiles_over(0, site.pad))
    stream = _questions_about(dates, site, rng, plan, whole_pad=whole_pad)
    questions = list(islice(stream, plan.questions))
    focus = np.stack([np.concatenate([b.over_any(q.evidence) for b in boxes]) for q in questions])
    visible, is_answerable = _hide(rng, plan, questions, boxes, focus, group, len(groups))
    answered = is_answerable | distracted
    if len(dates) == 1:
        answered &= [q.category not in CHANGE_CATEGORIES for q in questions]
    words, targets = spell(rng, questions, plan, word_ids)
    views = [view for views in by_date for view in views]
    views += [show_crowd(rng, shape, plan.world) for _ in range(plan.crowded_tiles)]
    places = np.concatenate([token_places(pyramid, t, shape.grid) for t in tiles])
    count = len(dates)
    return TrainingSample(
        tiles=np.stack([pixels for pixels, _, _ in views]),
        places=np.tile(places, (count, 1)),
        labels=date_words(count, word_ids),
        visible=behind_words(np.tile(visible, count), count, of_word=True),
        group=groups_of_dates(group, count),
        dense=np.concatenate([dense for _, _, dense in views], 1),
        words=words,
        targets=targets,
        answered=answered,
        focus=behind_words(np.tile(focus, (1, count)), count, of_word=False),
        category=lesson_kinds(questions),
    )


def _hide(
    rng: random.Random,
    plan: SampleSpec,
    questions: Sequence[Question],
    boxes: Sequence[TokenBoxes],
    focus: NDArray[np.bool_],
    group: NDArray[np.int64],
    groups: int,
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Hide tokens of a sample.

    Args:
        rng: Draws which.
        plan: How many, and how.
        questions: ``Q`` questions.
        boxes: Of the tokens of each tile, ``N`` tokens in all.
        focus: Which tokens show what a question is about, ``(Q, N)``.
        group: Of each token, ``(N,)``.
        groups: How many groups there are.

    Returns:
        Which tokens are visible, ``(N,)``, and which questions these can answer, ``(Q,)``.
    """
    visible = hide_some(rng, boxes, plan.dropped)
    if rng.random() < plan.alone:
        visible &= group == rng.randrange(groups)
    is_answerable = np.array([is_shown(question, boxes, visible) for question in questions], bool)
    if plan.thinned and rng.random() < plan.thinned:
        before, visible = visible, thin(rng, visible, group, focus)
        is_answerable &= is_kept(visible, before, focus)
    return visible, is_answerable


def _dates(rng: random.Random, world: World, site: Site, plan: SampleSpec) -> tuple[World, ...]:
    """The world, and at a second date as it is when something happened at a site."""
    return (world,) if plan.dates == 1 else (world, changed_world(world, site, rng))


def _make_drill(
    rng: random.Random, world: World, site: Site, shape: ModelShape, plan: SampleSpec
) -> TrainingSample:
    """Tiles with dense labels alone: some coarse ones of a scene, the others crowded."""
    pyramid = Pyramid(world.width, world.height, shape.tile_size)
    views = [
        show_tile(rng, world, pyramid, tile, shape)
        for group in choose_tiles(rng, pyramid, site, plan, distracted=False)
        for tile in group
    ]
    views += [show_crowd(rng, shape, plan.world) for _ in range(plan.crowded_tiles)]
    tokens = (plan.tiles - plan.crowded_tiles) * shape.grid**2
    nothing = np.zeros((0, plan.question_length), np.int64)
    return TrainingSample(
        tiles=np.stack([pixels for pixels, _, _ in views]),
        places=np.zeros((tokens, 3), np.float32),
        labels=np.zeros(0, np.int64),
        visible=np.zeros(tokens, bool),
        group=np.zeros(tokens, np.int64),
        dense=np.concatenate([dense for _, _, dense in views], 1),
        words=nothing,
        targets=nothing,
        answered=np.zeros(0, bool),
        focus=np.zeros((0, tokens), bool),
        category=np.zeros(0, np.int64),
    )


def _questions_about(
    dates: Sequence[World], site: Site, rng: random.Random, plan: SampleSpec, *, whole_pad: bool
) -> Iterator[Question]:
    """Questions about a site, some about others; no counts if its pad is not seen whole."""
    world = dates[0]
    if len(dates) > 1:
        number = world.sites.index(site)
        changes = questions_of_changes(plan.kinds, dates[0], dates[1], number, rng)
        yield from (question for question in changes if is_asked(question, rng))
    streams = {other: ask_about(world, other, rng) for other in world.named_sites}
    for stream in streams.values():
        # streams go through the categories in turn; without this, of many sites only the first
        # category would come up
        for _ in range(rng.randrange(len(CATEGORIES))):
            next(stream)
    others = [other for other in world.named_sites if other is not site]
    while True:
        is_stranger = bool(others) and rng.random() < plan.strangers
        about = rng.choice(others) if is_stranger else site
        if plan.undated and rng.random() < plan.undated:
            yield ask_undated(about, rng)
            continue
        question = next(streams[about])
        if question.category != "count" or (whole_pad and not is_stranger):
            yield question
