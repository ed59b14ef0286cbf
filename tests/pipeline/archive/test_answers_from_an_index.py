"""Questions and searches about one scene go where an index leads, without its pixels."""

import os
import shutil

import numpy as np
import pytest
from dual_encoders import write_encoder
from pipeline_toys import QUESTION

import geofovea as gf
from geofovea.errors import DataError, ModelError
from geofovea.pipeline.archive.allowance import IndexBudget
from geofovea.pipeline.archive.build import build_index
from geofovea.pipeline.focus.dual_encoder import load_dual_encoder
from geofovea.pipeline.index.scene_index import open_scene_index

INDEXED = 70 + 20 + 6
FEW = gf.Budget(tiles=12, tokens=60)


@pytest.fixture(scope="module", params=["clip", "siglip"])
def any_encoder(request, tmp_path_factory):
    return write_encoder(tmp_path_factory.mktemp("encoder") / request.param, request.param)


@pytest.fixture
def open_indexed(tiny_host, made_index):
    """``open_indexed(name)``: a session with an index, and the tiles that it reads."""

    def call(name="a.tif", folder=made_index):
        session = gf.open(made_index.parent / "archive" / name, model=tiny_host, index=folder)
        tiles, read = [], session.reader.read

        def counting(tile):
            tiles.append(tile)
            return read(tile)

        session.reader.read = counting
        return session, tiles

    return call


def ranked_in_full(session, folder, encoder_folder, phrase):
    """Native tiles of the host by the mean density of the softmax of each level, from pixels."""
    encoder = load_dual_encoder(str(encoder_folder))
    known = open_scene_index(folder, session.scene)
    scene = gf.open_scene(session.scene.path)
    reader = gf.SceneSession(scene, session.host).reader
    text = encoder.embed_text(phrase).numpy()
    densities = {}
    for level in known.levels:
        pyramid = scene.pyramid(encoder.side)
        inner = type(reader)(scene, pyramid, reader.radiometry)
        tiles = [inner.read(tile) for tile in pyramid.tiles(level)]
        cosines = encoder.embed_pictures([tile.rgb for tile in tiles]).numpy() @ text
        weights = np.exp(encoder.scale * cosines) * [tile.valid_fraction for tile in tiles]
        densities[level] = (pyramid, weights / weights.sum())
    values = {}
    for tile in session.pyramid.tiles(0):
        box, total = session.pyramid.box_scene(tile), 0.0
        for level, (pyramid, masses) in densities.items():
            for other, mass in zip(pyramid.tiles(level), masses, strict=True):
                common = pyramid.box_scene(other).intersection(box)
                if common:
                    total += mass * common.area / pyramid.box_scene(other).area
        values[tile] = total / box.area
    return sorted(values, key=lambda tile: -values[tile])


def test_find_looks_at_the_tiles_that_the_index_ranks_first_and_reads_no_other(
    tmp_path, archive, any_encoder, tiny_host
):
    path, folder = archive / "a.tif", tmp_path / "index"
    build_index(folder, [str(path)], encoder=str(any_encoder), number_format="float16")
    session = gf.open(path, model=tiny_host, index=folder)
    read, tiles = session.reader.read, []
    session.reader.read = lambda tile: tiles.append(tile) or read(tile)
    places = session.find("truck", tiles=6, sampled_share=0)
    expected = ranked_in_full(session, folder, any_encoder, "truck")
    assert set(tiles) == set(expected[:6])
    assert places.cost.tiles_read == 6
    assert places.cost.tiles_by_level == {0: 6}
    assert places.cost.tiles_indexed == INDEXED
    assert places.to_dict()["cost"]["tiles_indexed"] == INDEXED


def test_coverage_says_what_the_index_rules_out_and_what_is_left(open_indexed):
    session, _ = open_indexed("c.tif")
    # of one tile that is drawn nothing of what is ruled out may be seen, and then nothing is
    assert session.find("truck", tiles=8).coverage.tiles_ruled_out == 0
    coverage = session.find("truck", tiles=8, sampled_share=0.5).coverage
    assert coverage.by_index
    assert coverage.sampled == 4
    # the first 64 columns are missing, four native tiles of the host
    assert coverage.ruled_out_sampled >= 1
    assert coverage.tiles_ruled_out >= 2
    assert coverage.tiles_left > 0
    assert coverage.tiles_looked + coverage.tiles_ruled_out + coverage.tiles_left == 20
    assert "ruled out by the index" in coverage.text
    assert coverage.stopped == "tiles"


def test_a_count_draws_its_sample_by_the_index(open_indexed):
    session, tiles = open_indexed()
    count = session.count("truck", tiles=9)
    assert count.method == "sample"
    assert count.places.cost.tiles_indexed == INDEXED
    # no coarse level is read for the strata
    assert {*count.places.cost.tiles_by_level} == {0}
    assert {tile.level for tile in tiles} == {0}


