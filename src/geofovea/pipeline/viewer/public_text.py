"""Texts for whoever asks from elsewhere: of a path of this machine they have the last part."""

from __future__ import annotations

import re

from geofovea.pipeline.answers.page.data import scene_name

__all__ = ["without_paths"]

_OTHER = r"[^\\/\s'\",;:()<>]"
# names of folders may hold blanks within, the last name of a path may not: words follow it
_NAME = rf"{_OTHER}(?:[^\\/'\",;:()<>]{{0,80}}{_OTHER})?"
# GDAL's names of files within files begin with those of its readers
_READERS = r"(?:/vsi[a-z0-9_]+/)*"
_ROOT = r"(?:~|[A-Za-z]:)"
# what a server answers at is no path of its machine
_BEGIN = r"(?<![\w.:/\\~-])(?!/(?:v1|api|chat)/)"
_PATH = re.compile(
    rf"{_BEGIN}{_READERS}(?:{_ROOT}(?:[\\/]+{_NAME})*|(?:[\\/]+{_NAME})+)[\\/]+{_OTHER}+[\\/]?",
    re.ASCII,
)
_QUOTED = re.compile(rf"(?<=['\"]){_READERS}{_ROOT}?[\\/][^'\"]*[\\/][^'\"]*", re.ASCII)


def without_paths(text: str, *known: str) -> str:
    """A text with the last part of each path in place of the path.

    A path is told by its form, and not by whether there is such a folder: texts may repeat words of
    whoever asks, who would learn that.

    Args:
        text: An error or a warning of this package or of a library.
        known: Paths of files and folders that it may name; what lies below one keeps its place
            there.
    """
    for path in sorted({each for each in known if each}, key=len, reverse=True):
        text = text.replace(path, scene_name(path))
    for form in (_QUOTED, _PATH):
        text = form.sub(lambda found: scene_name(found[0]), text)
    return text
