"""An InternVL of its original layout computes the same after it was converted to the stock one."""

import json

import pytest
import torch
import transformers
from family_toys import (
    QUESTION,
    WORDS,
    host_of,
    pixels,
    row_of_tiles,
    stock_inputs,
    tokenizer,
    tokens_of,
)
from pipeline_toys import enliven
from safetensors.torch import load_file, save_file
from tokenizers import AddedToken

from geofovea.errors import ModelError
from geofovea.pipeline.hosts.load import load_host
from geofovea.pipeline.hosts.original.convert import convert_checkpoint
from geofovea.pipeline.hosts.settings import SETTINGS_FILE

HEADS, KEY_HEADS, WIDTH, TOWER_WIDTH = 4, 2, 64, 32
TEXT = {
    "hidden_size": WIDTH,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": HEADS,
    "num_key_value_heads": KEY_HEADS,
    "vocab_size": len(WORDS) + 4,
    "max_position_embeddings": 2048,
    "rope_theta": 1e4,
    "pad_token_id": WORDS["<pad>"],
}
VISION = {
    "hidden_size": TOWER_WIDTH,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 8,
    "norm_type": "layer_norm",
    "layer_norm_eps": 1e-6,
    "hidden_act": "gelu",
}
# as the original repository names them, in the order in which the names are taken apart
TOWER_NAMES = {
    "embeddings.cls_token": "embeddings.class_embedding",
    "embeddings.position_embeddings": "embeddings.position_embedding",
    "embeddings.patch_embeddings.projection": "embeddings.patch_embedding",
    "encoder.layer.": "encoder.layers.",
    ".attention.projection_layer.": ".attn.proj.",
    ".attention.": ".attn.",
    ".lambda_": ".ls",
    ".layernorm_before.": ".norm1.",
    ".layernorm_after.": ".norm2.",
}
INTERNLM2_NAMES = {
    ".embed_tokens.": ".tok_embeddings.",
    ".self_attn.o_proj.": ".attention.wo.",
    ".mlp.gate_proj.": ".feed_forward.w1.",
    ".mlp.down_proj.": ".feed_forward.w2.",
    ".mlp.up_proj.": ".feed_forward.w3.",
    ".input_layernorm.": ".attention_norm.",
    ".post_attention_layernorm.": ".ffn_norm.",
}


def original_state(model, kind):
    """The weights of a stock InternVL as the original repository has them."""
    state = model.state_dict()
    made = {}
    for name, value in state.items():
        if name.startswith("model.vision_tower."):
            old = name.replace("model.vision_tower.", "vision_model.")
            for stock, own in TOWER_NAMES.items():
                old = old.replace(stock, own)
        elif name.startswith("model.multi_modal_projector."):
            old = name.removeprefix("model.multi_modal_projector.")
            for stock, own in (("layer_norm", "0"), ("linear_1", "1"), ("linear_2", "3")):
                old = old.replace(stock, own)
            old = f"mlp1.{old}"
        elif name.startswith("lm_head"):
            old = "language_model." + ("output" if kind == "internlm2" else "lm_head") + ".weight"
        else:
            old = name.replace("model.language_model.", "language_model.model.")
            if kind == "internlm2":
                for stock, own in INTERNLM2_NAMES.items():
                    old = old.replace(stock, own)
        made[old] = value
    return packed(made, kind)


def packed(state, kind):
    """Queries, keys and values side by side."""
    made = dict(state)
    for name in [n for n in state if ".attn.q_proj." in n]:
        parts = [made.pop(name.replace("q_proj", f"{part}_proj")) for part in "qkv"]
        made[name.replace("q_proj", "qkv")] = torch.cat(parts)
    if kind != "internlm2":
        return made
    width = WIDTH // HEADS
    for name in [n for n in state if ".self_attn.q_proj." in n]:
        q, k, v = (made.pop(name.replace("q_proj", f"{part}_proj")) for part in "qkv")
        rows = []
        for group in range(KEY_HEADS):
            many = HEADS // KEY_HEADS * width
            rows += [q[group * many : (group + 1) * many]]
            rows += [k[group * width : (group + 1) * width], v[group * width : (group + 1) * width]]
        made[name.replace("self_attn.q_proj", "attention.wqkv")] = torch.cat(rows)
    return made


