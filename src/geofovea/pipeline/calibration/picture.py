"""A picture of a calibration: accuracy by layer, and attention before and after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geofovea.pipeline.calibration.calibrate import Calibration
from geofovea.pipeline.calibration.pointing import pointing_looks
from geofovea.pipeline.system.extras import figure_class
from geofovea.pipeline.system.files import write_file
from geofovea.pipeline.training.focus_samples import FocusSamples
from geofovea.regionfocus.tokens import TokenSet

__all__ = ["AttentionExample", "draw_calibration", "example_of"]

_REPORTING, _PARTS = 2, 3
_MOST_TRIED = 8


@dataclass(frozen=True, slots=True, eq=False)
class AttentionExample:
    """One question, and what the host attends to as it is and by the chosen mode.

    Attributes:
        question: Its text.
        before: Raw attention of the middle layers on the grid of tokens, NaN where there is none.
        after: Scores by the chosen mode, likewise.
        right: Whether a token touches the object, likewise.
    """

    question: str
    before: NDArray[np.float32]
    after: NDArray[np.float32]
    right: NDArray[np.float32]


def example_of(
    host: Any, calibration: Calibration, samples: FocusSamples
) -> AttentionExample | None:
    """The first question of a look that reports; None if no look has tokens of one level."""
    numbers = range(_REPORTING, _REPORTING + _PARTS * _MOST_TRIED, _PARTS)
    raw = replace(host.default_attention_mode, correction="raw")
    for look in pointing_looks(samples, numbers):
        if len(set(look.tokens.levels.tolist())) == 1:
            prompt = (look.questions[0], look.tokens)
            before, after = (
                host.with_attention(mode).scores(*prompt) for mode in (raw, calibration.mode)
            )
            right = look.right[0].float()
            maps = [_on_grid(look.tokens, values) for values in (before, after, right)]
            return AttentionExample(look.questions[0], *maps)
    return None


def _on_grid(tokens: TokenSet, values: Tensor) -> NDArray[np.float32]:
    """Values of tokens of one level as a raster of their cells."""
    boxes = tokens.boxes_scene
    size = (boxes[:, 2:] - boxes[:, :2]).amax(0)
    cells = (boxes[:, :2] / size).round().long()
    cells -= cells.amin(0)
    cols, rows = (cells.amax(0) + 1).tolist()
    raster = torch.full((rows, cols), torch.nan)
    raster[cells[:, 1], cells[:, 0]] = values.float()
    return np.asarray(raster.numpy(), np.float32)


def draw_calibration(
    calibration: Calibration, example: AttentionExample | None, path: Path
) -> None:
    """Draw accuracy by layer, and an example, into a PNG.

    Raises:
        MissingExtraError: If matplotlib is not installed.
        OutputError: If the file cannot be written.
    """
    figure = figure_class("the picture of a calibration")(figsize=(11, 3.6), layout="constrained")
    panes: Sequence[Any] = figure.subplots(1, 3, width_ratios=(1.5, 1, 1))
    ranking = calibration.ranking
    layers = np.arange(len(ranking.sinks))
    for correction, color in (("raw", "tab:gray"), ("relative", "tab:blue")):
        panes[0].plot(layers, ranking.layers[correction], "o-", color=color, label=correction, ms=3)
    panes[0].plot(layers, ranking.sinks, ":", color="tab:red", label="share on sinks")
    for layer in calibration.mode.layers:
        panes[0].axvline(layer, color="tab:blue", alpha=0.15, lw=6)
    panes[0].set(xlabel="decoder layer", ylabel="pointing accuracy", ylim=(0, 1), title="by layer")
    # numbers of layers are whole
    panes[0].xaxis.get_major_locator().set_params(integer=True)
    panes[0].legend(fontsize=8)
    for pane, name in zip(panes[1:], ("before", "after"), strict=True):
        pane.set_axis_off()
        if example is not None:
            pane.imshow(getattr(example, name), cmap="viridis")
            pane.contour(np.nan_to_num(example.right), levels=[0.5], colors="red", linewidths=1)
            pane.set_title(f"attention {name}")
    if example is not None:
        figure.suptitle(f"{example.question} (red: tokens that touch it)", fontsize=9)
    write_file(path, lambda aside: figure.savefig(aside, dpi=110, format="png"))
