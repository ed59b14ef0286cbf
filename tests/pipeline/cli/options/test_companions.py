"""An option that would do nothing in a command is refused there, with what it needs."""

import click
import pytest
from click.testing import CliRunner

from geofovea.pipeline.cli import main

SCENE = "scene.tif"


def refusal(*words):
    """What standard error says last of a command that is wrong usage."""
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code == 2, result.output
    return result.stderr.splitlines()[-1]


def companions():
    """Each option of each verb that goes with others."""
    return [
        pytest.param(name, option, id=f"{name} {option.opts[0]}")
        for name, verb in main.commands.items()
        for option in verb.params
        if getattr(option, "goes_with", ())
    ]


def word_for(parameter):
    """A value that a parameter can be parsed from."""
    if isinstance(parameter.type, click.Choice):
        return parameter.type.choices[0]
    numbers = (click.types.IntParamType, click.types.FloatParamType)
    return "3" if isinstance(parameter.type, numbers) else "x"


def needed_words(verb):
    """What has to stand in any command of a verb."""
    for parameter in verb.params:
        if parameter.required:
            is_option = isinstance(parameter, click.Option)
            yield from [parameter.opts[0]] * is_option
            yield word_for(parameter)


def option_named(verb, name):
    return next(option for option in verb.params if name in option.opts)


def is_met_by_default(verb, companion):
    name, _, wanted = companion.partition(" ")
    return bool(wanted) and option_named(verb, name).default == wanted


@pytest.mark.parametrize(("name", "option"), companions())
def test_an_option_without_its_companion_is_refused(name, option):
    verb = main.commands[name]
    typed = [option.opts[0], *([] if option.is_flag else [word_for(option)])]
    for companion in option.goes_with:
        if is_met_by_default(verb, companion):
            typed += [companion.split()[0], "sweep"]
    said = refusal(name, *needed_words(verb), *typed)
    assert said.startswith(f"error: {option.shell_name} goes with {option.goes_with[0]}")
    assert said.endswith(f"leave out {option.shell_name}")


@pytest.mark.parametrize(("name", "option"), companions())
def test_companions_are_options_of_the_same_verb(name, option):
    for companion in option.goes_with:
        other, _, wanted = companion.partition(" ")
        companion_option = option_named(main.commands[name], other)
        if wanted:
            assert wanted in companion_option.type.choices


def test_many_options_have_companions():
    assert len(companions()) > 60


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["measure", SCENE, "how far", "--skip", "ima"], "No such option '--skip'."),
        (["count", SCENE, "truck", "--focus", "overview"], "No such option '--focus'."),
        (["compare-dates", SCENE, SCENE, "--memory", "5"], "No such option '--memory'."),
        (
            ["compare-dates", SCENE, SCENE, "--reduction", "strided"],
            "--reduction belongs to a QUESTION, and none is given; leave out --reduction",
        ),
        (
            ["compare-dates", SCENE, SCENE, "--find", "truck", "--confidence", "0.5"],
            "--confidence belongs to a QUESTION, and none is given; leave out --confidence",
        ),
        (
            ["eval", "lrs-vqa", "--root", ".", "--blind", "--max-tiles", "5"],
            "--max-tiles is about asking a model, and no model is asked here; leave out "
            "--max-tiles",
        ),
        (
            ["eval", "lrs-vqa", "--root", ".", "--predictions", "a.jsonl", "--retry-failed"],
            "--retry-failed is about asking a model, and no model is asked here; leave out "
            "--retry-failed",
        ),
    ],
)
def test_what_a_command_has_no_use_for_is_refused(words, message):
    assert message in refusal(*words)


def test_an_endpoint_that_is_configured_for_another_model_is_no_companion(monkeypatch):
    monkeypatch.setenv("GEOFOVEA_ENDPOINT", "http://localhost:1/v1")
    words = ["ask", SCENE, "Where?", "--model", "embedded", "--max-calls", "3"]
    said = refusal(*words)
    assert said == (
        "error: --max-calls goes with a model behind an endpoint, --model openai:NAME; leave out "
        "--max-calls"
    )
    # with such a model the scene is the next thing to be wrong
    words[4] = "openai:some"
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 1
    assert "there is no file 'scene.tif'" in result.stderr


def test_what_is_configured_is_not_refused(monkeypatch):
    monkeypatch.setenv("GEOFOVEA_ENDPOINT", "http://localhost:1/v1")
    monkeypatch.setenv("GEOFOVEA_MAX_TOKENS", "500")
    result = CliRunner().invoke(main, ["compare-dates", SCENE, SCENE])
    assert result.exit_code == 1
    assert "there is no file 'scene.tif'" in result.stderr