def words_of_internvl(end):
    made = tokenizer()
    words = ["<IMG_CONTEXT>", "<|im_start|>", end]
    made.add_tokens([AddedToken(word, special=True) for word in words])
    return made


def write_internvl(folder, kind="qwen2", template="internvl2_5", norms=False, **changes):
    """A tiny ``internvl_chat``, and the stock model that it is."""
    torch.manual_seed(4)
    stock_kind = {"internlm2": "llama"}.get(kind, kind)
    more = {"attention_bias": False} if stock_kind in ("llama", "qwen3") else {}
    text = transformers.AutoConfig.for_model(stock_kind, **TEXT, **more)
    vision = VISION | {"use_qk_norm": norms, "attention_bias": not norms}
    config = transformers.InternVLConfig(
        text_config=text,
        vision_config=transformers.InternVLVisionConfig(**vision),
        image_token_id=len(WORDS),
        image_seq_length=4,
        tie_word_embeddings=False,
    )
    model = transformers.InternVLForConditionalGeneration(config).eval()
    enliven(model)
    folder.mkdir()
    own = VISION | {"model_type": "intern_vit_6b", "qk_normalization": norms, "qkv_bias": not norms}
    record = {
        "model_type": "internvl_chat",
        "auto_map": {"AutoModel": "modeling_internvl_chat.InternVLChatModel"},
        "architectures": ["InternVLChatModel"],
        "llm_config": TEXT | {"model_type": kind, "bias": False, "auto_map": {}} | more,
        "vision_config": own,
        "downsample_ratio": 0.5,
        "select_layer": -1,
        "ps_version": "v2",
        "template": template,
        "force_image_size": 32,
    }
    (folder / "config.json").write_text(json.dumps(record | changes))
    state = {
        name: value.contiguous().clone() for name, value in original_state(model, kind).items()
    }
    save_file(state, folder / "model.safetensors")
    words_of_internvl("<|end|>" if template == "phi3-chat" else "<|im_end|>").save_pretrained(
        folder
    )
    return model


KINDS = [
    ("qwen2", "internvl2_5", False),
    ("qwen3", "internvl2_5", True),
    ("internlm2", "internlm2-chat", False),
    ("phi3", "phi3-chat", False),
]


@torch.no_grad()
@pytest.mark.parametrize(("kind", "template", "norms"), KINDS)
def test_a_converted_internvl_says_what_the_model_says_that_it_was_made_of(
    tmp_path, kind, template, norms, first_logits
):
    model = write_internvl(tmp_path / "old", kind, template, norms)
    new = convert_checkpoint(tmp_path / "old", tmp_path / "new")
    settings = {"template": "what {image} {question} is", "instruction": "", "focus_layer": 1}
    (new / SETTINGS_FILE).write_text(json.dumps(settings))
    host = load_host(str(new))
    pyramid, tiles = row_of_tiles(host, 2)
    images = pixels(2, host.tile_size)
    mean, std = (
        torch.tensor(c)[:, None, None]
        for c in (host._settings.image_mean, host._settings.image_std)
    )
    shown = (torch.from_numpy(images / 255).float().permute(0, 3, 1, 2) - mean) / std
    expected = model.model.get_image_features(pixel_values=shown, return_dict=True).pooler_output
    torch.testing.assert_close(host.encode(images, tiles, pyramid), expected, atol=1e-5, rtol=1e-5)
    inputs = stock_inputs(host_of("internvl"), "internvl")
    # there the word of an image has another number
    inputs["input_ids"] = inputs["input_ids"].where(
        inputs["input_ids"] != WORDS["<image>"], torch.tensor(len(WORDS))
    )
    inputs["pixel_values"] = shown
    logits = model(**inputs).logits[0, -1]
    found = first_logits(host, QUESTION, tokens_of(host))
    torch.testing.assert_close(found, logits, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("template", "prompt"),
    [
        ("internvl2_5", "<|im_start|>user\n{image}\n{question}<|im_end|>\n<|im_start|>assistant\n"),
        (
            "internlm2-chat",
            "<|im_start|>user\n{image}\n{question}<|im_end|><|im_start|>assistant\n",
        ),
        ("phi3-chat", "<|user|>\n{image}\n{question}<|end|><|assistant|>\n"),
    ],
)
def test_its_prompt_is_that_of_its_conversation(tmp_path, template, prompt):
    write_internvl(tmp_path / "old", "phi3" if "phi3" in template else "qwen2", template)
    new = convert_checkpoint(tmp_path / "old", tmp_path / "new")
    host = load_host(str(new))
    assert host._prompts.words._template == prompt
    ends = host._tokenizer.convert_tokens_to_ids(
        "<|end|>" if template == "phi3-chat" else "<|im_end|>"
    )
    assert ends in host._writer.stop


