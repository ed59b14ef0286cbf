"""Examples of public docstrings that ask about a scene; the others run in ``test_public_api``."""

import pytest
from docstring_examples import faults_of_example


@pytest.mark.parametrize("name", ["ask", "count", "find"])
def test_an_example_about_a_scene_gives_what_it_shows(name, scene_path, monkeypatch):
    monkeypatch.chdir(scene_path.parent)
    assert faults_of_example(name) == []
