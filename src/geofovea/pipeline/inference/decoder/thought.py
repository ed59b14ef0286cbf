"""Room for a thought: the model thinks up to a limit, the thought is closed, and it answers.

The thought runs through the decoder like an answer and is then forgotten but for its keys and
values. Where the limit ends it, its closing mark is written in the place of the model, which was
trained to answer behind that mark and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor

from geofovea.pipeline.inference.prompts.markers import ThoughtMarks

__all__ = ["Thought", "think"]


@dataclass(frozen=True, slots=True, eq=False)
class Thought:
    """What a model did before its answer.

    Attributes:
        state: Of the last token before the answer, ``(1, d)``.
        advance: The state behind one more token of the answer, ``(1, 1, d)``.
        ids: Of the tokens that it thought, its marks included.
        was_cut: Whether the limit ended the thought.
        was_left: Whether the model ended its whole text without closing the thought.
    """

    state: Tensor
    advance: Callable[[Tensor], Tensor]
    ids: tuple[int, ...] = ()
    was_cut: bool = False
    was_left: bool = False


def think(
    state: Tensor,
    advance: Callable[[Tensor], Tensor],
    likeliest: Callable[[Tensor, Sequence[int]], int],
    embed: Callable[[Tensor], Tensor],
    marks: ThoughtMarks,
    stop: Collection[int],
    peek: Callable[[Tensor], Tensor] | None = None,
) -> Thought:
    """Let a model think behind a prompt that has run through the decoder.

    Args:
        state: Of the last token of the prompt, ``(1, d)``.
        advance: The state ``(1, d)`` behind one more token, ``(1, 1, d)``.
        likeliest: Id of the next token, after a state and the ids of the thought so far.
        embed: Ids ``(1,)`` to vectors ``(1, d)``.
        marks: How it writes a thought.
        stop: Ids that end an answer.
        peek: States ``(m, d)`` of tokens ``(1, m, d)`` that are forgotten again; None where the
            decoder cannot forget any.
    """

    def through(state: Tensor, ids: Sequence[int]) -> Tensor:
        for number in ids:
            state = advance(embed(torch.tensor([number]))[:, None])
        return state

    ran: list[Tensor] = []

    def behind_mark() -> Iterator[Tensor]:
        """States behind each token of the opening mark but the last."""
        first = marks.opening[:-1]
        if first and peek is not None:
            yield from peek(embed(torch.tensor(first))[None])[:, None].unbind()
            return
        for number in first:
            ran.append(through(ran[-1] if ran else state, [number]))
            yield ran[-1]

    said = zip(marks.opening, chain([state], behind_mark()), strict=False)
    if not all(likeliest(each, marks.opening[:i]) == n for i, (n, each) in enumerate(said)):
        # it answers at once, with what may begin like the mark
        return Thought(state, _replayed(ran, advance))
    state = through(ran[-1] if ran else state, marks.opening[len(ran) :])
    ids: list[int] = []
    was_left = False
    while (behind := marks.text_behind(ids)) is None and len(ids) < marks.most:
        number = likeliest(state, (*marks.opening, *ids))
        # some close a thought with a word that ends an answer, too
        if number in stop and (number,) != marks.closing:
            was_left = True
            break
        ids.append(number)
        state = through(state, [number])
    is_open = behind is None
    # a line end that the model wrote with its mark is not written again
    written = (*(marks.closing if is_open else ()), *(() if behind else marks.behind))
    thought = (*marks.opening, *ids, *written)
    state = through(state, written)
    return Thought(state, advance, thought, is_open and not was_left, was_left)


def _replayed(
    states: Sequence[Tensor], advance: Callable[[Tensor], Tensor]
) -> Callable[[Tensor], Tensor]:
    """How to go on behind a prompt whose first further tokens have run already."""
    left = list(states)
    return lambda embedded: left.pop(0) if left else advance(embedded)
