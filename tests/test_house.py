"""The rooms of the house, how many modules each folder holds, and the arrows between them."""

from __future__ import annotations

import ast
import re
import tomllib
from collections import defaultdict
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

import geofovea

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "geofovea"
FILES = sorted(SOURCE.rglob("*.py"))
MOST_LINES = 400
FEWEST_MODULES, MOST_MODULES = 4, 20
# what a room may import; each knows those before it
ROOMS = {
    "tiling": set(),
    "regionfocus": {"tiling"},
    "datasets": {"tiling"},
    "pipeline": {"regionfocus", "datasets", "tiling"},
}
# floors of a room, the ground first: a folder imports from floors below its own; two folders on
# one floor do not know each other. "." are the modules that stand in the room itself.
FLOORS = {
    "pipeline": [
        {"system"},
        {"inference"},
        {"hosts"},
        {"engine", "answers"},
        {"index"},
        {"focus"},
        {"relations"},
        {"session"},
        {"places"},
        {"dates"},
        {"archive", "runs", "training", "viewer"},
        {"evaluation", "agents", "calibration"},
        {"cli"},
    ],
    "tiling": [
        {"machine"},
        {"remote", "geo"},
        {"files"},
        {"cache"},
        {"pixels"},
        {"overviews", "arrays"},
    ],
    "regionfocus": [
        {"search", "reductions", "rfm", "cache_policies"},
        {"selection", "layer_plans", "resamplers"},
    ],
    "datasets": [{"tables"}, {"records"}, {"synthetic", "scoring", "inputs"}, {"benchmarks"}],
}
# libraries that make an import slow, or that are not always installed
HEAVY = {
    "torch", "transformers", "xarray", "rasterio", "pyvips", "pandas", "geopandas", "pyarrow",
    "matplotlib", "ray", "nltk", "dask", "rich", "httpx2", "huggingface_hub", "safetensors",
    "tokenizers", "shapely", "lmms_eval", "vlmeval", "PIL", "numpy",
}  # fmt: skip
LAZY_NAME = r"geofovea(\.\w+)+"


class Arrow(NamedTuple):
    """One import: of what, and where it stands (``top``, ``function`` or ``types``)."""

    target: str
    place: str


def named(path):
    return str(path.relative_to(SOURCE))


