"""What `make setup` installs is pinned, all of it, and is what the tests run with."""

import os
import platform
import re
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.dependency_groups import resolve_dependency_groups
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "constraints.txt"
# versions of Python whose environments the lock is for
THIS_PYTHON = platform.python_version()
PYTHONS = ("3.11.0", "3.11.9", "3.12.0", "3.13.0")


def pins(python=THIS_PYTHON):
    """Version of each package that the lock pins for a version of Python on Linux."""
    here = {"python_version": ".".join(python.split(".")[:2]), "python_full_version": python}
    here |= {"sys_platform": "linux", "platform_machine": "x86_64"}
    lines = [line for line in LOCK.read_text().splitlines() if line and not line.startswith("#")]
    pinned = {}
    for requirement in map(Requirement, lines):
        if requirement.marker is None or requirement.marker.evaluate(here):
            (version,) = requirement.specifier
            assert version.operator == "==", f"{requirement} is no pin"
            pinned[canonicalize_name(requirement.name)] = Version(version.version)
    return pinned


def declared():
    """Every requirement of the package, of its extras and of those who develop it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    yield from map(Requirement, project["project"]["dependencies"])
    for extra in project["project"]["optional-dependencies"].values():
        # the extra "all" names the others
        yield from (r for r in map(Requirement, extra) if r.name != project["project"]["name"])
    yield from developers_requirements(project)


def developers_requirements(project):
    return map(Requirement, resolve_dependency_groups(project["dependency-groups"], "dev"))


@pytest.mark.parametrize("python", PYTHONS)
def test_the_lock_pins_every_requirement_within_its_range(python):
    pinned = pins(python)
    for requirement in declared():
        version = pinned[canonicalize_name(requirement.name)]
        assert version in requirement.specifier, f"{requirement} against {version}"


def test_the_lock_names_no_index_and_no_address():
    assert not re.search(r"//|^-", LOCK.read_text(), re.MULTILINE)


def wanted(name, extras=(), seen=None):
    """Names of all that an installed package needs here, itself included."""
    seen = {} if seen is None else seen
    key = (canonicalize_name(name), tuple(sorted(extras)))
    if key in seen:
        return seen
    seen[key] = True
    for line in metadata.requires(name) or ():
        requirement = Requirement(line)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in extras or [""]):
            wanted(requirement.name, requirement.extras, seen)
    return seen


@pytest.mark.skipif(
    os.environ.get("GEOFOVEA_ENVIRONMENT") != "locked",
    reason="these packages are not said to come from the lock; `make test` says so",
)
def test_all_that_is_needed_here_is_installed_as_pinned():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    names = {name for name, _ in wanted("geofovea")} - {"geofovea"}
    for tool in developers_requirements(project):
        names |= {name for name, _ in wanted(tool.name, tool.extras)}
    pinned, other = pins(), {}
    for name in names:
        installed = Version(metadata.version(name))
        if Version(installed.public) != pinned.get(name):
            other[name] = (str(installed), str(pinned.get(name)))
    assert not other
