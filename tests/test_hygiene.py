"""Files that tell others how to install, cite, report and release agree with the package."""

import re
import tomllib
import zipfile
from importlib.util import find_spec

import pytest
import yaml
from packaging.requirements import Requirement
from repository import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
# packages that conda-forge has under another name
CONDA_NAMES = {"torch": "pytorch"}


def recipe_text():
    return (ROOT / "packaging" / "conda" / "meta.yaml").read_text(encoding="utf-8")


def test_the_citation_and_the_recipe_have_the_version_of_the_package():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == PROJECT["version"]
    assert citation["license"] == PROJECT["license"]
    assert f'set version = "{PROJECT["version"]}"' in recipe_text()


def test_the_conda_recipe_asks_for_what_the_package_asks_for():
    block = recipe_text().split("  run:\n")[1].split("\ntest:")[0]
    named = dict(re.findall(r"^    - (\S+) (\S+)$", block, re.MULTILINE))
    assert named.pop("python") == PROJECT["requires-python"]
    expected = {}
    for requirement in map(Requirement, PROJECT["dependencies"]):
        expected[CONDA_NAMES.get(requirement.name, requirement.name)] = str(requirement.specifier)
    assert named == expected


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_is_valid_and_runs_targets_that_exist(path):
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert workflow["permissions"] == {"contents": "read"}
    for job in workflow["jobs"].values():
        assert job["runs-on"] == "ubuntu-latest"
        for step in job["steps"]:
            assert ("uses" in step) != ("run" in step)
            for target in re.findall(r"\bmake ([a-z]+)", step.get("run", "")):
                assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE), target


def test_the_tests_of_ci_run_on_every_python_that_is_declared():
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
    matrix = workflow["jobs"]["test"]["strategy"]["matrix"]["python"]
    declared = [
        line.rsplit(" ", 1)[-1] for line in PROJECT["classifiers"]
        if re.search(r"Python :: 3\.\d+$", line)
    ]  # fmt: skip
    assert matrix == declared


@pytest.mark.parametrize("path", sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml")))
def test_an_issue_form_has_what_github_wants(path):
    form = yaml.safe_load(path.read_text(encoding="utf-8"))
    if path.stem == "config":
        assert form["blank_issues_enabled"] is False
        return
    assert {"name", "description", "body"} <= set(form)
    names = [field["id"] for field in form["body"] if field["type"] != "markdown"]
    assert len(names) == len(set(names)) > 0


def test_the_extra_all_brings_every_other_extra_but_the_heavy_ones():
    extras = PROJECT["optional-dependencies"]
    (self_reference,) = map(Requirement, extras["all"])
    assert self_reference.name == PROJECT["name"]
    assert self_reference.extras == set(extras) - {"all", "ray", "quantize"}


def test_the_package_index_gets_links_to_everything():
    links = PROJECT["urls"]
    assert set(links) >= {"Homepage", "Documentation", "Source", "Issues", "Changelog"}
    assert all(link.startswith("https://") for link in links.values())
    assert any(line.startswith("Development Status :: ") for line in PROJECT["classifiers"])


def test_the_image_runs_as_an_ordinary_user_and_sees_only_what_the_build_needs():
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    assert "USER geofovea" in lines
    copied = " ".join(line for line in lines if line.startswith("COPY ") and "--from" not in line)
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert ignored[0] == "*"
    for name in set(copied.replace("COPY", "").split()) - {"./", "src"}:
        assert f"!{name}" in ignored
        assert (ROOT / name).is_file()


@pytest.mark.slow
def test_the_wheel_holds_the_package_without_logs_and_plots(tmp_path):
    if find_spec("hatchling") is None:
        pytest.skip("hatchling, which builds the package, is not installed")
    from hatchling.builders.wheel import WheelBuilder

    (path,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    with zipfile.ZipFile(path) as wheel:
        names = set(wheel.namelist())
    for folder in ("embedded_model", "embedded_earth"):
        assert f"geofovea/pipeline/{folder}/model.safetensors" in names
    assert "geofovea/py.typed" in names
    assert not {name for name in names if re.search(r"training_log|\.png$|/tests?/", name)}
