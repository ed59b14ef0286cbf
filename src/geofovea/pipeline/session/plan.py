"""How one question will be answered: settled, or refused, before a tile is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from geofovea.errors import ModelError
from geofovea.pipeline.engine.accounting import QuestionUsage
from geofovea.pipeline.engine.calls import EngineCalls
from geofovea.pipeline.engine.scene_memory import check_answers_from_memory
from geofovea.pipeline.engine.tile_tokens import TileTokens
from geofovea.pipeline.focus.factory import default_focus, focus_model_of
from geofovea.pipeline.focus.stopping import ConfidentStop, StopAt
from geofovea.pipeline.focus.visual_search import BASELINES, SearchOptions
from geofovea.pipeline.hosts.base import Host, SupportsContextRoom, SupportsImages
from geofovea.pipeline.hosts.learned.trained_parts import (
    depth_of,
    layer_method,
    resampling,
    stack_reader,
)
from geofovea.pipeline.index.scene_index import SceneIndex
from geofovea.pipeline.inference.vision.inputs import EncodePlan
from geofovea.pipeline.session.options import AnswerOptions
from geofovea.pipeline.session.published import PublishedAnswerPlan, plan_published_answer
from geofovea.pipeline.session.reducer import Reducer
from geofovea.pipeline.session.request import AskRequest, checked_choices
from geofovea.regionfocus.budget import Budget
from geofovea.regionfocus.layer_plans.base import LayerMethod
from geofovea.regionfocus.reductions.chain import Chain, make_chain
from geofovea.regionfocus.reductions.chain_spec import ENCODER_LINKS
from geofovea.regionfocus.reductions.registry import DECODER_REDUCTION_NAMES
from geofovea.regionfocus.reductions.tile_signals import TILE_SIGNALS
from geofovea.regionfocus.resamplers.registry import parse_resampler
from geofovea.regionfocus.strategies import DEFAULT_DESCENT, DEFAULT_REDUCTION

__all__ = [
    "AnswerPlan",
    "check_options",
    "check_search_is_meant",
    "fitting_budget",
    "plan_answer",
    "plan_encoding",
]

_ANY_QUESTION = "Is there a road?"


@dataclass(frozen=True, slots=True, eq=False)
class AnswerPlan:
    """How one question will be answered.

    Attributes:
        request: What is asked.
        question: In the words of the model.
        choices: Answers to choose from.
        budget: What may be spent.
        decoder_budget: The same with no more tokens than fit the context of the host.
        search: How to look, without what ends it early; see ``search_with``.
        chain: What drops tokens.
        encoding: How tiles have to be encoded for that.
        warnings: What a careful reader of the answer should know of the plan.
        skip: What vision tokens do inside the layers of the decoder; None what they always do.
        decoder: What answers in place of the model's own; None where that does.
    """

    request: AskRequest
    question: str
    choices: tuple[str, ...]
    budget: Budget
    decoder_budget: Budget
    search: SearchOptions
    chain: Chain
    encoding: EncodePlan
    warnings: tuple[str, ...] = ()
    skip: LayerMethod | None = None
    decoder: Any = None

    @property
    def stop(self) -> StopAt:
        """When to end a descent before its tiles are spent."""
        return self.request.options.stop or StopAt()

    def reducer(
        self, host: Host, tiles: TileTokens, usage: QuestionUsage, calls: EngineCalls
    ) -> Reducer:
        """What carries it out for one question."""
        return Reducer(
            host,
            self.chain,
            self.question,
            tiles,
            usage,
            self.choices,
            calls,
            self.skip,
            self.decoder,
            resamples=self.request.options.resampler is not None,
        )

    def search_with(self, probe: ConfidentStop | None) -> SearchOptions:
        """How to look, where ``probe`` may ask the model on the way."""
        return replace(self.search, stop=self.stop.rules(probe))


def plan_answer(
    host: Host, request: AskRequest, index: SceneIndex | None = None, *, has_memory: bool = False
) -> AnswerPlan | PublishedAnswerPlan:
    """Settle how a question will be answered.

    Args:
        host: The model.
        request: What is asked.
        index: What an index knows of the scene, if there is one.
        has_memory: Whether it is answered out of a scene memory.

    Raises:
        QuestionError: If the question is empty or too long, or the choices cannot be meant.
        ModelError: If a method does not exist, or does not fit the host or another method.
        GeometryError: If an oracle is given no box.
    """
    question, choices = request.words(), checked_choices(request.choices)
    budget = request.budget or host.default_budget
    is_published = request.options.descent == "published"
    if choices and (is_published or not host.capabilities.choices):
        raise ModelError(
            f"{host.name} cannot score choices in this descent: list them in the question"
        )
    if is_published and request.measure is not None:
        raise ModelError("descent='published' looks for no named place; choose another descent")
    if is_published:
        return plan_published_answer(host, request, question, budget)
    _check_for_pictures(host, request)
    chain, decoder = _chain(host, request)
    encoding = plan_encoding(host, [chain])
    skip = plan_skip(host, request.options.skip, chain)
    decoder = stack_reader(host, skip) if decoder is None else decoder
    if has_memory:
        check_answers_from_memory(chain.decoder, skip, decoder, chain.encoder_name, chain.projected)
    fitting, warnings = fitting_budget(host, question, budget, choices)
    lost = None if skip is None else skip.shortfall(depth_of(host))
    search = _search_options(host, request, index)
    search.check(host)
    return AnswerPlan(
        request,
        question,
        choices,
        budget,
        fitting,
        search,
        chain,
        encoding,
        warnings if lost is None else (*warnings, lost),
        skip,
        decoder,
    )


def check_options(
    host: Host, options: AnswerOptions, index: SceneIndex | None = None, *, has_memory: bool = False
) -> None:
    """Refuse options that no question can be answered with, before there is one.

    Args:
        host: The model.
        options: How all questions will be answered.
        index: See `plan_answer`.
        has_memory: Likewise.

    Raises:
        GeoFoveaError: As `plan_answer`.
    """
    plan_answer(host, AskRequest(_ANY_QUESTION, None, options), index, has_memory=has_memory)


def _chain(host: Host, request: AskRequest) -> tuple[Chain, Any]:
    """What drops tokens, and what reads what is left in place of the model's own decoder."""
    options = request.options
    chain = make_chain(options.reduction)
    if options.resampler is None:
        return chain, None
    # a name that means nothing is refused as such, whatever stands beside it
    parse_resampler(options.resampler)
    if options.reduction != DEFAULT_REDUCTION:
        raise ModelError(
            f"resampler={options.resampler!r} makes the tokens of an answer, and "
            f"reduction={options.reduction!r} would choose them; leave out one of them"
        )
    if options.skip is not None:
        raise ModelError(
            f"skip={options.skip!r} plans layers of the model's own decoder, and "
            f"resampler={options.resampler!r} has another; leave out one of them"
        )
    part = resampling(host, options.resampler)
    return replace(chain, projected=part.tiles, projected_name=part.tiles.name), part.decoder


