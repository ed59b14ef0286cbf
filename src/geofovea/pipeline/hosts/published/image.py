"""The pixels of the published pyramid: one image, resized, padded and cut as its code does it.

The image is in memory whole, for the numbers depend on resizing every level from native pixels
(bilinear without antialiasing, after normalization). The levels are not: each is made when it is
asked for, one channel at a time.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from geofovea.errors import SceneNotFoundError, SceneReadError, SceneRefusedError
from geofovea.pipeline.inference.vision.pixels import CLIP_MEAN, CLIP_STD
from geofovea.regionfocus.rfm.published_geometry import TILE_SIDE, PublishedPlan, plan_published
from geofovea.tiling.machine.system_errors import reason_of

__all__ = ["MOST_PIXELS", "PublishedImage", "normalized", "read_whole", "refuse_huge"]

MOST_PIXELS = 2**30
"""The largest image that is read whole: 3 GiB of pixels, and 4 GiB more while a level is made."""


class PublishedImage:
    """An image with its plan; tiles are made on demand."""

    def __init__(self, pixels: NDArray[np.uint8]) -> None:
        """Plan the pyramid of an image.

        Args:
            pixels: uint8 ``(height, width, 3)``, RGB.

        Raises:
            SceneReadError: If that is not what it is.
            SceneRefusedError: If it has more than ``MOST_PIXELS``.
            GeometryError: If the method has no levels for this size.
        """
        if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8:
            raise SceneReadError(
                "the published method takes RGB as uint8 (height, width, 3), got "
                f"{pixels.dtype} {pixels.shape}"
            )
        height, width = pixels.shape[:2]
        refuse_huge(height, width, "an image")
        self.pixels = pixels
        self.plan: PublishedPlan = plan_published(height, width)

    def global_tile(self) -> Tensor:
        """The whole image in one tile, float32 ``(1, 3, 336, 336)``, normalized, zero padded."""
        return self._resized(self.plan.global_resized, (TILE_SIDE, TILE_SIDE))[None]

    def tiles(self, level: int) -> Tensor:
        """All tiles of a level, float32 ``(rows, columns, 3, 336, 336)``, normalized."""
        level_plan = self.plan.levels[level]
        rows, cols = level_plan.blocks
        whole = self._resized(level_plan.resized, level_plan.padded)
        cut = whole.view(3, rows, TILE_SIDE, cols, TILE_SIDE)
        return cut.permute(1, 3, 0, 2, 4)

    def _resized(self, resized: tuple[int, int], padded: tuple[int, int]) -> Tensor:
        """``(3, height, width)``: the picture at the top left, zeros (mean color) elsewhere."""
        result = torch.zeros(3, *padded)
        for channel, (mean, std) in enumerate(zip(CLIP_MEAN, CLIP_STD, strict=True)):
            plane = torch.from_numpy(np.ascontiguousarray(self.pixels[:, :, channel]))
            # before resizing, as the released code does: rounding depends on the order
            plane = plane.float().div_(255).sub_(mean).div_(std)
            small = F.interpolate(plane[None, None], resized, mode="bilinear", align_corners=False)
            result[channel, : resized[0], : resized[1]] = small[0, 0]
        return result


def normalized(pixels: NDArray[np.uint8]) -> Tensor:
    """Pictures uint8 ``(n, height, width, 3)`` as a CLIP tower takes them: ``(n, 3, ...)``."""
    scaled = torch.from_numpy(pixels).float().div_(255)
    return ((scaled - torch.tensor(CLIP_MEAN)) / torch.tensor(CLIP_STD)).permute(0, 3, 1, 2)


def read_whole(path: str | Path) -> NDArray[np.uint8]:
    """The pixels of an image file as RGB, uint8 ``(height, width, 3)``, through PIL.

    Raises:
        SceneNotFoundError: If there is no such file.
        SceneRefusedError: If it has more than ``MOST_PIXELS``.
        SceneReadError: If it is not a picture that PIL can read.
    """
    from PIL import Image

    path = Path(path)
    if not path.is_file():
        raise SceneNotFoundError(f"there is no file {path}")
    most, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None  # our own limit stands below
    try:
        with Image.open(path) as picture:
            refuse_huge(picture.height, picture.width, str(path))
            return np.asarray(picture.convert("RGB"))
    except SceneReadError:
        raise  # our own is an OSError, too
    except (OSError, SyntaxError, ValueError) as error:
        raise SceneReadError(
            f"{path} could not be read as a picture: {reason_of(error)}"
        ) from error
    finally:
        Image.MAX_IMAGE_PIXELS = most


def refuse_huge(height: int, width: int, name: str) -> None:
    """Refuse what is too large to be read whole.

    Raises:
        SceneRefusedError: If it has more than ``MOST_PIXELS``.
    """
    if height * width > MOST_PIXELS:
        raise SceneRefusedError(
            f"the published method reads an image whole: {name} of {height} × {width} pixels has "
            f"more than the {MOST_PIXELS} allowed; use another descent, which reads tiles only"
        )
