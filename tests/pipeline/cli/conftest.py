"""Commands, and the one that asks with a tiny model."""

import pytest
from cli_toys import FEW
from click.testing import CliRunner
from pipeline_toys import QUESTION

from geofovea.pipeline.cli import main


@pytest.fixture
def run():
    """``run("inspect", path)``: the result of a command."""
    return lambda *arguments: CliRunner().invoke(main, [str(a) for a in arguments])


@pytest.fixture
def ask(run, tiny_folder, scene_path):
    """``ask(*options, scene=..., question=...)`` with the tiny model, and its budget small."""

    def call(*options, scene=scene_path, question=QUESTION, model=tiny_folder):
        return run("ask", scene, question, "--model", model, *FEW, *options)

    return call
