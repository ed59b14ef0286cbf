"""Answers without looking: what a benchmark gives to someone who never saw an image.

A score below these says nothing about vision. The constants are fitted on the very questions that
they answer, which no honest system may do, so they are a bar and no competitor; the
cross-validated ones and the neighbours learn from other images only.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from geofovea.datasets.sample import Judge, Sample

__all__ = ["constant_answers", "constants_for", "halves", "neighbour_answers"]

NEIGHBOURS = 15
_CANDIDATES = 24
"""So many of the most frequent answers of a group are tried as its constant."""

_MOST_KNOWN = 4000
"""Neighbours are sought among at most so many questions of a group, evenly taken."""

_CHUNK = 256

Answers = dict[str, str]
Group = tuple[str, str]


def _group(sample: Sample) -> Group:
    return sample.source, sample.category


def _truth(sample: Sample) -> str:
    """The truth as a model would write it: a word in lower case, or letters."""
    return " ".join(sample.answers) if sample.choices else sample.answers[0].lower()


def constant_answers(samples: Sequence[Sample], judge: Judge) -> dict[Group, str]:
    """The answer that is right most often in each source and category, as the judge sees it.

    Of equally good answers the more frequent wins, then the first in the alphabet.
    """
    groups: dict[Group, dict[str, list[Sample]]] = defaultdict(dict)
    for sample in samples:
        groups[_group(sample)].setdefault(_truth(sample), []).append(sample)
    best = {}
    for group, rows in groups.items():
        order = sorted(rows, key=lambda text: (-len(rows[text]), text))[:_CANDIDATES]
        hits = [
            sum(len(same) for same in rows.values() if judge(same[0], text).correct)
            for text in order
        ]
        best[group] = order[hits.index(max(hits))]
    return best


def constants_for(known: Sequence[Sample], asked: Sequence[Sample], judge: Judge) -> Answers:
    """The constants of known questions for others; a group that is not known gets no answer."""
    best = constant_answers(known, judge)
    return {sample.id: best.get(_group(sample), "") for sample in asked}


def halves(samples: Sequence[Sample], seed: int) -> tuple[list[Sample], list[Sample]]:
    """Two halves of the images at random, with all their questions."""
    images = sorted({sample.images for sample in samples})
    order = np.random.default_rng(seed).permutation(len(images))
    first = {images[i] for i in order[: len(images) // 2]}
    parts: tuple[list[Sample], list[Sample]] = ([], [])
    for sample in samples:
        parts[sample.images not in first].append(sample)
    return parts


def neighbour_answers(
    known: Sequence[Sample], asked: Sequence[Sample], judge: Judge, k: int = NEIGHBOURS
) -> Answers:
    """What the ``k`` known questions that are worded most alike are answered with.

    Neighbours are of the same source and category. Likeness is the cosine of TF-IDF over words and
    pairs of words; each neighbour votes with its likeness for all answers that the judge would
    accept for it, so that ``grey`` and ``gray`` do not take votes from each other.
    """
    groups: dict[Group, tuple[list[Sample], list[Sample]]] = {}
    for part, samples in enumerate((known, asked)):
        for sample in samples:
            groups.setdefault(_group(sample), ([], []))[part].append(sample)
    answers: Answers = {}
    for learnt, others in groups.values():
        if not learnt:
            answers |= {sample.id: "" for sample in others}
            continue
        learnt = learnt[:: math.ceil(len(learnt) / _MOST_KNOWN)]
        vectors = _WordVectors([sample.question for sample in learnt])
        for likeness, sample in zip(vectors.likeness(others), others, strict=True):
            nearest = np.argsort(-likeness, kind="stable")[:k]
            voters = [(learnt[i], float(likeness[i])) for i in nearest]
            answers[sample.id] = _elected(voters, judge)
    return answers


def _elected(voters: Sequence[tuple[Sample, float]], judge: Judge) -> str:
    """The answer with most votes; of equally many the one that is nearest."""
    votes: Counter[str] = Counter()
    for text in dict.fromkeys(_truth(sample) for sample, _ in voters):
        votes[text] = sum(weight for sample, weight in voters if judge(sample, text).correct)
    return votes.most_common(1)[0][0]


class _WordVectors:
    """TF-IDF of some questions, rows of length 1."""

    def __init__(self, questions: Sequence[str]) -> None:
        counts = [Counter(_terms(question)) for question in questions]
        documents = Counter(term for count in counts for term in count)
        self._column = {term: i for i, term in enumerate(documents)}
        self._idf = np.array(
            [math.log((1 + len(counts)) / (1 + n)) + 1 for n in documents.values()], np.float32
        )
        self._rows = self._vectors(counts)

    def likeness(self, samples: Sequence[Sample]) -> Iterator[NDArray[np.float32]]:
        """For each sample its cosine with every known question."""
        for start in range(0, len(samples), _CHUNK):
            counts = [Counter(_terms(s.question)) for s in samples[start : start + _CHUNK]]
            yield from self._vectors(counts) @ self._rows.T

    def _vectors(self, counts: Sequence[Counter[str]]) -> NDArray[np.float32]:
        vectors = np.zeros((len(counts), len(self._column)), np.float32)
        for row, count in zip(vectors, counts, strict=True):
            for term, n in count.items():
                if term in self._column:
                    row[self._column[term]] = n
        vectors *= self._idf
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        result: NDArray[np.float32] = vectors / np.maximum(lengths, 1e-9)
        return result


def _terms(question: str) -> list[str]:
    """Words and pairs of neighbouring words, in lower case."""
    words = re.findall(r"\w+", question.lower())
    return words + [f"{one} {two}" for one, two in pairwise(words)]