def test_a_question_goes_by_the_index_and_reads_each_tile_once(open_indexed, encoder_folder):
    session, tiles = open_indexed()
    answer = session.ask(QUESTION, budget=FEW)
    assert answer.cost.tiles_indexed == INDEXED
    assert answer.cost.tiles_read == len(tiles) == len(set(tiles))
    asked = {"budget": FEW, "focus": "similarity", "focus_model": str(encoder_folder)}
    without = gf.SceneSession(session.scene, session.host).ask(QUESTION, **asked)
    assert without.cost.tiles_indexed == 0
    assert without.cost.tiles_read > answer.cost.tiles_read
    # the focus of the model itself is still there for who names it
    own = session.ask(QUESTION, budget=FEW, focus="attention")
    assert own.cost.tiles_indexed == 0


def test_questions_together_go_by_the_index_as_one_does(open_indexed):
    session, _ = open_indexed()
    alone = session.ask(QUESTION, budget=FEW)
    both = session.ask_many([gf.AskRequest(QUESTION, FEW), gf.AskRequest("Is it red?", FEW)])
    assert [e.tile for e in both[0].evidence] == [e.tile for e in alone.evidence]
    assert both[1].cost.tiles_indexed == INDEXED


def test_a_scene_that_changed_is_read_again_with_a_warning(
    tmp_path, archive, tiny_host, encoder_folder
):
    path, folder = archive / "a.tif", tmp_path / "index"
    build_index(folder, [str(path)], encoder=str(encoder_folder), levels=[2])
    os.utime(path, ns=(1, 1))
    session = gf.open(path, model=tiny_host, index=folder)
    answer = session.ask(QUESTION, budget=FEW)
    assert answer.cost.tiles_indexed == 0
    assert sum("before it changed, so tiles were read" in each for each in answer.warnings) == 1
    places = session.find("truck", tiles=8)
    assert not places.coverage.by_index
    assert any("before it changed" in each for each in places.warnings)


def test_a_scene_that_was_damaged_when_it_was_indexed_is_not_said_to_need_a_further_run(
    tmp_path, archive, encoder_folder
):
    path, folder = archive / "a.tif", tmp_path / "index"
    path.write_bytes(path.read_bytes()[:-4000])
    build_index(folder, [str(path)], encoder=str(encoder_folder))
    index = open_scene_index(folder, gf.open_scene(path))
    (warning,) = index.warnings
    assert "geofovea index failed to read it to its end: " in warning
    assert "a.tif' could not be read" in warning
    assert "bring it up to date" not in warning


def test_a_scene_that_the_index_does_not_hold_is_read_with_a_warning(
    tiny_host, scene_path, made_index
):
    answer = gf.ask(scene_path, QUESTION, model=tiny_host, index=made_index, budget=FEW)
    assert any("does not hold this scene" in each for each in answer.warnings)
    assert answer.cost.tiles_indexed == 0


def test_whole_levels_alone_lead(tmp_path, archive, tiny_host, encoder_folder):
    limited = {"encoder": str(encoder_folder), "budget": IndexBudget(tiles=30)}
    build_index(tmp_path / "index", [str(archive / "a.tif")], **limited)
    places = gf.find(archive / "a.tif", "truck", model=tiny_host, index=tmp_path / "index", tiles=6)
    assert places.cost.tiles_indexed == 26
    assert any("only levels 1, 2 are whole" in each for each in places.warnings)
    build_index(tmp_path / "few", [str(archive / "a.tif")], **limited | {"budget": IndexBudget(3)})
    places = gf.find(archive / "a.tif", "truck", model=tiny_host, index=tmp_path / "few", tiles=6)
    assert places.cost.tiles_indexed == 0
    assert any("no whole level" in each for each in places.warnings)


def test_another_encoder_and_a_missing_index_are_clear_errors(open_indexed, tmp_path):
    session, tiles = open_indexed()
    other = str(write_encoder(tmp_path / "siglip", "siglip"))
    for call, limit in ((session.find, {"tiles": 8}), (session.ask, {"budget": FEW})):
        with pytest.raises(ModelError, match="has other weights"):
            call("truck", focus_model=other, **limit)
    assert tiles == []
    with pytest.raises(DataError, match="holds no index; make one with geofovea index"):
        open_indexed(folder=tmp_path / "none")


def test_a_damaged_index_is_an_error_that_names_the_file(open_indexed, made_index, tmp_path):
    copy = shutil.copytree(made_index, tmp_path / "index")
    session, _ = open_indexed(folder=copy)
    for path in copy.rglob("L01-*"):
        path.write_bytes(path.read_bytes()[::-1])
    with pytest.raises(DataError, match="is damaged"):
        session.find("truck", tiles=8)
