"""A distillation teaches what it says, ends the same however often it is killed, and is refused."""

import json
import shutil
from dataclasses import replace

import pytest
import torch
from click.testing import CliRunner
from pipeline_toys import QUESTION, llava_host, load_anew, random_llava
from safetensors.torch import load_file

from geofovea.errors import DataError, ModelError, TrainingError
from geofovea.pipeline.cli import main
from geofovea.pipeline.hosts.load import embedded_model_path, load_host
from geofovea.pipeline.hosts.region_focus import FOCUS_FILE, FOCUS_WEIGHTS_FILE, DistilledFocus
from geofovea.pipeline.training import distill as distillation
from geofovea.pipeline.training.distill import (
    DistillationConfig,
    distill,
    install_focus,
    sample_loss,
    write_module,
)
from geofovea.pipeline.training.distill_state import STATE_FILE, load_distillation
from geofovea.pipeline.training.focus_samples import WorldSamples
from geofovea.pipeline.training.focus_targets import observed_trend, row_targets
from geofovea.pipeline.training.report import draw_distillation
from geofovea.pipeline.training.run_log import distillation_log

CONFIG = DistillationConfig(
    steps=6, layers=(0, 1), warmup=2, rows_weight=1.0, sinks=True, trend=True, trend_lessons=2
)
OFTEN = {"log_every": 2, "save_every": 0, "measure_every": 6}
PLAIN = replace(CONFIG, sinks=False, trend=False, boxes_weight=0.0)


@pytest.fixture(autouse=True, scope="module")
def few_measurements():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distillation, "_HELD_OUT_SAMPLES", 2)
        yield


@pytest.fixture(autouse=True)
def numbers_as_before():
    """The command lets denormal numbers be 0 in this process."""
    yield
    torch.set_flush_denormal(False)


@pytest.fixture(scope="module")
def samples(tiny_host):
    return WorldSamples(tiny_host, seed=3, questions=5, sides=(2048,))


@pytest.fixture(scope="module")
def run(tiny_host, samples, tmp_path_factory):
    """A run of six steps without interruption."""
    folder = tmp_path_factory.mktemp("run")
    list(distill(tiny_host, samples, CONFIG, folder, **OFTEN))
    return folder


def weights(folder):
    return load_file(folder / STATE_FILE)


def without_times(folder):
    return [
        {k: v for k, v in record.items() if k != "seconds_per_step"}
        for record in distillation_log(folder).read()
    ]


class _Killed(Exception):  # noqa: N818 - no error
    """Stands for the end of a process."""


@pytest.mark.parametrize("killed_at", [1, 3, 4])
def test_a_run_that_was_killed_ends_with_the_same_weights_and_log(
    tiny_host, samples, run, tmp_path, killed_at, monkeypatch
):
    """Killed in the middle of a step, between two saved states."""
    whole = distillation.sample_loss
    calls = []

    def killing(*given):
        calls.append(1)
        if len(calls) == killed_at + 1:
            raise _Killed
        return whole(*given)

    monkeypatch.setattr(distillation, "sample_loss", killing)
    with pytest.raises(_Killed):
        list(distill(tiny_host, samples, CONFIG, tmp_path, **OFTEN))
    with distillation_log(tmp_path).path.open("a") as log:
        log.write('{"step": 5, "steps"')  # half a line, as a killed process leaves it
    monkeypatch.undo()
    list(distill(tiny_host, samples, CONFIG, tmp_path, **OFTEN))
    ours, theirs = weights(tmp_path), weights(run)
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        assert torch.equal(value, theirs[name]), name
    losses = [[r for r in without_times(f) if "loss" in r] for f in (tmp_path, run)]
    assert losses[0] == losses[1]


def test_a_run_that_is_stopped_after_every_step_ends_the_same(tiny_host, samples, run, tmp_path):
    for _ in range(6):
        list(distill(tiny_host, samples, CONFIG, tmp_path, stop_after=0, **OFTEN))
    assert all(torch.equal(v, weights(run)[k]) for k, v in weights(tmp_path).items())
    assert list(distill(tiny_host, samples, CONFIG, tmp_path, **OFTEN)) == []


