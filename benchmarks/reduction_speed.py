"""What each token reduction costs, beside the decoder prefill that it saves, in one run.

Tokens are random, of the width of a 7B host, in tiles of 144 with all that an encoder may show of
them; every method keeps the same share. Prefill is not run whole: one decoder layer of the shape of
Qwen2-7B runs over a few hundred tokens, which gives the rate of this machine in floating-point
operations a second; the operations of 28 such layers over n tokens, attention included, divided by
that rate, are the prefill of n tokens. Both sides are processor time of one process, so what else
the machine does matters little. Each method runs in a child of its own; memory is what it adds to
the resident memory at most.

Reductions inside the decoder are measured at the first layer where they act: the attention rows
that they recompute, and the choice. Those inside the encoder act on one tile at a time, whatever n
is, and save encoder work instead; they are not here.

    python benchmarks/reduction_speed.py --sizes 1008,5040,21024
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import Qwen2Config, Qwen2Model
from transformers.models.qwen2.modeling_qwen2 import Qwen2DecoderLayer

from geofovea.errors import GeoFoveaError
from geofovea.pipeline.decoder_pruning import DecoderRun, _Sequence, _View
from geofovea.pipeline.memory import peak_rss_since, reset_peak_rss
from geofovea.pipeline.tables import markdown_table
from geofovea.regionfocus.reductions.context import TokenContext
from geofovea.regionfocus.reductions.decoder_registry import make_decoder_reduction
from geofovea.regionfocus.reductions.registry import make_reduction
from geofovea.regionfocus.reductions.tile_maps import TileMaps
from geofovea.regionfocus.strategies import DECODER_REDUCTION_NAMES, REDUCTION_NAMES

WIDTH, LAYERS, TEXT = 3584, 28, 40
TILE, SIDE = 144, 12
WARM_BELOW = 2.0  # seconds; slower methods run once
SHAPE = {
    "hidden_size": WIDTH,
    "intermediate_size": 18944,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "num_hidden_layers": LAYERS,
    "vocab_size": 32,
}


@dataclass(frozen=True, slots=True)
class Measured:
    """What one method cost over n tokens; seconds of processor time, MB that it added."""

    method: str
    n: int
    seconds: float | None
    peak_mb: float | None
    note: str = ""


def layer_operations(n: float) -> float:
    """Floating-point operations of one layer over n tokens: matrices, and causal attention."""
    keys = WIDTH * SHAPE["num_key_value_heads"] // SHAPE["num_attention_heads"]
    matrices = WIDTH * (2 * WIDTH + 2 * keys) + 3 * WIDTH * SHAPE["intermediate_size"]
    return 2 * n * matrices + 2 * n * n * WIDTH


def machine_rate(tokens: int) -> float:
    """Operations a second of processor time in one layer over some tokens, in float32."""
    torch.manual_seed(0)
    config = Qwen2Config(**SHAPE, attn_implementation="sdpa")
    layer = Qwen2DecoderLayer(config, layer_idx=0).eval()
    hidden = torch.randn(1, tokens, WIDTH)
    angles = torch.rand(1, tokens, WIDTH // SHAPE["num_attention_heads"])
    rotary = (angles.cos(), angles.sin())
    with torch.inference_mode():
        layer(hidden[:, :16], position_embeddings=(rotary[0][:, :16], rotary[1][:, :16]))
        started = time.process_time()
        layer(hidden, position_embeddings=rotary)
    return layer_operations(tokens) / (time.process_time() - started)


def context_of(n: int) -> TokenContext:
    """N random tokens, those of a tile alike, with everything that a reduction may ask for."""
    made = torch.Generator().manual_seed(n)
    tiles = n // TILE

    def rand(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=made)

    each = torch.arange(n)
    tile, place = each // TILE, each % TILE
    column, row = tile * SIDE + place % SIDE, place // SIDE
    corners = torch.stack([column, row], dim=1).double() * 28
    features = torch.randn(tiles, 1, WIDTH, generator=made).expand(-1, TILE, -1).flatten(0, 1)
    features = features + torch.randn(n, WIDTH, generator=made)
    maps = [(4 * rand(16, TILE, TILE)).softmax(-1) for _ in range(tiles)]
    return TokenContext(
        features,
        scores=rand(n),
        levels=torch.zeros(n, dtype=torch.int64),
        tile_index=tile,
        boxes_scene=torch.cat([corners, corners + 28], dim=1),
        cls_attention={layer: rand(16, n) for layer in range(23)},
        received={layer: rand(n) for layer in range(23)},
        attention={22: TileMaps.of(maps)},
        keys=torch.randn(n, 64, generator=made),
        text_embeds=torch.randn(TEXT, WIDTH, generator=made),
        text_similarity=rand(n),
    )


def decoder_step(name: str, n: int, features: torch.Tensor) -> Callable[[], object]:
    """A function that runs a decoder reduction once, where it first acts."""
    thin = {**SHAPE, "intermediate_size": 64, "num_hidden_layers": 12}
    decoder = Qwen2Model(Qwen2Config(**thin, attn_implementation="sdpa")).eval()
    reduction = make_decoder_reduction(name)
    text = torch.randn(1, TEXT, WIDTH)
    embedded = torch.cat([features[None], text], dim=1)
    run: Any = DecoderRun(decoder, reduction=reduction, first=0, count=n)
    sequence: Any = _Sequence(run, embedded)
    first = reduction.layers(12)[0]

    @torch.inference_mode()
    def step() -> object:
        for layer in range(first):
            view = _View(sequence, layer, 12)
            if layer in reduction.watched(12):
                reduction.watch(view, "attention", sequence.hidden[0], sequence.hidden[0])
                reduction.watch(view, "feed_forward", sequence.hidden[0], sequence.hidden[0])
            sequence.remember(layer, reduction.reach)
        return reduction.reduce(_View(sequence, first, 12))

    return step


def measure(method: str, n: int, work: Callable[[], object]) -> Measured:
    """Run once in a child process, for what one method leaves in the heap hides what others take.

    A method that refuses so many tokens says so.
    """
    reading, writing = os.pipe()
    if not (child := os.fork()):
        os.close(reading)
        status = 1
        try:
            answer = json.dumps(_measured_here(work))
            with os.fdopen(writing, "w") as pipe:
                pipe.write(answer)
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        answer = pipe.read()
    _, status = os.waitpid(child, 0)
    if status:
        return Measured(method, n, None, None, f"failed: status {status}")
    return Measured(method, n, **json.loads(answer))


def _measured_here(work: Callable[[], object]) -> dict[str, object]:
    before = reset_peak_rss()
    try:
        seconds = _timed(work)
    except GeoFoveaError as error:
        return {"seconds": None, "peak_mb": None, "note": f"refused: {str(error).split(';')[0]}"}
    peak_mb = peak_rss_since(before)
    # the first run of a young process copies pages and warms caches
    seconds = min(seconds, _timed(work)) if seconds < WARM_BELOW else seconds
    return {"seconds": seconds, "peak_mb": peak_mb, "note": ""}


def _timed(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def main() -> None:
    """Measure, print a table, and write it as JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="1008,5040,21024", help="tokens; multiples of 144")
    parser.add_argument("--share", type=float, default=0.1, help="of the tokens that are kept")
    parser.add_argument("--methods", default="", help="names; all if empty")
    parser.add_argument("--longest", type=float, default=600, help="skip what will exceed this, s")
    parser.add_argument("--rate-tokens", type=int, default=512, help="tokens of the timed layer")
    parser.add_argument("--json", type=Path, help="write the figures there")
    options = parser.parse_args()
    sizes = [int(size) // TILE * TILE for size in options.sizes.split(",")]
    names = options.methods.split(",") if options.methods else None
    chosen = [m for m in (*REDUCTION_NAMES, *DECODER_REDUCTION_NAMES) if not names or m in names]
    torch.set_num_threads(1)
    rate = machine_rate(options.rate_tokens)
    print(json.dumps({"operations_per_second": rate}), flush=True)
    found: dict[tuple[str, int], Measured] = {}
    for n in sizes:
        context = context_of(n)
        for method in chosen:
            earlier = found.get((method, sizes[sizes.index(n) - 1])) if n != sizes[0] else None
            if earlier and earlier.seconds:
                # the worst that any method here grows by is the square
                expected = earlier.seconds * (n / earlier.n) ** 2
                if expected > options.longest:
                    found[method, n] = Measured(method, n, None, None, "skipped: too long")
                    continue
            work: Callable[[], object]
            if method in REDUCTION_NAMES:
                work = partial(make_reduction(method).reduce, context, int(options.share * n))
            else:
                work = decoder_step(method, n, context.features)
            found[method, n] = measure(method, n, work)
            print(json.dumps(_row(found[method, n])), flush=True)
    saved = {n: _saved(n, options.share, rate) for n in sizes}
    print(f"\n{rate / 1e9:.1f} GFLOP/s of one thread; prefill saved: ")
    print("; ".join(f"{n} tokens: {saved[n]:.0f} s" for n in sizes), "\n")
    header = ["method", *(f"{n}: ms, MB, of saved" for n in sizes)]
    rows = [[m, *(_cell(found[m, n], saved[n]) for n in sizes)] for m in chosen]
    print(markdown_table(header, rows))
    if options.json:
        record = {"rate": rate, "saved": saved, "rows": [_row(r) for r in found.values()]}
        options.json.write_text(json.dumps(record, indent=1))


def _saved(n: int, share: float, rate: float) -> float:
    left = int(share * n)
    return LAYERS * (layer_operations(n + TEXT) - layer_operations(left + TEXT)) / rate


def _row(measured: Measured) -> dict[str, object]:
    return {name: getattr(measured, name) for name in Measured.__slots__}


def _cell(measured: Measured, saved: float) -> str:
    if measured.seconds is None or measured.peak_mb is None:
        return measured.note.split(":")[0]
    share = measured.seconds / saved
    return f"{1000 * measured.seconds:.0f}, {measured.peak_mb:.0f}, {share:.2%}"


if __name__ == "__main__":
    main()
