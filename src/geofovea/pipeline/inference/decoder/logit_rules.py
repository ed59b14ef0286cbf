"""What a model's ``generation_config.json`` asks of each token beyond being the likeliest.

Qwen2.5-VL, for one, comes with a penalty on words that were said before, the prompt's included.
The stock ``generate`` obeys such rules in greedy decoding too, and its own functions are used here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from geofovea.errors import ModelError

__all__ = ["LogitRules"]

Rule = Callable[[Any, Any], Tensor]


@dataclass(frozen=True, slots=True, eq=False)
class LogitRules:
    """Rules of one model, in the order in which the stock ``generate`` obeys them.

    Attributes:
        rules: From ids int64 ``(1, s)`` and logits float32 ``(1, V)`` to other logits.
    """

    rules: tuple[Rule, ...]

    @staticmethod
    def of(config: Any, stop: Collection[int]) -> LogitRules | None:
        """The rules of a generation configuration; None where the likeliest token is taken.

        Args:
            config: Of ``transformers``; None says nothing.
            stop: Ids that end an answer.

        Raises:
            ModelError: If a rule has a value that it cannot have.
        """
        from transformers import (
            NoBadWordsLogitsProcessor,
            NoRepeatNGramLogitsProcessor,
            RepetitionPenaltyLogitsProcessor,
            SuppressTokensLogitsProcessor,
        )

        makers: dict[str, tuple[object, Callable[[Any], Rule]]] = {
            "repetition_penalty": (1, lambda v: RepetitionPenaltyLogitsProcessor(float(v))),
            "no_repeat_ngram_size": (0, NoRepeatNGramLogitsProcessor),
            "bad_words_ids": (None, lambda v: NoBadWordsLogitsProcessor(v, sorted(stop) or None)),
            "suppress_tokens": (None, SuppressTokensLogitsProcessor),
        }
        rules = []
        for name, (idle, make) in makers.items():
            value = getattr(config, name, None)
            if value is None or value == idle:
                continue
            try:
                rules.append(make(value))
            except (TypeError, ValueError) as error:
                raise ModelError(
                    f"the generation_config.json of this model has {name} = {value!r:.60}, which "
                    f"it cannot be ({error}); correct it, or download it again"
                ) from error
        return LogitRules(tuple(rules)) if rules else None

    def behind(
        self, prompts: Sequence[Sequence[int]]
    ) -> Callable[[Tensor, Sequence[Sequence[int]]], Tensor]:
        """What chooses the next tokens ``(b,)``, of logits and the ids of each answer so far.

        Args:
            prompts: Ids of each prompt.
        """

        def choose(logits: Tensor, answers: Sequence[Sequence[int]]) -> Tensor:
            return self.likeliest(logits, [[*p, *a] for p, a in zip(prompts, answers, strict=True)])

        return choose

    def likeliest(self, logits: Tensor, ids: Sequence[Sequence[int]]) -> Tensor:
        """The next token of each text by these rules, int64 ``(b,)``.

        Args:
            logits: float32 ``(b, V)``.
            ids: What each text has so far, its prompt included.
        """
        chosen = []
        for row, before in zip(logits, ids, strict=True):
            scores = row[None].clone()
            said = torch.tensor([list(before)], dtype=torch.int64, device=logits.device)
            for rule in self.rules:
                scores = rule(said, scores)
            chosen.append(scores[0].argmax())
        return torch.stack(chosen)
