"""Training samples of the embedded model: pyramid tiles of a synthetic world with questions.

One sample is one site of one world, seen the way the descent sees it: the overview, a few tiles of
two coarse levels, and the native tiles of the pad, then many questions that share those tiles.
Everything is a numpy array of fixed shape; this module knows no model.
"""

from __future__ import annotations

import io
import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from geofovea.datasets.synthetic.questions import Question, ask_about
from geofovea.datasets.synthetic.rendering import render_window
from geofovea.datasets.synthetic.versions import check_version, crowd_of, pad_of, world_of
from geofovea.datasets.synthetic.vocabulary import CATEGORIES
from geofovea.datasets.synthetic.world import Site, World
from geofovea.pipeline.hosts.scene_positions import token_places
from geofovea.pipeline.training.dense_labels import DENSE_LABELS, IGNORED, TokenBoxes, dense_labels
from geofovea.pipeline.training.embedded_model import ModelShape
from geofovea.pipeline.training.token_dropout import hide_some, is_kept, is_shown, thin
from geofovea.tiling.pyramid import Box, Pyramid, Tile

__all__ = ["SampleSpec", "TrainingSample", "tiles_around", "training_samples"]

_SHARE_OF_COARSE_CROWDS = 0.15


@dataclass(frozen=True, slots=True)
class SampleSpec:
    """How many tiles and questions a sample has, and from which scenes it comes.

    Attributes:
        overview: Whether the overview is shown.
        base_tiles: Tiles of the base level, where other sites compete for the attention.
        coarse_levels: Number of other coarse levels shown.
        coarse_tiles: Tiles of each of them.
        native_tiles: Native tiles.
        crowded_tiles: Tiles full of things, of no scene. They are for learning names, not for
            answering: only the dense labels see them. A plan may have nothing else and no
            questions. Without them in every sample, names once learned are lost again, for the
            tiles of a scene show few things.
        lone_pad: Whether the sample is one tile that a pad of no scene fills, with questions about
            what stands there: short, so that there are many, for learning what the words of a
            question mean. Its crowded tiles are the only others that it may have.
        strangers: Share of questions about other sites than the one that is shown from near.
            Without them the name of a site would never matter, and the attention would learn to
            fall on any site at all.
        questions: Questions a sample.
        question_length: Tokens a question may have, the answer and the end included.
        scene_sides: Sides of the scenes in pixels; each sample draws one.
        distracted: Share of samples whose native tiles miss the pad and whose questions count all
            the same, so that the model learns to be unsure rather than to invent.
        alone: Share of samples that show one level only, as the focus of a descent sees it.
        dropped: Largest share of vision tokens that is hidden, so that the model can stand
            having its tokens pruned.
        thinned: Share of samples that show about as little as a reduction leaves, and mostly what
            some of the questions point at.
        world: Version of the synthetic world, one of ``VERSIONS``.

    Raises:
        DataError: If there is no such version.
    """

    overview: bool = True
    base_tiles: int = 0
    coarse_levels: int = 2
    coarse_tiles: int = 2
    native_tiles: int = 6
    crowded_tiles: int = 0
    lone_pad: bool = False
    strangers: float = 0.0
    questions: int = 32
    question_length: int = 16
    scene_sides: tuple[int, ...] = (4096, 8192, 16384, 24576, 32768, 49152, 65536)
    distracted: float = 0.05
    alone: float = 0.2
    dropped: float = 0.3
    thinned: float = 0.0
    world: int = 1

    def __post_init__(self) -> None:
        check_version(self.world)

    @property
    def tiles(self) -> int:
        """Tiles of a sample."""
        if self.lone_pad:
            return 1 + self.crowded_tiles
        coarse = self.overview + self.base_tiles + self.coarse_levels * self.coarse_tiles
        return coarse + self.native_tiles + self.crowded_tiles


