"""Tiny random models of every family's stock class, and what their stock pipelines would feed them.

Nothing here uses the package's own prompts, tiles or positions: it is the other side of the
comparison.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
import transformers
from pipeline_toys import enliven
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from geofovea.pipeline.hosts.families.registry import FAMILIES
from geofovea.pipeline.hosts.lvlm import LvlmHost
from geofovea.pipeline.hosts.settings import HostSettings
from geofovea.pipeline.training.embedded_model import vocabulary
from geofovea.regionfocus.tokens import TokenSet, tokens_of_tiles
from geofovea.tiling.pyramid import Pyramid, Tile

QUESTION = "What is the color of the plane at the airport?"
MEAN, STD = (0.5, 0.4, 0.3), (0.25, 0.3, 0.35)
_SPECIAL = (
    "<|vision_start|>",
    "<|vision_end|>",
    "<img>",
    "</img>",
    "<fake_token_around_image>",
    "<global-img>",
    "<|begin_of_image|>",
    "<|end_of_image|>",
    "<start_of_image>",
    "<end_of_image>",
    "[IMG_BREAK]",
    "[IMG_END]",
)
OF_ANY_SIZE = tuple(family for family, kind in FAMILIES.items() if kind.axes == 3)
"""Families whose tiles may have any side, and whose positions have three axes."""
WITH_ROWS = ("mistral3", "pixtral")
"""Families whose tiles may have any side, with a word between rows of tokens."""
ANY_TILE = OF_ANY_SIZE + WITH_ROWS
WORDS = {w: i for i, w in enumerate([*vocabulary(), "A", "B", "C", *_SPECIAL])}


@dataclass(frozen=True)
class Shape:
    """Sizes of a tiny model; the decoder's heads are 16 wide, and there is one key head for two."""

    seed: int
    hidden: int
    layers: int
    tile: int


EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
SHAPES = {
    "narrow": Shape(seed=1, hidden=64, layers=3, tile=32),
    "deep": Shape(seed=7, hidden=96, layers=4, tile=48),
}


def tokenizer(chat_template: str | None = None) -> PreTrainedTokenizerFast:
    """Word by word, with the special words of all families and letters to choose by."""
    made = Tokenizer(models.WordLevel(WORDS, unk_token="<unk>"))
    made.normalizer = normalizers.Replace("?", " ? ")
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=made,
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        pad_token="<pad>",
        additional_special_tokens=["<image>", *_SPECIAL],
    )
    fast.chat_template = chat_template
    return fast


def pixels(count: int, side: int, seed: int = 5) -> np.ndarray:
    """Tiles of noise, uint8 (count, side, side, 3)."""
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def normalized(tiles: np.ndarray) -> torch.Tensor:
    """What an image processor makes of tiles of the right size, (count, 3, side, side)."""
    return torch.from_numpy((tiles / 255 - MEAN) / STD).float().permute(0, 3, 1, 2)


@cache
def model_of(family: str, shape: str = "narrow") -> Any:
    """A random model of a family's stock class; its answers depend on what it sees."""
    return _random(family, _config(family, SHAPES[shape]), SHAPES[shape].seed)


def _random(family: str, config: Any, seed: int) -> Any:
    torch.manual_seed(seed)
    model = getattr(transformers, FAMILIES[family].model_class)(config).eval()
    enliven(model)
    if family == "gemma3":
        # the class leaves it at zero, and no picture would matter
        torch.nn.init.normal_(model.model.multi_modal_projector.mm_input_projection_weight)
    if family == "gemma3" or "qwen3_5" in family:
        for layer in model.model.language_model.layers:
            if hasattr(layer, "self_attn"):
                # queries of one length on keys of one length: attention would be flat
                torch.nn.init.ones_(layer.self_attn.q_norm.weight)
    if family == "mistral3":
        # its projector makes small vectors of which no layer's attention prefers any
        enliven(model.model.multi_modal_projector)
    model.generation_config.eos_token_id = WORDS["</s>"]
    model.generation_config.pad_token_id = WORDS["<pad>"]
    return model


def host_of(family: str, shape: str = "narrow", chat: str | None = None, **given: Any) -> LvlmHost:
    """A host of that model, one token a patch, focus in its second layer."""
    tile = SHAPES[shape].tile if family in ANY_TILE else None
    return _host(family, model_of(family, shape), tile, chat, **given)


