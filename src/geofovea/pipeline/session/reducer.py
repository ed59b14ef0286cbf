"""A chain of reductions at work for one question: what it needs, what it leaves, stage by stage."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from geofovea.errors import ModelError
from geofovea.pipeline.answers.cost import StageTokens
from geofovea.pipeline.engine.calls import DirectCalls, HostCalls
from geofovea.pipeline.engine.tile_tokens import Gathered, TileTokens
from geofovea.pipeline.focus.stopping import ConfidentStop
from geofovea.pipeline.focus.visual_search import Found
from geofovea.pipeline.hosts.base import (
    Capabilities,
    Host,
    Speaker,
    SupportsEncoderSignals,
    SupportsImages,
)
from geofovea.pipeline.hosts.flops import DecoderPass
from geofovea.pipeline.inference.decoder.choice_scoring import WithChoices
from geofovea.pipeline.inference.decoder.inputs import Prompt
from geofovea.pipeline.inference.decoder.outputs import Generation
from geofovea.pipeline.inference.vision.inputs import EncodePlan
from geofovea.pipeline.session.answering import Said, answer_from
from geofovea.regionfocus.budget import Budget
from geofovea.regionfocus.reductions.chain import Chain
from geofovea.regionfocus.reductions.chain_spec import ENCODER_LINKS
from geofovea.regionfocus.reductions.context import TokenContext
from geofovea.regionfocus.reductions.tile_signals import TILE_SIGNALS
from geofovea.regionfocus.search.looks import LevelLook
from geofovea.regionfocus.selection.informed import Informed
from geofovea.regionfocus.strategies import DECODER_REDUCTION_NAMES
from geofovea.regionfocus.tokens import TokenSet
from geofovea.tiling.pyramid import Pyramid, Tile

__all__ = ["ReducedAnswer", "Reducer", "plan_encoding"]

_OF_TEXT = frozenset({"text_embeds", "text_similarity"})


@dataclass(frozen=True, slots=True, eq=False)
class ReducedAnswer:
    """An answer, and what was left of the tokens on the way to it.

    Attributes:
        said: What was answered, and from what.
        stages: Tokens before and after each link of the chain.
        tokens_end: Vision tokens in the last layer of the decoder.
        runs: Of the decoder, those of probes and of single places included.
    """

    said: Said
    stages: tuple[StageTokens, ...]
    tokens_end: int
    runs: tuple[DecoderPass, ...]


@dataclass(slots=True, eq=False)
class _ReducingHost:
    """A host whose answers go through a reduction inside the decoder, and are counted."""

    host: Host
    calls: HostCalls
    chain: Chain
    tokens_end: int = 0
    seconds: float = 0.0
    runs: list[DecoderPass] = field(default_factory=list)
    name: str = field(init=False)
    tile_size: int = field(init=False)
    grid: tuple[int, int] = field(init=False)
    default_budget: Budget = field(init=False)
    capabilities: Capabilities = field(init=False)

    def __post_init__(self) -> None:
        self.name, self.tile_size = self.host.name, self.host.tile_size
        self.grid, self.default_budget = self.host.grid, self.host.default_budget
        self.capabilities = self.host.capabilities

    def encode(self, pixels: NDArray[np.uint8], tiles: Sequence[Tile], pyramid: Pyramid) -> Tensor:
        """See ``Host``."""
        return self.host.encode(pixels, tiles, pyramid)

    def scores(self, question: str, tokens: TokenSet) -> Tensor:
        """See ``Host``."""
        return self.host.scores(question, tokens)

    def generate(
        self, question: str, tokens: TokenSet | None, choices: Sequence[str] = ()
    ) -> Generation:
        """See ``Host``."""
        started = time.perf_counter()
        generation = self.calls.generate(
            Prompt(question, tokens, tuple(choices), self.chain.decoder)
        )
        self.seconds += time.perf_counter() - started
        shown = 0 if tokens is None else len(tokens)
        said = len(generation.log_probabilities)
        by_layer = generation.tokens_by_layer
        self.runs.append(DecoderPass(shown, generation.text_tokens, said, by_layer))
        self.tokens_end += generation.tokens_by_layer[-1] if generation.tokens_by_layer else shown
        return generation

    def unknown_words(self, question: str) -> list[str]:
        """See ``Host``."""
        return self.host.unknown_words(question)


class Reducer:
    """Carries out a chain for one question.

    Attributes:
        host: The model; its answers go through the chain's reduction inside the decoder.
        informed: The chain's reduction of projected tokens, told of what the host showed.
    """

    def __init__(
        self,
        host: Host,
        chain: Chain,
        question: str,
        tiles: TileTokens,
        gathered: Gathered,
        choices: tuple[str, ...] = (),
        calls: HostCalls | None = None,
    ) -> None:
        """Join what the chain needs; ``gathered`` has a plan that holds the chain's.

        Raises:
            ModelError: If the host does not show or cannot do what the chain needs.
        """
        self._chain, self._gathered = chain, gathered
        self._wanted = chain.fields_wanted(host.capabilities.signals)
        embeds: list[Tensor] = []
        reads_text = bool(self._wanted & _OF_TEXT) and isinstance(host, SupportsEncoderSignals)

        def context_of(look: LevelLook) -> TokenContext:
            if reads_text and not embeds:
                embeds.append(host.question_embeds(question))  # type: ignore[attr-defined]
            return tiles.context(look.tokens, look.scores, gathered, embeds[0] if embeds else None)

        self._image_tokens = host.image_tokens if isinstance(host, SupportsImages) else None
        self._counted = _ReducingHost(host, calls or DirectCalls(host, tiles), chain)
        self.host: Speaker = WithChoices(self._counted, choices) if choices else self._counted
        self.informed = Informed(chain.projected, context_of)

    @property
    def decoder_seconds(self) -> float:
        """Time spent in the decoder so far."""
        return self._counted.seconds

    def answer(
        self, question: str, found: Found, budget: Budget, sure: ConfidentStop | None = None
    ) -> ReducedAnswer:
        """Reduce what was found, and answer from what is left.

        Args:
            question: As it goes into the prompt.
            found: What was looked at, and what of it may be shown.
            budget: Its tokens are the most that may enter the decoder.
            sure: What asked on the way.

        Raises:
            BudgetError: If a method cannot hold so many tokens at a time.
            ModelError: If the context lacks what the method needs.
        """
        chain, shown = self._chain, sum(len(look.tokens) for look in found.shown.looks)
        if chain.projected_share is not None:
            most = max(1, math.floor(chain.projected_share * shown + 0.5))
            budget = replace(budget, tokens=min(budget.tokens, most))
        said = answer_from(
            self.host, question, found, budget, self.informed, sure, self._image_tokens
        )
        said = replace(said, warnings=(*said.warnings, *self._warnings()))
        entered, end = said.tokens_llm, self._counted.tokens_end
        stages = [StageTokens(chain.projected_name, "projected", shown, entered)]
        if chain.encoder is not None:
            patches = self._gathered.patches
            stages.insert(0, StageTokens(chain.encoder.name, "encoder_layer", *patches))
        if chain.decoder is not None:
            stages.append(StageTokens(chain.decoder.name, "decoder_layer", entered, end))
        return ReducedAnswer(said, tuple(stages), end, tuple(self._counted.runs))

    def _warnings(self) -> tuple[str, ...]:
        if "text_similarity" in self._wanted:
            return (
                f"{self._counted.name} has no contrastive encoder of texts: tokens were compared "
                "with the question among the embeddings of its decoder",
            )
        return ()


def plan_encoding(host: Host, chains: Sequence[Chain]) -> EncodePlan:
    """How tiles have to be encoded so that each of some chains can answer from them.

    Raises:
        ModelError: If the host does not show or cannot do what a chain needs, or the chains need
            different encoders.
    """
    signals: frozenset[str] = frozenset()
    for chain in chains:
        _check_stages(host, chain)
        wanted = chain.fields_wanted(host.capabilities.signals)
        if chain.encoder is not None:
            _check_blind(chain, wanted)
            wanted = frozenset()
        signals |= wanted & TILE_SIGNALS
    encoders = {(chain.encoder, chain.encoder_share) for chain in chains if chain.encoder}
    if len(encoders) > 1 or (encoders and any(chain.encoder is None for chain in chains)):
        raise ModelError("tiles that were encoded in one way cannot answer for another; ask anew")
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


def _check_blind(chain: Chain, wanted: frozenset[str]) -> None:
    """An encoder that drops patches shows nothing of them to the projected reduction."""
    assert chain.encoder is not None  # noqa: S101 - only asked then
    try:
        chain.fields_wanted(wanted - TILE_SIGNALS)
    except ModelError as error:
        raise ModelError(
            f"{chain.projected_name} reads {', '.join(sorted(wanted & TILE_SIGNALS))} of an "
            f"encoder in which {chain.encoder.name} drops tokens; combine it with a reduction that "
            "reads features and scores only, such as focus_spread, strided, divprune or m3"
        ) from error
