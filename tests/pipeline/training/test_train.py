"""A run is a function of its config alone, however often it is interrupted."""

import json
import math
import shutil
from dataclasses import replace

import pytest
import torch
from pipeline_toys import QUESTION, TINY
from safetensors.torch import load_file
from training_toys import CONFIG, PLAN, TURN

from geofovea.errors import DataError, OutputError, TrainingError
from geofovea.pipeline.hosts.load import load_host
from geofovea.pipeline.session.session import SceneSession
from geofovea.pipeline.training import train as training
from geofovea.pipeline.training.checkpoint import PROGRESS_FILE, STATE_FILE, load_student
from geofovea.pipeline.training.curriculum import Phase, Turn
from geofovea.pipeline.training.export import export_model, write_model
from geofovea.pipeline.training.report import draw_curve, write_card
from geofovea.pipeline.training.run_log import training_log
from geofovea.pipeline.training.train import train
from geofovea.regionfocus.budget import Budget

PLAIN = {"workers": 0, "compiled": False, "log_every": 2, "measure_every": 100}


@pytest.fixture(autouse=True, scope="module")
def few_measurements():
    """Held-out samples are measured here for their presence, not for their number."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "_HELD_OUT_BATCHES", 1)
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of four steps without interruption."""
    folder = tmp_path_factory.mktemp("run")
    list(train(CONFIG, folder, **PLAIN))
    return folder


def weights(folder):
    return load_file(folder / STATE_FILE)


def test_a_batch_is_a_function_of_seed_and_index():
    first, again = training._Batches(CONFIG), training._Batches(CONFIG)
    third = first[2]
    again[0]
    for name, value in again[2].items():
        assert torch.equal(value, third[name])
    assert not torch.equal(first[1]["tiles"], third["tiles"])
    other = training._Batches(replace(CONFIG, seed=5))[2]
    assert not torch.equal(other["tiles"], third["tiles"])
    assert third["tiles"].shape == (2, 4, 64, 64, 3)
    assert third["words"].shape == (2, 3, 16)


def test_held_out_samples_are_none_of_those_trained_on():
    held_out = training._Batches(replace(CONFIG, phases=(Phase(2 * 10**9, (TURN,)),)))[10**9]
    for index in range(4):
        assert not torch.equal(training._Batches(CONFIG)[index]["tiles"], held_out["tiles"])


def test_a_run_that_was_interrupted_ends_with_the_very_same_weights(run, tmp_path):
    for _ in range(3):  # each time, one step is taken
        list(train(CONFIG, tmp_path, stop_after=0, **PLAIN))
    assert json.loads((tmp_path / PROGRESS_FILE).read_text())["step"] == 3
    list(train(CONFIG, tmp_path, **PLAIN))
    ours, theirs = weights(tmp_path), weights(run)
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        assert torch.equal(value, theirs[name]), name


def test_a_run_that_was_killed_has_the_state_before_its_last_step(tmp_path):
    records = train(CONFIG, tmp_path, save_every=0, **PLAIN)
    assert next(records)["step"] == 2
    records.close()
    assert json.loads((tmp_path / PROGRESS_FILE).read_text())["step"] == 1


def test_a_loss_that_is_no_number_ends_a_run_and_leaves_the_state_before(tmp_path):
    wild = replace(CONFIG, learning_rate=1e30, matrix_learning_rate=1e30)
    with pytest.raises(TrainingError, match=r"loss of step \d is (nan|inf); .* --seed"):
        list(train(wild, tmp_path, save_every=0, **PLAIN))
    assert 1 <= json.loads((tmp_path / PROGRESS_FILE).read_text())["step"] < CONFIG.steps


def test_a_step_moves_the_weights(run, tmp_path):
    list(train(CONFIG, tmp_path, stop_after=0, **PLAIN))
    early, late = weights(tmp_path), weights(run)
    moved = [n for n in early if n.startswith("model.") and not torch.equal(early[n], late[n])]
    assert len(moved) > 0.9 * len([n for n in early if n.startswith("model.")])


def test_a_run_that_is_complete_does_nothing_more(run):
    before = weights(run)
    assert list(train(CONFIG, run, **PLAIN)) == []
    assert all(torch.equal(value, before[name]) for name, value in weights(run).items())


_SECOND_WORLD = replace(TURN, plan=replace(PLAN, world=2))


@pytest.mark.parametrize(
    "other",
    [
        replace(CONFIG, seed=5),
        replace(CONFIG, shape=replace(TINY, focus_layer=2)),
        replace(CONFIG, phases=(Phase(4, (TURN, _SECOND_WORLD)),)),
    ],
)
def test_a_folder_of_another_run_is_refused(run, other):
    with pytest.raises(DataError, match="name another folder"):
        list(train(other, run, **PLAIN))


def test_a_file_where_the_folder_should_be_is_an_output_error(tmp_path):
    (tmp_path / "run").write_text("x")
    with pytest.raises(OutputError, match="cannot be made"):
        list(train(CONFIG, tmp_path / "run", **PLAIN))


