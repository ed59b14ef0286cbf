"""The command line: ``geofovea VERB``. Verbs are thin; heavy modules load when a verb runs.

Exit codes: 0, 1 for a GeoFoveaError, 2 for wrong usage and where no model is named, 128 and the
number of the signal that ended it, such as 130 for Ctrl-C.
"""

from __future__ import annotations

import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from geofovea.errors import DemoModelWarning, GeoFoveaError, NoModelError
from geofovea.pipeline.cli.ask import ask
from geofovea.pipeline.cli.batch import batch
from geofovea.pipeline.cli.bench import bench
from geofovea.pipeline.cli.cache import cache
from geofovea.pipeline.cli.config import apply_configuration, config, config_option
from geofovea.pipeline.cli.demo import demo
from geofovea.pipeline.cli.distill import distill
from geofovea.pipeline.cli.doctor import doctor
from geofovea.pipeline.cli.eval import eval_command
from geofovea.pipeline.cli.inspect import inspect
from geofovea.pipeline.cli.models import models
from geofovea.pipeline.cli.report import report
from geofovea.pipeline.cli.synth import synth
from geofovea.pipeline.cli.train import train
from geofovea.pipeline.system.interruption import Interrupted, interruptible
from geofovea.pipeline.system.terminal import echo, visible

__all__ = ["main"]


@contextmanager
def _visible_usage() -> Iterator[None]:
    """What click says of a wrong command repeats words of that command."""
    try:
        yield
    except click.ClickException as error:
        vars(error)["message"] = visible(error.message, lines=True)
        raise


class _Program(click.Group):
    """A group that turns the package's own errors into one line and exit code 1."""

    def make_context(self, *args: Any, **options: Any) -> click.Context:
        with _visible_usage():
            return super().make_context(*args, **options)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            # an answer's own lines say it
            warnings.simplefilter("ignore", DemoModelWarning)
            with _visible_usage(), interruptible():
                return super().invoke(ctx)
        except GeoFoveaError as error:
            echo(_line("error: ", error), err=True, lines=True)
            sys.exit(error.exit_code)
        except KeyboardInterrupt as error:
            # as shells tell of a process that a signal ended
            interrupt = error if isinstance(error, Interrupted) else Interrupted(signal.SIGINT)
            echo(_line("", interrupt), err=True)
            sys.exit(interrupt.exit_code)


def _line(kind: str, error: BaseException) -> str:
    """An error and what was noted with it, in one line, without secrets."""
    from geofovea.tiling.remote.names import without_secrets

    message = "; ".join([str(error), *getattr(error, "__notes__", ())])
    # only this one is written in lines: its ways to a model are to be copied
    if not isinstance(error, NoModelError):
        message = " ".join(message.split())
    return kind + without_secrets(message)


@click.group(cls=_Program, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="geofovea")
@config_option
@click.pass_context
def main(context: click.Context, config_file: Path | None) -> None:
    """Ask questions about satellite scenes of any size, with the evidence on the map."""
    apply_configuration(context, config_file)


for _verb in (
    ask,
    batch,
    bench,
    cache,
    config,
    demo,
    distill,
    doctor,
    eval_command,
    inspect,
    models,
    report,
    synth,
    train,
):
    main.add_command(_verb)
