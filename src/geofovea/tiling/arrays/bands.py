"""Bands of an xarray image, read by window, with its dimensions in any order."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geofovea.errors import GeoFoveaError, SceneError, SceneReadError

__all__ = ["ArrayBands", "Pixels", "meant_dtype", "meant_type"]

Pixels = NDArray[Any]

_ALLOWED_KINDS = "buifc"
# a numpy array has no blocks: a read costs what its window holds
_UNCHUNKED_SIDE = 256


def meant_dtype(layer: Any) -> np.dtype[Any]:
    """The type of the numbers of a variable or DataArray that was not decoded.

    Formats without unsigned types store those as signed ones and say so by ``_Unsigned``, and the
    other way round. Decoding takes the attribute away.
    """
    return meant_type(np.dtype(layer.dtype), layer.attrs.get("_Unsigned", ""))


def meant_type(stored: np.dtype[Any], unsigned: object) -> np.dtype[Any]:
    """The type that stored numbers are meant in, by the attribute ``_Unsigned``."""
    says = str(unsigned).strip().lower()
    meant = {("i", "true"): "u", ("u", "false"): "i"}.get((stored.kind, says))
    return np.dtype(f"{meant}{stored.itemsize}") if meant else stored


@dataclass(frozen=True, eq=False)
class ArrayBands:
    """The bands of one image, lazy wherever the arrays below are.

    Attributes:
        name: For messages.
        layers: ``xarray.Variable`` objects: either one with a dimension of bands, or one per band.
        dims: Names of the rows' and the columns' dimension, ``(y, x)``.
        band_dim: Name of the bands' dimension of a single layer; None where each layer is a band.

    Raises:
        SceneError: If pixels are not numbers that a picture can be made of, or there are none.
    """

    name: str
    layers: tuple[Any, ...]
    dims: tuple[str, str]
    band_dim: str | None = None

    def __post_init__(self) -> None:
        sizes = [size for layer in self.layers for size in layer.shape]
        if any(math.isnan(size) for size in sizes):
            raise SceneError(
                f"{self.name} does not know how many rows and columns it has, as dask does after a "
                "selection by values: call compute_chunk_sizes() of the dask array, or compute()"
            )
        if min(self.width, self.height, self.count) < 1:
            raise SceneError(
                f"{self.name} is empty: it has {self.count} bands of {self.width} x {self.height} "
                "pixels; select a part that holds data"
            )
        for layer in self.layers:
            kind, size = layer.dtype.kind, layer.dtype.itemsize
            if kind not in _ALLOWED_KINDS or size > (16 if kind == "c" else 8):
                raise SceneError(
                    f"{self.name} holds {layer.dtype} pixels; they must be integers, floats of "
                    "at most 64 bits or complex numbers of at most 128: convert them, for example "
                    "with astype('uint8')"
                )

    @property
    def width(self) -> int:
        """Pixels along x."""
        return int(self.layers[0].sizes[self.dims[1]])

    @property
    def height(self) -> int:
        """Pixels along y."""
        return int(self.layers[0].sizes[self.dims[0]])

    @property
    def count(self) -> int:
        """Number of bands."""
        return (
            len(self.layers) if self.band_dim is None else int(self.layers[0].sizes[self.band_dim])
        )

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type that holds every band's numbers, in the machine's byte order."""
        common: np.dtype[Any] = np.result_type(
            *(meant_dtype(layer) for layer in self.layers)
        ).newbyteorder("=")
        # known to numpy and to no raster library
        replacements = {"bool": "uint8", "float16": "float32"}
        return np.dtype(replacements.get(common.name, common.name))

    @property
    def block_shape(self) -> tuple[int, int]:
        """``(height, width)`` of the largest chunk: what the smallest read computes."""
        chunks = getattr(self.layers[0], "chunksizes", None) or {}
        rows, cols = (max(chunks.get(dim, (_UNCHUNKED_SIDE,))) for dim in self.dims)
        return min(int(rows), self.height), min(int(cols), self.width)

    def read(self, indexes: tuple[int, ...], rows: slice, cols: slice) -> Pixels:
        """Compute one window of some bands; only the chunks below it are computed.

        Args:
            indexes: Bands, counted from 1.
            rows: Of the window.
            cols: Of the window.

        Returns:
            ``(bands, h, w)`` in ``dtype``.

        Raises:
            SceneReadError: If what is behind the array fails.
        """
        window = {self.dims[0]: rows, self.dims[1]: cols}
        try:
            if self.band_dim is None:
                layers = [self.layers[i - 1].isel(window) for i in indexes]
                planes = [self._ordered(layer, self.dims) for layer in layers]
                return np.stack(planes).astype(self.dtype, copy=False)
            part = self.layers[0].isel(window | {self.band_dim: [i - 1 for i in indexes]})
            order = (self.band_dim, *self.dims)
            return self._ordered(part, order).astype(self.dtype, copy=False)
        except (GeoFoveaError, MemoryError):
            raise
        except Exception as error:  # a lazy array runs code of others, which may raise anything
            raise SceneReadError(
                f"{self.name} could not be computed in rows {rows.start} to {rows.stop}, columns "
                f"{cols.start} to {cols.stop}: {type(error).__name__}: {error}; compute that part "
                "by itself to find the cause"
            ) from error

    @staticmethod
    def _ordered(layer: Any, order: tuple[str, ...]) -> Pixels:
        # transposed as numpy: some lazy arrays cannot be
        pixels = np.transpose(layer.to_numpy(), [layer.dims.index(dim) for dim in order])
        return pixels.astype(meant_dtype(layer), copy=False)
