"""Rasters in a folder and all folders below it, those behind symbolic links too."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from geofovea.errors import DataError

__all__ = ["RASTER_SUFFIXES", "find_rasters"]

RASTER_SUFFIXES = (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".jp2", ".j2k", ".j2c")
MOST_ENTRIES = 5_000_000


def find_rasters(folder: Path) -> tuple[list[Path], list[Path]]:
    """Files that are named like rasters, sorted by path.

    Each real folder is searched once, so links in a circle come to an end; of several ways to it
    the one without a link counts, then the first. What is hidden is left out.

    Args:
        folder: Where to begin.

    Returns:
        The files, and the folders that could not be read.

    Raises:
        DataError: If there is too much in it.
    """
    paths: list[Path] = []
    unread: list[Path] = []
    visited: set[tuple[int, int]] = set()
    budget = [MOST_ENTRIES]
    links = [folder]
    while links:
        behind: list[Path] = []
        for link in sorted(links):
            paths += _files(link, visited, behind, unread, budget)
        links = behind
    return sorted(paths), sorted(unread)


def _files(
    folder: Path,
    visited: set[tuple[int, int]],
    links: list[Path],
    unread: list[Path],
    budget: list[int],
) -> Iterator[Path]:
    """Files below a folder; links to folders are put aside, until all that is real was seen."""
    folders = [folder]
    while folders:
        current = folders.pop()
        try:
            status = current.stat()
            if (status.st_dev, status.st_ino) in visited:
                continue
            visited.add((status.st_dev, status.st_ino))
            with os.scandir(current) as entries:
                visible = sorted(e.name for e in entries if not e.name.startswith("."))
        except OSError:
            unread.append(current)
            continue
        budget[0] -= len(visible)
        if budget[0] < 0:
            raise DataError(
                f"{folder} holds more than {MOST_ENTRIES:,} files and folders; name smaller "
                "folders, or list the scenes in a manifest"
            )
        for name in visible:
            path = current / name
            if path.is_dir():
                (links if path.is_symlink() else folders).append(path)
            # a link to nowhere has a row too: it fails with its reason, not without a word
            elif path.suffix.lower() in RASTER_SUFFIXES:
                yield path
