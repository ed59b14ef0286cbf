"""How answers to multiple choice questions are judged.

Published scores rest on rules that find a letter nearly anywhere (``"Based on ..."`` is a B), so
each benchmark brings its own ``official`` extraction; ``strict`` and ``lenient`` are the same for
all. An extraction gives letters in alphabetical order; no letter means that none was found.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from geofovea.datasets.records.sample import Sample
from geofovea.datasets.scoring.spoken_answer import spoken_answer
from geofovea.datasets.scoring.verdict import Scorer, Verdict, scorers_by_mode

__all__ = ["choice_scorers", "lenient_letters", "strict_letters", "without_prefixes"]

Extraction = Callable[[Sample, str], tuple[str, str]]
"""Letters that an answer chooses, and the rule that found them."""

_BROKEN_PREFIXES = (
    "The best answer is",
    "The correct answer is",
    "The answer is",
    "The answer",
    "The best option isThe correct option is",
    "Best answer:Best option:",
)
"""As the published scripts have them: two commas are missing, so the last four became two."""


def without_prefixes(text: str) -> str:
    """An answer without the phrases that the published scripts take out of it."""
    text = text.strip()
    for prefix in _BROKEN_PREFIXES:
        text = text.replace(prefix, "")
    return text


def strict_letters(sample: Sample, answer: str) -> tuple[str, str]:
    """Only the letter, with or without parentheses and a mark behind; several for multi-select."""
    one = rf"\(?([{sample.letters or 'A'}])\)?[.:)]?"
    text = answer.strip()
    if match := re.fullmatch(one, text):
        return match[1], "letter"
    if sample.multi_select:
        parts = re.split(r"[\s,;]+|(?<=[A-Z])(?=[A-Z])", text)
        letters = [re.fullmatch(one, part) for part in parts]
        if all(letters):
            return "".join(sorted({m[1] for m in letters if m})), "letters"
    return "", "none"


def lenient_letters(sample: Sample, answer: str) -> tuple[str, str]:
    """What a careful reader would take the answer for; None is found rather than guessed."""
    text = spoken_answer(answer).text
    letters, rule = strict_letters(sample, text)
    if not letters and re.fullmatch("[a-z]", text):
        letters, rule = strict_letters(sample, text.upper())
    if letters:
        return letters, rule
    some = f"[{sample.letters or 'A'}]"
    for name, pattern in (
        (
            "answer is",
            rf"(?i:answer|option|choice)(?:\(s\)|s)?(?:\s+(?i:is|are))?[\s:*]*\(?({some})\b",
        ),
        ("letters in parentheses", rf"\(({some})\)"),
        ("letter first", rf"^({some})[.:)]\s"),
    ):
        matches = re.findall(pattern, text)
        if matches and (sample.multi_select or len(set(matches)) == 1):
            return "".join(sorted(set(matches))), name
        if matches:
            return matches[-1], f"last of: {name}"
    return _by_text(sample, text)


def _by_text(sample: Sample, text: str) -> tuple[str, str]:
    """The only choice whose words stand in the text, or that the text is."""
    words = text.lower().rstrip(" .")
    pairs = list(zip(sample.letters, (c.lower().rstrip(" .") for c in sample.choices), strict=True))
    same = [letter for letter, choice in pairs if choice == words]
    inside = [
        letter
        for letter, choice in pairs
        if choice and re.search(rf"(?<!\w){re.escape(choice)}(?!\w)", words)
    ]
    for rule, letters in (("choice text", same), ("choice inside", inside)):
        if len(letters) == 1:
            return letters[0], rule
    return "", "none"


def _scorer(extract: Extraction) -> Scorer:
    def scorer(sample: Sample, answer: str) -> Verdict:
        letters, rule = extract(sample, answer)
        return Verdict(bool(letters) and set(letters) == set(sample.answers), rule, letters)

    return scorer


def choice_scorers(official: Extraction) -> Callable[[object], Mapping[str, Scorer]]:
    """All three scorers from the extraction of the published script.

    Args:
        official: How the published script finds the letters.
    """
    scorers = scorers_by_mode(_scorer(official), _scorer(strict_letters), _scorer(lenient_letters))
    return lambda _synonyms: scorers
