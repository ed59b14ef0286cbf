"""Texts for whoever asks from elsewhere: of a path of this machine they have the last part."""

from __future__ import annotations

import os
import re

from geofovea.pipeline.answers.page.data import scene_name
from geofovea.tiling.machine.paths import is_folder

__all__ = ["without_paths"]

# GDAL's names of files within files begin with those of its readers
_START = re.compile(
    r"(?<![\w.:/\\~-])(?:/vsi[a-z0-9_]+/)*(?P<root>(?:~|[A-Za-z]:)?)(?=[\\/])", re.ASCII
)
_NAMES = re.compile(r"(?:[\\/]+[^\\/\s'\",;:()<>]+)*[\\/]?")
_LONGEST_PATH = 4096


def without_paths(text: str, *known: str) -> str:
    """A text with the last part of each path in place of the path.

    Args:
        text: An error or a warning of this package or of a library.
        known: Paths of files and folders that it may name; what lies below one keeps its place
            there. Of other paths that begin with a folder of this machine the last part is left;
            what begins otherwise is no path, as the address of a page.
    """
    for path in sorted({each for each in known if each}, key=len, reverse=True):
        text = text.replace(path, scene_name(path))
    parts, place = [], 0
    for start in _START.finditer(text):
        end = None if start.start() < place else _end(text, start)
        if end is not None:
            parts += [text[place : start.start()], scene_name(text[start.end() : end])]
            place = end
    return "".join((*parts, text[place:]))


def _end(text: str, start: re.Match[str]) -> int | None:
    """Where a path ends that may begin somewhere; None where none does.

    Names of folders may hold blanks, so it is asked which of them there are.
    """
    begin, names = start.start("root"), start.end()
    before = text[start.start() - 1 : start.start()]
    if before in ("'", '"') and (closed := text.find(before, names)) > 0:
        return closed if start["root"] or _folders(text, begin, names, closed) else None
    folders = _folders(text, begin, names, names + _LONGEST_PATH)
    if not (folders or start["root"]):
        return None
    found = _NAMES.match(text, folders or names)
    return None if found is None else found.end()


def _folders(text: str, begin: int, names: int, end: int) -> int | None:
    """Where the longest beginning of a path ends that is a folder of this machine."""
    ends = (each.start() for each in re.finditer(r"[\\/]", text[names + 1 : end]))
    whole = ((names + 1 + each, text[begin : names + 1 + each]) for each in ends)
    # unlike that of pathlib, this one does not fail where there is no home
    there = (place for place, path in whole if is_folder(os.path.expanduser(path)))  # noqa: PTH111
    return max(there, default=None)
