"""What the package's own metadata requires, what of it is not there, and what installs it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.metadata import PackageNotFoundError, distribution, version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from packaging.specifiers import SpecifierSet

__all__ = ["Missing", "installed_version", "missing_packages"]

_NAME = re.compile(r"([A-Za-z0-9._-]+)")
_EXTRA = re.compile(r"extra\s*==\s*['\"]([A-Za-z0-9._-]+)['\"]")
# what brings libraries of its own, so that it may be installed and yet not work
_WITH_LIBRARIES = ("numpy", "torch", "transformers", "rasterio", "pyvips", "shapely")


@dataclass(frozen=True, slots=True)
class Missing:
    """Something that is not installed as it should be.

    Attributes:
        package: What is missing.
        extra: The extra of geofovea that brings it, empty for a requirement of geofovea itself.
        command: What installs it.
        reason: What is wrong.
    """

    package: str
    extra: str
    command: str
    reason: str = "not installed"


def installed_version(name: str) -> str | None:
    """Of a package; None if there is none, or its files are damaged."""
    try:
        # files that were half removed have no version
        return version(name) or None
    except PackageNotFoundError:
        return None


def missing_packages() -> tuple[Missing, ...]:
    """What the package's own metadata names and is not installed, too old, or broken."""
    try:
        requirements = distribution("geofovea").requires or []
    except PackageNotFoundError:
        return (Missing("geofovea", "", "pip install geofovea"),)
    needed = [each for text in requirements if (each := _requirement(text))]
    gaps = []
    for each in needed:
        if reason := _wrong(each):
            what = f"geofovea[{each.extra}]" if each.extra else each.requirement
            gaps.append(Missing(each.name, each.extra, f"pip install '{what}'", reason))
    if any(not missing.extra for missing in gaps):
        # what is there cannot be blamed for what is not
        return tuple(gaps)
    return (*_broken(each for each in needed if not each.extra), *gaps)


def _broken(needed: Iterable[_Requirement]) -> Iterator[Missing]:
    """What is installed and does not work."""
    for each in needed:
        if each.name not in _WITH_LIBRARIES:
            continue
        try:
            import_module(each.name)
        except Exception as error:  # whatever a library that does not fit this machine raises
            reason = f"{type(error).__name__}: {' '.join(str(error).split()):.160}"
            again = f"pip install --force-reinstall '{each.requirement}'"
            yield Missing(each.name, "", again, f"cannot be imported: {reason}")


@dataclass(frozen=True, slots=True)
class _Requirement:
    """One requirement of the package, as far as it can be read.

    Attributes:
        name: Of what is required.
        requirement: The same with its versions, as pip takes it.
        extra: The extra that brings it; empty for a requirement of the package itself.
        versions: Which ones will do; None where that cannot be told.
    """

    name: str
    requirement: str
    extra: str
    versions: SpecifierSet | None = None


def _requirement(text: str) -> _Requirement | None:
    """A line of the metadata; None for one that is for another Python or system."""
    requirement, _, condition = (part.strip() for part in text.partition(";"))
    name, extra = _NAME.match(requirement), _EXTRA.search(condition)
    if name is None:
        return None
    plain = _Requirement(name[1], requirement, extra[1] if extra else "")
    try:
        from packaging.requirements import InvalidRequirement, Requirement
    except ImportError:
        # it is a requirement too: missing then, and named by this
        return plain
    try:
        parsed = Requirement(text)
    except InvalidRequirement:
        return plain
    if parsed.marker is not None and not parsed.marker.evaluate({"extra": plain.extra}):
        return None
    return replace(plain, versions=parsed.specifier)


def _wrong(needed: _Requirement) -> str:
    """What is wrong with a package by its version; empty if nothing is."""
    version_here = installed_version(needed.name)
    if version_here is None:
        return "not installed"
    if needed.versions is None or _will_do(version_here, needed.versions):
        return ""
    return f"is {version_here}, needed is {needed.requirement.removeprefix(needed.name)}"


def _will_do(version_here: str, versions: SpecifierSet) -> bool:
    """Whether a version is one of those that will, as far as that can be told."""
    from packaging.version import InvalidVersion

    try:
        return versions.contains(version_here, prereleases=True)
    except InvalidVersion:
        return True
