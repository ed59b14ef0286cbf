"""Writes American spellings in place: in Markdown, notebooks, docstrings, comments and messages.

Names stay as they are: identifiers, arguments that a docstring explains, words in backticks,
strings of one word (keys, columns, options), and the replacement fields of f-strings.
"""

from __future__ import annotations

import io
import json
import re
import tokenize
from pathlib import Path

from prose_texts import ARGUMENT, MARKDOWN, ROOT, without_code, without_fields
from prose_words import REPLACEABLE, american

# prompts, answers and texts of others are data: only what explains them is ours
DATA = ("datasets/benchmarks", "datasets/scoring", "datasets/synthetic")
_LITERAL = re.compile(r"^(\w*)(\"\"\"|'''|\"|')(.*)\2$", re.DOTALL)


def american_text(original: str, prose: str) -> str:
    """A text with American spelling.

    Args:
        original: The text.
        prose: The same, of the same length, with blanks for what must stay.
    """
    pieces, end = [], 0
    for match in REPLACEABLE.finditer(prose):
        pieces += [original[end : match.start()], american(match[0])]
        end = match.end()
    return "".join(pieces) + original[end:]


def american_markdown(text: str) -> str:
    """A page with American spelling."""
    return american_text(text, without_code(text))


def _literal(token: str, is_docstring: bool) -> str:
    prefix, quote, body = _LITERAL.fullmatch(token).groups()  # type: ignore[union-attr]
    if not is_docstring and " " not in body.strip():
        return token
    prose = without_code(body)
    if is_docstring:
        prose = ARGUMENT.sub(lambda m: " " * len(m[0]), prose)
    if "f" in prefix.lower():
        prose = without_fields(prose)
    return prefix + quote + american_text(body, prose) + quote


def american_python(text: str, is_data: bool = False) -> str:
    """A module with American spelling in its docstrings, comments and messages."""
    lines = text.splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    for token in reversed(list(tokenize.generate_tokens(io.StringIO(text).readline))):
        start = starts[token.start[0] - 1] + token.start[1]
        end = starts[token.end[0] - 1] + token.end[1]
        if token.type == tokenize.COMMENT:
            better = american_text(token.string, without_code(token.string))
        elif token.type == tokenize.STRING and '"""' in token.string:
            better = _literal(token.string, is_docstring=True)
        elif token.type == tokenize.STRING and not is_data:
            better = _literal(token.string, is_docstring=False)
        else:
            continue
        text = text[:start] + better + text[end:]
    return text


def american_notebook(text: str) -> str:
    """A notebook with American spelling in its prose."""
    notebook = json.loads(text)
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            source = american_markdown("".join(cell["source"]))
            cell["source"] = source.splitlines(keepends=True)
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def write_american() -> list[Path]:
    """Rewrite all files that need it; returns these."""
    changed = []
    modules = [path for top in ("src", "benchmarks", "tools", "tests")
               for path in sorted((ROOT / top).rglob("*.py"))]  # fmt: skip
    notebooks = sorted((ROOT / "notebooks").glob("*.ipynb"))
    for path in (*MARKDOWN, *notebooks, *modules):
        if path.name in ("prose_words.py", "test_prose.py", "CHANGELOG.md"):
            continue
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".py":
            better = american_python(text, any(part in path.as_posix() for part in DATA))
        elif path.suffix == ".ipynb":
            better = american_notebook(text) if REPLACEABLE.search(text) else text
        else:
            better = american_markdown(text)
        if better != text:
            path.write_text(better, encoding="utf-8")
            changed.append(path)
    return changed
