"""What a call of rasterio raises when GDAL fails."""

from __future__ import annotations

# rasterio lets some of GDAL's own errors through, and has no public name for them
from rasterio._err import CPLE_BaseError
from rasterio.errors import RasterioError

__all__ = ["GDAL_ERRORS"]

GDAL_ERRORS = (RasterioError, CPLE_BaseError)
"""For ``except``; a CRS that is not understood is a ``ValueError`` besides."""
