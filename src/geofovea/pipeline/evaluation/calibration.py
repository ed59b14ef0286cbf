"""Is an answer that is 70 % sure right seven times in ten? Reliability of the answers of a bench.

The expected calibration error (Naeini et al., AAAI 2015) is the mean distance between confidence
and accuracy over bins of equal width, weighted by their answers. With few answers it is biased
upwards, for chance alone moves the bins; so its interval, which resamples scenes as that of
accuracies does, is shown with it, and beside it the bias-free Brier score.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geofovea.datasets.scoring.metrics import interval_text
from geofovea.errors import DataError
from geofovea.pipeline.answers.confidence import tempered
from geofovea.pipeline.evaluation.metrics import resampled_scenes
from geofovea.pipeline.system.extras import figure_class
from geofovea.pipeline.system.files import write_file
from geofovea.tiling.machine.system_errors import reason_of

__all__ = [
    "Bin",
    "Calibration",
    "SureAnswer",
    "calibrate",
    "draw_reliability",
    "fitted_temperature",
    "read_confidences",
    "share_interval",
]

_TEMPERATURES = tuple(round(10 ** (step / 100), 3) for step in range(-70, 131))
"""From 0.2 to 20, 2 % apart."""

_MARK, _FAINT = "#2e86c1", "#5d6473"


@dataclass(frozen=True, slots=True)
class SureAnswer:
    """One answer, how sure it was, and whether it was right.

    Attributes:
        scene: Identifies its scene.
        confidence: In [0, 1].
        is_right: Whether it was the true one.
    """

    scene: tuple[int, int]
    confidence: float
    is_right: bool


@dataclass(frozen=True, slots=True)
class Bin:
    """Answers of about the same confidence.

    Attributes:
        low: Least confidence of the bin.
        high: Greatest.
        count: Answers in it.
        confidence: Their mean confidence.
        accuracy: The share of them that is right.
    """

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """What is known about the confidence of some answers.

    Attributes:
        answers: Their number.
        scenes: Number of scenes that they are about.
        accuracy: Share that is right.
        confidence: Mean.
        ece: Expected calibration error, in [0, 1].
        ece_interval: Its 95 % interval, scenes resampled with replacement.
        brier: Mean square of confidence minus right (1) or wrong (0).
        temperature: See `fitted_temperature`.
        bins: Those that hold answers, by rising confidence.
    """

    answers: int
    scenes: int
    accuracy: float
    confidence: float
    ece: float
    ece_interval: tuple[float, float]
    brier: float
    temperature: float
    bins: tuple[Bin, ...]

    def to_json(self) -> dict[str, Any]:
        """All fields, ready for ``json.dumps``."""
        return asdict(self)


def read_confidences(path: Path, method: str) -> list[SureAnswer]:
    """The answers of one method out of the ``items.jsonl`` of a bench, if they have a confidence.

    Raises:
        DataError: If it is no such file, or holds no answer of the method.
    """
    answers, methods = [], set()
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {reason_of(error)}") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            item = json.loads(line)
            methods.add(str(item["method"]))
            scene = int(item["side"]), int(item["scene"])
            if item["confidence"] is None:
                continue
            answer = SureAnswer(scene, float(item["confidence"]), item["answer"] == item["truth"])
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise DataError(f"line {number} of {path} is not an item of a bench") from error
        if not 0 <= answer.confidence <= 1:
            raise DataError(
                f"line {number} of {path} has a confidence of {answer.confidence}, not in [0, 1]"
            )
        if item["method"] == method:
            answers.append(answer)
    if not answers:
        there = ", ".join(sorted(methods)) or "none"
        raise DataError(f"{path} holds no answer by {method!r}; the methods in it are: {there}")
    return answers


def calibrate(answers: Sequence[SureAnswer], bins: int = 10, seed: int = 0) -> Calibration:
    """Compare confidence with accuracy.

    Args:
        answers: Answers.
        bins: Of equal width over [0, 1].
        seed: Of the resampling.

    Raises:
        DataError: If there is no answer, or no bin.
    """
    if not answers or bins < 1:
        raise DataError(
            f"a calibration needs at least one answer and one bin, got {len(answers)} and {bins}"
        )
    confidence = np.array([answer.confidence for answer in answers])
    right = np.array([answer.is_right for answer in answers], float)
    scenes = {scene: i for i, scene in enumerate(sorted({answer.scene for answer in answers}))}
    of_scene = np.array([scenes[answer.scene] for answer in answers])
    table = _table(of_scene, confidence, right, bins)
    errors = [_error(table[draw].sum(0)) for draw in resampled_scenes(len(table), seed)]
    low, high = np.quantile(errors, (0.025, 0.975))
    counts, sums, hits = table.sum(0)
    return Calibration(
        answers=len(answers),
        scenes=len(table),
        accuracy=float(right.mean()),
        confidence=float(confidence.mean()),
        ece=_error(table.sum(0)),
        ece_interval=(float(low), float(high)),
        brier=float(((confidence - right) ** 2).mean()),
        temperature=fitted_temperature(answers),
        bins=tuple(
            Bin(i / bins, (i + 1) / bins, int(n), float(sums[i] / n), float(hits[i] / n))
            for i, n in enumerate(counts)
            if n
        ),
    )


def fitted_temperature(answers: Sequence[SureAnswer]) -> float:
    """The temperature that makes answers likeliest: above 1 they claim too much, below too little.

    See ``confidence_temperature`` of ``HostSettings``. Answers of a model that has a temperature
    call for the product of both.
    """

    def surprise(temperature: float) -> float:
        believed = (tempered(answer.confidence, temperature) for answer in answers)
        pairs = zip(believed, answers, strict=True)
        return -sum(math.log(max(p if a.is_right else 1 - p, 1e-9)) for p, a in pairs)

    return min(_TEMPERATURES, key=surprise)


def _table(
    of_scene: NDArray[np.intp],
    confidence: NDArray[np.float64],
    right: NDArray[np.float64],
    bins: int,
) -> NDArray[np.float64]:
    """Answers, sums of confidence, and right answers, by scene and bin: ``(scenes, 3, bins)``.

    Args:
        of_scene: Number of the scene of each answer, ``(n,)``.
        confidence: Of each answer, ``(n,)``.
        right: 1 for a right answer and 0 for a wrong one, ``(n,)``.
        bins: How many, of equal width over [0, 1].
    """
    of_bin = np.minimum((confidence * bins).astype(int), bins - 1)
    shape = int(of_scene.max()) + 1, bins
    cells = of_scene * bins + of_bin
    sums = [
        np.bincount(cells, values, shape[0] * bins).reshape(shape)
        for values in (np.ones(len(confidence)), confidence, right)
    ]
    return np.stack(sums, axis=1)


def _error(table: NDArray[np.float64]) -> float:
    """The expected calibration error of counts, confidences and hits by bin, (3, bins)."""
    counts, sums, hits = table
    # a bin's weight times the distance of its means: the counts cancel
    return float(np.abs(sums - hits).sum() / counts.sum())


def draw_reliability(calibration: Calibration, title: str, path: Path) -> None:
    """Draw accuracy over confidence, and how many answers each point stands for, into a PNG.

    Raises:
        MissingExtraError: If matplotlib is not installed.
        OutputError: If the file cannot be written.
    """
    figure = figure_class("the reliability curve")(figsize=(5, 5.6), layout="constrained")
    above, below = figure.subplots(2, 1, height_ratios=(4, 1), sharex=True)
    bins = calibration.bins
    above.plot([0, 1], [0, 1], color=_FAINT, lw=1, ls="--")
    above.text(0.17, 0.1, "as sure as right", color=_FAINT, fontsize=9)
    xs, ys = [b.confidence for b in bins], [b.accuracy for b in bins]
    ends = [share_interval(round(b.accuracy * b.count), b.count) for b in bins]
    reach = [[y - low for y, (low, _) in zip(ys, ends, strict=True)],
             [high - y for y, (_, high) in zip(ys, ends, strict=True)]]  # fmt: skip
    above.errorbar(xs, ys, reach, fmt="o", color=_MARK, ecolor=_MARK, elinewidth=1.5, capsize=0)
    low, high = calibration.ece_interval
    above.set(ylabel="share of right answers", xlim=(0, 1), ylim=(0, 1.02))
    above.set_title(title, loc="left", fontsize=11)
    ece = f"ECE {calibration.ece:.3f} {interval_text(low, high, '.3f')}"
    note = f"{ece}\nbars: 95 % intervals (Wilson)"
    above.text(0.97, 0.04, note, ha="right", fontsize=9)
    width = bins[0].high - bins[0].low
    below.bar([b.low for b in bins], [b.count for b in bins], 0.9 * width, align="edge",
              color=_MARK, alpha=0.5)  # fmt: skip
    below.set(xlabel="confidence", ylabel="answers")
    for pane in (above, below):
        pane.spines[["top", "right"]].set_visible(False)
    write_file(path, lambda aside: figure.savefig(aside, dpi=160, format="png"))


def share_interval(right: int, count: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson, JASA 1927), which has a width for few answers too.

    Args:
        right: Answers that are right.
        count: All answers, at least one.
    """
    z, share = 1.959964, right / count
    middle = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * (share * (1 - share) / count + z**2 / (4 * count**2)) ** 0.5
    return max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half))
