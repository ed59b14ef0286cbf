"""Weights that were trained before are where a further run starts."""

import json
import shutil
from dataclasses import replace
from itertools import islice

import pytest
import torch
from pipeline_toys import TINY
from safetensors.torch import load_file
from training_toys import CONFIG

from geofovea.errors import DataError, ModelError
from geofovea.pipeline.hosts.load import embedded_model_path
from geofovea.pipeline.training import train as training
from geofovea.pipeline.training.checkpoint import STATE_FILE, load_student
from geofovea.pipeline.training.embedded_model import vocabulary
from geofovea.pipeline.training.lessons.spec import SampleSpec
from geofovea.pipeline.training.samples import training_samples
from geofovea.pipeline.training.starting import shape_of, start_from
from geofovea.pipeline.training.student import Student

TABLE = "model.language_model.embed_tokens.weight"


def without_its_last_words(folder, copy, count):
    """A model that knows fewer words; they are taken from the end."""
    shutil.copytree(folder, copy)
    path = copy / "tokenizer.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    words = content["model"]["vocab"]
    for word in vocabulary()[-count:]:
        del words[word]
    path.write_text(json.dumps(content), encoding="utf-8")
    return copy


def test_a_student_gets_every_weight_of_the_model_in_silence(student, tiny_folder, capfd):
    torch.manual_seed(9)
    other = Student(TINY)
    start_from(other, tiny_folder)
    assert capfd.readouterr() == ("", "")
    heads = ("dense_head", "heard_head")
    for name, value in student.state_dict().items():
        found = other.state_dict()[name]
        if name.startswith(heads):
            assert not torch.equal(found, value)
        else:
            assert torch.equal(found, value.half().float()), name


def test_words_that_the_model_lacks_get_vectors_of_their_own(student, tiny_folder, tmp_path):
    folder = without_its_last_words(tiny_folder, tmp_path / "fewer", 20)
    other = Student(TINY)
    start_from(other, folder)
    ours, theirs = other.llava.state_dict()[TABLE], student.llava.state_dict()[TABLE]
    known = len(vocabulary()) - 20
    assert torch.equal(ours[:known], theirs[:known].half().float())
    new = ours[known : known + 20]
    assert torch.unique(new, dim=0).shape == new.shape
    assert new.norm(dim=1).mean() == pytest.approx(float(ours[:known].norm(dim=1).mean()))
    assert torch.equal(other.llava.lm_head.weight, ours)


def test_the_shipped_model_still_answers_after_its_words_became_more():
    """Its held-out accuracy on colors is .97; by chance it is an eighth."""
    torch.manual_seed(0)
    folder = embedded_model_path()
    student = Student(shape_of(folder))
    start_from(student, folder)
    plan = SampleSpec(lone_pad=True, kinds=("count", "object color", "object color"), questions=12)
    ids = {word: index for index, word in enumerate(vocabulary())}
    right, asked = 0, 0
    for sample in islice(training_samples(10**9, student.shape, plan, ids), 8):
        batch = {name: torch.from_numpy(value)[None] for name, value in vars(sample).items()}
        with torch.no_grad():
            correct = student(batch).correct[0]
        right, asked = right + int(correct.sum()), asked + len(correct)
    assert right > 0.8 * asked


@pytest.mark.parametrize("name", ["config.json", "geofovea.json"])
def test_a_folder_without_a_model_of_ours_is_refused(tiny_folder, tmp_path, name):
    shutil.copytree(tiny_folder, tmp_path / "part")
    (tmp_path / "part" / name).unlink()
    with pytest.raises(ModelError, match="no model that geofovea train made"):
        shape_of(tmp_path / "part")


def test_a_model_of_another_shape_is_refused(tiny_folder):
    with pytest.raises(ModelError, match="shape"):
        start_from(Student(replace(TINY, focus_layer=2)), tiny_folder)


def test_a_model_that_counts_its_words_otherwise_is_refused(tiny_folder, tmp_path):
    shutil.copytree(tiny_folder, tmp_path / "other")
    path = tmp_path / "other" / "tokenizer.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    words = content["model"]["vocab"]
    words["red"], words["green"] = words["green"], words["red"]
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ModelError, match="counts its words otherwise"):
        start_from(Student(TINY), tmp_path / "other")


def test_at_first_the_heads_alone_learn_and_then_all_does(student, tiny_folder, tmp_path):
    plain = {"workers": 0, "compiled": False, "log_every": 1, "measure_every": 100}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "measure", lambda *_: {})
        config = replace(CONFIG, heads_first=1, start=str(tiny_folder))
        list(training.train(config, tmp_path, stop_after=0, **plain))
        first = load_student(tmp_path)[0].state_dict()
        for name, value in student.state_dict().items():
            is_head = name.startswith(("dense_head", "heard_head"))
            assert torch.equal(first[name], value.half().float()) != is_head, name
        # a run that is resumed goes on from its own state
        list(training.train(config, tmp_path, stop_after=0, **plain))
    state = load_file(tmp_path / STATE_FILE)
    assert int(state["step"]) == 2
    second = load_student(tmp_path)[0].state_dict()
    moved = [name for name in first if not torch.equal(first[name], second[name])]
    assert len(moved) > 0.7 * len(first)


def test_a_folder_of_a_run_with_another_start_is_refused(tiny_folder, tmp_path):
    plain = {"workers": 0, "compiled": False, "stop_after": 0}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "measure", lambda *_: {})
        list(training.train(CONFIG, tmp_path, **plain))
    with pytest.raises(DataError, match="start nothing"):
        list(training.train(replace(CONFIG, start=str(tiny_folder)), tmp_path, **plain))


def test_a_model_that_knows_more_words_is_refused(tiny_folder, tmp_path):
    shutil.copytree(tiny_folder, tmp_path / "later")
    path = tmp_path / "later" / "tokenizer.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    words = content["model"]["vocab"]
    words["zeppelin"] = len(words)
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ModelError, match="or a later one"):
        start_from(Student(TINY), tmp_path / "later")


@pytest.mark.parametrize("name", ["model.safetensors", "scene_position.safetensors"])
def test_damaged_weights_are_refused_with_words(tiny_folder, tmp_path, name):
    shutil.copytree(tiny_folder, tmp_path / "part")
    assert (tmp_path / "part" / name).exists()
    (tmp_path / "part" / name).write_bytes(b"half")
    with pytest.raises(ModelError, match="holds no whole model"):
        start_from(Student(TINY), tmp_path / "part")
