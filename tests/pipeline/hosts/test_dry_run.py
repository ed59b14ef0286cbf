"""A folder whose parts do not fit each other is refused in words, whatever does not fit."""

import json

import pytest
import torch
from family_toys import (
    ANY_TILE,
    QUESTION,
    STD,
    host_of,
    model_of,
    tokenizer,
    tokens_of,
    variant_of,
)
from safetensors.torch import load_file, save_file

from geofovea.errors import ModelError
from geofovea.pipeline.hosts import load as models
from geofovea.pipeline.hosts.dry_run import try_model
from geofovea.pipeline.hosts.families.registry import FAMILIES
from geofovea.pipeline.hosts.load import load_host
from geofovea.pipeline.hosts.pretrained import could_not_load
from geofovea.pipeline.hosts.settings import SETTINGS_FILE


@pytest.fixture
def folder_of(tmp_path):
    """``folder_of(family)``: a folder with a tiny model, its tokenizer and settings."""

    def write(family):
        folder = tmp_path / family
        model_of(family).save_pretrained(folder)
        tokenizer().save_pretrained(folder)
        settings = {"pool": 1, "focus_layer": 1, "image_std": STD}
        settings |= {"tile_size": 32} if family in ANY_TILE else {}
        (folder / SETTINGS_FILE).write_text(json.dumps(settings))
        return folder

    return write


def changed(folder, path, value):
    """The folder with another value, or none, in its config.json."""
    config = json.loads((folder / "config.json").read_text())
    *parts, last = path.split(".")
    inner = config
    for part in parts:
        inner = inner[part]
    inner[last] = value
    (folder / "config.json").write_text(json.dumps(config))
    return str(folder)


@pytest.mark.parametrize(
    ("family", "path", "value", "words"),
    [
        ("llava", "text_config.num_key_value_heads", 0, "could not be loaded"),
        ("llava", "text_config.hidden_size", -1, "does not describe a model"),
        ("llava", "text_config.num_hidden_layers", 0, "asks for 0 layers"),
        ("llava", "text_config.num_hidden_layers", 2, "does not know"),
        ("llava", "text_config.num_hidden_layers", 4, "lacks 9 weights"),
        ("llava", "text_config.max_position_embeddings", 0, "says no max_position_embeddings"),
        ("llava", "text_config.rope_parameters.rope_type", {}, "could not be loaded"),
        ("llava", "text_config.rope_parameters.rope_theta", 0, "has rope_theta = 0"),
        ("llava", "text_config.vocab_size", 0, "could not be loaded"),
        ("llava", "vision_config.num_attention_heads", -1, "cannot read a tile.*do not fit"),
        ("llava", "vision_config.num_hidden_layers", 1, "does not know"),
        ("llava", "vision_config.image_size", None, "could not be loaded"),
        ("qwen2_5_vl", "text_config.rope_parameters.mrope_section", None, "cannot read a tile"),
        ("qwen2_5_vl", "text_config.rope_parameters", None, "cannot read a tile"),
        ("qwen2_5_vl", "vision_config.window_size", 0, "cannot read a tile"),
        ("qwen2_5_vl", "vision_config.num_heads", 3, "cannot read a tile"),
        ("qwen3_vl", "vision_config.depth", 2, "does not know"),
        ("internvl", "downsample_ratio", 0.0, "could not be loaded"),
        ("smolvlm", "scale_factor", 0, "cannot be merged|could not be loaded"),
    ],
)
def test_a_config_that_does_not_fit_its_weights_is_refused(folder_of, family, path, value, words):
    with pytest.raises(ModelError, match=words) as caught:
        load_host(changed(folder_of(family), path, value))
    assert "\n" not in str(caught.value)


def test_tokens_are_those_that_a_family_was_trained_with_unless_fewer_are_chosen(tmp_path):
    vision = {"image_size": 24, "patch_size": 8}
    variant_of("llava", vision=vision)._model.save_pretrained(tmp_path)
    tokenizer().save_pretrained(tmp_path)
    assert {family.defaults.pool for family in FAMILIES.values()} == {1}
    assert load_host(str(tmp_path)).grid == (3, 3)
    (tmp_path / SETTINGS_FILE).write_text('{"pool": 2}')
    models._load.cache_clear()
    with pytest.raises(ModelError, match="a pool of 2 does not divide the 3 tokens"):
        load_host(str(tmp_path))


def test_a_reason_that_stands_in_the_second_line_is_told():
    error = ValueError("Validation error for field 'depth':\n    expected int, got None\nmore")
    assert "'depth': expected int, got None); name" in str(could_not_load("x/y", error))


def test_weights_of_another_size_are_refused(folder_of):
    folder = folder_of("llava")
    weights = load_file(folder / "model.safetensors")
    name = next(name for name in weights if "o_proj" in name)
    save_file(weights | {name: torch.zeros(3, 5)}, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match="could not be loaded"):
        load_host(str(folder))


def test_weights_that_a_model_has_no_use_for_are_left_alone(folder_of):
    folder = folder_of("llava")
    weights = load_file(folder / "model.safetensors")
    spare = {"model.vision_tower.head.weight": torch.zeros(3)}
    save_file(weights | spare, folder / "model.safetensors", {"format": "pt"})
    assert load_host(str(folder)).generate(QUESTION, None).text


def test_a_tokenizer_with_more_words_than_its_model_is_refused(folder_of):
    folder = folder_of("llava")
    larger = tokenizer()
    larger.add_tokens(["helipad"])
    larger.save_pretrained(folder)
    host = load_host(str(folder))
    with pytest.raises(ModelError, match=r"writes 'helipad' as number.*from one place"):
        host.generate("Is there a helipad ?", None)


@pytest.mark.parametrize("part", ["bos_token", "eos_token", "unk_token", "pad_token"])
def test_a_tokenizer_without_one_of_the_usual_words_answers_all_the_same(folder_of, part):
    folder = folder_of("llava")
    expected = load_host(str(folder)).generate(QUESTION, None).text
    path = folder / "tokenizer_config.json"
    config = {k: v for k, v in json.loads(path.read_text()).items() if k != part}
    path.write_text(json.dumps(config))
    models._load.cache_clear()
    assert load_host(str(folder)).generate(QUESTION, None).text == expected


def test_numbers_that_are_too_large_for_a_dtype_are_no_answer():
    host = variant_of("llava", dtype=torch.float16)
    try_model(host)
    tokens = tokens_of(host)
    with torch.no_grad():
        host._model.model.multi_modal_projector.linear_2.weight.fill_(6e4)
    with pytest.raises(ModelError, match=r"not finite, in torch\.float16; load it with dtype="):
        try_model(host)
    with torch.no_grad():
        host._decoder.layers[0].mlp.down_proj.weight.fill_(6e4)
    for ask in (
        lambda: host.scores(QUESTION, tokens),
        lambda: host.generate(QUESTION, tokens),
        lambda: host.generate(QUESTION, tokens, choices=("red", "blue")),
    ):
        with pytest.raises(ModelError, match="not finite"):
            ask()


def test_a_host_that_reads_what_it_encodes_passes():
    for family in ("llava", "qwen3_vl", "smolvlm"):
        try_model(host_of(family))
