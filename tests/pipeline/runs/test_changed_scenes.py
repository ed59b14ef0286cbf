"""A scene that changes between planning and opening is never answered for under its old name."""

import os
import shutil
from dataclasses import dataclass, replace

import pytest
from pipeline_toys import QUESTION
from shapely import box

from geofovea.datasets.inputs.manifest import ManifestRow
from geofovea.datasets.inputs.region_files import NamedRegion
from geofovea.datasets.synthetic.scene_files import write_scene
from geofovea.datasets.synthetic.world import make_world
from geofovea.errors import RunError
from geofovea.pipeline.evaluation.worker import EvalWork
from geofovea.pipeline.runs.batch import BatchFolder, run_batch
from geofovea.pipeline.runs.batch_plan import plan_batch
from geofovea.pipeline.runs.batch_results import result_rows
from geofovea.pipeline.runs.batch_worker import SceneWork
from geofovea.pipeline.runs.executors.in_process import InProcessExecutor
from geofovea.pipeline.runs.executors.processes import ProcessExecutor
from geofovea.pipeline.runs.journal import Journal
from geofovea.pipeline.runs.scene_worker import PLANNED
from geofovea.pipeline.session.settings import AskSettings
from geofovea.tiling import opening
from geofovea.tiling.files.stamp import scene_identity
from geofovea.tiling.opening import open_scene

QUESTIONS = [QUESTION, "How many trucks are at the quarry?"]


@pytest.fixture(scope="session")
def two(tmp_path_factory):
    """Two scenes of one size."""
    folder = tmp_path_factory.mktemp("two")
    for seed in (1, 2):
        write_scene(make_world(seed, 768, 768), folder / f"{seed}.tif")
    return folder / "1.tif", folder / "2.tif"


@pytest.fixture
def settings_of(tiny_folder):
    return AskSettings(str(tiny_folder), {"tiles": 6, "tokens": 20})


@dataclass
class Planned:
    """A batch that was planned and can be run, again and again."""

    settings: AskSettings
    output: object
    path: object

    def plan(self):
        rows = [ManifestRow(str(self.path), str(self.path), None)]
        return plan_batch(rows, QUESTIONS, [], self.settings.hash, {})

    def run(self, plan, executor_of=InProcessExecutor):
        executor = executor_of(SceneWork(self.settings, self.settings.hash, {}))
        folder = BatchFolder(self.output, geoparquet=False)
        run_batch(plan, self.settings, folder, executor)
        with Journal(self.output / "journal.sqlite") as journal:
            return result_rows(plan.rows, journal.entries(self.settings.hash))


def by_copy(path, other):
    shutil.copy(other, path)


def by_link(path, other):
    path.unlink()
    path.symlink_to(other)


def by_overviews(path, other):
    shutil.copy(other, path.with_name(path.name + ".ovr"))


def by_going(path, other):
    path.unlink()


def back(path, kept):
    path.unlink(missing_ok=True)
    path.with_name(path.name + ".ovr").unlink(missing_ok=True)
    shutil.copy2(kept, path)


@pytest.mark.parametrize(
    ("change", "executor_of"),
    [
        *((change, InProcessExecutor) for change in (by_copy, by_link, by_overviews, by_going)),
        # a worker loads libraries for seconds, and reads scenes as the run itself does
        pytest.param(by_copy, lambda work: ProcessExecutor(1, work), marks=pytest.mark.slow),
    ],
    ids=["copy", "link", "overviews", "going", "copy in processes"],
)
def test_a_changed_scene_fails_in_words_and_is_asked_when_the_old_file_is_back(
    two, settings_of, tmp_path, change, executor_of
):
    path = tmp_path / "scene.tif"
    shutil.copy2(two[0], path)
    batch = Planned(settings_of, tmp_path / "out", path)
    plan = batch.plan()
    change(path, two[1])
    failed = batch.run(plan, executor_of)
    assert {row["status"] for row in failed} == {"failed"}
    assert all("is not the file that it was when the run was planned" in r["error"] for r in failed)
    back(path, two[0])
    answered = batch.run(batch.plan())
    truth = Planned(settings_of, tmp_path / "clean", path)
    clean = truth.run(truth.plan())
    assert {row["status"] for row in answered} == {"answered"}
    assert [r["confidence"] for r in answered] == [r["confidence"] for r in clean]


