"""A second look where an answer is in doubt: at a window that has the place in its middle.

The grid of tiles may cut a thing, or show it in a corner. Where the model is not sure of what it
read from the tiles of one place, it reads a window around what drew most attention, in place of
them. The surer of both answers counts. To crop what the model attends to, and to ask
again, helps large models with small things as well (Zhang et al., MLLMs Know Where to Look, ICLR
2025).
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch

from geofovea.pipeline.answers.confidence import confidence_of
from geofovea.pipeline.engine.accounting import QuestionUsage, limit_reached
from geofovea.pipeline.engine.tile_tokens import TileTokens
from geofovea.pipeline.focus.visual_search import SearchResult, VisualSearch
from geofovea.pipeline.hosts.base import Host, SupportsPresence
from geofovea.pipeline.inference.decoder.outputs import Generation
from geofovea.pipeline.relations.counts import parse_place_count
from geofovea.pipeline.session.measuring import leaves_all_to_model
from geofovea.pipeline.session.plan import AnswerPlan
from geofovea.pipeline.session.reducer import ReducedAnswer, Reducer
from geofovea.regionfocus.budget import Budget
from geofovea.regionfocus.focus import Focus
from geofovea.regionfocus.search.descent import score_look
from geofovea.regionfocus.search.looks import LevelLook
from geofovea.regionfocus.search.region_filter import within
from geofovea.regionfocus.search.router import is_at_place
from geofovea.regionfocus.strategies import DEFAULT_REDUCTION
from geofovea.regionfocus.tokens import TokenSet

__all__ = ["answer_in_two_looks", "reads_places_alone", "search_budget"]

SURE = 0.9
"""Words of this probability are not in doubt; chosen on scenes that no bench uses."""
# in a smaller budget, each tile of the search counts for more
_LEAST_TILES = 32

_NEIGHBOR = 1.5
"""Tokens touch whose centers are no farther apart, in sides of a token."""


def reads_places_alone(plan: AnswerPlan, host: Host) -> bool:
    """Whether a model may be asked about single places, beside the question to all tokens.

    Only models whose errors of detection were measured are. The options may leave all to the model,
    or be about how it reads tokens.
    """
    options = plan.request.options
    # what stops early has asked the model already, and the others are about how it reads tokens
    studied = (options.stop, options.skip, options.resampler)
    is_studied = any(studied) or options.reduction != DEFAULT_REDUCTION
    if plan.choices or is_studied or leaves_all_to_model(plan):
        return False
    return isinstance(host, SupportsPresence) and host.presence.confusion is not None


def search_budget(plan: AnswerPlan, tiles: TileTokens) -> Budget:
    """What a search may spend: one tile is kept where a second look may follow."""
    kept = int(_may_look_again(plan, tiles))
    return replace(plan.budget, tiles=plan.budget.tiles - kept)


def answer_in_two_looks(
    plan: AnswerPlan,
    result: SearchResult,
    budget: Budget,
    search: VisualSearch,
    reducer: Reducer,
) -> ReducedAnswer:
    """The answer from what was looked at, and from a second look where that is in doubt.

    Args:
        plan: The question, and how it is to be answered.
        result: What was looked at.
        budget: What is left; its tokens hold both looks, or there is one.
        search: Looked, and counts what the question spends.
        reducer: Lets the model answer.
    """
    first, usage = reducer.answer(result, budget), search.usage
    is_sure = not _is_in_doubt(first.reply.generation)
    if is_sure or not _has_room(plan, reducer.tiles, result, usage):
        return first
    # nobody who watches the search is told of it: it looks at nothing new
    focus = replace(search, watch=None).focus_on(plan.search, plan.question)
    middle = _middle_of(result.relevant.looks[-1], focus)
    window = _window_around(middle, reducer.tiles, plan, usage)
    left = budget.tokens - first.reply.tokens_llm - len(window)
    if not len(window) or left < 0:
        return replace(first, window=window)
    around = _nearest(first.reply.tokens, middle, left)
    shown = TokenSet.concat([around, window]).in_reading_order()
    with usage.clock.stage("answer"):
        # also beside a scene memory, which holds no window: the second look sees all tokens at once
        again = reducer.generator.generate(plan.question, shown, is_off_grid=True)
    temperature = reducer.tiles.host.capabilities.confidence_temperature
    generation, notes = _surer(first.reply.generation, again, temperature)
    reply = replace(
        first.reply,
        generation=generation,
        tokens_llm=first.reply.tokens_llm + len(shown),
        warnings=(*first.reply.warnings, *notes),
    )
    return replace(
        first,
        reply=reply,
        tokens_end=reducer.generator.tokens_end,
        runs=tuple(reducer.generator.runs),
        window=window,
    )


def _may_look_again(plan: AnswerPlan, tiles: TileTokens) -> bool:
    """Whether a question is about one thing at a place, and windows off the grid can be read."""
    if not tiles.holds_windows or plan.budget.tiles < _LEAST_TILES:
        return False
    is_one = is_at_place(plan.question) and parse_place_count(plan.question) is None
    return is_one and reads_places_alone(plan, tiles.host)


def _is_in_doubt(generation: Generation) -> bool:
    """Whether a model is unsure of an answer; one without a probability is not compared."""
    return bool(generation.log_probabilities) and confidence_of(generation.log_probabilities) < SURE


def _has_room(
    plan: AnswerPlan, tiles: TileTokens, result: SearchResult, usage: QuestionUsage
) -> bool:
    """Whether a search came down to one place of native tiles, and the budget holds a window."""
    if not _may_look_again(plan, tiles) or limit_reached(plan.budget, usage.clock):
        return False
    finest, route = result.relevant.looks[-1], result.route
    is_one = route is not None and route.word == "one" and not route.is_count
    encoded = sum(len(look.tokens.tiles) for look in result.descent.looks)
    is_native = finest.level == 0 and len(finest.tokens) > 0
    return is_one and is_native and encoded < plan.budget.tiles


def _middle_of(look: LevelLook, focus: Focus) -> tuple[float, float]:
    """``(x_scene, y_scene)`` of the thing that a focus points at in a look.

    The scores of a search tell which place is meant, for they hold those of coarser levels, too.
    Which of its tokens shows the thing is told better by the focus alone. A thing seldom lies in
    the middle of a token, so the best token and its neighbors are weighed by the roots of their
    scores: by the scores themselves, the middle would stay near that of the best one.
    """
    scored = score_look(look, focus, chained=False)
    scores = (look if scored.is_flat else scored).scores.to(torch.float64)
    boxes, centers = look.tokens.boxes_scene, look.tokens.centers_scene
    sides = boxes[:, 2:] - boxes[:, :2]
    best = int(scores.argmax())
    is_near = ((centers - centers[best]).abs() <= _NEIGHBOR * sides[best]).all(1)
    weights = (scores.sqrt() * is_near)[:, None]
    x, y = ((centers * weights).sum(0) / weights.sum()).tolist()
    return x, y


def _window_around(
    middle: tuple[float, float], tiles: TileTokens, plan: AnswerPlan, usage: QuestionUsage
) -> TokenSet:
    """Tokens of a native window around a point, those outside of the region left out."""
    return within(plan.request.region, tiles.around(middle, usage))


def _nearest(tokens: TokenSet, middle: tuple[float, float], most: int) -> TokenSet:
    """The coarse tokens nearest to a point: those of the overview first, then the others."""
    coarse = tokens.select(tokens.levels > 0)
    if not len(coarse):
        return coarse
    distance = (coarse.centers_scene - torch.tensor(middle, dtype=torch.float64)).abs().amax(1)
    is_below = coarse.levels < coarse.levels.max()
    order = np.lexsort((distance.numpy(), is_below.numpy()))
    return coarse.select(torch.from_numpy(np.sort(order[:most])))


def _surer(
    first: Generation, again: Generation, temperature: float
) -> tuple[Generation, tuple[str, ...]]:
    """The answer that is surer, and a sentence where the other one says something else.

    Of two different answers, the probability of the surer one is its share of both. The sentence
    tells how sure they are as an answer does, by the temperature of the model.
    """
    logs = [each.log_probabilities for each in (first, again)]
    one, other = map(confidence_of, logs)
    better = first if one >= other else again
    if first.text == again.text:
        return better, ()
    share = max(one, other) / (one + other)
    told, told_again = (confidence_of(each, temperature) for each in logs)
    note = (
        f"two looks disagree: {first.text!r} ({told:.0%} sure) from the tiles of the search, "
        f"{again.text!r} ({told_again:.0%} sure) from a window with the place in its middle; the "
        "surer one is the answer"
    )
    return replace(better, log_probabilities=(math.log(share),)), (note,)
