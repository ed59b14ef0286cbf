"""Structures of checkpoints that people name: their tiles, their tokens and their prompts.

What the stock processor makes of a chat is compared id by id with the prompt of a host, with runs
of placeholders taken as one: a host puts vision tokens there. Processors that own one for videos
need torchvision; of these the stock code that expands an image is called by itself.
"""

from functools import cache
from importlib import import_module
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import transformers
from byte_tokenizers import tokenizer_with
from chat_templates import rendered_here
from checkpoint_structures import STRUCTURES
from family_toys import QUESTION, WITH_ROWS

from geofovea.pipeline.hosts.families.registry import FAMILIES, family_in
from geofovea.pipeline.hosts.prompt_builder import PromptBuilder
from geofovea.pipeline.hosts.settings import HostSettings
from geofovea.pipeline.inference.prompts import chat_prompt
from geofovea.regionfocus.tokens import tokens_of_tiles
from geofovea.tiling.pyramid import Pyramid

SEVERAL = [name for name, s in STRUCTURES.items() if "llava" not in s.family]
"""Those whose stock prompts of several images are those of several tiles."""
SEVERAL = [n for n in SEVERAL if STRUCTURES[n].family not in ("internvl", "idefics3", "smolvlm")]


@cache
def model_of(name):
    """The stock class with all layers, on no device."""
    structure = STRUCTURES[name]
    made = getattr(transformers, FAMILIES[structure.family].model_class)
    config = made.config_class(
        text_config=dict(structure.text),
        vision_config=dict(structure.vision),
        **structure.more,
    )
    with torch.device("meta"):
        return made(config).eval()


@pytest.fixture(autouse=True)
def render_here(monkeypatch):
    """Let templates run in this process, by the code of their child, which is tested elsewhere."""
    monkeypatch.setattr(chat_prompt, "rendered_chats", rendered_here)


TOKENIZERS = {}


def words_of(name):
    """The tokenizer of a structure with its chat template; several share one."""
    structure = STRUCTURES[name]
    words = structure.words
    if id(words) not in TOKENIZERS:
        TOKENIZERS[id(words)] = tokenizer_with(
            words.ordinary, words.special, words.begin, words.plain, words.named
        )
    TOKENIZERS[id(words)].chat_template = structure.template
    return TOKENIZERS[id(words)]


class Ids:
    """Stands where embeddings do: a vector of an id is the id, so that a prompt can be read."""

    def __init__(self, width):
        self.width = width

    def of_ids(self, ids):
        return torch.tensor(ids, dtype=torch.float64)[:, None].expand(-1, self.width)


def ids_of_host(name, tiles):
    """The ids of a host's prompt about some whole tiles, its vision tokens as placeholders."""
    structure, words = STRUCTURES[name], words_of(name)
    family = FAMILIES[structure.family](model_of(name))
    width = family.decoder.config.hidden_size
    image = words.convert_tokens_to_ids(structure.image)
    if family.newline is not None:
        # it has a placeholder in stock prompts
        family.newline = torch.full((width,), float(image), dtype=torch.float64)
    thinking = "room" if structure.thinks else "off"
    settings = HostSettings(instruction="", thinking=thinking)
    builder = PromptBuilder.of(name, family, words, settings, family.grid, Ids(width))
    pyramid = Pyramid(family.tile_size * tiles, family.tile_size, family.tile_size)
    features = torch.full(
        (tiles, family.grid[0] * family.grid[1], width), float(image), dtype=torch.float64
    )
    shown = tokens_of_tiles(features, family.grid, list(pyramid.tiles(0)), pyramid)
    return builder.sequence(QUESTION, shown).embedded[0, :, 0].long().tolist()