def test_the_next_run_plans_the_present_file(two, settings_of, tmp_path):
    path = tmp_path / "scene.tif"
    shutil.copy2(two[0], path)
    batch = Planned(settings_of, tmp_path / "out", path)
    plan = batch.plan()
    by_copy(path, two[1])
    batch.run(plan)
    now = batch.run(batch.plan())
    shutil.copy2(two[1], tmp_path / "second.tif")
    truth = Planned(settings_of, tmp_path / "clean", tmp_path / "second.tif")
    assert [r["confidence"] for r in now] == [r["confidence"] for r in truth.run(truth.plan())]


def test_what_changes_while_polygons_are_laid_on_a_scene_is_noticed(two, tmp_path, monkeypatch):
    path = tmp_path / "scene.tif"
    shutil.copy2(two[0], path)
    before = scene_identity(str(path))

    def opened(name, **access):
        """The scene, whose file becomes another one meanwhile."""
        scene = open_scene(name, **access)
        by_copy(path, two[1])
        return scene

    monkeypatch.setattr(opening, "open_scene", opened)
    region = NamedRegion("field", box(0, 0, 64, 64), "pixels", "given")
    plan = plan_batch([ManifestRow(str(path), str(path), None)], QUESTIONS, [region], "hash", {})
    assert scene_identity(str(path)) != before
    assert {item.payload[PLANNED] for item in plan.items} == {before}


@pytest.mark.parametrize("work_of", ["batch", "eval"])
def test_a_worker_that_keeps_a_scene_open_notices_too(two, settings_of, tmp_path, work_of):
    path = tmp_path / "scene.tif"
    shutil.copy2(two[0], path)
    plan = Planned(settings_of, tmp_path / "out", path).plan()
    works = {
        "batch": SceneWork(settings_of, settings_of.hash, {}),
        "eval": EvalWork(settings_of, planned=settings_of.hash),
    }
    worker = works[work_of].open()
    payload = {"boxes": [], "prompt": QUESTION} | dict(plan.items[0].payload)
    before = worker(str(path), payload)
    by_link(path, two[1])
    with pytest.raises(Exception, match="was not asked about"):
        worker(str(path), payload)
    back(path, two[0])
    assert worker(str(path), payload)["confidence"] == before["confidence"]


def test_items_of_evaluations_name_the_scene_that_was_planned(two, tmp_path):
    from geofovea.datasets.benchmarks.local_files import Images
    from geofovea.datasets.benchmarks.registry import load_benchmark
    from geofovea.datasets.records.sample import Sample
    from geofovea.pipeline.evaluation.worker import make_items
    from geofovea.tiling.files.stamp import scene_identity

    sample = Sample(id="a", question="Why?", answers=("x",), images=("1.tif",), category="c")
    images = Images({"1.tif": two[0]}, ())
    (item,) = make_items(load_benchmark("synthetic"), [sample], images, "c").values()
    assert item.payload[PLANNED] == item.key.scene == scene_identity(str(two[0]))


@pytest.mark.parametrize("kind", ["batch", "eval"])
def test_a_model_that_changes_between_planning_and_loading_ends_the_run(
    tiny_folder, tmp_path, kind
):
    copy = tmp_path / "model"
    shutil.copytree(tiny_folder, copy)
    settings = AskSettings(str(copy), {"tiles": 6, "tokens": 20})
    works = {
        "batch": SceneWork(settings, settings.hash, {}),
        "eval": EvalWork(settings, planned=settings.hash),
    }
    works[kind].open()
    weights = copy / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with pytest.raises(RunError, match="planned with"):
        works[kind].open()
    # where nothing was planned, nothing is compared
    assert replace(works["eval"], planned=None).open()


def test_a_file_that_is_dressed_up_as_before_is_planned_as_that(two, tmp_path):
    from geofovea.tiling.files.stamp import scene_identity

    path = tmp_path / "scene.tif"
    shutil.copy2(two[0], path)
    before = scene_identity(str(path))
    os.utime(path, ns=(1, 1))
    assert scene_identity(str(path)) != before
