"""What can be done with a stock decoder beyond running it whole.

Any decoder of ``transformers`` that takes ``inputs_embeds`` can answer. To read a row of its
attention, or to run its layers one by one, more has to be known of it: some normalize keys after
they are turned, some turn them in some layers only, some scale what enters their first layer. Such
a decoder would give wrong numbers without a word, so only kinds that were compared with the stock
forward pass are entered.
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "attention_window",
    "attention_windows",
    "can_batch",
    "can_copy_layers",
    "can_read_rows",
    "can_run_layers",
    "has_dynamic_rope",
    "layers_that_see_all",
]

_RUN_BY_LAYER = frozenset(
    {
        "llama",
        "mistral",
        "mixtral",
        "qwen2",
        "qwen2_5_vl_text",
        "qwen2_moe",
        "qwen2_vl_text",
        "qwen3",
        "qwen3_moe",
        "qwen3_vl_moe_text",
        "qwen3_vl_text",
    }
)
# these have norms behind their parts, or turn half of each head: a copy of a LLaMA's layer is none
_OF_THEIR_OWN = frozenset({"glm4v_moe_text", "glm4v_text"})
# these scale what enters the first layer (Gemma in earlier releases), or have layers of two kinds
_READ_ONLY = frozenset(
    {
        "gemma",
        "gemma2",
        "gemma3_text",
        "gpt_oss",
        "granite",
        "ministral",
        "qwen3_5_moe_text",
        "qwen3_5_text",
    }
)
_OF_ITS_LENGTH = frozenset({"dynamic", "longrope"})


def can_read_rows(decoder: Any, layer: int | None = None) -> bool:
    """Whether `attention.rows` finds in its layers what their own attention would have.

    Args:
        decoder: The text model.
        layer: One of them, which may be of a kind without attention; None asks for no layer.
    """
    if layer is not None and not hasattr(decoder.layers[layer], "self_attn"):
        return False
    return can_run_layers(decoder) or decoder.config.model_type in _READ_ONLY


def can_run_layers(decoder: Any) -> bool:
    """Whether its layers, run one after the other, and its last norm are all that it does."""
    return can_copy_layers(decoder) or decoder.config.model_type in _OF_THEIR_OWN


def can_copy_layers(decoder: Any) -> bool:
    """Whether a layer like that of a LLaMA, given its weights, computes what the layer does."""
    return decoder.config.model_type in _RUN_BY_LAYER


def can_batch(decoder: Any) -> bool:
    """Whether prompts of unlike lengths may be answered side by side.

    Layers that see a window count tokens back over padding, too.
    """
    from transformers.cache_utils import DynamicLayer

    return not has_dynamic_rope(decoder) and all(
        type(layer_cache) is DynamicLayer for layer_cache in _cache_by_layer(decoder.config)
    )


def has_dynamic_rope(decoder: Any) -> bool:
    """Whether the angle of every position depends on the longest sequence that is run with it."""
    kinds = getattr(getattr(decoder, "rotary_emb", None), "rope_type", "default")
    # decoders with layers of several kinds have one for each
    return not _OF_ITS_LENGTH.isdisjoint(kinds.values() if isinstance(kinds, dict) else {kinds})


def attention_window(decoder: Any, layer: int | None = None) -> int | None:
    """Tokens that a layer sees, itself included; None if all.

    Args:
        decoder: The text model.
        layer: Number of the layer; None takes the one that sees least.
    """
    windows = attention_windows(decoder.config)
    some = windows if layer is None else windows[layer : layer + 1]
    return min((window for window in some if window is not None), default=None)


def attention_windows(config: Any) -> list[int | None]:
    """Tokens that each layer sees, itself included; None where it sees all.

    Args:
        config: Of a text model.
    """
    return [
        int(each.sliding_window) if getattr(each, "is_sliding", False) else None
        for each in _cache_by_layer(config)
    ]


def layers_that_see_all(decoder: Any) -> list[int]:
    """Layers that can be read and whose last token sees all of a prompt; all where none does."""
    layers = range(decoder.config.num_hidden_layers)
    readable = [i for i in layers if can_read_rows(decoder, i)]
    # made once for all layers: a question comes here several times
    slides = [getattr(each, "is_sliding", False) for each in _cache_by_layer(decoder.config)]
    return [i for i in readable if not slides[i]] or list(layers)


def _cache_by_layer(config: Any) -> list[Any]:
    from transformers import DynamicCache

    layers: list[Any] = DynamicCache(config=config).layers
    return layers
