"""The doctor knows this machine, names commands that install, and does not flatter."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import warnings
from importlib.metadata import PackageNotFoundError
from types import SimpleNamespace

import pytest
import torch
from click.testing import CliRunner
from repository import ROOT

from geofovea.pipeline.cli import main
from geofovea.pipeline.cli.doctor import examine_here, loadable_families
from geofovea.pipeline.hosts.families.registry import FAMILIES
from geofovea.pipeline.system import doctor, installation
from geofovea.pipeline.system.doctor import (
    TOGETHER,
    Device,
    Missing,
    fits,
)
from geofovea.pipeline.system.installation import missing_packages
from geofovea.pipeline.system.model_catalog import (
    CATALOG,
    FOUR_BIT,
    QUESTION_TOKENS,
    RUNTIME_BYTES,
    bytes_needed,
    working_bytes,
)
from geofovea.tiling.machine import cores
from geofovea.tiling.machine.container_limits import ContainerLimits, container_limits

BY_NAME = {model.name: model for model in CATALOG}


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
    assert BY_NAME[name].kv_bytes(1) == kib * 1024


def test_memory_is_weights_and_keys_and_some_room():
    model = BY_NAME["LLaVA-1.5 7B"]
    few, many = (bytes_needed(model, 2, tokens) for tokens in (0, 20_000))
    # 16 tiles of 46 MB are more than no token, and less than 20,000 of 99 kB
    room = [working_bytes(model, 2, tokens) - RUNTIME_BYTES for tokens in (0, 20_000)]
    assert room == [16 * 46e6, 20_000 * 99e3]
    assert many - few == 20_000 * 512 * 1024 + room[1] - room[0]
    assert 14.1e9 < few < 17e9
    assert bytes_needed(model, 4, 0) - few == pytest.approx(2 * 7.06e9 + room[0])


def test_experts_stay_whole_where_the_rest_is_quantized():
    dense, mixed = BY_NAME["Qwen3-VL 32B"], BY_NAME["Qwen3-VL 30B-A3B"]
    dense_share, mixed_share = (
        bytes_needed(m, FOUR_BIT, 4096) / bytes_needed(m, 2, 4096) for m in (dense, mixed)
    )
    assert dense_share < 0.4
    assert mixed_share > 0.9


def test_a_model_fits_where_enough_is_free_and_not_where_enough_is_built_in():
    model = BY_NAME["Qwen2.5-VL 7B"]
    devices = (
        Device("cpu", "c", 200 * 10**9, 200 * 10**9),
        Device("cuda:0", "g", 80 * 10**9, 10 * 10**9),
        Device("cuda:1", "g", 24 * 10**9, 24 * 10**9),
    )
    assert fits(model, devices, FAMILIES).devices == {
        "bfloat16": ("cpu", "cuda:1"),
        "float32": ("cpu",),
        # bitsandbytes computes on accelerators
        "4bit": ("cuda:0", "cuda:1"),
    }


def test_a_family_that_is_not_loaded_in_process_is_left_to_an_endpoint():
    assert fits(BY_NAME["LLaVA-1.5 7B"], (), loadable_families()).in_process
    assert {
        model.family for model in CATALOG if fits(model, (), loadable_families()).in_process
    } <= set(FAMILIES)


def test_models_are_listed_once_from_small_to_large():
    sizes = [model.billions for model in CATALOG]
    assert sizes == sorted(sizes)
    assert len({model.hub_id for model in CATALOG}) == len(CATALOG)


def test_this_machine_is_known():
    found = examine_here()
    host = found.devices[0]
    assert 0 < host.free_bytes <= host.total_bytes
    assert found.cores >= 1
    assert found.versions["torch"]
    assert json.loads(json.dumps(found.to_json()))["python"] == found.python


def with_versions(monkeypatch, **told):
    """As if these versions were installed; None is not there."""
    present = installation.version

    def version(name):
        found = told.get(name, "") if name in told else present(name)
        if found is None:
            raise PackageNotFoundError(name)
        return found

    monkeypatch.setattr(installation, "version", version)


def test_what_is_missing_comes_with_the_command_that_installs_it(monkeypatch):
    with_versions(monkeypatch, geopandas=None, rasterio=None)
    missing = examine_here().missing
    assert Missing("geopandas", "geo", "pip install 'geofovea[geo]'") in missing
    assert Missing("rasterio", "", "pip install 'rasterio>=1.4.3'") in missing


def test_what_is_too_old_comes_with_the_command_that_renews_it(monkeypatch):
    with_versions(monkeypatch, transformers="4.57.1", matplotlib="3.1", numpy="2.0.0rc1")
    found = {missing.package: missing for missing in examine_here().missing}
    old = found["transformers"]
    assert old.command == "pip install 'transformers>=5.2'"
    assert old.reason == "is 4.57.1, needed is >=5.2"
    assert found["matplotlib"].command == "pip install 'geofovea[train]'"
    # a candidate of 2.0 is none of 2.0
    assert found["numpy"].reason.startswith("is 2.0.0rc1")
    assert "torch" not in found


def test_what_is_installed_and_does_not_work_is_told(monkeypatch):
    def broken(name):
        if name == "pyvips":
            raise OSError("libvips.so.42: cannot open\nshared object file")

    monkeypatch.setattr(installation, "import_module", broken)
    found = {m.package: m for m in examine_here().missing if not m.extra}
    assert list(found) == ["pyvips"]
    assert found["pyvips"].command == "pip install --force-reinstall 'pyvips[binary]>=3.0'"
    assert "OSError: libvips.so.42: cannot open shared object file" in found["pyvips"].reason


@pytest.mark.parametrize(
    ("condition", "is_missing"),
    [
        ("extra == 'x'", True),
        ("python_version < '3' and extra == 'x'", False),
        ("(python_version >= '3') and extra == 'x'", True),
        ("python_version < '3'", False),
    ],
)
def test_what_is_for_another_machine_is_not_missed(monkeypatch, condition, is_missing):
    metadata = SimpleNamespace(requires=[f"nothing-of-this-name>=1; {condition}"])
    monkeypatch.setattr(installation, "distribution", lambda name: metadata)
    assert bool(missing_packages()) == is_missing


WITHOUT = """
import importlib.metadata as metadata, sys

