"""Files, variables and options: each goes before the one that is named before it."""

import json
import os
from pathlib import Path

import pytest
from cli_toys import FEW

import geofovea as gf
from geofovea.errors import ConfigurationError
from geofovea.pipeline.hosts.endpoint.settings import EndpointSettings
from geofovea.pipeline.session.ask import host_of
from geofovea.pipeline.system import configuration
from geofovea.pipeline.system.configuration import SETTINGS, read_configuration

QUESTION = "What is it?"


@pytest.fixture(autouse=True)
def empty_machine(monkeypatch, tmp_path):
    """No variable is set; the current folder and the user's folder are empty."""
    for setting in SETTINGS:
        monkeypatch.delenv(setting.variable, raising=False)
    here, own = tmp_path / "here", tmp_path / "own"
    here.mkdir()
    own.mkdir()
    monkeypatch.chdir(here)
    files = (own / "geofovea.toml", Path("geofovea.toml"))
    monkeypatch.setattr(configuration, "usual_files", lambda: files)
    monkeypatch.setenv("GEOFOVEA_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture
def write(tmp_path):
    """``write("here" or "own", text)``: a configuration file."""

    def make(where, text):
        path = tmp_path / where / "geofovea.toml"
        path.write_text(text)
        return path

    return make


def test_what_is_set_last_holds(write, monkeypatch):
    assert read_configuration().get("model") is None
    write("own", 'model = "own/one"\ndevice = "cpu"')
    assert read_configuration().get("model") == "own/one"
    write("here", 'model = "here/one"')
    assert read_configuration().get("model") == "here/one"
    assert read_configuration().get("device") == "cpu"
    monkeypatch.setenv("GEOFOVEA_MODEL", "variable/one")
    found = read_configuration().values["model"]
    assert (found.value, found.source) == ("variable/one", "$GEOFOVEA_MODEL")


def test_options_go_before_variables_and_those_before_files(
    run, write, monkeypatch, tiny_folder, scene_path
):
    write("here", f'model = "{tiny_folder}"\n[budget]\nmax_tiles = 9\nmax_tokens = 44')

    def budget(*options):
        result = run("ask", scene_path, QUESTION, "--json", *options)
        assert result.exit_code == 0, result.stderr
        row = json.loads(result.stdout)
        assert row["model"] == str(tiny_folder)
        return row["cost"]["budget"]["tiles"], row["cost"]["budget"]["tokens"]

    assert budget() == (9, 44)
    monkeypatch.setenv("GEOFOVEA_MAX_TILES", "8")
    assert budget() == (8, 44)
    assert budget("--tiles", "7") == (7, 44)


def test_a_file_that_is_named_takes_the_place_of_the_others(run, write, tmp_path, tiny_folder):
    write("here", 'model = "here/one"')
    other = tmp_path / "other.toml"
    other.write_text(f'model = "{tiny_folder}"\nendpoint = "https://example.org/v1"')
    shown = json.loads(run("--config", other, "config", "show", "--json").stdout)
    assert shown["files"] == [str(other)]
    assert shown["settings"]["model"] == {"value": str(tiny_folder), "source": str(other)}
    assert run("--config", tmp_path / "none.toml", "config", "show").exit_code == 2
    # and no longer than the command runs
    assert read_configuration().get("model") == "here/one"


def test_a_configured_model_answers_from_python_and_the_shell(run, write, make_png, tiny_folder):
    scene = make_png(80, 80)
    with pytest.raises(gf.NoModelError):
        gf.ask(scene, QUESTION)
    write("own", f'model = "{tiny_folder}"')
    few = gf.Budget(tiles=8, tokens=40)
    assert gf.ask(scene, QUESTION, budget=few).model == str(tiny_folder)
    assert run("ask", scene, QUESTION, *FEW).exit_code == 0


def test_a_configured_endpoint_serves_the_configured_model_and_no_other(
    run, write, server, scene_path, tiny_folder
):
    write("here", f'model = "openai:toy"\nendpoint = "{server.url}"\ndevice = "cpu"')
    told = run("ask", scene_path, QUESTION, "--json", "--tiles", "8")
    assert told.exit_code == 0, told.stderr
    assert json.loads(told.stdout)["model"] == "openai:toy"
    scene = gf.open_scene(scene_path)
    assert host_of("auto", scene, device="auto").name == "openai:toy"
    calls = len(server.requests)
    other = run("ask", scene_path, QUESTION, "--json", "--model", tiny_folder, *FEW)
    assert json.loads(other.stdout)["model"] == str(tiny_folder)
    assert len(server.requests) == calls


def test_a_file_in_the_current_folder_names_no_endpoint_on_another_machine(
    run, write, monkeypatch, tmp_path
):
    write("own", 'endpoint = "https://example.org/v1"')
    assert read_configuration().get("endpoint") == "https://example.org/v1"
    for url in ("https://example.org/v1", "http://10.0.0.8/v1", "http://localhost.example.org/v1"):
        path = write("here", f'endpoint = "{url}"')
        with pytest.raises(ConfigurationError, match="on another machine"):
            read_configuration()
        result = run("doctor")
        assert result.exit_code == 2
        assert str(tmp_path / "own") in result.stderr
    monkeypatch.setenv("GEOFOVEA_CONFIG", str(path))
    assert read_configuration().get("endpoint") == url
    monkeypatch.delenv("GEOFOVEA_CONFIG")
    for url in ("http://localhost:1/v1", "http://127.0.0.1:1/v1", "http://[::1]:1/v1"):
        write("here", f'endpoint = "{url}"')
        assert read_configuration().get("endpoint") == url


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("model = ", "not TOML"),
        ("modell = 'x'", "not a setting; there are model, device"),
        ("model = 3", "has to be a text"),
        ("[budget]\nmax_tiles = 2.5", "has to be a whole number"),
        ("[budget]\nmax_tiles = true", "has to be a whole number"),
        ("[budget.x]\nmax_tiles = 1", "not a setting"),
        ("[cache]\ntokens = 'yes'", "has to be true or false"),
        ("x = '" + "a" * 70_000 + "'", "larger than"),
        ("endpoint = 'http://[::1'", "which is not an address; write it in full"),
        ("endpoint = 'localhost:11434/v1'", "which is not an address; write it in full"),
        ("\xff\xfe", "not TOML"),
    ],
)
def test_a_file_that_cannot_be_meant_is_one_line_that_names_it(run, tmp_path, text, words):
    path = tmp_path / "here" / "geofovea.toml"
    path.write_bytes(text.encode("latin-1"))
    result = run("config", "show")
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert words in line
    assert "geofovea.toml" in line