def plan_skip(host: Host, text: str | None, chain: Chain) -> LayerMethod | None:
    """What vision tokens do inside the layers of the decoder.

    Args:
        host: The model.
        text: See ``layer_method``; None for what they always do.
        chain: What drops tokens.

    Raises:
        ModelError: If there is no such method, or it does not fit the host or the chain.
    """
    if text is None:
        return None
    if not host.capabilities.layer_plans:
        raise ModelError(
            f"{host.name} cannot skip work inside the layers of its decoder; leave out skip=, or "
            "choose a model in this process whose decoder is of LLaMA's, Mistral's, Qwen2's or "
            "Qwen3's kind, without experts"
        )
    method = layer_method(host, text)
    if chain.decoder is not None:
        raise ModelError(
            f"skip={text!r} does not go with {chain.decoder.name!r}, which drops tokens between "
            "the layers it plans; leave out one of them"
        )
    return method


def _search_options(host: Host, request: AskRequest, index: SceneIndex | None) -> SearchOptions:
    options = request.options
    focus = options.focus or default_focus(host, index)
    check_search_is_meant(focus, options)
    return SearchOptions(
        focus,
        options.descent,
        options.route,
        concentrated=request.concentrated,
        focus_model=focus_model_of(focus, options.focus_model, index),
        boxes=request.boxes,
        region=request.region,
    )


