"""The three judges of a benchmark, none of which takes a thought for an answer."""

from __future__ import annotations

from collections.abc import Mapping

from geofovea.datasets.records.sample import MODES, Judge, Sample, Verdict
from geofovea.datasets.scoring.spoken_answer import spoken_answer

__all__ = ["NO_ANSWER", "judges_of"]

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
