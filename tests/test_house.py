"""The rooms of the house and the direction of the arrows between them."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

import geofovea

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "geofovea"
FILES = sorted(SOURCE.rglob("*.py"))
MAY_IMPORT = {
    "tiling": {"tiling"},
    "regionfocus": {"regionfocus", "tiling"},
    "datasets": {"datasets", "tiling"},
    "pipeline": {"pipeline", "regionfocus", "datasets", "tiling"},
}
ROOMS = set(MAY_IMPORT)
MOST_LINES = 400
# the maps of lazy names hold modules as text
LAZY_NAME = r"geofovea(\.\w+)+"


def named(path):
    return str(path.relative_to(SOURCE))


def imported(tree):
    """Names of this package's modules that a file imports, wherever in it, lazily or not."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and re.fullmatch(LAZY_NAME, str(node.value)):
            yield node.value


def rooms_of(path):
    names = imported(ast.parse(path.read_text(encoding="utf-8")))
    parts = (name.split(".") for name in names if name.startswith("geofovea."))
    return {part[1] for part in parts} & ROOMS


@pytest.mark.parametrize("path", FILES, ids=named)
def test_imports_follow_the_arrows(path):
    room = path.relative_to(SOURCE).parts[0]
    if room in ROOMS:
        assert rooms_of(path) <= MAY_IMPORT[room]
    elif path != SOURCE / "__init__.py":
        assert rooms_of(path) == set()


def test_the_check_sees_imports_of_every_kind():
    code = "def f():\n import geofovea.pipeline.cli.program\n"
    code += "from geofovea import datasets\nX = 'geofovea.tiling'"
    found = {name.split(".")[1] for name in imported(ast.parse(code)) if "." in name}
    assert found == {"pipeline", "datasets", "tiling"}


def test_the_root_reaches_into_the_rooms_only_when_a_name_is_used():
    tree = ast.parse((SOURCE / "__init__.py").read_text(encoding="utf-8"))
    at_once = {n.module for n in tree.body if isinstance(n, ast.ImportFrom)}
    assert not {name for name in at_once if name.split(".")[-1] in ROOMS or "pipeline" in name}


def test_the_rooms_are_these_four():
    assert {p.parent.name for p in SOURCE.glob("*/__init__.py")} == ROOMS


@pytest.mark.parametrize("room", ["tiling", "datasets"])
def test_these_rooms_know_no_torch(room):
    for path in (SOURCE / room).rglob("*.py"):
        names = set(imported(ast.parse(path.read_text(encoding="utf-8"))))
        assert not {n for n in names if n.split(".")[0] in ("torch", "transformers")}, named(path)


@pytest.mark.parametrize("path", FILES, ids=named)
def test_no_file_is_too_long_to_read(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MOST_LINES


@pytest.mark.parametrize("path", FILES, ids=named)
def test_every_module_says_what_it_is_for(path):
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


def test_the_version_is_one_and_the_same_everywhere():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert geofovea.__version__ == project["version"]
    changelog = ROOT / "CHANGELOG.md"
    if not changelog.exists():
        pytest.skip("no CHANGELOG.md beside the package")
    entries = re.findall(r"^## \[?v?(\d[^\s\]]*)", changelog.read_text(encoding="utf-8"), re.M)
    assert entries
    assert entries[0] == project["version"]
