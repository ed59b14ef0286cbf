"""Reads our prose: American spelling, no house words, and what proselint knows of plain English.

    python tools/check_prose.py          # every fault, one line each
    python tools/check_prose.py --fix    # write American spellings in place

Spelling is checked everywhere: pages, docstrings, comments, messages, help. House words and
proselint are checked where people read who do not read the source.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from prose_fixes import write_american
from prose_texts import (
    Text,
    comment_texts,
    docstring_texts,
    help_texts,
    markdown_texts,
    notebook_texts,
)
from prose_words import BRITISH_WORD, HOUSE_WORD, american, instead_of

# what these want is typography, or no matter of plain English
LEFT_OUT = (
    "typography", "dates_times", "needless_variants", "misc.capitalization", "misc.currency",
    "misc.metadiscourse", "misc.phrasal_adjectives", "misc.preferred_forms", "misc.professions",
    "punctuation", "restricted", "scientific", "lexical_illusions",
)  # fmt: skip
HISTORY = ("CHANGELOG.md",)


def _place(text: Text, start: int) -> str:
    line = text.words.count("\n", 0, start)
    name, colon, first = text.place.partition(":")
    if colon:
        return f"{name}:{int(first) + line}"
    return f"{name}:{line + 1}" if name.endswith(".md") else name


def spelling_faults(text: Text) -> Iterator[str]:
    """British spellings of a text."""
    for match in BRITISH_WORD.finditer(text.words):
        yield f"{_place(text, match.start())}: {match[0]!r}: write {american(match[0])!r}"


def house_faults(text: Text) -> Iterator[str]:
    """Words of a text that only we would use."""
    for match in HOUSE_WORD.finditer(text.words):
        yield f"{_place(text, match.start())}: {match[0]!r}: write {instead_of(match[0])}"


class Proselint:
    """What proselint says, without the checks that are left out."""

    def __init__(self) -> None:
        from proselint.checks import __register__
        from proselint.config import DEFAULT
        from proselint.registry import CheckRegistry
        from proselint.tools import LintFile

        registry = CheckRegistry()
        if not registry.checks:
            registry.register_many(__register__)
        # the more particular name comes first: the first that fits decides
        checks = dict.fromkeys(sorted(LEFT_OUT, key=len, reverse=True), False)
        checks |= {name: True for name in DEFAULT["checks"] if name not in LEFT_OUT}
        self._config = {"max_errors": 10_000, "checks": checks}
        self._file = LintFile

    def faults(self, text: Text) -> Iterator[str]:
        """Faults of a text."""
        if not text.words.strip():
            return
        for found in self._file(text.place, text.words).lint(self._config):
            result = found.check_result
            # the file adds a line in front
            start = max(0, result.span[0] - 1)
            words = text.words[start : result.span[1] - 1].strip()
            yield f"{_place(text, start)}: {words!r}: {result.message} ({result.check_path})"


def faults() -> Iterator[str]:
    """Every fault of every text, one line each."""
    proselint = Proselint()
    texts = (markdown_texts, notebook_texts, docstring_texts, comment_texts, help_texts)
    for text in (text for collect in texts for text in collect()):
        if text.place in HISTORY:
            continue
        yield from spelling_faults(text)
        if text.is_public:
            yield from house_faults(text)
            yield from proselint.faults(text)


def main() -> int:
    """Mend what was asked for, and print all faults that are left; 1 if there are any."""
    if sys.argv[1:] == ["--fix"]:
        print("\n".join(f"changed {path}" for path in write_american()))
    found = sorted(set(faults()))
    print("\n".join(found) if found else "prose: no faults")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
