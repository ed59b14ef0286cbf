"""What was found among the pixels of a scene is kept: the same as looked for, and never stale."""

import json
import os

import numpy as np
import pytest

from geofovea.errors import SceneReadError
from geofovea.tiling import open_scene, plan_radiometry
from geofovea.tiling.cache import findings as findings_module
from geofovea.tiling.cache.findings import (
    clear_findings,
    count_findings,
    findings_folder,
    measured_once,
)
from geofovea.tiling.pixels import border as border_module
from geofovea.tiling.pixels import radiometry_plan as plan_module


@pytest.fixture(autouse=True)
def few_pixels_count_as_many(monkeypatch):
    monkeypatch.setattr(findings_module, "_CHEAP_PIXELS", 1000)


@pytest.fixture
def looks(monkeypatch):
    """The names of what was looked for among pixels, in order."""
    seen = []
    for module, name in ((plan_module, "measure_stretch"), (border_module, "_find_border")):
        real = getattr(module, name)

        def look(*args, real=real, name=name):
            seen.append(name)
            return real(*args)

        monkeypatch.setattr(module, name, look)
    return seen


def deep(texture, height=300, width=400, bands=3):
    return texture(height, width, bands).astype("uint16") * 200


def with_collar(image):
    image[:, :40] = image[:, -40:] = image[:, :, :40] = image[:, :, -40:] = 0
    return image


LAYOUTS = [
    ("scene.tif", {}),
    ("scene.tif", {"tiled": True, "blockxsize": 64, "blockysize": 64}),
    ("scene.png", {"driver": "PNG"}),
    ("scene.jp2", {"driver": "JP2OpenJPEG"}),
]


@pytest.mark.parametrize(("name", "profile"), LAYOUTS)
@pytest.mark.parametrize("nodata", [None, 0, "auto"])
def test_a_kept_finding_equals_a_fresh_one(make_raster, texture, looks, name, profile, nodata):
    path = make_raster(with_collar(deep(texture)), name, **profile)
    fresh = open_scene(path, nodata=nodata)
    stretch = plan_radiometry(fresh)
    assert looks == ["_find_border"] * (nodata == "auto") + ["measure_stretch"]
    looks.clear()
    kept = open_scene(path, nodata=nodata)
    assert plan_radiometry(kept) == stretch
    assert kept == fresh
    assert (kept.identity, kept.missing) == (fresh.identity, fresh.missing)
    if kept.missing is not None:
        assert kept.missing.values == fresh.missing.values
    assert looks == []


def test_every_reference_raster_gives_the_same_from_the_cache(shared_raster, looks):
    if shared_raster.name.startswith("corrupt"):
        pytest.skip("damaged on purpose")
    for nodata in (None, "auto"):
        fresh = open_scene(shared_raster, allow_vrt=True, nodata=nodata)
        expected = plan_radiometry(fresh)
        looks.clear()
        kept = open_scene(shared_raster, allow_vrt=True, nodata=nodata)
        # JSON tells NaN from numbers, and NaN is not a number to compare
        assert repr(plan_radiometry(kept)) == repr(expected)
        assert repr(kept.missing) == repr(fresh.missing)
        small = fresh.width * fresh.height <= 1000
        assert looks == [] or small or fresh.driver == "VRT"


def test_another_choice_is_another_finding(make_raster, texture, looks):
    image = with_collar(deep(texture, bands=4))
    image[3] //= 2
    path = make_raster(image)
    for _ in range(2):
        stretches = {
            plan_radiometry(open_scene(path, nodata=nodata), bands).stretch
            for bands in ((1,), (4,), (1, 2, 3), (3, 2, 1))
            for nodata in (None, 0)
        }
        assert len(stretches) == 8
    assert looks == ["measure_stretch"] * 8


def test_a_scene_without_valid_pixels_warns_again(make_raster):
    path = make_raster(np.zeros((1, 100, 100), "uint16"), nodata=0)
    first, second = (plan_radiometry(open_scene(path)) for _ in range(2))
    assert first == second
    assert any("no valid pixel" in warning for warning in second.warnings)
    assert count_findings()[0] == 1


def test_another_content_under_the_same_name_is_looked_at(make_raster, texture, looks):
    path = make_raster(deep(texture))
    before, stamp = plan_radiometry(open_scene(path)).stretch, path.stat()
    make_raster(deep(texture) // 3)
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns + 1))
    after = plan_radiometry(open_scene(path)).stretch
    assert after[0][1] < before[0][1] / 2
    assert len(looks) == 2


