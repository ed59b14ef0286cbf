"""The shape of a host: what must be known of it to count its operations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from geofovea.errors import ModelError
from geofovea.pipeline.inference.attention.support import attention_windows
from geofovea.pipeline.inference.decoder.layer_work import LayerWork
from geofovea.pipeline.inference.prompts.sight import Sight

__all__ = ["DecoderShape", "EncoderShape", "HostShape", "LinearShape", "host_shape"]

# decoders with three matrices in every layer's MLP, or in each of its experts
_GATED = frozenset(
    {
        "gemma",
        "gemma2",
        "gemma3_text",
        "glm4v_text",
        "granite",
        "llama",
        "ministral",
        "mistral",
        "phi3",
        "qwen2",
        "qwen2_5_vl_text",
        "qwen2_vl_text",
        "qwen3",
        "qwen3_5_text",
        "qwen3_vl_text",
    }
)
_EXPERTS = frozenset(
    {
        "glm4_moe",
        "glm4v_moe_text",
        "gpt_oss",
        "mixtral",
        "qwen2_moe",
        "qwen3_5_moe_text",
        "qwen3_moe",
        "qwen3_vl_moe_text",
    }
)


# decoders whose queries come with a gate of their width
_GATED_QUERIES = frozenset({"qwen3_5_moe_text", "qwen3_5_text"})


@dataclass(frozen=True, slots=True)
class LinearShape:
    """What a layer computes that keeps a state in place of keys and values: a gated delta rule.

    Attributes:
        key_heads: Heads of queries and of keys.
        value_heads: Of values; each has a state.
        key_width: Of one head of keys.
        value_width: Of one head of values.
        kernel: Tokens that the convolution before the rule joins.

    Raises:
        ModelError: If a number is not positive.
    """

    key_heads: int
    value_heads: int
    key_width: int
    value_width: int
    kernel: int

    def __post_init__(self) -> None:
        _check_positive(self)

    def macs_a_token(self, width: int) -> int:
        """Multiply-accumulates for one token, token by token.

        Kernels that take many tokens at once compute more, to the same end.
        """
        values = self.value_heads * self.value_width
        joined = 2 * self.key_heads * self.key_width + values
        # the gate is as wide as the values, and each of their heads has a decay and a step
        matrices = width * (joined + values + 2 * self.value_heads) + values * width
        # a state is read by the key, written, and read by the query
        state = 3 * values * self.key_width
        return matrices + joined * self.kernel + state


@dataclass(frozen=True, slots=True)
class DecoderShape:
    """A decoder of gated layers.

    Attributes:
        layers: Their number.
        width: ``d``.
        heads: Query heads.
        kv_heads: Key and value heads.
        head_width: Of one head.
        intermediate: ``m``, between the two halves of the MLP.
        vocabulary: Rows of the output matrix.
        mlp_units: ``m`` by layer, where layers differ or have experts: of those experts that a
            token runs through, with those that all of them share; empty for ``m`` everywhere.
        routed: Experts by layer that a token is compared with before; empty where there are none.
        windows: Tokens by layer that one sees, itself included, 0 for all; empty where no layer has
            a window.
        linear: What layers without attention compute in its place; None where all layers attend.
        linear_layers: Their numbers.
        has_query_gate: Whether queries come with a gate of their width.
        sight: Which tokens of a prompt see tokens behind them.

    Raises:
        ModelError: If a number is not positive.
    """

    layers: int
    width: int
    heads: int
    kv_heads: int
    head_width: int
    intermediate: int
    vocabulary: int
    mlp_units: tuple[int, ...] = ()
    routed: tuple[int, ...] = ()
    windows: tuple[int, ...] = ()
    linear: LinearShape | None = None
    linear_layers: tuple[int, ...] = ()
    has_query_gate: bool = False
    sight: Sight = Sight.CAUSAL

    def __post_init__(self) -> None:
        _check_positive(self, but=("routed", "windows", "linear_layers"))

    def units(self, layer: int) -> int:
        """``m`` of a layer: units of its MLP that a token runs through."""
        return self.mlp_units[layer] if self.mlp_units else self.intermediate

    def macs_a_token(self, layer: int) -> int:
        """Multiply-accumulates of a layer for one token, but for its pairs with others."""
        router = self.width * self.routed[layer] if self.routed else 0
        mixer = self._mixer_macs(layer)
        return mixer + 3 * self.width * self.units(layer) + router

    def _mixer_macs(self, layer: int) -> int:
        if self.linear is not None and layer in self.linear_layers:
            return self.linear.macs_a_token(self.width)
        gate = self.heads if self.has_query_gate else 0
        return self.width * self.head_width * (2 * (self.heads + self.kv_heads) + gate)

    def prefill(self, tokens: int, layers: int | None = None, tile_pairs: int = 0) -> float:
        """Operations of a prompt of ``tokens`` through the first layers (all by default).

        Args:
            tokens: Of the prompt.
            layers: How many layers.
            tile_pairs: Pairs of its vision tokens of one tile.
        """
        count = self.layers if layers is None else layers
        return sum(self.prompt_layer(layer, tokens, tile_pairs) for layer in range(count))

    def prompt_layer(self, layer: int, tokens: int, tile_pairs: int = 0) -> float:
        """Operations of one layer on a prompt; see `prefill`."""
        behind = self._pairs_behind(layer, tokens, tile_pairs)
        return self.layer_behind(layer, 0, tokens) + self._attention(layer, behind)

    def prefill_behind(self, stored: int, tokens: int, layers: int | None = None) -> float:
        """Operations of ``tokens`` behind others whose keys and values are stored, causally."""
        count = self.layers if layers is None else layers
        return sum(self.layer_behind(layer, stored, tokens) for layer in range(count))

    def layer_behind(self, layer: int, stored: int, tokens: int) -> float:
        """Operations of one layer on ``tokens`` behind others whose keys and values are stored."""
        matrices = 2.0 * tokens * self.macs_a_token(layer)
        return matrices + self._attention(layer, self.pairs(layer, stored, tokens))

    def pairs(self, layer: int, stored: int, tokens: int) -> float:
        """Pairs of a query of ``tokens`` and a key not behind it that a window does not hide."""
        window = (self.windows[layer] if self.windows else 0) or stored + tokens
        # the first queries see all that is before them: of n × n pairs n (n + 1) / 2
        free = min(max(window - stored, 0), tokens)
        return free * stored + free * (free + 1) / 2 + (tokens - free) * window

    def _pairs_behind(self, layer: int, tokens: int, tile_pairs: int) -> float:
        """Pairs of a prompt beyond those of causal attention."""
        if self.sight is Sight.PROMPT:
            return tokens**2 - self.pairs(layer, 0, tokens)
        # a window counts back, and hides nothing of a tile that is behind a token
        return tile_pairs if self.sight is Sight.TILE else 0

    def _attention(self, layer: int, pairs: float) -> float:
        """Operations of some pairs of a query and a key, each for a score and for a value."""
        if layer in self.linear_layers:
            return 0.0
        return 4.0 * pairs * self.heads * self.head_width

    def prefill_layer(self, layer: int, work: LayerWork, text: int) -> float:
        """Operations of one layer on a prompt whose vision tokens skip some of it.

        What decides about skipping, such as a row of attention that is read, is not counted.

        Args:
            layer: Its number.
            work: What the layer did.
            text: Tokens of the prompt besides those of vision, which skip nothing.
        """
        units = self.units(layer) if work.units is None else work.units
        keys = work.present * self.kv_heads
        queries = work.attended * self.heads
        own = (
            2 * self.width * self.head_width * (keys + queries) + 3 * work.fed * self.width * units
        )
        attention = 2 * work.pairs * self.heads * self.head_width
        return 2.0 * (text * self.macs_a_token(layer) + own + attention)

    def decode(self, context: int, answer: int) -> float:
        """Operations of ``answer`` further tokens after ``context``, their logits included."""
        return self.prefill_behind(context, answer) + self.logits(answer)

    def logits(self, rows: int) -> float:
        """Operations of the output matrix for some tokens."""
        return 2.0 * rows * self.width * self.vocabulary

    def keys(self, tokens: int) -> float:
        """Operations of one row of attention: the keys of all tokens, and one query."""
        key_width = self.kv_heads * self.head_width
        query_width = self.heads * self.head_width
        gated_width = query_width * (2 if self.has_query_gate else 1)
        one_row = self.width * gated_width + tokens * query_width
        return 2.0 * (tokens * self.width * key_width + one_row)


@dataclass(frozen=True, slots=True)
class EncoderShape:
    """A vision transformer and the projector behind it.

    Attributes:
        layers: Layers that are run.
        width: Of its tokens.
        intermediate: Of its MLPs.
        patches: Patches of one tile.
        patch_pixels: Numbers of one patch, channels included.
        extra_tokens: Tokens besides patches: 1 for a class token.
        matrices: Of each MLP: 2, or 3 with a gate.
        pairs: Tokens that attend to each other, ordered, in all layers; None where all do.
        projector: Multiply-accumulates of what is behind the layers, for one tile; None is that of
            two matrices, to the decoder's width and on.

    Raises:
        ModelError: If a number is not positive.
    """

    layers: int
    width: int
    intermediate: int
    patches: int
    patch_pixels: int
    extra_tokens: int = 0
    matrices: int = 2
    pairs: int | None = None
    projector: int | None = None

    def __post_init__(self) -> None:
        _check_positive(self, but=("extra_tokens",))

    @classmethod
    def with_linear_projector(
        cls, vision: Any, projected_width: int, tokens: int | None = None
    ) -> EncoderShape:
        """A tower for square tiles, and one matrix behind it.

        Args:
            vision: Configuration of the tower.
            projected_width: Width of the decoder.
            tokens: Of a tile, where patches are averaged before the matrix; None for one a patch,
                or for as many patches as are joined into a wider vector.
        """
        patches = (vision.image_size // vision.patch_size) ** 2
        return cls(
            layers=vision.num_hidden_layers,
            width=vision.hidden_size,
            intermediate=vision.intermediate_size,
            patches=patches,
            patch_pixels=3 * vision.patch_size**2,
            projector=(tokens or patches) * vision.hidden_size * projected_width,
        )

    def tiles(self, count: int, projected_width: int) -> float:
        """Operations of some tiles, one after the other, projected to the decoder's width."""
        n, d = self.patches + self.extra_tokens, self.width
        layer = n * (4 * d * d + self.matrices * d * self.intermediate)
        attention = 2 * d * (self.layers * n * n if self.pairs is None else self.pairs)
        embedding = self.patches * d * self.patch_pixels
        projector = self.projector
        if projector is None:
            projector = self.patches * projected_width * (d + projected_width)
        return 2.0 * count * (self.layers * layer + attention + embedding + projector)


