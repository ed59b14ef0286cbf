"""What is said of one answer, and the three judges of a benchmark, one a mode.

None of them takes a thought for an answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from geofovea.datasets.records.sample import Sample
from geofovea.datasets.scoring.spoken_answer import spoken_answer

__all__ = ["MODES", "NO_ANSWER", "Judge", "Verdict", "judges_of"]

MODES = ("official", "strict", "lenient")
"""Ways to judge, always reported together: ``official`` is the rule of published scores with its
faults, ``strict`` wants the exact answer, ``lenient`` what a reader would accept."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a scorer says of one answer.

    Attributes:
        correct: Whether it counts as right.
        rule: Which rule decided: ``equal``, ``synonym``, ``number``, ``letter`` ... for a right
            answer, and for a wrong one what it was taken as.
        taken: The answer as the rule read it, after extraction.
    """

    correct: bool
    rule: str
    taken: str


Judge = Callable[[Sample, str], Verdict]

NO_ANSWER = Verdict(False, "no answer", "")


def judges_of(official: Judge, strict: Judge, lenient: Judge) -> Mapping[str, Judge]:
    """The judges of all modes, by mode; what an answer thinks aloud is out before they read it.

    ``official`` reads the marks around an answer as the published rule does; the others read what
    stands in them. Thoughts that come to no answer are wrong in all modes.
    """
    given = zip(MODES, (official, strict, lenient), strict=True)
    return {mode: _hearing(judge, in_marks=judge is official) for mode, judge in given}


def _hearing(judge: Judge, *, in_marks: bool) -> Judge:
    def heard(sample: Sample, answer: str) -> Verdict:
        meant = spoken_answer(answer)
        if meant.thought_aloud and not meant.text:
            return NO_ANSWER
        return judge(sample, meant.unthought if in_marks else meant.text)

    return heard
