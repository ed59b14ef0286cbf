"""Keys and values of tiles on disk: equal to the bit, believed only if sound, beside the tokens."""

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import fields, is_dataclass

import pytest
import torch
from click.testing import CliRunner
from pipeline_toys import QUESTION, llava_host, random_llava

import geofovea as gf
from geofovea.errors import DataError
from geofovea.pipeline.cli import main
from geofovea.pipeline.engine.accounting import QuestionUsage
from geofovea.pipeline.engine.tile_files import TileFiles
from geofovea.pipeline.engine.token_store_upkeep import clear_tokens, list_tokens, tokens_folder
from geofovea.pipeline.inference.memory.serialized import arrays_of_tile, tile_from_arrays
from geofovea.regionfocus.cache_policies.registry import PREFIX_POLICY_NAMES, make_cache_policy
from geofovea.tiling.pyramid import Tile

FEW = gf.Budget(tiles=12, tokens=60)
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    """A cache folder of its own."""
    monkeypatch.setenv("GEOFOVEA_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("GEOFOVEA_CACHE_TOKENS", raising=False)


@pytest.fixture
def scene(scene_path, tmp_path):
    """A copy of the synthetic scene that a test may touch."""
    return shutil.copy(scene_path, tmp_path / "scene.tif")


@pytest.fixture
def remember(make_session, scene):
    """A session about the scene with a memory on disk."""

    def make(policy="plain", **options):
        memory = gf.MemoryOptions(64, policy)
        return make_session(scene, cache_tokens=True, memory=memory, **options)

    return make


def files(kind="memory"):
    folders = [entry.folder for entry in list_tokens() if entry.kind == kind]
    return sorted(p for p in tokens_folder().glob("*/*.safetensors") if str(p.parent) in folders)


def base_tiles(session):
    return list(session.pyramid.tiles(session.pyramid.base_level))


def stored_and_made(session):
    stored, made = session.memory.of(base_tiles(session), QuestionUsage())
    return stored, len(made)


def tensors(value):
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, tuple):
        return [each for part in value for each in tensors(part)]
    parts = fields(value) if is_dataclass(value) else ()
    return [each for part in parts for each in tensors(getattr(value, part.name))]


@pytest.mark.parametrize("policy", PREFIX_POLICY_NAMES)
def test_a_tile_taken_apart_is_put_together_to_the_bit(make_session, policy):
    session = make_session()
    tiles = session.host.stored_prompts.store(
        session.tokens(base_tiles(session)[:1]), make_cache_policy(policy)
    )
    (tile,) = tiles.values()
    again = tile_from_arrays(arrays_of_tile(tile), CPU)
    assert again.nbytes == tile.nbytes
    for a, b in zip(tensors(tile), tensors(again), strict=True):
        assert a.dtype == b.dtype
        assert torch.equal(a, b)


@pytest.mark.parametrize(
    "record",
    [
        b"{",
        b"[]",
        b"7",
        b'{"class": "system", "parts": {}}',
        b'{"array": "9", "at": 0}',
        b'{"array": "9"}',
        b'{"class": "StoredTile", "parts": []}',
        b'{"class": "StoredTile", "parts": {"cells": [], "states": 3}}',
    ],
)
def test_a_record_that_says_anything_else_is_refused(record):
    with pytest.raises(DataError, match="do not belong together"):
        tile_from_arrays({"record": torch.tensor(list(record), dtype=torch.uint8)}, CPU)


def test_a_later_session_runs_no_tile_again_and_answers_alike(remember):
    cold, warm = (remember().ask(QUESTION, budget=FEW) for _ in range(2))
    assert cold.cost.memory.tiles_stored > 0
    assert (warm.cost.memory.tiles_stored, warm.cost.tiles_read) == (0, 0)
    assert (warm.text, warm.confidence) == (cold.text, cold.confidence)
    assert len(files()) == cold.cost.memory.tiles_stored


def test_nothing_is_kept_where_tokens_are_not(make_session, scene):
    session = make_session(scene, memory=gf.MemoryOptions(64), cache_tokens=False)
    session.ask(QUESTION, budget=FEW)
    assert list_tokens() == []


def truncated(path):
    path.write_bytes(path.read_bytes()[:-100])


def flipped(path):
    content = bytearray(path.read_bytes())
    content[-50] ^= 1
    path.write_bytes(content)


def swapped(path):
    shutil.copy(next(p for p in files() if p != path), path)


def of_tokens(path):
    """A sound file, of the same tile, of the other kind."""
    shutil.copy(next(p for p in files("tokens") if p.name == path.name), path)


@pytest.mark.parametrize("harm", [truncated, flipped, swapped, of_tokens])
def test_a_damaged_file_is_made_again_and_written_over(remember, harm):
    tiles, made = stored_and_made(remember())
    assert made == len(tiles) == len(files())
    path = files()[1]
    sound = path.read_bytes()
    harm(path)
    session = remember()
    _, made = stored_and_made(session)
    assert (made, session.memory.warnings) == (1, ())
    assert len(path.read_bytes()) == len(sound)
    assert stored_and_made(remember())[1] == 0


