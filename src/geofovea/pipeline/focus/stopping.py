"""When a descent ends before its tiles are spent: nothing stands out, or the answer is sure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from geofovea._arguments import is_number, shown
from geofovea.errors import BudgetError
from geofovea.pipeline.answers.confidence import confidence_of
from geofovea.pipeline.hosts.base import Speaker
from geofovea.pipeline.inference.decoder.outputs import Generation
from geofovea.regionfocus.budget import Budget
from geofovea.regionfocus.reductions.base import Reduction
from geofovea.regionfocus.search.looks import Descent, LevelLook
from geofovea.regionfocus.search.stopping import FlatStop, StopRule
from geofovea.regionfocus.selection.kept_tokens import ContextOf, keep_tokens, plain_context
from geofovea.regionfocus.tokens import TokenSet

__all__ = ["ConfidentStop", "StopAt"]

_PROBES = 3


@dataclass(frozen=True, slots=True)
class StopAt:
    """When to end a descent early; a rule that is None never ends it.

    Attributes:
        flatness: End where the best candidate is less than ``1 + flatness`` times the mean.
        confidence: End where the model, asked on the way, is at least this sure, in (0, 1].

    Raises:
        BudgetError: If a limit is out of its range.
    """

    flatness: float | None = None
    confidence: float | None = None

    def __post_init__(self) -> None:
        if self.flatness is not None:
            FlatStop(self.flatness)
        confidence = self.confidence
        if confidence is not None and not (is_number(confidence) and 0 < confidence <= 1):
            raise BudgetError(f"a stop needs a confidence in (0, 1], got {shown(confidence)}")

    def confident(
        self,
        host: Speaker,
        question: str,
        budget: Budget,
        reduction: Reduction,
        context_of: ContextOf = plain_context,
        temperature: float = 1.0,
    ) -> ConfidentStop | None:
        """The rule that asks on the way, where one was wanted and the tokens allow it."""
        if self.confidence is None or budget.tokens < 2 * _PROBES:
            return None
        return ConfidentStop(
            host, question, self.confidence, budget.tokens // 2, reduction, context_of, temperature
        )

    def rules(self, confident: ConfidentStop | None) -> tuple[StopRule, ...]:
        """The rules in the order of their cost."""
        flat = () if self.flatness is None else (FlatStop(self.flatness),)
        return (*flat, confident) if confident else flat


@dataclass(slots=True)
class ConfidentStop:
    """Asks the model on the way and ends the descent once it is sure.

    The tokens of a probe reach the decoder and are paid from the token budget: at most half of it,
    a sixth each, for the first looks; the rest is left for the answer.

    Attributes:
        host: The model.
        question: What is asked.
        threshold: The least confidence that ends the descent.
        budget_tokens: Tokens for all probes together.
        reduction: Chooses the tokens of a probe.
        context_of: What the reduction may know of the tokens of a look.
        temperature: Of the model's confidence; see `confidence_of`.
        spent: Tokens that probes have shown.
        generation: The answer that was sure enough.
        tokens: What it was read from.
    """

    host: Speaker
    question: str
    threshold: float
    budget_tokens: int
    reduction: Reduction
    context_of: ContextOf = plain_context
    temperature: float = 1.0
    spent: int = 0
    generation: Generation | None = None
    tokens: TokenSet | None = None

    def reason(
        self,
        candidate_scores: Tensor,  # noqa: ARG002
        looks: Sequence[LevelLook] = (),
    ) -> str | None:
        """``"confident"`` when the model is; see ``StopRule``."""
        share = self.budget_tokens // _PROBES
        # what the last probe leaves over is too little to be sure of anything
        if not 1 <= share <= self.budget_tokens - self.spent or not looks:
            return None
        tokens, _ = keep_tokens(
            Descent(tuple(looks), "probed"), share, self.reduction, context_of=self.context_of
        )
        generation = self.host.generate(self.question, tokens)
        self.spent += len(tokens)
        if confidence_of(generation.log_probabilities, self.temperature) < self.threshold:
            return None
        self.generation, self.tokens = generation, tokens
        return "confident"
