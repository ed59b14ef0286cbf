"""Questions about where places lie: the places are looked for, and the answer is computed."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from geofovea.errors import ModelError, NothingShownError, QuestionError
from geofovea.pipeline.answers.answer import Answer
from geofovea.pipeline.answers.measurement import Measurement
from geofovea.pipeline.engine.calls import EngineCalls
from geofovea.pipeline.focus.factory import place_question
from geofovea.pipeline.focus.presence import Presence
from geofovea.pipeline.focus.shown_names import ShownNames
from geofovea.pipeline.focus.visual_search import (
    BASELINES,
    SearchOptions,
    SearchResult,
    VisualSearch,
)
from geofovea.pipeline.hosts.base import Host, knows_no_word
from geofovea.pipeline.inference.decoder.outputs import Generation
from geofovea.pipeline.relations.choosing import choose
from geofovea.pipeline.relations.compute import compute
from geofovea.pipeline.relations.grammar import parse_question, seems_of_places
from geofovea.pipeline.relations.locate import Locator
from geofovea.pipeline.relations.place_question import PlaceQuestion
from geofovea.pipeline.relations.superlatives import Measurable, parse_superlative
from geofovea.pipeline.relations.wording import vague_amount
from geofovea.pipeline.session.answering import Reply
from geofovea.pipeline.session.options import AnswerOptions
from geofovea.pipeline.session.plan import AnswerPlan
from geofovea.pipeline.session.reducer import ReducedAnswer
from geofovea.pipeline.session.request import AskRequest, limited
from geofovea.regionfocus.budget import Budget
from geofovea.regionfocus.search.looks import Descent, LevelLook
from geofovea.regionfocus.search.router import Route
from geofovea.regionfocus.strategies import DEFAULT_DESCENT
from geofovea.tiling.geo.region import Region
from geofovea.tiling.overviews.deadline import builds_within
from geofovea.tiling.pyramid import Pyramid
from geofovea.tiling.scene import Scene

__all__ = [
    "Measured",
    "as_listed",
    "asks_of_places",
    "check_measurable",
    "check_shown",
    "leaves_all_to_model",
    "measure_places",
    "measurement_of",
    "measuring_request",
    "unmeasured_warnings",
]

_ROW = "measure:"
_EXAMPLES = (
    "'distance from the pond to the school', 'how large is the pond?', 'is the pond north of the "
    "school?' or 'which is the largest field?'"
)
_VAGUE = "{!r} is no number; write one, such as 'within 300 m' or 'within half a kilometer'"
_MOST_DENIED = 0.2
_LOOKS_ALIKE = (
    "{share:.0%} of the outline of the {name} lies in tiles that hardly show one: land that looks "
    "like it may have joined it, so its size may be too large"
)
_GROUND = (
    "the outline of the {name} may be that of the ground on which it stands: the model tells where "
    "a thing is, and not how large; geofovea find draws boxes"
)
_SEEN = (
    "the {name} was not outlined, but a tile around x {x:.0f}, y {y:.0f} px is likely to show one "
    "({likely:.0%}): limit the question to that area with region="
)


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """What was computed for a question, and from what.

    Attributes:
        measurement: The numbers; its text is empty where a place was not found, or may be several.
        result: What was looked at.
        reduced: The answer as a model would have given it; empty where there is none.
        is_answer: Whether it stands: there is one, among the choices if some are given, or no
            other is wanted, or the model would notice a place and does not.
    """

    measurement: Measurement
    result: SearchResult
    reduced: ReducedAnswer
    is_answer: bool

    def budget_left(self, budget: Budget) -> Budget:
        """A budget without the vision tokens that the model was asked about on the way."""
        return replace(budget, tokens=max(1, budget.tokens - self.reduced.reply.tokens_llm))

    @property
    def why_not(self) -> str:
        """Why the model answers after all, as a warning."""
        return (
            f"the answer could not be computed from where the places lie ("
            f"{self.measurement.sentence}), so the model gave it"
        )


def asks_of_places(plan: AnswerPlan) -> Measurable | None:
    """What a plan asks of the geometry of places; None where the model answers it.

    An extreme of a class is none of the answers to choose from, so that the model chooses.

    Raises:
        ModelError: If it has to be measured, and the focus looks for no named place.
    """
    focus = plan.search.focus
    if plan.request.measure is not None:
        if _is_blind(focus):
            raise ModelError(
                f"focus={focus!r} does not look for named places; choose attention, rfm, "
                "similarity or prompted"
            )
        return plan.request.measure
    if leaves_all_to_model(plan):
        return None
    return parse_question(plan.question) or (
        None if plan.choices else parse_superlative(plan.question)
    )


def leaves_all_to_model(plan: AnswerPlan) -> bool:
    """Whether the model answers whatever is asked.

    Ways of looking that ignore the question, or are given the place, leave all to it; so do the
    finished prompts of a benchmark.
    """
    options = plan.request.options
    is_left = options.geometry == "off" or plan.request.kind == "prompt"
    return is_left or _is_blind(plan.search.focus) or options.route == "none"


def _is_blind(focus: str) -> bool:
    """Whether a focus looks for no named place."""
    return focus in BASELINES or focus == "oracle"


def measuring_request(
    host: Host,
    question: str | Measurable,
    *,
    budget: Budget | None = None,
    tiles: int | None = None,
    tokens: int | None = None,
    focus: str | None = None,
    descent: str = DEFAULT_DESCENT,
    focus_model: str | None = None,
    region: Region | None = None,
) -> AskRequest:
    """A question that is computed, or not answered at all; see ``SceneSession.measure``.

    Raises:
        QuestionError: If the words ask for no measure.
        BudgetError: If ``budget`` is not a ``Budget``.
    """
    words = question if isinstance(question, str) else question.words
    options = AnswerOptions(focus, descent=descent, focus_model=focus_model)
    request = AskRequest(words, options=options, region=region)
    request = limited(request, host, budget, tiles, tokens)
    parsed = check_measurable(request.words()) if isinstance(question, str) else question
    return replace(request, measure=parsed)


def as_listed(request: AskRequest) -> AskRequest:
    """A row of a table as it is meant: one that begins with ``measure:`` has to be computed.

    Raises:
        QuestionError: If it begins so and asks for no measure.
    """
    words = request.question.strip()
    if not words.lower().startswith(_ROW):
        return request
    words = words[len(_ROW) :].strip()
    return replace(request, question=words, measure=check_measurable(words))


def measurement_of(answer: Answer) -> Measurement:
    """What the answer to a `measuring_request` was computed from."""
    assert answer.measurement is not None  # noqa: S101 - every such answer has it
    return answer.measurement


def unmeasured_warnings(plan: AnswerPlan) -> tuple[str, ...]:
    """A sentence about a question for a measure that is not read, so that the model answered it."""
    vague = vague_amount(plan.question)
    if leaves_all_to_model(plan) or not (vague or seems_of_places(plan.question)):
        return ()
    if parse_question(plan.question) or parse_superlative(plan.question):
        return ()
    if vague:
        return (f"nothing was measured: {_VAGUE.format(vague)}",)
    return (
        "nothing was measured: in these words the question was left to the model, which guesses "
        f"distances and sizes; ask, for example, {_EXAMPLES}",
    )


def check_measurable(words: str) -> Measurable:
    """What some words ask of the geometry of places.

    Raises:
        QuestionError: If they ask nothing of it.
    """
    parsed = parse_question(words) or parse_superlative(words)
    if parsed is None and (vague := vague_amount(words)):
        raise QuestionError(f"{words!r:.80} cannot be computed: {_VAGUE.format(vague)}")
    if parsed is None:
        raise QuestionError(
            f"{words!r:.80} is not understood as a question about where places lie or how large "
            f"they are; ask in English, for example {_EXAMPLES}"
        )
    return parsed


def measure_places(
    plan: AnswerPlan,
    question: PlaceQuestion | None,
    search: VisualSearch,
    host: Host,
    calls: EngineCalls,
    scene: Scene,
) -> Measured | None:
    """Look for the places of a question, and compute its answer.

    Args:
        plan: Its words, its budget and how to look.
        question: What it asks of the geometry of named places; None if nothing.
        search: Looks at the scene.
        host: The model.
        calls: How the model is asked.
        scene: The scene.

    Returns:
        None where nothing is asked of the geometry of named places.

    Raises:
        BudgetError: If the budget cannot hold what the focus needs.
        ModelError: If the host lacks the focus.
        SceneError: If the scene shows nothing.
    """
    if question is None:
        return None
    options: SearchOptions = replace(plan.search, route="one")
    named = ShownNames.of(host, scene, search.pyramid)
    presence = Presence(host, calls, plan.decoder_budget.tokens, named)
    locator = Locator(search.pyramid, host.grid, search.encode, presence)
    foci = [(name, search.focus_on(options, place_question(name))) for name in question.places]
    with builds_within(plan.budget.seconds):
        located = locator.locate(foci, plan.budget, search.walker(options, plan.budget))
    # what another encoder looks for need not be a word of the model
    reader = None if plan.search.focus == "similarity" else host
    places = [
        None if reader and knows_no_word(reader, name) else place
        for name, place in zip(question.places, located.places, strict=True)
    ]
    measurement = compute(question, plan.request.question, places, scene)
    doubts = _doubts(question, measurement, presence, located.looks, search.pyramid)
    descent = Descent(located.looks, "native" if located.looks[-1].level == 0 else "outlined")
    route = (
        Route("several", "it asks where named places lie")
        if len(question.places) > 1
        else Route("one", "it asks how large a place is")
    )
    result = SearchResult(descent, descent, route=route)
    check_shown(scene, result, options.region)
    generation = _generation(measurement, plan.choices)
    # a model that would notice the place cannot measure without it; why not is the answer
    is_told = plan.request.measure is None and presence.is_measured and not plan.choices
    why_not = Generation(measurement.sentence if is_told else "", ())
    spoken, asked = generation or why_not, presence.generator
    warnings = measurement.warnings if measurement.text else (measurement.sentence,)
    warnings += doubts
    reply = Reply(spoken, located.tokens, presence.tokens_llm, warnings)
    reduced = ReducedAnswer(reply, (), asked.tokens_end, tuple(asked.runs))
    is_answer = generation is not None or is_told or plan.request.measure is not None
    return Measured(measurement, result, reduced, is_answer)


def _doubts(
    question: PlaceQuestion,
    measurement: Measurement,
    presence: Presence,
    looks: Sequence[LevelLook],
    pyramid: Pyramid,
) -> tuple[str, ...]:
    """What tiles say against it: of places that were not outlined, and of outlines too large."""
    warnings = []
    for name in measurement.missing:
        if seen := presence.seen_elsewhere(name, looks):
            x, y = pyramid.box_scene(seen[0]).center
            warnings.append(_SEEN.format(name=name, likely=seen[1], x=x, y=y))
    if question.is_of_size and measurement.text:
        warnings += [
            _GROUND.format(name=place.label)
            for place in measurement.places
            if presence.is_told_by_native_tiles(place.label)
        ]
        # on finer levels a tile shows too little of a site to deny it
        finer = [look for look in looks if 0 < look.level == pyramid.base_level - 1]
        for look, place in itertools.product(finer, measurement.places):
            share = presence.denied_share(place, look.tokens)
            if share > _MOST_DENIED:
                warnings.append(_LOOKS_ALIKE.format(name=place.label, share=share))
    return tuple(warnings)


def check_shown(scene: Scene, result: SearchResult, region: Region | None) -> None:
    """Refuse a scene, or a region of it, of which nothing was seen.

    Raises:
        NothingShownError: If no look has a token.
    """
    if not any(len(look.tokens) for look in result.descent.looks):
        where = "" if region is None else " in this region"
        raise NothingShownError(
            f"{scene.path} shows no valid pixel{where}: there is nothing to look at"
        )


def _generation(measurement: Measurement, choices: tuple[str, ...]) -> Generation | None:
    """The answer as text with its probability; None where there is none among the choices."""
    if not measurement.text:
        return None
    likely = math.log(min(1.0, max(measurement.confidence, 1e-9)))
    if not choices:
        return Generation(measurement.text, (likely,))
    which = choose(measurement, choices)
    if which is None:
        return None
    if measurement.leaning is not None:
        likely = math.log(max(measurement.leaning.confidence, 1e-9))
    others = math.log(max(1 - math.exp(likely), 1e-9) / (len(choices) - 1))
    logs = [others] * len(choices)
    logs[which] = likely
    shares = torch.tensor(logs, dtype=torch.float64).log_softmax(0).tolist()
    return Generation(choices[which], (shares[which],), choices=tuple(shares))