def test_a_bit_that_flips_anywhere_and_a_cut_anywhere_give_no_tile_or_the_same(remember):
    session = remember("plain:2")
    tile = base_tiles(session)[0]
    session.memory.of([tile], QuestionUsage())
    (path,) = files()
    store, sound = session.memory._store, path.read_bytes()
    whole = tensors(store.get(tile))
    values = 8 + int.from_bytes(sound[:8], "little")
    harms = [sound[:end] for end in (0, 4, 8, values // 2, values, (values + len(sound)) // 2, -1)]
    harms += [sound + b" ", sound + sound, b""]
    # the length of the index, the index, and the values
    for place in (*range(8), *range(8, values, 5), *range(values, len(sound), 61)):
        harms.append(bytearray(sound))
        harms[-1][place] ^= 1 << place % 8
    for harm in harms:
        path.write_bytes(harm)
        found = store.get(tile)
        assert found is None or all(map(torch.equal, tensors(found), whole))


def test_another_scene_policy_or_decoder_is_another_key(remember, make_session, scene):
    session = remember()
    _, all_tiles = stored_and_made(session)
    assert stored_and_made(remember("vidkv"))[1] == all_tiles
    model = session.host._model
    with torch.no_grad():
        # the encoder is the same: its tokens are found, what the decoder makes of them is not
        weight = model.model.language_model.layers[0].self_attn.v_proj.weight
        weight[0, 0] *= 1 + 1e-6
    try:
        changed = remember()
        assert stored_and_made(changed)[1] == all_tiles
        assert changed.tiles.of(base_tiles(changed), usage := QuestionUsage()).features is not None
        assert usage.tiles_read == 0
    finally:
        with torch.no_grad():
            weight[0, 0] /= 1 + 1e-6
    os.utime(scene, ns=(1, 1))
    assert stored_and_made(remember())[1] == all_tiles


def test_a_decoder_is_known_by_its_weights_and_its_prompt():
    def described(host):
        return host.stored_prompts.described()

    weights, about = described(llava_host(random_llava()))
    assert about == described(llava_host(random_llava()))[1]
    assert about != described(llava_host(random_llava(), template="chat: {image} {question}"))[1]
    assert any("layers.0" in name for name in weights)


def test_the_limit_holds_tokens_and_memory_together(remember, monkeypatch):
    stored_and_made(remember("exact"))
    whole = sum(entry.bytes for entry in list_tokens())
    clear_tokens()
    monkeypatch.setenv("GEOFOVEA_TOKENS_GB", str(0.6 * whole / 1e9))
    session = remember("exact")
    stored_and_made(session)
    assert session.memory.warnings == ()
    assert 0 < sum(p.stat().st_size for p in tokens_folder().glob("*/*.s*")) <= 0.6 * whole


def test_a_tile_larger_than_the_limit_is_a_warning_and_an_answer(remember, monkeypatch):
    monkeypatch.setenv("GEOFOVEA_TOKENS_GB", "1e-7")
    answer = remember().ask(QUESTION, budget=FEW)
    assert any(w.startswith("keys and values of") and "TOKENS_GB" in w for w in answer.warnings)
    assert answer.cost.memory.tiles_stored > 0
    assert files() == []


WRITE_FOR_EVER = """
import sys, pathlib, torch
from geofovea.pipeline.engine.tile_files import TileFiles
from geofovea.tiling.pyramid import Tile
files, number = TileFiles(pathlib.Path(sys.argv[1]), {"kind": "memory"}, 10**9), 0
while True:
    files.write(Tile(0, 0, number % 3), {"states": torch.full((2**20,), number)})
    number += 1
"""


def test_a_process_killed_in_the_middle_leaves_nothing_half_written():
    folder = tokens_folder() / "of_a_scene"
    process = subprocess.Popen([sys.executable, "-c", WRITE_FOR_EVER, str(folder)])
    last = folder / "0_0_2.safetensors"
    deadline = time.monotonic() + 60
    while not last.exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    process.kill()
    process.wait(30)
    store = TileFiles(folder, {}, 10**9)
    for column in range(3):
        states = store.read(Tile(0, 0, column))["states"]
        assert bool((states == states[0]).all())
    # what was under way is cleared with the rest
    tiles, size = clear_tokens()
    assert tiles >= 3
    assert size >= 3 * 2**23
    assert not folder.exists()


def test_the_command_line_keeps_lists_and_clears(scene, tiny_folder):
    def run(*arguments):
        result = CliRunner().invoke(main, [str(a) for a in arguments])
        assert result.exit_code == 0, result.stderr
        return result.stdout

    ask = ("ask", scene, QUESTION, "--model", tiny_folder, "--json", "--max-tiles", 12)
    run(*ask, "--cache-tokens", "--memory", 64)
    again = json.loads(run(*ask, "--cache-tokens", "--memory", 64))
    assert again["cost"]["memory"]["tiles_stored"] == 0
    rows = json.loads(run("cache", "list", "--json"))["tokens"]
    assert sorted(row["kind"] for row in rows) == ["memory", "tokens"]
    assert " memory " in run("cache", "list")
    cleared = json.loads(run("cache", "clear", "--kind", "memory", "--yes", "--json"))
    assert cleared["tiles"] > 0
    (row,) = json.loads(run("cache", "list", "--json"))["tokens"]
    assert row["kind"] == "tokens"
