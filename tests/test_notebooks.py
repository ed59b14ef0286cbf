"""The notebooks run from top to bottom, offline, with what is installed here."""

import os
import sys
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from geofovea.pipeline.hosts.load import embedded_model_path

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
needs_weights = pytest.mark.skipif(
    not (embedded_model_path() / "config.json").exists(), reason="no embedded model in this tree"
)


def named(path):
    return path.stem


def load(path):
    return nbformat.read(path, as_version=4)


@pytest.fixture
def kernel_environment(tmp_path, monkeypatch):
    """The kernel sees this tree, its engine, and no network of models."""
    declared = tmp_path / "declared"
    declared.mkdir()
    installed = {point.name for point in entry_points(group="xarray.backends")}
    if "geofovea" not in installed:
        # a tree that is imported without having been installed: declare what pyproject declares
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        lines = [f"{k} = {v}" for k, v in project["entry-points"]["xarray.backends"].items()]
        info = declared / "geofovea_tree-0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: geofovea-tree\nVersion: 0\n")
        (info / "entry_points.txt").write_text("\n".join(["[xarray.backends]", *lines]) + "\n")
    python_path = [str(ROOT / "src"), str(declared), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, python_path)))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    # settings and connection files of the person who runs the tests stay out of it
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))


@pytest.fixture
def run(tmp_path, kernel_environment):
    """Run a notebook in a new kernel of this interpreter; gives it back with outputs."""

    def execute(path):
        notebook = load(path)
        where = {"metadata": {"path": str(tmp_path)}}
        client = NotebookClient(notebook, timeout=900, kernel_name="python3", resources=where)
        client.create_kernel_manager()
        # whatever kernels are registered on this machine, this interpreter runs this one
        client.km.kernel_spec.argv[0] = sys.executable
        client.execute()
        return notebook

    return execute


def outputs_of(notebook):
    return [out for cell in notebook.cells for out in cell.get("outputs", [])]


def shown(notebook, kind):
    return [out["data"][kind] for out in outputs_of(notebook) if kind in out.get("data", {})]


def printed(notebook):
    return "".join(out["text"] for out in outputs_of(notebook) if out["output_type"] == "stream")


def test_there_are_these_notebooks():
    assert {path.stem for path in NOTEBOOKS} >= {"ask_a_scene", "geospatial_analysis"}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=named)
def test_a_notebook_is_kept_without_outputs_and_opens_with_a_title(path):
    notebook = load(path)
    nbformat.validate(notebook)
    assert notebook.cells[0].source.startswith("# ")
    assert outputs_of(notebook) == []
    assert {cell.get("execution_count") for cell in notebook.cells} == {None}
    assert "http" not in "".join(c.source for c in notebook.cells if c.cell_type == "code")


@pytest.mark.slow
@pytest.mark.timeout(1800)
@needs_weights
def test_ask_a_scene_runs_and_shows_an_answer(run, tmp_path):
    notebook = run(ROOT / "notebooks" / "ask_a_scene.ipynb")
    assert not [out for out in outputs_of(notebook) if out["output_type"] == "error"]
    pages = [page for page in shown(notebook, "text/html") if "geofovea-answer" in page]
    assert len(pages) == 1
    assert "data:image/webp;base64," in pages[0]
    assert len(shown(notebook, "image/png")) == 2
    assert "4096 × 4096 px" in printed(notebook)
    written = {file.name for file in (tmp_path / "notebook-output").iterdir()}
    assert written == {"scene.tif", "evidence.geojson", "evidence.qml", "evidence.parquet"}


@pytest.mark.slow
@pytest.mark.timeout(1800)
@needs_weights
def test_geospatial_analysis_runs_and_leaves_its_results(run, tmp_path):
    import geopandas

    notebook = run(ROOT / "notebooks" / "geospatial_analysis.ipynb")
    assert not [out for out in outputs_of(notebook) if out["output_type"] == "error"]
    assert len(shown(notebook, "image/png")) == 2
    results = geopandas.read_parquet(tmp_path / "notebook-output" / "results.parquet")
    assert len(results) >= 8
    assert results.crs.to_epsg() == 32633
    assert set(results.columns) >= {"question", "said", "true", "right", "looked_there"}
    lonlat = geopandas.read_file(tmp_path / "notebook-output" / "results.geojson")
    assert lonlat.crs.to_epsg() == 4326
    assert len(lonlat) == len(results)
