"""A LLaVA of its original layout computes the same after it was converted to the stock one."""

import json
import re
from importlib.util import find_spec

import pytest
import torch
import transformers
from click.testing import CliRunner
from family_toys import QUESTION, WORDS, pixels, row_of_tiles, tokenizer, tokens_of
from safetensors.torch import load_file, save_file
from torch import nn

from geofovea.errors import ModelError, OutputError
from geofovea.pipeline.cli import main
from geofovea.pipeline.hosts.checkpoint import _is_pickle
from geofovea.pipeline.hosts.load import load_host
from geofovea.pipeline.hosts.original.convert import convert_checkpoint
from geofovea.pipeline.hosts.original.layout import not_converted
from geofovea.pipeline.hosts.original.tower import resized_positions, vision_config
from geofovea.pipeline.hosts.original.weights import converted_name

WIDTH, TOWER_WIDTH = 64, 32


HALVES = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
CLIP_COLORS = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
"""Of the processor of CLIP: mean, standard deviation."""


def projector_of(kind):
    """A projector as the original code makes it by ``mm_projector_type``."""
    if kind in (None, "linear"):
        return nn.Linear(TOWER_WIDTH, WIDTH)
    first = [nn.Linear(TOWER_WIDTH, WIDTH)]
    return nn.Sequential(*first, *([nn.GELU(), nn.Linear(WIDTH, WIDTH)] * ("2x" in kind)))


