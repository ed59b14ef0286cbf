"""Answers without looking: what a benchmark gives to someone who never saw an image.

A score below these says nothing about vision. The constants are fitted on the same questions that
they answer, which no honest system may do, so they are a bar and no competitor; the
cross-validated ones and the neighbors learn from other images only.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from geofovea.datasets.records.sample import Sample
from geofovea.datasets.scoring.verdict import Scorer

__all__ = ["constant_answers", "constants_for", "halves", "neighbor_answers"]

NEIGHBORS = 15
_CANDIDATES = 24
"""So many of the most frequent answers of a group are tried as its constant."""

_MOST_KNOWN = 4000
"""Neighbors are sought among at most so many questions of a group, evenly taken."""

_CHUNK = 256

Answers = dict[str, str]
Group = tuple[str, str]


def _group(sample: Sample) -> Group:
    return sample.source, sample.category


def _truth(sample: Sample) -> str:
    """The truth as a model would write it: a word in lower case, or letters."""
    return " ".join(sample.answers) if sample.choices else sample.answers[0].lower()


def constant_answers(samples: Sequence[Sample], scorer: Scorer) -> dict[Group, str]:
    """The answer that is right most often in each source and category, as the scorer sees it.

    Of equally good answers the more frequent wins, then the first in the alphabet.
    """
    groups: dict[Group, dict[str, list[Sample]]] = defaultdict(dict)
    for sample in samples:
        groups[_group(sample)].setdefault(_truth(sample), []).append(sample)
    best = {}
    for group, rows in groups.items():
        order = sorted(rows, key=lambda text: (-len(rows[text]), text))[:_CANDIDATES]
        hits = [
            sum(len(same) for same in rows.values() if scorer(same[0], text).correct)
            for text in order
        ]
        best[group] = order[hits.index(max(hits))]
    return best


def constants_for(
    references: Sequence[Sample], queries: Sequence[Sample], scorer: Scorer
) -> Answers:
    """The constants of known questions for others; a group that is not known gets no answer."""
    best = constant_answers(references, scorer)
    return {sample.id: best.get(_group(sample), "") for sample in queries}


def halves(samples: Sequence[Sample], seed: int) -> tuple[list[Sample], list[Sample]]:
    """Two halves of the images at random, with all their questions."""
    images = sorted({sample.images for sample in samples})
    order = np.random.default_rng(seed).permutation(len(images))
    first = {images[i] for i in order[: len(images) // 2]}
    parts: tuple[list[Sample], list[Sample]] = ([], [])
    for sample in samples:
        parts[sample.images not in first].append(sample)
    return parts


def neighbor_answers(
    references: Sequence[Sample], queries: Sequence[Sample], k: int = NEIGHBORS
) -> Answers:
    """What the ``k`` known questions that are worded most alike are answered with.

    Neighbors are of the same source and category. Likeness is the cosine of inverse document
    frequencies over the words of a question, as blanks divide them; each neighbor votes with the
    square of its likeness.
    """
    groups: dict[Group, tuple[list[Sample], list[Sample]]] = {}
    for part, samples in enumerate((references, queries)):
        for sample in samples:
            groups.setdefault(_group(sample), ([], []))[part].append(sample)
    answers: Answers = {}
    for learnt, others in groups.values():
        if not learnt:
            answers |= {sample.id: "" for sample in others}
            continue
        learnt = learnt[:: math.ceil(len(learnt) / _MOST_KNOWN)]
        truths = [_truth(sample) for sample in learnt]
        vectors = _WordVectors([sample.question for sample in learnt])
        for likeness, sample in zip(vectors.likeness(others), others, strict=True):
            votes: dict[str, float] = defaultdict(float)
            for i in np.argsort(-likeness, kind="stable")[:k]:
                votes[truths[i]] += float(likeness[i]) ** 2
            answers[sample.id] = max(votes, key=votes.__getitem__)
    return answers


class _WordVectors:
    """Inverse document frequencies of the words of some questions, rows of length 1."""

    def __init__(self, questions: Sequence[str]) -> None:
        documents = Counter(word for question in questions for word in _words(question))
        self._column = {word: i for i, word in enumerate(documents)}
        self._weight = [math.log((1 + len(questions)) / (1 + n)) + 1 for n in documents.values()]
        self._rows = self._vectors(questions)

    def likeness(self, samples: Sequence[Sample]) -> Iterator[NDArray[np.float32]]:
        """For each sample its cosine with every known question."""
        for start in range(0, len(samples), _CHUNK):
            chunk = [sample.question for sample in samples[start : start + _CHUNK]]
            yield from self._vectors(chunk) @ self._rows.T

    def _vectors(self, questions: Sequence[str]) -> NDArray[np.float32]:
        vectors = np.zeros((len(questions), len(self._column)), np.float32)
        for row, question in zip(vectors, questions, strict=True):
            for word in _words(question) & self._column.keys():
                row[self._column[word]] = self._weight[self._column[word]]
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        result: NDArray[np.float32] = vectors / np.maximum(lengths, 1e-9)
        return result


def _words(question: str) -> set[str]:
    return set(question.lower().split())
