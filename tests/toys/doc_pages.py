"""Pages of the documentation, and the blocks of commands and code on them."""

import re
from pathlib import Path
from typing import NamedTuple

from repository import ROOT

DOCS = ROOT / "docs"
README = ROOT / "README.md"
PAGES = [README, *sorted(DOCS.rglob("*.md"))]
_BLOCK = re.compile(r"^( *)```(\w+)\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)


class Block(NamedTuple):
    """A fenced block: its language, and its text without the indentation of the fence."""

    language: str
    text: str


def name_of(page: Path) -> str:
    """A page as a path from the root of the repository."""
    return page.relative_to(ROOT).as_posix()


def blocks_of(page: Path) -> list[Block]:
    """All fenced blocks of a page that name a language."""
    blocks = []
    for indent, language, text in _BLOCK.findall(page.read_text(encoding="utf-8")):
        lines = [line.removeprefix(indent) for line in text.splitlines()]
        blocks.append(Block(language, "\n".join(lines)))
    return blocks


def commands_of(page: Path) -> list[str]:
    """All lines that a page tells people to type; a line that ends in a backslash goes on."""
    texts = [block.text for block in blocks_of(page) if block.language == "sh"]
    joined = "\n".join(texts).replace("\\\n", " ")
    lines = (re.sub(r"\s+# .*", "", line).strip() for line in joined.splitlines())
    return [" ".join(line.split()) for line in lines if line and not line.startswith("#")]