@dataclass(frozen=True)
class TrainingSample:
    """Arrays of one sample; k tiles of a scene and c crowded ones, q questions.

    With g tokens a side of a tile there are n = k·g² tokens to answer from, and m = (k+c)·g² in
    all, those of the crowded tiles last.

    Attributes:
        tiles: uint8 (k+c, T, T, 3).
        places: float32 (n, 3), see ``geofovea.pipeline.hosts.scene_positions``.
        visible: bool (n,), tokens on the scene that were not dropped.
        group: int64 (n,), tokens of one level share a number.
        dense: int64 (len(DENSE_LABELS), m).
        words: int64 (q, question_length), padded behind.
        targets: int64 (q, question_length), the next word where it counts, else ``IGNORED``.
        answered: bool (q,), whether what is shown is enough for an answer, or the sample is one
            in guessing.
        focus: bool (q, n), tokens that lie where the question says to look.
        category: int64 (q,), index into ``CATEGORIES``.
    """

    tiles: NDArray[np.uint8]
    places: NDArray[np.float32]
    visible: NDArray[np.bool_]
    group: NDArray[np.int64]
    dense: NDArray[np.int64]
    words: NDArray[np.int64]
    targets: NDArray[np.int64]
    answered: NDArray[np.bool_]
    focus: NDArray[np.bool_]
    category: NDArray[np.int64]


def training_samples(
    seed: int, shape: ModelShape, plan: SampleSpec, word_ids: dict[str, int]
) -> Iterator[TrainingSample]:
    """Endless samples; equal arguments give equal samples."""
    rng = random.Random(f"geofovea-lessons-{seed}")
    while True:
        if plan.lone_pad:
            yield _make_pad_sample(rng, shape, plan, word_ids)
            continue
        side = rng.choice(plan.scene_sides)
        world = world_of(plan.world, rng.getrandbits(48), side, side)
        for site in rng.sample(world.named_sites, min(3, len(world.named_sites))):
            if not plan.questions:
                yield _make_drill(rng, world, site, shape, plan)
            else:
                yield _make_sample(rng, world, site, shape, plan, word_ids)


def _make_sample(
    rng: random.Random,
    world: World,
    site: Site,
    shape: ModelShape,
    plan: SampleSpec,
    word_ids: dict[str, int],
) -> TrainingSample:
    pyramid = Pyramid(world.width, world.height, shape.tile_size)
    distracted = rng.random() < plan.distracted
    groups = _choose_tiles(rng, pyramid, site, plan, distracted)
    tiles = [tile for group in groups for tile in group]
    group = np.repeat([i for i, g in enumerate(groups) for _ in g], shape.grid**2)
    views = [_show(rng, world, pyramid, tile, shape) for tile in tiles]
    boxes = [b for _, b, _ in views]
    native_tiles = {t for t in tiles if t.level == 0}
    whole_pad = native_tiles.issuperset(pyramid.tiles_over(0, site.pad))
    questions = list(
        islice(_questions_about(world, site, rng, whole_pad, plan.strangers), plan.questions)
    )
    focus = np.stack([np.concatenate([b.over_any(q.evidence) for b in boxes]) for q in questions])
    visible = hide_some(rng, boxes, plan.dropped)
    if rng.random() < plan.alone:
        visible &= group == rng.randrange(len(groups))
    answered = np.array([distracted or is_shown(q, boxes, visible) for q in questions])
    if plan.thinned and rng.random() < plan.thinned:
        before, visible = visible, thin(rng, visible, group, focus)
        answered &= distracted | is_kept(visible, before, focus)
    words, targets = _spell(questions, plan, word_ids)
    views += [_show_crowd(rng, shape, plan) for _ in range(plan.crowded_tiles)]
    return TrainingSample(
        tiles=np.stack([pixels for pixels, _, _ in views]),
        places=np.concatenate([token_places(pyramid, t, shape.grid) for t in tiles]),
        visible=visible,
        group=group,
        dense=np.concatenate([dense for _, _, dense in views], 1),
        words=words,
        targets=targets,
        answered=answered,
        focus=focus,
        category=np.array([CATEGORIES.index(q.category) for q in questions]),
    )


