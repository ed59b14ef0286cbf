"""``geofovea measure``: numbers for people, JSON for programs, lines for a map."""

import json

import pyproj
import pytest
import shapely
from cli_toys import is_one_error_line


@pytest.fixture
def measure(run, scene_path):
    """``measure(*arguments)`` of the synthetic scene with the embedded model."""
    return lambda *arguments: run("measure", scene_path, *arguments, "--model", "embedded")


@pytest.fixture(scope="module")
def site(world):
    (site,) = world.named_sites
    return site


def test_a_size_is_printed_with_its_error(measure, site, tmp_path):
    result = measure("How large is the", f"{site.kind}?")
    assert result.exit_code == 0, result.stderr
    first, second, *_ = result.stdout.splitlines()
    assert "±" in first
    assert first.endswith("sure)")
    assert second.strip().startswith(f"the area of the {site.kind} is")
    assert "looked at" in result.stdout


def test_a_program_gets_numbers_and_a_map(measure, site, tmp_path):
    path = tmp_path / "area.geojson"
    result = measure(f"area of the {site.kind} in square meters", "--json", "-o", path)
    assert result.exit_code == 0, result.stderr
    record = json.loads(result.stdout)
    (area,) = record["quantities"]
    assert area["unit"] == "m²"
    (feature,) = json.loads(path.read_text())["features"]
    shape = shapely.geometry.shape(feature["geometry"])
    assert shape.is_valid
    # the number is that of the outline on the map
    on_globe, _ = pyproj.Geod(ellps="WGS84").geometry_area_perimeter(shape)
    assert area["value"] == pytest.approx(abs(on_globe), rel=1e-4)
    assert record["geojson"]["features"] == [feature]


def test_what_is_not_there_ends_well_and_without_a_number(measure, site):
    result = measure("--from", site.kind, "--to", f"{site.kind} yard", "--json")
    assert result.exit_code == 0, result.stderr
    record = json.loads(result.stdout)
    assert record["answer"] is None
    assert record["quantities"] == []
    assert record["not_found"] or record["ambiguous"] or "same place" in record["sentence"]
    assert record["sentence"] in record["warnings"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "give a question, or both --from and --to"),
        (("--from", "pond"), "give a question, or both --from and --to"),
        (("how large is it", "--from", "a", "--to", "b"), "and not both"),
    ],
)
def test_half_a_question_is_wrong_usage(measure, arguments, message):
    result = measure(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("What is it?",), "not understood as a question about where"),
        (("--from", "pond", "--to", "the pond"), "needs two places"),
        (("How large is the camp?", "--focus", "overview"), "--focus"),
        (("How large is the camp?", "-o", "x.png"), "one of: .geojson, .json"),
    ],
)
def test_what_cannot_be_measured_is_one_line(measure, arguments, message):
    result = measure(*arguments)
    assert result.exit_code == 1
    assert is_one_error_line(result), result.stderr
    assert message in result.stderr


def test_a_batch_takes_rows_that_measure(run, scene_path, site, tmp_path):
    manifest = tmp_path / "rows.csv"
    manifest.write_text(
        "id,scene,question\n"
        f"size,{scene_path},measure: how large is the {site.kind}?\n"
        f"plain,{scene_path},What is the shape of the hall at the {site.kind}?\n"
        f"wrong,{scene_path},measure: what is it?\n"
    )
    out = tmp_path / "out"
    result = run("batch", manifest, "-o", out, "--model", "embedded", "--allow-failures")
    assert result.exit_code == 0, result.stderr
    rows = {r["id"]: r for r in map(json.loads, (out / "answers.jsonl").read_text().splitlines())}
    assert rows["size"]["measurement"]["quantities"][0]["name"] == "area"
    assert rows["size"]["answer"] == rows["size"]["measurement"]["answer"]
    assert rows["plain"]["measurement"] is None
    assert rows["wrong"]["status"] == "failed"
    assert "not understood as a question about where" in rows["wrong"]["error"]
