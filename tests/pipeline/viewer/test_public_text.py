"""Who asks a server learns no path of its machine, whichever file a text is about."""

import asyncio
import json
from copy import copy

import pytest
from pipeline_toys import QUESTION
from viewer_toys import ended

from geofovea.errors import GeoFoveaError
from geofovea.pipeline.agents.questions import answer_facts
from geofovea.pipeline.agents.tools import find_places
from geofovea.pipeline.session.session import SceneSession
from geofovea.pipeline.viewer.exports import EXPORTS
from geofovea.pipeline.viewer.job_request import JobRequest
from geofovea.pipeline.viewer.public_text import without_paths
from geofovea.pipeline.viewer.served_scene import ServedScene
from geofovea.tiling.opening import open_scene


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/srv/a/scene.tif is no raster", "scene.tif is no raster"),
        ("cannot read '/srv/a b/it.json': damaged", "cannot read 'it.json': damaged"),
        ("(/srv/a/b/c.bin, /srv/d/e)", "(c.bin, e)"),
        ("'/srv/a and it's so", "'a and it's so"),
        ("/srv", "/srv"),
        ("see /vsizip//srv/a/b.zip/c.tif.", "see c.tif."),
        ("'~/models/x' and ~/models/y", "'x' and y"),
        (r"'C:\Users\ann\x.tif' or D:/data/y.tif", "'x.tif' or y.tif"),
        ("geofovea calibrate --model /srv/models/tiny", "geofovea calibrate --model tiny"),
        ("file:///srv/models/tiny", "file:///srv/models/tiny"),
        ("POST /v1/chat/completions is not served", "POST /v1/chat/completions is not served"),
        ("60 km/h, 1/255, and/or, 3 / 4", "60 km/h, 1/255, and/or, 3 / 4"),
        ("https://example.org/srv/a/b", "https://example.org/srv/a/b"),
        ("/srv/no such folder/of mine/a.bin is gone", "a.bin is gone"),
        ("from /srv/a/b to /srv/c/d", "from b to d"),
        ("s3://bucket/srv/a.tif", "s3://bucket/srv/a.tif"),
        ("llava-hf/llava-1.5-7b-hf", "llava-hf/llava-1.5-7b-hf"),
        ("", ""),
    ],
)
def test_a_path_is_its_last_part_and_other_words_stay(text, expected):
    assert without_paths(text) == expected


def test_whether_a_folder_is_there_is_not_told(tmp_path):
    texts = [f"no word of {tmp_path / name / 'a.bin'}" for name in ("here", "gone")]
    (tmp_path / "here").mkdir()
    assert {without_paths(text) for text in texts} == {"no word of a.bin"}


def test_a_folder_whose_name_holds_blanks_is_left_out_whole(tmp_path):
    folder = tmp_path / "my own" / "of it"
    folder.mkdir(parents=True)
    assert without_paths(f"{folder}/a.bin holds nothing") == "a.bin holds nothing"
    assert without_paths(f"make {folder} and go on") == "make of it and go on"


def test_what_lies_below_a_known_folder_keeps_its_place_there():
    text = "my models/tiny/config.json and /srv/my models/tiny2"
    assert without_paths(text, "my models/tiny") == "tiny/config.json and tiny2"


def test_neither_the_model_nor_the_scene_is_told_by_its_path(make_desk, tiny_folder, scene_path):
    desk = make_desk()
    hidden = (str(tiny_folder.parent), str(scene_path.parent))
    assert desk.host.name.startswith(hidden[0])
    told = [json.dumps(desk.to_json())]
    questions = {"find": "truck", "measure": "the largest hall", "ask": QUESTION}
    for task, words in questions.items():
        job = ended(desk.submit(JobRequest("1", words, task=task, budget={"tiles": 1})))
        told += [event.text for event in job.events_after(0)]
        told += [json.dumps(answer_facts(job)), json.dumps(job.to_json())]
        told += [EXPORTS["answer.json"].make(job.answer, job.scene).decode()]
    files = [export for name, export in EXPORTS.items() if not name.endswith(".png")]
    told += [export.make(job.answer, job.scene).decode() for export in files]
    assert not [text for text in told for path in hidden if path in text]
    assert '"model": "tiny"' in told[0]


def test_an_agent_that_finds_places_learns_no_path(make_desk, tiny_folder):
    desk = make_desk()
    found = asyncio.run(find_places(desk, None, "truck", max_tiles=1))
    assert found["model"] == "tiny"
    assert str(tiny_folder.parent) not in json.dumps(found)


def test_the_error_of_a_file_beside_the_model_names_no_folder(tiny_host, scene_path, tmp_path):
    host = copy(tiny_host)
    host.use_region_focus(tmp_path / "hid den" / "focus")
    (tmp_path / "hid den").mkdir()
    scene = ServedScene("1", SceneSession(open_scene(scene_path), host))
    with pytest.raises(GeoFoveaError, match="hid den") as caught:
        scene.session.ask(QUESTION, focus="rfm")
    told = scene.without_paths(str(caught.value))
    assert told.startswith("focus holds no region focus module")
    assert "hid den" not in told