def write_original(
    folder, side=32, decoder="Llama", projector="mlp2x_gelu", vision="CLIP", **changes
):
    """A tiny LLaVA as its own repository saves it, its tower beside it; its parts."""
    kind = projector
    folder.mkdir()
    torch.manual_seed(2)
    sizes = getattr(transformers, f"{vision}VisionConfig")(
        hidden_size=TOWER_WIDTH,
        intermediate_size=64,
        num_attention_heads=2,
        num_hidden_layers=3,
        image_size=side,
        patch_size=8 if side == 32 else 14,
    )
    tower = getattr(transformers, f"{vision}VisionModel")(sizes).eval()
    with torch.no_grad():
        for parameter in tower.parameters():
            # not even norms are left as they begin
            parameter.add_(torch.randn_like(parameter) * 0.05)
    tower.save_pretrained(folder / "clip")
    sizes = {"hidden_size": WIDTH, "intermediate_size": 96, "num_attention_heads": 4}
    sizes |= {"num_key_value_heads": 2, "num_hidden_layers": 3, "max_position_embeddings": 4096}
    # the word of an image is not among those that it knows
    words = {word: i for word, i in WORDS.items() if word != "<image>"}
    sizes |= {"vocab_size": max(words.values()) + 1, "rms_norm_eps": 1e-5}
    configure = getattr(transformers, f"{decoder}Config")
    decoder = getattr(transformers, f"{decoder}ForCausalLM")(configure(**sizes)).eval()
    projector = projector_of(kind)
    state = dict(decoder.state_dict()) | {
        f"model.mm_projector.{name}": value for name, value in projector.state_dict().items()
    }
    state["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.zeros(8)
    config = sizes | {"model_type": "llava_llama", "mm_vision_tower": "clip"}
    config |= {"mm_vision_select_layer": -2} | ({"mm_projector_type": kind} if kind else {})
    (folder / "config.json").write_text(json.dumps(config | changes))
    save_file({k: v.clone() for k, v in state.items()}, folder / "model.safetensors")
    tokenizer().save_pretrained(folder)
    return tower, projector, decoder


@torch.no_grad()
@pytest.mark.parametrize(
    ("kind", "vision", "colors"),
    [
        ("mlp2x_gelu", "CLIP", None),
        ("linear", "CLIP", None),
        ("mlp1x_gelu", "CLIP", None),
        (None, "CLIP", None),
        ("mlp2x_gelu", "CLIP", ((0.5, 0.4, 0.3), (0.2, 0.3, 0.4))),
        ("mlp2x_gelu", "Siglip", None),
        ("linear", "Siglip", ((0.5, 0.4, 0.3), (0.2, 0.3, 0.4))),
    ],
)
def test_tokens_and_first_logits_are_those_of_the_original_parts(tmp_path, kind, vision, colors):
    tower, projector, decoder = write_original(tmp_path / "old", projector=kind, vision=vision)
    if colors:
        record = dict(zip(("image_mean", "image_std"), map(list, colors), strict=True))
        (tmp_path / "old" / "clip" / "preprocessor_config.json").write_text(json.dumps(record))
    host = load_host(str(convert_checkpoint(tmp_path / "old", tmp_path / "new")))
    pyramid, tiles = row_of_tiles(host, 2)
    images = pixels(2, host.tile_size)
    usual = CLIP_COLORS if vision == "CLIP" else HALVES
    mean, std = (torch.tensor(c)[:, None, None] for c in colors or usual)
    raw = torch.from_numpy(images / 255).float().permute(0, 3, 1, 2)
    hidden = original_features(tower, (raw - mean) / std)
    expected = projector(hidden)
    torch.testing.assert_close(host.encode(images, tiles, pyramid), expected, atol=1e-5, rtol=1e-5)
    sequence = host._prompts.sequence(QUESTION, tokens_of(host))
    assert_first_logits(host, decoder, sequence.embedded)
    assert host.generate(QUESTION, tokens_of(host)).text


def original_features(tower, images):
    """Tokens as the original code takes them of a tower: the output of its last layer but one."""
    if "Siglip" not in type(tower).__name__:
        return tower(images, output_hidden_states=True).hidden_states[-2][:, 1:]
    # LLaVA-NeXT drops the last layer, and takes the states of the last that is left, unnormed
    body = getattr(tower, "vision_model", tower)
    states = body.embeddings(images)
    for layer in body.encoder.layers[:-1]:
        states = layer(states, attention_mask=None)
    return states


def assert_first_logits(host, decoder, embedded):
    """Of the decoder of a host, and of the original one behind the same vectors."""
    stock = decoder(inputs_embeds=embedded).logits[0, -1]
    state = host._decoder(inputs_embeds=embedded).last_hidden_state[:, -1]
    got = host._model.lm_head(state)[0]
    torch.testing.assert_close(got[: len(stock)], stock, atol=1e-5, rtol=1e-5)
    assert int(got.argmax()) < len(stock), "no added word is ever said"


def test_the_folder_holds_no_random_weight(tmp_path):
    write_original(tmp_path / "old")
    new = convert_checkpoint(tmp_path / "old", tmp_path / "new")
    model, report = transformers.LlavaForConditionalGeneration.from_pretrained(
        new, output_loading_info=True
    )
    assert not report["missing_keys"]
    assert not report["mismatched_keys"]
    assert model.config.vision_feature_layer == -2


def test_a_head_that_a_tied_model_left_in_its_files_is_not_taken(tmp_path):
    write_original(tmp_path / "old", tie_word_embeddings=True)
    host = load_host(str(convert_checkpoint(tmp_path / "old", tmp_path / "new")))
    table = host._model.get_input_embeddings().weight
    assert host._model.lm_head.weight.data_ptr() == table.data_ptr()


def test_weights_of_a_tower_within_the_model_go_before_those_beside_it(tmp_path):
    tower, *_ = write_original(tmp_path / "old")
    path = tmp_path / "old" / "model.safetensors"
    own = {f"model.vision_tower.vision_tower.{k}": v + 1 for k, v in tower.state_dict().items()}
    save_file(load_file(path) | own, path)
    new = convert_checkpoint(tmp_path / "old", tmp_path / "new")
    found = load_file(new / "model-00001.safetensors")
    name = next(k for k in found if k.endswith("class_embedding"))
    key = next(k for k in tower.state_dict() if k.endswith("class_embedding"))
    torch.testing.assert_close(found[name], tower.state_dict()[key] + 1)


def test_a_geochat_has_positions_for_images_of_504_pixels(tmp_path):
    write_original(tmp_path / "old", side=336, model_type="geochat")
    new = convert_checkpoint(tmp_path / "old", tmp_path / "new")
    host = load_host(str(new))
    assert host.tile_size == 504
    assert host.grid == (36 // host._settings.pool,) * 2


def test_a_tower_saved_with_more_positions_takes_images_of_that_size(tmp_path):
    # GeoChat's code enlarges a tower; models of other names were trained with it
    tower, *_ = write_original(tmp_path / "old")
    own = {f"model.vision_tower.vision_tower.{k}": v for k, v in tower.state_dict().items()}
    table = next(name for name in own if name.endswith("position_embedding.weight"))
    own[table] = torch.randn(1 + 6**2, TOWER_WIDTH)
    path = tmp_path / "old" / "model.safetensors"
    save_file(load_file(path) | own, path)
    host = load_host(str(convert_checkpoint(tmp_path / "old", tmp_path / "new")))
    assert host.tile_size == 6 * 8
    kept = host._model.model.vision_tower.state_dict()
    torch.testing.assert_close(
        kept[table.removeprefix("model.vision_tower.vision_tower.")], own[table]
    )


def test_resized_positions_keep_corners_and_the_class_token():
    table = torch.randn(1 + 24**2, 8)
    resized = resized_positions(table, 36)
    assert resized.shape == (1 + 36**2, 8)
    corners, larger = (0, 1, 24, 24**2), (0, 1, 36, 36**2)
    torch.testing.assert_close(resized[list(larger)], table[list(corners)], atol=1e-5, rtol=0)
    assert resized_positions(table, 24) is table
    # of a tower without a class token
    assert resized_positions(table[1:], 36).shape == (24**2, 8)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"mm_projector_type": "mlp3x_gelu"}, r"projector of 3 layers .*two.* by openai:NAME"),
        ({"mm_projector_type": "mlp12x_gelu"}, r"projector of 12 layers"),
        ({"mm_projector_type": "ldpnetv2"}, "mm_projector_type = 'ldpnetv2'"),
        ({"mm_use_im_start_end": True}, r"<im_start> and <im_end> around .* do not know them"),
        ({"vision": "Siglip", "mm_vision_select_layer": -1}, r"select_layer = -1 and a SigLIP"),
        (
            {"vision": "Siglip", "side": 336, "model_type": "geochat"},
            r"position_embedding.weight have the shape \(576, 32\)",
        ),
        ({"vision": "Siglip2"}, r"is a 'siglip2_vision_model'.* by openai:NAME"),
        ({"mm_patch_merge_type": "averaged"}, "mm_patch_merge_type"),
        ({"mm_patch_merge_type": "spatial_unpad"}, "become image_newline"),
        ({"mm_vision_select_layer": "last"}, "no number of a layer"),
        ({"model_type": "llava_phi"}, "'llava_phi' is none that can be converted .*openai:NAME"),
        ({"vision_config": {}}, "not a LLaVA in the layout"),
        ({"mm_vision_tower": None}, r"names no vision tower .*= None.*by --tower"),
        ({"mm_vision_tower": " "}, r"names no vision tower .*= ' '"),
        ({"mm_vision_tower": "nowhere"}, "no folder nowhere with a vision tower"),
        # what a stock class can be made with and no host can be made of
        ({"mm_vision_select_layer": -9}, "mm_vision_select_layer -9 is not one .* openai:NAME"),
        ({"max_position_embeddings": 0}, "says no max_position_embeddings"),
        ({"max_position_embeddings": 16}, r"takes 16 places .*needs more"),
        ({"repetition_penalty": "high"}, "repetition_penalty = 'high'"),
        ({"rope_theta": 0}, "rope_theta = 0.*correct it"),
        ({"model_type": "llava_mistral", "sliding_window": 0}, "sliding_window = 0.*correct it"),
        (
            {"vision": "Siglip", "side": 42, "mm_patch_merge_type": "unires"},
            "pool of 2 does not divide the 3 tokens",
        ),
        # what the tokenizer would be blamed for, beside which it lies
        ({"torch_dtype": "nonsense"}, "config.json of .*torch_dtype = 'nonsense'.*write float32"),
        ({"rope_scaling": "linear"}, "config.json of .*does not describe a model.*correct it"),
        ({"eos_token_id": "</s>"}, "Field 'eos_token_id' with value '</s>'"),
        ({"model_type": ["llava"]}, "names no model_type"),
    ],
)
def test_a_build_that_cannot_be_converted_is_refused(tmp_path, changes, words):
    write_original(tmp_path / "old", **changes)
    with pytest.raises(ModelError, match=words):
        convert_checkpoint(tmp_path / "old", tmp_path / "new")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["old"], "nothing half-written stays"