def test_the_log_is_one_json_object_a_line_and_becomes_a_curve(run, tmp_path):
    records = distillation_log(run).read()
    losses = [r for r in records if "loss" in r]
    assert [r["step"] for r in losses] == [2, 4, 6]
    assert {"row", "image", "logits", "boxes", "seconds_per_step"} <= set(losses[0])
    (found,) = [r["held_out"] for r in records if "held_out" in r]
    assert 0 <= found["chance"] < found["hit_4"] <= 1
    draw_distillation(run, tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_a_copy_of_the_host_has_nothing_to_learn_from_it_and_a_disturbed_one_has(
    tiny_host, samples
):
    module = DistilledFocus(tiny_host.decoder, (0, 1))
    sample = samples.sample(0)
    loss, parts = sample_loss(tiny_host, module, sample, PLAIN, None)
    assert loss.item() == pytest.approx(0, abs=1e-5)
    assert parts["boxes"].item() > 0.1
    with torch.no_grad():
        module.layers[0].mlp.down_proj.weight.mul_(0.5)
    disturbed, _ = sample_loss(tiny_host, module, sample, PLAIN, None)
    assert disturbed.item() > 1e-3


@pytest.mark.slow
def test_a_module_of_fewer_layers_comes_nearer_to_its_host(tiny_host, samples, tmp_path):
    config = replace(PLAIN, steps=60, layers=(1,), learning_rate=3e-3)
    spared = [samples.held_out().sample(index) for index in range(3)]

    def distance(module):
        with torch.no_grad():
            return sum(
                sample_loss(tiny_host, module, sample, config, None)[0].item() for sample in spared
            )

    before = distance(DistilledFocus(tiny_host.decoder, (1,)))
    list(distill(tiny_host, samples, config, tmp_path))
    assert distance(load_distillation(tiny_host, tmp_path).module) < 0.75 * before


@pytest.mark.slow
def test_boxes_teach_where_to_look(tiny_host, samples, tmp_path):
    config = replace(CONFIG, steps=80, rows_weight=0.0, trend=False, learning_rate=3e-3)
    list(distill(tiny_host, samples, config, tmp_path, measure_every=1000))
    mass = distillation_log(tmp_path).read()[-1]["held_out"]["mass"]
    untaught = distillation.measure(
        DistilledFocus(tiny_host.decoder, (0, 1)), tiny_host, samples.held_out()
    )
    assert mass > 1.5 * untaught["mass"]


def test_denoised_targets_differ_in_the_ranking_layer_and_on_the_image_alone(tiny_host, samples):
    sample = samples.sample(0)
    (raw,) = row_targets(tiny_host, sample, (0, 1))
    trend = observed_trend(tiny_host, samples, 1, 3)
    (clean,) = row_targets(tiny_host, sample, (0, 1), trend=trend)
    assert torch.equal(raw.rows[0], clean.rows[0])
    image = raw.pack.image
    changed = (raw.rows[1] != clean.rows[1]).any(0).any(0)
    assert changed[image].all()
    assert not changed[: image.start].any()
    assert not changed[image.stop :].any()
    torch.testing.assert_close(
        raw.rows[1][..., image].logsumexp(-1), clean.rows[1][..., image].logsumexp(-1)
    )


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"recipe": replace(CONFIG, learning_rate=1e-4)}, "learning_rate"),
        ({"recipe": replace(CONFIG, layers=(0, 2))}, "layers"),
        ({"seed": 4}, "lessons"),
    ],
)
def test_a_folder_of_another_run_is_refused(tiny_host, run, change, match):
    samples = WorldSamples(tiny_host, seed=change.get("seed", 3), questions=5, sides=(2048,))
    with pytest.raises(DataError, match=f"holds another run.*{match}.*name another folder"):
        list(distill(tiny_host, samples, change.get("recipe", CONFIG), run))


def test_a_run_of_another_host_is_refused(samples, run):
    other = llava_host(random_llava())
    with pytest.raises(DataError, match="holds another run: its host_hash differs"):
        list(distill(other, samples, CONFIG, run))
    with pytest.raises(DataError, match="of another host"):
        load_distillation(other, run)


@pytest.mark.parametrize("content", [b"", b"x" * 99])
def test_a_damaged_state_is_refused(tiny_host, samples, run, tmp_path, content):
    (tmp_path / STATE_FILE).write_bytes(content)
    with pytest.raises(DataError, match="is not a state of a distillation"):
        list(distill(tiny_host, samples, CONFIG, tmp_path))
    with pytest.raises(DataError, match="is not a state of a distillation"):
        load_distillation(tiny_host, tmp_path)
    with pytest.raises(DataError, match="holds no distillation"):
        load_distillation(tiny_host, tmp_path / "nowhere")


def test_a_loss_that_is_no_number_ends_the_run_and_keeps_the_last_state(
    tiny_host, samples, tmp_path, monkeypatch
):
    """The learning rate is one that throws any weights out of range."""
    wild = replace(CONFIG, learning_rate=1e30, warmup=0)
    with pytest.raises(TrainingError, match="lower --learning-rate"):
        list(distill(tiny_host, samples, wild, tmp_path, save_every=0, measure_every=100))
    state = load_distillation(tiny_host, tmp_path)
    assert 1 <= state.step < 6


