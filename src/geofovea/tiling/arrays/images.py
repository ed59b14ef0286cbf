"""Images inside xarray objects: which variables are bands, which dimensions rows and columns."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import xarray as xr

from geofovea.errors import SceneError
from geofovea.tiling.arrays.bands import ArrayBands

__all__ = ["A_SCENE", "ArrayImage", "find_images"]

A_SCENE = (
    "a path, a numpy array, a PIL image, an open rasterio dataset, or an xarray DataArray with "
    "dimensions y, x and at most one of bands, a Dataset with one variable per band, or a DataTree "
    "with a level in each group"
)

_DIMS = (
    *(("y", "x"), ("lat", "lon"), ("latitude", "longitude"), ("northing", "easting")),
    # of rotated poles and of projections, as climate files call them
    *(("rlat", "rlon"), ("grid_latitude", "grid_longitude"), ("yc", "xc")),
    ("projection_y_coordinate", "projection_x_coordinate"),
)
_TIME_DIMS = ("time", "t", "times", "valid_time", "date", "dates", "datetime", "year", "month")
# attributes of CF that name variables which describe the one that has them
_ABOUT = ("ancillary_variables", "cell_measures")
_PLACES = ("longitude", "latitude", "grid_longitude", "grid_latitude")
_PLACE_UNITS = tuple(
    f"{degree}{joint}{side}"
    for degree in ("degree", "degrees")
    for joint in ("_", "")
    for side in ("north", "east", "n", "e")
)
_BAND_DIMS = ("band", "bands", "channel", "channels", "wavelength", "variable")


@dataclass(frozen=True, eq=False)
class ArrayImage:
    """The image of one level, as it was found in an object.

    Attributes:
        bands: Its pixels.
        names: What the bands are called, as far as the object says; empty where it does not.
        obj: The object that holds its coordinates and attributes.
        bounds: Variables ``(n, 2)`` that say where the pixels of a dimension begin and end.
        variables: The variable of each band, where each is one of a Dataset.
        notes: Sentences on what lies beside it and was left out.
    """

    bands: ArrayBands
    names: tuple[str, ...]
    obj: xr.DataArray
    bounds: Mapping[str, Any] = field(default_factory=dict)
    variables: tuple[xr.DataArray, ...] = ()
    notes: tuple[str, ...] = ()

    def band_obj(self, band: int) -> xr.DataArray:
        """The object that holds the attributes of a band, counted from 0."""
        return self.variables[band] if self.variables else self.obj

    @property
    def size(self) -> tuple[int, int]:
        """``(width, height)`` in pixels."""
        return self.bands.width, self.bands.height

    def coord(self, name: Hashable) -> Any | None:
        """The variable of a coordinate, or None."""
        return self.obj.coords[name].variable if name in self.obj.coords else None


def find_images(obj: xr.DataArray | xr.Dataset | xr.DataTree) -> dict[str, ArrayImage]:
    """The images of an object by the path of their group; ``"/"`` where it has no groups.

    Raises:
        SceneError: If there is none, or it is unclear which variable is the image.
    """
    if isinstance(obj, xr.DataTree):
        return _images_of_tree(obj)
    if isinstance(obj, xr.Dataset):
        return {"/": _image_of_dataset(obj, "the Dataset")}
    if isinstance(obj, xr.DataArray):
        return {"/": _image_of_array(obj)}
    raise SceneError(f"an object of type {type(obj).__name__} is not a scene; give {A_SCENE}")


def _image_of_array(array: xr.DataArray) -> ArrayImage:
    name = f"the DataArray {array.name!r}" if array.name not in (None, "") else "the DataArray"
    dims = _spatial_dims(array.sizes, name)
    bands_dims = [dim for dim in array.dims if dim not in dims and _is_band_dim(array, dim)]
    flat = {dim: 0 for dim in array.dims if dim not in (*dims, *bands_dims)}
    array = array.isel(flat)
    band_dim = str(bands_dims[0]) if bands_dims else None
    if array.dtype == bool:
        raise SceneError(f"{name} holds bool pixels, which show nothing: convert it to numbers")
    bands = ArrayBands(name, (array.variable,), dims, band_dim)
    return ArrayImage(bands, _band_names(array, bands), array)


def _band_names(array: xr.DataArray, bands: ArrayBands) -> tuple[str, ...]:
    dim = bands.band_dim
    candidates: list[Any] = [array.attrs.get("long_name")]
    if dim is not None:
        candidates = [array.coords[c].to_numpy() for c in ("colorinterp", dim) if c in array.coords]
        candidates.append(array.attrs.get("long_name"))
    for names in candidates:
        is_list = isinstance(names, (tuple, list, np.ndarray)) and len(names) == bands.count
        if is_list and not isinstance(names[0], (int, float, np.number)):
            return tuple(str(name) for name in names)
    return ()


def _is_band_dim(array: xr.DataArray, dim: Hashable) -> bool:
    """Whether the one dimension beside rows and columns counts bands.

    Raises:
        SceneError: If it counts something else, or there are several.
    """
    others = [d for d in array.dims if d not in _spatial_dims(array.sizes, "")]
    long = [d for d in others if array.sizes[d] != 1]
    by_name = [d for d in others if str(d).lower() in _BAND_DIMS]
    band_dims = long or by_name[:1]
    if len(long) > 1 or (dim in long and _counts_time(array, dim)):
        raise SceneError(
            f"a scene is one image, and the DataArray has dimensions {dict(array.sizes)}; it "
            "may have rows, columns and at most one dimension of bands: select one of "
            f"{', '.join(map(str, long))}, for example with isel({long[0]}=0)"
        )
    return dim in band_dims


def _counts_time(array: xr.DataArray, dim: Hashable) -> bool:
    """Whether a dimension holds dates, which must not be shown as the colors of one picture.

    Labels that were not decoded are plain numbers; then names and attributes of CF say it.
    """
    if str(dim).lower() in _TIME_DIMS:
        return True
    if dim not in array.coords:
        return False
    labels = array.coords[dim]
    if labels.dtype.kind in "mM" or " since " in f" {labels.attrs.get('units', '')} ":
        return True
    is_date = labels.dtype.kind == "O" and all(hasattr(v, "strftime") for v in labels.to_numpy())
    return is_date or str(labels.attrs.get("axis", "")).upper() == "T"


def _known_dims(sizes: Mapping[Hashable, int]) -> tuple[str, str] | None:
    """The dimensions of rows and columns by their names, None where no names say it."""
    by_name = {str(dim).lower(): str(dim) for dim in sizes}
    for y, x in _DIMS:
        if y in by_name and x in by_name:
            return by_name[y], by_name[x]
    dims = [str(dim) for dim in sizes]
    if len(dims) == 2 and all(dim.startswith("dim_") for dim in dims):
        return dims[0], dims[1]
    return None


def _spatial_dims(sizes: Mapping[Hashable, int], name: str) -> tuple[str, str]:
    known = _known_dims(sizes)
    if known is not None:
        return known
    dims = [str(dim) for dim in sizes]
    raise SceneError(
        f"{name} has dimensions {tuple(dims)}, and it takes rows called y and columns called x "
        f"(or lat and lon) to know the picture: {_renaming(dims)}"
    )


def _renaming(dims: list[str]) -> str:
    if len(dims) < 2:
        return "give an array with rows and columns"
    y, x = dims[-2:]
    return f"rename them, for example with rename({{{y!r}: 'y', {x!r}: 'x'}})"


def _image_of_dataset(dataset: xr.Dataset, name: str) -> ArrayImage:
    dataset = _with_places(_with_mappings(dataset))
    names_by_dims, notes = _pictures_and_tables(dataset, name)
    if beside := _beside_others(dataset):
        listed = ", ".join(map(repr, beside))
        notes = (*notes, f"variables that describe others were left out: {listed:.200}")
    if not dataset.data_vars:
        raise SceneError(f"{name} has no variables, so it shows nothing; a scene is {A_SCENE}")
    if len(names_by_dims) != 1:
        raise SceneError(
            f"{name} has the variables {list(map(str, dataset.data_vars))}, which are not the "
            f"bands of one image; a scene is {A_SCENE}: pick them, for example with "
            f"dataset[{list(dataset.data_vars)[:1]!r}]"
        )
    ((dims, names),) = names_by_dims.items()
    bounds = {dim: dataset[key].variable for dim, key in _bounds_of(dataset).items()}
    if len(names) == 1:
        return replace(_image_of_array(dataset[names[0]]), bounds=bounds, notes=notes)
    # rioxarray gives each variable of a file a dimension of bands, of one where there is one
    single = {d: 0 for d, size in dataset.sizes.items() if size == 1 and d not in dims}
    images = [_image_of_array(dataset[key].isel(single, missing_dims="ignore")) for key in names]
    for image in images:
        if image.bands.band_dim is not None:
            raise SceneError(
                f"{image.bands.name} has bands of its own beside the other variables of {name}; "
                f"a scene is {A_SCENE}: pick it with dataset[name]"
            )
    layers = tuple(image.bands.layers[0] for image in images)
    variables = tuple(image.obj for image in images)
    bands = ArrayBands(name, layers, dims)
    return ArrayImage(bands, tuple(names), images[0].obj, bounds, variables, notes)


def _pictures_and_tables(
    dataset: xr.Dataset, name: str
) -> tuple[dict[tuple[str, str], list[str]], tuple[str, ...]]:
    """Variables by their rows and columns, and a sentence on tables that have neither.

    Raises:
        SceneError: If none has rows and columns.
    """
    pictures: dict[tuple[str, str], list[str]] = {}
    tables: dict[str, Mapping[Hashable, int]] = {}
    for key, variable in _pixels_of(dataset).items():
        if variable.ndim < 2:
            continue
        dims = _known_dims(variable.sizes)
        if dims is None:
            tables[key] = variable.sizes
        else:
            pictures.setdefault(dims, []).append(key)
    if tables and not pictures:
        key = next(iter(tables))
        _spatial_dims(tables[key], f"{name}, {key!r},")
    listed = ", ".join(f"{key!r} {tuple(sizes)}" for key, sizes in tables.items())
    note = f"variables without rows and columns were left out: {listed:.200}"
    return pictures, (note,) if tables else ()


def _images_of_tree(tree: xr.DataTree) -> dict[str, ArrayImage]:
    images = {}
    for node in tree.subtree:
        dataset = node.to_dataset()
        if any(variable.ndim >= 2 for variable in _pixels_of(dataset).values()):
            images[node.path] = _image_of_dataset(dataset, f"the group {node.path!r}")
    if not images:
        raise SceneError(f"the DataTree holds no image in any group; a scene is {A_SCENE}")
    return images


def _bounds_of(dataset: xr.Dataset) -> dict[str, str]:
    """The variables that hold where the pixels of an axis begin and end, by dimension."""
    bounds_names = {}
    for dim in set(dataset.dims) & set(dataset.coords):
        axis = dataset.coords[dim]
        bounds_names[str(dim)] = str(axis.attrs.get("bounds") or axis.encoding.get("bounds") or "")
    return {dim: name for dim, name in bounds_names.items() if name in dataset.variables}


def _pixels_of(dataset: xr.Dataset) -> dict[str, Any]:
    """The variables that may be bands: none that only says something about others."""
    aside = {*_bounds_of(dataset).values(), *_beside_others(dataset), "spatial_ref", "crs"}
    return {str(key): v for key, v in dataset.data_vars.items() if str(key) not in aside}


def _with_mappings(dataset: xr.Dataset) -> xr.Dataset:
    """Grid mappings as coordinates: a variable that is taken out keeps those, and no others."""
    mapping_names = {"spatial_ref", "crs"}
    for variable in dataset.data_vars.values():
        mapping = variable.encoding.get("grid_mapping") or variable.attrs.get("grid_mapping") or ""
        mapping_names |= {word.rstrip(":") for word in str(mapping).split()}
    return dataset.set_coords(
        [n for n in mapping_names if n in dataset.data_vars and not dataset[n].ndim]
    )


def _beside_others(dataset: xr.Dataset) -> list[str]:
    """The variables that CF says describe another one: its quality, its error, its areas."""
    beside: list[str] = []
    for key, variable in dataset.data_vars.items():
        if str(key) in beside:
            continue
        named = [w for attribute in _ABOUT for w in str(variable.attrs.get(attribute, "")).split()]
        beside += [n for n in named if n in dataset.data_vars and n not in (key, *beside)]
    return beside


def _with_places(dataset: xr.Dataset) -> xr.Dataset:
    """Longitudes and latitudes of pixels as coordinates, unless there is nothing else."""
    named = {
        word
        for variable in dataset.data_vars.values()
        for word in str(variable.attrs.get("coordinates", "")).split()
    }
    places = [n for n, v in dataset.data_vars.items() if n in named or _is_place(v)]
    return dataset if len(places) == len(dataset.data_vars) else dataset.set_coords(places)


def _is_place(variable: xr.DataArray) -> bool:
    units = str(variable.attrs.get("units", "")).lower()
    return str(variable.attrs.get("standard_name", "")) in _PLACES or units in _PLACE_UNITS
