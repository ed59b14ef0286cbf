"""Random dual encoders of the real classes, written as a hub would bring them."""

import json

import torch
from pipeline_toys import enliven
from transformers import CLIPConfig, CLIPModel, SiglipConfig, SiglipModel

from geofovea.pipeline.training.embedded_model import build_tokenizer, vocabulary

SIDE = 32


KINDS = ("clip", "siglip")


def write_encoder(folder, kind):
    """A random dual encoder of the real classes, with the tokenizer of the embedded model."""
    words = vocabulary()
    shape = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
    }
    text = shape | {
        "vocab_size": len(words),
        "max_position_embeddings": 24,
        "bos_token_id": words.index("<s>"),
        "eos_token_id": words.index("</s>"),
        "pad_token_id": words.index("<pad>"),
    }
    vision = shape | {"image_size": SIDE, "patch_size": 8}
    torch.manual_seed(4)
    if kind == "clip":
        model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=16))
    else:
        model = SiglipModel(SiglipConfig(text_config=text, vision_config=vision))
    enliven(model)
    with torch.no_grad():
        model.logit_scale.fill_(2.0)
    model.save_pretrained(folder)
    build_tokenizer().save_pretrained(folder)
    means = {"image_mean": [0.4, 0.5, 0.6], "image_std": [0.2, 0.3, 0.25]}
    (folder / "preprocessor_config.json").write_text(json.dumps(means))
    return folder
