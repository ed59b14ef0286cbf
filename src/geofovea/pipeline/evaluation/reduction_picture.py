"""Accuracy against tokens as a picture: the default, the best others by name, and all in gray."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geofovea.pipeline.evaluation.reduction_sweep import ALL_TOKENS, LOOKS
from geofovea.pipeline.system.extras import figure_class
from geofovea.pipeline.system.files import write_file
from geofovea.regionfocus.strategies import DEFAULT_REDUCTION

__all__ = ["ReductionRow", "check_drawing", "draw_reductions"]

_PURPOSE = "the picture of the bench"
_DEFAULT_COLOR = "#1f2430"
_BEST_COLORS = ("#2e86c1", "#b7791f", "#b03a5b", "#148f77", "#7d6bb0")
_TOKENS = "vision tokens in the last layer of the decoder"
_BYTES = "keys and values of vision tokens that an answer is read from, kB"
_CLOUD, _FAINT = "#c9ced8", "#5d6473"
# labels at the ends of lines stand at least this far apart, as a share of the height,
_LABEL_GAP = 0.045
# if the lines begin within this factor of each other; others have room beside each other
_LABEL_WIDTH = 1.8
# room for them on the left, as a share of the width
_LABEL_SHARE = 0.35


@dataclass(frozen=True, slots=True)
class ReductionRow:
    """One method at one share, over all questions of a way of looking.

    Attributes:
        look: Way of looking.
        method: As in `ReductionItem`.
        share: Likewise.
        questions: How many.
        refused: Of those, how many a method could not take so many tokens for.
        accuracy: Share of right answers.
        interval: Its 95 % interval, scenes resampled.
        by_category: The same three numbers by category: accuracy, low, high.
        hit_rate: Share of annotated questions whose place entered the decoder; None without any.
        looked: Mean tokens that the look would show.
        entered: Mean tokens that entered the decoder.
        end: Mean tokens in its last layer.
        selection_ms: Median.
        decoder_ms: Median.
        peak_mb: Largest.
        place: As in `ReductionItem`.
        cache_bytes: Mean.
        cpu_ms: Median.
    """

    look: str
    method: str
    share: float
    questions: int
    refused: int
    accuracy: float
    interval: tuple[float, float]
    by_category: dict[str, tuple[float, float, float]]
    hit_rate: float | None
    looked: float
    entered: float
    end: float
    selection_ms: float
    decoder_ms: float
    peak_mb: float
    place: str = ""
    cache_bytes: float = 0.0
    cpu_ms: float = 0.0


def check_drawing() -> None:
    """Fail before hours of work if the picture could not be drawn after them.

    Raises:
        MissingExtraError: If matplotlib is not installed.
    """
    figure_class(_PURPOSE)


def draw_reductions(rows: Sequence[ReductionRow], path: Path) -> None:
    """Draw accuracy against tokens in the decoder's last layer after the closest way of looking.

    Where policies of the cache are among the methods, which drop no tokens, it is drawn against the
    bytes of keys and values that answers are read from.

    Raises:
        MissingExtraError: If matplotlib is not installed.
        OutputError: If the file cannot be written.
    """
    figure = figure_class(_PURPOSE)(figsize=(8.3, 5), layout="constrained")
    pane = figure.subplots()
    *_, look = LOOKS
    in_bytes = any(row.place in ("decode", "cache") for row in rows)
    lines = _lines([row for row in rows if row.look == look], in_bytes=in_bytes)
    colors = _colors(lines, in_bytes=in_bytes)
    for method, points in lines.items():
        width = 3 if method == DEFAULT_REDUCTION else 2 if method in colors else 1
        order = 3 if method in colors else 1
        xs, ys = zip(*points, strict=True)
        color = colors.get(method, _CLOUD)
        pane.plot(xs, ys, "o-", color=color, lw=width, ms=2 + width, zorder=order)
    whole = [row.accuracy for row in rows if (row.look, row.method) == (look, ALL_TOKENS)]
    for accuracy in whole:
        pane.axhline(accuracy, color=_FAINT, lw=1, ls="--", zorder=2)
        pane.text(1.01, accuracy, ALL_TOKENS, transform=pane.get_yaxis_transform(), va="center",
                  color=_FAINT, fontsize=9)  # fmt: skip
    _dress(pane, len(lines.keys() - colors.keys()), _BYTES if in_bytes else _TOKENS)
    _label_starts(pane, lines, colors)
    write_file(path, lambda aside: figure.savefig(aside, dpi=200, format="png"))


def _lines(rows: Sequence[ReductionRow], *, in_bytes: bool) -> dict[str, list[tuple[float, float]]]:
    """The points of each method, by rising number of tokens or kB; all tokens are no method."""
    lines: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        if row.method != ALL_TOKENS:
            size = row.cache_bytes / 1000 if in_bytes else row.end
            lines.setdefault(row.method, []).append((size, row.accuracy))
    return {method: sorted(points) for method, points in lines.items()}


def _colors(lines: dict[str, list[tuple[float, float]]], *, in_bytes: bool) -> dict[str, str]:
    """A color for the default and for the best others, by mean accuracy over their shares.

    Of equal ones the smaller comes first. A reduction with one point says nothing of other shares,
    and comes after those with several; what has no share at all is compared by bytes.
    """

    def rank(method: str) -> tuple[bool, float, float, str]:
        sizes, accuracies = zip(*lines[method], strict=True)
        is_partial = len(accuracies) == 1 and not in_bytes
        return is_partial, -sum(accuracies) / len(accuracies), min(sizes), method

    best = sorted((method for method in lines if method != DEFAULT_REDUCTION), key=rank)
    colors = dict(zip(best, _BEST_COLORS, strict=False))
    return colors | ({DEFAULT_REDUCTION: _DEFAULT_COLOR} if DEFAULT_REDUCTION in lines else {})


def _dress(pane: Any, others: int, axis: str) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter, PercentFormatter, ScalarFormatter

    pane.set(xscale="log", xlabel=axis)
    pane.set_title("Accuracy of answers", loc="left", fontsize=12)
    if others:
        pane.set_title(f"gray: {others} other methods", loc="right", fontsize=9, color=_FAINT)
    pane.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    pane.xaxis.set_major_formatter(ScalarFormatter())
    pane.xaxis.set_minor_formatter(NullFormatter())
    pane.yaxis.set_major_formatter(PercentFormatter(1, 0))
    pane.grid(axis="y", color="#eceef2")
    pane.set_axisbelow(True)
    for side in ("top", "right"):
        pane.spines[side].set_visible(False)


def _label_starts(
    pane: Any, lines: dict[str, list[tuple[float, float]]], colors: dict[str, str]
) -> None:
    """Name the lines where they begin, at the fewest tokens, for there they differ most."""
    starts = {method: lines[method][0] for method in colors}
    left, right = pane.get_xlim()
    pane.set_xlim(left * (left / right) ** _LABEL_SHARE, right)
    low, high = pane.get_ylim()
    places: dict[str, float] = {}
    for group in _side_by_side(starts):
        order = sorted(group, key=lambda method: starts[method][1])
        heights = [starts[method][1] for method in order]
        places |= zip(order, _apart(heights, _LABEL_GAP * (high - low), high), strict=True)
    for method, place in places.items():
        is_default = method == DEFAULT_REDUCTION
        pane.annotate(
            f"{method} (default)" if is_default else method,
            starts[method],
            (-10, place),
            textcoords=("offset points", "data"),
            ha="right",
            va="center",
            color=colors[method],
            fontsize=9,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
            # a name that had to make room is tied to where its line begins
            arrowprops={"arrowstyle": "-", "color": colors[method], "lw": 0.6},
            fontweight="bold" if is_default else "normal",
        )


def _side_by_side(starts: Mapping[str, tuple[float, float]]) -> list[list[str]]:
    """Methods in groups whose labels would stand above each other, by where their lines begin."""
    groups: list[list[str]] = []
    for method in sorted(starts, key=lambda method: starts[method][0]):
        first = starts[groups[-1][0]][0] if groups else 0.0
        if groups and starts[method][0] <= _LABEL_WIDTH * first:
            groups[-1].append(method)
        else:
            groups.append([method])
    return groups


def _apart(heights: Sequence[float], gap: float, highest: float) -> list[float]:
    """Rising heights, moved so far that they stand a gap apart and none above the highest."""
    places: list[float] = []
    for height in heights:
        places.append(max([height, *(place + gap for place in places[-1:])]))
    for number in reversed(range(len(places))):
        room = highest if number + 1 == len(places) else places[number + 1] - gap
        places[number] = min(places[number], room)
    return places
