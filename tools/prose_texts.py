"""The prose of the project: Markdown, notebooks, docstrings, comments, messages, help texts."""

from __future__ import annotations

import ast
import io
import json
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "geofovea"
# the changelog tells what was, in the words that were true then
MARKDOWN = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / ".github").rglob("*.md")),
    SOURCE / "pipeline" / "embedded_earth" / "README.md",
    SOURCE / "pipeline" / "embedded_model" / "README.md",
]


class Text(NamedTuple):
    """A piece of prose.

    Attributes:
        place: File and line where it starts, or the command whose help it is.
        words: The prose. Code in it is blank, so that positions stay.
        is_public: Whether readers who do not read the source meet it.
    """

    place: str
    words: str
    is_public: bool


# the name of an argument where a docstring explains it
ARGUMENT = re.compile(r"^[ ]+(\w+):(?= )", re.MULTILINE)


def _blank(match: re.Match[str]) -> str:
    return re.sub(r"[^\n]", " ", match[0])


def without_code(text: str) -> str:
    """Markdown or a docstring with its code, links and HTML blank; lines stay where they are."""
    text = re.sub(r"^( *)(```|~~~).*?^\1\2$", _blank, text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"^ *:::.*(?:\n {4}.*)*", _blank, text, flags=re.MULTILINE)
    text = re.sub(r"``[^`]+``|`[^`\n]+`", _blank, text)
    text = re.sub(r"https?://\S+|\]\([^)]*\)|<[^>\n]+>", _blank, text)
    # the words of a demo question, and of what a program printed
    return re.sub(r"\"[^\"\n]{1,80}\"", _blank, text)


def without_fields(text: str) -> str:
    """The text of an f-string without what is filled in."""
    return re.sub(r"\{[^{}]*\}", _blank, text)


def markdown_texts() -> Iterator[Text]:
    """Every page of Markdown, as one text."""
    for path in MARKDOWN:
        yield Text(
            str(path.relative_to(ROOT)), without_code(path.read_text(encoding="utf-8")), True
        )


def notebook_texts() -> Iterator[Text]:
    """Every cell of prose."""
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        for number, cell in enumerate(json.loads(path.read_text(encoding="utf-8"))["cells"]):
            if cell["cell_type"] == "markdown":
                words = without_code("".join(cell["source"]))
                yield Text(f"{path.relative_to(ROOT)} cell {number}", words, True)


def docstring_texts() -> Iterator[Text]:
    """Docstrings of modules, classes and functions; public are those without an underscore."""
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, kinds) and (words := ast.get_docstring(node)):
                line = node.body[0].lineno
                is_public = not getattr(node, "name", "").startswith("_")
                words = ARGUMENT.sub(_blank, without_code(words))
                yield Text(f"{path.relative_to(ROOT)}:{line}", words, is_public)


def comment_texts() -> Iterator[Text]:
    """Comments and messages: strings of several words that are no docstring."""
    for path in sorted(SOURCE.rglob("*.py")):
        reader = io.StringIO(path.read_text(encoding="utf-8")).readline
        for token in tokenize.generate_tokens(reader):
            place = f"{path.relative_to(ROOT)}:{token.start[0]}"
            is_message = token.type == tokenize.STRING and " " in token.string.strip()
            if token.type == tokenize.COMMENT or (is_message and '"""' not in token.string):
                yield Text(place, without_fields(without_code(token.string.strip("\"'#"))), False)


def help_texts() -> Iterator[Text]:
    """What `geofovea VERB --help` prints."""
    import click

    from geofovea.pipeline.cli import main

    def walk(command: click.Command, name: str) -> Iterator[Text]:
        yield Text(f"{name} --help", without_code(command.help or ""), True)
        for parameter in command.params:
            if words := getattr(parameter, "help", None):
                yield Text(f"{name} {parameter.opts[0]}", without_code(words), True)
        for verb, child in getattr(command, "commands", {}).items():
            yield from walk(child, f"{name} {verb}")

    yield from walk(main, "geofovea")
