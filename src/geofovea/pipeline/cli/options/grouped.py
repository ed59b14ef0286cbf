"""Options in groups: the common ones in ``--help``, all of them in ``--help-all``.

An option may have earlier names, too. They keep working, but no help mentions them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from geofovea import __version__
from geofovea.errors import GeoFoveaError
from geofovea.pipeline.cli.options.companions import check_companions
from geofovea.pipeline.system.logs import LOG, logging_to
from geofovea.pipeline.system.terminal import echo

__all__ = [
    "CommandWithExamples",
    "GroupedCommand",
    "GroupedOption",
    "in_group",
    "option",
    "with_options",
    "write_examples",
]

_ALL, _OUTPUT = "geofovea.help_all", "geofovea.output"
_COMMON = "Options"


class GroupedOption(click.Option):
    """An option with a group, and with earlier names that still work."""

    def __init__(
        self,
        declarations: Sequence[str],
        *,
        group: str = _COMMON,
        earlier: Sequence[str] = (),
        is_common: bool = False,
        goes_with: Sequence[str] = (),
        **settings: Any,
    ) -> None:
        """As ``click.Option``.

        Args:
            declarations: Names.
            group: Its heading under ``--help-all``.
            earlier: Names that it had before.
            is_common: Whether ``--help`` has it, too.
            goes_with: Options without which it does nothing; see ``check_companions``.
            settings: Of ``click.Option``.
        """
        super().__init__([*declarations, *earlier], **settings)
        self.group, self.is_common, self.earlier = group, is_common, tuple(earlier)
        self.goes_with = tuple(goes_with)

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Its line of the help, without earlier names."""
        names, self.opts = self.opts, [name for name in self.opts if name not in self.earlier]
        try:
            return super().get_help_record(ctx)
        finally:
            self.opts = names

    def get_error_hint(self, ctx: click.Context | None) -> str:  # noqa: ARG002
        """Its name in an error: the one of the help, whichever was typed."""
        return f"'{self.shell_name}'"

    @property
    def shell_name(self) -> str:
        """The name to say it by."""
        return next(name for name in self.opts if name.startswith("--"))


def option(*declarations: str, **settings: Any) -> Callable[[Any], Any]:
    """``click.option`` for a `GroupedOption`."""
    return click.option(*declarations, cls=GroupedOption, **settings)


def in_group(group: str) -> Callable[..., Callable[[Any], Any]]:
    """``option`` for one group."""

    def declare(*declarations: str, **settings: Any) -> Callable[[Any], Any]:
        return option(*declarations, group=group, **settings)

    return declare


def with_options(command: Any, options: Sequence[Callable[[Any], Any]]) -> Any:
    """A command with options, in the order in which its help lists them."""
    for add in reversed(options):
        command = add(command)
    return command


def _output_options() -> list[click.Option]:
    """How much is told, and where."""

    def keep(name: str) -> Callable[..., None]:
        def store(context: click.Context, _: click.Parameter, value: Any) -> None:
            if value:
                context.meta.setdefault(_OUTPUT, {})[name] = value

        return store

    common: dict[str, Any] = {"group": "Output options", "expose_value": False}
    return [
        GroupedOption(
            ["-v", "--verbose"],
            count=True,
            callback=keep("verbosity"),
            help="Show what happens; -vv shows more.",
            **common,
        ),
        GroupedOption(
            ["-q", "--quiet"],
            is_flag=True,
            callback=keep("is_quiet"),
            help="Show results and errors only.",
            **common,
        ),
        GroupedOption(
            ["--log-file"],
            type=click.Path(path_type=Path, dir_okay=False),
            callback=keep("file"),
            metavar="FILE",
            help="Append all messages to a file, with times.",
            **common,
        ),
    ]


def write_examples(formatter: click.HelpFormatter, examples: Sequence[str]) -> None:
    """Write command lines as they are typed: a wrapped one could not be copied."""
    if examples:
        with formatter.section("Examples"):
            for example in examples:
                formatter.write(f"{'':{formatter.current_indent}}{example}\n")


class CommandWithExamples(click.Command):
    """A verb whose help ends with examples."""

    def __init__(self, *arguments: Any, examples: Sequence[str] = (), **settings: Any) -> None:
        """As ``click.Command``, with examples, a command line each."""
        super().__init__(*arguments, **settings)
        self.examples = tuple(examples)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples."""
        write_examples(formatter, self.examples)
        super().format_epilog(ctx, formatter)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb, unless an option was typed that would do nothing."""
        check_companions(ctx, self.get_params(ctx))
        return super().invoke(ctx)


class GroupedCommand(CommandWithExamples):
    """A verb with many options: the common ones in its help, all of them one flag further."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Its parameters, with those that every such verb has."""
        return [*super().get_params(ctx), *_output_options(), self._help_all()]

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb; what it tells goes where the options say."""
        output = ctx.meta.get(_OUTPUT, {})
        with logging_to(**output):
            LOG.info("geofovea %s %s", __version__, ctx.info_name)
            try:
                return super().invoke(ctx)
            except (click.exceptions.Exit, click.Abort):
                # the verb has said why
                raise
            except Exception as error:
                # of an error that nobody foresaw, the log says where it came from
                is_foreseen = isinstance(error, (GeoFoveaError, click.ClickException))
                LOG.error("%s: %s", type(error).__name__, error, exc_info=not is_foreseen)
                raise

    def _help_all(self) -> click.Option:
        def show(context: click.Context, _: click.Parameter, value: bool) -> None:
            if value and not context.resilient_parsing:
                context.meta[_ALL] = True
                echo(context.get_help(), lines=True)
                context.exit()

        return GroupedOption(
            ["--help-all"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            is_common=True,
            callback=show,
            help="Show every option.",
        )

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options: the common ones, or all by group."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            if isinstance(parameter, click.Argument):
                continue
            record = parameter.get_help_record(ctx)
            if record is None:
                continue
            is_common = getattr(parameter, "is_common", True)
            if ctx.meta.get(_ALL):
                sections.setdefault(getattr(parameter, "group", _COMMON), []).append(record)
            elif is_common:
                sections.setdefault(_COMMON, []).append(record)
        for heading, records in sections.items():
            with formatter.section(heading):
                formatter.write_dl(records)
