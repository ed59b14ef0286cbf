"""The doctor knows this machine, names commands that install, and does not flatter."""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError

import pytest
from click.testing import CliRunner

from geofovea.pipeline import doctor
from geofovea.pipeline.cli import main
from geofovea.pipeline.doctor import Device, Missing, examine, fits
from geofovea.pipeline.families import FAMILIES
from geofovea.pipeline.model_catalogue import CATALOGUE, bytes_needed

BY_NAME = {model.name: model for model in CATALOGUE}


@pytest.mark.parametrize(
    ("name", "kib"),
    [
        ("LLaVA-1.5 7B", 512),
        ("LLaVA-NeXT Mistral 7B", 128),
        ("LLaVA-OneVision 7B", 56),
        ("InternVL3 8B", 56),
        ("Qwen2.5-VL 7B", 56),
        ("Qwen2.5-VL 3B", 36),
        ("Qwen3-VL 8B", 144),
        ("Qwen3-VL 4B", 144),
        ("Qwen3-VL 2B", 112),
        ("SmolVLM2 2.2B", 192),
    ],
)
def test_keys_and_values_of_a_token_are_as_published(name, kib):
    assert BY_NAME[name].kv_bytes_a_token == kib * 1024


def test_memory_is_weights_and_keys_and_some_room():
    model = BY_NAME["LLaVA-1.5 7B"]
    few, many = (bytes_needed(model, 2, tokens) for tokens in (0, 20_000))
    assert many - few == 20_000 * 512 * 1024
    assert 14.1e9 < few < 17e9
    assert bytes_needed(model, 4, 0) - few == pytest.approx(2 * 7.06e9)


def test_a_model_fits_where_enough_is_free_and_not_where_enough_is_built_in():
    model = BY_NAME["Qwen2.5-VL 7B"]
    devices = (
        Device("cpu", "c", 200 * 10**9, 200 * 10**9),
        Device("cuda:0", "g", 80 * 10**9, 10 * 10**9),
        Device("cuda:1", "g", 24 * 10**9, 24 * 10**9),
    )
    assert fits(model, devices).devices == {"bfloat16": ("cpu", "cuda:1"), "float32": ("cpu",)}


def test_a_family_that_is_not_loaded_in_process_is_left_to_an_endpoint():
    assert fits(BY_NAME["LLaVA-1.5 7B"], ()).in_process
    assert {model.family for model in CATALOGUE if fits(model, ()).in_process} <= set(FAMILIES)


def test_models_are_listed_once_from_small_to_large():
    sizes = [model.billions for model in CATALOGUE]
    assert sizes == sorted(sizes)
    assert len({model.hub_id for model in CATALOGUE}) == len(CATALOGUE)


def test_this_machine_is_known():
    found = examine()
    host = found.devices[0]
    assert 0 < host.free_bytes <= host.total_bytes
    assert found.cores >= 1
    assert found.versions["torch"]
    assert json.loads(json.dumps(found.to_json()))["python"] == found.python


def test_what_is_missing_comes_with_the_command_that_installs_it(monkeypatch):
    present = doctor.version

    def without(name):
        if name in ("geopandas", "rasterio"):
            raise PackageNotFoundError(name)
        return present(name)

    monkeypatch.setattr(doctor, "version", without)
    missing = examine().missing
    assert Missing("geopandas", "geo", "pip install 'geofovea[geo]'") in missing
    assert Missing("rasterio", "", "pip install --upgrade geofovea") in missing


def test_a_container_is_not_given_what_the_machine_has(monkeypatch, tmp_path):
    limit = tmp_path / "memory.max"
    limit.write_text("1000000000\n")
    monkeypatch.setattr(doctor, "_CGROUP", limit)
    assert examine().devices[0].free_bytes <= 10**9
    limit.write_text("max\n")
    assert examine().devices[0].total_bytes > 10**9


def test_the_command_prints_a_table_or_one_object():
    told = CliRunner().invoke(main, ["doctor"])
    assert told.exit_code == 0, told.output
    for model in CATALOGUE:
        assert model.hub_id in told.stdout
    machine = CliRunner().invoke(main, ["doctor", "--json"])
    assert len(json.loads(machine.stdout)["fits"]) == len(CATALOGUE)
