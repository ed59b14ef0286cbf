"""``geofovea eval`` and ``geofovea report``, from files on disk to the page."""

import json
import re
import shutil
from dataclasses import replace

import pytest
from click.testing import CliRunner

from geofovea.datasets.records.annotations import write_records
from geofovea.datasets.synthetic.annotations import record_of
from geofovea.datasets.synthetic.questions import ask_world
from geofovea.pipeline.cli import main
from geofovea.pipeline.evaluation.reports import zoom_pages
from geofovea.pipeline.evaluation.reports.zoom_pages import MOST_ZOOM_PAGE_BYTES
from geofovea.pipeline.runs.journal import Journal


@pytest.fixture
def benchmark(tmp_path, world, scene_path):
    """A synthetic benchmark of one scene that is there and one that is not."""
    root = tmp_path / "synthetic"
    (root / "image").mkdir(parents=True)
    shutil.copy(scene_path, root / "image" / "here.tif")
    questions = ask_world(world, 1)
    names = ["image/here.tif"] * 3 + ["image/<gone>.tif"] * (len(questions) - 3)
    records = (
        record_of(q, i, n, world) for i, (q, n) in enumerate(zip(questions, names, strict=True))
    )
    write_records(records, root / "annotations.jsonl")
    return root


def run(*arguments):
    return CliRunner().invoke(main, ["eval", *(str(a) for a in arguments)])


@pytest.fixture
def finished(benchmark, tiny_folder, tmp_path):
    """A folder with a finished run."""
    folder = tmp_path / "run"
    ask = ("synthetic", "--root", benchmark, "--output", folder, "--model", tiny_folder)
    result = run(*ask, "--tiles", 12, "--tokens", 200, "--json")
    assert result.exit_code == 0, result.output
    return folder, json.loads(result.stdout), (*ask, "--tiles", 12, "--tokens", 200)


def test_a_run_scores_what_is_there_and_names_what_is_not(finished):
    folder, scores, _ = finished
    assert scores["answered"] == 3 < scores["asked"]
    assert any("1 of 2 images are missing: image/<gone>.tif" in n for n in scores["notes"])
    items = [json.loads(line) for line in (folder / "items.jsonl").read_text().splitlines()]
    assert [item["question_id"] for item in items] == ["SYNTH_0", "SYNTH_1", "SYNTH_2"]
    for item in items:
        assert item["cost"]["tokens_llm"] <= 200
        assert set(item["verdicts"]) == {"official", "strict", "lenient"}
        assert all(v["rule"] for v in item["verdicts"].values())
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["counts"] == {"planned": 3, "kept from before": 0, "answered": 3, "failed": 0}
    assert len(manifest["annotations"]["sha256"]) == 64
    assert manifest["configuration"]["limits"]["tiles"] == 12
    assert manifest["versions"]["torch"]


def test_what_is_said_of_most_answers_is_said_of_the_score_in_words_of_the_shell(
    finished, monkeypatch
):
    folder, _, command = finished
    entries = Journal.entries

    def doubted(journal, configuration):
        found = entries(journal, configuration)
        for i, (key, entry) in enumerate(found.items()):
            warnings = ["give it room with thinking='room'", *(["seen badly"] if not i else [])]
            record = json.loads(entry.record) | {"warnings": warnings}
            found[key] = replace(entry, record=json.dumps(record))
        return found

    monkeypatch.setattr(Journal, "entries", doubted)
    scores = json.loads(run(*command, "--json").stdout)
    assert "3 of 3 answers: give it room with --thinking room" in scores["notes"]
    assert not any("seen badly" in note for note in scores["notes"])
    assert json.loads((folder / "scores.json").read_text())["notes"] == scores["notes"]
    rows = [json.loads(line) for line in (folder / "items.jsonl").read_text().splitlines()]
    assert all(row["warnings"][0] == "give it room with --thinking room" for row in rows)


def test_the_same_command_again_calls_no_model(finished, tiny_folder, monkeypatch):
    folder, scores, ask = finished
    monkeypatch.setattr("geofovea.pipeline.hosts.load.load_host", None)
    again = run(*ask, "--json")
    assert again.exit_code == 0, again.output
    assert json.loads(again.stdout) == scores
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["counts"]["kept from before"] == 3


def test_another_configuration_in_the_way_is_refused_unless_told(finished):
    _, _, ask = finished
    refused = run(*ask, "--focus", "overview")
    assert refused.exit_code == 1
    assert "holds answers of another configuration (focus: 'attention' there" in refused.stderr
    assert run(*ask, "--focus", "overview", "--replace").exit_code == 0