@dataclass(frozen=True, slots=True)
class HostShape:
    """What must be known of a host to count its operations.

    Attributes:
        encoder: Its vision side.
        decoder: Its language side.
        focus_layer: Decoder layers that run before the one whose attention is the focus.
    """

    encoder: EncoderShape
    decoder: DecoderShape
    focus_layer: int


def _check_positive(
    shape: DecoderShape | EncoderShape | LinearShape, but: Sequence[str] = ()
) -> None:
    for field in fields(shape):
        name, value = field.name, getattr(shape, field.name)
        numbers = value if isinstance(value, tuple) else (value,)
        least = 0 if name in but else 1
        # a truth value and the shape of a part are no counts
        if any(type(number) is int and number < least for number in numbers):
            raise ModelError(f"a model cannot have {name}={value}")


def host_shape(
    encoder: EncoderShape, text: Any, focus_layer: int, sight: Sight = Sight.CAUSAL
) -> HostShape | None:
    """The shape of a host; None for a decoder whose layers are of another kind.

    Args:
        encoder: Its vision side.
        text: The configuration of its decoder.
        focus_layer: See ``HostShape``.
        sight: Which tokens of a prompt see tokens behind them.
    """
    if text.model_type not in _GATED | _EXPERTS:
        return None
    return HostShape(encoder, _decoder(text, sight), focus_layer)


