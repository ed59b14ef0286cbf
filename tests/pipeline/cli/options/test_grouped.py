"""Few options in the help, all of them one flag further, and earlier names that work and hide."""

import re
import shlex

import click
import pytest

from geofovea.pipeline.cli import main
from geofovea.pipeline.cli.options.grouped import GroupedCommand, GroupedOption
from geofovea.pipeline.cli.options.shell_words import in_shell_words, words_of_server
from geofovea.pipeline.viewer.job_request import JOB_FIELDS

GROUPED = ("ask", "batch", "eval")
NOW = {
    "--tiles": "--max-tiles",
    "--tokens": "--max-tokens",
    "--seconds": "--timeout",
    "--answer-tokens": "--max-new-tokens",
    "--endpoint-seconds": "--api-timeout",
    "--max-endpoint-tokens": "--max-api-tokens",
    "--endpoint": "--base-url",
    "--descent": "--search",
    "--flatness": "--min-contrast",
    "--rfm": "--focus-module",
}
OF_RUNS = {"--replace": "--overwrite", "--item-seconds": "--item-timeout"}


def verb(name):
    return main.get_command(click.Context(main), name)


def options_in(text):
    return re.findall(r"^  (?:-\w, )?(--[a-z][a-z-]*)", text, re.MULTILINE)


@pytest.mark.parametrize("name", GROUPED)
def test_the_help_has_at_most_a_dozen_options_and_another_flag_has_all(run, name):
    short, full = run(name, "--help").stdout, run(name, "--help-all").stdout
    assert len(options_in(short)) <= 12, options_in(short)
    declared = {
        next(o for o in p.opts if o.startswith("--"))
        for p in verb(name).params
        if isinstance(p, click.Option)
    }
    assert declared <= set(options_in(full))
    for heading in ("Model options:", "Endpoint options:", "Search options:", "Output options:"):
        assert heading in full
        assert heading not in short
    assert "Examples:\n  geofovea " in short
    # one line of help each, and none without
    assert not re.findall(r"^  (?:-\w, )?--[a-z-]+(?: [A-Z_\[\]|.:+]+)?$\n  -", full, re.MULTILINE)


@pytest.mark.parametrize("name", GROUPED)
def test_earlier_names_mean_the_same_and_no_help_speaks_of_them(run, name):
    parameters = {opt: p.name for p in verb(name).params for opt in p.opts}
    earlier = NOW | (OF_RUNS if name != "ask" else {})
    full = options_in(run(name, "--help-all").stdout)
    for before, now in earlier.items():
        assert parameters[before] == parameters[now]
        assert before not in full
        assert now in full


def test_an_error_says_the_new_name_whichever_was_typed(run):
    for typed in ("--tiles", "--max-tiles"):
        result = run("ask", "x.tif", "Why?", typed, "many")
        assert "'--max-tiles'" in result.stderr
        assert "--tiles'" not in result.stderr.replace("--max-tiles", "")


@pytest.mark.parametrize(("before", "now"), [("inspect", "info"), ("synth", "synthesize")])
def test_verbs_have_earlier_names_that_work_and_hide(run, before, now):
    assert run(before, "--help").stdout.split("\n")[1:] == run(now, "--help").stdout.split("\n")[1:]
    listed = run("--help").stdout
    assert f"  {now} " in listed
    assert f"  {before} " not in listed


def test_no_summary_of_a_verb_is_cut(run):
    def listed(*words):
        return run(*words, "--help").stdout.split("\nCommands:" if words else "about a scene:")[1]

    for words in ((), ("bench",), ("cache",), ("config",), ("models",)):
        assert "..." not in listed(*words).replace("[ARGS]...", ""), words


def leaves(group, *names):
    """All verbs with the words that call them."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from leaves(command, *names, name)
        else:
            yield (*names, name), command


def test_the_help_lists_each_verb_under_one_heading(run):
    listed = re.findall(r"^  ([a-z][a-z-]+)  ", run("--help").stdout, re.MULTILINE)
    assert sorted(listed) == sorted(main.commands)


@pytest.mark.parametrize(("words", "command"), [*leaves(main)], ids=str)
def test_every_verb_shows_examples_that_parse_and_fit_a_terminal(run, words, command):
    text = run(*words, "--help").stdout
    lines = text.split("Examples:\n")[1].splitlines()
    assert [line for line in text.splitlines() if len(line) > 80] == []
    calls = " ".join(line.strip() for line in lines).replace("\\ ", "").split("geofovea ")[1:]
    assert calls
    for call in calls:
        # options are parsed before --help is heard
        result = run(*shlex.split(call.split(" > ")[0]), "--help")
        assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("pass allow_vrt=True if you trust it", "pass --allow-vrt if you trust it"),
        ("pass allow_vrt=True to geofovea.open_scene if", "pass --allow-vrt if"),
        ("pass allowed_hosts=('a.org',) if", "pass --allow-host a.org if"),
        ("model='openai:x y', endpoint='http://h/v1'",
         "--model 'openai:x y' --base-url http://h/v1"),
        ("choose with bands=(4, 3, 2) or band_map={'red': 3, 'nir': N}",
         "choose with --bands 4,3,2 or --band-map red=3,nir=N"),
        ("declare it with nodata= or nodata='auto'", "declare it with --nodata or --nodata auto"),
        ("seconds=0 is not a budget", "--timeout 0 is not a budget"),
        ("cache_tokens=False", "--no-cache-tokens"),
        ("found: red=3; https://h/?key=1", "found: red=3; https://h/?key=1"),
        ("x.tif", "x.tif"),
    ],
)  # fmt: skip
def test_arguments_of_python_are_said_as_options(message, said):
    assert in_shell_words(message, verb("ask")) == said
    assert in_shell_words(message, None) == message


def test_who_asks_a_server_reads_its_options_and_arguments_of_their_own():
    program = click.Context(main, info_name="geofovea")
    with click.Context(verb("serve"), info_name="serve", parent=program):
        words = words_of_server(JOB_FIELDS)
    said = "give it room with thinking='room', or allow more with answer_tokens=; raise tokens=9"
    assert words(said) == (
        "give it room with geofovea serve --thinking room, or allow more with geofovea serve "
        "--max-new-tokens; raise tokens=9"
    )
    assert words("leave out region= and colour=3") == "leave out region= and colour=3"


def test_a_group_may_be_made_of_any_options():
    @click.command(cls=GroupedCommand, examples=["do --now 1"])
    @click.option("--now", cls=GroupedOption, earlier=["--then"], is_common=True, type=int)
    @click.option("--rare", cls=GroupedOption, group="Rare options")
    def do(now, rare):
        click.echo(f"{now} {rare}")

    from click.testing import CliRunner

    assert CliRunner().invoke(do, ["--then", "3"]).stdout == "3 None\n"
    assert "--rare" not in CliRunner().invoke(do, ["--help"]).stdout
    assert "Rare options:" in CliRunner().invoke(do, ["--help-all"]).stdout
