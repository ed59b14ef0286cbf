"""What the README and the documentation tell people to type is what works.

Each command runs in a folder that holds what pages speak of: a synthetic scene ``scene.tif``, two
dates of one place, a folder of scenes, a table, polygons. A model behind an endpoint is a server on
the loopback. What needs the network, a download or hours is parsed only.
"""

from __future__ import annotations

import re
import shlex
import shutil

import pytest
from chat_server import chatting
from click.testing import CliRunner
from doc_pages import PAGES, blocks_of, commands_of, name_of
from repository import ROOT

import geofovea as gf
from geofovea.datasets.synthetic.dates import make_dated_world
from geofovea.datasets.synthetic.scene_files import write_scene
from geofovea.datasets.synthetic.versions import world_of
from geofovea.datasets.synthetic.world import make_world
from geofovea.pipeline.cli import main
from geofovea.pipeline.hosts.load import embedded_model_path

# each line once, with the first page that has it
COMMANDS = list({line: (name_of(page), line) for page in reversed(PAGES)
                 for line in reversed(commands_of(page))}.values())  # fmt: skip
OURS = [(page, line) for page, line in COMMANDS if line.startswith("geofovea ")]
# programs of others that pages name; whether they are installed here does not matter
OTHERS = {
    "cd", "conda", "docker", "export", "git", "gdaladdo", "ollama", "pip", "pytest", "vllm",
}  # fmt: skip
LONG_VERBS = {"bench", "calibrate", "demo", "distill", "eval", "report", "compare", "train"}
# these serve until they are stopped, or change what is kept on this machine
SERVING = {"mcp", "serve", "cache"}
# a model from the hub, scenes far away, devices and clusters that are not here; workers load one
# model each, and tests of executors see to these
ELSEWHERE = re.compile(
    r"models get|--model [\w-]+/|--model /|--focus-model|https://|s3://|--device-map|--quantization"
    r"|--executor |--composite ndvi|SOURCES|geofovea VERB|BENCHMARK|SCENE"
)
PAGES_WITH_PYTHON = [p for p in PAGES if any(b.language == "python" for b in blocks_of(p))]
LOCALHOST = re.compile(r"http://localhost:\d+/v1")
needs_weights = pytest.mark.skipif(
    not (embedded_model_path() / "config.json").exists(), reason="no embedded model in this tree"
)


def verb_of(line):
    return shlex.split(line)[1]


def runs_here(line):
    return verb_of(line) not in LONG_VERBS | SERVING and not ELSEWHERE.search(line)


@pytest.fixture(scope="module")
def materials(tmp_path_factory):
    """What pages speak of, made once."""
    folder = tmp_path_factory.mktemp("materials")
    write_scene(make_world(34, 2048, 2048), folder / "scene.tif")
    write_scene(world_of(2, 7, 1024, 1024), folder / "earth.tif")
    for number, name in enumerate(("2020.tif", "2024.tif")):
        write_scene(make_dated_world(3, 2048, 2048, number), folder / name)
    (folder / "scenes").mkdir()
    for name in ("north", "south"):
        shutil.copy(folder / "scene.tif", folder / "scenes" / f"{name}.tif")
    (folder / "jobs.csv").write_text(
        "scene,question,id\n"
        "scenes/north.tif,How many trucks are at the depot?,n-1\n"
        "scenes/south.tif,Is there a plane at the airport?,s-1\n"
    )
    synthesized = ["synth", "--output", str(folder / "data"), "--scenes", "1", "--side", "2048"]
    assert CliRunner().invoke(main, [*synthesized, "--seed", "7"]).exit_code == 0
    gf.build_index(folder / "words", folder / "data" / "image", encoder="embedded")
    write_polygons(folder / "fields.gpkg", folder / "scene.tif")
    return folder


def write_polygons(path, scene_path):
    import geopandas
    import rasterio
    import shapely

    with rasterio.open(scene_path) as raster:
        x0, y0, x1, y1 = raster.bounds
        crs = raster.crs.to_wkt()
    middle = (x0 + x1) / 2
    halves = [shapely.box(x0, y0, middle, y1), shapely.box(middle, y0, x1, y1)]
    geopandas.GeoDataFrame({"name": ["west", "east"]}, geometry=halves, crs=crs).to_file(path)


@pytest.fixture
def here(materials, tmp_path, monkeypatch):
    """A folder with the materials, where the command runs."""
    for item in materials.iterdir():
        (tmp_path / item.name).symlink_to(item)
    # that commands run is seen as well where few tiles are looked at
    (tmp_path / "geofovea.toml").write_text("[budget]\nmax_tiles = 12\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GEOFOVEA_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture
def endpoint():
    with chatting() as server:
        yield server.url


@pytest.mark.parametrize(("page", "line"), COMMANDS)
def test_every_command_starts_with_a_program_that_is_known(page, line):
    words = [word for word in shlex.split(line) if not re.match(r"[A-Z_]+=", word)]
    program, rest = words[0], words[1:]
    if program == "make":
        targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
        assert {word for word in rest if "=" not in word} <= set(targets)
    elif program == "python":
        assert rest[0] == "-m" or (ROOT / rest[0]).is_file()
    else:
        assert program in OTHERS | {"geofovea"}


@pytest.mark.parametrize(("page", "line"), OURS)
def test_every_command_parses(page, line):
    # options are parsed before --help is heard: a name that is none is an error
    result = CliRunner().invoke(main, [*shlex.split(line)[1:], "--help"])
    assert result.exit_code == 0, result.output


@pytest.mark.slow
@needs_weights
@pytest.mark.parametrize(("page", "line"), [(p, c) for p, c in OURS if runs_here(c)])
def test_every_short_command_runs(page, line, here, endpoint):
    words = shlex.split(LOCALHOST.sub(endpoint, line))[1:]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output + repr(result.exception)


@pytest.mark.slow
@needs_weights
@pytest.mark.parametrize("page", PAGES_WITH_PYTHON, ids=name_of)
def test_the_python_of_a_page_runs(page, here, endpoint, capsys):
    names: dict[str, object] = {}
    if page.stem == "measure":
        # smaller worlds have no two places that have names
        (here / "scene.tif").unlink()
        write_scene(make_world(34, 4096, 4096), here / "scene.tif")
    for block in blocks_of(page):
        if block.language == "python":
            exec(compile(LOCALHOST.sub(endpoint, block.text), name_of(page), "exec"), names)
    assert capsys.readouterr().out.strip() or page.stem in ("python", "viewer")


def test_commands_of_all_kinds_run_here():
    verbs = {verb_of(line) for _, line in OURS if runs_here(line)}
    assert verbs >= {"ask", "batch", "doctor", "info"}
    assert not {verb for _, line in OURS if (verb := verb_of(line)) not in main.commands}
