"""Levels of a picture by other means than the package: box averages by numpy, and by GDAL."""

import numpy as np
import rasterio


def box_levels(array, count, known=None, *, needs_half=False):
    """Levels 1 to ``count`` of ``(bands, h, w)``, each from the one before, and what is known."""
    known = np.ones(array.shape, bool) if known is None else np.broadcast_to(known, array.shape)
    levels = []
    for _ in range(count):
        edges = [np.arange(0, side, 2) for side in array.shape[-2:]]

        def boxes(plane, edges=edges):
            rows = np.add.reduceat(plane.astype(np.longdouble), edges[0], axis=-2)
            return np.add.reduceat(rows, edges[1], axis=-1)

        pixels, whole = boxes(known), boxes(np.ones(array.shape))
        means = boxes(np.where(known, array, 0)) / np.maximum(pixels, 1)
        if array.dtype.kind in "ui":
            means = np.sign(means) * np.floor(np.abs(means) + 0.5)
        array = means.astype(array.dtype)
        known = 2 * pixels >= whole if needs_half else pixels > 0
        levels.append((array, known))
    return levels


def gdal_levels(make_tiled, array, factors, name="oracle.tif", **profile):
    """What GDAL's AVERAGE overviews hold of ``(bands, h, w)``.

    The picture lies in the corner of one whose sides are multiples of all factors; a mask hides the
    rest. So GDAL stretches nothing, and its last pixels average what is there.
    """
    bands, height, width = array.shape
    step = max(factors)
    sides = (-(-height // step) * step, -(-width // step) * step)
    whole = np.zeros((bands, *sides), array.dtype)
    whole[:, :height, :width] = array
    if sides != (height, width):
        inside = np.zeros(sides, bool)
        inside[:height, :width] = True
        profile["mask"] = inside
    path = make_tiled(whole, name, overviews=factors, **profile)
    levels = []
    for index, factor in enumerate(factors):
        with rasterio.open(path, OVERVIEW_LEVEL=f"{index}only") as overview:
            levels.append(overview.read()[:, : -(-height // factor), : -(-width // factor)])
    return levels
