"""The pages of a TIFF: which images one file holds, and which of them is the scene.

GDAL opens the first and says nothing of the others, and a thumbnail may stand in front. The
directories are read here as they are chained, a bounded number of them; no pixel is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from geofovea.errors import SceneRefusedError
from geofovea.tiling.files.source import Source
from geofovea.tiling.files.tiff_directories import HEIGHT, SAMPLES, WIDTH, Directory, directories

__all__ = ["Page", "choose_page", "pages_of"]

_MOST_DIRECTORIES = 1024
_MOST_NAMED = 6
_SUBFILE_TYPE, _BITS, _PHOTOMETRIC, _FORMAT = 254, 258, 262, 339
_REDUCED, _MASK = 1, 4


@dataclass(frozen=True, slots=True)
class Page:
    """One directory of a TIFF.

    Attributes:
        number: Counted from 1, over all directories, as in ``GTIFF_DIR:2:scene.tif``.
        width: In pixels.
        height: In pixels.
        bands: How many.
        pixel: Bits and sample format of a number.
        is_reduced: It says that it is a smaller version of another one.
        is_mask: It says that it is a mask.
    """

    number: int
    width: int
    height: int
    bands: int
    pixel: tuple[int, int]
    is_reduced: bool = False
    is_mask: bool = False

    @property
    def layout(self) -> tuple[object, ...]:
        """What two pages must share to be of one kind."""
        return self.width, self.height, self.bands, self.pixel

    def __str__(self) -> str:
        band = "band" if self.bands == 1 else "bands"
        reduced = ", reduced" if self.is_reduced else ""
        return f"page {self.number}: {self.width} x {self.height}, {self.bands} {band}{reduced}"


def choose_page(source: Source, file: Any) -> tuple[Source, tuple[str, ...]]:
    """The page of a source that is the scene.

    Args:
        source: What is opened.
        file: The same as an open binary file.

    Returns:
        The source, which may now name a page, and warnings.

    Raises:
        SceneRefusedError: If there is no such page, or pages differ and none was chosen.
    """
    if source.driver != "GTiff":
        return source, ()
    pages = pages_of(file)
    if source.page:
        if pages and source.page not in [page.number for page in pages]:
            raise SceneRefusedError(f"{source.path!r} has no page {source.page}; {_listed(pages)}")
        return source, ()
    full = [page for page in pages if not page.is_reduced and not page.is_mask]
    if not full or (len(full) == 1 and full[0].number == 1):
        return source, ()
    if len(full) == 1 and source.remote is None:
        (page,) = full
        warning = f"the file begins with a smaller image, so {page} is opened"
        return replace(source, page=page.number), (warning,)
    if len({page.layout for page in full}) > 1 or full[0].number != 1:
        raise SceneRefusedError(
            f"{source.path!r} holds {len(full)} images that differ ({_listed(full)}); choose one "
            f"by its page: {_example(source, full)}"
        )
    return source, (
        f"the file holds {len(full)} pages of {full[0].width} x {full[0].height} pixels and only "
        f"page 1 is shown; choose another one by name: {_example(source, full)}",
    )


def _example(source: Source, pages: list[Page]) -> str:
    if source.remote is not None:
        return "download the file, and give GTIFF_DIR:NUMBER:PATH"
    largest = max(pages, key=lambda page: (page.width * page.height, page.number))
    return f"GTIFF_DIR:{largest.number}:{source.path}"


def _listed(pages: list[Page]) -> str:
    names = "; ".join(map(str, pages[:_MOST_NAMED]))
    more = len(pages) - _MOST_NAMED
    return names + (f"; and {more} more" if more > 0 else "")


def pages_of(file: Any) -> list[Page]:
    """The directories of a TIFF, the first thousand at most, as far as they can be read.

    Args:
        file: The TIFF as an open binary file.
    """
    chain = islice(directories(file), _MOST_DIRECTORIES)
    return [_page(number, directory, file) for number, directory in enumerate(chain, 1)]


def _page(number: int, directory: Directory, file: Any) -> Page:
    subfile = directory.number(_SUBFILE_TYPE, 0)
    return Page(
        number,
        directory.number(WIDTH, 0),
        directory.number(HEIGHT, 0),
        directory.number(SAMPLES, 1),
        # one number a band: they may stand outside the directory
        (directory.first(_BITS, 1, file), directory.first(_FORMAT, 1, file)),
        bool(subfile & _REDUCED),
        bool(subfile & _MASK) or directory.number(_PHOTOMETRIC, 0) == _MASK,
    )
