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
from geofovea.datasets.scoring.verdict import Judge, Verdict, judges_of

__all__ = [
    "choice_judges",
    "lenient_letters",
    "mme_letters",
    "strict_letters",
    "vstar_letters",
    "xlrs_letters",
]

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


def _without_prefixes(text: str) -> str:
    text = text.strip()
    for prefix in _BROKEN_PREFIXES:
        text = text.replace(prefix, "")
    return text


def mme_letters(sample: Sample, answer: str) -> tuple[str, str]:
    """MME-RealWorld's own script: the first upper-case A to E, wherever it stands.

    An empty answer is part of the first choice, so it counts as A.
    """
    text = _without_prefixes(answer)
    if len(text.split()) > 10 and not re.search("[ABCDE]", text):
        return "", "none"
    if found := re.search("[ABCDE]", text):
        return found[0], "first letter"
    for letter, choice in zip(sample.letters, sample.choices, strict=True):
        if text.lower() in f"({letter}) {choice}".lower():
            return letter, "choice text"
    return "", "none"


def xlrs_letters(sample: Sample, answer: str) -> tuple[str, str]:  # noqa: ARG001
    """XLRS-Bench in lmms-eval: all letters in parentheses, else every a to e of the text.

    Without any upper-case A to E there is no answer at all.
    """
    text = _without_prefixes(answer)
    if not re.search("[ABCDE]", text):
        return "", "none"
    in_parentheses = re.findall(r"\(([a-eA-E])\)", text)
    found = in_parentheses or re.findall("[a-eA-E]", text)
    rule = "letters in parentheses" if in_parentheses else "all letters"
    return "".join(sorted({letter.upper() for letter in found})), rule


def vstar_letters(sample: Sample, answer: str) -> tuple[str, str]:  # noqa: ARG001
    """V* in lmms-eval: the answer in upper case, so that any word may begin with a letter."""
    text = answer.strip().upper()
    patterns = {
        "first letter": r"^([A-D])",
        "answer is": r"(?:ANSWER|CHOICE|OPTION)(?:\s+IS)?[\s:]+([A-D])",
        "letters in parentheses": r"\(([A-D])\)",
        "letter with a mark": r"([A-D])\s*[.)\]]",
        "letter alone": r"(?:^|\s)([A-D])(?:\s|$)",
    }
    for rule, pattern in patterns.items():
        if found := re.search(pattern, text):
            return found[1], rule
    letters = re.findall("[A-D]", text)
    return (letters[0], "only letter") if len(letters) == 1 else ("", "none")


def strict_letters(sample: Sample, answer: str) -> tuple[str, str]:
    """Only the letter, with or without parentheses and a mark behind; several for multi-select."""
    one = rf"\(?([{sample.letters or 'A'}])\)?[.:)]?"
    text = answer.strip()
    if found := re.fullmatch(one, text):
        return found[1], "letter"
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
        found = re.findall(pattern, text)
        if found and (sample.multi_select or len(set(found)) == 1):
            return "".join(sorted(set(found))), name
        if found:
            return found[-1], f"last of: {name}"
    return _by_text(sample, text)


def _by_text(sample: Sample, text: str) -> tuple[str, str]:
    """The only choice whose words stand in the text, or that the text is."""
    said = text.lower().rstrip(" .")
    pairs = list(zip(sample.letters, (c.lower().rstrip(" .") for c in sample.choices), strict=True))
    same = [letter for letter, choice in pairs if choice == said]
    inside = [
        letter
        for letter, choice in pairs
        if choice and re.search(rf"(?<!\w){re.escape(choice)}(?!\w)", said)
    ]
    for rule, found in (("choice text", same), ("choice inside", inside)):
        if len(found) == 1:
            return found[0], rule
    return "", "none"


def _judge(extract: Extraction) -> Judge:
    def judge(sample: Sample, answer: str) -> Verdict:
        letters, rule = extract(sample, answer)
        return Verdict(bool(letters) and set(letters) == set(sample.answers), rule, letters)

    return judge


def choice_judges(official: Extraction) -> Callable[[object], Mapping[str, Judge]]:
    """All three judges from the extraction of the published script.

    Args:
        official: How the published script finds the letters.
    """
    judges = judges_of(_judge(official), _judge(strict_letters), _judge(lenient_letters))
    return lambda _synonyms: judges
