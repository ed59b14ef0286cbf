"""What the README tells people to type is what works."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from geofovea.datasets.synthetic.scene_files import write_scene
from geofovea.datasets.synthetic.world import make_world
from geofovea.pipeline.cli import main
from geofovea.pipeline.hosts.load import embedded_model_path

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(sh|python)\n(.*?)```", README, re.DOTALL)
LINES = [
    line.split("#")[0].strip()
    for language, text in BLOCKS
    if language == "sh"
    for line in text.splitlines()
    if line.strip()
]
COMMANDS = [line for line in LINES if line.startswith("geofovea ")]
TOO_LONG_FOR_A_TEST = ("bench", "distill", "train", "demo", "eval", "report")
needs_weights = pytest.mark.skipif(
    not (embedded_model_path() / "config.json").exists(), reason="no embedded model in this tree"
)


@pytest.fixture
def scene_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_scene(make_world(3, 2048, 2048), "scene.tif")


def test_the_readme_opens_with_the_two_commands() -> None:
    assert LINES[:2] == ["make demo", "make test"]


@pytest.mark.parametrize("line", [line for line in LINES if line.startswith("make ")])
def test_every_make_target_of_the_readme_exists(line: str) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(rf"^{line.split()[1]}:", makefile, re.MULTILINE)


@pytest.mark.parametrize("line", [line for line in LINES if line.startswith("python ")])
def test_every_script_of_the_readme_exists(line: str) -> None:
    assert (ROOT / line.split()[1]).is_file()


@needs_weights
@pytest.mark.parametrize("line", [c for c in COMMANDS if c.split()[1] not in TOO_LONG_FOR_A_TEST])
def test_every_short_command_of_the_readme_runs(line: str, scene_here: None) -> None:
    result = CliRunner().invoke(main, shlex.split(line)[1:])
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("line", [c for c in COMMANDS if c.split()[1] in TOO_LONG_FOR_A_TEST])
def test_every_long_command_of_the_readme_parses(line: str) -> None:
    result = CliRunner().invoke(main, [*shlex.split(line)[1:], "--help"])
    assert result.exit_code == 0, result.output


@needs_weights
def test_the_python_of_the_readme_runs(
    scene_here: None, capsys: pytest.CaptureFixture[str]
) -> None:
    for language, text in BLOCKS:
        if language == "python":
            exec(compile(text, "README.md", "exec"), {})
    assert Path("evidence.geojson").exists()
    assert capsys.readouterr().out.strip()