def expanded(structure, words):
    """What the stock code of a family's processor writes for one image of the size of a tile."""
    module = {
        "qwen2_vl": "qwen2_vl:Qwen2VLProcessor",
        "qwen2_5_vl": "qwen2_5_vl:Qwen2_5_VLProcessor",
        "qwen3_vl": "qwen3_vl:Qwen3VLProcessor",
        "qwen3_vl_moe": "qwen3_vl:Qwen3VLProcessor",
        "glm4v": "glm4v:Glm4vProcessor",
        "glm46v": "glm46v:Glm46VProcessor",
        "internvl": "internvl:InternVLProcessor",
        "smolvlm": "smolvlm:SmolVLMProcessor",
        "idefics3": "idefics3:Idefics3Processor",
    }.get(structure.family)
    if structure.family in WITH_ROWS:
        # its processor cannot even be imported without torchvision
        rows = [structure.image * structure.grid] * structure.grid
        return "[IMG_BREAK]".join(rows) + "[IMG_END]"
    if module is None:
        # LLaVA-NeXT and OneVision: as many placeholders as an image has tokens
        return structure.image * 3
    file, name = module.split(":")
    processor = getattr(import_module(f"transformers.models.{file}.processing_{file}"), name)
    if not hasattr(processor, "replace_image_token"):
        pytest.skip("this release of transformers expands images elsewhere")
    self = SimpleNamespace(
        image_token=structure.image,
        image_processor=SimpleNamespace(merge_size=2),
        start_image_token="<img>",
        end_image_token="</img>",
        image_seq_length=4,
        image_seq_len=4,
        fake_image_token="<fake_token_around_image>",
        global_image_tag="<global-img>",
        global_image_token="<global-img>",
    )
    inputs = {"num_patches": [1], "rows": [[0]], "cols": [[0]]}
    inputs["image_grid_thw"] = np.array([[1, 2 * structure.grid, 2 * structure.grid]])
    return processor.replace_image_token(self, inputs, 0)


def chat(images):
    parts = [{"type": "image"}] * images + [{"type": "text", "text": QUESTION}]
    return [{"role": "user", "content": parts}]


def ids_of_stock(name, images):
    """The ids that the stock processor makes of a chat, as far as it can be made here."""
    structure, words = STRUCTURES[name], words_of(name)
    pictures = [np.zeros((structure.tile, structure.tile, 3), np.uint8)] * images
    if structure.family in ("gemma3", "paligemma") and not hasattr(
        transformers, "Gemma3ImageProcessorPil"
    ):
        pytest.skip("this release of transformers makes its images with torchvision")
    if structure.family == "gemma3":
        processor = transformers.Gemma3Processor(
            transformers.Gemma3ImageProcessorPil(), words, image_seq_length=256
        )
        text = words.apply_chat_template(chat(images), tokenize=False, add_generation_prompt=True)
        made = processor(images=pictures, text=text, add_special_tokens=False)
        return made["input_ids"][0]
    if structure.family == "paligemma":
        tower = transformers.SiglipImageProcessorPil(size={"height": 28, "width": 28})
        tower.image_seq_length = structure.grid**2
        processor = transformers.PaliGemmaProcessor(tower, words)
        text = structure.image * images + f"answer en {QUESTION}"
        made = processor(images=[pictures], text=text, add_special_tokens=False)
        return made["input_ids"][0]
    text = words.apply_chat_template(chat(images), tokenize=False, add_generation_prompt=True)
    text = text.replace(structure.image, expanded(structure, words))
    begin = structure.words.begin
    # as `ProcessorMixin.apply_chat_template` has it
    adds = begin is None or not text.startswith(begin)
    return words.encode(text, add_special_tokens=adds)


def collapsed(ids, image):
    """Runs of placeholders as one; a token of an image is worth nothing by its number."""
    return [i for n, i in enumerate(ids) if i != image or not n or ids[n - 1] != image]


@pytest.mark.parametrize("name", STRUCTURES)
def test_the_tiles_and_the_tokens_of_a_checkpoint_are_those_of_its_structure(name):
    structure = STRUCTURES[name]
    model = model_of(name)
    config = {"model_type": model.config.model_type, "vision_config": dict(structure.vision)}
    assert family_in(config) is FAMILIES[structure.family]
    family = FAMILIES[structure.family](model)
    assert family.tile_size == structure.tile
    assert family.grid == (structure.grid, structure.grid)
    text = family.decoder.config
    assert len(family.decoder.layers) == structure.text["num_hidden_layers"]
    assert text.max_position_embeddings == structure.text["max_position_embeddings"]
    assert model.config.image_token_id == words_of(name).convert_tokens_to_ids(structure.image)
    assert family.deep == len(structure.vision.get("deepstack_visual_indexes", ()))


@pytest.mark.parametrize("name", STRUCTURES)
def test_the_prompt_of_a_checkpoint_has_the_ids_of_its_stock_processor(name):
    image = words_of(name).convert_tokens_to_ids(STRUCTURES[name].image)
    found = collapsed(ids_of_host(name, 1), image)
    assert found == collapsed(ids_of_stock(name, 1), image)
    assert found.count(image) >= 1


@pytest.mark.parametrize("name", SEVERAL)
def test_two_tiles_are_two_images_to_the_stock_processor(name):
    image = words_of(name).convert_tokens_to_ids(STRUCTURES[name].image)
    found = collapsed(ids_of_host(name, 2), image)
    assert found == collapsed(ids_of_stock(name, 2), image)
