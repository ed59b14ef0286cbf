"""What the package's own metadata requires, what of it is not there, and what installs it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, distribution, version

__all__ = ["Missing", "installed_version", "missing_packages"]

_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)")
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
    found, needed = [], []
    for requirement in requirements:
        wanted, _, condition = (part.strip() for part in requirement.partition(";"))
        name, extra = _REQUIREMENT.match(wanted), _EXTRA.search(condition)
        if name is None or not _is_for_here(condition):
            continue
        reason = _wrong(name[1], wanted)
        if extra is None:
            needed.append((name[1], wanted))
        if reason:
            what = f"geofovea[{extra[1]}]" if extra else wanted
            command = f"pip install '{what}'"
            found.append(Missing(name[1], extra[1] if extra else "", command, reason))
    if any(not missing.extra for missing in found):
        # what is there cannot be blamed for what is not
        return tuple(found)
    return (*_broken(needed), *found)


def _broken(needed: Sequence[tuple[str, str]]) -> Iterator[Missing]:
    """What is installed and does not work."""
    for name, wanted in needed:
        if name not in _WITH_LIBRARIES:
            continue
        try:
            import_module(name)
        except Exception as error:  # whatever a library that does not fit this machine raises
            said = f"{type(error).__name__}: {' '.join(str(error).split()):.160}"
            again = f"pip install --force-reinstall '{wanted}'"
            yield Missing(name, "", again, f"cannot be imported: {said}")


def _is_for_here(condition: str) -> bool:
    """Whether a requirement is for this Python and system, as far as that can be told."""
    rest = re.sub(r"^(and|or)\s+|\s+(and|or)$", "", _EXTRA.sub("", condition).strip(" ()"))
    if not rest:
        return True
    try:
        from packaging.markers import InvalidMarker, Marker
    except ImportError:
        return True
    try:
        return Marker(rest).evaluate()
    except InvalidMarker:
        return True


def _wrong(name: str, wanted: str) -> str:
    """What is wrong with a package by its version; empty if nothing is."""
    found = installed_version(name)
    if found is None:
        return "not installed"
    if not _is_in(found, wanted):
        return f"is {found}, needed is {wanted.removeprefix(name)}"
    return ""


def _is_in(found: str, wanted: str) -> bool:
    """Whether a version is one of those wanted, as far as that can be told."""
    try:
        from packaging.requirements import InvalidRequirement, Requirement
        from packaging.version import InvalidVersion
    except ImportError:
        # it comes with what compares versions too; that is missing then, and named
        return True
    try:
        return Requirement(wanted).specifier.contains(found, prereleases=True)
    except (InvalidRequirement, InvalidVersion):
        return True
