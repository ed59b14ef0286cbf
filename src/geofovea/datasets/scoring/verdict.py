"""The verdict on one answer, and the three scorers of a benchmark, one per mode.

None of them takes a thought for an answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from geofovea.datasets.records.sample import Sample
from geofovea.datasets.scoring.spoken_answer import spoken_answer

__all__ = ["MODES", "NO_ANSWER", "Scorer", "Verdict", "scorers_by_mode"]

MODES = ("official", "strict", "lenient")
"""Ways to judge, always reported together: ``official`` is the rule of published scores with its
faults, ``strict`` wants the exact answer, ``lenient`` what a reader would accept."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a scorer decides about one answer.

    Attributes:
        correct: Whether it counts as right.
        rule: Which rule decided: ``equal``, ``synonym``, ``number``, ``letter`` ... for a right
            answer, and for a wrong one what it was taken as.
        taken: The answer as the rule read it, after extraction.
    """

    correct: bool
    rule: str
    taken: str


Scorer = Callable[[Sample, str], Verdict]

NO_ANSWER = Verdict(False, "no answer", "")


def scorers_by_mode(official: Scorer, strict: Scorer, lenient: Scorer) -> Mapping[str, Scorer]:
    """The scorers of all modes, by mode; what an answer thinks aloud is out before they read it.

    ``official`` reads the marks around an answer as the published rule does; the others read what
    stands in them. Thoughts that come to no answer are wrong in all modes.
    """
    pairs = zip(MODES, (official, strict, lenient), strict=True)
    return {mode: _without_thoughts(scorer, in_marks=scorer is official) for mode, scorer in pairs}


def _without_thoughts(scorer: Scorer, *, in_marks: bool) -> Scorer:
    def score(sample: Sample, answer: str) -> Verdict:
        spoken = spoken_answer(answer)
        if spoken.thought_aloud and not spoken.text:
            return NO_ANSWER
        return scorer(sample, spoken.unthought if in_marks else spoken.text)

    return score
