"""The questions of ``geofovea ask``: one, or many with one start."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from geofovea._plurals import counted
from geofovea.errors import GeoFoveaError
from geofovea.pipeline.cli.options.shell_words import in_shell_words, told_in_shell_words
from geofovea.pipeline.hosts.endpoint.sanitize import printable
from geofovea.pipeline.system.terminal import echo

if TYPE_CHECKING:
    from geofovea.pipeline.answers.answer import Answer
    from geofovea.pipeline.runs.many_questions import ManyQuestions

__all__ = ["QuestionInput", "questions_of", "tell_all"]

_STANDARD_INPUT = "-"
_MAX_QUOTED = 80


@dataclass(frozen=True, slots=True)
class QuestionInput:
    """The questions that the command line asks.

    Attributes:
        words: Questions that stand there.
        files: Files of more; None for standard input.
    """

    words: tuple[str, ...]
    files: tuple[Path | None, ...]

    @property
    def only(self) -> str | None:
        """The question, where there is one alone."""
        return self.words[0] if len(self.words) == 1 and not self.files else None

    def check_outputs(self, *paths: Path | None) -> None:
        """Refuse files that are of one question, where there may be several.

        Raises:
            UsageError: If there is such a file.
        """
        if self.only is None and any(paths):
            raise click.UsageError(
                "--output, --save-geojson, --save-png, --page and --open are for one question: ask "
                "it alone. "
                "With --json each answer holds its evidence; geofovea batch writes one file of all"
            )

    def check_files(self) -> None:
        """Refuse a file that cannot be read, before anything is loaded.

        Raises:
            DataError: If there is one.
        """
        from geofovea.pipeline.session.question_lines import open_questions

        for path in self.files:
            with open_questions(path, 1):
                pass


def questions_of(words: tuple[str, ...], file: str | None) -> QuestionInput:
    """The questions from the words of the command line and from ``--questions``.

    Raises:
        UsageError: If there is no question, or one that was not put in quotes.
    """
    questions = tuple(word for word in words if word != _STANDARD_INPUT)
    names = [_STANDARD_INPUT] * (len(questions) < len(words)) + ([] if file is None else [file])
    files = tuple(None if name == _STANDARD_INPUT else Path(name) for name in dict.fromkeys(names))
    if not questions and not files:
        raise click.UsageError("Missing argument 'QUESTION', or --questions FILE.")
    # one question without quotes comes in words; several of one word each end like questions
    is_torn = len(questions) > 1 and not any(" " in word.strip() for word in questions)
    if is_torn and not all(word.endswith("?") for word in questions):
        raise click.UsageError(
            f"each question is one argument, got {len(questions)} of one word each: put a question "
            f'in quotes, such as "{printable(" ".join(questions), _MAX_QUOTED)}"'
        )
    return QuestionInput(questions, files)


def tell_all(
    many: ManyQuestions,
    source: QuestionInput,
    *,
    as_json: bool,
    show: Callable[[Answer], None],
) -> None:
    """Ask all, and print each with its answer and cost, or why there is none.

    Exits with 1 if some failed; all others were asked all the same.
    """
    from geofovea.pipeline.runs.many_questions import Tally

    tally = Tally()

    def tell(question: str, end: Answer | Exception) -> None:
        if as_json:
            echo(json.dumps(_record(question, end)))
        elif isinstance(end, Exception):
            echo(f"error: {printable(question, _MAX_QUOTED)!r}: {_one_line(end)}", err=True)
        else:
            echo(printable(question, len(question)))
            show(end)

    try:
        many.ask(source.words, source.files, tell, tally)
    except (GeoFoveaError, KeyboardInterrupt) as error:
        error.add_note(f"{counted(tally.answered, 'answer')} printed, {tally.failed} failed")
        raise
    if tally.failed:
        total = tally.answered + tally.failed
        echo(f"error: {tally.failed} of {total} questions failed", err=True)
        sys.exit(1)


def _record(question: str, end: Answer | Exception) -> dict[str, Any]:
    if isinstance(end, Exception):
        return {"question": question, "answer": None, "error": _one_line(end)}
    return told_in_shell_words(end).to_json()


def _one_line(error: Exception) -> str:
    from geofovea.pipeline.runs.outcome import in_one_line

    return in_shell_words(in_one_line(error), click.get_current_context().command)
