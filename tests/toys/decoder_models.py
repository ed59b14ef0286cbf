"""Random stock decoders of two families, for tests of what happens between their layers."""

import torch
from pipeline_toys import enliven
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

FAMILIES = {"llama": (LlamaForCausalLM, LlamaConfig), "qwen2": (Qwen2ForCausalLM, Qwen2Config)}


DEPTH, WIDTH = 6, 48


def make_model(family, kernel="sdpa", **settings):
    make, configure = FAMILIES[family]
    torch.manual_seed(0)
    config = configure(
        vocab_size=40,
        hidden_size=WIDTH,
        intermediate_size=64,
        num_hidden_layers=DEPTH,
        num_attention_heads=6,
        num_key_value_heads=2,
        head_dim=8,
        attn_implementation=kernel,
        **settings,
    )
    model = make(config).eval()
    enliven(model)
    return model