def test_a_scene_that_cannot_be_read_fails_alone_and_counts_as_wrong(
    benchmark, tiny_folder, tmp_path
):
    (benchmark / "image" / "<gone>.tif").write_bytes(b"II*\x00 no tiff")
    result = run(
        *("synthetic", "--root", benchmark, "--output", tmp_path / "run", "--model", tiny_folder),
        *("--focus", "overview", "--tiles", 12, "--tokens", 200),
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "5 questions failed and count as wrong, such as SYNTH_3: " in result.stdout
    rows = [json.loads(line) for line in (tmp_path / "run/items.jsonl").read_text().splitlines()]
    broken = [row for row in rows if row["error"]]
    assert broken == rows[3:]
    assert not any(row["verdicts"]["lenient"]["correct"] for row in broken)


def test_a_report_is_one_page_with_pictures_and_one_table(finished):
    folder, scores, _ = finished
    result = CliRunner().invoke(main, ["report", str(folder)])
    assert result.exit_code == 0, result.output
    page = (folder / "report.html").read_text()
    # nothing is fetched: all that is shown is inside, and links lead to files beside it
    assert not re.findall(r"src=['\"](?!data:)", page)
    links = re.findall(r"href=['\"]([^'\"]*)", page)
    assert links
    items = [link for link in links if not link.endswith("-zoom.html")]
    assert items
    for link in items:
        about = (folder / link).read_text()
        assert 'href="../report.html"' in about
        assert about.count("data:image/jpeg") == 1
    wrong = sum(n for rule, n in scores["rules"]["official"].items() if "wrong" in rule)
    assert page.count("data:image/jpeg") == min(6, wrong) > 0
    assert "<gone>" not in page
    assert "&lt;gone&gt;" in page
    table = (folder / "report.md").read_text()
    for title in ("Scores", "By group", "Which rule decided", "Cost"):
        assert f"## {title}\n" in table
    assert f"{100 * scores['figures']['official']['OA']['value']:.2f} [" in table


def rows_of(folder):
    return [json.loads(line) for line in (folder / "items.jsonl").read_text().splitlines()]


def paged(page):
    """The data of a page with deep zoom."""
    found = re.search(r'id="geofovea-data">(.*?)</script>', page, re.DOTALL)
    return json.loads(found[1])


def test_failures_lead_to_pages_with_deep_zoom_and_the_right_answer(finished):
    folder, _, _ = finished
    items = {row["question"]: row for row in rows_of(folder)}
    assert CliRunner().invoke(main, ["report", str(folder)]).exit_code == 0
    page = (folder / "report.html").read_text()
    links = re.findall(r'href="(report-items/[^"]*-zoom.html)"', page)
    assert f"{len(links)} of these {len(links)} answers have a page with deep zoom" in page
    assert len(links) > 0
    for link in links:
        assert (folder / link).stat().st_size <= MOST_ZOOM_PAGE_BYTES
        data = paged((folder / link).read_text())
        item = items[data["answer"]["answer"]["question"]]
        assert data["answer"]["answer"]["answer"] == item["answer"]
        assert data["answer"]["truth"]["answers"] == item["truth"]
        rows = data["answer"]["answer"]["evidence"]
        assert [row["box_scene"] for row in rows] == [row["box_scene"] for row in item["evidence"]]
        assert sum(row["tokens"] for row in rows) == item["cost"]["tokens_llm"]
        looked = {tuple(tile[:3]) for look in data["answer"]["looks"] for tile in look["tiles"]}
        assert {(row["level"], row["row"], row["col"]) for row in rows} <= looked
        assert data["tiles"]


def test_a_report_has_a_bounded_number_of_pages_with_deep_zoom(finished, monkeypatch):
    folder, _, _ = finished
    monkeypatch.setattr(zoom_pages, "MOST_ZOOM_PAGES", 1)
    assert CliRunner().invoke(main, ["report", str(folder)]).exit_code == 0
    assert len(list((folder / "report-items").glob("*-zoom.html"))) == 1
    about = [p.read_text() for p in (folder / "report-items").glob("*[!m].html")]
    assert any("There is no page with deep zoom: a report has at most 1" in text for text in about)


def test_a_failure_that_was_kept_without_evidence_has_the_page_with_a_picture(finished):
    folder, _, _ = finished
    kept = [
        json.dumps({k: v for k, v in row.items() if k != "evidence"}) for row in rows_of(folder)
    ]
    (folder / "items.jsonl").write_text("\n".join(kept))
    result = CliRunner().invoke(main, ["report", str(folder)])
    assert result.exit_code == 0, result.output
    assert "-zoom.html" not in (folder / "report.html").read_text()
    about = [p.read_text() for p in (folder / "report-items").glob("*.html")]
    assert about
    assert all("the run keeps too little of this answer" in text for text in about)


def test_without_its_image_a_failure_has_no_page_with_deep_zoom(finished, tmp_path):
    folder, _, _ = finished
    empty = tmp_path / "empty"
    empty.mkdir()
    assert CliRunner().invoke(main, ["report", str(folder), "--root", str(empty)]).exit_code == 0
    assert not list((folder / "report-items").glob("*-zoom.html"))
    about = [p.read_text() for p in (folder / "report-items").glob("*.html")]
    assert all("no page with deep zoom: its image is not at hand" in text for text in about)


def test_both_stages_of_an_answers_file_are_told(tmp_path):
    row = {"image_name": "a.tif", "category": "color", "split": "test", "question": "Which?"}
    kinds = {"1": "global", "2": "region", "3": "object"}
    rows = [row | {"question_id": q, "type": t, "ground_truth": "grey"} for q, t in kinds.items()]
    (tmp_path / "LRS-GRO.jsonl").write_text("\n".join(json.dumps(r) for r in rows))
    said = [("1", "grey", None), ("2", "red", "grey"), ("3", None, "red")]
    path = tmp_path / "answers.jsonl"
    path.write_text(
        "\n".join(json.dumps({"question_id": q, "answer1": a, "answer2": b}) for q, a, b in said)
    )
    scored = run("lrs-gro", "--root", tmp_path, "--predictions", path, "--json")
    assert scored.exit_code == 0, scored.output
    scores = json.loads(scored.stdout)
    assert scores["figures"]["official"]["OA"]["value"] == pytest.approx(2 / 3)
    before = "OA 33.33, global OA 100.00, region OA 0.00, object OA 0.00"
    assert f"the column answer1 alone, official rule: {before}" in scores["notes"]


def test_a_report_of_nothing_says_how_to_make_a_run(tmp_path):
    result = CliRunner().invoke(main, ["report", str(tmp_path)])
    assert result.exit_code == 1
    assert "make one with geofovea eval" in result.stderr


def test_a_report_puts_a_run_among_the_published_scores(benchmark, tmp_path):
    folder, root = tmp_path / "run", tmp_path / "lrs"
    folder.mkdir()
    root.mkdir()
    rows = (benchmark / "annotations.jsonl").read_text().replace("SYNTH_", "FAIR_")
    (root / "LRS_VQA_merged.jsonl").write_text(rows)
    answers = [json.loads(row) for row in rows.splitlines()]
    path = tmp_path / "answers.jsonl"
    path.write_text("\n".join(json.dumps({"id": r["question_id"], "text": r["ground_truth"]}) for r in answers))  # fmt: skip # noqa: E501
    scored = run("lrs-vqa", "--root", root, "--predictions", path, "--output", folder)
    assert scored.exit_code == 0, scored.output
    assert CliRunner().invoke(main, ["report", str(folder)]).exit_code == 0
    lines = (folder / "report.md").read_text().splitlines()
    fair = [line for line in lines if line.startswith("| FAIR AA ") and line.count("|") == 6]
    assert "answers.jsonl (this run)" in fair[0]
    assert "n/a: every draw of images gave the same number" in scored.stdout
    # modes that agree in every row are one column
    assert "official, strict, lenient" in scored.stdout
    assert "are empty or failed" not in scored.stdout
    path.write_text("\n".join(json.dumps({"id": r["question_id"], "text": " "}) for r in answers))
    empty = run("lrs-vqa", "--root", root, "--predictions", path)
    assert f"note: {len(answers)} of {len(answers)} answers are empty or failed" in empty.stdout
    assert any("Qwen2-VL-7B" in line and "23.80" in line for line in fair)


def test_blind_scores_and_leaks_are_printed(benchmark, tmp_path):
    blind = run("synthetic", "--root", benchmark, "--blind", "--runs", 2)
    assert blind.exit_code == 0, blind.output
    assert "15 neighbors, crossed" in blind.stdout
    # sources of which the file has no question have no line, and no other figure fails over them
    rows = (benchmark / "annotations.jsonl").read_text().replace("SYNTH_", "FAIR_")
    (benchmark / "LRS_VQA_merged.jsonl").write_text(rows)
    partly = run("lrs-vqa", "--root", benchmark, "--blind", "--runs", 3)
    assert partly.exit_code == 0, partly.output
    assert "FAIR AA" in partly.stdout
    assert "STAR AA" not in partly.stdout
    assert "nan" not in run("lrs-vqa", "--root", benchmark, "--blind", "--json").stdout.lower()
    training = tmp_path / "training"
    shutil.copytree(benchmark / "image", training)
    found = run("synthetic", "--root", benchmark, "--train", training)
    assert found.exit_code == 0, found.output
    assert "1 of 1 benchmark images (3 questions) are among 1 training image;" in found.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((), 2, "give one of --output FOLDER"),
        (("--blind", "--train", "x"), 2, "give one of --output FOLDER"),
        (("--blind", "--runs", "0"), 1, "--runs must be at least 1"),
        (("--output", "run", "--limit", "0"), 2, "0 is not at least 1"),
        (("--output", "run", "--tiles", "0"), 1, "--max-tiles 0 is not a budget"),
        (("--predictions", "no.jsonl"), 1, "no.jsonl cannot be read"),
        (("--annotations", "no.jsonl", "--blind"), 1, "no.jsonl cannot be read"),
    ],
)
def test_wrong_use_says_what_is_wrong(benchmark, arguments, code, message):
    result = run("synthetic", "--root", benchmark, *arguments)
    assert result.exit_code == code, result.output
    assert message in result.stderr


def test_no_image_at_all_says_where_they_should_be(benchmark, tmp_path):
    shutil.rmtree(benchmark / "image")
    result = run("synthetic", "--root", benchmark, "--output", tmp_path / "run")
    assert result.exit_code == 1
    assert "2 of 2 images are missing" in result.stderr
    assert "geofovea synth" in result.stderr
