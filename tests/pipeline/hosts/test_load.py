"""Models are found by name, loaded from safetensors alone, or refused in words."""

import json
import shutil

import pytest
import torch
from pipeline_toys import QUESTION, llava_host, random_llava
from safetensors.torch import load_file, save_file

import geofovea as gf
from geofovea.errors import ModelError
from geofovea.pipeline.focus.dual_encoder import load_dual_encoder
from geofovea.pipeline.hosts.load import embedded_model_path, load_host, model_digest
from geofovea.pipeline.hosts.lvlm import LvlmHost
from geofovea.pipeline.hosts.settings import SETTINGS_FILE, HostSettings
from geofovea.pipeline.training.curriculum import default_config
from geofovea.pipeline.training.embedded_model import build_tokenizer
from geofovea.pipeline.training.train import train


@pytest.fixture
def folder(tiny_folder, tmp_path):
    """A copy of the tiny model that a test may break."""
    return shutil.copytree(tiny_folder, tmp_path / "model")


def test_a_written_student_loads_with_its_settings(tiny_host, tiny_folder):
    assert isinstance(tiny_host, LvlmHost)
    assert tiny_host.name == str(tiny_folder)
    assert (tiny_host.tile_size, tiny_host.grid) == (64, (4, 4))
    assert tiny_host.capabilities.domain == "synthetic"
    assert tiny_host.capabilities.attention
    assert tiny_host.default_budget.tiles == 48


@pytest.mark.parametrize("which", ["tiny", "embedded"])
def test_weights_have_the_names_that_every_supported_transformers_reads(tiny_folder, which):
    # later releases leave out a part of them, which the oldest one does not understand
    folder = {"tiny": tiny_folder, "embedded": embedded_model_path()}[which]
    names = [name for name in load_file(folder / "model.safetensors") if "vision_tower" in name]
    assert names
    assert all(name.startswith("vision_tower.vision_model.") for name in names)


@pytest.mark.parametrize("focus", ["attention", "rfm"])
def test_the_embedded_model_answers_and_focuses_by_its_module(scene_path, world, focus):
    session = gf.SceneSession(gf.open_scene(scene_path), load_host("embedded"))
    question = f"What is the color of the plane at the {world.named_sites[0].kind}?"
    answer = session.ask(question, focus=focus, budget=gf.Budget(tiles=12, tokens=100))
    assert answer.text
    assert answer.confidence > 0


@pytest.mark.parametrize(("word", "other"), [("color", "Colour"), ("harbor", "harbour")])
def test_the_embedded_model_answers_both_spellings_of_a_question_alike(scene_path, word, other):
    session = gf.SceneSession(gf.open_scene(scene_path), load_host("embedded"))
    american = "What color is the plane at the harbor?"
    one, another = (
        session.ask(question, budget=gf.Budget(tiles=12, tokens=100))
        for question in (american, american.replace(word, other))
    )
    assert (one.text, one.confidence) == (another.text, another.confidence)
    assert one.warnings == another.warnings


def test_further_training_keeps_the_ids_of_all_words_and_their_spellings():
    shipped = json.loads((embedded_model_path() / "tokenizer.json").read_text("utf-8"))
    further = json.loads(build_tokenizer().backend_tokenizer.to_str())
    assert shipped["model"]["vocab"].items() <= further["model"]["vocab"].items()
    assert all(
        step in further["normalizer"]["normalizers"]
        for step in shipped["normalizer"]["normalizers"]
    )
    assert further["pre_tokenizer"] == shipped["pre_tokenizer"]
    assert further["added_tokens"] == shipped["added_tokens"]


def test_a_model_is_loaded_once(tiny_folder):
    assert load_host(str(tiny_folder)) is load_host(str(tiny_folder))


def test_a_missing_settings_file_means_the_defaults(tmp_path):
    assert HostSettings.read(tmp_path / SETTINGS_FILE) == HostSettings()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"pol": 2}', r"unknown keys \['pol'\]"),
        ('{"pool": 2', "not a JSON object"),
        ("7", "not a JSON object"),
        ("[]", "not a JSON object"),
        ('["pool"]', "not a JSON object"),
        ('{"template": "{question}"}', "must contain"),
        ('{"template": "{image}"}', "must contain"),
        ('{"template": "{image}{image}{question}"}', "must contain"),
        ('{"template": 3}', "must contain"),
        ('{"pool": 0}', "pool"),
        ('{"pool": "two"}', "pool"),
        ('{"focus_layer": -1}', "focus_layer"),
        ('{"tiles": 0}', "tiles"),
        ('{"image_mean": 0.5}', "image_mean"),
        ('{"image_std": [1, 0, 1]}', "image_std"),
        ('{"domain": 3}', "domain"),
    ],
)
def test_a_settings_file_that_cannot_be_meant_is_refused(tmp_path, text, words):
    (tmp_path / SETTINGS_FILE).write_text(text)
    with pytest.raises(ModelError, match=words):
        HostSettings.read(tmp_path / SETTINGS_FILE)


