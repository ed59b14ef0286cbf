"""``import geofovea`` is enough for ``.fovea``, whichever of the two is imported first."""

import subprocess
import sys

import pytest

pytest.importorskip("xarray")

ASK = "xr.DataArray([[1]]).fovea.__class__.__name__"


def printed(code):
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


@pytest.mark.parametrize(
    "imports",
    [
        "import geofovea; import xarray as xr",
        "import xarray as xr; import geofovea",
        "import geofovea; import xarray as xr; import geofovea.pipeline.session.xarray_accessor",
        "import geofovea.pipeline.session.xarray_accessor; import xarray as xr",
        "import geofovea; from xarray import DataArray; import xarray as xr",
        "import geofovea, importlib.util as u; u.find_spec('xarray'); import xarray as xr",
    ],
)
def test_the_accessor_is_there_in_any_order_without_a_warning(imports):
    assert printed(f"{imports}; print({ASK})") == ["FoveaAccessor"]


def test_datasets_and_trees_have_it_too():
    code = "import geofovea, xarray as xr; "
    code += "print(all(hasattr(k, 'fovea') for k in (xr.Dataset, xr.DataTree)))"
    assert printed(code) == ["True"]


def test_importing_geofovea_imports_no_xarray_and_xarray_no_model():
    assert printed("import sys, geofovea; print('xarray' in sys.modules)") == ["False"]
    code = "import sys, geofovea, xarray; "
    code += "print(*(m for m in ('torch', 'rasterio') if m in sys.modules))"
    assert printed(code) == []


def test_the_finder_leaves_no_trace_behind():
    code = (
        "import geofovea, sys, xarray, importlib.resources as r; "
        "print(type(xarray.__spec__.loader).__name__, type(xarray.__loader__).__name__, "
        "any('_XarrayFinder' in type(f).__name__ for f in sys.meta_path), "
        "r.files('xarray').joinpath('__init__.py').is_file())"
    )
    assert printed(code) == ["SourceFileLoader", "SourceFileLoader", "False", "True"]


def test_a_machine_without_xarray_says_so_as_ever():
    code = (
        "import geofovea, sys, importlib.util as u, importlib.machinery as m; "
        "m.PathFinder.find_spec = classmethod(lambda *a, **k: None)\n"
        "try:\n import xarray\nexcept ModuleNotFoundError as error:\n print(error.name)"
    )
    assert printed(code) == ["xarray"]


def test_a_session_keeps_what_xarray_keeps_of_an_accessor():
    code = "import geofovea, xarray as xr; a = xr.DataArray([[1]]); print(a.fovea is a.fovea)"
    assert printed(code) == ["True"]
