"""Encoded tiles on disk: equal to the bit, believed only if sound, within their limit."""

import json
import multiprocessing
import os
import shutil
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from pipeline_toys import QUESTION, llava_host, random_llava, texture

import geofovea as gf
from geofovea.errors import OutputError, SceneReadError
from geofovea.pipeline.cli import main
from geofovea.pipeline.engine.accounting import QuestionUsage
from geofovea.pipeline.engine.token_store import TokenEntry, TokenStore
from geofovea.pipeline.engine.token_store_upkeep import (
    clear_tokens,
    list_tokens,
    make_room_for_tokens,
    strangers_among_tokens,
    tokens_folder,
)
from geofovea.pipeline.hosts.load import load_host
from geofovea.regionfocus.budget import Budget
from geofovea.tiling.cache.ownership import MARK
from geofovea.tiling.pyramid import Tile

FEW = Budget(tiles=12, tokens=60)


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    """A cache folder of its own."""
    monkeypatch.setenv("GEOFOVEA_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("GEOFOVEA_CACHE_TOKENS", raising=False)
    return tmp_path / "cache"


@pytest.fixture
def scene(scene_path, tmp_path):
    """A copy of the synthetic scene that a test may touch."""
    return shutil.copy(scene_path, tmp_path / "scene.tif")


def base_tiles(session):
    return list(session.pyramid.tiles(session.pyramid.base_level))


def files():
    return sorted(tokens_folder().glob("*/*.safetensors"))


def told(answer):
    """An answer without what it cost."""
    record = answer.to_json()
    record.pop("cost")
    return record


def tokens_and_reads(session, tiles):
    usage = QuestionUsage()
    return session.tiles.of(tiles, usage), usage.tiles_read


def test_nothing_is_kept_on_disk_unless_asked_for(make_session, cache):
    make_session().ask(QUESTION, budget=FEW)
    assert files() == []


def test_a_later_session_answers_alike_and_reads_nothing(make_session, scene, tiny_folder):
    plain = make_session(scene).ask(QUESTION, budget=FEW)
    cold = make_session(scene, cache_tokens=True).ask(QUESTION, budget=FEW)
    warm = make_session(scene, cache_tokens=True).ask(QUESTION, budget=FEW)
    assert told(plain) == told(cold) == told(warm)
    assert (cold.cost.tiles_read, warm.cost.tiles_read) == (plain.cost.tiles_read, 0)
    assert len(files()) == plain.cost.tiles_read
    (kept,) = list_tokens()
    assert (kept.scene, kept.model) == (str(scene), str(tiny_folder))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_stored_tokens_are_equal_to_the_bit(scene, tiny_folder, dtype):
    host = load_host(str(tiny_folder), dtype=dtype)
    first, second = (gf.SceneSession(gf.open_scene(scene), host, cache_tokens=True) for _ in "12")
    made, reads = tokens_and_reads(first, base_tiles(first))
    stored, reads_again = tokens_and_reads(second, base_tiles(second))
    assert (reads, reads_again) == (len(base_tiles(first)), 0)
    assert made.features.dtype == stored.features.dtype == getattr(torch, dtype)
    assert torch.equal(made.features, stored.features)
    assert torch.equal(made.boxes_scene, stored.boxes_scene)


def test_empty_tiles_are_not_read_again(make_session, make_tiff):
    pixels = texture(512, 512)
    pixels[:, :256] = 0
    path = make_tiff(pixels, nodata=0)
    sessions = [make_session(path, cache_tokens=True) for _ in range(2)]
    tiles = list(sessions[0].pyramid.tiles(0))
    (made, reads), (stored, reads_again) = (tokens_and_reads(s, tiles) for s in sessions)
    assert len(made.tiles) == len(stored.tiles) == len(tiles) // 2
    assert (reads, reads_again) == (len(tiles), 0)
    assert torch.equal(made.features, stored.features)


def truncated(path):
    path.write_bytes(path.read_bytes()[:-1000])


def flipped(path):
    content = bytearray(path.read_bytes())
    content[-7] ^= 1
    path.write_bytes(content)


def flipped_early(path):
    """One bit of the features, which JSON and lengths know nothing of."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def emptied(path):
    path.write_bytes(b"")


def foreign(path):
    path.write_text("not a tile")


def swapped(path):
    """A sound file of another tile."""
    other = next(p for p in files() if p != path)
    shutil.copy(other, path)


def unreadable(path):
    path.unlink()
    path.symlink_to("nowhere")


def looped(path):
    path.unlink()
    path.symlink_to(path.name)


def piped(path):
    """A pipe, from which a reader waits forever."""
    path.unlink()
    os.mkfifo(path)


def endless(path):
    """A device that says it is empty, and never ends."""
    path.unlink()
    path.symlink_to("/dev/zero")


def nested(path):
    """A folder with something in it."""
    path.unlink()
    path.mkdir()
    (path / "what.txt").write_text("else")


@pytest.mark.parametrize(
    "harm",
    [
        truncated,
        flipped,
        flipped_early,
        emptied,
        foreign,
        swapped,
        unreadable,
        looped,
        piped,
        endless,
        nested,
    ],
)
def test_a_damaged_file_is_encoded_again_and_written_over(make_session, scene, harm):
    first = make_session(scene, cache_tokens=True)
    made, _ = tokens_and_reads(first, base_tiles(first))
    path = files()[1]
    sound = path.read_bytes()
    harm(path)
    second = make_session(scene, cache_tokens=True)
    again, reads = tokens_and_reads(second, base_tiles(first))
    assert (reads, second.tiles.warnings) == (1, ())
    torch.testing.assert_close(again.features, made.features, atol=1e-5, rtol=1e-5)
    assert len(path.read_bytes()) == len(sound)
    assert tokens_and_reads(make_session(scene, cache_tokens=True), base_tiles(first))[1] == 0


def test_another_scene_view_or_file_is_another_key(make_session, scene):
    tokens_and_reads(session := make_session(scene, cache_tokens=True), [Tile(0, 0, 0)])
    assert len(list_tokens()) == 1
    tokens_and_reads(make_session(scene, cache_tokens=True, bands=(3, 2, 1)), [Tile(0, 0, 0)])
    assert len(list_tokens()) == 2
    os.utime(scene, ns=(1, 1))
    _, reads = tokens_and_reads(make_session(scene, cache_tokens=True), [Tile(0, 0, 0)])
    assert (reads, len(list_tokens())) == (1, 3)
    declared = gf.open_scene(scene, nodata=7)
    changed = gf.SceneSession(declared, session.host, cache_tokens=True)
    assert tokens_and_reads(changed, [Tile(0, 0, 0)])[1] == 1


def test_an_encoder_is_known_by_its_weights_and_settings():
    host = llava_host(random_llava())
    digest = host.encoder_identity().digest
    assert digest == llava_host(random_llava()).encoder_identity().digest
    assert digest != llava_host(random_llava(), pool=2).encoder_identity().digest
    assert digest != llava_host(random_llava(), image_mean=(0, 0, 0)).encoder_identity().digest
    assert digest != llava_host(random_llava(-1)).encoder_identity().digest
    assert digest != llava_host(random_llava().bfloat16()).encoder_identity().digest
    speaking = random_llava()
    with torch.no_grad():
        speaking.model.language_model.layers[0].mlp.up_proj.weight.add_(1)
    assert digest == llava_host(speaking).encoder_identity().digest
    with torch.no_grad():
        # far below what bfloat16 could tell, and after the digest was taken
        host._model.model.multi_modal_projector.linear_1.weight[0, 0] *= 1 + 1e-6
    assert digest != host.encoder_identity().digest


def test_the_limit_is_kept_and_the_least_recently_used_goes(monkeypatch, make_session, scene):
    session = make_session(scene, cache_tokens=True)
    tiles = base_tiles(session)
    tokens_and_reads(session, tiles)
    size = max(p.stat().st_size for p in files())
    for path in files():
        path.unlink()
    monkeypatch.setenv("GEOFOVEA_TOKENS_GB", str(3.5 * size / 1e9))
    limited = make_session(scene, cache_tokens=True)
    for number, tile in enumerate(tiles):
        tokens_and_reads(limited, [tile])
        for path in files():
            if path.name == f"{tile.level}_{tile.row}_{tile.col}.safetensors":
                os.utime(path, (number + 1, number + 1))
        assert sum(p.stat().st_size for p in files()) <= 3.5 * size
    _, reads = tokens_and_reads(make_session(scene, cache_tokens=True), tiles[-1:])
    assert reads == 0
    assert tokens_and_reads(make_session(scene, cache_tokens=True), tiles[:1])[1] == 1


def test_a_tile_that_was_used_again_stays_longer(tmp_path):
    store = TokenStore(tokens_folder() / "of", "scene", "model", torch.device("cpu"), 10**6)
    for column in range(3):
        store.put(Tile(0, 0, column), TokenEntry(torch.ones(4, 8), torch.ones(4).bool()))
        os.utime(store._path(Tile(0, 0, column)), (column + 1, column + 1))
    assert store.get(Tile(0, 0, 0)) is not None
    size = sum(p.stat().st_size for p in files())
    make_room_for_tokens(size, size // 3)
    assert store.get(Tile(0, 0, 0)) is not None
    assert store.get(Tile(0, 0, 1)) is None


def test_a_tile_from_a_clock_that_was_ahead_is_not_kept_for_ever(tmp_path):
    folder = tokens_folder() / "one"
    store = TokenStore(folder, "scene", "model", torch.device("cpu"), 10**6)
    for column in range(3):
        store.put(Tile(0, 0, column), TokenEntry(torch.ones(4, 8), torch.ones(4).bool()))
    os.utime(store._path(Tile(0, 0, 1)), (4e9, 4e9))
    size = sum(p.stat().st_size for p in files())
    make_room_for_tokens(size, size // 3)
    assert store.get(Tile(0, 0, 1)) is None
    assert store.get(Tile(0, 0, 2)) is not None


@pytest.mark.parametrize("kept", [True, False])
def test_what_is_remembered_of_a_file_that_changed_answers_nothing(make_session, scene, kept):
    session = make_session(scene, cache_tokens=kept)
    answer = session.ask(QUESTION, budget=FEW)
    assert told(session.ask(QUESTION, budget=FEW)) == told(answer)
    os.utime(scene)
    with pytest.raises(SceneReadError, match=r"changed or vanished.*open the scene again"):
        session.ask(QUESTION, budget=FEW)
    (error,) = session.ask_many([QUESTION])
    assert isinstance(error, SceneReadError)
    assert told(make_session(scene).ask(QUESTION, budget=FEW)) == told(answer)


def test_a_tile_larger_than_the_limit_is_a_warning(monkeypatch, make_session, scene):
    monkeypatch.setenv("GEOFOVEA_TOKENS_GB", "1e-7")
    answer = make_session(scene, cache_tokens=True).ask(QUESTION, budget=FEW)
    assert any("GEOFOVEA_TOKENS_GB" in warning for warning in answer.warnings)
    assert files() == []


def test_a_disk_that_cannot_be_written_is_a_warning_and_never_a_failed_answer(
    make_session, scene, cache
):
    plain = make_session(scene).ask(QUESTION, budget=FEW)
    shutil.rmtree(cache, ignore_errors=True)
    cache.write_text("a file where the folder should be")
    answer = make_session(scene, cache_tokens=True).ask(QUESTION, budget=FEW)
    assert answer.text == plain.text
    (warning,) = [w for w in answer.warnings if w not in plain.warnings]
    assert warning.startswith("encoded tiles are no longer kept on disk")
    assert warning.endswith("GEOFOVEA_CACHE_DIR names the folder of the cache")
    assert len(answer.warnings) == len(plain.warnings) + 1


def limited_ask(scene, model, results):
    resource = pytest.importorskip("resource", reason="limits of file sizes are a Unix thing")
    # a file cannot grow beyond the limit, as on a disk that is full: the write fails half way
    resource.setrlimit(resource.RLIMIT_FSIZE, (600, 600))
    session = gf.SceneSession(gf.open_scene(scene), load_host(model), cache_tokens=True)
    answer = session.ask(QUESTION, budget=FEW)
    results.put((answer.text, answer.warnings))


def plain_ask(scene, model, results):
    torch.set_num_threads(1)
    session = gf.SceneSession(gf.open_scene(scene), load_host(model), cache_tokens=True)
    answer = session.ask(QUESTION, budget=FEW)
    results.put((answer.text, answer.warnings))


def in_processes(target, count, *given):
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    processes = [context.Process(target=target, args=(*given, results)) for _ in range(count)]
    for process in processes:
        process.start()
    answers = [results.get(timeout=120) for _ in processes]
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    return answers


def test_a_full_disk_is_a_warning_and_leaves_nothing_half_written(make_session, scene, tiny_folder):
    expected = make_session(scene).ask(QUESTION, budget=FEW)
    ((text, warnings),) = in_processes(limited_ask, 1, str(scene), str(tiny_folder))
    assert text == expected.text
    assert any("no longer kept on disk" in warning for warning in warnings)
    assert files() == []


def test_two_processes_at_once_answer_alike_and_leave_sound_files(make_session, scene, tiny_folder):
    expected = make_session(scene).ask(QUESTION, budget=FEW)
    answers = in_processes(plain_ask, 2, str(scene), str(tiny_folder))
    assert answers == [(expected.text, expected.warnings)] * 2
    warm = make_session(scene, cache_tokens=True).ask(QUESTION, budget=FEW)
    assert (warm.text, warm.cost.tiles_read) == (expected.text, 0)
    assert len(files()) == warm.cost.tiles_encoded


def test_files_that_vanish_under_a_session_are_written_again(make_session, scene):
    session = make_session(scene, cache_tokens=True)
    tiles = base_tiles(session)
    tokens_and_reads(session, tiles[:1])
    shutil.rmtree(tokens_folder())
    tokens_and_reads(session, tiles[1:])
    assert session.tiles.warnings == ()
    assert len(files()) == len(tiles) - 1


def test_arrays_have_no_tokens_on_disk(make_session):
    xarray = pytest.importorskip("xarray")
    image = xarray.DataArray(texture(200, 200), dims=("band", "y", "x"))
    session = make_session(cache_tokens=True)
    opened = gf.open_scene(image)
    answer = gf.SceneSession(opened, session.host, cache_tokens=True).ask(QUESTION, budget=FEW)
    assert answer.text is not None
    assert files() == []


def test_the_command_line_keeps_lists_and_clears(scene, tiny_folder, monkeypatch):
    def run(*arguments):
        result = CliRunner().invoke(main, [str(a) for a in arguments])
        assert result.exit_code == 0, result.stderr
        return result.stdout

    ask = ("ask", scene, QUESTION, "--model", tiny_folder, "--json", "--tiles", 12, "--tokens", 60)
    first = json.loads(run(*ask, "--cache-tokens"))
    monkeypatch.setenv("GEOFOVEA_CACHE_TOKENS", "1")
    assert json.loads(run(*ask, "--no-cache-tokens"))["cost"]["tiles_read"] > 0
    again = json.loads(run(*ask))
    assert (again["answer"], again["cost"]["tiles_read"]) == (first["answer"], 0)
    (row,) = json.loads(run("cache", "list", "--json"))["tokens"]
    assert (row["scene"], row["tiles"]) == (str(scene), first["cost"]["tiles_read"])
    assert f"{row['tiles']} encoded tile" in run("cache", "list")
    assert json.loads(run("cache", "clear", "--yes", "--json"))["tiles"] == row["tiles"]
    assert json.loads(run("cache", "list", "--json"))["tokens"] == []


@pytest.mark.parametrize(
    ("variable", "value"), [("GEOFOVEA_CACHE_TOKENS", "perhaps"), ("GEOFOVEA_TOKENS_GB", "many")]
)
def test_a_variable_that_cannot_be_understood_is_an_error(
    make_session, monkeypatch, variable, value
):
    monkeypatch.setenv("GEOFOVEA_CACHE_TOKENS", "1")
    monkeypatch.setenv(variable, value)
    with pytest.raises(OutputError, match=variable):
        make_session()


STRANGERS = [
    "my_thesis/chapter1.txt",
    "other/weights.safetensors",
    "other/0_0_1.safetensors",
    "d41d8cd98f00b204e9800998ecf8427e/0_0_1.safetensors",
    "d41d8cd98f00b204e9800998ecf8427e/record.json",
    "0_0_1.safetensors",
]


def test_what_others_keep_beside_encoded_tiles_stays(make_session, scene, monkeypatch):
    for name in STRANGERS:
        (tokens_folder() / name).parent.mkdir(parents=True, exist_ok=True)
        (tokens_folder() / name).write_text('{"scene": "mine"}')
        os.utime(tokens_folder() / name, (1, 1))
    session = make_session(scene, cache_tokens=True)
    tokens_and_reads(session, base_tiles(session))
    (kept,) = list_tokens()
    mine = tokens_folder() / kept.folder / "weights.safetensors"
    mine.write_text("mine")
    make_room_for_tokens(100, 10)
    assert list_tokens() == []
    assert mine.read_text() == "mine"
    tokens_and_reads(make_session(scene, cache_tokens=True), base_tiles(session))
    assert clear_tokens()[0] == len(base_tiles(session))
    assert mine.read_text() == "mine"
    for name in STRANGERS:
        assert (tokens_folder() / name).read_text() == '{"scene": "mine"}', name
    assert "other/" in strangers_among_tokens()


def test_links_among_encoded_tiles_are_not_followed(make_session, scene, tmp_path):
    session = make_session(scene, cache_tokens=True)
    tokens_and_reads(session, base_tiles(session))
    (kept,) = list_tokens()
    shutil.move(kept.folder, tmp_path / "elsewhere")
    Path(kept.folder).symlink_to(tmp_path / "elsewhere")
    make_room_for_tokens(100, 10)
    assert clear_tokens() == (0, 0)
    assert len(list((tmp_path / "elsewhere").glob("*.safetensors"))) == kept.tiles


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give files away"
)
def test_tiles_of_another_user_are_not_believed(make_session, scene):
    session = make_session(scene, cache_tokens=True)
    tiles = base_tiles(session)
    tokens_and_reads(session, tiles)
    os.chown(files()[0], 12345, 12345)
    assert tokens_and_reads(make_session(scene, cache_tokens=True), tiles)[1] == 1
    os.chown(list_tokens()[0].folder, 12345, 12345)
    assert tokens_and_reads(make_session(scene, cache_tokens=True), tiles)[1] == len(tiles)


def test_encoded_tiles_of_the_first_version_are_listed_and_removed(make_session, scene):
    session = make_session(scene, cache_tokens=True)
    tokens_and_reads(session, base_tiles(session))
    (kept,) = list_tokens()
    (Path(kept.folder) / MARK).unlink()
    assert [each.tiles for each in list_tokens()] == [kept.tiles]
    assert clear_tokens()[0] == kept.tiles
    assert not Path(kept.folder).exists()