def test_settings_are_refused_before_the_weights_are_loaded(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "llava"}')
    (tmp_path / SETTINGS_FILE).write_text('{"pol": 2}')
    with pytest.raises(ModelError, match="unknown keys"):
        load_host(str(tmp_path))


def test_settings_override_the_defaults(tmp_path):
    path = tmp_path / SETTINGS_FILE
    path.write_text('{"pool": 1, "image_mean": [0.5, 0.5, 0.5]}')
    settings = HostSettings.read(path)
    assert (settings.pool, settings.image_mean) == (1, (0.5, 0.5, 0.5))
    assert settings.template == HostSettings().template


def test_patches_that_the_pool_does_not_divide_are_refused(folder):
    settings = json.loads((folder / SETTINGS_FILE).read_text()) | {"pool": 3}
    (folder / SETTINGS_FILE).write_text(json.dumps(settings))
    with pytest.raises(ModelError, match="pool"):
        load_host(str(folder))


def test_a_folder_with_pickled_weights_only_is_refused(folder):
    torch.save({}, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="safetensors"):
        load_host(str(folder))


def test_a_file_that_is_nested_without_end_is_a_model_error(folder):
    for name in ("preprocessor_config.json", SETTINGS_FILE):
        (folder / name).write_text(DEEP)
        with pytest.raises(
            ModelError, match=r"is not a JSON object .*copy (or download )?it again"
        ):
            load_host(str(folder))
        (folder / name).unlink()


def test_weights_that_lie_elsewhere_are_a_model_error(folder):
    (folder / "model.safetensors").unlink()
    index = {"metadata": {}, "weight_map": {"a": "../../../../etc/passwd"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ModelError, match="could not be loaded"):
        load_host(str(folder))


@pytest.mark.parametrize("part", ["text_config", "vision_config"])
def test_more_layers_than_can_be_made_are_refused_before_they_are(folder, part):
    config = json.loads((folder / "config.json").read_text())
    config[part]["num_hidden_layers"] = 10**9
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=r"1000000000 layers \(num_hidden_layers\)"):
        load_host(str(folder))


def test_damaged_weights_are_a_model_error(folder):
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ModelError, match="could not be loaded"):
        load_host(str(folder))


@pytest.mark.parametrize(
    ("name", "tensor", "words"),
    [
        ("weight", torch.zeros(7, 3), r"\(7, 3\).*\(64, 3\)"),
        ("other", torch.zeros(64, 3), "weight"),
    ],
)
def test_scene_positions_that_do_not_fit_are_a_model_error(folder, name, tensor, words):
    save_file({name: tensor}, folder / "scene_position.safetensors")
    with pytest.raises(ModelError, match=words):
        load_host(str(folder))


def test_damaged_scene_positions_are_a_model_error(folder):
    (folder / "scene_position.safetensors").write_bytes(b"nothing")
    with pytest.raises(ModelError, match="does not hold scene positions"):
        load_host(str(folder))


def test_weights_that_are_missing_are_not_replaced_by_random_ones(folder):
    weights = load_file(folder / "model.safetensors")
    weights.pop(next(name for name in weights if "multi_modal_projector" in name))
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match=r"lacks 1 weights.*multi_modal_projector"):
        load_host(str(folder))


def test_loading_writes_nothing_on_standard_error(folder, capfd):
    load_host(str(folder))
    assert capfd.readouterr() == ("", "")


def test_a_folder_without_a_tokenizer_is_refused(folder):
    for file in folder.glob("*token*"):
        file.unlink()
    with pytest.raises(ModelError, match="could not be loaded"):
        load_host(str(folder))


@pytest.mark.parametrize("name", ["nonsense", "a/b/c", "", "/no/such/folder"])
def test_a_name_that_is_neither_folder_nor_hub_id_is_refused_with_the_choices(name):
    with pytest.raises(ModelError, match=r"embedded.*llava-hf/llava-1\.5-7b-hf"):
        load_host(name)


@pytest.mark.parametrize("name", ["nobody/no-such-model", "../x", "a b/c d"])
def test_a_hub_id_that_cannot_be_reached_is_a_model_error(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match="could not be loaded"):
        load_host(name)


@pytest.mark.parametrize("load", [load_host, load_dual_encoder])
def test_a_hub_out_of_reach_is_asked_once_and_said_in_one_message(load, capfd, caplog):
    with pytest.raises(ModelError, match=r"could not be loaded.*not on this machine.*HF_HUB_OFFL"):
        load("nobody/no-such-model")
    assert "etry" not in capfd.readouterr().err + caplog.text


