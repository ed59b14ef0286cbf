"""Models are listed with what they cost, and fetched after a look at what the hub has of them."""

import json
import os
import subprocess
import sys

import pytest
from hub_server import COMMIT, files_of, serving
from programs import VERBS_IN_ONE_PROCESS

from geofovea.pipeline.hosts.families.registry import FAMILIES
from geofovea.pipeline.system.model_catalog import CATALOG, smallest_download

PROGRAM = "from geofovea.pipeline.cli import main; main()"


@pytest.fixture
def geofovea(tmp_path):
    """``geofovea(hub, *words)``: a process that reads where the hub is."""

    def run(hub, *words, program=PROGRAM, given=None, **env):
        there = {k: v for k, v in os.environ.items() if k not in ("HF_HUB_OFFLINE", "HF_TOKEN")}
        there |= {
            "HF_ENDPOINT": hub.url,
            "HF_HOME": str(tmp_path / "hf"),
            "HF_HUB_DISABLE_XET": "1",
        }
        command = [sys.executable, "-W", "error", "-c", program, *map(str, words)]
        return subprocess.run(
            command,
            env=there | env,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            input=given,
        )

    return run


def test_every_known_model_is_listed_with_its_download_memory_and_license(run):
    result = run("models")
    assert result.exit_code == 0, result.output
    for model in CATALOG:
        # whole, so that it can be copied
        (line,) = [ln for ln in result.stdout.splitlines() if ln.startswith(f"{model.hub_id} ")]
        size = float(line.removeprefix(model.hub_id).split()[0])
        assert size == pytest.approx(model.download_gb, abs=0.05 if size < 10 else 0.5)
        assert model.license in line
        assert len(line.rstrip()) <= 80 or "cuda" in line
    for family in FAMILIES:
        assert family in result.stdout


def test_the_list_for_machines_says_the_same(run):
    told = json.loads(run("models", "--json").stdout)
    assert {row["hub_id"] for row in told["models"]} == {model.hub_id for model in CATALOG}
    assert told["families"] == sorted(FAMILIES)
    # Qwen3.5 is slow without kernels of its own
    plain = [row for row in told["models"] if "Qwen3.5" not in row["hub_id"]]
    smallest = min(plain, key=lambda row: row["download_gb"])
    assert smallest["hub_id"] == smallest_download().hub_id


def test_a_longer_question_takes_more_memory_and_says_so(run):
    usual, longer = (
        {row["hub_id"]: row["needed_bytes"]["bfloat16"] for row in json.loads(each)["models"]}
        for each in (
            run("models", "--json").stdout,
            run("models", "--tokens", 16384, "--json").stdout,
        )
    )
    assert all(longer[name] > usual[name] for name in usual)
    # its attention is not fused
    squared = "google/paligemma2-3b-mix-448"
    assert longer[squared] > 3 * usual[squared]
    assert "16384 tokens" in run("models", "--tokens", 16384).stdout


def test_a_model_is_downloaded_and_answers_from_its_hub_id(geofovea, tiny_folder, scene_path):
    extra = {"pytorch_model.bin": b"\x80\x04.", "run.py": b"raise SystemExit", "onnx/m.onnx": b"x"}
    with serving(files_of(tiny_folder) | extra) as hub:
        done = geofovea(hub, "models", "get", "owner/tiny", "--json")
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
        assert (told["commit"], told["license"]) == (COMMIT, "apache-2.0")
        assert "apache-2.0" in done.stderr
        # neither a pickle nor code was fetched
        assert set(hub.fetched) == set(told["files"]) == set(files_of(tiny_folder))
        before = len(hub.fetched)
        assert geofovea(hub, "models", "get", "owner/tiny").returncode == 0
        assert len(hub.fetched) == before
    few = ("--tiles", "8", "--tokens", "40")
    asked = geofovea(
        hub, "ask", scene_path, "What is it?", "--model", "owner/tiny", *few, HF_HUB_OFFLINE="1"
    )
    assert asked.returncode == 0, asked.stderr


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"model.safetensors": None, "pytorch_model.bin": b"\x80\x04."},
            "pickles are never opened",
        ),
        ({"config.json": None}, "no config.json"),
        ({"config.json": b'{"model_type": "bert"}'}, "supported are"),
        ({"config.json": b'{"model_type": "x", "auto_map": {}}'}, "code of its own"),
    ],
    ids=["pickle", "no configuration", "another family", "remote code"],
)
def test_a_model_that_could_not_be_used_is_refused_before_its_weights_are_fetched(
    geofovea, tiny_folder, change, words
):
    files = {n: d for n, d in (files_of(tiny_folder) | change).items() if d is not None}
    with serving(files) as hub:
        done = geofovea(hub, "models", "get", "owner/tiny")
    assert done.returncode == 1
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert set(hub.fetched) <= {"config.json"}


def test_a_name_that_the_hub_does_not_have_is_one_line(geofovea, tiny_folder):
    names = ["tiny", "a/b/c", "owner/other"]
    with serving(files_of(tiny_folder)) as hub:
        given = json.dumps([["models", "get", name] for name in names])
        done = geofovea(hub, program=VERBS_IN_ONE_PROCESS, given=given)
    for name, line in zip(names, done.stdout.splitlines(), strict=True):
        code, _, told = json.loads(line)
        assert code == 1
        assert len(told.splitlines()) == 1, told
        assert name in told


def test_a_hub_that_cannot_be_reached_is_one_line(geofovea, tiny_folder):
    with serving(files_of(tiny_folder)) as hub:
        pass
    done = geofovea(hub, "models", "get", "owner/tiny")
    assert done.returncode == 1
    assert "check the name, the connection" in done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
