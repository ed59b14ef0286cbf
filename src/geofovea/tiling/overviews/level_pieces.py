"""The pieces of a level, made from the image before it: windows, their numbers, what is valid."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from geofovea.tiling.files.handles import open_bytes
from geofovea.tiling.files.source import Source
from geofovea.tiling.files.tiff_directories import stored_blocks
from geofovea.tiling.overviews.averages import (
    Step,
    averages,
    expanded,
    halved_expanded,
    halved_marked,
)
from geofovea.tiling.overviews.level_files import LevelFiles, LevelImage
from geofovea.tiling.overviews.strips import StoredBlocks, pieces_to_copy, pieces_to_halve
from geofovea.tiling.pixels.validity import read_valid
from geofovea.tiling.scene import Scene

__all__ = ["blocks_with_data", "level_pieces", "needs_mask"]


def level_pieces(
    scene: Scene,
    files: LevelFiles,
    source: Any,
    image: LevelImage,
    stored: StoredBlocks | None,
    *,
    is_first: bool,
) -> Iterator[Step]:
    """The pieces of a level from the top down; those of which nothing is stored have no numbers.

    Args:
        scene: What is built for.
        files: How its level files are written.
        source: The image before the level, opened.
        image: The level.
        stored: Which blocks of the image before it are stored; None if all are.
        is_first: Whether that is the scene itself.
    """
    if image.level == 0:
        return _copied(scene, files, source, stored)
    if not is_first:
        return _halved(source, image, stored)
    if files.is_expanded:
        return halved_expanded(scene, files, source, image)
    if files.is_marked:
        return halved_marked(scene, files, source, pieces_to_halve(source, image))
    # the scene may have more bands than its level files
    return _halved(source, image, stored, files.bands)


def blocks_with_data(
    scene: Scene, files: LevelFiles, source: Any, read: Source, nodata: float | None
) -> StoredBlocks | None:
    """Which blocks of an image are stored, where some are not and show what a level file would.

    Args:
        scene: What is built for.
        files: How its level files are written.
        source: The image before a level, opened.
        read: The same as a file.
        nodata: What marks missing pixels in the level file.
    """
    is_native = read is not scene.source or files.base_overview is None
    same = scene.nodata == nodata or (scene.nodata != scene.nodata and nodata != nodata)
    is_plain = scene.mask_kind in ("none", "nodata") and scene.missing is None
    # the directory of the first image tells nothing of another page
    is_plain = is_plain and not (files.is_expanded or files.is_marked or read.page)
    if not (is_native and same and is_plain) or source.driver != "GTiff":
        return None
    with open_bytes(read) as file:
        blocks = stored_blocks(file)
    return None if blocks is None or blocks[0].all() else StoredBlocks(*blocks)


def needs_mask(scene: Scene, files: LevelFiles) -> bool:
    """Whether a mask must be written beside the bands, which do not carry it themselves."""
    if files.is_expanded or files.is_marked:
        return not files.dtype.startswith("float")
    return scene.mask_kind == "internal"


def _copied(
    scene: Scene, files: LevelFiles, source: Any, stored: StoredBlocks | None
) -> Iterator[Step]:
    """The native image from the top down, as it is stored."""
    for window in pieces_to_copy(source):
        if stored is not None and not stored.has_any(window):
            yield window, None, None
            continue
        array = source.read(list(files.bands), window=window)
        valid = None
        if files.is_expanded or files.is_marked:
            array, valid = expanded(scene, files, source, array, window)
        elif needs_mask(scene, files):
            valid = read_valid(source, scene, files.bands, window=window)
        yield window, array, valid


def _halved(
    source: Any,
    image: LevelImage,
    stored: StoredBlocks | None,
    bands: tuple[int, ...] | None = None,
) -> Iterator[Step]:
    """The averages of some bands of an image, mask included, in pieces of level pixels."""
    has_mask = any(flag.name == "per_dataset" for flag in source.mask_flag_enums[0])
    indexes = list(bands or source.indexes)
    for window_source, window in pieces_to_halve(source, image, is_sparse=stored is not None):
        if stored is not None and not stored.has_any(window_source):
            yield window, None, None
            continue
        yield (window, *averages(source, indexes, window, has_mask=has_mask))