def variant_of(
    family: str,
    text: dict[str, Any] | None = None,
    vision: dict[str, Any] | None = None,
    tile: int | None = None,
    dtype: torch.dtype = torch.float32,
    **more: Any,
) -> LvlmHost:
    """A host of a model of another build, at the positions of its stock prompts.

    Args:
        family: Its family.
        text: Changes to the configuration of its text model; ``model_type`` takes another kind.
        vision: Likewise.
        tile: Side of its tiles, for families that take any.
        dtype: Of its numbers.
        more: Changes to the rest of its configuration.
    """
    base = _config(family, SHAPES["narrow"])
    changed = {name: value for name, value in base.to_dict().items() if name not in more} | more
    for part, changes in (("text_config", text), ("vision_config", vision)):
        changed[part] = changed[part] | (changes or {})
        if changes and "model_type" in changes:
            # what one kind says of its layers another may not understand
            changed[part] = {k: v for k, v in changed[part].items() if k != "layer_types"}
            changed[part] = transformers.AutoConfig.for_model(**changed[part])
    model = _random(family, type(base)(**changed), seed=3).to(dtype)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:  # norms and biases are ones and zeros at first
                parameter.add_(torch.randn_like(parameter) / 8)
    positions = "original" if family in OF_ANY_SIZE else "compact"
    if tile is None and family in ANY_TILE:
        tile = SHAPES["narrow"].tile
    return _host(family, model, tile, positions=positions)


def _host(
    family: str, model: Any, tile: int | None, chat: str | None = None, **given: Any
) -> LvlmHost:
    settings = {
        "template": "what {image} {question} is",
        "instruction": "",
        "pool": 1,
        "focus_layer": 1,
        "image_mean": MEAN,
        "image_std": STD,
    }
    driven = FAMILIES[family](model, tile)
    return LvlmHost("random", driven, tokenizer(chat), HostSettings(**settings | given))


def row_of_tiles(host: LvlmHost, count: int) -> tuple[Pyramid, list[Tile]]:
    """A scene of ``count`` tiles side by side."""
    pyramid = Pyramid(host.tile_size * count, host.tile_size, host.tile_size)
    return pyramid, list(pyramid.tiles(0))


def tokens_of(host: LvlmHost, count: int = 2, seed: int = 5) -> TokenSet:
    """All tokens of ``count`` tiles of noise."""
    pyramid, tiles = row_of_tiles(host, count)
    features = host.encode(pixels(count, host.tile_size, seed), tiles, pyramid)
    return tokens_of_tiles(features, host.grid, tiles, pyramid)


def question_ids(question: str = QUESTION) -> list[int]:
    """What stands behind the image in the prompt of `host_of`."""
    spaced = f"{question} is".replace("?", " ? ")
    return [WORDS.get(word, WORDS["<unk>"]) for word in spaced.split()]


def stock_inputs(host: LvlmHost, family: str, count: int = 2, seed: int = 5) -> dict[str, Any]:
    """Placeholders and pixels of ``count`` images as the family's stock processor lays them out."""
    tiles, n = pixels(count, host.tile_size, seed), host.grid[0] * host.grid[1]
    image = [WORDS["<image>"]] * n
    marks = {
        "llava": image * count,
        # every image of one tile ends with a newline, which has a placeholder
        "llava_onevision": [*image, image[0]] * count,
        "llava_next": [*image, image[0]] * count,
        "internvl": [WORDS["<img>"], *image * count, WORDS["</img>"]],
    }
    vision = [WORDS["<|vision_start|>"], *image, WORDS["<|vision_end|>"]]
    fake = WORDS["<fake_token_around_image>"]
    shown = [fake, WORDS["<global-img>"], *image, fake]
    marks |= dict.fromkeys((f for f in OF_ANY_SIZE if "qwen" in f), vision * count)
    begun = [WORDS["<|begin_of_image|>"], *image, WORDS["<|end_of_image|>"]]
    marks |= dict.fromkeys((f for f in OF_ANY_SIZE if "glm" in f), begun * count)
    marks |= dict.fromkeys(("idefics3", "smolvlm"), shown * count)
    marks["gemma3"] = [WORDS["<start_of_image>"], *image, WORDS["<end_of_image>"]] * count
    marks["paligemma"] = image * count
    rows, cols = host.grid
    row = [*image[:cols], WORDS["[IMG_BREAK]"]]
    marks |= dict.fromkeys(WITH_ROWS, [*(row * rows)[:-1], WORDS["[IMG_END]"]] * count)
    ids = torch.tensor([[WORDS["what"], *marks[family], *question_ids()]])
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    if family == "gemma3":
        inputs["token_type_ids"] = (ids == WORDS["<image>"]).long()
    if family == "paligemma":
        # all of a prompt without an answer is the prefix
        inputs["token_type_ids"] = torch.zeros_like(ids)
    return inputs | _stock_pixels(host, family, ids, tiles)


