"""Programs that reach below the public names still find them, and are told where they are."""

import importlib
import subprocess
import sys

import pytest

from geofovea import _moved

# what notebooks, documentation and other programs took from them
TAKEN = {
    "datasets.lrs_vqa": ("read_records", "write_records"),
    "datasets.manifest": ("read_manifest",),
    "datasets.predictions": ("read_predictions",),
    "datasets.questions": ("ask_world",),
    "datasets.region_files": ("read_regions",),
    "datasets.scene_files": ("write_scene",),
    "datasets.scene_lists": ("list_scenes",),
    "datasets.world": ("make_world",),
    "pipeline.accessor": ("GeoFoveaBackend",),
    "pipeline.answer": ("Answer", "Evidence", "EvidenceList"),
    "pipeline.batch_plan": ("plan_batch",),
    "pipeline.decoding": ("PlainRun",),
    "pipeline.embedded": ("embedded_model_path",),
    "pipeline.harness": ("make_answerer",),
    "pipeline.lmms_eval_manifest": ("manifest",),
    "pipeline.models": ("load_host",),
    "pipeline.prompt_batch": ("PromptBatch",),
    "pipeline.vlmevalkit_model": (),
    "regionfocus.allocation": (),
    "regionfocus.descent": (),
    "tiling.coordinates": ("area_m2", "lonlat_from_scene"),
    "tiling.georeference": (),
    "tiling.level_cache": (),
    "tiling.radiometry": ("plan_radiometry",),
    "tiling.region": ("region_from_crs",),
    "tiling.source": ("resolve_source",),
}


@pytest.mark.parametrize("old", TAKEN)
def test_an_old_name_gives_what_it_gave_and_says_the_new_one(old):
    sys.modules.pop(f"geofovea.{old}", None)
    new = _moved._HOMES[old][0]
    with pytest.warns(DeprecationWarning, match=rf"geofovea\.{old} is geofovea\.{new} now"):
        module = importlib.import_module(f"geofovea.{old}")
    for name in TAKEN[old]:
        assert hasattr(module, name), name


def test_every_old_name_is_tried_here():
    assert set(TAKEN) == set(_moved._HOMES)


def test_a_name_that_never_was_is_no_module():
    with pytest.raises(ModuleNotFoundError, match="nothing_of_the_kind"):
        importlib.import_module("geofovea.tiling.nothing_of_the_kind")


def test_the_command_line_is_where_it_was():
    program = "from geofovea.pipeline.cli import main; print(main.name)"
    command = [sys.executable, "-W", "error", "-c", program]
    assert subprocess.run(command, capture_output=True, check=True, text=True).stdout.strip()
