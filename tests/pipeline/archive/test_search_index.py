"""A search answers from vectors alone, and says where these are not what the files are now."""

import json
import os
import shutil
from pathlib import Path

import pytest
from dual_encoders import write_encoder
from PIL import Image
from pipeline_toys import texture

import geofovea as gf
from geofovea.errors import DataError, ModelError, QuestionError
from geofovea.pipeline.archive.allowance import IndexBudget
from geofovea.pipeline.archive.build import build_index
from geofovea.pipeline.archive.search import search_index
from geofovea.pipeline.focus.dual_encoder import load_dual_encoder
from geofovea.tiling.pixels.radiometry_plan import plan_radiometry
from geofovea.tiling.reader import TileReader

PHRASES = ("red roof", "a harbor with ships", "pond")


@pytest.fixture
def index(tmp_path, archive, encoder_folder):
    folder = tmp_path / "index"
    build_index(folder, archive, encoder=str(encoder_folder), levels=[1, 2])
    return folder


def full_search(archive, encoder_folder, phrase):
    """The best cosine of each scene, from its pixels in full precision."""
    encoder = load_dual_encoder(str(encoder_folder))
    text, best = encoder.embed_text(phrase).numpy(), {}
    for path in sorted(archive.glob("*.tif")):
        scene = gf.open_scene(path)
        reader = TileReader(scene, scene.pyramid(32), plan_radiometry(scene))
        every = [reader.read(tile) for level in (1, 2) for tile in reader.pyramid.tiles(level)]
        pictures = [tile.rgb for tile in every if tile.valid.any()]
        best[str(path)] = float((encoder.embed_pictures(pictures).numpy() @ text).max())
    return best


def test_scenes_are_ranked_as_by_a_full_search(index, archive, encoder_folder):
    expected = {phrase: full_search(archive, encoder_folder, phrase) for phrase in PHRASES}
    # nothing is read: the files are not even there
    shutil.move(archive, archive.with_name("away"))
    for phrase, best in expected.items():
        result = search_index(index, phrase)
        cosines = {each.scene.name: each.cosine for each in result.scenes}
        assert cosines == pytest.approx(best, abs=4e-3)
        assert list(cosines.values()) == sorted(cosines.values(), reverse=True)
        assert result.deviations(result.scenes[0].hits[0]) > 0
        assert result.warnings == (
            "3 scenes: no longer where the index has them; their tiles are compared all the same. "
            "If they were renamed, run geofovea index again",
        )
        assert all(each["is_missing"] for each in result.to_dict()["scenes"])


def test_a_scene_that_was_renamed_is_found_once(index, archive, encoder_folder):
    (archive / "b.tif").rename(archive / "renamed.tif")
    stale = search_index(index, "red roof")
    assert stale.missing == {str(archive / "b.tif")}
    assert stale.warnings == (
        "1 scene: no longer where the index has it; its tiles are compared all the same. If it was "
        "renamed, run geofovea index again",
    )
    build_index(index, archive)
    result = search_index(index, "red roof")
    names = sorted(Path(each.scene.name).name for each in result.scenes)
    assert names == ["a.tif", "c.tif", "renamed.tif"]
    assert not result.missing
    assert result.warnings == (
        "1 scene: left out under its old name: the index has the file under another name, too",
    )
    # another file of its name and size is not the one that the index read
    os.utime(archive / "renamed.tif", ns=(1, 1))
    assert search_index(index, "red roof").missing == {str(archive / "b.tif")}


def test_a_scene_that_changed_is_left_out_with_a_warning(index, archive):
    os.utime(archive / "b.tif", ns=(1, 1))
    result = search_index(index, "red roof")
    names = {Path(each.scene.name).name for each in result.scenes}
    assert names == {"a.tif", "c.tif"}
    (warning,) = result.warnings
    assert warning.startswith("1 scene: left out, because the file has changed")
    for name in ("a.tif", "c.tif"):
        os.utime(archive / name, ns=(1, 1))
    with pytest.raises(DataError, match="all its scenes have changed; run geofovea index"):
        search_index(index, "red roof")


def damage(path):
    """Spoil what a raster says of itself, so that nothing opens it."""
    path.write_bytes(bytes(200) + path.read_bytes()[200:])


def test_a_scene_that_cannot_be_read_is_said_with_what_mends_it(index, archive):
    good = (archive / "b.tif").read_bytes()
    damage(archive / "b.tif")
    build_index(index, archive)
    (warning,) = search_index(index, "red roof").warnings
    assert warning.startswith("1 scene: geofovea index failed to read what is there now, ")
    assert "b.tif' is in no format" in warning
    # what is there now is another file, of which nobody knows yet whether it can be read
    (archive / "b.tif").write_bytes(good)
    (warning,) = search_index(index, "red roof").warnings
    assert warning.startswith("1 scene: left out, because the file has changed")
    build_index(index, archive)
    assert search_index(index, "red roof").warnings == ()