def _stock_pixels(
    host: LvlmHost, family: str, ids: torch.Tensor, tiles: np.ndarray
) -> dict[str, Any]:
    images, side, model = normalized(tiles), host.tile_size, host._model
    if family in ("idefics3", "smolvlm"):
        return {"pixel_values": images[None]}
    if family in OF_ANY_SIZE:
        vision = model.config.vision_config
        processor = transformers.Qwen2VLImageProcessor(
            patch_size=vision.patch_size,
            merge_size=vision.spatial_merge_size,
            image_mean=MEAN,
            image_std=STD,
            do_resize=False,
        )
        made = dict(processor(images=list(tiles), return_tensors="pt"))
        if "mm_token_type_ids" in inspect.signature(model.model.get_rope_index).parameters:
            made["mm_token_type_ids"] = (ids == WORDS["<image>"]).int()
        return made
    sizes = torch.tensor([[side, side]] * len(tiles))
    if family == "llava_onevision":
        # several images: none of them is cut further
        many = torch.tensor([len(tiles)])
        return {"pixel_values": images[:, None], "image_sizes": sizes, "batch_num_images": many}
    if family == "llava_next":
        # the base image, and the same cut into one tile
        return {"pixel_values": torch.stack([images, images], 1), "image_sizes": sizes}
    if family in WITH_ROWS:
        return {"pixel_values": images, "image_sizes": sizes}
    return {"pixel_values": images}


@torch.no_grad()
def stock_decoder_inputs(host: LvlmHost, family: str, inputs: dict[str, Any]) -> dict[str, Any]:
    """What the stock forward pass hands to its text model: embeddings, positions, DeepStack."""
    if family == "llava_next":
        return {"inputs_embeds": _next_embedded(host._model, inputs)}
    caught: dict[str, Any] = {}

    def catch(module: Any, args: Any, kwargs: dict[str, Any]) -> None:
        caught.update(kwargs)

    hook = host._decoder.register_forward_pre_hook(catch, with_kwargs=True)
    host._model(**inputs)
    hook.remove()
    wanted = ("inputs_embeds", "position_ids", "visual_pos_masks", "deepstack_visual_embeds")
    found = {name: caught[name] for name in wanted if caught.get(name) is not None}
    if "gemma" in family:
        masks = caught["attention_mask"]
        mask = (masks["full_attention"] if isinstance(masks, dict) else masks)[0, 0]
        # which tokens see which of those behind them
        found["ahead"] = (mask if mask.dtype is torch.bool else mask == 0).triu(1)
    return found


