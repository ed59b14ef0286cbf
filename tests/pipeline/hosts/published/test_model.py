"""Published checkpoints load under their own names, on stock classes, or are refused in words."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from published_toys import REFERENCE, write_published
from safetensors.torch import load_file, save_file

from geofovea.errors import ModelError, SceneNotFoundError, SceneReadError, SceneRefusedError
from geofovea.pipeline.hosts.load import load_host
from geofovea.pipeline.hosts.published import image as published_image
from geofovea.pipeline.hosts.published.host import PublishedHost
from geofovea.pipeline.hosts.published.image import PublishedImage, read_whole
from geofovea.pipeline.hosts.published.model import IMAGE_ID, load_published_model, published_prompt

PROMPTS = sorted(REFERENCE.glob("*prompts*.json"))
IDS = torch.tensor([3, 4, IMAGE_ID, 5, 6])


def recorded_prompts():
    if not PROMPTS:
        skip = pytest.mark.skip(reason=f"no recorded prompts in {REFERENCE}; set GEOFOVEA_SHARED")
        return [pytest.param({}, marks=skip)]
    return [
        pytest.param(row, id=f"{path.stem}-{number}-{row['template']}")
        for path in PROMPTS
        for number, row in enumerate(json.loads(path.read_text(encoding="utf-8")))
    ]


@pytest.mark.parametrize("row", recorded_prompts())
def test_a_prompt_is_worded_as_recorded(row):
    family = {"qwen_1_5": "qwen2", "vicuna_v1": "llama"}[row["template"]]
    question = row["question"] + "\n"
    if "choices" in row:
        tail = row["prompt"].split("\n" + row["question"], 1)[1]
        question = row["question"] + tail[: tail.index(" option.") + len(" option.")]
    assert published_prompt(family, question) == row["prompt"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return write_published(tmp_path_factory.mktemp("published") / "tiny")


@pytest.fixture
def broken(checkpoint, tmp_path):
    """``broken(config_changes, drop)``: a copy without some weights or with other settings."""

    def make(changes=None, drop="nothing"):
        folder = shutil.copytree(checkpoint, tmp_path / "broken")
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        (folder / "config.json").write_text(json.dumps(config | (changes or {})), encoding="utf-8")
        weights = load_file(folder / "model.safetensors")
        save_file({k: w for k, w in weights.items() if drop not in k}, folder / "model.safetensors")
        return str(folder)

    return make


def image(height=500, width=700, seed=1):
    rng = np.random.default_rng(seed)
    return PublishedImage(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize(
    ("family", "decoder"),
    [("llava_qwen", "Qwen2ForCausalLM"), ("llava_llama", "LlamaForCausalLM")],
)
def test_both_families_load_into_stock_classes(family, decoder, tmp_path):
    host = load_host(str(write_published(tmp_path / family, family)))
    assert isinstance(host, PublishedHost)
    parts = host.model.parts
    assert type(parts.decoder).__name__ == decoder
    assert type(parts.decoder).__module__.startswith("transformers.")
    assert type(parts.tower).__module__.startswith("transformers.")
    recorded = load_file(tmp_path / family / "model.safetensors")
    loaded = parts.decoder.state_dict()
    assert all(torch.equal(loaded[k], recorded[k]) for k in loaded)
    assert torch.equal(parts.newline, recorded["model.image_newline"])


def test_weights_in_several_files_are_one_model(checkpoint, tmp_path):
    folder = shutil.copytree(checkpoint, tmp_path / "sharded")
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    keys = sorted(weights)
    save_file({k: weights[k] for k in keys[::2]}, folder / "model-00001-of-00002.safetensors")
    save_file({k: weights[k] for k in keys[1::2]}, folder / "model-00002-of-00002.safetensors")
    one, other = load_published_model(str(checkpoint)), load_published_model(str(folder))
    assert torch.equal(one.look(image(), IDS).embeds, other.look(image(), IDS).embeds)


def test_a_checkpoint_without_a_tower_takes_the_one_that_it_names(broken, tmp_path, checkpoint):
    whole = load_published_model(str(checkpoint))
    whole.parts.tower.save_pretrained(tmp_path / "clip")
    folder = broken({"mm_vision_tower": str(tmp_path / "clip")}, drop="vision_tower")
    lone = load_published_model(folder)
    assert torch.equal(lone.look(image(), IDS).embeds, whole.look(image(), IDS).embeds)


@pytest.mark.parametrize(
    "drop",
    ["image_newline", "model.layers.1.mlp.up_proj", "encoder.layers.0.mlp.fc1", "mlp_projector.2"],
)
def test_a_missing_weight_is_named_and_never_made_up(broken, drop):
    with pytest.raises(ModelError, match="lacks"):
        load_published_model(broken(drop=drop))


def test_a_checkpoint_without_a_region_focus_module_is_refused_with_advice(broken):
    with pytest.raises(ModelError, match="focus='attention'"):
        load_published_model(broken(drop="token_pruner"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"mm_patch_merge_type": "flat"}, "spatial_unpad"),
        ({"mm_vision_select_feature": "cls_patch"}, "mm_vision_select_feature"),
        ({"rope_scaling": {"factor": 2}}, "rope_scaling"),
        ({"llm_layer_list": [1, 2, 3]}, "needs 4"),
        ({"model_type": "gpt2"}, "published models are"),
        ({"num_hidden_layers": 10**9}, r"asks for 1000000000 layers \(num_hidden_layers\)"),
        ({"vocab_size": 10**9}, "do not belong together"),
        ({"hidden_act": []}, "hidden_act"),
    ],
)
def test_settings_that_the_method_gets_wrong_are_refused(broken, changes, words):
    with pytest.raises(ModelError, match=words):
        load_published_model(broken(changes))


def test_pickled_weights_are_never_opened(broken):
    folder = broken()
    Path(folder, "model.safetensors").rename(Path(folder, "pytorch_model.bin"))
    with pytest.raises(ModelError, match="pickled weights are never opened"):
        load_published_model(folder)


def test_only_what_a_look_needs_is_encoded(checkpoint, monkeypatch):
    model, counts = load_published_model(str(checkpoint)), []
    features = model.features
    monkeypatch.setattr(
        model, "features", lambda tiles: counts.append(len(tiles)) or features(tiles)
    )
    look = model.look(image(500, 1200), IDS)
    plan = look.plan
    assert counts[0] == 1
    assert sum(counts) == 1 + plan.levels[0].tiles + len(look.second.tiles)
    assert len(look.second.tiles) <= plan.levels[plan.second].tiles
    assert len(look.embeds) == 2 + 576 + 1 + len(look.second.index) + 2


def test_the_default_mask_gives_nothing_to_empty_tokens_and_the_released_one_does(checkpoint):
    model = load_published_model(str(checkpoint))
    right = model.look(image(500, 2600), IDS, share=0.01)
    wrong = model.look(image(500, 2600), IDS, share=0.01, mask_defect=True)
    empty = ~right.second.valid
    assert empty.any()
    assert right.second.scores[empty].abs().max() == 0
    assert wrong.second.scores[empty].min() > 0


def test_a_prompt_that_is_too_long_is_refused_and_not_cut(broken):
    model = load_published_model(broken({"tokenizer_model_max_length": 600}))
    with pytest.raises(ModelError, match=r"has \d+ tokens, .* takes 600"):
        model.look(image(), IDS)


@pytest.mark.parametrize("ids", [[3, 4], [3, IMAGE_ID, IMAGE_ID, 4], [3, IMAGE_ID]])
def test_a_prompt_holds_one_image_and_a_question(checkpoint, ids):
    with pytest.raises(ModelError, match="exactly one image"):
        load_published_model(str(checkpoint)).look(image(), torch.tensor(ids))


def test_pixels_are_read_whole_or_refused_in_words(make_png, tmp_path, monkeypatch):
    path = make_png(30, 40)
    assert read_whole(path).shape == (30, 40, 3)
    with pytest.raises(SceneNotFoundError):
        read_whole(tmp_path / "none.png")
    (tmp_path / "text.png").write_text("no picture", encoding="utf-8")
    with pytest.raises(SceneReadError):
        read_whole(tmp_path / "text.png")
    monkeypatch.setattr(published_image, "MOST_PIXELS", 1000)
    with pytest.raises(SceneRefusedError, match="30 × 40"):
        read_whole(path)
    with pytest.raises(SceneReadError, match="uint8"):
        PublishedImage(np.zeros((30, 40, 3), np.float32))


@pytest.mark.parametrize("name", ["nobody/has-this-model", "no-such-folder"])
def test_a_name_that_leads_nowhere_is_refused(name):
    with pytest.raises(ModelError, match=name):
        load_published_model(name)
