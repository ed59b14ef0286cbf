"""Lessons for a dual encoder: tiles of all levels, and which phrases are true of each."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geofovea.datasets.synthetic.versions import crowd_of, world_of
from geofovea.datasets.synthetic.world import World
from geofovea.pipeline.hosts.scene_positions import token_places
from geofovea.pipeline.training.embedded_model import ModelShape
from geofovea.pipeline.training.lessons.phrases import shown_phrases
from geofovea.pipeline.training.lessons.scene_tiles import tiles_around
from geofovea.pipeline.training.lessons.spec import SampleSpec
from geofovea.pipeline.training.lessons.views import tile_pixels
from geofovea.pipeline.training.parts import lessons as store
from geofovea.pipeline.training.parts.frozen_model import FrozenModel
from geofovea.pipeline.training.parts.lessons import LessonArrays, LessonStore
from geofovea.tiling.pyramid import Pyramid, Tile

__all__ = ["PhraseLessonStore", "PhraseLessons", "tokens_alone"]

_TILES = 16
_CROWDS = 3
"""Tiles of a lesson, and how many of them are crowds of things instead of tiles of a scene."""

_ANYWHERE = 0.3
"""Share of the tiles of a scene that are drawn from anywhere, and not around the pad of a site."""

_LEVELS = (0, 0, 0, 0, 0, 1, 1, 2, 3, 4, 5)
"""A level is drawn from these, as far as the scene has it."""


@dataclass(frozen=True, slots=True)
class PhraseLessons(LessonArrays):
    """b lessons of k tiles with n vision tokens.

    Attributes:
        tokens: ``(b, k, n, d)``, each tile shown as if it were a scene of its own.
        level: int64 ``(b, k)``.
        shown: int64 ``(b, k, P)``, see ``shown_phrases``.
    """

    tokens: Tensor
    level: Tensor
    shown: Tensor


class PhraseLessonStore(LessonStore):
    """Shards of such lessons."""

    kind: ClassVar[type[LessonArrays]] = PhraseLessons

    @staticmethod
    def _made_of(model: FrozenModel) -> tuple[str, ...]:
        return (model.digest(), "phrases")

    def _made(self, number: int) -> PhraseLessons:
        rng = random.Random(f"geofovea-phrases-{(self._seed << 40) + number}")
        shape = self._model.shape
        made = list(islice(_lessons(rng, shape, self._spec), store.LESSONS_A_SHARD))
        tiles, level, shown = (
            torch.from_numpy(np.stack(parts)) for parts in zip(*made, strict=True)
        )
        tokens = tokens_alone(self._model, tiles.flatten(0, 1))
        return PhraseLessons(
            tokens.view(*level.shape, *tokens.shape[1:]), level.long(), shown.long()
        )


def tokens_alone(model: FrozenModel, tiles: Tensor) -> Tensor:
    """Vision tokens ``(k, n, d)`` of tiles uint8 ``(k, T, T, 3)``, each as a scene of its own."""
    side = model.shape.tile_size
    alone = Pyramid(side, side, side)
    places = torch.from_numpy(token_places(alone, alone.overview, model.shape.grid))
    return model.tokens(tiles[:, None], places[None])


_Lesson = tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int8]]


def _lessons(rng: random.Random, shape: ModelShape, spec: SampleSpec) -> Iterator[_Lesson]:
    """Endless lessons: pixels ``(k, T, T, 3)``, levels ``(k,)``, phrases ``(k, P)``."""
    while True:
        side = rng.choice(spec.scene_sides)
        world = world_of(spec.world, rng.getrandbits(48), side, side)
        views = [_seen(rng, world, shape) for _ in range(_TILES - _CROWDS)]
        views += [_crowd(rng, shape, spec.world) for _ in range(_CROWDS)]
        pixels, levels, shown = zip(*views, strict=True)
        yield np.stack(pixels), np.array(levels), np.stack(shown)


_Seen = tuple[NDArray[np.uint8], int, NDArray[np.int8]]


def _seen(rng: random.Random, world: World, shape: ModelShape) -> _Seen:
    """A tile of a scene."""
    pyramid = Pyramid(world.width, world.height, shape.tile_size)
    level = min(rng.choice(_LEVELS), pyramid.base_level)
    if rng.random() < _ANYWHERE:
        rows, cols = pyramid.grid_shape(level)
        tile = Tile(level, rng.randrange(rows), rng.randrange(cols))
    else:
        tile = tiles_around(rng, pyramid, level, rng.choice(world.sites).pad, 1)[0]
    pixels = tile_pixels(rng, world, tile, shape.tile_size)
    return pixels, level, shown_phrases(world, pyramid.box_scene(tile), level)


def _crowd(rng: random.Random, shape: ModelShape, version: int) -> _Seen:
    """A tile full of things, which tells nothing of a site."""
    world = crowd_of(version, rng, shape.tile_size // 64)
    pyramid = Pyramid(world.width, world.height, shape.tile_size)
    tile = Tile(0, 0, 0)
    pixels = tile_pixels(rng, world, tile, shape.tile_size)
    return pixels, 0, shown_phrases(world, pyramid.box_scene(tile), 0, knows_site=False)
