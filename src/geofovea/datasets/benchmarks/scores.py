"""From answers to scores: every answer judged in all modes, every figure with its interval."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geofovea._plurals import counted
from geofovea.datasets.benchmarks.benchmark import Benchmark
from geofovea.datasets.records.sample import Sample
from geofovea.datasets.scoring.blind import constants_for
from geofovea.datasets.scoring.metrics import Bootstrap, Estimate, category_of, source_of
from geofovea.datasets.scoring.spoken_answer import spoken_answer
from geofovea.datasets.scoring.verdict import MODES, NO_ANSWER, Verdict
from geofovea.datasets.scoring.wordnet import Synonyms
from geofovea.errors import DataError

__all__ = ["ScoredAnswer", "Scores", "score", "score_answers"]

_MEGAPIXELS = (4, 16, 64, 256)
_OBJECT_SIDES = (32, 96, 512)


@dataclass(frozen=True, slots=True)
class ScoredAnswer:
    """One answer with its verdict in every mode."""

    sample: Sample
    answer: str
    verdicts: Mapping[str, Verdict]

    def to_json(self) -> dict[str, Any]:
        """A row of ``items.jsonl``."""
        return {
            "question_id": self.sample.id,
            "category": self.sample.category,
            "source": self.sample.source,
            "question": self.sample.question,
            "truth": list(self.sample.answers),
            "answer": self.answer,
            "verdicts": {
                mode: {"correct": v.correct, "rule": v.rule, "taken": v.taken}
                for mode, v in self.verdicts.items()
            },
        }


@dataclass(frozen=True)
class Scores:
    """All numbers of one answers file.

    Attributes:
        benchmark: Name of the benchmark.
        version: Of its prompt and scorers.
        synonyms: The dictionary that was used.
        asked: Questions of the benchmark.
        answered: Those that an answer was found for; all figures are over these.
        unknown: Answers to questions that the benchmark does not have.
        figures: ``figures[mode][name]``.
        rules: ``rules[mode][rule]``: how often a rule decided, split by right and wrong.
        groups: ``groups[kind][group][mode]``: plain accuracy by category, source and sizes.
        blind: The figures of the best constant for each source and category, mode ``official``.
        gain: Figures minus those of the constants, mode ``official``.
        constants: The constants.
        letters: How often each choice was taken in mode ``official``; empty without choices.
        notes: What a careful reader should know.
    """

    benchmark: str
    version: str
    synonyms: str
    asked: int
    answered: int
    unknown: int
    figures: Mapping[str, Mapping[str, Estimate]]
    rules: Mapping[str, Mapping[str, int]]
    groups: Mapping[str, Mapping[str, Mapping[str, Estimate]]]
    blind: Mapping[str, Estimate]
    gain: Mapping[str, Estimate]
    constants: Mapping[str, str]
    letters: Mapping[str, int]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values; numbers in [0, 1]."""

        def plain(value: Any) -> Any:
            if isinstance(value, Estimate):
                return value.to_json()
            return {k: plain(v) for k, v in value.items()} if isinstance(value, Mapping) else value

        return {name: plain(value) for name, value in vars(self).items()} | {
            "notes": list(self.notes)
        }


def score_answers(
    benchmark: Benchmark,
    samples: Sequence[Sample],
    answers: Mapping[str, str],
    synonyms: Synonyms,
) -> list[ScoredAnswer]:
    """Judge the answers that there are, in the order of the samples.

    An empty answer is wrong in all modes. No rule reads it, because some published rules would take
    it for the first choice.
    """
    scorers = benchmark.scorers(synonyms)

    def verdicts(sample: Sample) -> dict[str, Verdict]:
        answer = answers[sample.id]
        if not answer.strip():
            return dict.fromkeys(MODES, NO_ANSWER)
        return {mode: scorers[mode](sample, answer) for mode in MODES}

    return [ScoredAnswer(s, answers[s.id], verdicts(s)) for s in samples if s.id in answers]