def check_search_is_meant(focus: str, options: AnswerOptions) -> None:
    """Refuse what is about a search, for a way of looking that has none.

    Args:
        focus: How it is looked.
        options: Of the question.

    Raises:
        ModelError: If something of a search was chosen, and there is none.
    """
    if focus not in BASELINES:
        return
    chosen = [
        f"{name}={value!r}"
        for name, value, usual in (
            ("descent", options.descent, DEFAULT_DESCENT),
            ("route", options.route, "auto"),
        )
        if value != usual
    ]
    if options.stop not in (None, StopAt()):
        chosen.append("what stops a search")
    if chosen:
        raise ModelError(
            f"focus={focus!r} looks at the same tiles whatever is asked; leave out "
            f"{' and '.join(chosen)}, or choose another focus"
        )


def _check_for_pictures(host: Host, request: AskRequest) -> None:
    """Refuse what needs single tokens, for a host that takes whole tiles."""
    if not isinstance(host, SupportsImages):
        return
    reduction, stop = request.options.reduction, request.options.stop
    if reduction != DEFAULT_REDUCTION:
        raise ModelError(
            f"{host.name} gets whole tiles as pictures, of which no token can be dropped by "
            f"{reduction!r}; leave out reduction="
        )
    if stop is not None and stop.confidence is not None:
        raise ModelError(
            f"{host.name} gets whole tiles as pictures and cannot be asked on the way; leave out "
            "the confidence at which to stop"
        )


def fitting_budget(
    host: Host, question: str, budget: Budget, choices: Sequence[str] = ()
) -> tuple[Budget, tuple[str, ...]]:
    """The budget with no more tokens than fit, and a warning if they are fewer than asked for.

    The question is never cut.

    Raises:
        ModelError: If the question and what belongs to it leave no room at all.
    """
    if not isinstance(host, SupportsContextRoom):
        return budget, ()
    room = host.room(question, budget.tiles, choices)
    if room >= budget.tokens:
        return budget, ()
    context = host.capabilities.context
    if room < 1:
        raise ModelError(
            f"the question and the words around {budget.tiles} tiles fill the context of "
            f"{host.name} ({context} tokens): ask in fewer words, or set a smaller tile budget"
        )
    return replace(budget, tokens=room), (
        f"the token budget was cut from {budget.tokens} to {room}: more does not fit the context "
        f"of {host.name} ({context} tokens)",
    )


def plan_encoding(host: Host, chains: Sequence[Chain]) -> EncodePlan:
    """How tiles have to be encoded so that each of some chains can answer from them.

    Raises:
        ModelError: If the host does not show or cannot do what a chain needs, or the chains need
            different encoders.
    """
    signals: frozenset[str] = frozenset()
    for chain in chains:
        _check_stages(host, chain)
        fields = chain.fields_wanted(host.capabilities.signals)
        if chain.encoder is not None:
            _check_blind(chain, fields)
            fields = frozenset()
        signals |= fields & TILE_SIGNALS
    encoders = {(chain.encoder, chain.encoder_share) for chain in chains if chain.encoder}
    if len(encoders) > 1 or (encoders and any(chain.encoder is None for chain in chains)):
        raise ModelError("tiles that were encoded in one way cannot answer for another; ask again")
    for encoder, share in encoders:
        return EncodePlan(reduction=encoder, share=share)
    return EncodePlan(signals)


def _check_stages(host: Host, chain: Chain) -> None:
    can = host.capabilities.stages
    if chain.decoder is not None and "decoder_layer" not in can:
        raise ModelError(
            f"{host.name} cannot drop tokens inside its decoder, as {chain.decoder.name!r} and the "
            f"others of {', '.join(DECODER_REDUCTION_NAMES)} do; choose a reduction on projected "
            "tokens, such as focus_spread or divprune"
        )
    if chain.encoder is not None and "encoder_layer" not in can:
        raise ModelError(
            f"{host.name} cannot drop tokens inside its vision encoder, as the reductions "
            f"{', '.join(ENCODER_LINKS)} do; choose one on projected tokens, such as "
            "focus_spread or divprune"
        )


def _check_blind(chain: Chain, fields: frozenset[str]) -> None:
    """An encoder that drops patches shows nothing of them to the projected reduction."""
    assert chain.encoder is not None  # noqa: S101 - only asked then
    try:
        chain.fields_wanted(fields - TILE_SIGNALS)
    except ModelError as error:
        raise ModelError(
            f"{chain.projected_name} reads {', '.join(sorted(fields & TILE_SIGNALS))} of an "
            f"encoder in which {chain.encoder_name} drops tokens; combine it with a reduction that "
            "reads features and scores only, such as focus_spread, strided, divprune or m3"
        ) from error
