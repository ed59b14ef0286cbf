"""Tiles as images for a browser, made on request and cached."""

from __future__ import annotations

import io
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from geofovea.pipeline.viewer.served_scene import ServedScene
from geofovea.tiling.files.handles import check_current
from geofovea.tiling.machine.lru import LruCache
from geofovea.tiling.pyramid import Tile

__all__ = ["TILE_KINDS", "TILE_THREADS", "TileImage", "TileImages", "TileKind", "tile_image"]

TileKind = Literal["view", "model"]
TILE_KINDS: tuple[TileKind, ...] = ("view", "model")

TILE_THREADS = 4
"""As many tiles are read at once: open files belong to threads."""

_CACHE_BYTES = 64 * 2**20
_JPEG_QUALITY = 92


@dataclass(frozen=True, slots=True)
class TileImage:
    """One encoded picture.

    Attributes:
        content: Its bytes.
        media_type: ``image/jpeg`` or ``image/png``.
    """

    content: bytes
    media_type: str


def tile_image(rgb: NDArray[np.uint8], valid: NDArray[np.bool_] | None) -> TileImage:
    """Encode pixels: JPEG where all are known, PNG with transparent gaps elsewhere.

    Args:
        rgb: ``(rows, cols, 3)``.
        valid: Which pixels are known, ``(rows, cols)``; None for a lossless picture of all.
    """
    stream = io.BytesIO()
    if valid is None:
        Image.fromarray(rgb).save(stream, "PNG", compress_level=1)
    elif valid.all():
        Image.fromarray(rgb).save(stream, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
        return TileImage(stream.getvalue(), "image/jpeg")
    else:
        alpha = np.where(valid, 255, 0).astype(np.uint8)
        Image.fromarray(np.dstack((rgb, alpha))).save(stream, "PNG", compress_level=1)
    return TileImage(stream.getvalue(), "image/png")


class TileImages:
    """Tiles of several scenes as pictures; what was asked for last is kept, up to 64 MiB."""

    def __init__(self, limit_bytes: int = _CACHE_BYTES, threads: int = TILE_THREADS) -> None:
        """Start empty; no thread runs before the first tile."""
        self._cache: LruCache[tuple[str, TileKind, Tile], TileImage] = LruCache(
            limit_bytes, lambda image: len(image.content)
        )
        self._pool = ThreadPoolExecutor(threads, "geofovea-tile")

    @property
    def nbytes(self) -> int:
        """Bytes of the pictures that are kept."""
        return self._cache.nbytes

    def image(self, scene: ServedScene, kind: TileKind, tile: Tile) -> TileImage:
        """The picture of a tile, made on the calling thread if it is not known.

        Args:
            scene: Which scene.
            kind: ``view`` for a tile of its view grid; ``model`` for a tile as the model gets it,
                padded and lossless.
            tile: Its address on that grid.

        Raises:
            GeometryError: If there is no such tile.
            SceneChangedError: If the file is not the one that was opened.
            SceneReadError: If it is damaged.
        """
        check_current(scene.session.scene.source)
        key = (scene.id, kind, tile)
        known = self._cache.get(key)
        return known or self._cache.put(key, _made(scene, kind, tile))

    def submit(self, scene: ServedScene, kind: TileKind, tile: Tile) -> Future[TileImage]:
        """As `image`, on one of the threads for tiles."""
        return self._pool.submit(self.image, scene, kind, tile)

    def close(self) -> None:
        """Give up the tiles that nobody has begun to read."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def _made(scene: ServedScene, kind: TileKind, tile: Tile) -> TileImage:
    if kind == "view":
        return tile_image(*scene.grid.read(tile))
    return tile_image(scene.session.reader.read(tile).rgb, None)
