"""What is told of an answer: put together when it is there, and never at its expense."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from geofovea.pipeline.answers.afterwork import Afterwork
from geofovea.pipeline.answers.answer import Answer
from geofovea.pipeline.answers.confidence import Choice, confidence_of
from geofovea.pipeline.answers.cost import Cost, FocusCost
from geofovea.pipeline.answers.evidence import Evidence, Look, evidence_of, record_of
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
    answered = _Answered(host, reader, plan, result, reduced, usage, seconds, peak_mb)
    items, looks, cost = answered.evidence(), answered.looks(), answered.cost()
    warned = answered.warnings(measurement)
    doubts = answered.doubts(items) if measurement is None else ()
    warnings = (*warned, *doubts, *answered.work_warnings(), *notes, *answered.after.warnings)
    if measurement is not None:
        if not measurement.text:
            # why there is no answer goes before what else there is to know
            warnings = tuple(dict.fromkeys((measurement.sentence, *warnings)))
        measurement = replace(measurement, model=host.name, cost=cost, warnings=warnings)
    generation = reduced.reply.generation
    is_demo = is_beyond(host, reader.scene)
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
        scene=reader.scene,
        levels=reader.pyramid.top_level + 1,
        evidence=EvidenceList(items, reader.scene),
        cost=cost,
        looks=looks,
        warnings=warnings,
        stopped=result.descent.stopped,
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


def _log(text: str, seconds: Mapping[str, float]) -> None:
    stages = ", ".join(f"{name} {spent:.2f}" for name, spent in seconds.items())
    _LOG.info("answer: %r; seconds: %s", text, stages)


@dataclass(frozen=True, slots=True)
class _Answered:
    """A question that was answered, and what can be told of that.

    Attributes:
        host: The model.
        reader: Of the scene.
        plan: How the question was to be answered.
        result: What was looked at.
        reduced: What was answered, and from what.
        usage: What was spent.
        seconds: Spent by each stage, and ``total``.
        peak_mb: Most memory that was in use.
        after: Collects what fails.
    """

    host: Host
    reader: TileReader
    plan: AnswerPlan
    result: SearchResult
    reduced: ReducedAnswer
    usage: QuestionUsage
    seconds: Mapping[str, float]
    peak_mb: float
    after: Afterwork = field(default_factory=Afterwork)

    def evidence(self) -> tuple[Evidence, ...]:
        """The tiles that the answer was read from."""
        descent, tokens = self.result.descent, self.reduced.reply.tokens
        return self.after.attempt(
            "the evidence", lambda: tuple(evidence_of(descent, tokens, self.reader.pyramid)), ()
        )

    def looks(self) -> tuple[Look, ...]:
        """Where the model looked, coarse to fine."""
        looks, pyramid = self.result.descent.looks, self.reader.pyramid
        return self.after.attempt(
            "the record of looks", lambda: tuple(record_of(look, pyramid) for look in looks), ()
        )

    def doubts(self, items: Sequence[Evidence]) -> tuple[str, ...]:
        """Sentences about what the question takes for granted and the scene may not show."""
        host, result, reader = self.host, self.result, self.reader
        return self.after.attempt(
            "the doubt about the place",
            lambda: absence_warnings(
                host, self.plan.question, result, items, reader.scene, reader.pyramid
            ),
            (),
        )

    def warnings(self, measurement: Measurement | None) -> tuple[str, ...]:
        """What is to be said of such a question, such a model and such a scene."""
        after, plan, reader = self.after, self.plan, self.reader
        names = None if measurement is None else measurement.names
        warned = after.attempt(
            "the list of warnings",
            lambda: answer_warnings(
                reader.scene,
                reader.radiometry,
                self.host,
                plan.question,
                self.result.descent.stopped,
                plan.choices,
                names=names,
            ),
            (),
        )
        if measurement is not None:
            return warned
        unmeasured = after.attempt("the note on measures", lambda: unmeasured_warnings(plan), ())
        area = after.attempt("the note on the area", lambda: area_warnings(plan), ())
        # what the model does not know of such a question matters less than that it answers it
        return (*unmeasured, *warned, *area)

    def work_warnings(self) -> tuple[str, ...]:
        """What was told while the question was answered, and limits that were not kept."""
        usage, reply, total = self.usage, self.reduced.reply, self.seconds["total"]
        return (
            *dict.fromkeys((*usage.warnings, *reply.warnings, *reply.generation.warnings)),
            *self.plan.warnings,
            *(uncalibrated_warnings(self.host) if usage.looks_scored else ()),
            *budget_warnings(self.plan.budget, total, self.peak_mb),
        )

    def cost(self) -> Cost:
        """What was spent."""
        usage, reduced = self.usage, self.reduced
        looks, window = self.result.descent.looks, reduced.window
        # tiles that show nothing were read and found empty, not encoded
        encoded = {look.level: len(look.tokens.tiles) for look in looks if len(look.tokens)}
        if window is not None:
            encoded[0] = encoded.get(0, 0) + 1
        return Cost(
            tiles_read=usage.tiles_read,
            tiles_encoded=sum(encoded.values()),
            tiles_by_level=encoded,
            tokens_total=sum(len(look.tokens) for look in looks) + len(window or ()),
            tokens_llm=reduced.reply.tokens_llm,
            seconds=self.seconds,
            peak_rss_mb=self.peak_mb,
            budget=self.plan.budget,
            tokens_end=reduced.tokens_end,
            reductions=reduced.stages,
            endpoint=usage.endpoint_use(self.host),
            flops=self.after.attempt("the count of operations", self._flops, None),
            memory=usage.memory,
            thought_tokens=sum(run.thought_tokens for run in reduced.runs),
            focus=self._focus_cost(),
            vision_layers=reduced.vision_layers,
            tokens_beside=reduced.tokens_beside,
            tiles_indexed=usage.tiles_indexed,
        )

    def _focus_cost(self) -> FocusCost | None:
        host, usage = self.host, self.usage
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

    def _flops(self) -> FlopCount | None:
        if self.plan.chain.encoder:
            # what is dropped inside the encoder is not known to the count
            return None
        usage = self.usage
        return answer_flops(
            self.host,
            tiles_encoded=usage.tiles_encoded,
            scored=usage.looks_scored,
            runs=self.reduced.runs,
            memory=usage.memory,
        )
