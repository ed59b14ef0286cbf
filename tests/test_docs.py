"""What the documentation names is there."""

import re

import pytest
from repository import ROOT

DOCS = sorted((ROOT / "docs").glob("*.md"))
SUPPORTED = (ROOT / "docs" / "supported.md").read_text(encoding="utf-8")


def source_of_tests():
    return "\n".join(p.read_text(encoding="utf-8") for p in (ROOT / "tests").rglob("*.py"))


def test_every_row_of_what_is_supported_names_a_test_that_is_there():
    tests = set(re.findall(r"^def (test_\w+)", source_of_tests(), re.MULTILINE))
    rows = [line for line in SUPPORTED.splitlines() if re.match(r"\| (?!---)", line)]
    rows = [line for line in rows if not line.endswith("| test |")]
    assert len(rows) > 40
    for row in rows:
        named = re.findall(r"`((?:[\w/]+/)?test_\w+(?:\.py)?)`", row.rsplit(" | ", 1)[-1])
        assert named, row
        for name in named:
            if name.endswith(".py"):
                found = list((ROOT / "tests").rglob(name.rsplit("/", 1)[-1]))
                assert any(str(path).endswith(f"/{name}") for path in found), name
            else:
                assert name in tests, name


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.stem)
def test_files_that_a_page_links_are_there(path):
    text = path.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (path.parent / target).exists(), target
