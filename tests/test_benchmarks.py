"""The index of the benchmarks, and every command that a page shows for one of them."""

import re

import pytest
from repository import ROOT

FOLDER = ROOT / "benchmarks"
SCRIPTS = sorted(FOLDER.glob("*.py"))
PAGES = [FOLDER / "README.md", ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMAND = re.compile(r"benchmarks/(\w+\.py)((?:[ \t]+[^\s`|)]+)*)")


def commands():
    for page in (*PAGES, *SCRIPTS):
        for script, words in COMMAND.findall(page.read_text(encoding="utf-8")):
            options = re.findall(r"--[a-z][\w-]*", words)
            yield pytest.param(script, options, id=f"{page.name}: {script}")


@pytest.mark.parametrize(("script", "options"), list(commands()))
def test_a_command_that_a_page_shows_names_a_script_and_its_options(script, options):
    path = FOLDER / script
    assert path.is_file()
    known = set(re.findall(r'add_argument\(\s*"(--[\w-]+)"', path.read_text(encoding="utf-8")))
    assert set(options) <= known


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_the_index_shows_the_command_of_every_script_and_names_what_they_share(path):
    index = (FOLDER / "README.md").read_text(encoding="utf-8")
    is_script = "__main__" in path.read_text(encoding="utf-8")
    assert index.count(f"`python benchmarks/{path.name}") == is_script
    assert is_script or f"| `{path.name}` |" in index