@pytest.mark.parametrize("shards", [0, 1])
def test_a_model_of_which_a_part_is_in_the_cache_is_asked_for_once(
    folder, tmp_path, monkeypatch, capfd, caplog, shards
):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    repository, commit = tmp_path / "hub/models--nobody--half", "0" * 40
    snapshot = repository / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs/main").write_text(commit)
    shutil.copy(folder / "config.json", snapshot)
    names = [f"model-0000{number}-of-00002.safetensors" for number in (1, 2)]
    index = {"weight_map": dict(zip("ab", names, strict=True))}
    (snapshot / "model.safetensors.index.json").write_text(json.dumps(index))
    for name in names[:shards]:
        shutil.copy(folder / "model.safetensors", snapshot / name)
    with pytest.raises(ModelError, match="only a part of it is on this machine") as raised:
        load_host("nobody/half")
    assert "HF_HUB_OFFLINE" in str(raised.value)
    assert "etry" not in capfd.readouterr().err + caplog.text


def test_a_file_is_not_a_model(tmp_path):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"x")
    with pytest.raises(ModelError, match="there is no model"):
        load_host(str(path))


@pytest.mark.parametrize(
    ("file", "key", "value", "words"),
    [
        ("config.json", "vision_feature_layer", 99, "vision_feature_layer 99 is not one of the"),
        ("tokenizer_config.json", "model_max_length", "many", "could not be loaded"),
        ("tokenizer_config.json", "unk_token", "", "could not be loaded"),
    ],
)
def test_settings_that_no_model_has_are_refused_when_it_is_loaded(folder, file, key, value, words):
    settings = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps(settings | {key: value}))
    with pytest.raises(ModelError, match=words):
        load_host(str(folder))


@pytest.mark.parametrize("word", ["", " "])
@pytest.mark.parametrize("key", ["bos_token", "image_token"])
def test_a_special_word_that_is_blank_is_not_looked_for_in_questions(folder, key, word):
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(settings | {key: word}))
    # other words are taken out until none is left; this one would be found forever
    assert load_host(str(folder))._prompts.words.plain("<pad> how  many") == "how many"


def test_what_is_no_id_ends_no_answer(folder, tiny_folder):
    settings = json.loads((folder / "generation_config.json").read_text())
    changed = settings | {"eos_token_id": {"a": 1}}
    (folder / "generation_config.json").write_text(json.dumps(changed))
    said = [load_host(str(path)).generate(QUESTION, None) for path in (folder, tiny_folder)]
    assert said[0] == said[1]


DEEP = "[" * 100_000


NONE, UNKNOWN = "holds no model config.json", "config.json names no model_type"


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (None, NONE),
        ("{", NONE),
        (DEEP, NONE),
        ("[]", UNKNOWN),
        ("{}", UNKNOWN),
        ('{"model_type": ["llava"]}', UNKNOWN),
    ],
)
def test_a_folder_without_a_config_is_refused(tmp_path, config, words):
    if config is not None:
        (tmp_path / "config.json").write_text(config)
    with pytest.raises(ModelError, match=words):
        load_host(str(tmp_path))


def test_a_model_of_another_family_is_named(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ModelError, match=r"is a 'bert'; supported are llava, .*smolvlm"):
        load_host(str(tmp_path))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("vision_feature_layer", [-2, 4]),
        ("vision_feature_layer", -5),
        ("vision_feature_layer", []),
        ("vision_feature_select_strategy", "full"),
    ],
)
def test_a_vision_tower_that_is_used_in_another_way_is_refused(key, value):
    model = random_llava()
    setattr(model.config, key, value)
    with pytest.raises(ModelError, match=key):
        llava_host(model)


@pytest.mark.parametrize(
    ("device", "told"),
    [
        ("nowhere", "is no device of torch; give"),
        ("", "is no device of torch; give"),
        ("cuda:99", "cannot be used on this machine; give"),
        ("meta", "holds no numbers; give"),
    ],
)
def test_a_device_that_is_not_there_is_a_model_error(device, told, tmp_path):
    for use in (lambda: load_host("embedded", device), lambda: _trained_on(device, tmp_path)):
        with pytest.raises(ModelError, match=f"^device='{device}' {told} .*cpu$"):
            use()


def _trained_on(device, folder):
    return list(train(default_config(0.01), folder / "run", device=device))


@pytest.mark.parametrize("name", ["x" * 300, "owner/" + "x" * 300, "nul\0name"])
def test_a_name_that_no_file_can_have_is_refused_like_any_other(name):
    with pytest.raises(ModelError, match=r"there is no model|could not be loaded"):
        load_host(name)
    assert model_digest(name) == ""
