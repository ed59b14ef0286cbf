"""Turns the token ids of an answer into text: thoughts removed, doubts kept as warnings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from geofovea.datasets.scoring.spoken_answer import spoken_answer
from geofovea.pipeline.inference.decoder.outputs import Generation

__all__ = ["CUT", "cut_warning", "decoded_answer"]

CUT = "was cut at"
"""In every warning of a cut, so that a run can count them."""
_NO_ROOM = "a thought has room of its own, with the answer behind it, where thinking='room' is set"


def decoded_answer(
    tokenizer: Any, ids: Sequence[int], logs: Sequence[float], *, most: int, has_ended: bool
) -> Generation:
    """The answer that some ids write.

    Args:
        tokenizer: The model's.
        ids: In their order, without the one that ended them.
        logs: Log-probability of each.
        most: How many there might have been.
        has_ended: Whether the model ended the answer, and not the limit on its length.
    """
    text = tokenizer.decode(ids, skip_special_tokens=True).strip()
    # marks of thoughts are special words in some vocabularies, and are gone from that text
    whole = tokenizer.decode(ids, skip_special_tokens=False).strip()
    spoken = spoken_answer(whole)
    special = [str(word) for word in tokenizer.all_special_tokens]
    freed = _without(spoken.text, special)
    if freed.split() != _without(text, special).split():
        text, logs = freed, _logs_of(tokenizer, ids, logs, freed) if freed else ()
    doubts = replace(spoken, text=text, mark=spoken_answer(text).mark).doubts
    warnings = doubts if has_ended else (cut_warning(most), *doubts)
    if spoken.thought_aloud and not text:
        warnings += (_NO_ROOM,)
    marked = spoken.unthought if spoken.thought_aloud else whole
    return Generation(text, tuple(logs), warnings=warnings, marked="" if marked == text else marked)


def _without(text: str, words: Sequence[str]) -> str:
    for word in words:
        text = text.replace(word, " ")
    return text.strip()


def _logs_of(
    tokenizer: Any, ids: Sequence[int], logs: Sequence[float], answer: str
) -> Sequence[float]:
    """Of the last ids that write an answer and nothing else; none where there are no such."""
    for start in range(len(ids) - 1, -1, -1):
        text = tokenizer.decode(ids[start:], skip_special_tokens=True).strip()
        if text == answer:
            return logs[start:]
        if len(text) > len(answer):
            break
    return ()


def cut_warning(most: int) -> str:
    """What is said of an answer that the limit on its length ended."""
    return f"the answer {CUT} {most} tokens; allow more with answer_tokens="
