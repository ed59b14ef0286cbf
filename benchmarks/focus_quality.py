"""How well the host's attention and distilled modules find the place that a question names.

    python benchmarks/focus_quality.py --output runs/focus

Every variant learns from the same scenes, in the same order and for as many steps; all are judged
on the base levels of the same held-out scenes. Intervals are 95 %, by a bootstrap over scenes; the
last column is the difference to plain distillation, scenes resampled in pairs. Everything is kept
in the folder, so a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from geofovea.pipeline.hosts.base import SupportsDecoderAccess
from geofovea.pipeline.hosts.load import load_host
from geofovea.pipeline.system.files import make_folder, write_file, write_text
from geofovea.pipeline.system.progress import progress_bar
from geofovea.pipeline.system.tables import markdown_table
from geofovea.pipeline.training.distill import DistillationConfig, distill
from geofovea.pipeline.training.distill_state import load_distillation
from geofovea.pipeline.training.focus_quality import (
    PlaceRank,
    Scorer,
    host_rows,
    place_ranks,
    sample_packs,
    scorer,
)
from geofovea.pipeline.training.focus_samples import FocusSample, FocusSamples, WorldSamples
from geofovea.regionfocus.tokens import TokenSet
from geofovea.tiling.pyramid import Box, Tile

PLAIN = DistillationConfig(rows_weight=1.0, boxes_weight=0.0)
VARIANTS = {
    "plain distillation": PLAIN,
    "+ without sinks": replace(PLAIN, sinks=True),
    "+ without trend": replace(PLAIN, trend=True),
    "+ boxes": replace(PLAIN, boxes_weight=1.0),
    "all three": replace(PLAIN, sinks=True, trend=True, boxes_weight=1.0),
    "boxes and rows / 10": replace(PLAIN, rows_weight=0.1, boxes_weight=1.0),
    "boxes alone": replace(PLAIN, rows_weight=0.0, boxes_weight=1.0),
    "boxes alone in 3 layers": replace(PLAIN, rows_weight=0.0, boxes_weight=1.0, layers=(0, 1, 2)),
}
RESAMPLES = 4000


@dataclass(frozen=True)
class StoredSamples:
    """The first samples of a supply, encoded once and kept on disk; after the last, the first."""

    source: FocusSamples
    folder: Path
    count: int

    @property
    def name(self) -> str:
        """See `FocusSamples`."""
        return f"{self.source.name}, the first {self.count}"

    def sample(self, index: int) -> FocusSample:
        """See `FocusSamples`."""
        index %= self.count
        about = hashlib.sha256(self.source.name.encode()).hexdigest()[:12]
        path = self.folder / f"lesson_{about}_{index}.safetensors"
        if not path.exists():
            store(self.source.sample(index), path)
        return restored(path)

    def held_out(self) -> None:
        """None: judging has a supply of its own."""


def store(sample: FocusSample, path: Path) -> None:
    """Write a sample with its encoded tokens."""
    tokens = sample.tokens
    about = {
        "tiles": [(t.level, t.row, t.col) for t in tokens.tiles],
        "size": sample.size,
        "questions": sample.questions,
        "boxes": [[box.as_tuple() for box in boxes] for boxes in sample.boxes],
        "is_base": sample.is_base,
    }
    arrays = {
        "features": tokens.features.clone().contiguous(),
        "tile_index": tokens.tile_index,
        "boxes_scene": tokens.boxes_scene.contiguous(),
    }
    write_file(path, lambda aside: save_file(arrays, aside, metadata={"about": json.dumps(about)}))


def restored(path: Path) -> FocusSample:
    """Read a sample back."""
    with safe_open(path, "pt") as stored:
        about = json.loads(stored.metadata()["about"])
        arrays = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    return FocusSample(
        tokens=TokenSet(tiles=tuple(Tile(*t) for t in about["tiles"]), **arrays),
        size=tuple(about["size"]),
        questions=tuple(about["questions"]),
        boxes=tuple(tuple(Box(*box) for box in boxes) for boxes in about["boxes"]),
        is_base=about["is_base"],
    )


def host_scorer(host: SupportsDecoderAccess) -> Scorer:
    """The host's own focus, many questions at a time."""

    def score(sample: FocusSample) -> torch.Tensor:
        layer, dtype = host.focus_layer, next(host.decoder.parameters()).dtype
        parts = [
            host_rows(host, pack, (layer,))[layer][..., pack.image].softmax(-1).mean(1)
            for pack in sample_packs(host, sample, dtype)
        ]
        return torch.cat(parts)

    return score