def test_a_folder_without_a_run_holds_no_student(tmp_path):
    with pytest.raises(DataError, match="holds no training state"):
        load_student(tmp_path)


def test_the_student_of_a_run_comes_back_with_its_recipe(run):
    student, config = load_student(run)
    assert config == CONFIG
    assert not student.training
    embedding = weights(run)["model.llava.model.language_model.embed_tokens.weight"]
    assert torch.equal(student.llava.lm_head.weight, embedding)


def test_the_log_is_one_json_object_a_line(run):
    lines = training_log(run).path.read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    assert records == training_log(run).read()
    losses = [r for r in records if "answer" in r]
    assert [r["step"] for r in losses] == [2, 4]
    for record in losses:
        assert {"answer", "dense", "focus", "heard", "correct", "seconds"} <= set(record)
        assert all(math.isfinite(record[name]) for name in ("answer", "dense", "focus", "heard"))
    (measured,) = [r["held_out"] for r in records if "held_out" in r]
    assert 0 <= measured["overall"] <= 1
    assert all(0 <= mass <= 1 for turn in measured["focus_mass"] for mass in turn)


def test_the_log_of_a_run_that_was_killed_forgets_what_is_done_again(run, tmp_path):
    folder = shutil.copytree(run, tmp_path / "run")
    log = training_log(folder)
    records = log.read()
    with log.path.open("a") as file:
        file.write(json.dumps(records[-1] | {"step": 5}) + '\n{"step": 6, "ans')
    list(train(CONFIG, folder, **PLAIN))
    assert log.read() == records


def test_a_phase_takes_turns_by_the_number_of_the_step():
    other = Turn(1, replace(PLAN, questions=5))
    config = replace(CONFIG, phases=(Phase(3, (TURN,)), Phase(4, (TURN, other))))
    assert [config.turn_at(step) for step in range(7)] == [TURN] * 3 + [other, TURN] * 2
    shapes = [training._Batches(config)[step]["words"].shape for step in (4, 5)]
    assert shapes == [(2, 3, 16), (1, 5, 16)]


def test_a_run_becomes_a_model_that_answers_with_card_and_curve(run, tmp_path, make_session):
    export_model(run, tmp_path / "model")
    write_card(run, tmp_path / "model" / "README.md", CONFIG)
    draw_curve(run, tmp_path / "curve.png")
    card = (tmp_path / "model" / "README.md").read_text(encoding="utf-8")
    assert "It knows synthetic scenes only" in card
    assert "| steps | 4 (24 questions) |" in card
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
    host = load_host(str(tmp_path / "model"))
    session = SceneSession(make_session().scene, host)
    answer = session.ask(QUESTION, budget=Budget(tiles=8, tokens=40))
    assert answer.model == str(tmp_path / "model")
    assert {p.suffix for p in (tmp_path / "model").iterdir()} <= {".json", ".safetensors", ".md"}


def test_writing_a_model_prints_nothing(student, tmp_path, capsys):
    write_model(student, tmp_path)
    assert capsys.readouterr() == ("", "")


def test_writing_a_model_leaves_the_student_as_it_was(student, tiny_folder):
    assert {p.dtype for p in student.parameters()} == {torch.float32}
    stored = load_file(tiny_folder / "model.safetensors")
    assert {value.dtype for value in stored.values()} == {torch.float16}


def test_a_phase_with_frozen_vision_leaves_the_tower_alone_and_teaches_the_rest(tmp_path):
    seeing, frozen = (
        replace(CONFIG, phases=(Phase(2, (TURN,)), Phase(2, (TURN,), vision_frozen=is_frozen)))
        for is_frozen in (False, True)
    )
    states = {}
    for name, config in (("before", replace(seeing, phases=seeing.phases[:1])), ("after", frozen)):
        list(train(config, tmp_path / "run", workers=0, compiled=False, log_every=1))
        student, _ = load_student(tmp_path / "run")
        states[name] = student.state_dict()
    changed = {k for k, v in states["after"].items() if not torch.equal(v, states["before"][k])}
    assert not {name for name in changed if "vision_tower" in name}
    assert {name for name in changed if "language_model" in name}


@pytest.mark.parametrize(
    ("name", "content"),
    [(PROGRESS_FILE, b"{"), (PROGRESS_FILE, b"{}"), (STATE_FILE, b"half"), (STATE_FILE, None)],
    ids=str,
)
def test_a_damaged_state_says_how_to_begin_again(run, tmp_path, name, content):
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run" / name).unlink()
    if content is not None:
        (tmp_path / "run" / name).write_bytes(content)
    for use in (lambda f: next(train(CONFIG, f, **PLAIN)), load_student):
        with pytest.raises(DataError, match=rf"damaged .* remove {PROGRESS_FILE}"):
            use(tmp_path / "run")
