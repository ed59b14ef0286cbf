"""An option that would do nothing in a command is refused there, with what it needs."""

import json
from pathlib import Path

import click
import numpy as np
import pytest
import rasterio
from click.testing import CliRunner
from rasterio.transform import Affine

from geofovea.pipeline.cli import main
from geofovea.pipeline.cli.options.uses import OF_ONE_ANSWER

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
            ["compare-dates", SCENE, SCENE, "--find", "truck", "--min-contrast", "0.5"],
            "--min-contrast belongs to a QUESTION, and none is given; leave out --min-contrast",
        ),
        (
            ["compare-dates", SCENE, SCENE, "--max-tokens", "50"],
            "--max-tokens belongs to a QUESTION or --find, and none is given; leave out "
            "--max-tokens",
        ),
        (
            ["find", SCENE, "truck", "--coverage", "sweep", "--index", "folder"],
            "--index has no effect on a sweep, which looks everywhere; leave out --index",
        ),
        (
            ["train", "--output", "run", "--with", "m3", "--no-compile"],
            "--compile is for the model itself; --with compiles nothing; leave out --compile",
        ),
        (
            ["report", ".", "--pictures", "5"],
            "--pictures is for runs of batch, and . is not one; leave out --pictures",
        ),
        (
            ["models", "--json", "get", "owner/name"],
            "--json before get is for the list of models; leave out --json",
        ),
        (
            ["calibrate", "--output", "run", "--max-new-tokens", "5"],
            "--max-new-tokens is for a model behind an endpoint, --model openai:NAME; leave out "
            "--max-new-tokens",
        ),
        (
            ["eval", "lrs-vqa", "--root", ".", "--train", ".", "--synonyms", "table"],
            "--synonyms is for scoring answers, and --train scores none; leave out --synonyms",
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


@pytest.fixture
def sources(tmp_path, monkeypatch):
    """A raster, rows about it, and a STAC item, in the working folder."""
    monkeypatch.chdir(tmp_path)
    profile = {"driver": "GTiff", "count": 3, "height": 64, "width": 64, "dtype": "uint8"}
    place = {"crs": "EPSG:32633", "transform": Affine(1, 0, 5e5, 0, -1, 5e6)}
    with rasterio.open("scene.tif", "w", **profile, **place) as file:
        file.write(np.full((3, 64, 64), 9, np.uint8))
    tables = {
        "rows": ["scene,question", "scene.tif,What?"],
        "regions": [
            "scene,question,geometry,crs",
            'scene.tif,What?,"POLYGON ((1 1, 9 1, 9 9, 1 1))",pixels',
        ],
        "dates": ["scene,question,scene_before", "scene.tif,What changed?,scene.tif"],
        "finds": ["scene,question", "scene.tif,find: truck"],
        "counts": ["scene,question", "scene.tif,count: truck"],
    }
    for name, lines in tables.items():
        (tmp_path / f"{name}.csv").write_text("\n".join(lines), encoding="utf-8")
    item = {"type": "Feature", "id": "a", "assets": {"visual": {"href": "scene.tif"}}}
    (tmp_path / "item.json").write_text(json.dumps(item), encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["scene.tif", "--asset", "visual"], "none of the sources is a STAC item"),
        ([".", "--asset", "visual"], "none of the sources is a STAC item"),
        (["rows.csv", "--asset", "visual"], "none of the sources is a STAC item"),
        (
            ["scene.tif", "--scene-column", "scene"],
            "--scene-column scene is a column of a",
        ),
        (["item.json", "--question-column", "q"], "--question-column q is a column of a"),
        (["scene.tif", "--region-crs", "EPSG:4326"], "--region-crs goes with --regions"),
        (["rows.csv", "--region-crs", "EPSG:4326"], "--region-crs goes with --regions"),
        (["regions.csv", "--region-crs", "no such"], "--region-crs 'no such'"),
        (["rows.csv", "--question", "Where?"], "--question is for rows that bring no question"),
        (["dates.csv", "--memory", "5"], "--memory has no effect where all rows compare two dates"),
        (["dates.csv", "--index", "i"], "--index has no effect where all rows compare two dates"),
        (["finds.csv", "--skip", "ima"], "--skip has no effect where all rows look for places"),
        (["counts.csv", "--focus", "overview"], "--focus has no effect where all rows count"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_no_source_of_a_batch_has_a_use_for_is_refused(sources, words, message):
    command = ["batch", *words, "--output", "run", "--model", "embedded"]
    if words[0] in ("scene.tif", ".", "item.json"):
        command += ["--question", "What?"]
    result = CliRunner().invoke(main, command)
    assert result.exit_code in (1, 2), result.output
    said = result.stderr.splitlines()[-1]
    assert message in said
    assert "leave out" in said or "no such" in said
    assert not Path("run").exists()


def test_what_one_answer_alone_needs_is_all_that_a_look_for_places_lacks():
    asked, looked = ({each.name for each in main.commands[verb].params} for verb in ("ask", "find"))
    groups = {each.name: getattr(each, "group", "") for each in main.commands["ask"].params}
    of_answers = {n for n in asked - looked if groups[n] in ("Budget options", "Search options")}
    # the boxes are for an oracle, which is asked for answers alone
    assert of_answers - {"boxes"} == set(OF_ONE_ANSWER)


def test_an_option_that_does_nothing_for_some_rows_of_a_batch_says_for_which(sources):
    command = ["batch", "rows.csv", "finds.csv", "--skip", "ima", "--output", "run"]
    # every row has a question, which is refused once the rows are known: no model is asked
    result = CliRunner().invoke(main, [*command, "--question", "What?", "--model", "embedded"])
    assert result.exit_code == 1
    notes = [line for line in result.stderr.splitlines() if "  note" in line]
    assert notes == ["  note       --skip has no effect where rows look for places: on 1 row"]


def test_an_endpoint_that_is_configured_for_another_model_is_no_companion(monkeypatch):
    monkeypatch.setenv("GEOFOVEA_ENDPOINT", "http://localhost:1/v1")
    words = ["ask", SCENE, "Where?", "--model", "embedded", "--max-calls", "3"]
    said = refusal(*words)
    assert said == (
        "error: --max-calls goes with a model behind an endpoint, --model openai:NAME; leave out "
        "--max-calls"
    )
    calibrate = ["calibrate", "--output", "run", "--model", "embedded", "--max-calls", "3"]
    assert refusal(*calibrate) == said
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
