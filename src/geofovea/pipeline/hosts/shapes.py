"""The shape of a host: what must be known of it to count its operations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from geofovea.errors import ModelError
from geofovea.pipeline.inference.decoder.layer_work import LayerWork

__all__ = ["DecoderShape", "EncoderShape", "HostShape", "host_shape"]

# decoders with three matrices in every layer's MLP, or in each of its experts
_GATED = frozenset(
    {
        "gemma",
        "glm4v_text",
        "granite",
        "llama",
        "mistral",
        "phi3",
        "qwen2",
        "qwen2_5_vl_text",
        "qwen2_vl_text",
        "qwen3",
        "qwen3_vl_text",
    }
)
_EXPERTS = frozenset(
    {
        "glm4_moe",
        "glm4v_moe_text",
        "mixtral",
        "qwen2_moe",
        "qwen3_moe",
        "qwen3_vl_moe_text",
    }
)


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

    def __post_init__(self) -> None:
        _check_positive(self, but=("routed",))

    def units(self, layer: int) -> int:
        """``m`` of a layer: units of its MLP that a token runs through."""
        return self.mlp_units[layer] if self.mlp_units else self.intermediate

    def macs_a_token(self, layer: int) -> int:
        """Multiply-accumulates of the matrices of a layer for one token."""
        attention = 2 * self.width * self.head_width * (self.heads + self.kv_heads)
        router = self.width * self.routed[layer] if self.routed else 0
        return attention + 3 * self.width * self.units(layer) + router

    def prefill(self, tokens: int, layers: int | None = None) -> float:
        """Operations of ``tokens`` through the first layers (all by default), causally."""
        return self.prefill_behind(0, tokens, layers)

    def prefill_behind(self, stored: int, tokens: int, layers: int | None = None) -> float:
        """Operations of ``tokens`` behind others whose keys and values are stored."""
        count = self.layers if layers is None else layers
        return sum(self.layer_behind(layer, stored, tokens) for layer in range(count))

    def layer_behind(self, layer: int, stored: int, tokens: int) -> float:
        """Operations of one layer on ``tokens`` behind others whose keys and values are stored."""
        # of n × n pairs a causal mask leaves n (n + 1) / 2, each for scores and for values
        pairs = tokens * stored + tokens * (tokens + 1) / 2
        attention = 2 * pairs * self.heads * self.head_width
        return 2.0 * (tokens * self.macs_a_token(layer) + attention)

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
        one_row = self.width * query_width + tokens * query_width
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


def _check_positive(shape: DecoderShape | EncoderShape, but: Sequence[str] = ()) -> None:
    for name, value in asdict(shape).items():
        numbers = value if isinstance(value, tuple) else (value,)
        least = 0 if name in but else 1
        if any(number is not None and number < least for number in numbers):
            raise ModelError(f"a model cannot have {name}={value}")


def host_shape(encoder: EncoderShape, text: Any, focus_layer: int) -> HostShape | None:
    """The shape of a host; None for a decoder whose layers are of another kind.

    Args:
        encoder: Its vision side.
        text: The configuration of its decoder.
        focus_layer: See ``HostShape``.
    """
    if text.model_type not in _GATED | _EXPERTS:
        return None
    return HostShape(encoder, _decoder(text), focus_layer)


def _decoder(text: Any) -> DecoderShape:
    mlps = _experts(text) if text.model_type in _EXPERTS else ()
    return DecoderShape(
        layers=text.num_hidden_layers,
        width=text.hidden_size,
        heads=text.num_attention_heads,
        kv_heads=getattr(text, "num_key_value_heads", None) or text.num_attention_heads,
        head_width=getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads,
        intermediate=text.intermediate_size,
        vocabulary=text.vocab_size,
        mlp_units=tuple(units for units, _ in mlps),
        routed=tuple(experts for _, experts in mlps),
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
    return tuple(
        (text.intermediate_size, 0) if i in dense or (i + 1) % step else sparse
        for i in range(text.num_hidden_layers)
    )
