"""Operations of an answer, counted in two ways.

*As published* (LRS-VQA, arXiv 2503.07588): ``T(n, L) = L (4 n d² + 2 n² d + 3 n d m)`` over the
vision tokens alone. These are multiply-accumulates; grouped heads, causality, text, the vision
encoder and the answer are left out, so figures compare with that paper's and with nothing else.

*Full*: two operations a multiply-accumulate, encoder and projector included, keys and values of
grouped heads, a causal half of the attention, text, the answer token by token, and the vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol, runtime_checkable

from geofovea.errors import ModelError
from geofovea.pipeline.hosts.base import Host

__all__ = [
    "DecoderRun",
    "DecoderShape",
    "EncoderShape",
    "FlopCount",
    "FullFlops",
    "HasShape",
    "HostShape",
    "answer_flops",
    "count_flops",
    "published_tera",
]

_TERA = 1e12


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

    def __post_init__(self) -> None:
        _check_positive(self)

    @property
    def macs_a_token(self) -> int:
        """Multiply-accumulates of the matrices of one layer for one token."""
        attention = 2 * self.width * self.head_width * (self.heads + self.kv_heads)
        return attention + 3 * self.width * self.intermediate

    def prefill(self, tokens: int, layers: int | None = None) -> float:
        """Operations of ``tokens`` through some layers (all by default), causally."""
        count = self.layers if layers is None else layers
        # of n × n pairs a causal mask leaves n (n + 1) / 2, each for scores and for values
        pairs = tokens * (tokens + 1) / 2
        attention = 2 * pairs * self.heads * self.head_width
        return 2.0 * count * (tokens * self.macs_a_token + attention)

    def decode(self, context: int, answer: int) -> float:
        """Operations of ``answer`` further tokens after ``context``, their logits included."""
        return self.layers * self.decode_layer(context, answer) + self.logits(answer)

    def decode_layer(self, context: int, answer: int) -> float:
        """Operations of one layer on ``answer`` further tokens, of whose context it keeps some."""
        pairs = answer * context + answer * (answer + 1) / 2
        attention = 2 * pairs * self.heads * self.head_width
        return 2.0 * (answer * self.macs_a_token + attention)

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


@dataclass(frozen=True, slots=True)
class FullFlops:
    """Operations of one answer by stage, in 10¹².

    Attributes:
        encode: Tiles encoded for this question, projector included.
        focus: Scoring of levels.
        prefill: The prompt, up to the first answer token.
        decode: The further answer tokens.
    """

    encode: float
    focus: float
    prefill: float
    decode: float

    @property
    def total(self) -> float:
        """All of them."""
        return self.encode + self.focus + self.prefill + self.decode


@dataclass(frozen=True, slots=True)
class FlopCount:
    """Both counts of one answer.

    Attributes:
        published_tera: As published, in 10¹² multiply-accumulates.
        full: All of it, in 10¹² operations.
    """

    published_tera: float
    full: FullFlops

    def to_json(self) -> dict[str, Any]:
        """Both counts by name."""
        full = {**asdict(self.full), "total": self.full.total}
        return {
            "published_tera": round(self.published_tera, 6),
            "full_tera": {name: round(value, 6) for name, value in full.items()},
        }


@dataclass(frozen=True, slots=True)
class DecoderRun:
    """One time that the decoder answered.

    Attributes:
        vision_tokens: Of its prompt.
        text_tokens: The others of its prompt.
        answer_tokens: Of what it said.
        tokens_by_layer: Vision tokens that ran through each layer, where some were dropped on the
            way; else empty.
    """

    vision_tokens: int
    text_tokens: int
    answer_tokens: int
    tokens_by_layer: tuple[int, ...] = ()


@runtime_checkable
class HasShape(Protocol):
    """A host whose operations can be counted.

    Attributes:
        shape: What is known of it.
    """

    shape: HostShape | None


def published_tera(layers: int, tokens: int, width: int, intermediate: int) -> float:
    """``T(n, L)`` of the published convention, in 10¹².

    Args:
        layers: ``L``.
        tokens: ``n`` vision tokens.
        width: ``d``.
        intermediate: ``m``.
    """
    n, d, m = tokens, width, intermediate
    return layers * (4 * n * d * d + 2 * n * n * d + 3 * n * d * m) / _TERA


def count_flops(
    shape: HostShape, *, tiles_encoded: int, scored: Sequence[int], runs: Sequence[DecoderRun]
) -> FlopCount:
    """Count one answer in both ways.

    Args:
        shape: The host.
        tiles_encoded: Tiles that went through the encoder, not those remembered.
        scored: Vision tokens of each look that the host's own attention scored; counted whole, even
            where the host still knew what its first layers made of them.
        runs: Of the decoder; what choices cost beyond one token is not in them.
    """
    decoder, before = shape.decoder, shape.focus_layer
    text = max((run.text_tokens for run in runs), default=0)
    sizes = (decoder.width, decoder.intermediate)
    published = focus = prefill = decode = 0.0
    for tokens in scored:
        published += published_tera(before, tokens, *sizes)
        focus += decoder.prefill(tokens + text, before) + decoder.keys(tokens + text)
    for run in runs:
        # the last token of the prompt gives the first of the answer
        further = max(0, run.answer_tokens - 1)
        prefill += decoder.logits(1)
        decode += decoder.logits(further)
        for vision in run.tokens_by_layer or (run.vision_tokens,) * decoder.layers:
            published += published_tera(1, vision, *sizes)
            prefill += decoder.prefill(vision + run.text_tokens, 1)
            decode += decoder.decode_layer(vision + run.text_tokens, further)
    encode = shape.encoder.tiles(tiles_encoded, decoder.width)
    full = FullFlops(*(stage / _TERA for stage in (encode, focus, prefill, decode)))
    return FlopCount(published, full)


def answer_flops(
    host: Host, *, tiles_encoded: int, scored: Sequence[int], runs: Sequence[DecoderRun]
) -> FlopCount | None:
    """Both counts of what was done for a question; None where the host's shape is not known."""
    if not isinstance(host, HasShape) or host.shape is None:
        return None
    return count_flops(host.shape, tiles_encoded=tiles_encoded, scored=scored, runs=runs)


def _check_positive(shape: DecoderShape | EncoderShape, but: Sequence[str] = ()) -> None:
    for name, value in asdict(shape).items():
        if value is not None and value < (0 if name in but else 1):
            raise ModelError(f"a model cannot have {name}={value}")