def test_a_weight_of_no_part_is_refused():
    assert converted_name("model.layers.0.self_attn.rotary_emb.inv_freq") is None
    with pytest.raises(ModelError, match=r"belongs to no part"):
        converted_name("transformer.h.0.weight")


def test_a_pickle_is_refused_with_the_command_that_converts_it_elsewhere(tmp_path, monkeypatch):
    write_original(tmp_path / "old", tie_word_embeddings=True)
    path = tmp_path / "old" / "model.safetensors"
    weights = load_file(path)
    path.unlink()
    # as torch saves a tied model in two parts, beside what trainings leave behind
    weights["lm_head.weight"] = weights["model.embed_tokens.weight"]
    weights[MLP] = weights[MLP].t().contiguous().t()
    tied = [name for name in weights if name.endswith(("lm_head.weight", "embed_tokens.weight"))]
    parts = [{n: weights[n] for n in tied}, {n: w for n, w in weights.items() if n not in tied}]
    for i, part in enumerate(parts):
        torch.save(part, path.with_name(f"pytorch_model-0000{i + 1}-of-00002.bin"))
    path.with_name("mm_projector.bin").write_bytes(b"never opened")
    with pytest.raises(ModelError, match="as pickle") as refusal:
        convert_checkpoint(tmp_path / "old", tmp_path / "new")
    command = re.search(r'python -c "(.*)"', str(refusal.value))
    monkeypatch.chdir(path.parent)
    exec(command[1], {})
    new = convert_checkpoint(tmp_path / "old", tmp_path / "new")
    found = load_file(new / "model-00001.safetensors")
    torch.testing.assert_close(found[converted_name(MLP)], weights[MLP])


