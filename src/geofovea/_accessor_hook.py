"""``import geofovea`` gives xarray objects their ``.fovea``, and imports no xarray for it.

The accessor is registered when xarray is there, whoever imports it and when: a finder waits for its
import and steps aside for good. What the accessor needs is imported when it is first used.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

__all__ = ["install"]

_NAME = "fovea"
_KINDS = ("dataarray", "dataset", "datatree")


def install() -> None:
    """Register the accessor now, or as soon as xarray is imported."""
    xarray = sys.modules.get("xarray")
    if xarray is not None:
        _register(xarray)
    elif not any(isinstance(finder, _XarrayFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _XarrayFinder())


def _register(xarray: ModuleType) -> None:
    """Give the objects of xarray their accessor, once; a half-imported xarray is left alone."""
    registers = [getattr(xarray, f"register_{kind}_accessor", None) for kind in _KINDS]
    if None in registers or hasattr(xarray.DataArray, _NAME):
        return
    for accessor in registers:
        accessor(_NAME)(_accessor_of)  # type: ignore[misc]


def _accessor_of(obj: Any) -> Any:
    """The accessor of one object; xarray keeps it with the object."""
    # by its name: the root knows no room before somebody uses it
    home = import_module(f"{__package__}.pipeline.session.xarray_accessor")
    return home.FoveaAccessor(obj)


class _XarrayFinder(MetaPathFinder):
    """Waits for the import of xarray."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        if fullname != "xarray":
            return None
        # whoever only asks whether there is an xarray gets an answer, and nothing is registered
        others = (finder for finder in sys.meta_path if finder is not self)
        specs = (finder.find_spec(fullname, path, target) for finder in others)
        spec = next((spec for spec in specs if spec is not None), None)
        if spec is not None and spec.loader is not None:
            spec.loader = _RegisteringLoader(spec.loader, self)
        return spec


class _RegisteringLoader(Loader):
    """Loads xarray as its own loader does, which then takes this one's place."""

    def __init__(self, own: Loader, finder: MetaPathFinder) -> None:
        self._own, self._finder = own, finder

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._own.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self._own
        if module.__spec__ is not None:
            module.__spec__.loader = self._own
        self._own.exec_module(module)
        if self._finder in sys.meta_path:
            sys.meta_path.remove(self._finder)
        _register(module)