def _make_pad_sample(
    rng: random.Random, shape: ModelShape, plan: SampleSpec, word_ids: dict[str, int]
) -> TrainingSample:
    """One tile that a pad fills, somewhere in a scene, with questions about its details."""
    pad = pad_of(plan.world, rng, shape.tile_size)
    tile = Tile(0, 0, 0)
    views = [_show(rng, pad, Pyramid(pad.width, pad.height, shape.tile_size), tile, shape)]
    boxes = views[0][1]
    for name in ("site", "setting"):
        views[0][2][list(DENSE_LABELS).index(name)] = IGNORED
    side = rng.choice(plan.scene_sides)
    around = Pyramid(side, side, shape.tile_size)
    rows, cols = around.grid_shape(0)
    somewhere = Tile(0, rng.randrange(rows), rng.randrange(cols))
    views += [_show_crowd(rng, shape, plan) for _ in range(plan.crowded_tiles)]
    details = (
        question
        for question in ask_about(pad, pad.sites[0], rng)
        if question.category != "rural or urban"
    )
    questions = list(islice(details, plan.questions))
    words, targets = _spell(questions, plan, word_ids)
    tokens = shape.grid**2
    return TrainingSample(
        tiles=np.stack([pixels for pixels, _, _ in views]),
        places=token_places(around, somewhere, shape.grid),
        visible=np.ones(tokens, bool),
        group=np.zeros(tokens, np.int64),
        dense=np.concatenate([dense for _, _, dense in views], 1),
        words=words,
        targets=targets,
        answered=np.ones(len(questions), bool),
        focus=np.stack([boxes.over_any(q.evidence) for q in questions]),
        category=np.array([CATEGORIES.index(q.category) for q in questions]),
    )


def _make_drill(
    rng: random.Random, world: World, site: Site, shape: ModelShape, plan: SampleSpec
) -> TrainingSample:
    """Tiles with dense labels alone: some coarse ones of a scene, the others crowded."""
    pyramid = Pyramid(world.width, world.height, shape.tile_size)
    views = [
        _show(rng, world, pyramid, tile, shape)
        for group in _choose_tiles(rng, pyramid, site, plan, distracted=False)
        for tile in group
    ]
    views += [_show_crowd(rng, shape, plan) for _ in range(plan.crowded_tiles)]
    tokens = (plan.tiles - plan.crowded_tiles) * shape.grid**2
    nothing = np.zeros((0, plan.question_length), np.int64)
    return TrainingSample(
        tiles=np.stack([pixels for pixels, _, _ in views]),
        places=np.zeros((tokens, 3), np.float32),
        visible=np.zeros(tokens, bool),
        group=np.zeros(tokens, np.int64),
        dense=np.concatenate([dense for _, _, dense in views], 1),
        words=nothing,
        targets=nothing,
        answered=np.zeros(0, bool),
        focus=np.zeros((0, tokens), bool),
        category=np.zeros(0, np.int64),
    )