def test_hosts_that_cannot_teach_are_refused(samples, tmp_path):
    closed = llava_host(random_llava(), focus_layer=3)
    with pytest.raises(ModelError, match="exposes no attention"):
        list(distill(closed, samples, CONFIG, tmp_path / "run"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "wrong",
    [
        {"steps": 0},
        {"learning_rate": 0.0},
        {"learning_rate": float("nan")},
        {"rows_weight": 0.0, "boxes_weight": 0.0},
        {"boxes_weight": -1.0},
        {"boxes_weight": float("inf")},
        {"trend_lessons": 0},
        {"warmup": -1},
    ],
)
def test_recipes_that_make_nothing_are_refused(wrong):
    with pytest.raises(DataError, match="a distillation needs"):
        DistillationConfig(**wrong)


def test_a_module_is_installed_beside_its_model_and_nowhere_else(
    tiny_host, tiny_folder, run, tmp_path
):
    model = shutil.copytree(tiny_folder, tmp_path / "model")
    card = write_module(run, tiny_host)
    assert card.layers == (0, 1)
    install_focus(run, model, tiny_host)
    host = load_anew(model)
    assert host.capabilities.region_focus
    with pytest.raises(ModelError, match="is not a model folder"):
        install_focus(run, tmp_path, tiny_host)
    with pytest.raises(ModelError, match="was distilled from"):
        install_focus(run, model, llava_host(random_llava()))


def test_a_module_in_any_folder_can_be_asked_with(
    tiny_folder, tiny_host, run, scene_path, tmp_path
):
    write_module(run, tiny_host)
    # a folder of its own: hosts stay loaded, and others use that one without a module
    model = str(shutil.copytree(tiny_folder, tmp_path / "model"))
    command = ["ask", str(scene_path), QUESTION, "--model", model, "--tiles", "12"]
    command += ["--focus", "rfm"]
    with_module = CliRunner().invoke(main, [*command, "--rfm", str(run), "--json"])
    assert with_module.exit_code == 0, with_module.output
    assert json.loads(with_module.stdout)["cost"]["tiles_encoded"] <= 12
    other = [str(embedded_model_path()) if part == model else part for part in command]
    refused = CliRunner().invoke(main, [*other, "--rfm", str(run)])
    assert refused.exit_code == 1
    assert "was distilled from" in refused.stderr


def test_the_command_distils_installs_and_goes_on(tiny_folder, tmp_path):
    model = shutil.copytree(tiny_folder, tmp_path / "model")
    command = ["distill", "--model", str(model), "--output", str(tmp_path / "run")]
    command += ["--steps", "2", "--questions", "3", "--layers", "0,1"]
    first = CliRunner().invoke(main, [*command, "--minutes", "0"])
    assert first.exit_code == 0, first.output
    assert "1 whole decoder layers and one row" in first.stdout
    second = CliRunner().invoke(main, [*command, "--install", "--json"])
    assert second.exit_code == 0, second.output
    assert json.loads(second.stdout)["folder"] == str(tmp_path / "run")
    steps = [r["step"] for r in distillation_log(tmp_path / "run").read() if "loss" in r]
    assert steps == [1, 2]
    made = {path.name for path in (tmp_path / "run").iterdir()}
    assert {FOCUS_FILE, FOCUS_WEIGHTS_FILE, "distillation_curve.png"} <= made
    assert load_anew(model).capabilities.region_focus


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--layers", "x"], 2, "list of layers"),
        (["--layers", "3,1"], 1, "ascending layers"),
        (["--steps", "0"], 2, "0 is not in the range x>=1"),
        (["--questions", "0"], 2, "0 is not in the range x>=1"),
        (["--data", "none.jsonl"], 1, "cannot be read"),
        (["--model", "nobody"], 1, "there is no model"),
    ],
)
def test_wrong_wishes_are_told_in_one_line(tiny_folder, tmp_path, options, code, said):
    model = [] if "--model" in options else ["--model", str(tiny_folder)]
    command = ["distill", "--output", str(tmp_path / "run"), *model, *options]
    result = CliRunner().invoke(main, command)
    assert (result.exit_code, said in result.stderr) == (code, True), result.output


def test_the_shipped_module_was_made_from_the_shipped_weights():
    if not (embedded_model_path() / FOCUS_FILE).exists():
        pytest.skip("no module is shipped yet")
    host = load_host("embedded")
    assert host.capabilities.region_focus
    from geofovea.pipeline.hosts.region_focus import load_focus

    load_focus(embedded_model_path(), host)
    shipped = sum(f.stat().st_size for f in embedded_model_path().glob("*.safetensors"))
    assert shipped <= 40e6
