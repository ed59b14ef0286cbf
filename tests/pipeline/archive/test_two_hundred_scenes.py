"""An archive of 200 scenes: interrupted, resumed, and searched while single scenes go wrong."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pipeline_toys import texture

import geofovea as gf
from geofovea.errors import CancelledError
from geofovea.pipeline.archive.allowance import IndexBudget
from geofovea.pipeline.archive.build import build_index
from geofovea.pipeline.archive.search import search_index
from geofovea.pipeline.focus.dual_encoder import load_dual_encoder
from geofovea.pipeline.index.store import IndexStore
from geofovea.tiling.pixels.radiometry_plan import plan_radiometry
from geofovea.tiling.reader import TileReader

SCENES, LEVELS = 200, [0]
# 48 pixels in tiles of 32
TILES = 4
DAMAGED, REMOVED, CHANGED = "s030.png", "s060.png", "s090.png"


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """200 pictures of 48 × 48 pixels, each another one."""
    folder, source = tmp_path_factory.mktemp("archive"), texture(48, 48 * 3)
    for number in range(SCENES):
        pixels = np.roll(source, 7 * number, axis=2)[:, :, :48] // (1 + number % 5)
        Image.fromarray(pixels.transpose(1, 2, 0)).save(folder / f"s{number:03}.png")
    return folder


@pytest.fixture(scope="module")
def build(archive, encoder_folder, tmp_path_factory):
    """``build(**options)``: index the archive into one folder, from one test to the next."""
    folder = tmp_path_factory.mktemp("index") / "index"

    def call(**options):
        return build_index(
            folder, [str(archive)], encoder=str(encoder_folder), levels=LEVELS, **options
        )

    call.folder = folder
    return call


def names_of(result):
    return [Path(each.scene.name).name for each in result.scenes]


def best_by_pixels(archive, encoder_folder, phrase):
    """The best cosine of every tenth scene, from its pixels."""
    encoder = load_dual_encoder(str(encoder_folder))
    text, best = encoder.embed_text(phrase).numpy(), {}
    for path in sorted(archive.glob("*0.png")):
        scene = gf.open_scene(path)
        reader = TileReader(scene, scene.pyramid(32), plan_radiometry(scene))
        pictures = [reader.read(tile).rgb for tile in reader.pyramid.tiles(0)]
        best[path.name] = float((encoder.embed_pictures(pictures).numpy() @ text).max())
    return best


@pytest.mark.slow
def test_the_archive_lives_through_what_happens_to_archives(archive, build, encoder_folder):
    # interrupted by hand in the middle, ended by a budget, and gone on with
    def interrupt(name, share):
        if share > 0.2:
            raise CancelledError("by hand")

    with pytest.raises(CancelledError):
        build(on_progress=interrupt)
    store = IndexStore.open(build.folder)
    done = sum(store.share_done(scene) for scene in store.scenes())
    assert 35 < done < 50
    part = build(budget=IndexBudget(tiles=200))
    assert (part.stopped, part.tiles_read) == ("tiles", 200)
    rest = build()
    assert rest.is_whole
    assert len(rest.scenes) == SCENES
    assert rest.tiles_read == round(TILES * (SCENES - done)) - 200

    # the ranking is that of the pixels
    expected = best_by_pixels(archive, encoder_folder, "red roof")
    result = search_index(build.folder, "red roof", scenes=SCENES, levels=[0])
    assert result.lookup.tiles == 4 * SCENES
    cosines = {Path(each.scene.name).name: each.cosine for each in result.scenes}
    assert list(cosines.values()) == sorted(cosines.values(), reverse=True)
    assert {name: cosines[name] for name in expected} == pytest.approx(expected, abs=4e-3)

    # one file is cut short, one is gone, one is another picture
    content = (archive / DAMAGED).read_bytes()
    (archive / DAMAGED).write_bytes(content[: len(content) // 2])
    (archive / REMOVED).unlink()
    Image.fromarray(255 - np.asarray(Image.open(archive / CHANGED))).save(archive / CHANGED)
    os.utime(archive / CHANGED, ns=(1, 1))
    result = search_index(build.folder, "red roof", scenes=SCENES)
    assert {DAMAGED, CHANGED}.isdisjoint(names_of(result))
    assert REMOVED in names_of(result)
    assert [warning.split(":")[0] for warning in result.warnings] == ["2 scenes", "1 scene"]

    # the next run reads the changed one, reports the damaged one, and leaves the others
    report = build()
    assert [Path(each.name).name for each in report.failures] == [DAMAGED]
    assert not report.is_whole
    replaced = [Path(each.name).name for each in report.scenes if each.was_replaced]
    assert CHANGED in replaced
    assert {*replaced} <= {CHANGED, DAMAGED}
    assert TILES <= report.tiles_read <= 2 * TILES
    result = search_index(build.folder, "red roof", scenes=SCENES)
    assert CHANGED in names_of(result)
    assert len({*names_of(result)} - {DAMAGED}) == SCENES - 1
