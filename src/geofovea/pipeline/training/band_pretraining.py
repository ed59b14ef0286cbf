"""An encoder of bands, pretrained on what is hidden from it in scenes with near infrared.

It begins with the vision tower of the embedded model. The batch of a step and what is hidden in it
follow from the seed and the number of the step, so a stopped run resumes as if it had never
stopped. The bands of a batch are drawn as in ChannelViT.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from geofovea.datasets.synthetic.rendering import render_window
from geofovea.datasets.synthetic.versions import world_of
from geofovea.errors import DataError
from geofovea.pipeline.inference.bands.channels import CHANNELS, sampled_channels
from geofovea.pipeline.inference.bands.encoder import BandEncoder
from geofovea.pipeline.inference.bands.masking import Masking, drawn_mask, published_ratio
from geofovea.pipeline.inference.bands.pretraining import MaskedBands
from geofovea.pipeline.system.files import make_folder
from geofovea.pipeline.training.checkpoint import (
    SAVE_EVERY_SECONDS,
    SaveClock,
    damaged_run,
    load_means,
    load_moments,
    locked_run,
    means_of,
    moments_of,
    other_recipe,
    read_run,
    write_run,
)
from geofovea.pipeline.training.curriculum import cosine_pace
from geofovea.pipeline.training.losses import check_finite
from geofovea.pipeline.training.run_log import RunLog, StepMeans

__all__ = [
    "BAND_CHANNELS",
    "BandRecipe",
    "band_tiles",
    "held_out_losses",
    "pretrain_bands",
    "pretrained_bands",
]

BAND_CHANNELS = torch.tensor([CHANNELS.index(name) for name in ("red", "green", "blue", "nir")])
"""Channels of the bands of a synthetic scene."""

_STATE_FILE, _RECIPE_FILE = "bands.safetensors", "bands.json"
_FIRST_WORLD, _HELD_OUT_WORLD = 700_000, 960_000
_STEPS_A_WORLD = 8
_MEAN, _STD = 0.45, 0.27
"""Of every band in [0, 1]: about those of the three bands that the tower has learned with."""
_LOG_EVERY = 10
_WARMUP, _CLIP = 50, 1.0
_LEVELS = (0, 0, 1, 2)
"""Of tiles; half of them are native."""


@dataclass(frozen=True, slots=True)
class BandRecipe:
    """Everything that decides what a run makes.

    Attributes:
        seed: Of weights, batches and what is hidden.
        steps: Of the whole run; one that is resumed may have another number.
        tiles: A step.
        ratio: Share of the patches that is hidden where patches are; the published one of its
            masking if None is given.
        masking: See `drawn_mask`.
        memory: Tokens of no place in the encoder.
        rate: Peak learning rate.
        world: Side of the worlds that tiles are taken from, in pixels.

    Raises:
        DataError: If there is no step or no tile.
    """

    seed: int = 0
    steps: int = 2000
    tiles: int = 4
    ratio: float | None = None
    masking: Masking = "alternating"
    memory: int = 4
    rate: float = 5e-4
    world: int = 4096

    def __post_init__(self) -> None:
        if self.steps < 1 or self.tiles < 1:
            raise DataError(f"a run has steps of tiles, got {self.steps} of {self.tiles}")
        if self.ratio is None:
            # a state names the share itself, whatever is published later
            object.__setattr__(self, "ratio", published_ratio(self.masking))


def band_tiles(
    first_world: int, step: int, count: int, side: int, world_side: int = 4096
) -> Tensor:
    """Tiles of red, green, blue and near infrared, float32 ``(count, 4, side, side)``, normalized.

    Args:
        first_world: Seed of the first world; a few steps share one.
        step: Decides world, levels and places.
        count: Tiles.
        side: Of a tile in level pixels.
        world_side: Of the world in pixels.
    """
    world = _world(first_world + step // _STEPS_A_WORLD, world_side)
    places = random.Random(f"{first_world} {step}")
    tiles = []
    for _ in range(count):
        level = places.choice(_LEVELS)
        x, y = (places.randrange(max(1, (world_side >> level) - side)) for _ in range(2))
        pixels = render_window(world, level, x, y, side, side, len(BAND_CHANNELS))
        tiles.append(torch.from_numpy(pixels).permute(2, 0, 1))
    return (torch.stack(tiles).float() / 255 - _MEAN) / _STD


def pretrain_bands(
    tower: Any,
    recipe: BandRecipe,
    folder: Path,
    stop_after: float = math.inf,
    save_every: float = SAVE_EVERY_SECONDS,
) -> Iterator[dict[str, Any]]:
    """Pretrain, or go on, and yield one log record at a time; the last has held-out losses.

    Args:
        tower: A ``CLIPVisionModel`` to begin with; it is not changed.
        recipe: How.
        folder: Where state and log are kept; made if missing.
        stop_after: Seconds after which to stop with a state, to be resumed later.
        save_every: Seconds between states that a killed run can go on from.

    Raises:
        DataError: If the folder holds a run with another recipe, or a damaged state.
        TrainingError: If a loss is not a number; the last state stays.
        OutputError: If the folder cannot be written, or another training is running there.
    """
    make_folder(folder)
    with locked_run(folder):
        yield from _records(tower, recipe, folder, stop_after, save_every)


def _records(
    tower: Any, recipe: BandRecipe, folder: Path, stop_after: float, save_every: float
) -> Iterator[dict[str, Any]]:
    """See ``pretrain_bands``; nobody else trains in the folder."""
    started = time.monotonic()
    model = _model(tower, recipe)
    optimizer = torch.optim.AdamW(model.parameters(), recipe.rate, (0.9, 0.95), weight_decay=0.01)
    step, means = _resumed(model, optimizer, recipe, folder)
    log = RunLog(folder / "bands_log.jsonl")
    log.forget_beyond(step)
    clock, is_over = SaveClock(save_every), step >= recipe.steps
    while not is_over:
        for group in optimizer.param_groups:
            group["lr"] = recipe.rate * cosine_pace(step, _WARMUP, recipe.steps)
        loss = _loss(model, recipe, step)
        check_finite(loss.detach(), step + 1, "a lower rate")
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), _CLIP)
        optimizer.step()
        step += 1
        means.add({"loss": loss.item()})
        is_over = step >= recipe.steps or time.monotonic() - started > stop_after
        if step % _LOG_EVERY == 0 or is_over:
            yield log.append({"step": step} | means.taken())
        if clock.is_due or is_over:
            _save(model, optimizer, recipe, step, folder, means)
            clock.restart()
    yield log.append({"step": step, "held_out": held_out_losses(model, recipe.world)})


def pretrained_bands(tower: Any, folder: Path) -> BandEncoder:
    """The encoder of a run, in evaluation mode.

    Args:
        tower: The one that the run began with.
        folder: Of the run.

    Raises:
        DataError: If the folder holds no run, or a damaged one.
    """
    if not (folder / _RECIPE_FILE).exists():
        raise DataError(f"{folder} holds no pretrained encoder of bands; run pretrain_bands first")
    recipe, tensors = read_run(folder, _RECIPE_FILE, _STATE_FILE)
    try:
        model = _model(tower, BandRecipe(**recipe))
        _load_weights(model, tensors)
    except (TypeError, RuntimeError) as error:
        raise damaged_run(folder, _RECIPE_FILE, error) from error
    return model.encoder.eval()


@torch.no_grad()
def held_out_losses(
    model: MaskedBands, world_side: int = 4096, tiles: int = 16
) -> dict[str, float]:
    """Losses on worlds that no training sees, by what is hidden: each band, or patches of all."""
    side = _side(model.encoder)
    images = torch.cat(
        [band_tiles(_HELD_OUT_WORLD, 8 * i, 4, side, world_side) for i in range(tiles // 4)]
    )
    places = (side // model.patch) ** 2
    names = [CHANNELS[number] for number in BAND_CHANNELS.tolist()]
    masks = {
        name: (torch.arange(len(names)) == i)[:, None].expand(-1, places)
        for i, name in enumerate(names)
    }
    draw = torch.Generator().manual_seed(1)
    masks["patches"] = drawn_mask(len(names), places, draw, masking="patches")
    return {
        name: round(float(model(images, BAND_CHANNELS, hidden)), 4)
        for name, hidden in masks.items()
    }


def _model(tower: Any, recipe: BandRecipe) -> MaskedBands:
    torch.manual_seed(recipe.seed)
    return MaskedBands(BandEncoder.from_tower(tower, memory=recipe.memory))


def _loss(model: MaskedBands, recipe: BandRecipe, step: int) -> Tensor:
    side = _side(model.encoder)
    first = _FIRST_WORLD + recipe.seed * 10_000
    images = band_tiles(first, step, recipe.tiles, side, recipe.world)
    draw = torch.Generator().manual_seed((recipe.seed << 32) + step)
    bands = sampled_channels(len(BAND_CHANNELS), draw)
    places = (side // model.patch) ** 2
    hidden = drawn_mask(len(bands), places, draw, recipe.ratio, recipe.masking)
    loss: Tensor = model(images[:, bands], BAND_CHANNELS[bands], hidden)
    return loss


def _side(encoder: BandEncoder) -> int:
    """Of a tile with as many places as the encoder has learned."""
    embedding = encoder.embedding
    return int(round((len(embedding.places) - 1) ** 0.5) * embedding.projection.kernel_size[0])


@lru_cache(maxsize=2)
def _world(seed: int, side: int) -> Any:
    return world_of(2, seed, side, side)


def _save(
    model: MaskedBands,
    optimizer: torch.optim.Optimizer,
    recipe: BandRecipe,
    step: int,
    folder: Path,
    means: StepMeans,
) -> None:
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    tensors |= moments_of(optimizer, "optimizer") | means_of(means) | {"step": torch.tensor(step)}
    write_run(folder, _RECIPE_FILE, _STATE_FILE, asdict(recipe), tensors)


def _resumed(
    model: MaskedBands, optimizer: torch.optim.Optimizer, recipe: BandRecipe, folder: Path
) -> tuple[int, StepMeans]:
    if not (folder / _RECIPE_FILE).exists():
        return 0, StepMeans()
    theirs, tensors = read_run(folder, _RECIPE_FILE, _STATE_FILE)
    if theirs | {"steps": 0} != asdict(recipe) | {"steps": 0}:
        raise other_recipe(folder)
    try:
        _load_weights(model, tensors)
        load_moments(optimizer, "optimizer", tensors)
        return int(tensors["step"]), load_means(tensors)
    except (KeyError, ValueError, RuntimeError) as error:
        raise damaged_run(folder, _RECIPE_FILE, error) from error


def _load_weights(model: MaskedBands, tensors: dict[str, Tensor]) -> None:
    model.load_state_dict({k[6:]: v for k, v in tensors.items() if k.startswith("model.")})
