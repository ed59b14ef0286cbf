"""Recorded cases of the published method: where they are, and the images they were made from."""

from __future__ import annotations

import json
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from geofovea.pipeline.published_image import read_whole

SHARED = Path(os.environ.get("GEOFOVEA_SHARED", "../shared")) / "reference"


def recorded_cases() -> list[Any]:
    """One parameter per recorded case of each model; a skip with its reason if there is none."""
    found = [
        pytest.param(path, id=path.stem)
        for path in sorted(SHARED.glob("*__*.json"))
        if path.with_suffix(".npz").exists()
        and (SHARED / f"{path.stem.split('__')[0]}.safetensors").exists()
    ]
    reason = f"no recorded cases in {SHARED}; set GEOFOVEA_SHARED"
    return found or [pytest.param(None, marks=pytest.mark.skip(reason=reason))]


class Case:
    """What was recorded of one model on one image."""

    def __init__(self, path: Path) -> None:
        self.model, self.image_name = path.stem.split("__")
        self.numbers = json.loads(path.read_text(encoding="utf-8"))
        self.arrays = dict(np.load(path.with_suffix(".npz")))

    def pixels(self) -> np.ndarray:
        stored = SHARED / f"image_{self.image_name}.png"
        if stored.exists():
            return read_whole(stored)
        image = self.numbers["image"]
        return drawn(image["height"], image["width"], image["seed"])


@lru_cache(maxsize=2)
def drawn(height: int, width: int, seed: int) -> np.ndarray:
    """The recorded test picture of a size and a seed: ramps, sixteen discs, a little noise.

    Integers only, so that it is the same everywhere; the hash of its pixels is recorded.
    """
    y, x = np.ogrid[:height, :width]
    down = y if seed & 1 else height - 1 - y
    right = x if seed >> 1 & 1 else width - 1 - x
    flat = np.stack(
        [
            down * 120 // height + right * 110 // width,
            225 - (down * 110 // height + right * 100 // width),
            60 + down * 70 // height + (x * 3 + y * 5 + 17 * seed) // 16 % 32,
        ],
        axis=-1,
    ).astype(np.int32)
    for disc in range(16):
        center_y = (disc * 7919 + seed * 104729) % height
        center_x = (disc * 15485863 + seed * 32452843) % width
        radius = max(8, min(height, width) * (2 + disc * 5 % 6) // 100)
        inside = (y - center_y) ** 2 + (x - center_x) ** 2 < radius**2
        flat[inside] = [(disc * a + seed * b) % 224 for a, b in ((67, 29), (131, 53), (197, 97))]
    result = np.empty((height, width, 3), np.uint8)
    for channel in range(3):
        # a hash of 32 bits per pixel, wrapping
        offset = (channel * 2246822519 + seed * 3266489917) % 2**32
        noise = x.astype(np.uint32) * np.uint32(374761393) + y.astype(np.uint32) * np.uint32(
            668265263
        )
        noise += np.uint32(offset)
        for shift, factor in ((15, 2246822519), (13, 3266489917)):
            noise ^= noise >> np.uint32(shift)
            noise *= np.uint32(factor)
        noise ^= noise >> np.uint32(16)
        small = (noise >> np.uint32(24) & np.uint32(15)).astype(np.int32)
        result[..., channel] = np.clip(flat[..., channel] + small, 0, 255)
    return result