def test_a_scene_that_changed_since_it_was_opened_is_not_answered_from_the_cache(
    make_raster, texture
):
    path = make_raster(deep(texture))
    scene = open_scene(path)
    plan_radiometry(scene)
    path.write_bytes(path.read_bytes())
    with pytest.raises(SceneReadError, match="open the scene again"):
        plan_radiometry(scene)


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[: len(text) // 2],
        lambda text: "[]",
        lambda text: "[" * 100_000,
        lambda text: text.replace("1", "2", 1),
        lambda text: text.replace('"stretch": [[', '"stretch": [[1'),
        lambda text: json.dumps(json.loads(text) | {"content": {}}),
        lambda text: "\0" * len(text),
    ],
)
def test_a_damaged_finding_is_found_again_and_mended(make_raster, texture, looks, damage):
    path = make_raster(deep(texture))
    truth = plan_radiometry(open_scene(path))
    (kept,) = findings_folder().iterdir()
    text = kept.read_text()
    assert damage(text) != text
    kept.write_text(damage(text))
    assert plan_radiometry(open_scene(path)) == truth
    assert kept.read_text() == text
    assert len(looks) == 2


def test_the_finding_of_another_scene_is_not_believed(make_raster, texture):
    first = make_raster(deep(texture), "a.tif")
    second = make_raster(deep(texture) // 2, "b.tif")
    plan_radiometry(open_scene(first))
    (of_first,) = findings_folder().iterdir()
    truth = plan_radiometry(open_scene(second))
    (of_second,) = set(findings_folder().iterdir()) - {of_first}
    of_second.write_bytes(of_first.read_bytes())
    assert plan_radiometry(open_scene(second)) == truth


def test_a_cache_that_cannot_be_written_costs_a_look_and_no_error(
    make_raster, texture, looks, tmp_path, monkeypatch
):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GEOFOVEA_CACHE_DIR", str(tmp_path / "file"))
    path = make_raster(deep(texture))
    assert plan_radiometry(open_scene(path)) == plan_radiometry(open_scene(path))
    assert len(looks) == 2


def test_a_full_disk_leaves_nothing_half_written(make_raster, texture, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    scene = open_scene(make_raster(deep(texture)))
    monkeypatch.setattr(findings_module.json, "dump", full)
    assert plan_radiometry(scene).stretch is not None
    assert list(findings_folder().iterdir()) == []


def test_nothing_is_kept_of_small_or_virtual_scenes_nor_of_eight_bits(
    make_raster, texture, monkeypatch
):
    plan_radiometry(open_scene(make_raster(texture(300, 400), "eight.tif")))
    deep_path = make_raster(deep(texture), "deep.tif")
    xml = (
        '<VRTDataset rasterXSize="400" rasterYSize="300"><VRTRasterBand dataType="UInt16" band="1">'
        f"<SimpleSource><SourceFilename>{deep_path}</SourceFilename></SimpleSource>"
        "</VRTRasterBand></VRTDataset>"
    )
    (deep_path.parent / "scene.vrt").write_text(xml)
    for name in (xml, deep_path.parent / "scene.vrt"):
        plan_radiometry(open_scene(name, allow_vrt=True))
    monkeypatch.setattr(findings_module, "_CHEAP_PIXELS", 400 * 300)
    plan_radiometry(open_scene(deep_path))
    assert count_findings() == (0, 0)
    assert not findings_folder().exists()


def test_findings_are_few_and_the_oldest_go_first(make_raster, texture, monkeypatch):
    monkeypatch.setattr(findings_module, "_MOST_FILES", 10)
    source = open_scene(make_raster(deep(texture))).source
    for number in range(30):
        assert measured_once(source, 10_000, f"number {number}", lambda n=number: n) == number
        assert count_findings()[0] <= 10
        # the first is wanted all the time, so it stays
        assert measured_once(source, 10_000, "number 0", lambda: "forgotten") == 0
        for age, path in enumerate(sorted(findings_folder().iterdir(), key=os.path.getmtime)):
            os.utime(path, (1e9 + age, 1e9 + age))


def test_findings_are_counted_and_cleared(make_raster, texture, looks):
    path = make_raster(with_collar(deep(texture)))
    plan_radiometry(open_scene(path, nodata="auto"))
    number, size = count_findings()
    assert number == 2
    assert size > 0
    assert clear_findings() == (2, size)
    assert count_findings() == clear_findings() == (0, 0)
    plan_radiometry(open_scene(path, nodata="auto"))
    assert len(looks) == 4
