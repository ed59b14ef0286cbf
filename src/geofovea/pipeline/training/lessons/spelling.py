"""Questions as words of the model, and which kind of lesson each is."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from geofovea.datasets.synthetic.questions import Question
from geofovea.datasets.synthetic.wordings import other_wording
from geofovea.pipeline.training.lessons.dense_labels import IGNORED
from geofovea.pipeline.training.lessons.spec import LESSON_KINDS, SampleSpec

__all__ = ["is_asked", "lesson_kinds", "spell"]

_SHARE_ASKED = {
    ("presence", "no"): 0.8,
    ("new count", "0"): 0.1,
    ("changed", "no"): 0.06,
}
"""Of questions with answers that would come far too often; all others are asked whenever drawn.

Counts of zero and one are not thinned. Weights from lessons with few zeros found 21 things that are
not there in a search by counts, where the weights of before had found 4.
"""


def lesson_kinds(questions: Sequence[Question]) -> NDArray[np.int64]:
    """Indexes of questions into ``LESSON_KINDS``, int64 (q,)."""
    return np.array([LESSON_KINDS.index(_kind(question)) for question in questions], np.int64)


def is_asked(question: Question, rng: random.Random) -> bool:
    """Whether a question that was drawn is asked: the commonest answers are thinned out."""
    return rng.random() < _SHARE_ASKED.get((question.category, question.answer), 1.0)


def _kind(question: Question) -> str:
    is_about_a_thing = question.category == "reasoning" and question.box is not None
    return "verify" if is_about_a_thing else question.category


def spell(
    rng: random.Random, questions: Sequence[Question], plan: SampleSpec, word_ids: dict[str, int]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Questions and answers as word ids, and what to predict at each position."""
    words = np.full((len(questions), plan.question_length), word_ids["<pad>"])
    targets = np.full_like(words, IGNORED)
    for row, question in enumerate(questions):
        text = question.text
        if plan.reworded and rng.random() < plan.reworded:
            text = other_wording(text, rng)
        spelled = text.lower().replace("?", " ?").split()
        ids = [word_ids[w] for w in (*spelled, question.answer)]
        words[row, : len(ids)] = ids
        targets[row, len(ids) - 2] = ids[-1]
        targets[row, len(ids) - 1] = word_ids["</s>"]
    return words, targets
