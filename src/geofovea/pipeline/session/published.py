"""A scene looked at as the published method does it, told in the words of an `Answer`.

The method has no budget: what it may need follows from the image alone. So a budget is compared
with the worst case before anything is encoded, and refused if it is smaller. Its levels are not
dyadic: in costs and evidence they carry the number of the nearest level of ours.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from geofovea.errors import BudgetError, ModelError
from geofovea.pipeline.answers.afterwork import Afterwork
from geofovea.pipeline.answers.answer import Answer
from geofovea.pipeline.answers.confidence import confidence_of
from geofovea.pipeline.answers.cost import Cost
from geofovea.pipeline.answers.evidence import Evidence, Look
from geofovea.pipeline.answers.evidence_list import EvidenceList
from geofovea.pipeline.engine.accounting import StageClock
from geofovea.pipeline.engine.watching import Watcher
from geofovea.pipeline.hosts.base import Host
from geofovea.pipeline.hosts.published.host import PublishedHost
from geofovea.pipeline.hosts.published.image import PublishedImage, refuse_huge
from geofovea.pipeline.hosts.published.model import PublishedLook, PublishedPass
from geofovea.pipeline.inference.decoder.outputs import Generation
from geofovea.pipeline.session.answer_warnings import answer_warnings
from geofovea.pipeline.session.request import AskRequest
from geofovea.pipeline.system.memory import peak_rss_mb
from geofovea.regionfocus.budget import Budget
from geofovea.regionfocus.rfm.published_geometry import (
    TILE_SIDE,
    TOKENS_PER_SIDE,
    PublishedPlan,
    plan_published,
)
from geofovea.regionfocus.rfm.published_selection import KEPT_SHARE
from geofovea.regionfocus.strategies import DEFAULT_REDUCTION
from geofovea.tiling.pyramid import Box, Tile
from geofovea.tiling.reader import TileReader

__all__ = [
    "PublishedAnswer",
    "PublishedAnswerPlan",
    "answer_as_published",
    "ask_as_published",
    "check_budget",
    "plan_published_answer",
]

_GLOBAL_TOKENS = (2 * TOKENS_PER_SIDE) ** 2


@dataclass(frozen=True, slots=True, eq=False)
class PublishedAnswer:
    """What an `Answer` is made of.

    Attributes:
        generation: The answer.
        evidence: The global tile and the tiles whose tokens reached the decoder.
        looks: Both passes, coarse to fine.
        tiles_read: Native tiles that the image was put together from.
        tiles_by_level: Tiles encoded, by nearest level.
        tokens_total: Vision tokens looked at, newlines included.
        tokens_llm: Those that reached the decoder.
    """

    generation: Generation
    evidence: tuple[Evidence, ...]
    looks: tuple[Look, ...]
    tiles_read: int
    tiles_by_level: dict[int, int]
    tokens_total: int
    tokens_llm: int


@dataclass(frozen=True, slots=True, eq=False)
class PublishedAnswerPlan:
    """How the published method will answer a question.

    Attributes:
        host: The model.
        question: In its words.
        budget: What may be spent.
    """

    host: PublishedHost
    question: str
    budget: Budget


def plan_published_answer(
    host: Host, request: AskRequest, question: str, budget: Budget
) -> PublishedAnswerPlan:
    """Settle that the published method answers a request.

    Raises:
        ModelError: If the host is not a published one, or something was asked for that the method
            does not have: a region, another focus or reduction.
    """
    focus, reduction = request.options.focus or "attention", request.options.reduction
    if request.region is not None:
        raise ModelError(
            "descent='published' looks at whole images: within a region, choose another"
        )
    if not isinstance(host, PublishedHost):
        raise ModelError(
            f"descent='published' needs a published LRS-VQA model, and {host.name} is not one: "
            "name one with model=, or use descent='geometric'"
        )
    if request.options.skip is not None:
        raise ModelError("descent='published' skips no work inside layers: leave out skip=")
    if request.options.resampler is not None:
        raise ModelError("descent='published' keeps tokens in its own way: leave out resampler=")
    if focus != "rfm" or reduction not in (DEFAULT_REDUCTION, "top_score"):
        raise ModelError(
            "descent='published' goes with focus='rfm' and keeps tokens by 'top_score', got "
            f"focus={focus!r} and reduction={reduction!r}"
        )
    return PublishedAnswerPlan(host, question, budget)


def ask_as_published(
    plan: PublishedAnswerPlan, reader: TileReader, clock: StageClock, watch: Watcher | None = None
) -> Answer:
    """Answer a question as the published method does.

    Args:
        plan: How.
        reader: Of the scene.
        clock: Counts the time.
        watch: Hears of both looks once the answer is there.

    Raises:
        GeoFoveaError: As `answer_as_published` does.
    """
    host, question, budget, scene = plan.host, plan.question, plan.budget, reader.scene
    result = answer_as_published(host, reader, question, budget, clock)
    if watch is not None:
        _tell(watch, result)
    after = Afterwork()
    warned = after.attempt(
        "the list of warnings",
        lambda: answer_warnings(scene, reader.radiometry, host, question, "published"),
        (),
    )
    return Answer(
        question=question,
        text=result.generation.text,
        confidence=confidence_of(result.generation.log_probabilities),
        model=host.name,
        scene=scene,
        levels=reader.pyramid.top_level + 1,
        evidence=EvidenceList(result.evidence, scene),
        cost=Cost(
            tiles_read=result.tiles_read,
            tiles_encoded=sum(result.tiles_by_level.values()),
            tiles_by_level=result.tiles_by_level,
            tokens_total=result.tokens_total,
            tokens_llm=result.tokens_llm,
            seconds=clock.seconds(),
            peak_rss_mb=peak_rss_mb(),
            budget=budget,
        ),
        looks=result.looks,
        warnings=(*warned, *result.generation.warnings, *after.warnings, *reader.notes),
        stopped="published",
        radiometry=reader.radiometry,
    )


def answer_as_published(
    host: PublishedHost, reader: TileReader, question: str, budget: Budget, clock: StageClock
) -> PublishedAnswer:
    """Look at a scene in two passes and answer.

    Raises:
        BudgetError: If the budget is smaller than what this scene may need.
        SceneRefusedError: If the scene is too large to be read whole.
        GeometryError: If the method has no levels for this size.
        ModelError: If the model has no tokenizer, or the prompt is too long.
    """
    pyramid = reader.pyramid
    refuse_huge(pyramid.height, pyramid.width, "a scene")
    check_budget(plan_published(pyramid.height, pyramid.width), budget)
    with clock.stage("read"):
        image = PublishedImage(_whole(reader))
    with clock.stage("focus"):
        look = host.model.look(image, host.model.prompt_ids(question))
    with clock.stage("answer"):
        generation = host.model.answer(look.embeds)
    plan = look.plan
    tiles = Counter({_nearest_level(plan, plan.global_resized): 1})
    for one in (look.first, look.second):
        tiles[_nearest_level(plan, plan.levels[one.level].resized)] += len(one.tiles)
    return PublishedAnswer(
        generation,
        evidence=_evidence(look),
        looks=tuple(_look(plan, one) for one in (look.first, look.second)),
        tiles_read=sum(1 for _ in pyramid.tiles(0)),
        tiles_by_level=dict(tiles),
        tokens_total=_GLOBAL_TOKENS + int(look.first.valid.sum() + look.second.valid.sum()),
        tokens_llm=_GLOBAL_TOKENS + len(look.second.index),
    )


def _tell(watch: Watcher, found: PublishedAnswer) -> None:
    """What was looked at, in the words of a descent; nothing is told of it on the way."""
    for look in found.looks:
        watch.looking(dict(zip(look.addresses, look.tiles, strict=True)))
        watch.seen(len(look.tiles), len(look.token_scores))
        watch.scored(
            look.level, torch.from_numpy(look.token_boxes), torch.from_numpy(look.token_scores)
        )
    watch.reading(len(found.evidence), found.tokens_llm)


def check_budget(plan: PublishedPlan, budget: Budget) -> None:
    """Refuse a budget that the method might not keep.

    Raises:
        BudgetError: If it limits time or memory, or is smaller than the worst case.
    """
    rows, cols = plan.second_grid
    tiles = 1 + plan.levels[0].tiles + plan.levels[plan.second].tiles
    tokens = _GLOBAL_TOKENS + min(rows * cols, int(rows * cols * KEPT_SHARE) + rows)
    if tiles > budget.tiles or tokens > budget.tokens:
        raise BudgetError(
            f"the published method knows no budget and may need {tiles} tiles and {tokens} tokens "
            f"for this scene; the budget has {budget.tiles} and {budget.tokens}: raise it, or use "
            "descent='geometric', which keeps any budget"
        )
    if (budget.seconds, budget.host_ram_mb, budget.device_ram_mb) != (None, None, None):
        raise BudgetError(
            "the published method cannot stop early: leave time and memory unlimited, or use "
            "descent='geometric'"
        )


def _whole(reader: TileReader) -> NDArray[np.uint8]:
    """All native pixels, uint8 ``(height, width, 3)``, tile by tile."""
    pyramid = reader.pyramid
    side = pyramid.tile_size
    pixels = np.empty((pyramid.height, pyramid.width, 3), np.uint8)
    for tile in pyramid.tiles(0):
        picture = reader.read(tile)
        width, height = picture.valid_size
        top, left = tile.row * side, tile.col * side
        pixels[top : top + height, left : left + width] = picture.rgb[:height, :width]
    return pixels


def _nearest_level(plan: PublishedPlan, resized: tuple[int, int]) -> int:
    return max(0, round(math.log2(max(plan.height, plan.width) / max(resized))))


def _box(plan: PublishedPlan, level: int, row: int, col: int) -> Box:
    """A tile of one of the method's levels in scene pixels, clipped to the scene."""
    x0, y0, x1, y1 = _boxes(plan, level, np.array([row]), np.array([col]), TILE_SIDE)[0]
    return Box(float(x0), float(y0), float(x1), float(y1))


