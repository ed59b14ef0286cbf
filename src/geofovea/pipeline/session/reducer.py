"""A chain of reductions at work for one question: what it needs, what it leaves, stage by stage."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from geofovea.pipeline.answers.cost import StageTokens
from geofovea.pipeline.engine.accounting import QuestionUsage
from geofovea.pipeline.engine.calls import DirectCalls, EngineCalls
from geofovea.pipeline.engine.metered_generator import MeteredGenerator
from geofovea.pipeline.engine.tile_tokens import TileTokens
from geofovea.pipeline.focus.stopping import ConfidentStop, StopAt
from geofovea.pipeline.focus.visual_search import SearchResult
from geofovea.pipeline.hosts.base import Host, SupportsEncoderSignals, SupportsImages
from geofovea.pipeline.hosts.flops import DecoderPass
from geofovea.pipeline.session.answering import Reply, answer_from
from geofovea.regionfocus.budget import Budget
from geofovea.regionfocus.layer_plans.base import LayerMethod
from geofovea.regionfocus.reductions.chain import Chain
from geofovea.regionfocus.reductions.context import TokenContext
from geofovea.regionfocus.search.looks import LevelLook
from geofovea.regionfocus.selection.without_finest import without_finest
from geofovea.regionfocus.tokens import TokenSet

__all__ = ["ReducedAnswer", "Reducer"]

_OF_TEXT = frozenset({"text_embeds", "text_similarity"})


@dataclass(frozen=True, slots=True, eq=False)
class ReducedAnswer:
    """An answer, and what was left of the tokens on the way to it.

    Attributes:
        reply: What was answered, and from what.
        stages: Tokens before and after each link of the chain.
        tokens_end: Vision tokens in the last layer of the decoder.
        runs: Of the decoder, those of probes and of single places included.
        vision_layers: See `MeteredGenerator`; None where no work was skipped.
        tokens_beside: See `MeteredGenerator`.
        window: Tokens of a further window off the grid that was read; None where none was.
    """

    reply: Reply
    stages: tuple[StageTokens, ...]
    tokens_end: int
    runs: tuple[DecoderPass, ...]
    vision_layers: int | None = None
    tokens_beside: int = 0
    window: TokenSet | None = None


class Reducer:
    """Carries out a chain for one question.

    Attributes:
        tiles: Of the scene.
        generator: Answers through the chain's reduction inside the decoder.
        selection_seconds: Time of the choice on projected tokens.
    """

    def __init__(
        self,
        host: Host,
        chain: Chain,
        question: str,
        tiles: TileTokens,
        usage: QuestionUsage,
        choices: tuple[str, ...] = (),
        calls: EngineCalls | None = None,
        skip: LayerMethod | None = None,
        decoder: Any = None,
        *,
        resamples: bool = False,
    ) -> None:
        """Join what the chain needs; the encoding of ``usage`` holds what the chain reads.

        Where the chain resamples, the model's own decoder reads what stays whole.

        Raises:
            ModelError: If the host does not show or cannot do what the chain needs.
        """
        self._host, self.tiles, self._usage = host, tiles, usage
        self._chain, self._question = chain, question
        self._signal_fields = chain.fields_wanted(host.capabilities.signals)
        self._resamples = resamples
        self._text_embeds: Tensor | None = None
        self._probe: ConfidentStop | None = None
        self._has_no_finest = False
        self.generator = MeteredGenerator(
            calls or DirectCalls(host, tiles),
            chain.decoder,
            choices,
            skip=skip,
            decoder=decoder,
            is_whole=self._is_whole,
        )
        self.selection_seconds = 0.0

    @property
    def decoder_seconds(self) -> float:
        """Time spent in the decoder so far."""
        return self.generator.seconds

    def probe(self, stop: StopAt, budget: Budget) -> ConfidentStop | None:
        """What asks the model on the way, where ``stop`` wants it and the tokens allow it.

        The answer counts what it spends, and is its answer if that is sure enough.
        """
        self._probe = stop.confident(
            self.generator,
            self._question,
            budget,
            self._chain.projected,
            self._context_of,
            self._host.capabilities.confidence_temperature,
        )
        return self._probe

    def answer(self, result: SearchResult, budget: Budget) -> ReducedAnswer:
        """Reduce what the search gave, and answer from the tokens that survive.

        Args:
            result: What was looked at, and what of it may reach the decoder.
            budget: Its tokens are the most that may enter the decoder.

        Raises:
            BudgetError: If a method cannot hold so many tokens at a time.
            ModelError: If the context lacks what the method needs.
        """
        result = self._beside(result)
        chain, tokens_in = self._chain, sum(len(look.tokens) for look in result.relevant.looks)
        if chain.projected_share is not None:
            most = max(1, math.floor(chain.projected_share * tokens_in + 0.5))
            # what was asked on the way is paid from the budget, not from the share
            spent = self._probe.spent if self._probe else 0
            budget = replace(budget, tokens=min(budget.tokens, spent + most))
        with self._usage.clock.stage("answer"):
            reply = self._reply(result, budget)
        reply = replace(reply, warnings=(*reply.warnings, *self._warnings()))
        stages = self._stages(tokens_in, reply.tokens_llm)
        end, runs = self.generator.tokens_end, tuple(self.generator.runs)
        ran = None if self.generator.skip is None else self.generator.vision_layers
        return ReducedAnswer(reply, stages, end, runs, ran, self.generator.tokens_beside)

    def _context_of(self, look: LevelLook) -> TokenContext:
        """What a reduction may know of the tokens of a look."""
        context = self.tiles.context(look.tokens, look.scores, self._usage, self._embeds())
        if self.generator.decoder is None or context.cells is not None:
            return context
        place, columns = self.tiles.cells_of(look.tokens), self._host.grid[1]
        return replace(context, cells=torch.stack([place // columns, place % columns], 1))

    def _embeds(self) -> Tensor | None:
        """Embeddings of the question's words, made once; None where no link reads them."""
        if not self._signal_fields & _OF_TEXT or not isinstance(self._host, SupportsEncoderSignals):
            return None
        if self._text_embeds is None:
            self._text_embeds = self._host.question_embeds(self._question)
        return self._text_embeds

    def _is_whole(self, tokens: TokenSet) -> bool:
        """Whether a resampler left every token, so that the model's own decoder reads them."""
        if not self._resamples:
            return False
        entries = [self._usage.entries[tile] for tile in tokens.tiles]
        return len(tokens) == sum(int(entry.valid.sum()) for entry in entries)

    def _beside(self, result: SearchResult) -> SearchResult:
        """The same without the level that enters layers beside the sequence, if one does."""
        method = self.generator.skip
        if method is None or not method.takes_finest:
            return result
        parts = without_finest(result.relevant, result.descent, result.places)
        if parts.fine is not None:
            self.generator.skip = method.beside(parts.fine)
        else:
            self._has_no_finest = True
        return replace(result, relevant=parts.relevant, places=parts.places)

    def _reply(self, result: SearchResult, budget: Budget) -> Reply:
        started, before = time.perf_counter(), self.generator.seconds
        reply = answer_from(
            self.generator,
            self._question,
            result,
            budget,
            self._chain.projected,
            self._probe,
            self._host.image_tokens if isinstance(self._host, SupportsImages) else None,
            self._context_of,
        )
        in_decoder = self.generator.seconds - before
        self.selection_seconds += time.perf_counter() - started - in_decoder
        return reply

    def _stages(self, tokens_in: int, entered: int) -> tuple[StageTokens, ...]:
        chain = self._chain
        stages = [StageTokens(chain.projected_name, "projected", tokens_in, entered)]
        if chain.encoder is not None:
            patches = self._usage.patches
            stages.insert(0, StageTokens(chain.encoder.name, "encoder_layer", *patches))
        if chain.decoder is not None:
            end = self.generator.tokens_end
            stages.append(StageTokens(chain.decoder.name, "decoder_layer", entered, end))
        return tuple(stages)

    def _warnings(self) -> tuple[str, ...]:
        warnings = []
        if self._has_no_finest and self.generator.skip is not None:
            warnings.append(
                f"{self.generator.skip.name} added nothing: what was looked at has one level, and "
                "it adds a finer one to a coarser one"
            )
        if "text_similarity" in self._signal_fields:
            warnings.append(
                f"{self._host.name} has no contrastive encoder of texts: tokens were compared "
                "with the question among the embeddings of its decoder"
            )
        return tuple(warnings)
