"""Greedy decoding: the likeliest token after token, for some prompts at once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

__all__ = ["GreedyTokens", "greedy_tokens", "stop_ids"]


@dataclass(frozen=True, slots=True, eq=False)
class GreedyTokens:
    """What follows some prompts.

    Attributes:
        ids: Of the tokens of each answer, without the one that ends it.
        log_probabilities: float32 ``(b, steps)``, on the CPU, as the model has them before any
            rule. Those of the tokens come first; what follows belongs to no token.
        has_ended: Whether each answer came to its end before the most tokens.
    """

    ids: tuple[list[int], ...]
    log_probabilities: Tensor
    has_ended: tuple[bool, ...]


def greedy_tokens(
    states: Tensor,
    advance: Callable[[Tensor], Tensor],
    logits: Callable[[Tensor], Tensor],
    embed: Callable[[Tensor], Tensor],
    stop: Collection[int],
    most: int,
    choose: Callable[[Tensor, Sequence[Sequence[int]]], Tensor] | None = None,
) -> GreedyTokens:
    """Continue prompts whose tokens have run through the decoder.

    Args:
        states: Of the last token of each prompt, ``(b, d)``.
        advance: States ``(b, d)`` behind one more token of each, ``(b, 1, d)``.
        logits: Of the next token, float32 ``(b, V)``, after states ``(b, d)``.
        embed: Ids ``(b,)`` to vectors ``(b, d)``.
        stop: Ids that end an answer.
        most: Tokens of the longest answer, at least 1.
        choose: The next tokens ``(b,)``, of such logits and what was written of each answer so
            far; None takes the likeliest.
    """
    ids: tuple[list[int], ...] = tuple([] for _ in states)
    open_rows = set(range(len(ids)))
    steps: list[Tensor] = []
    for steps_left in reversed(range(most)):
        scores = logits(states)
        chosen = scores.argmax(-1) if choose is None else choose(scores, ids)
        steps.append(scores.log_softmax(-1).gather(-1, chosen[:, None])[:, 0])
        # the one thing that a step waits for; all else stays on the device until the end
        for row, token in enumerate(chosen.tolist()):
            if row in open_rows and token in stop:
                open_rows.remove(row)
            elif row in open_rows:
                ids[row].append(token)
        if not open_rows or not steps_left:
            break
        # answers that have ended are written on and not read: others wait for nothing else
        states = advance(embed(chosen)[:, None])
    has_ended = tuple(row not in open_rows for row in range(len(ids)))
    return GreedyTokens(ids, torch.stack(steps, dim=1).cpu(), has_ended)


def stop_ids(model: Any, tokenizer: Any) -> set[int]:
    """Ids that end an answer of a stock model."""
    stop = getattr(model.generation_config, "eos_token_id", None)
    ends = [*(stop if isinstance(stop, list) else [stop]), tokenizer.eos_token_id]
    # what is no id is never spoken, so it ends nothing
    return {i for i in ends if isinstance(i, int)}
