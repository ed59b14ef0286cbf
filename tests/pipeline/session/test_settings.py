"""Settings are told apart by what changes answers, and by nothing else."""

import shutil
from pathlib import Path

import pytest

from geofovea.errors import ModelError
from geofovea.pipeline.evaluation.worker import configuration_of
from geofovea.pipeline.hosts.endpoint.settings import EndpointSettings
from geofovea.pipeline.hosts.load_options import LoadOptions
from geofovea.pipeline.session.options import AnswerOptions
from geofovea.pipeline.session.settings import AskSettings


@pytest.fixture
def names(tiny_folder, tmp_path, monkeypatch):
    """The names of one folder of a model, and of copies of it."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny_folder, "model")
    shutil.copytree(tiny_folder, "elsewhere/snapshots/0123abc")
    Path("link").symlink_to("model")
    Path("files").mkdir()
    for path in (tmp_path / "model").iterdir():
        Path("files", path.name).symlink_to(path)
    return ["./model", "model/", "model", "model//", str(tmp_path / "model"), "link",
            "elsewhere/../model", "elsewhere/snapshots/0123abc", "files"]  # fmt: skip


@pytest.mark.parametrize("field", ["model", "focus_model", "rfm"])
def test_a_model_is_the_same_under_any_name_of_its_folder(names, field):
    def settings(name):
        if field == "focus_model":
            return AskSettings("embedded", options=AnswerOptions(focus_model=name))
        return AskSettings(**({"model": "embedded"} | {field: name}))

    assert len({settings(name).hash for name in names}) == 1


@pytest.mark.parametrize("file", ["config.json", "model.safetensors", "chat_template.jinja"])
def test_a_model_whose_files_differ_is_another(names, tmp_path, file):
    before = AskSettings("model").hash
    with (tmp_path / "model" / file).open("a") as opened:
        opened.write(" ")
    assert AskSettings("model").hash != before
    assert AskSettings("elsewhere/snapshots/0123abc").hash == before


def test_a_model_on_the_hub_is_told_by_its_name():
    assert AskSettings("owner/one").hash != AskSettings("owner/two").hash


def test_what_a_configuration_is_of_is_still_told_by_name(names):
    described = AskSettings("./model", rfm="link").described()
    assert (described["model"], described["rfm"]) == ("./model", "link")


def test_an_evaluation_knows_a_model_by_its_content_too(names):
    class Lessons:
        name, version = "lessons", 1

    assert len({configuration_of(Lessons, AskSettings(name))[0] for name in names}) == 1
    assert configuration_of(Lessons, AskSettings("model"))[0] != AskSettings("model").hash


@pytest.mark.parametrize(
    "url", ["http://localhost:8000/v1", "http://localhost:8000/v1/", "HTTP://LocalHost:8000/v1"]
)
def test_an_endpoint_is_the_same_however_its_address_is_written(url):
    plain = EndpointSettings("http://localhost:8000/v1")
    assert EndpointSettings(url).described() == plain.described()
    other = EndpointSettings("http://localhost:8000/V1")
    assert other.described() != plain.described()


def test_a_device_that_is_chosen_here_is_recorded_as_the_one_that_it_is(monkeypatch):
    here = AskSettings("owner/one")
    assert here.load.device == "auto"
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    assert here.load.placed().device == "cpu"
    assert here.hash == AskSettings("owner/one", load=LoadOptions("cpu")).hash
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert here.load.placed().device == "cuda"
    assert here.hash == AskSettings("owner/one", load=LoadOptions("cuda")).hash
    # numbers of the weights there, 32 bits here
    assert here.hash != AskSettings("owner/one", load=LoadOptions("cpu")).hash


def test_a_device_map_takes_the_place_of_a_device_that_nobody_named():
    assert LoadOptions(device_map="auto").placed() == LoadOptions("cpu", device_map="auto")
    with pytest.raises(ModelError, match="leave out the device 'cuda'"):
        LoadOptions("cuda", device_map="auto")