@pytest.mark.parametrize(
    ("variable", "value", "option"),
    [
        ("GEOFOVEA_MAX_TILES", "many", "--max-tiles"),
        ("GEOFOVEA_MAX_TOKENS", "-3", "--max-tokens"),
        ("GEOFOVEA_TIMEOUT", "nan", "--timeout"),
        ("GEOFOVEA_DEVICE", "gpu", "--device"),
        ("GEOFOVEA_ENDPOINT", "ftp://here/v1", "--base-url"),
    ],
)
def test_a_wrong_value_of_a_variable_is_told_with_the_name_of_the_variable(
    run, monkeypatch, tiny_folder, scene_path, variable, value, option
):
    monkeypatch.setenv(variable, value)
    question = ("ask", scene_path, QUESTION, "--model", tiny_folder)
    result = run(*question)
    assert result.exit_code in (1, 2)
    assert result.stderr.endswith(f"; {option} comes from ${variable}\n")
    monkeypatch.delenv(variable)
    typed = run(*question, option, value)
    assert typed.exit_code == result.exit_code
    assert "comes from" not in typed.stderr


def test_a_wrong_value_of_a_file_is_told_with_the_name_of_the_file(
    run, write, tiny_folder, scene_path
):
    write("here", "[budget]\nmax_tiles = -3")
    result = run("ask", scene_path, QUESTION, "--model", tiny_folder)
    assert result.stderr.endswith("--max-tiles comes from geofovea.toml\n")


def test_what_holds_is_shown_with_where_it_is_from_and_without_secrets(run, write, monkeypatch):
    write("here", 'model = "own/one"\n[budget]\ntimeout = 3\n[cache]\ntokens = true')
    monkeypatch.setenv("GEOFOVEA_ENDPOINT", "http://anna:hunter2@localhost/v1?api_key=hunter2")
    result = run("config", "show")
    assert "own/one   from geofovea.toml" in result.stdout
    assert "from $GEOFOVEA_ENDPOINT" in result.stdout
    assert "hunter2" not in result.output
    rows = json.loads(run("config", "show", "--json").stdout)["settings"]
    assert rows["budget.timeout"] == {"value": "3", "source": "geofovea.toml"}
    assert set(rows) == {setting.key for setting in SETTINGS}


def test_the_cache_of_a_file_is_that_of_the_verbs(run, write, monkeypatch, tmp_path):
    monkeypatch.delenv("GEOFOVEA_CACHE_DIR")
    write("here", f'[cache]\nfolder = "{tmp_path / "elsewhere"}"')
    told = json.loads(run("cache", "list", "--json").stdout)
    assert told["folder"].startswith(str(tmp_path / "elsewhere"))
    assert "GEOFOVEA_CACHE_DIR" not in os.environ


def test_a_key_of_a_provider_goes_to_that_provider_alone(monkeypatch):
    settings = EndpointSettings
    monkeypatch.delenv("GEOFOVEA_API_KEY", raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-theirs")
    assert settings("https://api.openai.com/v1").key() == "sk-theirs"
    for url in ("http://api.openai.com/v1", "https://api.openai.com.example.org/v1",
                "https://example.org/v1", "http://localhost:8000/v1"):  # fmt: skip
        assert settings(url).key() is None
    monkeypatch.setenv("GEOFOVEA_API_KEY", "ours")
    assert settings("https://api.openai.com/v1").key() == "ours"


def test_a_folder_of_the_user_that_cannot_be_looked_at_holds_no_file(monkeypatch, tmp_path):
    files = (tmp_path / ("x" * 300) / "geofovea.toml", Path("geofovea.toml"))
    monkeypatch.setattr(configuration, "usual_files", lambda: files)
    assert read_configuration().files == ()
