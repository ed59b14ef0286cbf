"""Operations of an answer, counted in two ways.

*As published* (LRS-VQA, arXiv 2503.07588): ``T(n, L) = L (4 n d² + 2 n² d + 3 n d m)`` over the
vision tokens alone. These are multiply-accumulates; grouped heads, causality, text, the vision
encoder and the answer are left out, so figures compare with that paper's and with nothing else.

*Full*: two operations a multiply-accumulate, encoder and projector included, keys and values of
grouped heads, pairs of tokens that see each other, text, the answer token by token, and the
vocabulary.

Of a decoder with experts both count those that a token runs through. Layers with a state in place
of keys have no ``n²`` in either.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from geofovea.pipeline.hosts.base import Host, SupportsFlopCount
from geofovea.pipeline.hosts.shapes import DecoderShape, HostShape
from geofovea.pipeline.hosts.usage import MemoryUse
from geofovea.pipeline.inference.decoder.layer_work import LayerWork
from geofovea.regionfocus.dated_tokens import DatedTokens
from geofovea.regionfocus.tokens import TokenSet

__all__ = [
    "DecoderPass",
    "FlopCount",
    "FullFlops",
    "ShownTokens",
    "answer_flops",
    "count_flops",
    "published_tera",
]

_TERA = 1e12


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
class ShownTokens:
    """Vision tokens of one prompt, as numbers that operations follow from.

    Attributes:
        count: All of them.
        tile_pairs: Pairs of two of one tile, which see each other both ways in some decoders.
    """

    count: int
    tile_pairs: int = 0

    @classmethod
    def of(cls, tokens: TokenSet | DatedTokens | None) -> ShownTokens:
        """Those of a prompt; None shows no picture."""
        if tokens is None:
            return cls(0)
        sets = tokens.sets if isinstance(tokens, DatedTokens) else (tokens,)
        by_tile = [each.tile_index.bincount() for each in sets]
        pairs = sum(int((counts * (counts - 1)).sum()) // 2 for counts in by_tile)
        return cls(len(tokens), pairs)


@dataclass(frozen=True, slots=True)
class DecoderPass:
    """One time that the decoder answered.

    Attributes:
        vision_tokens: Of its prompt.
        text_tokens: The others of its prompt.
        answer_tokens: Of what it said.
        tokens_by_layer: Vision tokens that ran through each layer, where some were dropped on the
            way; else empty.
        thought_tokens: Of what it thought before.
        layer_work: What each layer did in the prefill, where work was skipped inside layers; else
            empty.
        is_from_memory: Whether the words of its prompt alone ran, behind stored tiles.
        tile_pairs: See `ShownTokens`.
    """

    vision_tokens: int
    text_tokens: int
    answer_tokens: int
    tokens_by_layer: tuple[int, ...] = ()
    thought_tokens: int = 0
    layer_work: tuple[LayerWork, ...] = ()
    is_from_memory: bool = False
    tile_pairs: int = 0


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
    shape: HostShape,
    *,
    tiles_encoded: int,
    scored: Sequence[ShownTokens],
    runs: Sequence[DecoderPass],
    memory: MemoryUse | None = None,
) -> FlopCount:
    """Count one answer in both ways.

    Args:
        shape: The host.
        tiles_encoded: Tiles that went through the encoder, not those remembered.
        scored: What was shown in each look that the host's own attention scored; counted whole,
            even where the host still knew what its first layers made of them.
        runs: Of the decoder; what choices cost beyond one token is not in them.
        memory: What looks took from a scene memory: words alone ran behind what was stored, and
            tiles that were stored now count as prefill.
    """
    decoder, before = shape.decoder, shape.focus_layer
    text = max((run.text_tokens for run in runs), default=0)
    published = focus = prefill = decode = 0.0
    if memory is not None:
        focus, prefill = _memory_work(shape, memory, text)
        mean = memory.tokens_stored // max(1, memory.tiles_stored)
        published = memory.tiles_stored * _published(decoder, mean, decoder.layers)
    for look in scored if memory is None else ():
        published += _published(decoder, look.count, before)
        length = look.count + text
        focus += decoder.prefill(length, before, look.tile_pairs) + decoder.keys(length)
    for run in runs:
        # the last token of the prompt gives the first of the answer
        further = max(0, run.thought_tokens + run.answer_tokens - 1)
        prefill += decoder.logits(1)
        decode += decoder.logits(further)
        by_layer = run.tokens_by_layer or (run.vision_tokens,) * decoder.layers
        for layer, vision in enumerate(by_layer):
            decode += decoder.layer_behind(layer, vision + run.text_tokens, further)
            if run.is_from_memory:
                prefill += decoder.layer_behind(layer, vision, run.text_tokens)
            elif not run.layer_work:
                published += _published_layer(decoder, layer, vision)
                prefill += decoder.prompt_layer(layer, vision + run.text_tokens, run.tile_pairs)
        for layer, work in enumerate(run.layer_work):
            published += _published_work(work, decoder.width, decoder.units(layer))
            prefill += decoder.prefill_layer(layer, work, run.text_tokens)
    encode = shape.encoder.tiles(tiles_encoded, decoder.width)
    full = FullFlops(*(stage / _TERA for stage in (encode, focus, prefill, decode)))
    return FlopCount(published, full)


def _published(decoder: DecoderShape, tokens: int, layers: int) -> float:
    """``T(n, L)`` of the first layers of a decoder, in 10¹²."""
    return sum(_published_layer(decoder, layer, tokens) for layer in range(layers))


def _published_layer(decoder: DecoderShape, layer: int, tokens: int) -> float:
    """``T(n, 1)`` of one layer of a decoder, in 10¹²."""
    tera = published_tera(1, tokens, decoder.width, decoder.units(layer))
    squares = 2 * tokens**2 * decoder.width if layer in decoder.linear_layers else 0
    return tera - squares / _TERA


def _memory_work(shape: HostShape, memory: MemoryUse, text: int) -> tuple[float, float]:
    """Operations of looks at stored tiles, and of tiles that were run alone to be stored."""
    decoder, before = shape.decoder, shape.focus_layer
    width = decoder.heads * decoder.head_width
    # the queries of words that ran, and each stored key that they met
    looks = 2.0 * width * (len(memory.looks_run) * decoder.width + memory.entries_read)
    looks += sum(decoder.prefill_behind(tokens, text, before) for tokens in memory.looks_run)
    mean = memory.tokens_stored // max(1, memory.tiles_stored)
    return looks, memory.tiles_stored * decoder.prefill(mean)


def _published_work(work: LayerWork, width: int, intermediate: int) -> float:
    """One layer of the published convention where vision skips some of it, in 10¹².

    Of ``4 n d²``, half makes keys and values; a token without a query does none of ``2 n² d``.
    """
    units = intermediate if work.units is None else work.units
    matrices = 2 * (work.present + work.attended) * width * width
    attention = 2 * work.attended * work.present * width
    return (matrices + attention + 3 * work.fed * width * units) / _TERA


def answer_flops(
    host: Host,
    *,
    tiles_encoded: int,
    scored: Sequence[ShownTokens],
    runs: Sequence[DecoderPass],
    memory: MemoryUse | None = None,
) -> FlopCount | None:
    """Both counts of what was done for a question; None where the host's shape is not known."""
    if not isinstance(host, SupportsFlopCount) or host.shape is None:
        return None
    return count_flops(
        host.shape, tiles_encoded=tiles_encoded, scored=scored, runs=runs, memory=memory
    )
