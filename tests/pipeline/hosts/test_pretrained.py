"""Folders of every family load by name; what could run code or cannot be meant is refused."""

import importlib.util
import json
import shutil
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
import torch
from family_toys import (
    ANY_TILE,
    MEAN,
    QUESTION,
    STD,
    host_of,
    model_of,
    pixels,
    row_of_tiles,
    tokenizer,
    tokens_of,
)
from pipeline_toys import load_anew
from safetensors.torch import load_file, save_file

from geofovea.errors import MissingExtraError, ModelError
from geofovea.pipeline.hosts.families.registry import FAMILIES
from geofovea.pipeline.hosts.load import load_host
from geofovea.pipeline.hosts.load_options import LoadOptions
from geofovea.pipeline.hosts.lvlm import LvlmHost
from geofovea.pipeline.hosts.settings import SETTINGS_FILE
from geofovea.pipeline.system.memory import peak_rss_mb

TEMPLATE = "what {image} {question} is"


@pytest.fixture
def write_family(tmp_path):
    """``write_family(name)``: a folder such as a hub id would bring, and our own settings."""

    def write(family, processor="preprocessor_config.json", **settings):
        folder = tmp_path / family
        model_of(family).save_pretrained(folder)
        tokenizer().save_pretrained(folder)
        colors = {"image_mean": MEAN, "image_std": STD}
        nested = {"image_processor": colors}
        content = colors if processor == "preprocessor_config.json" else nested
        (folder / processor).write_text(json.dumps(content))
        chosen = {"template": TEMPLATE, "instruction": "", "pool": 1, "focus_layer": 1} | settings
        if family in ANY_TILE:
            chosen.setdefault("tile_size", 32)
        (folder / SETTINGS_FILE).write_text(json.dumps(chosen))
        return folder

    return write


@pytest.mark.parametrize("family", FAMILIES)
def test_a_folder_of_every_family_becomes_the_host_that_was_written(family, write_family):
    expected = host_of(family)
    host = load_host(str(write_family(family)))
    if "qwen3_5" in family:
        # its stock tokenizer splits texts in its own way, whatever its folder says
        expected = LvlmHost("random", expected._family, host._tokenizer, expected._settings)
    tokens = tokens_of(expected)
    pyramid, places = row_of_tiles(expected, 2)
    features = host.encode(pixels(2, host.tile_size), places, pyramid).flatten(0, 1)
    torch.testing.assert_close(features, tokens.features, atol=1e-5, rtol=1e-5)
    got, wanted = host.generate(QUESTION, tokens), expected.generate(QUESTION, tokens)
    # weights that lie mapped in a file stand at other addresses, where products round otherwise
    assert got.log_probabilities == pytest.approx(wanted.log_probabilities, abs=1e-5)
    assert replace(got, log_probabilities=wanted.log_probabilities) == wanted


def test_colors_are_normalized_as_a_nested_processor_says(write_family):
    host = load_host(str(write_family("llava", "processor_config.json")))
    assert host._settings.image_mean == MEAN
    assert host._settings.image_std == STD


def test_without_a_processor_those_of_the_family_hold(write_family):
    folder = write_family("internvl")
    (folder / "preprocessor_config.json").unlink()
    assert load_host(str(folder))._settings.image_mean == (0.485, 0.456, 0.406)


@pytest.mark.parametrize(
    ("family", "settings", "words"),
    [
        ("llava", {"tile_size": 48}, "tiles of 32 pixels, not 48"),
        ("internvl", {"tile_size": 48}, "tiles of 32 pixels, not 48"),
        ("qwen2_5_vl", {"tile_size": 33}, "multiples of 8 pixels, got 33"),
        ("llava", {"positions": "scene"}, "no positions 'scene'; choose one of compact, original"),
        ("llava", {"positions": "behind"}, "cannot be the setting positions"),
        ("llava", {"tile_size": 0}, "cannot be the setting tile_size"),
        ("llava", {"pool": 3}, "a pool of 3 does not divide"),
    ],
)
def test_settings_that_do_not_fit_the_family_are_refused(write_family, family, settings, words):
    with pytest.raises(ModelError, match=words):
        load_host(str(write_family(family, **settings)))


def test_positions_asked_for_go_before_those_of_the_settings(write_family):
    folder = str(write_family("qwen2_5_vl", positions="scene"))
    assert load_host(folder).capabilities.positions == "scene"
    assert load_host(folder, positions="compact").capabilities.positions == "compact"