names = set(sys.argv[1].split(","))

class Gone:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

found = metadata.Distribution.from_name.__func__

def from_name(kind, name):
    if name in names:
        raise metadata.PackageNotFoundError(name)
    return found(kind, name)

sys.meta_path.insert(0, Gone())
metadata.Distribution.from_name = classmethod(from_name)
from geofovea.pipeline.cli import main
from geofovea.pipeline.cli.doctor import examine_here, loadable_families
main(["doctor", *sys.argv[2:]])
"""


@pytest.mark.parametrize(
    ("names", "commands"),
    [
        ("torch", ["pip install 'torch>=2.4'"]),
        (
            "transformers,rasterio",
            ["pip install 'transformers>=5.2'", "pip install 'rasterio>=1.4.3'"],
        ),
        ("rich,numpy,packaging", ["pip install 'rich>=13'", "pip install 'numpy>=2.0'"]),
    ],
)
def test_the_doctor_needs_none_of_what_it_misses(names, commands, tmp_path):
    there = {**os.environ, "HOME": str(tmp_path / "nowhere")}
    program = [sys.executable, "-c", WITHOUT, names]
    told = subprocess.run(program, env=there, capture_output=True, text=True, timeout=120)
    assert (told.returncode, told.stderr) == (0, "")
    for command in commands:
        assert command in told.stdout
    assert CATALOG[0].hub_id in told.stdout
    # what is there is not blamed for what is not
    assert "cannot be imported" not in told.stdout
    machine = subprocess.run([*program, "--json"], env=there, capture_output=True, timeout=120)
    found = json.loads(machine.stdout)
    can_load = not {"torch", "transformers"} & set(names.split(","))
    assert [fit["in_process"] for fit in found["fits"]] == [can_load] * len(CATALOG)


def group(root, path, **files):
    folder = root / path
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(f"{text}\n")


def test_a_container_is_not_given_what_the_machine_has(tmp_path):
    own = tmp_path / "own"
    own.write_text("0::/outer/inner\n")
    assert container_limits(tmp_path, own) == ContainerLimits()
    group(tmp_path, "outer", memory__max=10**9, cpu__max="150000 100000")
    group(tmp_path, "outer/inner", memory__max="max", cpu__max="max 100000")
    assert container_limits(tmp_path, own) == ContainerLimits(10**9, 10**9, 2)
    stat = "anon 7\ninactive_file 300000000"
    group(tmp_path, "outer", memory__current=800_000_000, memory__stat=stat)
    assert container_limits(tmp_path, own).free_bytes == 500_000_000
    # within a container its own group is at the root, whatever its name outside
    own.write_text("0::/../elsewhere\n")
    group(tmp_path, ".", memory__max=4 * 10**8, memory__current=5 * 10**8)
    assert container_limits(tmp_path, own) == ContainerLimits(4 * 10**8, 0, None)


def test_groups_of_the_first_version_hold_too(tmp_path):
    own = tmp_path / "own"
    own.write_text("4:memory:/job\n2:cpu,cpuacct:/job\n0::/\n")
    unlimited = 9223372036854771712
    group(tmp_path, "memory", memory__limit_in_bytes=unlimited, memory__usage_in_bytes=5)
    limits = {"memory__limit_in_bytes": 10**9, "memory__usage_in_bytes": 400_000_000}
    group(tmp_path, "memory/job", **limits, memory__stat="total_inactive_file 100000000")
    group(tmp_path, "cpu,cpuacct/job", cpu__cfs_quota_us=50_000, cpu__cfs_period_us=100_000)
    assert container_limits(tmp_path, own) == ContainerLimits(10**9, 700_000_000, 1)
    group(tmp_path, "cpu,cpuacct/job", cpu__cfs_quota_us=-1)
    assert container_limits(tmp_path, own).cores is None


def test_what_a_container_allows_is_what_fits(monkeypatch):
    few = ContainerLimits(10**9, 10**8, 1)
    for where in (doctor, cores):
        monkeypatch.setattr(where, "container_limits", lambda: few)
    assert cores.usable_cores() == 1
    found = examine_here()
    assert (found.devices[0].total_bytes, found.devices[0].free_bytes) == (10**9, 10**8)
    assert found.cores == 1
    assert not any("cpu" in names for fit in found.fits for names in fit.devices.values())


@pytest.mark.parametrize("name", ["SmolVLM2 500M", "Qwen2.5-VL 7B", "Qwen2.5-VL 72B"])
def test_a_byte_decides_whether_a_model_fits(name):
    needed = fits(BY_NAME[name], (), FAMILIES).needed_bytes["bfloat16"]

    def here(free):
        return fits(BY_NAME[name], (Device("cpu", "c", free, free),), FAMILIES).devices["bfloat16"]

    for free, held in ((needed, ("cpu",)), (needed - 1, ())):
        assert here(free) == held


def test_a_model_that_fits_no_gpu_may_fit_several():
    model = BY_NAME["Qwen3-VL 32B"]
    needed = fits(model, (), FAMILIES).needed_bytes["bfloat16"]
    host = Device("cpu", "c", 10**9, 10**9)

    def held(count, free):
        gpus = tuple(Device(f"cuda:{i}", "g", free, free) for i in range(count))
        return fits(model, (host, *gpus), FAMILIES).devices["bfloat16"]

    enough = needed // 2 + 10**9
    assert held(1, enough) == ()
    assert held(2, enough) == (TOGETHER,)
    # each of them needs room to work in
    assert held(2, needed // 2) == ()
    assert held(2, needed) == ("cuda:0", "cuda:1")


class Cuda:
    """A build for CUDA on a machine that this is not."""

    def __init__(self, gpus, warning=""):
        self.gpus, self.warning = gpus, warning

    def is_available(self):
        if self.warning:
            warnings.warn(self.warning, stacklevel=2)
        return bool(self.gpus)

    def device_count(self):
        return len(self.gpus)

    def mem_get_info(self, index):
        if self.gpus[index] is None:
            raise RuntimeError("CUDA error: all CUDA-capable devices\nare busy")
        return self.gpus[index]

    def get_device_name(self, index):
        return "a GPU"


@pytest.fixture
def make_cuda(monkeypatch):
    def make(*gpus, warning=""):
        monkeypatch.setattr(torch.version, "cuda", "12.8")
        monkeypatch.setattr(torch, "cuda", Cuda(gpus, warning))
        return examine_here()

    return make


def test_gpus_are_listed_and_one_that_is_busy_hides_no_other(make_cuda):
    found = make_cuda((10, 20), None, (30, 40))
    assert [device.name for device in found.devices] == ["cpu", "cuda:0", "cuda:2"]
    assert found.devices[2] == Device("cuda:2", "a GPU", 40, 30)
    assert found.notes == ("cuda:1 cannot be asked: CUDA error: all CUDA-capable devices are busy",)


def test_a_build_for_gpus_without_a_driver_says_what_it_lacks(make_cuda):
    found = make_cuda(warning="CUDA initialization: Found no NVIDIA driver on your\nsystem.")
    assert [device.name for device in found.devices] == ["cpu"]
    (note,) = found.notes
    assert note.startswith("torch is built for CUDA 12.8, but: CUDA initialization: Found no")
    assert "\n" not in note


def test_a_gpu_that_a_build_for_the_cpu_cannot_use_is_told(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(doctor, "_DRIVER", tmp_path)
    (note,) = examine_here().notes
    assert note.endswith("is built for the CPU alone: pip install --force-reinstall torch")


def test_the_readme_has_the_download_and_the_memory_of_the_catalog():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    known = {m.name.replace("500M", "0.5B"): m for m in CATALOG}
    row = r"^\| ([\w.-]+) ([\d.]+B), ([\d.]+B) \| (\d+) GB, (\d+) GB \| (\d+) GB, (\d+) GB \|"
    rows = re.findall(row, text, re.MULTILINE)
    assert len(rows) == 3
    for family, one, other, *sizes in rows:
        models = [known[f"{family} {size}"] for size in (one, other)]
        stated = [round(m.download_gb) for m in models]
        stated += [round(bytes_needed(m, 2, QUESTION_TOKENS) / 1e9) for m in models]
        assert [int(size) for size in sizes] == stated, family


def test_the_command_prints_a_table_or_one_object():
    told = CliRunner().invoke(main, ["doctor"])
    assert told.exit_code == 0, told.output
    fits = json.loads(CliRunner().invoke(main, ["doctor", "--json"]).stdout)["fits"]
    assert len(fits) == len(CATALOG)
    shown = [fit["hub_id"] for fit in fits if f"{fit['hub_id']} " in told.stdout]
    others = re.search(r"not fitting here: (\d+) model", told.stdout)
    assert len(shown) + (int(others[1]) if others else 0) == len(CATALOG)
