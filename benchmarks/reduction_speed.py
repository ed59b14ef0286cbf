"""What each token reduction costs, beside the work that it saves, in one run.

Tokens are random, of the width of a 7B host, in tiles of 144 with all that an encoder may show of
them; every method keeps the same share. All times are processor time of one thread, so what else
the machine does matters little, and both sides compute in one type.

Projected tokens: the whole choice, beside the prefill that it saves. One decoder layer of the shape
of Qwen2-7B is really run over all tokens and over those that are kept; the decoder has 28 of it.

Inside the decoder: the attention rows that are computed again, the choice, merging and gathering,
at every step of 28 layers, without running these; beside what the shorter layers save.

Inside the encoder: 23 layers of the shape of CLIP-L are really run over the 576 patches of a tile,
as they are, with the reduction, and over as many tokens as it leaves at each layer, taken without a
choice; what the second takes longer than the third is the cost.

Each method runs in a child process of its own, first over two tiles. Memory is what it then adds to
the resident memory at most. Rows go to a file as they are found; those that are in it are not
measured again.

    python benchmarks/reduction_speed.py --output runs/reduction_speed
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from cost_report import Cost, draw, report, saved_prefill
from geofovea.errors import GeoFoveaError
from geofovea.pipeline.inference.decoder.pruning_view import PrunedSequence, PruningView
from geofovea.pipeline.inference.vision.clip_pruning import run_layers
from geofovea.pipeline.system.memory import peak_rss_since, reset_peak_rss
from geofovea.regionfocus.reductions.base import TokenChoice
from geofovea.regionfocus.reductions.context import TokenContext
from geofovea.regionfocus.reductions.encoder.base import EncoderReduction, LayerView
from geofovea.regionfocus.reductions.registry import (
    DECODER_REDUCTION_NAMES,
    ENCODER_REDUCTION_NAMES,
    REDUCTION_NAMES,
    make_decoder_reduction,
    make_encoder_reduction,
    make_reduction,
)
from geofovea.regionfocus.reductions.tile_maps import TileMaps
from real_layers import (
    ENCODER_LAYERS,
    LAYERS,
    PATCHES,
    WIDTH,
    DecoderTimes,
    encoder_layers,
    processor_seconds,
    thin_decoder,
)

TEXT, TILE, SIDE = 40, 144, 12
STAGES = {
    "projected": REDUCTION_NAMES,
    "decoder": DECODER_REDUCTION_NAMES,
    "encoder": ENCODER_REDUCTION_NAMES,
}
WARM_BELOW = 2.0  # seconds; slower methods are timed once
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True, slots=True)
class Measured:
    """What one method cost over n tokens (inside the encoder: over the patches of one tile).

    Attributes:
        seconds: Processor time, or None where it did not run.
        peak_mb: What it added to the resident memory, MB of 10⁶ bytes.
        lengths: Vision tokens that the layers of its stage see with it.
        saved: Processor time that it saves, where that was measured with it.
        note: Why it did not run.
    """

    stage: str
    method: str
    n: int
    seconds: float | None = None
    peak_mb: float | None = None
    lengths: tuple[int, ...] = ()
    saved: float | None = None
    note: str = ""


def context_of(n: int, dtype: torch.dtype = torch.float32) -> TokenContext:
    """N random tokens, those of a tile alike, with everything that a reduction may ask for."""
    generator = torch.Generator().manual_seed(n)
    tiles = n // TILE

    def rand(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=generator)

    each = torch.arange(n)
    tile, place = each // TILE, each % TILE
    column, row = tile * SIDE + place % SIDE, place // SIDE
    corners = torch.stack([column, row], dim=1).double() * 28
    features = torch.randn(tiles, 1, WIDTH, generator=generator).expand(-1, TILE, -1).flatten(0, 1)
    features = features + torch.randn(n, WIDTH, generator=generator)
    maps = [(4 * rand(16, TILE, TILE)).softmax(-1) for _ in range(tiles)]
    return TokenContext(
        features.to(dtype),
        scores=rand(n),
        levels=torch.zeros(n, dtype=torch.int64),
        tile_index=tile,
        boxes_scene=torch.cat([corners, corners + 28], dim=1),
        cls_attention={layer: rand(16, n) for layer in range(23)},
        received={layer: rand(n) for layer in range(23)},
        attention={22: TileMaps.of(maps)},
        keys=torch.randn(n, 64, generator=generator),
        text_embeds=torch.randn(TEXT, WIDTH, generator=generator),
        text_similarity=rand(n),
    )


def projected_work(name: str, context: TokenContext, share: float) -> Callable[[], list[int]]:
    """A function that chooses once, and says how many tokens are left for each layer."""
    k = int(share * len(context.features))
    return lambda: [len(make_reduction(name).reduce(context, k).index)] * LAYERS


def decoder_work(
    name: str, features: torch.Tensor, share: float, decoder: Any
) -> Callable[[], list[int]]:
    """A function that reduces at every step of a decoder whose layers do not run."""
    if name == "todre_drop_all":
        # random weights do not say when to drop, so it does
        reduction: Any = replace(make_decoder_reduction(name), threshold=1.0)  # type: ignore[type-var]
    else:
        reduction = make_decoder_reduction(name, share)
    text = torch.randn(1, TEXT, WIDTH).to(features.dtype)
    embedded = torch.cat([features[None], text], dim=1)
    carried = {"importance": torch.rand(len(features))}

    @torch.inference_mode()
    def work() -> list[int]:
        sequence: Any = PrunedSequence(decoder, embedded, 0, len(features), carried, None)
        sequence.layers = sequence.layers * LAYERS
        acting, watched = reduction.layers(LAYERS), reduction.watched(LAYERS)
        lengths = []
        for layer in range(LAYERS):
            view = PruningView(sequence, layer, LAYERS)
            if layer in acting and len(sequence.visual):
                choice = reduction.reduce(view)
                sequence.shorten(choice, contiguous=reduction.positions == "contiguous")
                view = PruningView(sequence, layer, LAYERS)
            if layer in watched:
                for sublayer in ("attention", "feed_forward"):
                    reduction.watch(view, sublayer, sequence.hidden[0], sequence.hidden[0])
            sequence.remember(layer, reduction.reach)
            lengths.append(len(sequence.visual))
        return lengths

    return work


@dataclass(frozen=True, slots=True)
class Replay:
    """Takes the first tokens, as many as another reduction left at each layer, without a choice."""

    lengths: tuple[int, ...]
    like: EncoderReduction
    name: str = "replay"
    is_proportional: bool = False

    @property
    def place(self) -> Any:
        """After which half of a layer it acts."""
        return self.like.place

    def start(self, n: int, k: int, layers: int) -> Replay:  # noqa: ARG002 - knows all that
        """It is its own run."""
        return self

    def needs(self, layer: int) -> frozenset[str]:
        """Asks where tokens go, for what costs nothing."""
        goes = self.lengths[layer + 1] < self.lengths[layer]
        return frozenset({"keys"}) if goes else frozenset()

    def step(self, view: LayerView) -> TokenChoice:
        """The first tokens."""
        return TokenChoice(torch.arange(self.lengths[view.layer + 1]))


def encoder_cost(name: str, share: float, dtype: torch.dtype) -> Measured:
    """What one method costs and saves inside the encoder, over one tile."""
    layers, reduction = encoder_layers(dtype), make_encoder_reduction(name)
    hidden = torch.randn(PATCHES + 1, 1024).to(dtype)
    k = int(share * PATCHES)
    lengths = run_layers(layers, hidden, reduction, k).lengths
    replay = Replay(lengths, reduction)
    runs: list[tuple[float, ...]] = []
    for _ in range(3):
        whole = processor_seconds(partial(run_layers, layers, hidden))
        reduced = processor_seconds(partial(run_layers, layers, hidden, reduction, k))
        least = processor_seconds(partial(run_layers, layers, hidden, replay, k))
        runs.append((whole, reduced, least))
    whole, reduced, least = (min(times) for times in zip(*runs, strict=True))
    tokens_seen = (*lengths[: ENCODER_LAYERS - 1], lengths[-1])
    cost = max(0.0, reduced - least)
    return Measured("encoder", name, PATCHES, cost, None, tuple(tokens_seen), whole - least)


def in_child(work: Callable[[], Measured]) -> Measured | None:
    """Run in a child process, for what one method leaves in the heap hides what others take."""
    reading, writing = os.pipe()
    if not (child := os.fork()):
        os.close(reading)
        status = 1
        try:
            answer = json.dumps(asdict(work()))
            with os.fdopen(writing, "w") as pipe:
                pipe.write(answer)
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        answer = pipe.read()
    _, status = os.waitpid(child, 0)
    return None if status else _measured(json.loads(answer))


def measured_here(
    empty: Measured, work: Callable[[], list[int]], small: Callable[[], list[int]]
) -> Measured:
    """Time and memory of some work, after a small one that touches what parent and child share."""
    gc.disable()
    with suppress(OSError, AttributeError):
        # -3 is M_MMAP_THRESHOLD: tensors go back to the system as soon as they are freed
        ctypes.CDLL(None).mallopt(-3, 1 << 16)
    with suppress(GeoFoveaError):
        small()
    before = reset_peak_rss()
    lengths: list[int] = []
    try:
        seconds = processor_seconds(lambda: lengths.extend(work()))
    except GeoFoveaError as error:
        return replace(empty, note=f"refused: {str(error).split(';')[0]}")
    peak_mb = peak_rss_since(before)
    seconds = min(seconds, processor_seconds(work)) if seconds < WARM_BELOW else seconds
    return replace(empty, seconds=seconds, peak_mb=peak_mb, lengths=tuple(lengths))


def measure_all(options: argparse.Namespace, sizes: Sequence[int]) -> Iterator[Measured]:
    """Every method at every size that is not known yet."""
    dtype, earlier = DTYPES[options.dtype], options.known
    for name in ENCODER_REDUCTION_NAMES:
        if _is_due(options, "encoder", name, PATCHES):
            job = partial(encoder_cost, name, options.share, dtype)
            yield in_child(job) or Measured("encoder", name, PATCHES, note="failed")
    decoder = thin_decoder(dtype)
    tiny = context_of(2 * TILE, dtype)
    for n in sizes:
        todo = [
            (stage, name)
            for stage in ("projected", "decoder")
            for name in STAGES[stage]
            if _is_due(options, stage, name, n)
        ]
        context = context_of(n, dtype) if todo else tiny
        gc.freeze()
        for stage, name in todo:
            empty = Measured(stage, name, n)
            if (expected := _expected(earlier, empty)) > options.longest:
                yield replace(empty, note=f"not run: about {expected:.0f} s")
                continue
            if stage == "projected":
                pair = (projected_work(name, c, options.share) for c in (context, tiny))
            else:
                pair = (
                    decoder_work(name, c.features, options.share, decoder) for c in (context, tiny)
                )
            yield in_child(partial(measured_here, empty, *pair)) or replace(empty, note="failed")


def _is_due(options: argparse.Namespace, stage: str, name: str, n: int) -> bool:
    is_chosen = not options.methods or name in options.methods.split(",")
    return is_chosen and (stage, name, n) not in options.known


def _expected(measured: dict[Any, Measured], empty: Measured) -> float:
    """Seconds, if they go on growing as between the last two sizes, or else by the square."""
    earlier = sorted(
        (m.n, m.seconds)
        for m in measured.values()
        if (m.stage, m.method) == (empty.stage, empty.method) and m.seconds and m.n < empty.n
    )
    if not earlier:
        return 0.0
    n, seconds = earlier[-1]
    power = 2.0
    if len(earlier) > 1:
        power = math.log(seconds / earlier[-2][1]) / math.log(n / earlier[-2][0])
    return seconds * (empty.n / n) ** max(1.0, power)


def _measured(record: dict[str, Any]) -> Measured:
    return Measured(**(record | {"lengths": tuple(record["lengths"])}))


def main() -> None:
    """Measure what is not known, print the tables, draw the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True, help="folder of rows and picture")
    parser.add_argument("--sizes", default="1008,5040,21024", help="tokens; multiples of 144")
    parser.add_argument("--share", type=float, default=0.1, help="of the tokens that are kept")
    parser.add_argument("--methods", default="", help="names; all if empty")
    parser.add_argument("--dtype", choices=DTYPES, default="bfloat16", help="of model and tokens")
    parser.add_argument("--longest", type=float, default=60, help="skip what will exceed this, s")
    options = parser.parse_args()
    sizes = sorted(int(size) // TILE * TILE for size in options.sizes.split(","))
    torch.set_num_threads(1)
    options.output.mkdir(parents=True, exist_ok=True)
    rows = options.output / f"rows_{options.dtype}.jsonl"
    lines = rows.read_text().splitlines() if rows.exists() else []
    measured_rows = [_measured(json.loads(line)) for line in lines]
    options.known = {(m.stage, m.method, m.n): m for m in measured_rows}
    for measured in measure_all(options, sizes):
        options.known[measured.stage, measured.method, measured.n] = measured
        # what was too long today may run another time
        if not measured.note.startswith("not run"):
            with rows.open("a") as file:
                file.write(json.dumps(asdict(measured)) + "\n")
        print(json.dumps({**asdict(measured), "lengths": len(measured.lengths)}), flush=True)
    times = _layer_times(options, sizes)
    costs = [cost_of(m, times) for m in options.known.values()]
    print(report(costs, times, sizes, options.share))
    saved = saved_prefill(times, sizes, options.share)
    draw(costs, saved, sizes, options.output / f"cost_{options.dtype}.png")


def _layer_times(options: argparse.Namespace, sizes: Sequence[int]) -> DecoderTimes:
    """Seconds of the decoder layer at every size, whole and reduced."""
    path = options.output / f"layers_{options.dtype}.json"
    times = DecoderTimes(DTYPES[options.dtype])
    if path.exists():
        times.measured = {int(n): s for n, s in json.loads(path.read_text()).items()}
    for n in sizes:
        for tokens in (int(options.share * n) + TEXT, n + TEXT):
            seconds = times.measure(tokens)
            print(json.dumps({"layer over": tokens, "seconds": seconds}), flush=True)
            path.write_text(json.dumps(times.measured))
    return times


def cost_of(measured: Measured, times: DecoderTimes) -> Cost:
    """The cost of a method beside what it saves."""
    saved = measured.saved
    if saved is None and measured.lengths:
        whole = times.prefill([measured.n + TEXT] * LAYERS)
        saved = whole - times.prefill([length + TEXT for length in measured.lengths])
    return Cost(
        measured.stage,
        measured.method,
        measured.n,
        measured.seconds,
        measured.peak_mb,
        saved,
        measured.note,
    )


if __name__ == "__main__":
    main()
