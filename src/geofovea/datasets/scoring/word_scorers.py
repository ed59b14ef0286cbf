"""How free answers of a word or a phrase are judged.

Each benchmark brings its own ``official`` rule; ``strict`` and ``lenient`` are the same for all.
``lenient`` is the rule of ZoomSearch, which gives higher numbers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from geofovea.datasets.records.sample import Sample
from geofovea.datasets.scoring.number_words import number_of
from geofovea.datasets.scoring.verdict import Scorer, Verdict, scorers_by_mode
from geofovea.datasets.scoring.wordnet import Synonyms

__all__ = ["bare", "lenient_scorer", "strict_scorer", "word_scorers"]

_TRAILING = ".,!?;:"


def bare(text: str) -> str:
    """Lower case without blanks around and punctuation behind; a number is its shortest text."""
    words = text.lower().strip().rstrip(_TRAILING).rstrip()
    number = re.fullmatch(r"([+-]?\d{1,18})\.(\d{0,18})", words)
    if number is None:
        return words
    decimals = number[2].rstrip("0")
    return f"{number[1]}.{decimals}" if decimals else number[1]


def strict_scorer(sample: Sample, answer: str) -> Verdict:
    """The exact words, apart from case, blanks around and punctuation behind."""
    text = bare(answer)
    equal = text == bare(sample.answers[0])
    return Verdict(equal, "equal" if equal else "different", text)


def lenient_scorer(synonyms: Synonyms) -> Scorer:
    """Numbers in words for counts, synonyms, and words that are derived from each other."""

    def scorer(sample: Sample, answer: str) -> Verdict:
        truth, text = bare(sample.answers[0]), bare(answer)
        if truth == text:
            return Verdict(True, "equal", text)
        if "count" in sample.category.lower():
            number = number_of(truth)
            if number is not None and number == number_of(text):
                return Verdict(True, "number", text)
        if synonyms.meanings(truth) & synonyms.meanings(text):
            return Verdict(True, "synonym", text)
        related, to_text = synonyms.derived(truth), synonyms.derived(text)
        if text in related or truth in to_text or related & to_text:
            return Verdict(True, "derived", text)
        return Verdict(False, "different", text)

    return scorer


def word_scorers(
    official: Callable[[Synonyms], Scorer],
) -> Callable[[Synonyms], Mapping[str, Scorer]]:
    """What makes all three scorers from a dictionary of synonyms.

    Args:
        official: What makes the scorer of the published script.
    """
    return lambda words: scorers_by_mode(official(words), strict_scorer, lenient_scorer(words))
