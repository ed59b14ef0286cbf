"""An answer that is there stays, whatever fails after it; a warning says what is missing."""

import json

import geopandas
import pytest
import rasterio
import shapely
from click.testing import CliRunner
from pipeline_toys import QUESTION
from rasterio.transform import Affine

from geofovea.pipeline.answers.afterwork import Afterwork
from geofovea.pipeline.cli import main
from geofovea.regionfocus.budget import Budget

FEW = Budget(tiles=10, tokens=60)


class FaultError(Exception):
    """What nobody expects."""


def fail(*_args, **_more):
    raise FaultError("no luck")


def test_what_fails_is_replaced_and_told_once():
    after = Afterwork()
    assert after.attempt("a sum", lambda: 1 + 1, None) == 2
    assert [after.attempt("a place", fail, "nowhere") for _ in range(3)] == ["nowhere"] * 3
    (warning,) = after.warnings
    assert "a place" in warning
    assert "FaultError: no luck" in warning
    with pytest.raises(KeyboardInterrupt):
        after.attempt("a break", lambda: (_ for _ in ()).throw(KeyboardInterrupt), None)


DURING = ["evidence_of", "record_of", "answer_warnings", "answer_flops"]


@pytest.mark.parametrize("name", DURING)
def test_a_session_answers_where_what_follows_the_answer_fails(make_session, monkeypatch, name):
    plain = make_session().ask(QUESTION, budget=FEW)
    session = make_session()
    monkeypatch.setattr(f"geofovea.pipeline.session.assembly.{name}", fail)
    answer = session.ask(QUESTION, budget=FEW)
    assert (answer.text, answer.confidence) == (plain.text, plain.confidence)
    assert any("no luck" in warning for warning in answer.warnings)


PLACES = {
    "lonlat_from_scene": ("evidence_list", "features"),
    "area_m2": ("features",),
    "geometry_crs": ("features",),
}


@pytest.mark.parametrize("name", PLACES)
def test_evidence_is_written_where_its_places_fail(make_session, monkeypatch, tmp_path, name):
    answer = make_session().ask(QUESTION, budget=FEW)
    for module in PLACES[name]:
        monkeypatch.setattr(f"geofovea.pipeline.answers.{module}.{name}", fail)
    record = answer.to_json()
    assert (record["answer"], len(record["evidence"])) == (answer.text, len(answer.evidence))
    assert any("no luck" in w for w in record["warnings"]) == (name == "lonlat_from_scene")
    answer.evidence.to_geojson(tmp_path / "e.geojson")
    written = json.loads((tmp_path / "e.geojson").read_text())
    assert len(written["features"]) == len(answer.evidence.tiles)
    assert ("warnings" in written) == (name != "geometry_crs")
    frame = answer.evidence.to_geodataframe()
    assert len(frame) == len(answer.evidence.tiles)
    assert ("warnings" in frame.attrs) == (name != "lonlat_from_scene")
    answer.evidence.to_geoparquet(tmp_path / "e.parquet")
    assert len(geopandas.read_parquet(tmp_path / "e.parquet")) == len(answer.evidence.tiles)


def test_every_part_of_a_record_may_fail_but_the_answer(make_session, monkeypatch):
    answer = make_session().ask(QUESTION, budget=FEW)
    for owner, name in (
        ("geofovea.pipeline.answers.cost.Cost", "to_json"),
        ("geofovea.pipeline.answers.evidence_list.EvidenceList", "to_json"),
        ("geofovea.tiling.pixels.radiometry.Radiometry", "to_json"),
    ):
        monkeypatch.setattr(f"{owner}.{name}", fail)
    record = answer.to_json()
    assert record["answer"] == answer.text
    assert [record[name] for name in ("cost", "evidence", "radiometry")] == [None] * 3
    assert sum("no luck" in warning for warning in record["warnings"]) == 3


def test_a_picture_that_fails_leaves_the_words(make_session, monkeypatch):
    answer = make_session().ask(QUESTION, budget=FEW)
    monkeypatch.setattr("geofovea.pipeline.answers.html.draw_answer", fail)
    assert "no luck" in answer._repr_html_()


SMALL = ("--tiles", "6", "--tokens", "60")


