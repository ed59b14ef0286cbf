"""Puts an answer about several dates together: evidence, cost and warnings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import shapely

from geofovea.pipeline.answers.afterwork import Afterwork
from geofovea.pipeline.answers.answer import Answer
from geofovea.pipeline.answers.confidence import Choice, confidence_of
from geofovea.pipeline.answers.cost import Cost
from geofovea.pipeline.answers.evidence import evidence_of, record_of
from geofovea.pipeline.answers.evidence_list import EvidenceList
from geofovea.pipeline.dates.dated_answer import DateCost, DatedAnswer
from geofovea.pipeline.dates.stack_tokens import StackTokens
from geofovea.pipeline.dates.tile_series import TileSeries
from geofovea.pipeline.focus.visual_search import SearchResult
from geofovea.pipeline.inference.decoder.outputs import Generation
from geofovea.pipeline.session.answer_warnings import answer_warnings, budget_warnings
from geofovea.pipeline.session.request import AskRequest
from geofovea.pipeline.system.memory import peak_rss_mb
from geofovea.regionfocus.budget import Budget
from geofovea.regionfocus.search.looks import Descent
from geofovea.regionfocus.tokens import TokenSet
from geofovea.tiling.pyramid import Box, Pyramid

__all__ = ["assemble_dated"]

_LITTLE_LEARNED = (
    "the demo model has learned little about dates: what it says of them is often wrong; where "
    "something changed is measured, see the evidence"
)

_ALL = 0.999
_LEAST_SHOWN = 0.01


def assemble_dated(
    series: TileSeries,
    request: AskRequest,
    budget: Budget,
    result: SearchResult,
    places: TokenSet,
    sets: Sequence[TokenSet],
    generation: Generation,
    stack: StackTokens,
    warnings: Sequence[str],
) -> DatedAnswer:
    """The answer with evidence, cost and warnings; what of that fails becomes a warning.

    Args:
        series: Of the dates.
        request: What was asked.
        budget: What might be spent on all dates together.
        result: What was looked at.
        places: The tokens of the reference whose places reached the decoder.
        sets: The tokens of each date that did.
        generation: The answer.
        stack: What was spent on each date.
        warnings: What a careful reader should know of the plan.
    """
    host, pyramid, descent = series.host, series.pyramid, result.descent
    after, scene = Afterwork(), series.stack.reference_scene
    seconds, peak = stack.usages[0].clock.seconds(), peak_rss_mb()
    is_demo = host.capabilities.domain != "general"
    temperature = host.capabilities.confidence_temperature
    items = after.attempt("the evidence", lambda: evidence_of(descent, places, pyramid), ())
    looks = after.attempt(
        "the record of looks", lambda: tuple(record_of(look, pyramid) for look in descent.looks), ()
    )
    radiometry = series.reference_reader.radiometry
    noted = after.attempt(
        "the list of warnings",
        lambda: answer_warnings(
            scene, radiometry, host, request.question, descent.stopped, tuple(request.choices)
        ),
        (),
    )
    answer = Answer(
        question=request.question,
        text=generation.text,
        confidence=0.0 if is_demo else confidence_of(generation.log_probabilities, temperature),
        confidence_known=bool(generation.log_probabilities) and not is_demo,
        is_demo=is_demo,
        model=host.name,
        scene=scene,
        levels=pyramid.top_level + 1,
        evidence=EvidenceList(items, scene),
        cost=_cost(descent, stack, sets, seconds, peak, budget),
        looks=looks,
        warnings=(
            *((_LITTLE_LEARNED,) if is_demo else ()),
            *_partly_compared(descent, pyramid, request),
            *dict.fromkeys((*series.warnings, *noted, *generation.warnings)),
            *warnings,
            *budget_warnings(budget, seconds["total"], peak),
            *dict.fromkeys(note for source in series.sources for note in source.notes),
            *after.warnings,
        ),
        stopped=descent.stopped,
        route=result.route,
        radiometry=radiometry,
        choices=Choice.of(tuple(request.choices), generation.choices, temperature),
    )
    costs = tuple(
        DateCost(usage.tiles_read, usage.tiles_encoded, len(tokens))
        for usage, tokens in zip(stack.usages, sets, strict=True)
    )
    return DatedAnswer(answer, series.stack, costs)


def _partly_compared(descent: Descent, pyramid: Pyramid, request: AskRequest) -> tuple[str, ...]:
    """A sentence about what was not compared closely, so that a change there was not seen."""
    asked = Box(0, 0, pyramid.width, pyramid.height)
    shape = shapely.box(*asked.as_tuple()) if request.region is None else request.region.geometry
    tiles = [tile for look in descent.looks if look.level == 0 for tile in look.tokens.tiles]
    boxes = [shapely.box(*pyramid.box_scene(tile).as_tuple()) for tile in tiles]
    share = shapely.union_all(boxes).intersection(shape).area / shape.area
    where = "scene" if request.region is None else "region"
    if share > _ALL:
        return ()
    return (
        f"the dates were compared at native resolution in {_percent(share)} of the {where}: a "
        "small change elsewhere was not seen; raise the limit of tiles",
    )


def _percent(share: float) -> str:
    """A share that was not all of something, as a percentage that does not say so."""
    return f"{min(share, 0.99):.0%}" if share >= _LEAST_SHOWN or not share else "less than 1%"


def _cost(
    descent: Descent,
    stack: StackTokens,
    sets: Sequence[TokenSet],
    seconds: Mapping[str, float],
    peak_mb: float,
    budget: Budget,
) -> Cost:
    """What all dates cost together: each looks at the same places, and shows some of them."""
    encoded = {look.level: stack.tiles_encoded(look.tiles) for look in descent.looks}
    # tiles that show nothing were read and found empty, not encoded
    by_level = {level: tiles for level, tiles in encoded.items() if tiles}
    return Cost(
        tiles_read=sum(usage.tiles_read for usage in stack.usages),
        tiles_encoded=sum(by_level.values()),
        tiles_by_level=by_level,
        tokens_total=sum(stack.tokens_shown(look.tokens) for look in descent.looks),
        tokens_llm=sum(map(len, sets)),
        seconds=seconds,
        peak_rss_mb=peak_mb,
        budget=budget,
    )
