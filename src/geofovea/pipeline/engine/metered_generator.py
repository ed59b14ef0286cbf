"""Answers of one question, through one reduction inside the decoder, counted as they are given."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from geofovea.pipeline.engine.calls import EngineCalls
from geofovea.pipeline.hosts.flops import DecoderPass, ShownTokens
from geofovea.pipeline.inference.decoder.inputs import Prompt
from geofovea.pipeline.inference.decoder.outputs import Generation
from geofovea.regionfocus.dated_tokens import DatedTokens
from geofovea.regionfocus.layer_plans.base import LayerMethod
from geofovea.regionfocus.reductions.decoder.base import DecoderReduction
from geofovea.regionfocus.tokens import TokenSet

__all__ = ["MeteredGenerator", "pass_of"]


@dataclass(slots=True, eq=False)
class MeteredGenerator:
    """Asks the host for the answers of one question, and counts what they take.

    Attributes:
        calls: How the host is asked.
        reduction: What drops tokens between the layers of the decoder; None drops none.
        skip: What vision tokens do inside its layers; None what they always do.
        choices: Answers to choose from, whatever is asked; empty where no choices are given.
        tokens_end: Vision tokens that were left in the last layer, of all runs.
        seconds: Time spent in the decoder.
        runs: Of the decoder, in their order.
        vision_layers: Vision tokens of which a layer computed more than keys and values, summed
            over layers and runs; counted where work is skipped.
        decoder: What answers in place of the model's own; None where that does.
        is_whole: Whether the model's own decoder reads tokens all the same: a resampler left all.
        tokens_beside: Those that entered layers without a place in a sequence, of all runs.
    """

    calls: EngineCalls
    reduction: DecoderReduction | None = None
    choices: tuple[str, ...] = ()
    tokens_end: int = 0
    seconds: float = 0.0
    runs: list[DecoderPass] = field(default_factory=list)
    skip: LayerMethod | None = None
    vision_layers: int = 0
    decoder: Any = None
    is_whole: Callable[[TokenSet], bool] = bool
    tokens_beside: int = 0

    def generate(
        self,
        question: str,
        tokens: TokenSet | DatedTokens | None,
        *,
        is_off_grid: bool = False,
    ) -> Generation:
        """See ``Host.generate``, and ``Prompt``; with choices, the likeliest of them."""
        started = time.perf_counter()
        decoder = self.decoder
        if decoder is not None and (not isinstance(tokens, TokenSet) or self.is_whole(tokens)):
            decoder = None
        how = (self.choices, self.reduction, self.skip, decoder)
        prompt = Prompt(question, tokens, *how, is_off_grid=is_off_grid)
        generation = self.calls.generate(prompt)
        self.seconds += time.perf_counter() - started
        run = pass_of(generation, tokens)
        self.runs.append(run)
        by_layer, work = generation.tokens_by_layer, generation.layer_work
        self.tokens_end += by_layer[-1] if by_layer else run.vision_tokens
        self.vision_layers += sum(max(layer.attended, layer.fed) for layer in work)
        self.tokens_beside += generation.tokens_beside
        return generation


def pass_of(generation: Generation, tokens: TokenSet | DatedTokens | None) -> DecoderPass:
    """The run of the decoder that an answer to some vision tokens took; None shows no picture."""
    shown = ShownTokens.of(tokens)
    return DecoderPass(
        shown.count,
        generation.text_tokens,
        len(generation.log_probabilities),
        generation.tokens_by_layer,
        generation.thought_tokens,
        generation.layer_work,
        generation.is_from_memory,
        shown.tile_pairs,
    )