def test_scenes_that_cannot_be_read_are_counted_and_the_rest_of_one_is_compared(
    tmp_path, archive, encoder_folder
):
    for name in ("a.tif", "b.tif"):
        path = archive / name
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    report = build_index(tmp_path / "index", archive, encoder=str(encoder_folder))
    assert len(report.failures) == 2
    (warning,) = search_index(tmp_path / "index", "red roof").warnings
    assert warning.startswith("2 scenes: geofovea index failed to read")
    assert "such as" in warning
    assert "continue" not in warning


def test_an_index_of_damaged_scenes_alone_says_what_is_wrong_with_one(index, archive):
    for path in archive.iterdir():
        damage(path)
    build_index(index, archive)
    with pytest.raises(DataError, match=r"could not be read, such as .*a.tif' is in no format"):
        search_index(index, "red roof")


def test_a_name_that_became_a_link_to_another_scene_is_left_out_for_good(index, archive):
    (archive / "b.tif").unlink()
    (archive / "b.tif").symlink_to(archive / "a.tif")
    build_index(index, archive)
    result = search_index(index, "red roof")
    assert sorted(Path(each.scene.name).name for each in result.scenes) == ["a.tif", "c.tif"]
    assert result.warnings == (
        "1 scene: left out under its old name: the index has the file under another name, too",
    )


def test_scenes_that_are_not_indexed_to_the_end_are_said(tmp_path, archive, encoder_folder):
    folder, budget = tmp_path / "index", IndexBudget(tiles=10)
    build_index(folder, [str(archive)], encoder=str(encoder_folder), budget=budget)
    result = search_index(folder, "red roof")
    assert result.lookup.tiles == 10
    assert result.warnings == (
        "1 scene: not indexed to the end; run geofovea index again to continue",
    )


def test_limits_hold_and_the_record_is_plain(made_index):
    result = search_index(made_index, " red \n roof ", scenes=2, tiles=1, levels=[0])
    record = json.loads(json.dumps(result.to_dict()))
    assert record["phrase"] == "red roof"
    assert len(record["scenes"]) == 2
    for scene in record["scenes"]:
        (tile,) = scene["tiles"]
        x0, y0, x1, y1 = tile["box"]
        assert (x1 - x0, tile["level"]) == (32, 0)
        assert 0 <= y0 < y1 <= 200
        assert tile["lonlat"][0] == pytest.approx(15, abs=0.1)
        assert tile["cosine"] == scene["cosine"]
    assert record["tiles_compared"] == 3 * 70 - 14


def test_another_encoder_is_refused_and_a_moved_one_is_not(made_index, encoder_folder, tmp_path):
    moved = shutil.copytree(encoder_folder, tmp_path / "moved")
    assert search_index(made_index, "pond", encoder=str(moved)).scenes
    with pytest.raises(ModelError, match="other weights"):
        search_index(made_index, "pond", encoder=str(write_encoder(tmp_path / "s", "siglip")))


def test_a_damaged_file_is_an_error_that_names_it(index):
    path = max(index.rglob("L01-*"))
    path.write_bytes(path.read_bytes()[::-1])
    with pytest.raises(DataError, match=rf"{path.name} is damaged"):
        search_index(index, "pond")


@pytest.mark.parametrize(
    ("phrase", "options", "message"),
    [
        (" ", {}, "the phrase is empty"),
        ("\u200b \x1b", {}, "the phrase is empty"),
        ("a" * 1001, {}, "a phrase of 1001 characters"),
        ("pond", {"scenes": 0}, "scenes=0 must be a whole number"),
        ("pond", {"tiles": -1}, "tiles=-1 must be a whole number"),
    ],
)
def test_what_cannot_be_searched_for_is_refused(made_index, phrase, options, message):
    with pytest.raises(QuestionError, match=message):
        search_index(made_index, phrase, **options)


def test_no_index_and_no_level_are_clear(made_index, tmp_path):
    with pytest.raises(DataError, match="holds no index"):
        search_index(tmp_path, "pond")
    with pytest.raises(DataError, match="holds no tile to compare"):
        search_index(made_index, "pond", levels=[9])


def test_similar_fingerprints_are_of_similar_encoders_alone(encoder_folder, tmp_path):
    first = load_dual_encoder(str(encoder_folder)).fingerprint
    copy = shutil.copytree(encoder_folder, tmp_path / "copy")
    assert load_dual_encoder(str(copy)).fingerprint == first
    changed = shutil.copytree(encoder_folder, tmp_path / "changed")
    settings = {"image_mean": [0.1, 0.5, 0.6], "image_std": [0.2, 0.3, 0.25]}
    (changed / "preprocessor_config.json").write_text(json.dumps(settings))
    assert load_dual_encoder(str(changed)).fingerprint != first


def test_a_scene_without_a_georeference_has_no_place_on_the_map(tmp_path, encoder_folder):
    Image.fromarray(texture(96, 96).transpose(1, 2, 0)).save(tmp_path / "photo.png")
    index = tmp_path / "index"
    build_index(index, [str(tmp_path / "photo.png")], encoder=str(encoder_folder), levels=[0])
    result = search_index(index, "pond", tiles=9)
    assert [hit.lonlat for hit in result.scenes[0].hits] == [None] * 9
    assert [each["geometry"] for each in result.geojson()["features"]] == [None] * 9