def score(
    benchmark: Benchmark,
    samples: Sequence[Sample],
    answers: Mapping[str, str],
    synonyms: Synonyms,
    notes: Sequence[str] = (),
) -> tuple[Scores, list[ScoredAnswer]]:
    """Score an answers file.

    Figures are over the questions that have an answer, as in the published scripts; ``asked`` and
    ``answered`` tell how many have none. A question that failed has an empty answer, which is wrong
    in all modes.

    Raises:
        DataError: If no answer belongs to a question of the benchmark.
    """
    scored = score_answers(benchmark, samples, answers, synonyms)
    if not scored:
        raise DataError(
            f"none of the {len(answers)} answers has an id of {benchmark.title}; its ids look like "
            f"{', '.join(s.id for s in samples[:3])}; write them into a column question_id"
        )
    samples_scored = [item.sample for item in scored]
    draws = Bootstrap(samples_scored)
    correct = {mode: _correct(scored, mode) for mode in MODES}
    official = benchmark.scorers(synonyms)["official"]
    constants = constants_for(samples_scored, samples_scored, official)
    blind = np.array([official(sample, constants[sample.id]).correct for sample in samples_scored])
    metrics = [figure for figure in benchmark.metrics if any(map(figure.only, samples_scored))]
    figures = {mode: {f.name: draws.measure(f, correct[mode]) for f in metrics} for mode in MODES}
    scores = Scores(
        benchmark=benchmark.name,
        version=benchmark.version,
        synonyms=synonyms.name,
        asked=len(samples),
        answered=len(scored),
        unknown=len(set(answers) - {s.id for s in samples}),
        figures=figures,
        rules={mode: _rules(scored, mode) for mode in MODES},
        groups={kind: _groups(draws, key, correct) for kind, key in _GROUP_KEYS.items()},
        blind={f.name: draws.measure(f, blind) for f in metrics},
        gain={f.name: draws.difference(f, correct["official"], blind) for f in metrics},
        constants={
            " / ".join(filter(None, (s.source, s.category))): constants[s.id]
            for s in samples_scored
        },
        letters=_letters(scored),
        notes=(*notes, *_notes(scored)),
    )
    return scores, scored


def _groups(
    draws: Bootstrap,
    key: Callable[[Sample], str | None],
    correct: Mapping[str, NDArray[np.bool_]],
) -> dict[str, dict[str, Estimate]]:
    """Plain accuracy ``[group][mode]``."""
    by_mode = {mode: draws.groups(key, correct[mode]) for mode in MODES}
    return {name: {mode: by_mode[mode][name] for mode in MODES} for name in by_mode["official"]}


def _notes(scored: Sequence[ScoredAnswer]) -> list[str]:
    """What was taken out of answers before they were judged."""
    spoken = [spoken_answer(item.answer) for item in scored]
    notes = []
    if thoughts := sum(each.thought_aloud for each in spoken):
        endless = sum(each.thought_aloud and not each.text for each in spoken)
        notes.append(
            f"{counted(thoughts, 'answer contains', 'answers contain')} thoughts, which all modes "
            f"remove before they judge; without an answer after them, and so wrong: {endless}"
        )
    if marks := [each.mark for each in spoken if each.mark]:
        notes.append(
            f"{counted(len(marks), 'answer contains', 'answers contain')} unknown marks such as "
            f"{marks[0]!r}: what stands between them may be thoughts"
        )
    return notes


def _correct(scored: Sequence[ScoredAnswer], mode: str) -> NDArray[np.bool_]:
    return np.array([item.verdicts[mode].correct for item in scored])


def _rules(scored: Sequence[ScoredAnswer], mode: str) -> dict[str, int]:
    verdicts = (item.verdicts[mode] for item in scored)
    counts = Counter(f"{'right' if v.correct else 'wrong'}: {v.rule}" for v in verdicts)
    return dict(counts.most_common())


def _letters(scored: Sequence[ScoredAnswer]) -> dict[str, int]:
    letters = (j.verdicts["official"].taken or "none" for j in scored if j.sample.choices)
    return dict(sorted(Counter(letters).items()))


def image_size_group(sample: Sample) -> str | None:
    """Megapixels of the image in powers of four, or None where the size is not annotated."""
    if sample.image_size is None:
        return None
    width, height = sample.image_size
    return _bin(width * height / 1e6, _MEGAPIXELS, "Mpx")


def object_size_group(sample: Sample) -> str | None:
    """Longer side of the annotated object, or None without one."""
    return None if sample.object_size is None else _bin(sample.object_size, _OBJECT_SIDES, "px")


def _bin(value: float, edges: Sequence[int], unit: str) -> str:
    lows = (0, *edges)
    index = sum(value >= edge for edge in edges)
    # the letter in front keeps groups in order when they are sorted by name
    high = f"to {edges[index]}" if index < len(edges) else "and more"
    return f"{'abcdefgh'[index]}: {lows[index]} {high} {unit}"


_GROUP_KEYS: dict[str, Callable[[Sample], str | None]] = {
    "category": category_of,
    "source": lambda sample: source_of(sample) or None,
    "image size": image_size_group,
    "object size": object_size_group,
}
"""What questions are grouped by; a question without a value is in no group."""
