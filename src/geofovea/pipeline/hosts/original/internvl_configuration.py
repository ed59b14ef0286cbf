"""Translates the configuration of an original InternVL (``internvl_chat``) into stock terms.

As in the conversions of its authors, the system text of the original conversation is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from geofovea.errors import ModelError
from geofovea.pipeline.hosts.original.configuration import weight_dtype

__all__ = [
    "CHATS",
    "IMAGE_MARKS",
    "IMAGE_WORD",
    "Chat",
    "check_internvl",
    "is_internvl",
    "stock_internvl",
]

IMAGE_WORD = "<IMG_CONTEXT>"
"""Stands for a token of an image."""
IMAGE_MARKS = ("<img>", "</img>")
_DECODERS = {
    "internlm2": "llama",
    "llama": "llama",
    "phi3": "phi3",
    "qwen2": "qwen2",
    "qwen3": "qwen3",
    "qwen3_moe": "qwen3_moe",
}
_VISION = {
    "attention_bias": "qkv_bias",
    "use_qk_norm": "qk_normalization",
    "attention_dropout": "attention_dropout",
    "hidden_act": "hidden_act",
    "hidden_size": "hidden_size",
    "intermediate_size": "intermediate_size",
    "layer_norm_eps": "layer_norm_eps",
    "norm_type": "norm_type",
    "num_attention_heads": "num_attention_heads",
    "num_hidden_layers": "num_hidden_layers",
    "patch_size": "patch_size",
}
_OF_TRAINING = ("auto_map", "architectures", "_name_or_path", "attn_implementation", "bias")


@dataclass(frozen=True, slots=True)
class Chat:
    """A conversation in a template of the original repository.

    Attributes:
        opens: What stands before the words of a role, which it holds as ``{role}``.
        ends: What ends a turn.
    """

    opens: str
    ends: str

    @property
    def end_word(self) -> str:
        """The special word that ends a turn."""
        return self.ends.strip()

    def template(self) -> str:
        """Jinja for messages of texts and images."""
        opens, ends = (text.replace("\n", "\\n") for text in (self.opens, self.ends))
        role, answer = opens.format(role="' + m['role'] + '"), opens.format(role="assistant")
        return (
            f"{{% for m in messages %}}{{{{ '{role}' }}}}"
            "{% if m['content'] is string %}{{ m['content'] }}{% else %}"
            "{% for c in m['content'] %}"
            f"{{% if c['type'] == 'image' %}}{{{{ '{IMAGE_WORD}\\n' }}}}"
            "{% elif c['type'] == 'text' %}{{ c['text'] }}{% endif %}{% endfor %}{% endif %}"
            f"{{{{ '{ends}' }}}}{{% endfor %}}"
            f"{{% if add_generation_prompt %}}{{{{ '{answer}' }}}}{{% endif %}}"
        )


_CHAT_ML = "<|im_start|>{role}\n"
CHATS = {
    "internvl2_5": Chat(_CHAT_ML, "<|im_end|>\n"),
    "internlm2-chat": Chat(_CHAT_ML, "<|im_end|>"),
    "Hermes-2": Chat(_CHAT_ML, "<|im_end|>"),
    "phi3-chat": Chat("<|{role}|>\n", "<|end|>"),
}
"""By the ``template`` of the original ``config.json``."""


def is_internvl(config: Mapping[str, Any]) -> bool:
    """Whether a ``config.json`` is that of an InternVL in the layout of its own repository."""
    return config.get("model_type") == "internvl_chat"


def check_internvl(name: str, config: Mapping[str, Any]) -> None:
    """Refuse a build that the stock class cannot express, before any weight is read.

    Args:
        name: Of the model.
        config: Its ``config.json``.

    Raises:
        ModelError: If it is built in a way that is not supported.
    """
    decoder, vision = config.get("llm_config"), config.get("vision_config")
    if not isinstance(decoder, Mapping) or not isinstance(vision, Mapping):
        raise ModelError(
            f"the config.json of {name} lacks the llm_config or the vision_config of an InternVL; "
            "copy or download it again"
        )
    known: tuple[tuple[str, object, tuple[object, ...]], ...] = (
        ("llm_config.model_type", decoder.get("model_type"), tuple(_DECODERS)),
        ("ps_version", config.get("ps_version", "v2"), ("v2",)),
        ("template", config.get("template"), tuple(CHATS)),
        ("select_layer", isinstance(config.get("select_layer", -1), int), (True,)),
    )
    for key, value, allowed in known:
        if value not in allowed:
            raise ModelError(
                f"{name} has {key} = {value!r}, and a stock InternVL only knows "
                f"{', '.join(map(repr, allowed))}; look for a conversion of its authors (-HF)"
            )


def stock_internvl(config: Mapping[str, Any], image_id: int) -> dict[str, Any]:
    """A ``config.json`` of ``InternVLForConditionalGeneration``.

    Args:
        config: The original one.
        image_id: Id of the word that stands for a token of an image.
    """
    decoder, vision = config["llm_config"], config["vision_config"]
    text = {key: value for key, value in decoder.items() if key not in _OF_TRAINING}
    text["model_type"] = _DECODERS[decoder["model_type"]]
    if decoder["model_type"] == "internlm2":
        text["attention_bias"] = bool(decoder.get("bias", False))
    side = config.get("force_image_size") or vision.get("image_size", 448)
    tied = bool(decoder.get("tie_word_embeddings", config.get("tie_word_embeddings", False)))
    patch = vision.get("patch_size", 14)
    ratio = config.get("downsample_ratio", 0.5)
    return {
        "architectures": ["InternVLForConditionalGeneration"],
        "model_type": "internvl",
        "image_token_id": image_id,
        "image_seq_length": int((side // patch * ratio) ** 2),
        "downsample_ratio": ratio,
        "vision_feature_layer": config.get("select_layer", -1),
        "vision_feature_select_strategy": "default",
        "tie_word_embeddings": tied,
        "torch_dtype": weight_dtype(config, "bfloat16"),
        "text_config": text,
        "vision_config": {
            "model_type": "internvl_vision",
            "image_size": [side, side],
            "use_absolute_position_embeddings": True,
            **{stock: vision[name] for stock, name in _VISION.items() if name in vision},
        },
    }
