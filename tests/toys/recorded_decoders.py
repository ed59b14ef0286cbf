"""Small decoders of LLaMA's kind with recorded weights."""

from transformers import LlamaConfig, LlamaModel


def recorded_decoder(weights, *, heads, layers):
    """A decoder of width 16 and 24 units in a feed-forward.

    Args:
        weights: Tensors by name, such as ``layers.0.self_attn.q_proj.weight``; others are ignored.
        heads: Of each layer, for queries and keys.
        layers: Their number.
    """
    config = LlamaConfig(
        vocab_size=8,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        head_dim=16 // heads,
        rms_norm_eps=1e-6,
        rope_theta=10000.0,
        attn_implementation="sdpa",
    )
    model = LlamaModel(config).eval()
    own = model.state_dict()
    model.load_state_dict({name: weights.get(name, own[name]) for name in own})
    return model


def weights_of(inputs):
    """Recorded weights by the names that they have in a decoder, layers numbered ``l.`` or not."""
    named = {}
    for name, value in inputs.items():
        if not name.startswith("w_"):
            continue
        name = name[2:]
        if name[0].isdigit():
            name = f"layers.{name}"
        elif not name.startswith(("layers.", "norm.", "visual_gates")):
            name = f"layers.0.{name}"
        named[name] = value
    return named
