"""A card of a calibration, in Markdown: what was measured, and what was chosen."""

from __future__ import annotations

from collections.abc import Sequence

from geofovea.datasets.scoring.metrics import interval_text
from geofovea.pipeline.calibration.calibrate import Calibration
from geofovea.pipeline.calibration.candidates import UNCALIBRATED
from geofovea.pipeline.calibration.focuses import FocusScore
from geofovea.pipeline.calibration.pointing import mean_interval
from geofovea.pipeline.system.tables import markdown_table
from geofovea.pipeline.system.terminal import visible

__all__ = ["PICTURE", "calibration_card"]

PICTURE = "calibration.png"
_MOST_LAYERS = 8


def calibration_card(
    name: str, calibration: Calibration, focuses: Sequence[FocusScore], *, has_picture: bool
) -> str:
    """The card.

    Args:
        name: Of the model.
        calibration: What was found.
        focuses: How well each focus points, where several were measured.
        has_picture: Whether the picture stands beside the card.
    """
    mode, ranking = calibration.mode, calibration.ranking
    heads = "all heads" if mode.heads is None else f"{len(mode.heads)} heads"
    parts = [
        f"# Focus of {visible(name)}",
        f"The focus reads layers {', '.join(map(str, mode.layers))}, {heads}, correction "
        f"`{mode.correction}`, pooled by the {mode.pooling}. On {calibration.questions} held-out "
        f"questions the best token touches the object in {_share(calibration.accuracy())}; "
        f"without calibration in {_share(calibration.uncalibrated)}.",
        f"Measured on synthetic scenes with {calibration.tokens} vision tokens in "
        f"{calibration.seconds:.0f} s. Intervals are 95 %, looks resampled.",
    ]
    if has_picture:
        parts.append(f"![Accuracy by layer, attention before and after]({PICTURE})")
    parts += ["## Modes", _modes(calibration), "## Layers", _layers(calibration)]
    sinks = ", ".join(f"{share:.2f}" for share in ranking.sinks)
    parts.append(
        "Share of neutral attention on sinks, tokens that get at least eight mean shares whatever "
        f"is asked, by layer: {sinks}."
    )
    if focuses:
        parts += ["## Focuses", _focuses(focuses)]
    return "\n\n".join(parts) + "\n"


def _share(estimate: tuple[float, float, float]) -> str:
    value, low, high = estimate
    return f"{value:.2f} {interval_text(low, high)}"


def _modes(calibration: Calibration) -> str:
    names = sorted(calibration.choice, key=lambda name: -calibration.choice[name].accuracy)
    rows = [
        [
            f"**{name}**" if name == calibration.chosen else name,
            ", ".join(map(str, calibration.choice[name].mode.layers)),
            _share(mean_interval(calibration.choice[name].hits)),
            _share(calibration.accuracy(name)),
        ]
        for name in names
    ]
    note = f"\n\n`{UNCALIBRATED}` is what the host does without calibration. Modes were chosen by "
    note += "the third column alone."
    return markdown_table(("mode", "layers", "accuracy, choosing", "accuracy, held out"), rows) + (
        note
    )


def _layers(calibration: Calibration) -> str:
    ranking = calibration.ranking
    rows = [
        [
            str(layer),
            f"{ranking.layers['relative'][layer]:.2f}",
            f"{ranking.layers['raw'][layer]:.2f}",
            f"{ranking.mass['relative'][layer]:.2f}",
        ]
        for layer in ranking.best_layers("relative")[:_MOST_LAYERS]
    ]
    return markdown_table(("layer", "relative", "raw", "share on the object"), rows)


def _focuses(focuses: Sequence[FocusScore]) -> str:
    rows = [
        [score.focus, _share(score.accuracy), f"{score.seconds:.2f}", f"{score.tokens:.0f}"]
        for score in sorted(focuses, key=lambda score: -score.accuracy[0])
    ]
    return markdown_table(("focus", "accuracy", "seconds", "vision tokens"), rows)