@pytest.mark.parametrize(
    ("target", "code"),
    [
        ("geofovea.pipeline.answers.evidence_list.lonlat_from_scene", 0),
        ("geofovea.pipeline.answers.features.area_m2", 0),
        # a file is missing
        ("geofovea.pipeline.answers.evidence_files.write_text", 1),
        ("geofovea.pipeline.answers.picture.draw_answer", 1),
        ("geofovea.pipeline.session.assembly.answer_warnings", 0),
    ],
)
def test_the_shell_prints_the_answer_whatever_fails_after_it(
    scene_path, tmp_path, monkeypatch, target, code
):
    files = ["--evidence", str(tmp_path / "e.geojson"), "--picture", str(tmp_path / "p.png")]
    ask = ["ask", str(scene_path), QUESTION, *SMALL, *files]
    monkeypatch.setattr(target, fail)
    result = CliRunner().invoke(main, [*ask, "--json"])
    assert result.exit_code == code, result.output
    record = json.loads(result.stdout)
    assert record["answer"]
    told = "".join(record["warnings"])
    if "area_m2" in target:
        told += (tmp_path / "e.geojson").read_text()
    assert "no luck" in told
    assert CliRunner().invoke(main, ask).exit_code == code


@pytest.mark.parametrize(
    "target",
    [
        "geofovea.tiling.geo.coordinates.polygon_lonlat",
        "geofovea.pipeline.answers.evidence_list.lonlat_from_scene",
        "geofovea.pipeline.runs.batch.write_geoparquet",
        "geofovea.pipeline.session.assembly.answer_warnings",
    ],
)
def test_a_batch_keeps_its_answers_whatever_fails_after_them(
    scene_path, tmp_path, monkeypatch, target
):
    monkeypatch.setattr(target, fail)
    out = tmp_path / "out"
    batch = ["batch", str(scene_path), "--question", QUESTION, "--output", str(out), *SMALL]
    result = CliRunner().invoke(main, [*batch, "--json"])
    assert result.exit_code == 0, result.output
    (row,) = [json.loads(line) for line in (out / "answers.jsonl").read_text().splitlines()]
    assert row["status"] == "answered"
    assert row["answer"]
    notes = json.loads(result.stdout)["notes"]
    assert "no luck" in "".join([*row["warnings"], *notes])


def test_a_number_that_json_lacks_does_not_cost_the_row(scene_path, world, tmp_path, monkeypatch):
    monkeypatch.setattr("geofovea.pipeline.session.assembly.confidence_of", lambda *_: float("nan"))
    out = tmp_path / "out"
    question = f"What is the color of the plane at the {world.named_sites[0].kind}?"
    batch = ["batch", str(scene_path), "--question", question, "--output", str(out), *SMALL]
    assert CliRunner().invoke(main, [*batch, "--jsonl-only"]).exit_code == 0
    row = json.loads((out / "answers.jsonl").read_text())
    assert (row["status"], row["confidence"]) == ("answered", None)
    assert "not finite" in "".join(row["warnings"])


def test_polygons_without_a_crs_are_asked_about_or_told(scene_path, tmp_path):
    # where no number is both a pixel and a place
    moved = tmp_path / "moved.tif"
    moved.write_bytes(scene_path.read_bytes())
    with rasterio.open(moved, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as scene:
        scene.transform = Affine(1, 0, 500_000, 0, -1, 5_400_000)
        bounds = shapely.box(*scene.bounds).buffer(-500 * scene.res[0])
    batch = ["batch", str(moved), "--question", QUESTION, *SMALL, "--jsonl-only"]
    for name, shape in (("ground", bounds), ("pixels", shapely.box(5, 5, 900, 900))):
        geopandas.GeoDataFrame(geometry=[shape], crs=None).to_parquet(tmp_path / f"{name}.parquet")

    def run(name, *more):
        files = ["--regions", str(tmp_path / f"{name}.parquet"), "--output"]
        folder = tmp_path / "-".join((name, *more)).replace(":", "")
        result = CliRunner().invoke(main, [*batch, *files, str(folder), *more])
        return result, folder / "answers.jsonl"

    refused, _ = run("ground")
    assert refused.exit_code == 1
    assert "--region-crs" in refused.stderr
    taken, rows = run("pixels")
    assert taken.exit_code == 0, taken.output
    assert "taken for pixels" in rows.read_text()
    said, rows = run("pixels", "--region-crs", "pixels")
    assert said.exit_code == 0, said.output
    assert "taken for pixels" not in rows.read_text()
