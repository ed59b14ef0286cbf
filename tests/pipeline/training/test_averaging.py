"""A further run can keep a share of the weights that it started from."""

import json
import shutil
from dataclasses import replace

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file
from training_toys import CONFIG

from geofovea.errors import ConfigurationError
from geofovea.pipeline.cli.program import main
from geofovea.pipeline.training import train as training
from geofovea.pipeline.training.averaging import average_with_start
from geofovea.pipeline.training.checkpoint import load_student
from geofovea.pipeline.training.embedded_model import vocabulary
from geofovea.pipeline.training.export import export_model

FILES = ("model.safetensors", "scene_position.safetensors")
NEW_WORDS = 20


@pytest.fixture(scope="module")
def start(tiny_folder, tmp_path_factory):
    """A model that lacks the last words of this release."""
    folder = tmp_path_factory.mktemp("start") / "model"
    shutil.copytree(tiny_folder, folder)
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    for word in vocabulary()[-NEW_WORDS:]:
        del content["model"]["vocab"][word]
    path.write_text(json.dumps(content), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def run(start, tmp_path_factory):
    """A run of two steps, far from its start."""
    folder = tmp_path_factory.mktemp("run")
    config = replace(CONFIG, start=str(start), phases=CONFIG.phases[1:] * 2, learning_rate=0.1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "_HELD_OUT_BATCHES", 1)
        list(training.train(config, folder, workers=0, compiled=False, measure_every=100))
    return folder


def weights(folder):
    return {
        name: value.float() for file in FILES for name, value in load_file(folder / file).items()
    }


def table_of(tensors):
    (name,) = (name for name in tensors if name.endswith("embed_tokens.weight"))
    return name


def test_each_weight_lies_where_the_share_says_and_new_words_stay(start, run, tmp_path):
    export_model(run, tmp_path / "all")
    export_model(run, tmp_path / "some", keep=0.25)
    before, after, between = (weights(f) for f in (start, tmp_path / "all", tmp_path / "some"))
    assert before.keys() == after.keys() == between.keys()
    known = len(vocabulary()) - NEW_WORDS
    table = table_of(after)
    assert torch.equal(between[table][known:], after[table][known:])
    assert not torch.equal(before[table][known:], after[table][known:])
    moved = 0
    for name, value in between.items():
        rows = slice(known) if name == table else slice(None)
        expected = 0.25 * before[name][rows] + 0.75 * after[name][rows]
        torch.testing.assert_close(value[rows], expected, rtol=2e-3, atol=1e-4)
        moved += not torch.allclose(after[name], before[name], rtol=0, atol=5e-3)
    assert moved > len(between) / 2


def test_a_share_of_nothing_changes_nothing(start, run):
    student, _ = load_student(run)
    before = {name: value.clone() for name, value in student.state_dict().items()}
    average_with_start(student, start, 0.0)
    for name, value in student.state_dict().items():
        assert torch.equal(value, before[name]), name


@pytest.mark.parametrize("keep", [-0.1, 1.0, float("nan")])
def test_a_share_that_leaves_nothing_of_the_run_is_refused(run, start, tmp_path, keep):
    with pytest.raises(ConfigurationError, match="at least 0 and below 1"):
        export_model(run, tmp_path / "model", keep=keep)
    with pytest.raises(ConfigurationError, match="at least 0 and below 1"):
        average_with_start(load_student(run)[0], start, keep)


def test_a_run_from_nothing_has_nothing_to_keep(tmp_path):
    config = replace(CONFIG, phases=CONFIG.phases[1:])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "measure", lambda *_: {})
        list(training.train(config, tmp_path, workers=0, compiled=False))
    with pytest.raises(ConfigurationError, match="started from nothing"):
        export_model(tmp_path, tmp_path / "model", keep=0.5)


def test_the_command_writes_the_average_and_says_so_in_its_card(start, run, tmp_path):
    """The run is at its end already, so the command only writes."""
    shutil.copytree(run, tmp_path / "run")
    words = ["train", "--from", str(start), "--output", str(tmp_path / "run"), "--seed", "4"]
    words += ["--scale", "0.0001", "--workers", "0", "--no-compile"]
    result = CliRunner().invoke(main, [*words, "--keep", "0.35"])
    assert result.exit_code == 0, result.output
    export_model(run, tmp_path / "expected", keep=0.35)
    ours, expected = weights(tmp_path / "run" / "model"), weights(tmp_path / "expected")
    assert all(torch.equal(value, expected[name]) for name, value in ours.items())
    card = (tmp_path / "run" / "model" / "README.md").read_text(encoding="utf-8")
    assert "0.35 times that of" in card
    assert "0.65 times that of the run" in card
    assert "--keep 0.35 --output RUN" in card


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--keep", "0.5"], "--keep needs --from"),
        (["--keep", "0.5", "--from", "embedded", "--with", "m3"], "without --with"),
        (["--keep", "1", "--from", "embedded"], "0<=x<1"),
    ],
)
def test_a_share_is_refused_where_it_means_nothing(tmp_path, options, message):
    result = CliRunner().invoke(main, ["train", "--output", str(tmp_path / "run"), *options])
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())
    assert not (tmp_path / "run").exists()
