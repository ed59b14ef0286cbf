"""The notebooks run from top to bottom, offline, and give what they were saved with."""

import os
import re
import sys
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from geofovea.pipeline.hosts.load import embedded_model_path

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
needs_weights = pytest.mark.skipif(
    not (embedded_model_path() / "config.json").exists(), reason="no embedded model in this tree"
)


def named(path):
    return path.stem


def load(path):
    # takes seconds to import, which every worker would spend on collecting tests
    import nbformat

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
    from nbclient import NotebookClient

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


def lasting(text):
    """Text without its numbers: they differ from one machine to another, words may not."""
    return re.sub(r"\s+", " ", re.sub(r"[-+]?\d+(\.\d+)?|[-─│]{2,}", "#", text))


def assert_as_saved(notebook, path):
    """A new run prints and shows what the notebook in the repository has saved."""
    saved = load(path)
    assert not [out for out in outputs_of(notebook) if out["output_type"] == "error"]
    for new, old in zip(notebook.cells, saved.cells, strict=True):
        kinds = [[sorted(out.get("data", {})) for out in cell.get("outputs", [])
                  if out["output_type"] != "stream"] for cell in (new, old)]  # fmt: skip
        assert kinds[0] == kinds[1], new.source
        texts = ["".join(out["text"] for out in cell.get("outputs", [])
                         if out["output_type"] == "stream") for cell in (new, old)]  # fmt: skip
        assert lasting(texts[0]) == lasting(texts[1]), new.source


def test_there_are_these_notebooks():
    names = {path.stem for path in NOTEBOOKS}
    assert names >= {"ask_a_scene", "geospatial_analysis", "evaluate"}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=named)
def test_a_notebook_is_kept_as_it_ran(path):
    import nbformat

    notebook = load(path)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert notebook.cells[0].source.startswith("# ")
    assert "%pip install" in code[0].source
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert not [out for out in outputs_of(notebook) if out["output_type"] == "error"]
    assert not [out for out in outputs_of(notebook) if out.get("name") == "stderr"]
    assert "http" not in "".join(cell.source for cell in code)
    assert path.stat().st_size < 2_000_000


@pytest.mark.parametrize("name", ["ask_a_scene", "geospatial_analysis"])
def test_a_tutorial_shows_its_pictures_before_anybody_runs_it(name):
    assert len(shown(load(ROOT / "notebooks" / f"{name}.ipynb"), "image/jpeg")) == 3


@pytest.mark.slow
@pytest.mark.timeout(1800)
@needs_weights
def test_ask_a_scene_runs_as_saved(run, tmp_path):
    path = ROOT / "notebooks" / "ask_a_scene.ipynb"
    notebook = run(path)
    assert_as_saved(notebook, path)
    (page,) = [page for page in shown(notebook, "text/html") if "geofovea-answer" in page]
    assert "base64," in page
    assert "answer: green   truth: green" in printed(notebook)
    # the last cell asks a part of the scene that holds the same truck
    assert printed(notebook).splitlines()[-1] == "green"
    written = {file.name for file in (tmp_path / "notebook-output").iterdir()}
    assert written >= {"scene.tif", "evidence.geojson", "evidence.parquet"}


@pytest.mark.slow
@pytest.mark.timeout(1800)
@needs_weights
def test_geospatial_analysis_runs_as_saved_and_leaves_its_results(run, tmp_path):
    import geopandas

    path = ROOT / "notebooks" / "geospatial_analysis.ipynb"
    notebook = run(path)
    assert_as_saved(notebook, path)
    results = geopandas.read_parquet(tmp_path / "notebook-output" / "results.parquet")
    assert len(results) >= 8
    assert results.crs.to_epsg() == 32633
    assert set(results.columns) >= {"question", "answer", "truth", "right", "looked_there"}
    assert results.right.mean() > 0.8
    lonlat = geopandas.read_file(tmp_path / "notebook-output" / "results.geojson")
    assert lonlat.crs.to_epsg() == 4326
    assert len(lonlat) == len(results)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@needs_weights
def test_evaluate_runs_as_saved_and_compares_two_runs(run, tmp_path):
    path = ROOT / "notebooks" / "evaluate.ipynb"
    notebook = run(path)
    assert_as_saved(notebook, path)
    for name in ("focus_spread", "strided"):
        items = (tmp_path / "notebook-output" / name / "items.jsonl").read_text().splitlines()
        assert len(items) == 48
    assert "strided" in printed(notebook)
