"""Which level files a scene needs, decided from its layout alone: no pixel is read.

A pyramid needs a small image for every coarse level. If a file has none, its levels are computed
once and kept as *level files*, one tiled TIFF for each level. Each is written once, from top to
bottom, from the one before it. One file with overviews inside would not do, because GDAL cannot
stream overviews into a file that it is still writing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from geofovea.errors import GeometryError
from geofovea.tiling.files.formats import drivers_where
from geofovea.tiling.pixels.alpha import is_masked_by_gdal
from geofovea.tiling.scene import Scene, once_per_scene

__all__ = [
    "DECODE_ONCE_PIXELS",
    "AccessMode",
    "LevelBuilder",
    "LevelFiles",
    "LevelImage",
    "LevelLimits",
    "access_mode",
    "level_files_of",
]

LevelBuilder = Literal["streamed", "pyvips"]
AccessMode = Literal["direct", "decode_once", "level_files"]

DECODE_ONCE_PIXELS = 16 * 2**20
"""An image of at most this many pixels is decoded as a whole when it must be, in about 0.2 s."""

BLOCK_SIDE = 256
"""Side of a block of a level file. A tile of 336 pixels touches 0.35 Mpx of such blocks on average,
half of what it touches of blocks of 512."""

_SMALLEST_SIDE = 256
_BUILD_DRIVERS = drivers_where("can_build_levels")
# libvips holds some five times as much as a row of blocks
_VIPS_ROW_BYTES = 64 * 2**20
# what libtiff of the pyvips wheel decodes; ZSTD, LERC and LZMA come out black there
_VIPS_CODECS = ("", "none", "lzw", "deflate", "packbits", "jpeg", "webp")


@dataclass(frozen=True, slots=True)
class LevelLimits:
    """What the building of level files may cost.

    Attributes:
        pixels: Most pixels of the image that is read. A file of a kilobyte can claim 10**12.
        seconds: Longest time for all levels, and longest wait for another process that builds.
        spare_bytes: Disk space that must remain free.

    Raises:
        GeometryError: If a limit is not positive.
    """

    pixels: int = 2**34
    seconds: float = 3600.0
    spare_bytes: int = 256 * 2**20

    def __post_init__(self) -> None:
        if self.pixels < 1 or self.seconds <= 0 or self.spare_bytes < 0:
            raise GeometryError(f"limits of a build must be positive, got {self}")


@dataclass(frozen=True, slots=True)
class LevelImage:
    """One level file.

    Attributes:
        level: Which level it holds; 0 is a tiled copy of the native image.
        width: In level pixels.
        height: In level pixels.

    Raises:
        GeometryError: If the level is negative or the image is empty.
    """

    level: int
    width: int
    height: int

    def __post_init__(self) -> None:
        if self.level < 0 or min(self.width, self.height) < 1:
            raise GeometryError(f"a level file needs a level >= 0 and an area, got {self}")

    @property
    def name(self) -> str:
        """Name of the file in its folder."""
        return f"level_{self.level}.tif"

    @property
    def block_shape(self) -> tuple[int, int]:
        """``(height, width)`` of a block."""
        return BLOCK_SIDE, BLOCK_SIDE


@dataclass(frozen=True, slots=True)
class LevelFiles:
    """The level files of one scene, finest first, whether they are built yet or not.

    Attributes:
        images: The files; each but the first is made from the one before it.
        base_overview: Index of the overview that the first is made from; None for the native image.
        builder: What makes the first file; ``pyvips`` only ever copies the native image.
        bands: Bands of the scene that they are made from, counted from 1.
        count: Bands of each file; a palette becomes three.
        dtype: Pixel type of each file.
        is_expanded: The files hold what the pixels show and not what is stored, because that may
            not be averaged: RGB instead of palette indexes, power instead of complex numbers.
        is_marked: Missing pixels are found before the first average, because GDAL does not know
            them, or weighs them by how transparent they are: the files hold NaN there, or a mask of
            their own. So are scans in which zero is white, whose halves GDAL rounds down.

    Raises:
        GeometryError: If levels do not follow one another.
    """

    images: tuple[LevelImage, ...]
    base_overview: int | None
    builder: LevelBuilder
    count: int
    dtype: str
    is_expanded: bool
    bands: tuple[int, ...] = ()
    is_marked: bool = False

    def __post_init__(self) -> None:
        levels = [image.level for image in self.images]
        if not levels or levels != list(range(levels[0], levels[0] + len(levels))):
            raise GeometryError(f"level files must follow one another, got levels {levels}")

    @property
    def is_palette(self) -> bool:
        """Whether one band of indexes has become three of colors."""
        return self.is_expanded and self.dtype == "uint8"

    @property
    def copies_native(self) -> bool:
        """Whether native tiles are read from a tiled copy too."""
        return self.images[0].level == 0

    @property
    def most_bytes(self) -> int:
        """Size of all files without compression, which they do not exceed by much."""
        pixels = sum(image.width * image.height for image in self.images)
        return pixels * self.count * np.dtype(self.dtype).itemsize

    def image(self, level: int) -> LevelImage:
        """The file of one level.

        Raises:
            GeometryError: If there is none.
        """
        for image in self.images:
            if image.level == level:
                return image
        raise GeometryError(
            f"there is no level file {level}; there are {[i.level for i in self.images]}"
        )


def access_mode(scene: Scene) -> AccessMode:
    """How tiles of a scene are read.

    ``level_files``: a local file whose coarse tiles would decode much of it. ``decode_once``: a
    small one without random access, kept in memory as a whole. ``direct``: everything else; JPEG
    2000 has its own resolutions inside, and a virtual raster or a remote file cannot tell whether
    its pixels changed, so nothing of it is kept.
    """
    if level_files_of(scene) is not None:
        return "level_files"
    is_small = scene.width * scene.height <= DECODE_ONCE_PIXELS
    # the overviews of a JPEG are not stored: each costs a decode of the rows above, as the image
    has_overviews = bool(scene.overviews) and scene.driver != "JPEG"
    if is_small and not scene.has_random_access and not has_overviews:
        return "decode_once"
    return "direct"


@once_per_scene
def level_files_of(scene: Scene) -> LevelFiles | None:
    """The level files that a scene needs; None if it is read without any."""
    if not _needs_level_files(scene):
        return None
    bands_shown = scene.shown_bands or tuple(range(1, scene.count + 1))
    colors = tuple(band for band in bands_shown if band != scene.alpha) or bands_shown
    is_palette = len(colors) == 1 and scene.colorinterp[colors[0] - 1] == "palette"
    is_complex = scene.dtype.startswith("complex")
    is_marked = not is_masked_by_gdal(scene) or scene.mask_kind == "alpha" or scene.is_min_white
    bands = tuple(sorted(set(colors if is_palette else bands_shown)))
    first, base_overview = _first_level(scene)
    return LevelFiles(
        images=tuple(_images(scene, first)),
        base_overview=base_overview,
        builder="pyvips" if first == 0 and _is_for_vips(scene) else "streamed",
        count=3 if is_palette else len(bands),
        dtype="uint8" if is_palette else "float32" if is_complex else scene.dtype,
        is_expanded=is_palette or is_complex,
        bands=bands,
        is_marked=is_marked,
    )


def _needs_level_files(scene: Scene) -> bool:
    """Whether this is a large local file that can be read, and none of its overviews is small."""
    is_local_file = scene.source.remote is None and scene.size_bytes > 0
    if not is_local_file or scene.driver not in _BUILD_DRIVERS:
        return False
    sizes = ((scene.width, scene.height), *_stored_overview_sizes(scene))
    return all(width * height > DECODE_ONCE_PIXELS for width, height in sizes)


def _stored_overview_sizes(scene: Scene) -> tuple[tuple[int, int], ...]:
    """``(width, height)`` of each overview, without those that GDAL computes from a whole JPEG."""
    return () if scene.driver == "JPEG" else scene.overview_sizes


def _first_level(scene: Scene) -> tuple[int, int | None]:
    """The finest level to build, and the overview that it is made from; None is the native image.

    It follows the coarsest overview that has exactly the size of a level.
    """
    # what the caller declared missing must be marked before anything is averaged
    if not scene.has_random_access or scene.missing is not None:
        return 0, None
    first, base_overview = 1, None
    for index, size in enumerate(_stored_overview_sizes(scene)):
        level = _level_of_size(scene, size)
        if level is not None and level >= first:
            first, base_overview = level + 1, index
    return first, base_overview


def _level_of_size(scene: Scene, size: tuple[int, int]) -> int | None:
    level = 1
    while max(scene.level_size(level)) > max(size):
        level += 1
    return level if scene.level_size(level) == size else None


def _images(scene: Scene, first: int) -> list[LevelImage]:
    images = [LevelImage(first, *scene.level_size(first))]
    while max(images[-1].width, images[-1].height) > _SMALLEST_SIDE:
        level = images[-1].level + 1
        images.append(LevelImage(level, *scene.level_size(level)))
    return images


def _is_for_vips(scene: Scene) -> bool:
    """Whether libvips decodes these pixels as GDAL does, as far as the layout tells."""
    return (
        scene.dtype in ("uint8", "uint16")
        and scene.count <= 4
        and BLOCK_SIDE * scene.width * scene.count * np.dtype(scene.dtype).itemsize
        <= _VIPS_ROW_BYTES
        and scene.mask_kind == "none"
        and scene.missing is None
        and not scene.is_min_white
        and scene.source.page <= 1
        and scene.shown_bands in ((), tuple(range(1, scene.count + 1)))
        and not {"palette", "alpha", "cyan", "magenta", "yellow", "black"} & set(scene.colorinterp)
        and (scene.driver != "GTiff" or scene.compression in _VIPS_CODECS)
        # libvips takes the bands of a file with separate planes for pages
        and (scene.interleave == "pixel" or scene.count == 1)
    )