def with_interval(scores: list[PlaceRank], value: Callable[[PlaceRank], float]) -> str:
    """The mean of a value with its interval, for the table."""
    sums, counts = by_scene(scores, value)
    draws = np.random.default_rng(0).integers(len(sums), size=(RESAMPLES, len(sums)))
    low, high = np.quantile(sums[draws].sum(1) / counts[draws].sum(1), (0.025, 0.975))
    return f"{sums.sum() / counts.sum():.3f} [{low:.3f}, {high:.3f}]"


def difference(
    scores: list[PlaceRank], plain: list[PlaceRank], value: Callable[[PlaceRank], float]
) -> str:
    """The mean gain over ``plain`` with its interval; both judged the same questions."""
    (ours, counts), (theirs, _) = by_scene(scores, value), by_scene(plain, value)
    draws = np.random.default_rng(0).integers(len(ours), size=(RESAMPLES, len(ours)))
    gains = (ours - theirs)[draws].sum(1) / counts[draws].sum(1)
    low, high = np.quantile(gains, (0.025, 0.975))
    return f"{(ours - theirs).sum() / counts.sum():+.3f} [{low:+.3f}, {high:+.3f}]"


def by_scene(
    scores: list[PlaceRank], value: Callable[[PlaceRank], float]
) -> tuple[np.ndarray, np.ndarray]:
    """Sums of a value, and numbers of questions, scene by scene."""
    scenes = sorted({f.scene for f in scores})
    sums = [sum(value(f) for f in scores if f.scene == scene) for scene in scenes]
    counts = [sum(f.scene == scene for f in scores) for scene in scenes]
    return np.array(sums, float), np.array(counts, float)


def table(results: dict[str, list[PlaceRank]], layers: dict[str, int], uniform: float) -> str:
    """One row for each focus."""
    plain = results["plain distillation"]
    rows = [
        [
            name,
            str(layers[name]),
            with_interval(scores, lambda f: f.mass),
            with_interval(scores, lambda f: f.rank < 1),
            with_interval(scores, lambda f: f.rank < 4),
            with_interval(scores, lambda f: f.rank < 9),
            "" if scores is plain else difference(scores, plain, lambda f: f.mass),
        ]
        for name, scores in results.items()
    ]
    header = ["focus", "layers run", "mass in box", "hit@1", "hit@4", "hit@9", "mass − plain"]
    scenes = len({f.scene for f in plain})
    note = (
        f"{len(plain)} questions about {scenes} held-out scenes; equal scores have a mass of "
        f"{uniform:.3f} in the box. A focus also runs the queries and keys of one more layer.\n\n"
    )
    return note + markdown_table(header, rows)


def main() -> None:
    """Encode, distil, judge, write ``table.md``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--scenes", type=int, default=120, help="samples to learn from")
    parser.add_argument("--held-out", type=int, default=40, help="scenes to judge on")
    parser.add_argument("--variants", default=",".join(VARIANTS), help="names, comma-separated")
    parser.add_argument("--seed", type=int, default=20)
    options = parser.parse_args()
    names = [name.strip() for name in options.variants.split(",")]
    if unknown := sorted(set(names) - set(VARIANTS)):
        parser.error(f"unknown variants {unknown}; choose among {list(VARIANTS)}")
    torch.set_flush_denormal(True)
    host = load_host(options.model)
    supply = WorldSamples(host, seed=options.seed)
    folder = make_folder(options.output / "lessons")
    samples = StoredSamples(supply, folder, options.scenes)
    held_out = StoredSamples(supply.held_out(), folder, options.held_out)
    with progress_bar("encoding scenes") as advance:
        for index in range(options.scenes + options.held_out):
            own = index - options.held_out
            (held_out if own < 0 else samples).sample(index if own < 0 else own)
            advance((index + 1) / (options.scenes + options.held_out))
    results = {"host attention": list(place_ranks(host_scorer(host), held_out, options.held_out))}
    layers = {"host attention": host.focus_layer}
    for name in names:
        config = replace(VARIANTS[name], steps=options.steps)
        run = options.output / name.replace(" ", "_").replace("/", "by")
        for record in distill(host, samples, config, run):
            print(json.dumps({"variant": name} | record), flush=True)
        module = load_distillation(host, run).module
        layers[name] = len(module.layer_ids) - 1
        results[name] = list(place_ranks(scorer(module, host), held_out, options.held_out))
        uniform = float(np.mean([f.chance for f in results[name]]))
        if "plain distillation" in results:
            write_text(options.output / "table.md", table(results, layers, uniform))
    print((options.output / "table.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
