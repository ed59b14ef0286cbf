"""Lessons with near infrared: sites of world 2 with a healthy and with a dry lawn.

Both lawns are equal in red, green and blue. So each lesson holds near infrared twice, as it is and
with the other lawn at the site that is asked about, and only the band tells which answer is right.

Some questions are about other sites, which only the coarse tiles show. They have no answer there,
and teach the attention to follow the name of a site.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geofovea.datasets.synthetic.lawn_questions import LAWN_CATEGORY, ask_lawn, lawn_strips
from geofovea.datasets.synthetic.questions import Question, ask_about
from geofovea.datasets.synthetic.rendering import render_window
from geofovea.datasets.synthetic.versions import world_of
from geofovea.datasets.synthetic.vocabulary import LAWNS
from geofovea.datasets.synthetic.world import Site, World
from geofovea.pipeline.hosts.scene_positions import token_places
from geofovea.pipeline.training.embedded_model import ModelShape
from geofovea.pipeline.training.lessons.dense_labels import TokenBoxes
from geofovea.pipeline.training.lessons.scene_tiles import choose_tiles
from geofovea.pipeline.training.lessons.spec import SampleSpec
from geofovea.pipeline.training.lessons.spelling import spell
from geofovea.pipeline.training.lessons.token_dropout import hide_some, is_shown
from geofovea.pipeline.training.parts import lessons as store
from geofovea.pipeline.training.parts.frozen_model import FrozenModel
from geofovea.pipeline.training.parts.lessons import LessonArrays, LessonStore
from geofovea.pipeline.training.parts.recipe import WORDS_FOR_LAWNS
from geofovea.tiling.pyramid import Pyramid, Tile

__all__ = ["BandLessonStore", "BandLessons"]

_BANDS = 4
_ENOUGH_OF_A_STRIP = 0.1
_QUESTIONS = 10
_STRANGERS = 5
"""Of these, how many are about other sites, every other one about a lawn."""

_ALONE = 0.3
"""Share of the lessons that show one level alone, as the search looks at it."""


@dataclass(frozen=True, slots=True)
class BandLessons(LessonArrays):
    """b lessons of k tiles with n tokens, and q questions of l words, the first about the lawn.

    Attributes:
        tiles: uint8 ``(b, k, T, T, 5)``: red, green, blue, near infrared, and this with the other
            lawn.
        places: ``(b, n, 3)``, see ``token_places``.
        visible: bool ``(b, n)``.
        group: int64 ``(b, n)``, tokens of one level share a number.
        focus: bool ``(b, q, n)``, tokens that show what a question is about.
        words: int64 ``(b, q, l)``.
        targets: int64 ``(b, q, l)``, see ``TrainingSample``.
        other: int64 ``(b, l)``, the targets of the first question with the other lawn.
        answered: bool ``(b, q)``.
    """

    tiles: Tensor
    places: Tensor
    visible: Tensor
    group: Tensor
    focus: Tensor
    words: Tensor
    targets: Tensor
    other: Tensor
    answered: Tensor


class BandLessonStore(LessonStore):
    """Shards of lessons with near infrared; they hold pixels, for the tower learns too."""

    kind: ClassVar[type[LessonArrays]] = BandLessons

    @staticmethod
    def _made_of(model: FrozenModel) -> tuple[str, ...]:
        del model  # of which nothing is computed before
        return ("bands",)

    def _made(self, number: int) -> BandLessons:
        seed = (self._seed << 40) + number
        words = self._words | {word: self._words[own] for word, own in WORDS_FOR_LAWNS.items()}
        made = _lessons(seed, self._model.shape, self._spec, words)
        arrays = list(islice(made, store.LESSONS_A_SHARD))
        return BandLessons(
            *(torch.from_numpy(np.stack(values)) for values in zip(*arrays, strict=True))
        )


_Arrays = tuple[NDArray[np.generic], ...]


def _lessons(
    seed: int, shape: ModelShape, spec: SampleSpec, words: dict[str, int]
) -> Iterator[_Arrays]:
    """Endless lessons, the fields of ``BandLessons`` without their b."""
    rng = random.Random(f"geofovea-bands-{seed}")
    spec = replace(
        spec,
        questions=_QUESTIONS,
        base_tiles=min(2 * spec.base_tiles, 4),
        native_tiles=min(spec.native_tiles, 4),
    )
    while True:
        side = rng.choice(spec.scene_sides)
        world = world_of(spec.world, rng.getrandbits(48), side, side)
        for site in rng.sample(world.named_sites, min(3, len(world.named_sites))):
            yield _lesson(rng, world, site, shape, spec, words)


def _lesson(
    rng: random.Random,
    world: World,
    site: Site,
    shape: ModelShape,
    spec: SampleSpec,
    words: dict[str, int],
) -> _Arrays:
    pyramid = Pyramid(world.width, world.height, shape.tile_size)
    groups = choose_tiles(rng, pyramid, site, spec, distracted=False)
    tiles = [tile for group in groups for tile in group]
    group = np.repeat([i for i, some in enumerate(groups) for _ in some], shape.grid**2)
    boxes = [TokenBoxes(pyramid, tile, shape.grid) for tile in tiles]
    visible = hide_some(rng, boxes, spec.dropped)
    if rng.random() < _ALONE:
        visible &= group == rng.randrange(len(groups))
    questions = _questions(rng, world, site, spec)
    answered = np.array([_is_answered(question, boxes, visible) for question in questions])
    answered[0] = _shows_lawn(site, boxes, visible)
    spelled, targets = spell(rng, questions, spec, words)
    other = replace(questions[0], answer="no" if questions[0].answer == "yes" else "yes")
    return (
        np.stack([_pixels(world, site, tile, shape.tile_size) for tile in tiles]),
        np.concatenate([token_places(pyramid, tile, shape.grid) for tile in tiles]),
        visible,
        group,
        np.stack([np.concatenate([b.over_any(q.evidence) for b in boxes]) for q in questions]),
        spelled,
        targets,
        spell(rng, [other], spec, words)[1][0],
        answered,
    )


def _questions(rng: random.Random, world: World, site: Site, spec: SampleSpec) -> list[Question]:
    """The one about the lawn, some that red, green and blue answer, and some about other sites."""
    strangers = _STRANGERS if len(world.named_sites) > 1 else 0
    own = islice(_seen(rng, world, site), spec.questions - 1 - strangers)
    others = [each for each in world.named_sites if each is not site]
    about = [rng.choice(others) for _ in range(strangers)]
    further = [
        _lawn_of(each) if number % 2 else next(_seen(rng, world, each))
        for number, each in enumerate(about)
    ]
    return [_lawn_of(site), *own, *further]


def _seen(rng: random.Random, world: World, site: Site) -> Iterator[Question]:
    return (q for q in ask_about(world, site, rng) if q.category != "count")


def _lawn_of(site: Site) -> Question:
    lawn = ask_lawn(site)
    assert lawn is not None  # noqa: S101  (all sites of version 2 have one)
    return lawn


def _is_answered(question: Question, boxes: list[TokenBoxes], visible: NDArray[np.bool_]) -> bool:
    """Whether colors answer a question; lawns of other sites teach only where to look."""
    return question.category != LAWN_CATEGORY and is_shown(question, boxes, visible)


def _shows_lawn(site: Site, boxes: list[TokenBoxes], visible: NDArray[np.bool_]) -> bool:
    """Whether enough of a strip of grass is visible at native resolution."""
    by_tile = zip(boxes, np.split(visible, len(boxes)), strict=True)
    native = [(each, is_visible) for each, is_visible in by_tile if each.level == 0]
    return any(
        sum(float((each.overlap(strip) * is_visible).sum()) for each, is_visible in native)
        >= _ENOUGH_OF_A_STRIP * strip.area
        for strip in lawn_strips(site)
    )


def _pixels(world: World, site: Site, tile: Tile, side: int) -> NDArray[np.uint8]:
    """A tile ``(T, T, 5)``, its near infrared with either lawn."""
    window = (tile.level, tile.col * side, tile.row * side, side, side, _BANDS)
    lawn = next(name for name in LAWNS if name != site.lawn)
    own = render_window(world, *window)
    sites = tuple(replace(each, lawn=lawn) if each is site else each for each in world.sites)
    other = render_window(replace(world, sites=sites), *window)
    return np.concatenate([own, other[..., 3:]], 2)