@pytest.mark.parametrize("family", ["llava", "qwen3_vl"])
def test_dtypes_are_those_that_were_asked_for(write_family, family):
    folder = write_family(family)
    model_of(family).bfloat16().save_pretrained(folder)
    model_of(family).float()
    found = {
        dtype: load_host(str(folder), dtype=dtype)._model.dtype
        for dtype in (None, "auto", "float16", "bfloat16")
    }
    assert found == {
        None: torch.float32,
        "auto": torch.bfloat16,
        "float16": torch.float16,
        "bfloat16": torch.bfloat16,
    }
    model_of.cache_clear()


@pytest.mark.parametrize("family", ["llava", "smolvlm"])
def test_a_device_map_places_the_model_and_changes_no_answer(write_family, family):
    pytest.importorskip("accelerate")
    folder = str(write_family(family))
    tokens = tokens_of(host_of(family))
    plain, placed = load_host(folder), load_host(folder, device_map="auto")
    assert placed.generate(QUESTION, tokens) == plain.generate(QUESTION, tokens)
    scores = placed.scores(QUESTION, tokens)
    np.testing.assert_allclose(scores, plain.scores(QUESTION, tokens), atol=1e-6)


@pytest.mark.parametrize(
    ("options", "missing", "command"),
    [
        ({"quantization": "4bit"}, "bitsandbytes", r"pip install 'geofovea\[quantize\]'"),
        ({"quantization": "8bit"}, "bitsandbytes", r"pip install 'geofovea\[quantize\]'"),
        ({"device_map": "auto"}, "accelerate", r"pip install 'geofovea\[spread\]'"),
    ],
)
def test_an_option_that_needs_a_package_names_its_install_command(
    monkeypatch, options, missing, command
):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        "geofovea.pipeline.hosts.load_options.find_spec",
        lambda name: None if name == missing else real(name),
    )
    with pytest.raises(MissingExtraError, match=command):
        load_host(**options)


def test_bits_reach_transformers_as_bitsandbytes_options():
    arguments = LoadOptions(quantization="4bit").for_transformers()
    assert arguments["quantization_config"].load_in_4bit
    assert arguments["device_map"] == {"": "cpu"}
    assert LoadOptions(quantization="8bit").for_transformers()["quantization_config"].load_in_8bit


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"dtype": "int7"}, "dtype='int7' is not one of auto, float32"),
        ({"quantization": "1bit"}, "not one of 8bit, 4bit"),
        ({"device_map": "somewhere"}, "not one of auto, balanced"),
        ({"positions": "behind"}, "not one of compact, original, scene"),
        ({"device": "meta", "device_map": "auto"}, "leave out the device"),
    ],
)
def test_load_options_that_cannot_be_meant_are_refused(options, words):
    with pytest.raises(ModelError, match=words):
        load_host(**options)