def module_of(path):
    parts = ("geofovea", *path.relative_to(SOURCE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in FILES}


def target_of(module, name):
    """The module that ``from module import name`` imports."""
    return f"{module}.{name}" if f"{module}.{name}" in MODULES else module


def arrows_in(tree):
    """Every import of a file, wherever in it; names of modules that are held as text, too."""

    def walk(node, place):
        if isinstance(node, ast.Import):
            yield from (Arrow(alias.name, place) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            yield from (Arrow(target_of(node.module, a.name), place) for a in node.names)
        elif isinstance(node, ast.Constant) and re.fullmatch(LAZY_NAME, str(node.value)):
            yield Arrow(target_of(*str(node.value).rsplit(".", 1)), "function")
        for child in ast.iter_child_nodes(node):
            yield from walk(child, _place_below(node, child, place))

    yield from walk(tree, "top")


def _place_below(node, child, place):
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
        return "types" if child in node.body else place
    if place == "top" and isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        return "function"
    return place


@cache
def arrows():
    """The arrows of every module."""
    return {m: set(arrows_in(ast.parse(p.read_text("utf-8")))) for m, p in MODULES.items()}


def ours(module, *places):
    """Modules of this package that a module imports in some places."""
    return {a.target for a in arrows()[module] if a.target in MODULES and a.place in places}


def folder_of(module):
    """The folder of a room in which a module stands, or "." for the room itself."""
    parts = MODULES[module].relative_to(SOURCE).parts
    return parts[1] if len(parts) > 2 else "."


def in_room(module):
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in ROOMS else None


def test_the_rooms_are_these_four():
    assert {p.parent.name for p in SOURCE.glob("*/__init__.py")} == set(ROOMS)


def test_imports_between_rooms_follow_the_arrows():
    wrong = []
    for module in MODULES:
        room = in_room(module)
        if module in ("geofovea", "geofovea.__main__"):
            continue
        allowed = ROOMS[room] | {room} if room else set()
        for target in ours(module, "top", "function", "types"):
            if in_room(target) and in_room(target) not in allowed:
                wrong.append(f"{module} -> {target}")
    assert not wrong


@pytest.mark.parametrize("room", FLOORS)
def test_arrows_between_folders_of_a_room_go_down(room):
    floor_of = {folder: n for n, floor in enumerate(FLOORS[room]) for folder in floor}
    wrong = []
    for module in MODULES:
        if in_room(module) != room or folder_of(module) == ".":
            continue
        for target in ours(module, "top", "function"):
            if in_room(target) != room or folder_of(target) in (".", folder_of(module)):
                continue
            if floor_of[folder_of(target)] >= floor_of[folder_of(module)]:
                wrong.append(f"{module} -> {target}")
    assert not wrong


def test_no_module_imports_itself_through_others():
    graph = {
        module: ours(module, "top", "function", "types") - {module, "geofovea"}
        for module in MODULES
        if module != "geofovea"
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(reversed(error.args[1])))


def test_folders_of_a_room_know_each_other_one_way():
    graph = defaultdict(set)
    for module in MODULES:
        for target in ours(module, "top", "function"):
            here, there = MODULES[module].parent, MODULES[target].parent
            # a folder and the one that it stands in may share ground
            if here not in (there, *there.parents) and there not in here.parents:
                graph[named(here / "x")].add(named(there / "x"))
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(reversed(error.args[1])))


def test_a_folder_holds_a_handful_of_modules():
    counts = {}
    for folder in sorted({path.parent for path in FILES} - {SOURCE}):
        modules = [p for p in folder.glob("*.py") if p.name != "__init__.py"]
        # a folder of folders may hold no module of its own
        if modules or not list(folder.glob("*/__init__.py")):
            counts[named(folder / "x")[:-2]] = len(modules)
    wrong = {f: n for f, n in counts.items() if not FEWEST_MODULES <= n <= MOST_MODULES}
    assert not wrong


def test_no_module_of_the_pipeline_stands_outside_a_folder():
    assert [p.name for p in (SOURCE / "pipeline").glob("*.py")] == ["__init__.py"]


def test_the_root_reaches_into_the_rooms_only_when_a_name_is_used():
    assert not [m for m in ours("geofovea", "top") if in_room(m)]


@pytest.mark.parametrize("room", ["tiling", "datasets"])
def test_these_rooms_know_no_torch(room):
    wrong = [
        f"{module} -> {arrow.target}"
        for module, found in arrows().items()
        for arrow in found
        if in_room(module) == room and arrow.target.split(".")[0] in ("torch", "transformers")
    ]
    assert not wrong


def test_the_command_line_and_the_terminal_alone_know_click():
    knowing = {
        module
        for module, found in arrows().items()
        if any(arrow.target.split(".")[0] == "click" for arrow in found)
    }
    assert {m for m in knowing if folder_of(m) != "cli"} == {"geofovea.pipeline.system.terminal"}


def loaded_with(module, seen=None):
    """A module and all of ours that are imported with it."""
    seen = set() if seen is None else seen
    if module not in seen:
        seen.add(module)
        for target in ours(module, "top"):
            loaded_with(target, seen)
    return seen


def test_serving_loads_no_training():
    loaded = loaded_with("geofovea.pipeline.session.ask")
    lazily = {t for m in loaded for t in ours(m, "function")}
    serving = loaded.union(*(loaded_with(m) for m in lazily))
    assert not [m for m in serving if ".pipeline.training." in m or ".pipeline.runs." in m]


def test_imports_inside_functions_are_lazy_on_purpose():
    wrong = []
    for module in MODULES:
        # the command line starts fast: each verb imports what it needs; so do maps of lazy names
        if MODULES[module].name == "__init__.py" or folder_of(module) == "cli":
            continue
        before = loaded_with(module)
        for target in ours(module, "function") - {"geofovea", f"geofovea.{in_room(module)}"}:
            heavy = {
                arrow.target.split(".")[0]
                for each in loaded_with(target) - before
                for arrow in arrows()[each]
                if arrow.place == "top"
            } & HEAVY
            if not heavy:
                wrong.append(f"{module} -> {target}")
    assert not wrong


def test_no_file_is_too_long_to_read():
    lines = {named(path): len(path.read_text("utf-8").splitlines()) for path in FILES}
    assert not {name: count for name, count in lines.items() if count > MOST_LINES}


def test_every_module_says_what_it_is_for():
    assert not [named(p) for p in FILES if not ast.get_docstring(ast.parse(p.read_text("utf-8")))]


def test_the_check_sees_imports_of_every_kind():
    code = "def f():\n import geofovea.errors\n"
    code += "from geofovea import errors\nX = 'geofovea._lazy.lazy_names'\n"
    code += "if TYPE_CHECKING:\n from geofovea.tiling import pyramid\n"
    assert set(arrows_in(ast.parse(code))) == {
        Arrow("geofovea.errors", "function"),
        Arrow("geofovea.errors", "top"),
        Arrow("geofovea._lazy", "function"),
        Arrow("geofovea.tiling.pyramid", "types"),
    }


def test_the_version_is_one_and_the_same_everywhere():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert geofovea.__version__ == project["version"]
    changelog = ROOT / "CHANGELOG.md"
    if not changelog.exists():
        pytest.skip("no CHANGELOG.md beside the package")
    entries = re.findall(r"^## \[?v?(\d[^\s\]]*)", changelog.read_text(encoding="utf-8"), re.M)
    assert entries
    assert entries[0] == project["version"]