def _decoder(text: Any, sight: Sight) -> DecoderShape:
    mlps = _experts(text) if text.model_type in _EXPERTS else ()
    windows = tuple(window or 0 for window in attention_windows(text))
    kinds = getattr(text, "layer_types", None) or ()
    linear = tuple(i for i, kind in enumerate(kinds) if kind == "linear_attention")
    return DecoderShape(
        layers=text.num_hidden_layers,
        width=text.hidden_size,
        heads=text.num_attention_heads,
        kv_heads=getattr(text, "num_key_value_heads", None) or text.num_attention_heads,
        head_width=getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads,
        # some with experts alone have no other width
        intermediate=getattr(text, "intermediate_size", None) or text.moe_intermediate_size,
        vocabulary=text.vocab_size,
        mlp_units=tuple(units for units, _ in mlps),
        routed=tuple(experts for _, experts in mlps),
        windows=windows if any(windows) else (),
        linear=_linear(text) if linear else None,
        linear_layers=linear,
        has_query_gate=text.model_type in _GATED_QUERIES,
        sight=sight,
    )


def _linear(text: Any) -> LinearShape:
    return LinearShape(
        key_heads=text.linear_num_key_heads,
        value_heads=text.linear_num_value_heads,
        key_width=text.linear_key_head_dim,
        value_width=text.linear_value_head_dim,
        kernel=text.linear_conv_kernel_dim,
    )


def _experts(text: Any) -> tuple[tuple[int, int], ...]:
    """Of each layer: units that a token runs through, and experts that it is compared with."""
    # releases and families have two names for most of this, and leave out what they lack
    experts: int = getattr(text, "num_experts", None) or text.num_local_experts
    width: int = getattr(text, "moe_intermediate_size", None) or text.intermediate_size
    shared = (getattr(text, "n_shared_experts", None) or 0) * width
    gate = getattr(text, "shared_expert_intermediate_size", None) or 0
    units = text.num_experts_per_tok * width + shared + gate
    # the shared expert of some has a gate of its own
    sparse = (units, experts + (1 if gate else 0))
    dense_first: int = getattr(text, "first_k_dense_replace", None) or 0
    dense = {*range(dense_first), *(getattr(text, "mlp_only_layers", None) or ())}
    step: int = getattr(text, "decoder_sparse_step", None) or 1
    whole: int = getattr(text, "intermediate_size", None) or width
    return tuple(
        (whole, 0) if i in dense or (i + 1) % step else sparse
        for i in range(text.num_hidden_layers)
    )