def _boxes(
    plan: PublishedPlan, level: int, rows: NDArray[np.int64], cols: NDArray[np.int64], side: int
) -> NDArray[np.float64]:
    """Squares of ``side`` level pixels in scene pixels, float64 (n, 4), clipped to the scene."""
    height, width = plan.levels[level].resized
    y, x = side * plan.height / height, side * plan.width / width
    boxes = np.stack([cols * x, rows * y, (cols + 1) * x, (rows + 1) * y], axis=1)
    return np.minimum(boxes, [plan.width, plan.height, plan.width, plan.height])


def _look(plan: PublishedPlan, one: PublishedPass) -> Look:
    """The valid tokens of a pass with their scores, newlines left out: they lie nowhere."""
    valid = one.valid.view(one.grid).clone()
    valid[:, -1] = False
    rows, cols = valid.numpy().nonzero()
    scores = one.scores.view(one.grid).numpy()[rows, cols]
    level = _nearest_level(plan, plan.levels[one.level].resized)
    places = [
        (row, col) for row, col in one.tiles.tolist() if _is_on_scene(plan, one.level, row, col)
    ]
    return Look(
        level=level,
        tiles=tuple(_box(plan, one.level, row, col) for row, col in places),
        token_boxes=_boxes(plan, one.level, rows, cols, TILE_SIDE // TOKENS_PER_SIDE),
        token_scores=scores.astype(np.float32),
        addresses=tuple(Tile(level, row, col) for row, col in places),
    )


def _is_on_scene(plan: PublishedPlan, level: int, row: int, col: int) -> bool:
    height, width = plan.levels[level].resized
    return row * TILE_SIDE < height and col * TILE_SIDE < width


def _evidence(look: PublishedLook) -> tuple[Evidence, ...]:
    """Tiles that kept tokens lie on, best first, then the global tile."""
    plan, one = look.plan, look.second
    level = _nearest_level(plan, plan.levels[one.level].resized)
    reached = torch.zeros(one.grid, dtype=torch.bool)
    reached.view(-1)[one.index] = True
    scores = one.scores.view(one.grid)
    side, items = TOKENS_PER_SIDE, []
    for row, col in one.tiles.tolist():
        part = slice(row * side, (row + 1) * side), slice(col * side, (col + 1) * side)
        # the last column holds newlines, which belong to no tile
        count = int(reached[:, :-1][part].sum())
        if count:
            mass = float(scores[:, :-1][part].sum())
            box = _box(plan, one.level, row, col)
            items.append(Evidence(Tile(level, row, col), box, mass, count))
    items.sort(key=lambda item: (-item.score, item.tile))
    whole = Box(0, 0, plan.width, plan.height)
    top = _nearest_level(plan, plan.global_resized)
    return (*items, Evidence(Tile(top, 0, 0), whole, 1.0, _GLOBAL_TOKENS))
