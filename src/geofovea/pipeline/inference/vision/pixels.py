"""From the pixels of tiles to the images that a vision tower takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    # the doctor lists families where numpy is missing
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["CLIP_MEAN", "CLIP_STD", "Colors", "Normalization"]

Colors = tuple[float, float, float]
"""A number each for red, green and blue."""

CLIP_MEAN: Colors = (0.48145466, 0.4578275, 0.40821073)
"""Of the pictures that CLIP was trained with, in [0, 1]."""
CLIP_STD: Colors = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True, slots=True)
class Normalization:
    """What a vision tower expects of colors.

    Attributes:
        mean: Of red, green and blue in [0, 1].
        std: Their standard deviations.
    """

    mean: Colors
    std: Colors

    def images(self, pixels: NDArray[np.uint8], device: torch.device, dtype: torch.dtype) -> Tensor:
        """Tiles uint8 (k, T, T, 3) as images (k, 3, T, T); bands beside colors lie in [0, 1]."""
        extra = pixels.shape[3] - 3
        mean, std = (
            torch.tensor(values, device=device, dtype=torch.float32) * 255
            for values in ((*self.mean, *[0.0] * extra), (*self.std, *[1.0] * extra))
        )
        images = torch.from_numpy(pixels).to(device).float()
        return ((images - mean) / std).permute(0, 3, 1, 2).to(dtype)