class Bomb:
    """Unpickling this writes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "weights.pth", "last.ckpt"])
def test_pickled_weights_are_refused_and_never_opened(write_family, tmp_path, name):
    folder = write_family("llava")
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    bomb = tmp_path / "exploded"
    torch.save({"bomb": Bomb(bomb), **weights}, folder / name)
    with pytest.raises(ModelError, match=r"as pickle \(.*refused; convert them to safetensors"):
        load_host(str(folder))
    assert not bomb.exists()


def rewritten(folder, file="config.json", **more):
    """Change some keys of a JSON file, those of an object in it key by key."""
    config = json.loads((folder / file).read_text())
    for key, value in more.items():
        is_object = isinstance(value, dict) and isinstance(config.get(key), dict)
        config[key] = config[key] | value if is_object else value
    (folder / file).write_text(json.dumps(config))


def indexed(folder, named):
    """Weights in parts, all of which lie in one file by the index."""
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    index = {"metadata": {}, "weight_map": dict.fromkeys(weights, named)}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


@pytest.mark.parametrize("bomb", [True, False], ids=["bomb", "harmless"])
@pytest.mark.parametrize("by", ["index", "config"])
def test_a_pickle_that_a_folder_of_safetensors_names_is_never_opened(
    write_family, tmp_path, monkeypatch, by, bomb
):
    folder, trace = write_family("llava"), tmp_path / "exploded"
    weights = load_file(folder / "model.safetensors")
    name = "part.bin" if by == "index" else "adapter_model.bin"
    torch.save(weights | ({"bomb": Bomb(trace)} if bomb else {}), folder / name)
    save_file(weights, folder / "other.safetensors")
    if by == "index":
        indexed(folder, name)
    else:
        rewritten(folder, transformers_weights=name)
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("a pickle was opened"))
    with pytest.raises(ModelError, match=rf"as pickle \({name}\).*refused; convert them"):
        load_host(str(folder))
    assert not trace.exists()


def test_weights_in_parts_are_found_by_their_index(write_family):
    folder = write_family("llava")
    expected = load_host(str(folder)).generate(QUESTION, None)
    (folder / "parts").mkdir()
    shutil.copy(folder / "model.safetensors", folder / "parts" / "one.safetensors")
    indexed(folder, "parts/one.safetensors")
    assert load_anew(folder).generate(QUESTION, None) == expected


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ("../outside.safetensors", "not a file of its folder"),
        ("/etc/outside.safetensors", "not a file of its folder"),
        ("model.gguf", "not safetensors"),
        ("gone.safetensors", "lacks gone.safetensors"),
        (5, "not a file of its folder"),
    ],
)
def test_weights_elsewhere_are_refused(write_family, named, words):
    folder = write_family("llava")
    shutil.copy(folder / "model.safetensors", folder.parent / "outside.safetensors")
    indexed(folder, named)
    with pytest.raises(ModelError, match=words):
        load_host(str(folder))


@pytest.mark.parametrize("index", ["[]", "{}", "null", "nope", '{"weight_map": []}', "[" * 100_000])
def test_an_index_that_says_nothing_is_a_model_error(write_family, index):
    folder = write_family("llava")
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(index)
    with pytest.raises(ModelError, match=r"model.safetensors.index.json"):
        load_host(str(folder))


@pytest.mark.parametrize("is_alone", [True, False])
def test_an_adapter_is_refused_whether_or_not_its_library_is_there(write_family, is_alone):
    folder = write_family("llava")
    if is_alone:
        (folder / "config.json").unlink()
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "somebody/else"}')
    with pytest.raises(ModelError, match=r"adapter.*merge it into its model"):
        load_host(str(folder))


@pytest.mark.parametrize(
    "asked",
    [
        {"attn_implementation": "kernels-community/evil"},
        {"_attn_implementation": {"text_config": "somebody/kernel:function"}},
        {"text_config": {"attn_implementation": "somebody/kernel@main"}},
    ],
)
def test_attention_by_code_of_the_hub_is_refused(write_family, asked):
    folder = write_family("llava")
    rewritten(folder, **asked)
    with pytest.raises(ModelError, match=r"code of the hub.*never done"):
        load_host(str(folder))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (
            {"text_config": {"num_hidden_layers": 10**9}},
            r"asks for 1000000000 layers \(num_hidden_layers\)",
        ),
        ({"text_config": {"num_hidden_layers": 0}}, r"asks for 0 layers \(num_hidden_layers\)"),
        ({"vision_config": {"num_hidden_layers": -1}}, r"asks for -1 layers \(num_hidden_layers\)"),
        ({"text_config": {"intermediate_size": 10**7}}, "do not belong together"),
        ({"text_config": {"head_dim": 10**7}}, "do not belong together"),
        ({"text_config": {"vocab_size": 10**9}}, "do not belong together"),
        ({"vision_config": {"image_size": 10**6}}, "do not belong together"),
        ({"vision_feature_layer": 99}, "vision_feature_layer 99 is not one of the hidden states"),
    ],
)
def test_sizes_that_the_weights_do_not_have_are_refused_before_memory_is_taken(
    write_family, wrong, words
):
    folder = write_family("llava")
    rewritten(folder, **wrong)
    before = peak_rss_mb()
    with pytest.raises(ModelError, match=words):
        load_host(str(folder))
    assert peak_rss_mb() - before < 200


@pytest.mark.parametrize(
    "wrong",
    [
        {"text_config": {"num_attention_heads": 0}},
        {"text_config": {"hidden_size": "many"}},
        {"text_config": 5},
        {"vision_config": {"patch_size": 0}},
        {"vision_config": {"image_size": None}},
        {"quantization_config": 5},
        {"quantization_config": {"quant_method": "gptq", "bits": 4}},
        {"dtype": "evil"},
        {"model_type": ["llava"]},
    ],
)
def test_whatever_a_config_says_ends_in_a_model_error(write_family, wrong):
    folder = write_family("llava")
    rewritten(folder, **wrong)
    with pytest.raises(ModelError):
        load_host(str(folder))


def without_tokenizer(folder):
    for path in folder.glob("token*"):
        path.unlink()


def without_index(folder):
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")


def in_whole_numbers(folder):
    weights = load_file(folder / "model.safetensors")
    name = next(name for name in weights if name.endswith("q_proj.weight"))
    weights[name] = torch.ones_like(weights[name], dtype=torch.int8)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def with_text(name):
    def damage(folder):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes("größer".encode("latin-1"))

    return damage


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        *(
            (with_text(name), f"{name} is not text in UTF-8.*copy or download it again")
            for name in (
                "additional_chat_templates/tool.jinja",
                "chat_template.jinja",
                "special_tokens_map.json",
                "tokenizer.json",
                "tokenizer_config.json",
            )
        ),
        (lambda folder: rewritten(folder, dtype="evil"), "dtype = 'evil'.*write float32"),
        (
            lambda folder: rewritten(folder, text_config={"hidden_size": "many"}),
            "config.json of .*does not describe a model.*correct it",
        ),
        (in_whole_numbers, "whole numbers for weights.*q_proj.*says nothing of a quantization"),
        (without_tokenizer, "no tokenizer: copy its tokenizer.json"),
        (without_index, "no model.safetensors.index.json, which lists the files.*00001-of-00002"),
        (lambda folder: rewritten(folder, vision_feature_layer=[-1, -2]), "other shapes than its"),
        (
            lambda folder: rewritten(folder, quantization_config={"quant_method": "own"}),
            "quantized by 'own'.*not know.*or take the model that is not quantized",
        ),
        (
            lambda folder: rewritten(folder, quantization_config={"quant_method": ["own"]}),
            "quantized by .*not know",
        ),
        (lambda folder: rewritten(folder, model_type=None), "names no model_type"),
        (
            lambda folder: (folder / "chat_template.json").write_text("[]"),
            "chat_template.json has no 'chat_template'; remove it",
        ),
    ],
)
def test_what_is_missing_is_named_with_what_to_do(write_family, damage, words):
    folder = write_family("llava")
    damage(folder)
    with pytest.raises(ModelError, match=words):
        load_host(str(folder))


@pytest.mark.parametrize(
    ("file", "wrong"),
    [
        ("tokenizer_config.json", {"model_max_length": 1}),
        ("generation_config.json", {"eos_token_id": {}}),
        ("generation_config.json", {"eos_token_id": ["x", None, 3]}),
    ],
)
def test_what_is_of_no_use_beside_a_model_does_no_harm(write_family, capfd, file, wrong):
    folder = write_family("llava")
    rewritten(folder, file, **wrong)
    capfd.readouterr()
    assert load_host(str(folder)).generate(QUESTION, None).text
    assert capfd.readouterr().err == ""


def test_a_tokenizer_without_a_word_for_what_it_does_not_know_is_refused(write_family):
    folder = write_family("llava")
    content = json.loads((folder / "tokenizer.json").read_text())
    content["model"]["unk_token"] = "nowhere"
    (folder / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(ModelError, match="WordLevel"):
        load_host(str(folder))


def test_a_config_nested_too_deep_is_a_model_error(write_family):
    folder = write_family("llava")
    (folder / "config.json").write_text("[" * 100_000)
    with pytest.raises(ModelError, match=r"no model config.json"):
        load_host(str(folder))


def with_code(folder, file, **more):
    """Ask for the model's own code, which leaves a trace when it runs."""
    config = json.loads((folder / file).read_text()) | more
    (folder / file).write_text(json.dumps(config))
    trace = folder / "ran"
    (folder / "evil.py").write_text(f"open({str(trace)!r}, 'w')\n")
    return trace


