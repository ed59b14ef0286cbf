"""``geofovea calibrate``: where a host's attention points, and how it is read best."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from geofovea.pipeline.cli.options.companions import check_absent
from geofovea.pipeline.cli.options.endpoint import endpoint_of_model, endpoint_options
from geofovea.pipeline.cli.options.grouped import GroupedCommand
from geofovea.pipeline.cli.options.model import synthetic_model_options, unusual
from geofovea.pipeline.cli.options.shared import json_option
from geofovea.pipeline.system.terminal import echo

if TYPE_CHECKING:
    from geofovea.pipeline.calibration.calibrate import Calibration
    from geofovea.pipeline.calibration.focuses import FocusScore
    from geofovea.pipeline.hosts.endpoint.settings import EndpointSettings

__all__ = ["calibrate"]


@click.command(
    cls=GroupedCommand,
    examples=[
        "geofovea calibrate --output runs/calibration --no-install",
        "geofovea calibrate --model Qwen/Qwen3-VL-2B-Instruct --output runs/qwen",
    ],
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, help="Folder to fill."
)
@synthetic_model_options
@endpoint_options
@click.option(
    "--looks",
    default=10,
    show_default=True,
    help="Looks to rank layers; as many again to choose, and to test.",
)
@click.option(
    "--tokens", default=2_000_000, show_default=True, help="Run at most this many vision tokens."
)
@click.option("--seconds", type=float, help="Stop after this time; the same command resumes.")
@click.option("--focus-model", help="A CLIP or SigLIP: also measure the focus 'similarity'.")
@click.option(
    "--install/--no-install",
    default=True,
    help="Write the result beside the weights, or into your configuration folder.",
)
@json_option
def calibrate(
    output: Path,
    loading: dict[str, Any],
    endpoint: EndpointSettings | None,
    looks: int,
    tokens: int,
    seconds: float | None,
    focus_model: str | None,
    install: bool,
    as_json: bool,
) -> None:
    """Find the layers and heads of a model that point best.

    Asks about synthetic scenes whose objects are known. The same command resumes a stopped run. An
    endpoint shows no attention: there the focus 'prompted' is measured.
    """
    from geofovea.pipeline.calibration import report
    from geofovea.pipeline.calibration.calibrate import CalibrationBudget
    from geofovea.pipeline.hosts.load import load_uncalibrated
    from geofovea.pipeline.system.progress import progress_bar

    endpoint = endpoint_of_model(loading, endpoint, click.get_current_context())
    if endpoint is None:
        check_absent(("answer_tokens",), "is for a model behind an endpoint, --model openai:NAME")
    budget = CalibrationBudget(looks, tokens, seconds)
    # one of other weights, or a damaged one, is what this run replaces
    host = load_uncalibrated(**loading, endpoint=endpoint)
    with progress_bar(f"calibrating {host.name}") as advance:
        result = report.run_calibration(
            host, output, budget, unusual(loading), focus_model, advance
        )
    files = report.write_report(host, result, output, install=install)
    if as_json:
        echo(json.dumps(result.to_json() | {"files": [str(path) for path in files]}))
        return
    _print(result.calibration, result.focuses)
    for path in files:
        echo(f"wrote {path}")


def _print(calibration: Calibration | None, focuses: list[FocusScore]) -> None:
    from geofovea.datasets.scoring.metrics import interval_text

    if calibration is not None:
        accuracy, low, high = calibration.accuracy()
        mode = calibration.mode
        echo(
            f"layers {', '.join(map(str, mode.layers))}, {mode.correction}: points at "
            f"{accuracy:.2f} {interval_text(low, high)} of {calibration.questions} held-out "
            f"objects; "
            f"uncalibrated {calibration.uncalibrated[0]:.2f}"
        )
    for score in focuses:
        accuracy, low, high = score.accuracy
        echo(
            f"focus {score.focus}: {accuracy:.2f} {interval_text(low, high)}, "
            f"{score.seconds:.2f} s and {score.tokens:.0f} vision tokens a question"
        )