def test_a_name_in_a_file_stands_in_no_command():
    words = str(_is_pickle("m", "'); evil('.bin"))
    assert "glob('*.bin')" in words.split("python -c")[1]
    assert "evil" not in words.split("python -c")[1]


@pytest.mark.parametrize("weights", ["adapter_model.safetensors", "adapter_model.bin"])
def test_an_adapter_is_told_from_a_model_whatever_its_weights_are_in(tmp_path, weights):
    write_original(tmp_path / "old")
    (tmp_path / "old" / "model.safetensors").rename(tmp_path / "old" / weights)
    (tmp_path / "old" / "adapter_config.json").write_text("{}")
    (tmp_path / "old" / "non_lora_trainables.bin").write_bytes(b"never opened")
    with pytest.raises(ModelError, match=r"holds an adapter .*merge_and_unload"):
        convert_checkpoint(tmp_path / "old", tmp_path / "new")


@pytest.mark.skipif(find_spec("sentencepiece") is not None, reason="it can be read here")
def test_a_tokenizer_of_pieces_alone_names_the_packages_that_read_it(tmp_path):
    write_original(tmp_path / "old")
    (tmp_path / "old" / "tokenizer.json").unlink()
    record = {"tokenizer_class": "LlamaTokenizer", "bos_token": "<s>", "unk_token": "<unk>"}
    (tmp_path / "old" / "tokenizer_config.json").write_text(json.dumps(record))
    # the first of its pieces
    (tmp_path / "old" / "tokenizer.model").write_bytes(b"\n\x0e\n\x05<unk>\x15\0\0\0\0\x18\x02")
    with pytest.raises(ModelError, match=r"pip install sentencepiece protobuf"):
        convert_checkpoint(tmp_path / "old", tmp_path / "new")


