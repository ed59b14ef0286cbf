"""What was handed to a writer, and whether the file holds it.

GDAL writes much of a file when it closes it, and fills what it cannot write then with zeros without
a word: on a full disk, past a quota, past a limit on the size of files. So what was written is
read again and compared by its sums.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from geofovea.errors import SceneReadError
from geofovea.tiling.files.gdal_settings import gdal_settings
from geofovea.tiling.files.handles import open_dataset, read_errors
from geofovea.tiling.files.source import resolve_source
from geofovea.tiling.overviews.checks import BlockChecks, nature_of, sum_of_block

__all__ = ["WriteCheck"]


@dataclass(slots=True)
class WriteCheck:
    """Sums of the windows of one file; 12 bytes or so for each, whatever their size.

    Attributes:
        sums: Window, sum of its values, and of its mask where one was written.
        empty: Windows that were left out, and show nodata or zero.
    """

    sums: list[tuple[Window, int, int | None]] = field(default_factory=list)
    empty: list[Window] = field(default_factory=list)

    def add(
        self, window: Window, values: NDArray[Any], valid: NDArray[np.bool_] | None = None
    ) -> None:
        """Remember values ``(bands, rows, cols)`` of a window, and a mask ``(rows, cols)``."""
        self.sums.append(
            (window, sum_of_block(values), None if valid is None else sum_of_block(valid > 0))
        )

    def add_empty(self, window: Window) -> None:
        """Remember a window that nothing was written to."""
        self.empty.append(window)

    def check(self, path: str | os.PathLike[str]) -> tuple[NDArray[np.uint32], str]:
        """Compare a closed file with what was written, in windows of whole blocks.

        Returns:
            The sums of its blocks, and its nature, as ``LevelChecks`` has them.

        Raises:
            SceneReadError: If it holds anything else, or does not open.
        """
        source = resolve_source(Path(path))
        with gdal_settings(), read_errors(source), open_dataset(source) as dataset:
            checks = BlockChecks(dataset)
            for window, values, valid in self.sums:
                array, mask = dataset.read(window=window), None
                same = sum_of_block(array) == values
                if same and valid is not None:
                    mask = dataset.read_masks(1, window=window) > 0
                    same = sum_of_block(mask) == valid
                checks.add(window, array, mask)
                if not same:
                    raise SceneReadError(
                        f"{source.path!r} does not hold what was written to it in rows "
                        f"{window.row_off} to {window.row_off + window.height}: the disk may be "
                        "full; write it again where it has room"
                    )
            for window in self.empty:
                checks.add_empty(window, dataset)
            return checks.sums, nature_of(dataset)
