"""Room for a thought: the model thinks up to a limit, the thought is closed, and it answers.

The thought runs through the decoder like an answer and is then forgotten but for its keys and
values. Where the limit ends it, its closing mark is written in the place of the model, which was
trained to answer behind that mark and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from geofovea.pipeline.inference.prompts.markers import ThoughtMarks

__all__ = ["Thought", "think"]


@dataclass(frozen=True, slots=True, eq=False)
class Thought:
    """What a model did before its answer.

    Attributes:
        state: Of the last token before the answer, ``(1, d)``.
        ids: Of the tokens that it thought, its marks included.
        was_cut: Whether the limit ended the thought, or the model without closing it.
    """

    state: Tensor
    ids: tuple[int, ...] = ()
    was_cut: bool = False


def think(
    state: Tensor,
    advance: Callable[[Tensor], Tensor],
    likeliest: Callable[[Tensor, Sequence[int]], int],
    embed: Callable[[Tensor], Tensor],
    marks: ThoughtMarks,
    stop: Collection[int],
) -> Thought:
    """Let a model think behind a prompt that has run through the decoder.

    Args:
        state: Of the last token of the prompt, ``(1, d)``.
        advance: The state ``(1, d)`` behind one more token, ``(1, 1, d)``.
        likeliest: Id of the next token, after a state and the ids of the thought so far.
        embed: Ids ``(1,)`` to vectors ``(1, d)``.
        marks: How it writes a thought.
        stop: Ids that end an answer.
    """

    def through(state: Tensor, ids: Sequence[int]) -> Tensor:
        for number in ids:
            state = advance(embed(torch.tensor([number]))[:, None])
        return state

    if marks.opening:
        if likeliest(state, ()) != marks.opening[0]:
            # it answers at once
            return Thought(state)
        state = through(state, marks.opening)
    ids: list[int] = []
    closing = list(marks.closing)
    while len(ids) < marks.most and ids[-len(closing) :] != closing:
        number = likeliest(state, (*marks.opening, *ids))
        if number in stop:
            break
        ids.append(number)
        state = through(state, [number])
    was_cut = ids[-len(closing) :] != closing
    written = (*(closing if was_cut else ()), *marks.behind)
    return Thought(through(state, written), (*marks.opening, *ids, *written), was_cut)