def test_what_exists_is_never_written_over(tmp_path):
    write_original(tmp_path / "old")
    with pytest.raises(OutputError, match="exists already"):
        convert_checkpoint(tmp_path / "old", tmp_path)


@pytest.mark.parametrize("says", [{"mm_projector_type": "linear"}, {}])
def test_a_projector_of_two_layers_is_not_taken_for_one_of_one(tmp_path, says):
    write_original(tmp_path / "old")
    path = tmp_path / "old" / "config.json"
    config = json.loads(path.read_text())
    del config["mm_projector_type"]
    path.write_text(json.dumps(config | says))
    with pytest.raises(ModelError, match=r"one layer, and its weights hold one of two"):
        convert_checkpoint(tmp_path / "old", tmp_path / "new")


def test_a_tower_beside_the_model_whose_positions_do_not_fit_it_is_refused(tmp_path):
    write_original(tmp_path / "old")
    path = tmp_path / "old" / "clip" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"image_size": 48}))
    with pytest.raises(ModelError, match=r"position_embedding.weight have the shape \(17, 32\)"):
        convert_checkpoint(tmp_path / "old", tmp_path / "new")


def test_an_original_on_the_hub_is_refused_with_its_download_before_the_command():
    words = str(not_converted("MBZUAI/geochat-7B"))
    assert "`hf download MBZUAI/geochat-7B --local-dir ORIGINAL`" in words
    assert "`geofovea convert ORIGINAL --output FOLDER`" in words


@pytest.mark.parametrize("kind", ["llava", "llava_llama", "llava_qwen", "geochat"])
def test_unconverted_it_is_refused_with_the_command(tmp_path, kind):
    write_original(tmp_path / "old", model_type=kind)
    with pytest.raises(ModelError, match=r"original repository; convert it .*geofovea convert"):
        load_host(str(tmp_path / "old"))


@pytest.mark.parametrize("kind", ["llava_phi", "bunny-phi", "llava_gemma"])
def test_a_decoder_that_no_conversion_knows_is_not_sent_to_the_command(tmp_path, kind):
    config = {"model_type": kind, "mm_vision_tower": "clip", "mm_projector_type": "mlp2x_gelu"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=f"'{kind}' is none .*openai:NAME") as refused:
        load_host(str(tmp_path))
    assert "geofovea convert" not in str(refused.value)


class OfItsClientError(Exception):
    """Errors of the library by which the hub is asked are of no common kind."""


@pytest.mark.parametrize("kind", [OSError, OfItsClientError])
def test_a_tower_on_a_hub_that_is_out_of_reach_is_one_clear_error(tmp_path, monkeypatch, kind):
    import huggingface_hub

    calls = []

    def no_network(*args, **options):
        calls.append(options.get("local_files_only", False))
        raise (OSError if calls == [True] else kind)("no route to host")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", no_network)
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", no_network)
    write_original(tmp_path / "old", mm_vision_tower="openai/clip-vit-large-patch14-336")
    with pytest.raises(ModelError, match=r"not on this machine.*no route to host.*--tower"):
        convert_checkpoint(tmp_path / "old", tmp_path / "new")
    # once among what is here, once on the hub, and no download that tries again
    assert calls == [True, False]


