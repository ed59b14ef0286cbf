"""The command line: ``geofovea VERB``. Verbs are thin; heavy modules load when a verb runs.

Exit codes: 0, 1 for a GeoFoveaError, 2 for wrong usage and where no model is named, 128 and the
number of the signal that ended it, such as 130 for Ctrl-C.
"""

from __future__ import annotations

import io
import json
import os
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import click
from click.exceptions import NoArgsIsHelpError

from geofovea.errors import ConfigurationError, DemoModelWarning, GeoFoveaError, NoModelError
from geofovea.pipeline.cli.ask import ask
from geofovea.pipeline.cli.batch import batch
from geofovea.pipeline.cli.cache import cache
from geofovea.pipeline.cli.checkpoints.calibrate import calibrate
from geofovea.pipeline.cli.checkpoints.convert import convert
from geofovea.pipeline.cli.checkpoints.distill import distill
from geofovea.pipeline.cli.checkpoints.models import models
from geofovea.pipeline.cli.checkpoints.train import train
from geofovea.pipeline.cli.compare_dates import compare_dates
from geofovea.pipeline.cli.config import (
    apply_configuration,
    config,
    config_option,
    origin_of_values,
)
from geofovea.pipeline.cli.count import count
from geofovea.pipeline.cli.demo import demo
from geofovea.pipeline.cli.doctor import doctor
from geofovea.pipeline.cli.eval import eval_command as evaluate
from geofovea.pipeline.cli.find import find
from geofovea.pipeline.cli.index import index
from geofovea.pipeline.cli.inspect import inspect
from geofovea.pipeline.cli.mcp import mcp
from geofovea.pipeline.cli.measure import measure
from geofovea.pipeline.cli.measurements.bench import bench
from geofovea.pipeline.cli.measurements.compare import compare
from geofovea.pipeline.cli.measurements.report import report
from geofovea.pipeline.cli.measurements.synth import synth
from geofovea.pipeline.cli.options.grouped import write_examples
from geofovea.pipeline.cli.options.shell_words import in_shell_words
from geofovea.pipeline.cli.search import search
from geofovea.pipeline.cli.serve import serve
from geofovea.pipeline.system.interruption import Interrupted, interruptible
from geofovea.pipeline.system.terminal import echo, visible
from geofovea.tiling.machine.system_errors import NO_ROOM, reason_of

__all__ = ["main"]


_EARLIER = {"inspect": "info", "synth": "synthesize"}
"""What verbs were called before; they work, and no help speaks of them."""
_SECTIONS = {
    "Ask about a scene": (ask, find, count, measure, compare_dates, serve, mcp, inspect),
    "Ask about many scenes": (batch, index, search),
    "Choose or make a model": (models, calibrate, convert, train, distill),
    "Measure quality": (evaluate, report, compare, bench),
    "Try it and set it up": (demo, synth, doctor, config, cache),
}
"""All verbs, under the headings of the help."""
_EXAMPLES = (
    "geofovea demo",
    "geofovea info scene.tif",
    'geofovea ask scene.tif "How many ships are at the pier?" --model openai:NAME',
)
_WORDS = "geofovea.words"


@contextmanager
def _visible_usage() -> Iterator[None]:
    """What click says of a wrong command repeats words of that command; it looks like our own."""
    try:
        yield
    except click.ClickException as error:
        vars(error)["message"] = visible(error.message, lines=True)
        if not isinstance(error, NoArgsIsHelpError):
            vars(error)["show"] = partial(_show_usage, error)
        raise


def _show_usage(error: click.ClickException, file: Any = None) -> None:  # noqa: ARG001
    """The error in the style of all others, behind how the verb is used."""
    context = getattr(error, "ctx", None)
    if context is not None:
        echo(context.get_usage(), err=True, lines=True)
        echo(f"Try '{context.command_path} --help' for help.", err=True)
    echo(f"error: {error.format_message()}", err=True, lines=True)


class _Program(click.Group):
    """A group that turns the package's own errors into one line and their exit code."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """A verb by its name, or by one that it had before."""
        return super().get_command(ctx, _EARLIER.get(cmd_name, cmd_name))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the verbs by what they are for."""
        for heading, verbs in _SECTIONS.items():
            with formatter.section(heading):
                formatter.write_dl(
                    [(verb.name or "", verb.get_short_help_str(80)) for verb in verbs]
                )

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the first commands to try."""
        write_examples(formatter, _EXAMPLES)
        super().format_epilog(ctx, formatter)

    def make_context(
        self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any
    ) -> click.Context:
        words = list(args)
        # a terminal or a pipe of Windows or of LC_ALL=C has no character for all that is printed
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")
        with _visible_usage():
            context = super().make_context(info_name, args, parent, **extra)
        context.meta[_WORDS] = words
        return context

    def invoke(self, ctx: click.Context) -> Any:
        is_json = "--json" in ctx.meta[_WORDS]
        try:
            # an answer's own lines say it
            warnings.simplefilter("ignore", DemoModelWarning)
            with _visible_usage(), interruptible():
                _check_folder()
                return super().invoke(ctx)
        except click.UsageError as error:
            if isinstance(error, click.BadParameter) and error.ctx:
                told = error.format_message()
                origin = origin_of_values(told, error.ctx.command, ctx.meta[_WORDS])
                # read-only to type checkers alone
                vars(error)["message"] = f"{error.message}{origin}"
            if is_json and not isinstance(error, NoArgsIsHelpError):
                _print_json_error("UsageError", error.format_message(), error.exit_code)
            raise
        except GeoFoveaError as error:
            verb = self.get_command(ctx, ctx.invoked_subcommand or "")
            line = in_shell_words(_line("", error), verb)
            line += origin_of_values(line, verb, ctx.meta[_WORDS])
            if is_json:
                _print_json_error(type(error).__name__, line, error.exit_code)
            echo(f"error: {line}", err=True, lines=True)
            sys.exit(error.exit_code)
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            echo(f"error: {reason_of(error)}: make room, and run the same command again", err=True)
            _forget_output()
            sys.exit(1)
        except KeyboardInterrupt as error:
            # as shells tell of a process that a signal ended
            interrupt = error if isinstance(error, Interrupted) else Interrupted(signal.SIGINT)
            echo(_line("", interrupt), err=True)
            sys.exit(interrupt.exit_code)


def _check_folder() -> None:
    """Refuse to work in a folder that was removed, which libraries answer with tracebacks."""
    try:
        Path.cwd()
    except FileNotFoundError as error:
        raise ConfigurationError(
            "the current folder was removed; change into one that is there, and run the same "
            "command again"
        ) from error


def _forget_output() -> None:
    """Let what could not be written stay so; else Python tries once more when it ends."""
    with suppress(OSError):  # what stands for standard output in a test is not a file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _print_json_error(kind: str, message: str, exit_code: int) -> None:
    """An error for a program that reads JSON on standard output."""
    record = {"kind": kind, "message": message, "exit_code": exit_code}
    echo(json.dumps({"error": record}))


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


for _verbs in _SECTIONS.values():
    for _verb in _verbs:
        main.add_command(_verb)