def _show_crowd(
    rng: random.Random, shape: ModelShape, plan: SampleSpec
) -> tuple[NDArray[np.uint8], TokenBoxes, NDArray[np.int64]]:
    """A tile full of things, with the labels of things alone; some are seen from twice as far."""
    level = int(rng.random() < _SHARE_OF_COARSE_CROWDS)
    crowd = crowd_of(plan.world, rng, (shape.tile_size << level) // 64)
    pyramid = Pyramid(crowd.width, crowd.height, shape.tile_size)
    pixels, boxes, dense = _show(rng, crowd, pyramid, Tile(level, 0, 0), shape)
    for name in ("site", "setting"):
        dense[list(DENSE_LABELS).index(name)] = IGNORED
    return pixels, boxes, dense


def _show(
    rng: random.Random, world: World, pyramid: Pyramid, tile: Tile, shape: ModelShape
) -> tuple[NDArray[np.uint8], TokenBoxes, NDArray[np.int64]]:
    """Pixels, token boxes and dense labels of one tile."""
    side = shape.tile_size
    pixels = render_window(world, tile.level, tile.col * side, tile.row * side, side, side)
    boxes = TokenBoxes(pyramid, tile, shape.grid)
    return _compressed(rng, pixels), boxes, dense_labels(world, boxes)


def _compressed(rng: random.Random, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Half of the tiles pass through JPEG, as the tiles of most real rasters have."""
    if rng.random() < 0.5:
        return rgb
    packed = io.BytesIO()
    Image.fromarray(rgb).save(packed, "JPEG", quality=rng.randint(75, 95))
    return np.asarray(Image.open(packed))


def _questions_about(
    world: World, site: Site, rng: random.Random, whole_pad: bool, strangers: float
) -> Iterator[Question]:
    """Questions about a site, some about others; no counting where a pad is not seen whole."""
    streams = {other: ask_about(world, other, rng) for other in world.named_sites}
    for stream in streams.values():
        # they go through the categories in turn: of many sites only the first would come up
        for _ in range(rng.randrange(len(CATEGORIES))):
            next(stream)
    others = [other for other in world.named_sites if other is not site]
    while True:
        is_stranger = bool(others) and rng.random() < strangers
        question = next(streams[rng.choice(others) if is_stranger else site])
        if question.category != "count" or (whole_pad and not is_stranger):
            yield question


def _choose_tiles(
    rng: random.Random, pyramid: Pyramid, site: Site, plan: SampleSpec, distracted: bool
) -> list[list[Tile]]:
    """Tiles by level, coarse to fine: those that show the pad, filled up with others."""
    groups = [[pyramid.overview]] if plan.overview else []
    base = pyramid.base_level
    if plan.base_tiles:
        groups.append(tiles_around(rng, pyramid, base, site.pad, plan.base_tiles))
    coarse = list(range(1, base if plan.base_tiles else base + 1))
    levels = sorted(rng.sample(coarse, plan.coarse_levels), reverse=True)
    for level in levels:
        groups.append(tiles_around(rng, pyramid, level, site.pad, plan.coarse_tiles))
    if distracted:
        groups.append(_fill([], rng, pyramid, 0, site.box, plan.native_tiles))
    else:
        groups.append(tiles_around(rng, pyramid, 0, site.pad, plan.native_tiles))
    return groups


def tiles_around(
    rng: random.Random, pyramid: Pyramid, level: int, box: Box, count: int
) -> list[Tile]:
    """Up to ``count`` tiles of a level that show a box, filled up with others; reading order."""
    showing = pyramid.tiles_over(level, box)
    tiles = rng.sample(showing, min(count, len(showing)))
    return _fill(tiles, rng, pyramid, level, box, count)


def _fill(
    tiles: list[Tile], rng: random.Random, pyramid: Pyramid, level: int, box: Box, count: int
) -> list[Tile]:
    """Add neighbors and strangers until there are ``count`` tiles; reading order.

    A level with too few tiles repeats some: the model must stand that, and shapes stay fixed.
    """
    rows, cols = pyramid.grid_shape(level)
    side = pyramid.tile_size << level
    for attempt in range(20 * count):
        if len(tiles) == count:
            break
        if rng.random() < 0.5:
            tile = Tile(level, rng.randrange(rows), rng.randrange(cols))
        else:
            row = int(box.center[1] // side) + rng.randint(-2, 2)
            col = int(box.center[0] // side) + rng.randint(-2, 2)
            tile = Tile(level, min(max(row, 0), rows - 1), min(max(col, 0), cols - 1))
        if tile not in tiles or attempt > 10 * count:
            tiles.append(tile)
    return sorted(tiles)


def _spell(
    questions: list[Question], plan: SampleSpec, word_ids: dict[str, int]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Questions and answers as word ids, and what to predict at each position."""
    words = np.full((len(questions), plan.question_length), word_ids["<pad>"])
    targets = np.full_like(words, IGNORED)
    for row, question in enumerate(questions):
        spelled = question.text.lower().replace("?", " ?").split()
        ids = [word_ids[w] for w in (*spelled, question.answer)]
        words[row, : len(ids)] = ids
        targets[row, len(ids) - 2] = ids[-1]
        targets[row, len(ids) - 1] = word_ids["</s>"]
    return words, targets