def test_the_verb_writes_a_folder_and_says_how_to_ask_it(tmp_path):
    write_original(tmp_path / "old", mm_vision_tower="nowhere")
    tower = ["--tower", str(tmp_path / "old" / "clip")]
    arguments = ["convert", str(tmp_path / "old"), "--output", str(tmp_path / "new"), *tower]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert f"--model {tmp_path / 'new'}" in result.output
    assert json.loads((tmp_path / "new" / "config.json").read_text())["model_type"] == "llava"


@torch.no_grad()
@pytest.mark.parametrize(
    ("kind", "decoder", "vision", "merge", "family", "pool"),
    [
        ("llava_mistral", "Mistral", "CLIP", "spatial_unpad", "llava_next", 1),
        ("llava_qwen", "Qwen2", "CLIP", "unires", "llava", 2),
        ("llava_qwen", "Qwen2", "CLIP", "spatial", "llava_next", 1),
        ("llava_qwen", "Qwen2", "Siglip", "spatial_unpad", "llava_onevision", 1),
        ("llava_qwen", "Qwen2", "Siglip", "unires", "llava", 2),
    ],
)
def test_llavas_with_tiles_keep_their_decoder_their_newline_and_their_pooling(
    tmp_path, kind, decoder, vision, merge, family, pool
):
    changes = {"model_type": kind, "mm_patch_merge_type": merge, "vision": vision}
    _, _, own = write_original(tmp_path / "old", decoder=decoder, **changes)
    path, newline = tmp_path / "old" / "model.safetensors", torch.randn(WIDTH)
    save_file(load_file(path) | {"model.image_newline": newline}, path)
    new = convert_checkpoint(tmp_path / "old", tmp_path / "new")
    assert json.loads((new / "config.json").read_text())["model_type"] == family
    host = load_host(str(new))
    assert host._settings.pool == pool
    if family != "llava":
        assert torch.equal(host._family.newline, newline)
    assert_first_logits(host, own, host._prompts.sequence(QUESTION, tokens_of(host)).embedded)


@torch.no_grad()
def test_a_model_with_words_around_its_images_gets_them(tmp_path):
    _, _, decoder = write_original(tmp_path / "old", mm_use_im_start_end=True)
    tokens, marks = tokenizer(), ["<im_start>", "<im_end>"]
    tokens.add_special_tokens({"additional_special_tokens": marks})
    tokens.save_pretrained(tmp_path / "old")
    decoder.resize_token_embeddings(len(tokens))
    path = tmp_path / "old" / "model.safetensors"
    of_decoder = {name: weight.clone() for name, weight in decoder.state_dict().items()}
    save_file(load_file(path) | of_decoder, path)
    host = load_host(str(convert_checkpoint(tmp_path / "old", tmp_path / "new")))
    shown = tokens_of(host)
    asked = f"{QUESTION}{host._settings.instruction}"
    # as the original code writes it: the words of both sides, each by the table of the decoder
    sides = (f"USER: {marks[0]}", f"{marks[1]}\n{asked} ASSISTANT:")
    before, after = (tokens.encode(s, add_special_tokens=not i) for i, s in enumerate(sides))
    table = decoder.get_input_embeddings()
    vectors = [table(torch.tensor(before)), shown.features, table(torch.tensor(after))]
    embedded = host._prompts.sequence(QUESTION, shown).embedded
    torch.testing.assert_close(embedded, torch.cat(vectors)[None], atol=0, rtol=0)
    assert_first_logits(host, decoder, embedded)


def test_a_tower_whose_file_leaves_out_usual_sizes_has_them(tmp_path):
    for name, kind in (("clip", "clip_vision_model"), ("siglip", "siglip")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps({"model_type": kind}))
    clip, siglip = (vision_config(tmp_path / name) for name in ("clip", "siglip"))
    assert (clip["image_size"], clip["patch_size"], clip["num_hidden_layers"]) == (224, 32, 12)
    assert (siglip["image_size"], siglip["patch_size"]) == (224, 16)
    assert siglip["num_hidden_layers"] == 11