def _next_embedded(model: Any, inputs: dict[str, Any]) -> torch.Tensor:
    """NeXT always packs a base image and its tiles; an image of one tile is base and newline."""
    packed = model.model.get_image_features(
        inputs["pixel_values"], inputs["image_sizes"], return_dict=True
    )
    n = (model.config.vision_config.image_size // model.config.vision_config.patch_size) ** 2
    newline = model.model.image_newline[None]
    features = torch.cat([torch.cat([image[:n], newline]) for image in packed.pooler_output])
    embedded = model.get_input_embeddings()(inputs["input_ids"])
    places = (inputs["input_ids"] == WORDS["<image>"])[..., None]
    return embedded.masked_scatter(places, features)


@torch.no_grad()
def stock_logits(host: LvlmHost, family: str, inputs: dict[str, Any]) -> torch.Tensor:
    """Logits of the first word of the answer by the stock forward pass, (V,)."""
    if family == "llava_next":
        embedded = _next_embedded(host._model, inputs)
        mask = inputs["attention_mask"]
        return host._model(inputs_embeds=embedded, attention_mask=mask).logits[0, -1]
    return host._model(**inputs).logits[0, -1]


@torch.no_grad()
def stock_text(host: LvlmHost, family: str, inputs: dict[str, Any]) -> str:
    """The greedy answer of the stock ``generate``."""
    options = {"do_sample": False, "max_new_tokens": 16}
    if family == "llava_next":
        embedded = _next_embedded(host._model, inputs)
        mask = inputs["attention_mask"]
        new = host._model.generate(inputs_embeds=embedded, attention_mask=mask, **options)[0]
    else:
        new = host._model.generate(**inputs, **options)[0, inputs["input_ids"].shape[1] :]
    return tokenizer().decode(new, skip_special_tokens=True).strip()


def _config(family: str, shape: Shape) -> Any:
    heads = shape.hidden // 16
    # the last words are those of some families alone
    last_words = {"glm4v": 4, "glm46v": 4, "glm4v_moe": 4, "gemma3": 0, "paligemma": 0}
    last_words |= dict.fromkeys(WITH_ROWS, 0)
    text = {
        "vocab_size": len(WORDS) - last_words.get(family, 6),
        "hidden_size": shape.hidden,
        "intermediate_size": 2 * shape.hidden,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": heads,
        "num_key_value_heads": heads // 2,
        "max_position_embeddings": 2048,
        "bos_token_id": WORDS["<s>"],
        "eos_token_id": WORDS["</s>"],
        "pad_token_id": WORDS["<pad>"],
    }
    vision = {"hidden_size": 32, "num_attention_heads": 2, "num_hidden_layers": 3}
    vision |= {"intermediate_size": 64, "image_size": shape.tile, "patch_size": 8}
    marked = {"image_token_id": WORDS["<image>"], "tie_word_embeddings": False}
    if family == "llava":
        return transformers.LlavaConfig(
            vision_config=transformers.CLIPVisionConfig(**vision, projection_dim=32),
            text_config=transformers.LlamaConfig(**text),
            image_token_index=WORDS["<image>"],
            tie_word_embeddings=False,
        )
    if family == "llava_next":
        return transformers.LlavaNextConfig(
            vision_config=transformers.CLIPVisionConfig(**vision, projection_dim=32),
            text_config=transformers.MistralConfig(**text, sliding_window=None),
            image_token_index=WORDS["<image>"],
            image_grid_pinpoints=[[shape.tile, shape.tile]],
            tie_word_embeddings=False,
        )
    if family == "llava_onevision":
        return transformers.LlavaOnevisionConfig(
            vision_config=transformers.SiglipVisionConfig(**vision, vision_use_head=False),
            text_config=transformers.Qwen2Config(**text),
            image_token_index=WORDS["<image>"],
            image_grid_pinpoints=[[shape.tile, shape.tile]],
            tie_word_embeddings=False,
        )
    if family == "internvl":
        vision |= {"image_size": [shape.tile] * 2, "patch_size": [8, 8]}
        return transformers.InternVLConfig(
            vision_config=transformers.InternVLVisionConfig(**vision),
            text_config=transformers.Qwen2Config(**text),
            image_seq_length=(shape.tile // 16) ** 2,
            **marked,
        )
    if family == "idefics3":
        return transformers.Idefics3Config(
            vision_config=vision, text_config={"model_type": "llama"} | text, **marked
        )
    if family == "smolvlm":
        return transformers.SmolVLMConfig(
            vision_config=vision, text_config={"model_type": "llama"} | text, **marked
        )
    if family in WITH_ROWS:
        return _mistral_config(family, text, vision)
    if "gemma" in family:
        return _gemma_config(family, shape, text, vision)
    if "glm" in family:
        return _glm_config(family, shape, text, marked)
    return _qwen_config(family, shape, text, marked)


def _mistral_config(family: str, text: dict[str, Any], vision: dict[str, Any]) -> Any:
    parts = {
        "text_config": transformers.MistralConfig(**text, sliding_window=None),
        "vision_config": transformers.PixtralVisionConfig(**vision),
    }
    marked = {"image_token_index": WORDS["<image>"], "tie_word_embeddings": False}
    if family == "mistral3":
        return transformers.Mistral3Config(**parts, spatial_merge_size=2, **marked)
    return transformers.LlavaConfig(
        **parts, vision_feature_layer=-1, vision_feature_select_strategy="full", **marked
    )


def _gemma_config(family: str, shape: Shape, text: dict[str, Any], vision: dict[str, Any]) -> Any:
    text |= {"head_dim": 16, "query_pre_attn_scalar": 16, "sliding_window": 24}
    text["layer_types"] = ["sliding_attention", "full_attention"] * shape.layers
    text["layer_types"] = text["layer_types"][: shape.layers]
    marked = {"image_token_index": WORDS["<image>"], "tie_word_embeddings": False}
    tower = transformers.SiglipVisionConfig(**vision, vision_use_head=False)
    if family == "gemma3":
        return transformers.Gemma3Config(
            text_config=transformers.Gemma3TextConfig(**text),
            vision_config=tower,
            mm_tokens_per_image=(shape.tile // 16) ** 2,
            boi_token_index=WORDS["<start_of_image>"],
            eoi_token_index=WORDS["<end_of_image>"],
            **marked,
        )
    return transformers.PaliGemmaConfig(
        text_config=transformers.Gemma2Config(**text),
        vision_config=tower,
        projection_dim=shape.hidden,
        hidden_size=shape.hidden,
        **marked,
    )


def _glm_config(family: str, shape: Shape, text: dict[str, Any], marked: dict[str, Any]) -> Any:
    marked |= {
        "image_start_token_id": WORDS["<|begin_of_image|>"],
        "image_end_token_id": WORDS["<|end_of_image|>"],
        "video_token_id": WORDS["<pad>"],
    }
    vision = {"depth": 3, "hidden_size": 32, "num_heads": 2, "intermediate_size": 64}
    vision |= {"patch_size": 4, "spatial_merge_size": 2, "out_hidden_size": shape.hidden}
    vision |= {"image_size": 4 * 8}
    # a half of each head is turned
    rope = {"rope_type": "default", "rope_theta": 10_000.0, "mrope_section": [2, 1, 1]}
    text |= {"rope_parameters": rope | {"partial_rotary_factor": 0.5}}
    if family == "glm4v_moe":
        text |= {"n_routed_experts": 4, "n_shared_experts": 1, "num_experts_per_tok": 2}
        text |= {"moe_intermediate_size": 32, "first_k_dense_replace": 1, "n_group": 1}
        text |= {"topk_group": 1, "head_dim": 16}
        return transformers.Glm4vMoeConfig(vision_config=vision, text_config=text, **marked)
    kind = transformers.Glm46VConfig if family == "glm46v" else transformers.Glm4vConfig
    if family == "glm46v":
        vision["model_type"], text["model_type"] = "glm4v_vision", "glm4v_text"
    return kind(vision_config=vision, text_config=text, **marked)


def _qwen35_config(
    family: str,
    shape: Shape,
    text: dict[str, Any],
    marked: dict[str, Any],
    rope: dict[str, Any],
) -> Any:
    vision = {"depth": 3, "hidden_size": 32, "num_heads": 2, "intermediate_size": 64}
    vision |= {"patch_size": 4, "spatial_merge_size": 2, "out_hidden_size": shape.hidden}
    vision |= {"num_position_embeddings": 64}
    kinds = ["linear_attention", "full_attention"] * shape.layers
    text |= {"head_dim": 16, "layer_types": kinds[: shape.layers], "linear_key_head_dim": 16}
    text |= {"linear_value_head_dim": 16, "linear_num_key_heads": 2, "linear_num_value_heads": 4}
    text |= {"rope_parameters": rope | {"mrope_interleaved": True, "partial_rotary_factor": 1.0}}
    if family == "qwen3_5_moe":
        text |= EXPERTS | {"shared_expert_intermediate_size": 32}
        return transformers.Qwen3_5MoeConfig(vision_config=vision, text_config=text, **marked)
    return transformers.Qwen3_5Config(vision_config=vision, text_config=text, **marked)


def _qwen_config(family: str, shape: Shape, text: dict[str, Any], marked: dict[str, Any]) -> Any:
    marked |= {
        "vision_start_token_id": WORDS["<|vision_start|>"],
        "vision_end_token_id": WORDS["<|vision_end|>"],
        "video_token_id": WORDS["<pad>"],
    }
    rope = {"rope_type": "default", "rope_theta": 10_000.0, "mrope_section": [4, 2, 2]}
    if "qwen3_5" in family:
        return _qwen35_config(family, shape, text, marked, rope)
    vision = {"depth": 3, "hidden_size": 32, "num_heads": 2, "intermediate_size": 64}
    vision |= {"patch_size": 4, "spatial_merge_size": 2, "out_hidden_size": shape.hidden}
    if family == "qwen2_vl":
        vision |= {"embed_dim": 32, "hidden_size": shape.hidden, "mlp_ratio": 2}
        vision = {k: v for k, v in vision.items() if k not in ("intermediate_size",)}
        del vision["out_hidden_size"]
        text |= {"rope_parameters": rope}
        return transformers.Qwen2VLConfig(vision_config=vision, text_config=text, **marked)
    if "qwen3_vl" in family:
        vision |= {"deepstack_visual_indexes": [0, 1], "num_position_embeddings": 64}
        text |= {"head_dim": 16, "rope_parameters": rope | {"mrope_interleaved": True}}
        if family == "qwen3_vl_moe":
            text |= EXPERTS
            return transformers.Qwen3VLMoeConfig(vision_config=vision, text_config=text, **marked)
        return transformers.Qwen3VLConfig(vision_config=vision, text_config=text, **marked)
    vision |= {"window_size": 16, "fullatt_block_indexes": [1]}
    text |= {"rope_parameters": rope}
    return transformers.Qwen2_5_VLConfig(vision_config=vision, text_config=text, **marked)
