"""Which images of a DataTree are levels of one picture, and which are something else."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from geofovea.errors import SceneError
from geofovea.tiling.arrays.images import ArrayImage
from geofovea.tiling.geo.georeference import Georeference
from geofovea.tiling.pyramid import level_size

__all__ = ["levels_of_images"]

# the corners of an overview may be this share of its own pixel away from those of the native image
_CORNERS_WITHIN = 1.0
_MOST_NAMED = 8


def levels_of_images(
    images: Mapping[str, ArrayImage],
    obj: xr.DataArray | xr.Dataset | xr.DataTree,
    place: Callable[[ArrayImage], Georeference],
) -> tuple[dict[int, ArrayImage], tuple[str, ...]]:
    """Sort the images of an object into levels.

    The largest image is level 0. Another one is an overview of it if it has the same variables,
    bands and pixel type, 1/2, 1/4, ... of its size, and covers the same ground. If the attribute
    ``multiscales`` of a group lists the groups that belong together, all others are ignored.

    Args:
        images: By the path of their group.
        obj: The object that they were found in.
        place: Says where an image lies.

    Returns:
        The images by level, and notes on what was left out.

    Raises:
        SceneError: If several images could be the native one.
    """
    paths = list(images)
    if isinstance(obj, xr.DataTree):
        listed = [path for path in _multiscale_paths(obj) if path in images]
        paths = listed or paths
    paths.sort(key=lambda path: -images[path].size[0] * images[path].size[1])
    native = images[paths[0]]
    rivals = [path for path in paths if images[path].size == native.size]
    if len(rivals) > 1:
        raise SceneError(
            f"the DataTree holds several images of {native.size[0]} x {native.size[1]} pixels, in "
            f"the groups {_listed(rivals)}; a scene is one picture with its overviews: pick a "
            f"group, for example with tree[{rivals[0]!r}].to_dataset()"
        )
    levels = {0: native}
    for path in paths[1:]:
        level = _level_of(images[path], native)
        if level and level not in levels and _is_overview(images[path], native, place):
            levels[level] = images[path]
    used = {id(image) for image in levels.values()}
    others = [path for path, image in images.items() if id(image) not in used]
    if not others:
        return levels, ()
    return levels, (
        f"the groups {_listed(others)} are not overviews of {paths[0]!r} (other bands, another "
        "type, size or ground) and were left out; to ask about one of them pick it, for example "
        f"with tree[{others[0]!r}].to_dataset()",
    )


def _listed(paths: Sequence[str]) -> str:
    more = ", ..." if len(paths) > _MOST_NAMED else ""
    return ", ".join(map(repr, paths[:_MOST_NAMED])) + more


def _level_of(image: ArrayImage, native: ArrayImage) -> int:
    """The level that an image has the size of; 0 where there is none."""
    level = max(0, round(np.log2(max(native.size) / max(image.size))))
    return level if image.size == level_size(native.size, level) else 0


def _is_overview(
    image: ArrayImage, native: ArrayImage, place: Callable[[ArrayImage], Georeference]
) -> bool:
    return _kind(image) == _kind(native) and _is_same_ground(image, native, place)


def _kind(image: ArrayImage) -> tuple[Any, ...]:
    """What an image shows, as far as its names say it."""
    dim = image.bands.band_dim
    labels = image.coord(dim) if dim is not None else None
    numbered = () if labels is None else tuple(map(str, labels.to_numpy().tolist()))
    name = image.obj.name if len(image.bands.layers) == 1 else None
    return (image.bands.count, image.bands.dtype, image.names, numbered, name)


def _is_same_ground(
    image: ArrayImage, native: ArrayImage, place: Callable[[ArrayImage], Georeference]
) -> bool:
    try:
        here, there = place(image), place(native)
    except SceneError:
        return False
    if here.kind != there.kind or here.crs != there.crs:
        return False
    if here.transform is None or there.transform is None:
        return True
    corners_image, corners_native = (
        georeference.crs_from_scene(_corners(one.size))
        for georeference, one in ((here, image), (there, native))
    )
    if corners_image is None or corners_native is None:
        return False
    a, b, _, d, e, _ = here.transform
    pixel = np.array([abs(a) + abs(b), abs(d) + abs(e)])
    # GDAL stretches an overview over the whole scene, others let the last pixel reach beyond it
    return bool((np.abs(corners_image - corners_native) <= _CORNERS_WITHIN * pixel).all())


def _corners(size: tuple[int, int]) -> Any:
    width, height = size
    return np.array([(0, 0), (width, 0), (0, height), (width, height)], np.float64)


def _multiscale_paths(tree: xr.DataTree) -> Iterator[str]:
    """Groups that the first ``multiscales`` attribute lists: of zarr's convention, or of OME."""
    for node in tree.subtree:
        listed = [name for name in _assets(node.attrs.get("multiscales")) if name]
        if listed:
            base = node.path.rstrip("/")
            yield from (f"{base}/{name}".rstrip("/.") or "/" for name in listed)
            return


def _assets(multiscales: Any) -> Iterator[str]:
    entries = multiscales if isinstance(multiscales, (list, tuple)) else [multiscales]
    for entry in entries[:1]:
        if not isinstance(entry, Mapping):
            continue
        for key, name in (("layout", "asset"), ("datasets", "path")):
            for one in entry.get(key) or ():
                if isinstance(one, Mapping) and isinstance(one.get(name), str):
                    yield one[name].strip("/")