def test_a_model_that_is_saved_in_parts_is_refused_with_what_to_do(tmp_path):
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "FINAL.pt").write_bytes(b"never opened")
    with pytest.raises(ModelError, match=r"no config.json .*LHRS-Bot.*save_pretrained first"):
        convert_checkpoint(tmp_path / "old", tmp_path / "new")


MLP = "model.layers.1.mlp.down_proj.weight"
DAMAGES = {
    "no matrix of a layer": (lambda w: w.pop(MLP), r"lacks 1 weights .*layers\.1\.mlp\.down_proj"),
    "no bias of the projector": (
        lambda w: w.pop("model.mm_projector.2.bias"),
        r"lacks 1 weights .*linear_2\.bias",
    ),
    "an adapter that was not merged": (
        lambda w: w.update({f"{MLP[:-7]}.lora_A.default.weight": torch.zeros(2, 96)}),
        r"holds 1 weights .*lora_A.*merge_and_unload",
    ),
    "a layer too many": (
        lambda w: w.update({MLP.replace("1", "3"): w[MLP].clone()}),
        r"holds 1 weights .*layers\.3",
    ),
    "a part of its own": (
        lambda w: w.update({"model.region_encoder.weight": torch.zeros(3)}),
        r"holds 1 weights .*region_encoder.*cannot be converted",
    ),
    "another shape": (
        lambda w: w.update({MLP: w[MLP][:, :7].clone()}),
        r"down_proj.weight have the shape \(64, 7\), .* speaks of \(64, 96\)",
    ),
}


@pytest.mark.parametrize(("damage", "words"), DAMAGES.values(), ids=DAMAGES)
def test_weights_that_do_not_make_the_stock_model_are_refused(tmp_path, damage, words):
    write_original(tmp_path / "old")
    path = tmp_path / "old" / "model.safetensors"
    weights = load_file(path)
    damage(weights)
    save_file(weights, path)
    with pytest.raises(ModelError, match=words):
        convert_checkpoint(tmp_path / "old", tmp_path / "new")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["old"], "nothing half-written stays"


def test_only_the_files_of_the_index_are_read(tmp_path):
    write_original(tmp_path / "old")
    path = tmp_path / "old" / "model.safetensors"
    weights = load_file(path)
    path.unlink()
    listing = {name: f"part-{i % 3}.safetensors" for i, name in enumerate(weights)}
    for part in set(listing.values()):
        save_file({n: weights[n] for n in weights if listing[n] == part}, path.with_name(part))
    # a copy of another training, which would come last by its name
    save_file({n: w + 1 for n, w in weights.items()}, path.with_name("zz-old.safetensors"))
    index = path.with_name("model.safetensors.index.json")
    index.write_text(json.dumps({"weight_map": listing}))
    new = convert_checkpoint(tmp_path / "old", tmp_path / "new")
    found = load_file(new / "model-00001.safetensors")
    torch.testing.assert_close(found[converted_name(MLP)], weights[MLP])
    path.with_name("part-1.safetensors").unlink()
    with pytest.raises(ModelError, match=r"lacks part-1\.safetensors"):
        convert_checkpoint(tmp_path / "old", tmp_path / "other")


def test_what_ends_an_answer_is_kept(tmp_path):
    write_original(tmp_path / "old", eos_token_id=5)
    rules = {"eos_token_id": [7, 9], "repetition_penalty": 1.2, "temperature": 0.2}
    (tmp_path / "old" / "generation_config.json").write_text(json.dumps(rules))
    host = load_host(str(convert_checkpoint(tmp_path / "old", tmp_path / "new")))
    assert {7, 9} <= set(host._writer.stop)
    assert 5 not in host._writer.stop
    assert host._writer.rules is not None
