"""Lessons with near infrared: sites of world 2 with either lawn, and either green roof.

A healthy lawn and a dry one are equal in red, green and blue, and so are a planted roof and a
painted one. So each lesson holds near infrared twice, as it is and with the other lawn and roof at
the site that is asked about, and only the band tells which answer is right. Some halls are gray.

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
from geofovea.datasets.synthetic.plants import with_green_roofs
from geofovea.datasets.synthetic.questions import Question, ask_about
from geofovea.datasets.synthetic.rendering import render_window
from geofovea.datasets.synthetic.roof_questions import ask_roof
from geofovea.datasets.synthetic.versions import world_of
from geofovea.datasets.synthetic.vocabulary import LAWNS, ROOFS
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
from geofovea.pipeline.training.parts.recipe import WORDS_FOR_PLANTS
from geofovea.tiling.pyramid import Pyramid, Tile

__all__ = ["PLANT_QUESTIONS", "BandLessonStore", "BandLessons"]

PLANT_QUESTIONS = 2
"""The first questions of a lesson, which near infrared answers: lawn and roof."""

_BANDS = 4
_ENOUGH_OF_A_STRIP = 0.1
_QUESTIONS = 11
_STRANGERS = 5
"""Of these, how many are about other sites, every other one about a lawn or a roof."""

_GREEN_ROOFS = 0.7
"""Share of the lessons in which halls have green roofs."""

_ALONE = 0.3
"""Share of the lessons that show one level alone, as the search looks at it."""


@dataclass(frozen=True, slots=True)
class BandLessons(LessonArrays):
    """b lessons of k tiles with n tokens, and q questions of l words, the first about plants.

    Attributes:
        tiles: uint8 ``(b, k, T, T, 5)``: red, green, blue, near infrared, and this with the other
            lawn and roof.
        places: ``(b, n, 3)``, see ``token_places``.
        visible: bool ``(b, n)``.
        group: int64 ``(b, n)``, tokens of one level share a number.
        focus: bool ``(b, q, n)``, tokens that show what a question is about.
        words: int64 ``(b, q, l)``.
        targets: int64 ``(b, q, l)``, see ``TrainingSample``.
        other: int64 ``(b, PLANT_QUESTIONS, l)``, targets with the other lawn and roof.
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
        words = self._words | {word: self._words[own] for word, own in WORDS_FOR_PLANTS.items()}
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
        if rng.random() < _GREEN_ROOFS:
            world = with_green_roofs(world)
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
    changed = _with_other_plants(site)
    return (
        np.stack([_pixels(world, (site, changed), tile, shape.tile_size) for tile in tiles]),
        np.concatenate([token_places(pyramid, tile, shape.grid) for tile in tiles]),
        visible,
        group,
        np.stack([np.concatenate([b.over_any(q.evidence) for b in boxes]) for q in questions]),
        spelled,
        targets,
        spell(rng, [_lawn_of(changed), ask_roof(changed)], spec, words)[1],
        answered,
    )


def _questions(rng: random.Random, world: World, site: Site, spec: SampleSpec) -> list[Question]:
    """Those about plants, some that red, green and blue answer, and some about other sites."""
    strangers = _STRANGERS if len(world.named_sites) > 1 else 0
    seen = islice(_seen(rng, world, site), spec.questions - PLANT_QUESTIONS - strangers)
    others = [each for each in world.named_sites if each is not site]
    about = [rng.choice(others) for _ in range(strangers)]
    further = [
        (next(_seen(rng, world, each)), _lawn_of(each), ask_roof(each))[(0, 1, 0, 2)[number % 4]]
        for number, each in enumerate(about)
    ]
    return [_lawn_of(site), ask_roof(site), *seen, *further]


def _seen(rng: random.Random, world: World, site: Site) -> Iterator[Question]:
    return (q for q in ask_about(world, site, rng) if q.category != "count")


def _lawn_of(site: Site) -> Question:
    lawn = ask_lawn(site)
    assert lawn is not None  # noqa: S101  (all sites of version 2 have one)
    return lawn


def _with_other_plants(site: Site) -> Site:
    """The site with the other lawn, and the other green roof if it has one."""
    lawn = next(name for name in LAWNS if name != site.lawn)
    if site.hall.roof is None:
        return replace(site, lawn=lawn)
    roof = next(name for name in ROOFS if name != site.hall.roof)
    return replace(site, lawn=lawn, hall=replace(site.hall, roof=roof))


def _is_answered(question: Question, boxes: list[TokenBoxes], visible: NDArray[np.bool_]) -> bool:
    """Whether native tiles answer a question; lawns of other sites teach only where to look."""
    return question.category != LAWN_CATEGORY and is_shown(question, boxes, visible)


def _shows_lawn(site: Site, boxes: list[TokenBoxes], visible: NDArray[np.bool_]) -> bool:
    """Whether enough of a strip of grass is visible at native resolution."""
    shown = zip(boxes, np.split(visible, len(boxes)), strict=True)
    native = [(each, seen) for each, seen in shown if each.level == 0]
    return any(
        sum(float((each.overlap(strip) * seen).sum()) for each, seen in native)
        >= _ENOUGH_OF_A_STRIP * strip.area
        for strip in lawn_strips(site)
    )


def _pixels(world: World, either: tuple[Site, Site], tile: Tile, side: int) -> NDArray[np.uint8]:
    """A tile ``(T, T, 5)``: the world as it is, and near infrared with the site's other plants."""
    window = (tile.level, tile.col * side, tile.row * side, side, side, _BANDS)
    own = render_window(world, *window)
    site, changed = either
    sites = tuple(changed if each is site else each for each in world.sites)
    other = render_window(replace(world, sites=sites), *window)
    return np.concatenate([own, other[..., 3:]], 2)
