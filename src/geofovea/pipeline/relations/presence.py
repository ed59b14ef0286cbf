"""Whether a place that was found shows what it was looked for.

A model that can score choices is asked. The demo model was never taught that question; of it, and
of a model that gives no probabilities, the share of the focus that falls on the place is all there
is: a name that the scene does not show scatters it. How small a share that leaves is measured for
some models (``PresenceWords.share``).
"""

from __future__ import annotations

import torch

from geofovea.pipeline.engine.calls import EngineCalls
from geofovea.pipeline.engine.metered_generator import MeteredGenerator
from geofovea.pipeline.hosts.base import Host, SupportsPresence
from geofovea.pipeline.inference.prompts.presence import PresenceWords
from geofovea.regionfocus.tokens import TokenSet

__all__ = ["Presence"]

_LEAST = 0.5


class Presence:
    """Scores the regions of one question.

    Attributes:
        is_asked: Whether the model is asked.
        tokens_llm: Vision tokens that reached the decoder so far.
        generator: Asks the model, and counts what that takes.
    """

    def __init__(self, host: Host, calls: EngineCalls, tokens: int) -> None:
        """Keep what is asked.

        Args:
            host: The model.
            calls: How it is asked.
            tokens: Most vision tokens for all regions of the question together.
        """
        can = host.capabilities
        self.is_asked = can.choices and can.domain == "general"
        self._words = host.presence if isinstance(host, SupportsPresence) else PresenceWords()
        self.generator = MeteredGenerator(calls, choices=self._words.answers)
        self._most = tokens
        self.tokens_llm = 0

    def score(self, name: str, region: TokenSet, share: float) -> float:
        """How likely a region shows what a name calls, in [0, 1].

        Args:
            name: What was looked for.
            region: The tokens of the region.
            share: The share of the focus that falls on it.
        """
        count = min(len(region), self._most - self.tokens_llm)
        if not self.is_asked or count < 1:
            return share
        chosen = torch.linspace(0, len(region) - 1, count).round().long()
        tokens = region.in_reading_order().select(chosen)
        answer = self.generator.generate(self._words.ask(name), tokens)
        self.tokens_llm += len(tokens)
        # the last answer denies, whatever the others say
        return 1 - float(torch.tensor(answer.choices, dtype=torch.float64).softmax(0)[-1])

    def is_there(self, score: float) -> bool:
        """Whether a score is enough to compute with the place."""
        least = None if self.is_asked else self._words.share
        return score >= (_LEAST if least is None else least)

    def is_rival(self, name: str, region: TokenSet, share: float) -> bool:
        """Whether a region that draws the focus shows the same, as far as that can be asked."""
        return not self.is_asked or self.is_there(self.score(name, region, share))