def test_a_model_that_needs_code_of_its_own_is_refused_with_the_families(write_family):
    folder = write_family("llava")
    auto = {"AutoModel": "evil.Model", "AutoConfig": "evil.Config"}
    trace = with_code(folder, "config.json", model_type="minicpmv", auto_map=auto)
    with pytest.raises(ModelError, match=r"code of its own \(auto_map\).*never.*internvl"):
        load_host(str(folder))
    assert not trace.exists()


def test_code_beside_a_model_of_a_known_family_is_left_alone(write_family):
    folder = write_family("llava")
    auto = {"AutoModel": "evil.Model", "AutoConfig": "evil.Config"}
    trace = with_code(folder, "config.json", auto_map=auto)
    assert load_host(str(folder)).generate(QUESTION, None)
    assert not trace.exists()


def test_code_beside_a_tokenizer_never_runs(write_family):
    folder = write_family("llava")
    auto = {"AutoTokenizer": ["evil.Slow", "evil.Fast"]}
    trace = with_code(
        folder, "tokenizer_config.json", auto_map=auto, tokenizer_class="EvilTokenizer"
    )
    # transformers may refuse it, or take a class of its own instead
    with suppress(ModelError):
        load_host(str(folder))
    assert not trace.exists()


def test_a_device_that_cannot_hold_the_weights_is_an_error_that_says_what_helps(
    write_family, monkeypatch
):
    from transformers import LlavaForConditionalGeneration

    folder = write_family("llava")

    def fail(*args, **kwargs):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 14.00 GiB.")

    monkeypatch.setattr(LlavaForConditionalGeneration, "__init__", fail)
    with pytest.raises(ModelError, match=r"too little memory for the weights.*dtype='bfloat16'"):
        load_host(str(folder))
