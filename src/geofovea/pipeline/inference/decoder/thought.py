"""Thoughts before an answer: whether a model would begin one, and room for it.

Where there is room the model thinks up to a limit, the thought is closed, and it answers.

The thought runs through the decoder like an answer and is then forgotten but for its keys and
values. Where the limit ends it, its closing mark is written in the place of the model, which was
trained to answer behind that mark and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from geofovea.datasets.scoring.spoken_answer import opens_thought
from geofovea.pipeline.inference.prompts.markers import ThoughtMarks

__all__ = [
    "BEFORE_THOUGHT",
    "LEFT_THOUGHT",
    "UNTHOUGHT",
    "Thought",
    "begin_with_thoughts",
    "think",
    "thought_warning",
]

BEFORE_THOUGHT = (
    "the model would have begun with a thought, and the choices were scored in its place: the "
    "scores say little; give it room with thinking='room'"
)
"""What is said of choices where the likeliest first words open a thought."""

UNTHOUGHT = (
    "this model was made to think before it answers, and it was asked to answer at once: its "
    "thought was closed empty; give it room with thinking='room', or take a checkpoint that does "
    "not think, often named Instruct"
)
"""What is said of an answer where the stock prompt would have begun a thought."""

LEFT_THOUGHT = "the model ended inside its thought, which was closed for the answer: doubt it"
"""What is said of an answer behind a thought that the model left without closing it."""

_MOST_FIRST_WORDS = 40
"""Tokens that the mark of a thought takes at most; real ones take a dozen."""


def thought_warning(most: int) -> str:
    """What is said of an answer whose thought did not come to an end by itself."""
    return (
        f"the thought was not done after {most} tokens and was closed for the answer; allow more "
        "with thought_tokens="
    )


def begin_with_thoughts(
    states: Tensor,
    advance: Callable[[Tensor], Tensor],
    likeliest: Callable[[Tensor, Sequence[Sequence[int]]], Tensor],
    embed: Callable[[Tensor], Tensor],
    tokenizer: Any,
    stop: Collection[int],
) -> list[bool]:
    """Whether a model would begin its answers to some prompts with a thought.

    The mark of a thought may take several tokens, so it is written until it can be told; most first
    tokens can be no part of one, and then nothing runs.

    Args:
        states: Of the last token of each prompt, ``(b, d)``.
        advance: States ``(b, d)`` behind one more token of each, ``(b, 1, d)``.
        likeliest: The next tokens ``(b,)``, after states and the ids of each answer so far.
        embed: Ids ``(b,)`` to vectors ``(b, d)``.
        tokenizer: The model's.
        stop: Ids that end an answer.
    """
    ids: list[list[int]] = [[] for _ in states]
    verdicts: list[bool | None] = [None] * len(ids)
    for _ in range(_MOST_FIRST_WORDS):
        chosen = likeliest(states, ids)
        for row, number in enumerate(chosen.tolist()):
            ids[row].append(number)
            if verdicts[row] is None:
                has_ended = number in stop
                verdicts[row] = False if has_ended else opens_thought(tokenizer.decode(ids[row]))
        if None not in verdicts:
            break
        states = advance(embed(chosen)[:, None])
    return [bool(verdict) for verdict in verdicts]


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
