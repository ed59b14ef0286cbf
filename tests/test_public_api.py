"""What ``import geofovea`` offers, and what it costs."""

import inspect
import pickle
import re
import subprocess
import sys

import numpy as np
import pytest
import shapely
from docstring_examples import faults_of_example

import geofovea
from geofovea import errors


@pytest.mark.parametrize("name", geofovea.__all__)
def test_every_public_name_resolves(name):
    assert getattr(geofovea, name) is not None


def test_the_public_names_are_exactly_those_that_are_declared():
    listed = printed("import geofovea; print(*dir(geofovea))").split()
    assert listed == sorted(geofovea.__all__)
    assert len(set(geofovea.__all__)) == len(geofovea.__all__)
    assert sorted(geofovea.__all__) == geofovea.__all__


def public_docstrings():
    """Docstrings of public names and of their methods, with the class that each belongs to."""
    for name in geofovea.__all__:
        thing = getattr(geofovea, name)
        owner = thing if inspect.isclass(thing) else None
        yield name, owner, inspect.getdoc(thing) or ""
        for member in () if owner is None else dir(owner):
            static = inspect.getattr_static(owner, member)
            function = getattr(static, "fget", None) or getattr(static, "__func__", static)
            if not member.startswith("_") and inspect.isfunction(function):
                yield f"{name}.{member}", owner, inspect.getdoc(function) or ""


def is_found(reference, owner):
    """Whether somebody who has imported the package alone can look up a name."""
    first, *rest = reference.removeprefix("geofovea.").split(".")
    thing = errors if first == "errors" else getattr(geofovea, first, None)
    thing = getattr(owner, first, None) if thing is None else thing
    for part in rest:
        thing = getattr(thing, part, None)
    return thing is not None or first in getattr(owner, "__dataclass_fields__", {})


def test_what_a_public_docstring_refers_to_is_public():
    sees = re.compile(r"\b[Ss]ee (?:also )?`+([\w.]+)`|\b[Ss]ee (there)\b")
    lost = [
        (name, found[1] or found[2])
        for name, owner, text in public_docstrings()
        for found in sees.finditer(text)
        if found[2] or not is_found(found[1], owner)
    ]
    assert lost == []


EXAMPLES = ("Box", "Budget", "Pyramid", "Region", "SpendLimit", "Tile", "open_scene")


EXAMPLES_ON_A_SCENE = ("ask", "count", "find")
"""Run by ``tests/pipeline/test_docstring_examples.py``."""


def test_every_example_of_a_public_docstring_is_run():
    shown = [name for name, _, text in public_docstrings() if ">>>" in text]
    assert sorted(shown) == sorted((*EXAMPLES, *EXAMPLES_ON_A_SCENE))


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_of_a_public_docstring_gives_what_it_shows(name):
    assert faults_of_example(name, np=np, shapely=shapely) == []


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'geofovea' has no attribute 'telepathy'"):
        _ = geofovea.telepathy


def test_importing_the_package_loads_nothing_heavy():
    heavy = ("torch", "rasterio", "transformers", "numpy", "PIL", "click")
    code = f"import sys, geofovea; print(*(n for n in {heavy} if n in sys.modules))"
    assert printed(code).split() == []


@pytest.mark.parametrize("name", ["GeoFoveaError", "Budget", "Box", "Pyramid", "Tile"])
def test_small_values_need_no_heavy_import(name):
    code = (
        f"import sys, geofovea; geofovea.{name}; "
        "print(*(n for n in ('torch', 'rasterio', 'transformers') if n in sys.modules))"
    )
    assert printed(code).split() == []


def test_training_needs_no_raster_library():
    # so that it runs on a borrowed machine that has torch and transformers and little else
    code = (
        "import sys, geofovea.pipeline.training.train, geofovea.pipeline.training.export; "
        "print(*(n for n in ('rasterio', 'shapely') if n in sys.modules))"
    )
    assert printed(code).split() == []


def test_every_error_can_be_caught_by_a_public_name():
    assert set(errors.__all__) <= set(geofovea.__all__)


def test_every_error_is_a_geofovea_error():
    for name in geofovea.__all__:
        if name.endswith("Error"):
            assert issubclass(getattr(geofovea, name), geofovea.GeoFoveaError)


def printed(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout


BUILT_IN = {
    "SceneNotFoundError": FileNotFoundError,
    "SceneReadError": OSError,
    "SceneChangedError": OSError,
    "OutputError": OSError,
    "DiskSpaceError": OSError,
    "BudgetError": ValueError,
    "QuestionError": ValueError,
    "GeometryError": ValueError,
    "ConfigurationError": ValueError,
    "MissingExtraError": ImportError,
}


@pytest.mark.parametrize("name", BUILT_IN)
def test_what_people_catch_as_an_error_of_python_is_one(name):
    assert issubclass(getattr(geofovea, name), BUILT_IN[name])


def test_a_file_that_is_cut_short_can_be_caught_as_an_os_error(tmp_path):
    (tmp_path / "cut.tif").write_bytes(b"II*\0\x08\0\0\0")
    with pytest.raises(OSError, match=r"cut\.tif"):
        geofovea.open_scene(tmp_path / "cut.tif")


def test_an_error_keeps_its_message_and_kind_on_its_way_between_processes():
    for name in geofovea.__all__:
        kind = getattr(geofovea, name)
        if name.endswith("Error") and name not in ("MissingExtraError", "WorkersError"):
            copy = pickle.loads(pickle.dumps(kind("what was given")))
            assert type(copy) is kind
            assert str(copy) == "what was given"