def test_the_folder_of_an_internvl_holds_no_random_weight(tmp_path):
    write_internvl(tmp_path / "old")
    new = convert_checkpoint(tmp_path / "old", tmp_path / "new")
    _, report = transformers.InternVLForConditionalGeneration.from_pretrained(
        new, output_loading_info=True
    )
    assert not report["missing_keys"]
    assert not report["mismatched_keys"]
    assert not report["unexpected_keys"]


def test_a_head_that_a_tied_internvl_left_in_its_files_is_not_taken(tmp_path):
    write_internvl(tmp_path / "old")
    path = tmp_path / "old" / "config.json"
    config = json.loads(path.read_text())
    config["llm_config"]["tie_word_embeddings"] = True
    path.write_text(json.dumps(config))
    host = load_host(str(convert_checkpoint(tmp_path / "old", tmp_path / "new")))
    table = host._model.get_input_embeddings().weight
    assert host._model.lm_head.weight.data_ptr() == table.data_ptr()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ps_version": "v1"}, "ps_version = 'v1'"),
        ({"template": "internvl_zh"}, "template = 'internvl_zh'"),
        ({"llm_config": {"model_type": "gpt_oss"}}, "llm_config.model_type = 'gpt_oss'"),
        ({"llm_config": None}, "lacks the llm_config"),
        ({"select_layer": "last"}, "select_layer"),
        ({"select_layer": -9}, "the select_layer -9 is not one .* openai:NAME"),
        ({"torch_dtype": "nonsense"}, "torch_dtype = 'nonsense'"),
    ],
)
def test_an_internvl_that_cannot_be_converted_is_refused(tmp_path, changes, words):
    write_internvl(tmp_path / "old", **changes)
    with pytest.raises(ModelError, match=words):
        convert_checkpoint(tmp_path / "old", tmp_path / "new")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["old"], "nothing half-written stays"


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda state: state | {"adapter.weight": torch.zeros(2)}, "no part of an InternVL"),
        (
            lambda state: {k: v for k, v in state.items() if "layers.1." not in k},
            r"lacks \d+ weights",
        ),
    ],
)
def test_weights_that_are_too_many_or_too_few_are_refused(tmp_path, damage, words):
    write_internvl(tmp_path / "old")
    path = tmp_path / "old" / "model.safetensors"
    save_file(damage(load_file(path)), path)
    with pytest.raises(ModelError, match=words):
        convert_checkpoint(tmp_path / "old", tmp_path / "new")


def test_an_internvl_takes_no_tower_and_is_refused_unconverted_with_the_command(tmp_path):
    write_internvl(tmp_path / "old")
    with pytest.raises(ModelError, match="leave out tower"):
        convert_checkpoint(tmp_path / "old", tmp_path / "new", "clip")
    with pytest.raises(ModelError, match=r"an? InternVL in the layout .*geofovea convert"):
        load_host(str(tmp_path / "old"))
