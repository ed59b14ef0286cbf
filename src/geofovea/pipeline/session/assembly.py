"""What is told of an answer: put together when it is there, and never at its expense."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

from geofovea.pipeline.answers.afterwork import Afterwork
from geofovea.pipeline.answers.answer import Answer
from geofovea.pipeline.answers.confidence import Choice, confidence_of
from geofovea.pipeline.answers.cost import Cost, FocusCost
from geofovea.pipeline.answers.evidence import evidence_of, record_of
from geofovea.pipeline.answers.evidence_list import EvidenceList
from geofovea.pipeline.answers.measurement import Measurement
from geofovea.pipeline.engine.accounting import QuestionUsage
from geofovea.pipeline.focus.visual_search import SearchResult
from geofovea.pipeline.hosts.base import Host, SupportsAttentionMode
from geofovea.pipeline.hosts.flops import FlopCount, answer_flops
from geofovea.pipeline.inference.decoder.outputs import Generation
from geofovea.pipeline.session.absences import absence_warnings
from geofovea.pipeline.session.answer_warnings import (
    answer_warnings,
    budget_warnings,
    uncalibrated_warnings,
)
from geofovea.pipeline.session.measuring import unmeasured_warnings
from geofovea.pipeline.session.model_choice import is_beyond
from geofovea.pipeline.session.place_counts import area_warnings
from geofovea.pipeline.session.plan import AnswerPlan
from geofovea.pipeline.session.reducer import ReducedAnswer
from geofovea.pipeline.system.memory import peak_rss_mb
from geofovea.regionfocus.search.looks import Descent
from geofovea.tiling.reader import TileReader

__all__ = ["assemble_answer"]

_LOG = logging.getLogger(__name__)


def assemble_answer(
    host: Host,
    reader: TileReader,
    plan: AnswerPlan,
    result: SearchResult,
    reduced: ReducedAnswer,
    usage: QuestionUsage,
    notes: Sequence[str] = (),
    measurement: Measurement | None = None,
) -> Answer:
    """The answer with evidence, cost and warnings; what of that fails becomes a warning.

    Args:
        host: The model.
        reader: Of the scene.
        plan: How the question was to be answered.
        result: What was looked at.
        reduced: What was answered, and from what.
        usage: What was spent; its time ends here.
        notes: What a careful reader should know of the scene's tiles.
        measurement: What the answer was computed from, if the model did not give it.
    """
    seconds, peak_mb = usage.clock.seconds(), peak_rss_mb()
    descent, reply = result.descent, reduced.reply
    generation = reply.generation
    after, scene, pyramid = Afterwork(), reader.scene, reader.pyramid
    items = after.attempt("the evidence", lambda: evidence_of(descent, reply.tokens, pyramid), ())
    flops = after.attempt(
        "the count of operations", lambda: _flops(host, plan, reduced, usage), None
    )
    looks = after.attempt(
        "the record of looks",
        lambda: tuple(record_of(look, pyramid) for look in descent.looks),
        (),
    )
    cost = _cost(host, plan, descent, reduced, usage, seconds, peak_mb, flops)
    warned = after.attempt(
        "the list of warnings",
        lambda: answer_warnings(
            scene,
            reader.radiometry,
            host,
            plan.question,
            descent.stopped,
            plan.choices,
            names=None if measurement is None else measurement.names,
        ),
        (),
    )
    doubts: tuple[str, ...] = ()
    if measurement is None:
        doubts = after.attempt(
            "the doubt about the place",
            lambda: absence_warnings(host, plan.question, result, items, scene, pyramid),
            (),
        )
        unmeasured = after.attempt("the note on measures", lambda: unmeasured_warnings(plan), ())
        # what the model does not know of such a question matters less than that it answers it
        warned = (*unmeasured, *warned)
        warned += after.attempt("the note on the area", lambda: area_warnings(plan), ())
    worked = _work_warnings(host, plan, reduced, usage, seconds["total"], peak_mb)
    warnings = (*warned, *doubts, *worked, *notes, *after.warnings)
    if measurement is not None:
        if not measurement.text:
            # why there is no answer goes before what else there is to know
            warnings = tuple(dict.fromkeys((measurement.sentence, *warnings)))
        measurement = replace(measurement, model=host.name, cost=cost, warnings=warnings)
    is_demo = is_beyond(host, scene)
    # how sure a model is of a guess, or of a place that may not be there, says nothing
    is_known = bool(generation.log_probabilities) and not is_demo and not doubts
    # what was computed from places has the confidence of its places, not that of words
    temperature = host.capabilities.confidence_temperature if measurement is None else 1.0
    choices = Choice.of(plan.choices, generation.choices, temperature) if generation.choices else ()
    confidence = _confidence(generation, choices, temperature) if is_known else 0.0
    _log(generation.text, seconds)
    return Answer(
        question=plan.request.question,
        text=generation.text,
        confidence=confidence,
        confidence_known=is_known,
        is_demo=is_demo,
        model=host.name,
        scene=scene,
        levels=pyramid.top_level + 1,
        evidence=EvidenceList(items, scene),
        cost=cost,
        looks=looks,
        warnings=warnings,
        stopped=descent.stopped,
        route=result.route,
        radiometry=reader.radiometry,
        choices=choices,
        measurement=measurement,
    )


def _confidence(generation: Generation, choices: Sequence[Choice], temperature: float) -> float:
    """How sure an answer is: its share among the choices, else the probability of its words."""
    if choices:
        return max(choice.probability for choice in choices)
    return confidence_of(generation.log_probabilities, temperature)


def _work_warnings(
    host: Host,
    plan: AnswerPlan,
    reduced: ReducedAnswer,
    usage: QuestionUsage,
    seconds: float,
    peak_mb: float,
) -> tuple[str, ...]:
    """What was told while the question was answered, and limits that were not kept."""
    reply = reduced.reply
    return (
        *dict.fromkeys((*usage.warnings, *reply.warnings, *reply.generation.warnings)),
        *plan.warnings,
        *(uncalibrated_warnings(host) if usage.looks_scored else ()),
        *budget_warnings(plan.budget, seconds, peak_mb),
    )


def _cost(
    host: Host,
    plan: AnswerPlan,
    descent: Descent,
    reduced: ReducedAnswer,
    usage: QuestionUsage,
    seconds: Mapping[str, float],
    peak_mb: float,
    flops: FlopCount | None,
) -> Cost:
    # tiles that show nothing were read and found empty, not encoded
    encoded = {look.level: len(look.tokens.tiles) for look in descent.looks if len(look.tokens)}
    window = reduced.window
    if window is not None:
        encoded[0] = encoded.get(0, 0) + 1
    return Cost(
        tiles_read=usage.tiles_read,
        tiles_encoded=sum(encoded.values()),
        tiles_by_level=encoded,
        tokens_total=sum(len(look.tokens) for look in descent.looks) + len(window or ()),
        tokens_llm=reduced.reply.tokens_llm,
        seconds=seconds,
        peak_rss_mb=peak_mb,
        budget=plan.budget,
        tokens_end=reduced.tokens_end,
        reductions=reduced.stages,
        endpoint=usage.endpoint_use(host),
        flops=flops,
        memory=usage.memory,
        thought_tokens=sum(run.thought_tokens for run in reduced.runs),
        focus=_focus_cost(host, usage),
        vision_layers=reduced.vision_layers,
        tokens_beside=reduced.tokens_beside,
        tiles_indexed=usage.tiles_indexed,
    )


def _log(text: str, seconds: Mapping[str, float]) -> None:
    stages = ", ".join(f"{name} {spent:.2f}" for name, spent in seconds.items())
    _LOG.info("answer: %r; seconds: %s", text, stages)


def _focus_cost(host: Host, usage: QuestionUsage) -> FocusCost | None:
    if not usage.looks_scored or not isinstance(host, SupportsAttentionMode):
        return None
    mode = host.attention_mode
    return FocusCost(
        mode.layers,
        mode.correction,
        host.focus_origin,
        usage.tokens_scored,
        len(mode.wordings),
        mode.halvings,
    )


def _flops(
    host: Host, plan: AnswerPlan, reduced: ReducedAnswer, usage: QuestionUsage
) -> FlopCount | None:
    if plan.chain.encoder:
        # what is dropped inside the encoder is not known to the count
        return None
    return answer_flops(
        host,
        tiles_encoded=usage.tiles_encoded,
        scored=usage.looks_scored,
        runs=reduced.runs,
        memory=usage.memory,
    )
