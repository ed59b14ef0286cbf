"""What would run on a GPU, on a device that is not there: it takes no tensor of the CPU."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import family_toys
import pytest
import rasterio
import torch
from family_toys import QUESTION
from pipeline_toys import texture

import geofovea as gf
import gpu_floor
import gpu_pipeline
from geofovea.pipeline.hosts.families.registry import FAMILIES
from geofovea.pipeline.hosts.lvlm import LvlmHost
from geofovea.pipeline.session.request import AskRequest
from geofovea.regionfocus.reductions.primitives.dispersion import farthest_first
from geofovea.regionfocus.reductions.primitives.similarity import unit_rows
from pretend_device import DEVICE, Far, PretendDevice, to_device

BUDGET = gf.Budget(tiles=5, tokens=24)


@pytest.fixture
def device() -> Iterator[PretendDevice]:
    """The device, in use."""
    with PretendDevice() as device:
        yield device


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scene of some levels."""
    path = tmp_path_factory.mktemp("scene") / "scene.tif"
    profile = {"width": 400, "height": 300, "count": 3, "dtype": "uint8"}
    transform = rasterio.Affine(10, 0, 500000, 0, -10, 5000000)
    with rasterio.open(path, "w", crs="EPSG:32633", transform=transform, **profile) as scene:
        scene.write(texture(300, 400))
    return path


def host_there(family: str, monkeypatch: pytest.MonkeyPatch) -> LvlmHost:
    """A host as `family_toys.host_of` makes it, its model on the device."""
    model = to_device(copy.deepcopy(family_toys.model_of(family)))
    with monkeypatch.context() as patched:
        patched.setattr(family_toys, "model_of", lambda *_: model)
        return family_toys.host_of(family)


def told(answer: Any) -> tuple[Any, ...]:
    """What must not depend on the device."""
    evidence = [(e.tile, e.tokens) for e in answer.evidence]
    return answer.text, round(answer.confidence, 5), answer.choices, evidence


# linear layers take a minute there: every step of their recurrence is a launch that is looked at
@pytest.mark.parametrize("family", sorted(name for name in FAMILIES if "qwen3_5" not in name))
def test_a_family_answers_there_as_here(
    family: str, device: PretendDevice, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    near, far = family_toys.host_of(family), host_there(family, monkeypatch)
    here, there = (gf.SceneSession(gf.open_scene(picture), host) for host in (near, far))
    # what is asked below needs no kind of its own here: every launch is looked at, and takes long
    kind: dict[str, Any] = {"choices": ("a plane", "water")}
    if near.capabilities.stages:
        kind["reduction"] = "divprune+fastv:0.5"
    one, other = (session.ask(QUESTION, budget=BUDGET, **kind) for session in (there, here))
    assert told(one) == told(other)
    words = [QUESTION, "how many planes are at the airport ?"]
    questions = [AskRequest(question, budget=BUDGET) for question in words]
    for one, other in zip(there.ask_many(questions), here.ask_many(questions), strict=True):
        assert told(one) == told(other)
    assert device.launches.total() > 0
    assert device.waits.total() > 0


@pytest.mark.slow
def test_the_benchmark_of_the_pipeline_and_its_rivals_run_there(
    device: PretendDevice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = gpu_pipeline.build

    def build_there(shape: gpu_pipeline.Shape, *_: object) -> torch.nn.Module:
        return to_device(build(shape, torch.device("cpu"), torch.float32))

    monkeypatch.setattr(gpu_pipeline, "build", build_there)
    monkeypatch.setattr(gpu_pipeline, "measure_rates", lambda *_: gpu_floor.Rates(1e12, 1e11))
    command = ["gpu_pipeline.py", "--shape", "tiny", "--device", str(DEVICE), "--side", "1024"]
    command += ["--answer", "3", "--tiles", "20", "--tokens", "60", "--minutes", "60"]
    monkeypatch.setattr("sys.argv", [*command, "--output", str(tmp_path)])
    gpu_pipeline.main()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["figures.json", "pipeline.png"]
    figures = json.loads((tmp_path / "figures.json").read_text())
    courses = figures["courses"]
    for name in ("first question", "second question", "any resolution", "published steps"):
        counts = courses[name]["counts"]
        assert counts["prompt"] > counts["tokens"] > 0
        assert courses[name]["seconds"]["decode"] > 0
    assert (figures["skipped"], figures["failed"]) == ([], {})
    assert device.launches.total() > 0


def test_a_choice_among_many_tokens_waits_once_a_round_and_not_once_a_pick(
    device: PretendDevice,
) -> None:
    made = torch.Generator().manual_seed(1)
    x = torch.randn(2000, 16, generator=made)
    weights = torch.rand(2000, generator=made) + 0.01
    broken = torch.zeros(2000, dtype=torch.bool)
    order = farthest_first(unit_rows(x), broken, 3, 600, weights)
    assert device.waits.total() == 0
    far = farthest_first(unit_rows(Far(x)), Far(broken), 3, 600, Far(weights))
    assert far.tolist() == order.tolist()
    assert 0 < device.waits.total() < 60


def test_the_device_refuses_what_a_gpu_refuses_and_counts_what_it_is_asked(
    device: PretendDevice,
) -> None:
    here, there = torch.ones(3), torch.ones(3).to(DEVICE)
    assert there.device == DEVICE
    with pytest.raises(RuntimeError, match="same device"):
        here + there
    with pytest.raises(RuntimeError, match="same device"):
        there[0:2] = here[0:2]
    with pytest.raises(TypeError, match="numpy"):
        there.numpy()
    device.launches.clear()
    device.waits.clear()
    there.mul_(2)
    assert there[torch.tensor([0, 2])].sum().item() == 4
    assert (there + torch.tensor(1.0)).tolist() == [3, 3, 3]
    assert not device.launches["view"]
    assert device.launches["mul_"] == device.launches["sum"] == device.launches["add"] == 1
    assert device.waits == {"_local_scalar_dense": 1, "tolist": 1}
    assert torch.equal(there.cpu(), 2 * here)
