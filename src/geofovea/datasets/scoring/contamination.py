"""Are benchmark images among those that a model was trained on? By contents, not by names.

An exact hash finds the same file; a difference hash (dHash: which of two neighboring pixels of a
9 × 8 gray thumbnail is brighter) finds the same picture in another size or format. Crops, tiles cut
from a scene, and pictures with little structure escape it, or meet by chance: what is found is a
reason to look, and finding nothing is no proof.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geofovea.datasets.records.rows import Row, read_rows
from geofovea.errors import DataError, SceneError
from geofovea.tiling.files.source import resolve_source
from geofovea.tiling.machine.system_errors import reason_of

__all__ = ["ImageHash", "Match", "find_leaks", "hash_folder", "hash_image", "read_hashes"]

NEAR = 4
"""Bits of 64 in which two difference hashes of one picture may differ."""

_SUFFIXES = frozenset((".tif", ".tiff", ".png", ".jpg", ".jpeg", ".jp2"))
_FLAT = 6
"""Hashes with fewer bits set (or clear) belong to pictures without structure, such as open sea."""


@dataclass(frozen=True, slots=True)
class ImageHash:
    """What an image is known by.

    Attributes:
        name: Path, or whatever a list calls it.
        exact: SHA-256 of the file in hexadecimal digits.
        near: 64-bit difference hash, or None where the file could not be decoded.
    """

    name: str
    exact: str
    near: int | None

    def to_json(self) -> dict[str, str | None]:
        """A row of a hash list."""
        near = None if self.near is None else f"{self.near:016x}"
        return {"name": self.name, "sha256": self.exact, "dhash": near}


@dataclass(frozen=True, slots=True)
class Match:
    """A benchmark image that was found in a training set.

    Attributes:
        image: The benchmark image.
        other: The training image.
        bits: Bits in which the difference hashes differ; None for the same file.
    """

    image: str
    other: str
    bits: int | None


def hash_image(path: Path, name: str | None = None) -> ImageHash:
    """Both hashes of a file; a scene without overviews is decoded once.

    Raises:
        DataError: If the file cannot be read.
    """
    try:
        with path.open("rb") as data:
            exact = hashlib.file_digest(data, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {reason_of(error)}") from error
    return ImageHash(name or str(path), exact, _difference_hash(path))


def _difference_hash(path: Path) -> int | None:
    gray = _thumbnail(path)
    if gray is None:
        return None
    bits = (gray[:, 1:] > gray[:, :-1]).ravel()
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def _thumbnail(path: Path) -> NDArray[np.float64] | None:
    """The picture as 8 × 9 gray values, by averaging."""
    # here, because hashes from a list need no raster library
    import rasterio
    from rasterio.enums import Resampling
    from rasterio.errors import RasterioError

    from geofovea.tiling.files.gdal_settings import gdal_settings
    from geofovea.tiling.machine.rasterio_warnings import without_georeference_warning

    try:
        # a file may not lead to other files or to the network
        driver = resolve_source(path).driver
        with (
            gdal_settings(),
            without_georeference_warning(),
            rasterio.open(path, driver=driver) as dataset,
        ):
            bands = list(range(1, min(3, dataset.count) + 1))
            shape = (len(bands), 8, 9)
            pixels = dataset.read(bands, out_shape=shape, resampling=Resampling.average)
    except (SceneError, RasterioError, OSError):
        return None
    mean: NDArray[np.float64] = pixels.astype(np.float64).mean(0)
    return mean


def hash_folder(
    folder: Path, on_progress: Callable[[float], None] = lambda _: None
) -> Iterator[ImageHash]:
    """Hashes of all images below a folder, names relative to it.

    Raises:
        DataError: If there is no such folder.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is neither a folder of images nor a list of hashes")
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in _SUFFIXES and p.is_file())
    for count, path in enumerate(paths, 1):
        yield hash_image(path, str(path.relative_to(folder)))
        on_progress(count / len(paths))


def read_hashes(path: Path) -> Iterator[ImageHash]:
    """Hashes from a list: rows with ``sha256`` (64 hexadecimal digits), ``dhash`` (16), or both.

    Capital letters mean the same as small ones: some programs write them.

    Raises:
        DataError: If a row has neither, or what it has is not a hash.
    """
    for row in read_rows(path):
        exact, near = row.values.get("sha256"), row.values.get("dhash")
        if not exact and not near:
            raise row.wrong("sha256", "a hash there or under 'dhash'")
        yield ImageHash(
            str(row.values.get("name", row.place)),
            _digits(row, "sha256", 64) if exact else "",
            int(_digits(row, "dhash", 16), 16) if near else None,
        )


def _digits(row: Row, column: str, count: int) -> str:
    """A hash in small letters."""
    text = str(row.values[column]).strip().lower()
    if not re.fullmatch(rf"[0-9a-f]{{{count}}}", text):
        raise row.wrong(column, f"{count} hexadecimal digits")
    return text


def find_leaks(images: Iterable[ImageHash], others: Iterable[ImageHash]) -> list[Match]:
    """Every image that the others hold, with the nearest of them; the same file first.

    Pictures without structure are compared by their files alone.
    """
    references = list(others)
    by_file = {other.exact: other for other in references if other.exact}
    structured = [
        other for other in references if other.near is not None and _has_structure(other.near)
    ]
    codes = np.array([other.near for other in structured], np.uint64)
    matches = []
    for image in images:
        if image.exact in by_file:
            matches.append(Match(image.name, by_file[image.exact].name, None))
        elif image.near is not None and len(codes) and _has_structure(image.near):
            bits = np.bitwise_count(codes ^ np.uint64(image.near))
            nearest = int(bits.argmin())
            if bits[nearest] <= NEAR:
                matches.append(Match(image.name, structured[nearest].name, int(bits[nearest])))
    return matches


def _has_structure(code: int) -> bool:
    return _FLAT <= code.bit_count() <= 64 - _FLAT
