"""Every benchmark: its records, its prompt and its published rule, faults included."""

import csv
import json
import shutil

import pytest
from benchmark_rows import (
    GRO,
    HR,
    LRS,
    MME,
    RSHR,
    VSTAR,
    XLRS,
    XLRS_SEVERAL,
    json_lines,
    png,
    write_all,
    write_rsvqa,
)

from geofovea.datasets.benchmarks.local_files import find_images, read_benchmark
from geofovea.datasets.benchmarks.registry import BENCHMARK_NAMES, load_benchmark
from geofovea.datasets.benchmarks.rsvqa import class_of
from geofovea.datasets.benchmarks.scores import score
from geofovea.datasets.records.sample import Sample
from geofovea.datasets.scoring.verdict import MODES
from geofovea.datasets.scoring.wordnet import synonyms
from geofovea.errors import DataError


@pytest.fixture
def folders(tmp_path):
    write_all(tmp_path)
    return tmp_path


def first(name, root):
    return read_benchmark(load_benchmark(name), root / name).samples[0]


def official(name, sample, answer):
    verdict = load_benchmark(name).scorers(synonyms("table"))["official"](sample, answer)
    return verdict.taken if sample.choices else verdict.correct


@pytest.mark.parametrize("name", BENCHMARK_NAMES)
def test_the_truth_is_right_in_every_mode_and_another_answer_in_none(folders, name):
    benchmark = load_benchmark(name)
    samples = read_benchmark(benchmark, folders / name).samples
    scorers = benchmark.scorers(synonyms("table"))
    assert set(scorers) == set(MODES)
    for sample in samples:
        truth = " ".join(sample.answers) if sample.choices else sample.answers[0].lower()
        for mode in MODES:
            assert scorers[mode](sample, truth).correct, mode
            assert not scorers[mode](sample, "zebra?").correct, mode


@pytest.mark.parametrize("name", BENCHMARK_NAMES)
def test_every_figure_is_measured_and_every_published_one_exists(folders, name):
    benchmark = load_benchmark(name)
    samples = read_benchmark(benchmark, folders / name).samples
    answers = {s.id: s.answers[0] for s in samples}
    scores, _ = score(benchmark, samples, answers, synonyms("none"))
    names = {figure.name for figure in benchmark.metrics}
    assert set(scores.figures["official"]) <= names
    assert {published.figure for published in benchmark.published} <= names
    json.dumps(scores.to_json(), allow_nan=False)


@pytest.mark.parametrize("name", BENCHMARK_NAMES)
def test_a_missing_annotation_file_says_what_to_download_and_where_to_put_it(tmp_path, name):
    benchmark = load_benchmark(name)
    with pytest.raises(DataError) as caught:
        read_benchmark(benchmark, tmp_path)
    for part in (str(tmp_path), benchmark.instructions, benchmark.annotations[0]):
        assert part in str(caught.value)


def test_missing_images_are_named_and_counted(folders):
    samples = read_benchmark(load_benchmark("lrs-vqa"), folders / "lrs-vqa").samples
    images = find_images(folders / "lrs-vqa", samples)
    assert images.describe_missing() == "1 of 1 images are missing: LRS_VQA/image/a.png"
    assert images.of(samples[0]) is None


@pytest.mark.parametrize("place", ["LRS_VQA/image/a.png", "image/a.png", "a.png"])
def test_an_image_is_found_with_fewer_leading_folders(folders, place):
    path = folders / "lrs-vqa" / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png())
    samples = read_benchmark(load_benchmark("lrs-vqa"), folders / "lrs-vqa").samples
    assert find_images(folders / "lrs-vqa", samples).of(samples[0]) == (path,)


def test_an_id_that_occurs_twice_is_refused(tmp_path):
    json_lines(tmp_path / "LRS_VQA_merged.jsonl", LRS, LRS)
    with pytest.raises(DataError, match="'FAIR_1' occurs twice"):
        read_benchmark(load_benchmark("lrs-vqa"), tmp_path)


def test_boxes_outside_their_image_are_clipped_and_told(tmp_path):
    rows = [LRS | {"question_id": f"FAIR_{i}"} for i in range(3)]
    rows[1] |= {"hbox": [90, 20, 130, 40]}
    rows[2] |= {"hbox": [190, 20, 230, 40]}
    json_lines(tmp_path / "LRS_VQA_merged.jsonl", *rows)
    found = read_benchmark(load_benchmark("lrs-vqa"), tmp_path)
    assert [s.object_size for s in found.samples] == [20, 20, None]
    (note,) = found.notes
    assert note.startswith("the boxes of 2 questions reach beyond the image")
    assert "(1 clipped, 1 outside it and left out): FAIR_1, FAIR_2" in note


BROKEN = {
    "mme-realworld-rs": ("MME_RealWorld.jsonl", MME, {"Answer choices": "red"}, "Answer choices"),
    "xlrs-bench": ("XLRS-Bench-lite.jsonl", XLRS, {"answer": "Z"}, "answer"),
    "lrs-gro": ("LRS-GRO.jsonl", GRO, {"bbox": [1, 2, 3]}, "bbox"),
    "rshr-bench": ("dataset.jsonl", RSHR, {"options": {"A": "x", "C": "y"}}, "options"),
    "vstar": ("test_questions.jsonl", VSTAR, {"text": "no choices"}, "text"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_malformed_row_is_named_with_its_column(tmp_path, name):
    file, row, change, column = BROKEN[name]
    json_lines(tmp_path / file, row, row | change)
    with pytest.raises(DataError, match=rf"{file}, line 2, column '{column}'"):
        read_benchmark(load_benchmark(name), tmp_path)


@pytest.mark.parametrize("write", [json.dumps, repr], ids=["JSON", "Python"])
def test_choices_in_a_cell_of_csv_are_read_as_programs_write_them(tmp_path, write):
    def read(choices):
        cells = MME | {"Answer choices": choices}
        with (tmp_path / "mme.csv").open("w", newline="") as table:
            csv.writer(table).writerows([cells.keys(), cells.values()])
        return read_benchmark(
            load_benchmark("mme-realworld-rs"), tmp_path, tmp_path / "mme.csv"
        ).samples

    (found,) = read(write(MME["Answer choices"]))
    assert found.choices == ("Red", "Blue", "Green", "White", "Not visible")
    for wrong in ("[(A) Red, (B) Blue]", "[" * 9000, "[__import__('os').getcwd()]"):
        with pytest.raises(DataError, match="line 2, column 'Answer choices': expected a list"):
            read(wrong)


def test_a_missing_column_is_named_with_those_that_are_there(tmp_path):
    json_lines(tmp_path / "LRS-GRO.jsonl", {k: v for k, v in GRO.items() if k != "question"})
    with pytest.raises(DataError, match=r"line 1: the column 'question' is missing; there are \["):
        read_benchmark(load_benchmark("lrs-gro"), tmp_path)


@pytest.mark.parametrize(
    "image", ["/etc/passwd.png", "../a.png", "a/../../b.png", "http://x/a.png"]
)
def test_an_image_outside_the_folder_is_refused(tmp_path, image):
    json_lines(tmp_path / "LRS-GRO.jsonl", GRO | {"image_name": image})
    with pytest.raises(DataError, match=r"line 1: the image .* is not a path below"):
        read_benchmark(load_benchmark("lrs-gro"), tmp_path)


# what the published script of MME-RealWorld makes of an answer
MME_TABLE = (
    ("B", "B"),
    ("(B) Blue", "B"),
    ("Answer: C", "A"),
    ("Based on the image, it is blue", "B"),
    ("Cannot tell", "C"),
    ("Each roof is white", "E"),
    ("The best answer is D", "D"),
    ("blue", "B"),
    ("", "A"),
    ("one two three four five six seven eight nine ten eleven", ""),
    ("purple", ""),
)


@pytest.mark.parametrize(("answer", "letter"), MME_TABLE)
def test_mme_realworld_takes_the_first_capital_letter(folders, answer, letter):
    assert official("mme-realworld-rs", first("mme-realworld-rs", folders), answer) == letter


def test_mme_realworld_never_matches_a_truth_of_two_letters(tmp_path):
    json_lines(tmp_path / "MME_RealWorld.jsonl", MME | {"Ground truth": ["B", "D"]})
    benchmark = load_benchmark("mme-realworld-rs")
    (sample,) = read_benchmark(benchmark, tmp_path).samples
    scorer = benchmark.scorers(None)["official"]
    assert not any(scorer(sample, answer).correct for answer in ("B", "D", "BD", "B, D"))


def test_mme_realworld_keeps_remote_sensing_only_and_asks_as_published(folders):
    benchmark = load_benchmark("mme-realworld-rs")
    (sample,) = read_benchmark(benchmark, folders / "mme-realworld-rs").samples
    asked = benchmark.prompt(sample)
    assert asked.startswith("What color is the roof? The choices are listed below:\n(A) Red\n(B)")
    assert asked.endswith("(A, B, C, D, or E) of the correct option. \nThe best answer is:")


# what lmms-eval makes of an answer to XLRS-Bench
XLRS_TABLE = (
    ("B", "B"),
    ("(B)", "B"),
    ("b", ""),
    ("B. road", "ABD"),
    ("The answer is B", "B"),
    ("Answer: B", "ABE"),
    ("(a) and (C)", "AC"),
    ("A C", "AC"),
    ("none", ""),
)


@pytest.mark.parametrize(("answer", "letters"), XLRS_TABLE)
def test_xlrs_reads_nearly_every_letter(folders, answer, letters):
    assert official("xlrs-bench", first("xlrs-bench", folders), answer) == letters


def test_xlrs_asks_for_several_letters_in_one_subtask_only(folders):
    benchmark = load_benchmark("xlrs-bench")
    one, several = read_benchmark(benchmark, folders / "xlrs-bench").samples
    assert benchmark.prompt(one).startswith("What is it?The choices are listed below:\n(A) Port\n")
    assert benchmark.prompt(one).endswith("\nThe answer is:")
    assert benchmark.prompt(several).endswith("The answer(s) is(are):")
    assert several.answers == ("A", "C")


def test_xlrs_macro_counts_absent_subtasks_as_zero(folders):
    benchmark = load_benchmark("xlrs-bench")
    samples = read_benchmark(benchmark, folders / "xlrs-bench").samples
    scores, _ = score(benchmark, samples, {"7": "B", "8": "A"}, synonyms("none"))
    assert scores.figures["official"]["macro"].value == pytest.approx(1 / 13)
    assert scores.figures["official"]["micro"].value == 0.5
    assert scores.letters == {"A": 1, "B": 1}


def test_images_inside_parquet_rows_become_files_and_shards_are_one_benchmark(tmp_path):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet

    for shard, row in enumerate((XLRS, XLRS_SEVERAL)):
        cells = row | {"image": [{"bytes": png(shard), "path": None}]}
        table = pa.Table.from_pylist([cells])
        (tmp_path / "data").mkdir(exist_ok=True)
        pyarrow.parquet.write_table(table, tmp_path / f"data/train-0000{shard}-of-00002.parquet")
    samples = read_benchmark(load_benchmark("xlrs-bench"), tmp_path).samples
    assert [s.id for s in samples] == ["7", "8"]
    images = find_images(tmp_path, samples)
    assert [images.of(s)[0].read_bytes() for s in samples] == [png(0), png(1)]


def test_lrs_gro_judges_nouns_in_the_singular_and_keeps_its_test_part(folders):
    found = read_benchmark(load_benchmark("lrs-gro"), folders / "lrs-gro")
    (sample,) = found.samples
    assert (sample.source, sample.boxes[0].as_tuple()) == ("object", (1, 2, 9, 9))
    assert "part 'test'" in found.notes[0]
    assert official("lrs-gro", sample, " grey ")
    assert not official("lrs-gro", sample, "gray.")
    trees = Sample("1", ("a.png",), "what?", ("trees",), "kind", "object")
    assert official("lrs-gro", trees, "tree")


def test_rshr_compares_sets_of_letters_and_leaves_captions_out(folders):
    found = read_benchmark(load_benchmark("rshr-bench"), folders / "rshr-bench")
    (sample,) = found.samples
    assert (sample.id, sample.source, sample.multi_select) == ("0", "perception", True)
    assert found.notes[0].startswith("1 row has no options")
    assert official("rshr-bench", sample, "C A") == "AC"
    assert official("rshr-bench", sample, "The answer is A") == "A"


@pytest.mark.parametrize(
    ("answer", "category", "shown"),
    [
        ("0", "count", "0"),
        ("1", "count", "between 0 and 10"),
        ("10", "count", "between 0 and 10"),
        ("11", "count", "between 10 and 100"),
        ("1000", "count", "between 100 and 1000"),
        ("1001", "count", "more than 1000"),
        ("120m2", "area", "between 100m2 and 1000m2"),
        ("0m2", "area", "0m2"),
        ("yes", "presence", "yes"),
        ("12", "presence", "12"),
        ("12m2", "count", "12m2"),
    ],
)
def test_rsvqa_puts_numbers_into_classes(answer, category, shown):
    assert class_of(answer, category) == shown


def test_rsvqa_joins_its_files_and_skips_what_is_not_active(folders):
    (sample,) = read_benchmark(load_benchmark("rsvqa-lr"), folders / "rsvqa-lr").samples
    assert (sample.id, sample.images, sample.answers) == ("4", ("images/2.tif",), ("12",))
    assert official("rsvqa-lr", sample, "99")
    assert not official("rsvqa-lr", sample, "100000")


def test_rsvqa_names_a_question_without_answer(tmp_path):
    write_rsvqa(tmp_path)
    (tmp_path / "LR_split_test_answers.json").write_text('{"answers": []}')
    with pytest.raises(DataError, match="question 4: the column or the answer '9' is missing"):
        read_benchmark(load_benchmark("rsvqa-lr"), tmp_path)


def test_rsvqa_names_what_has_ids_that_are_none(tmp_path):
    write_rsvqa(tmp_path)
    (tmp_path / "LR_split_test_answers.json").write_text('{"answers": [{"id": [9]}]}')
    with pytest.raises(DataError, match="question 4: the column or the answer '9' is missing"):
        read_benchmark(load_benchmark("rsvqa-lr"), tmp_path)


def test_vstar_refuses_more_options_than_letters(tmp_path):
    row = {"question_id": "1", "image": "a.png", "question": "what?", "category": "kind"}
    options = [f"thing {number}" for number in range(27)]
    (tmp_path / "a.jsonl").write_text(json.dumps(row | {"options": options}) + "\n")
    with pytest.raises(DataError, match="column 'options': expected at most 26 choices"):
        read_benchmark(load_benchmark("vstar"), tmp_path)


@pytest.mark.parametrize(
    ("answer", "letter"),
    [("C", "C"), ("C. left", "C"), ("it says left", "C"), ("A or C", ""), ("maybe", "")],
)
def test_hr_bench_wants_one_lone_letter_or_one_choice(folders, answer, letter):
    assert official("hr-bench", first("hr-bench", folders), answer) == letter


def test_hr_bench_writes_the_image_of_a_cell_once(folders):
    root = folders / "hr-bench"
    sample = first("hr-bench", folders)
    (path,) = find_images(root, [sample]).of(sample)
    assert path.read_bytes() == png()
    before = path.stat().st_mtime_ns
    first("hr-bench", folders)
    assert path.stat().st_mtime_ns == before
    assert load_benchmark("hr-bench").prompt(sample) == (
        f"{HR['question']}\nA. stop\nB. go\nC. left\nD. right\nAnswer the option letter directly."
    )


@pytest.mark.parametrize(
    ("answer", "letter"),
    [("b", "B"), ("Based on the picture", "B"), ("The answer is B", "B"), ("(B)", "B"), ("?", "")],
)
def test_vstar_takes_the_first_letter_of_any_word(folders, answer, letter):
    assert official("vstar", first("vstar", folders), answer) == letter


def test_vstar_shuffles_rows_whose_first_option_is_right(tmp_path):
    rows = [
        {"question_id": i, "image": "a.jpg", "question": "which?", "category": "c"}
        | {"options": ["right", "wrong", "bad", "no"]}
        for i in range(40)
    ]
    json_lines(tmp_path / "test_questions.jsonl", *rows)
    benchmark = load_benchmark("vstar")
    samples = read_benchmark(benchmark, tmp_path).samples
    assert {s.answers[0] for s in samples} == set("ABCD")
    for s in samples:
        assert s.choices["ABCD".index(s.answers[0])] == "right"
    assert samples == read_benchmark(benchmark, tmp_path).samples


CHOICES = Sample("1", ("a.png",), "?", ("B",), "c", choices=("Red", "Dark blue", "Green"))
LENIENT = (
    ("b", "B"),
    ("(B).", "B"),
    ("<answer>A</answer> no, <answer>B</answer>", "B"),
    ("I think the answer is (B) because", "B"),
    ("Based on the image the answer is C.", "C"),
    ("dark blue.", "B"),
    ("It is dark blue, clearly", "B"),
    ("Cannot tell", ""),
    ("A ship", ""),
    ("red or green", ""),
    ("", ""),
)


@pytest.mark.parametrize(("answer", "letters"), LENIENT)
def test_lenient_finds_what_a_reader_would_and_does_not_guess(answer, letters):
    scorer = load_benchmark("vstar").scorers(None)["lenient"]
    assert scorer(CHOICES, answer).taken == letters


@pytest.mark.parametrize(
    ("answer", "letters"), [("B", "B"), ("(B)", "B"), ("B.", "B"), ("B blue", ""), ("b", "")]
)
def test_strict_wants_the_letter_alone(answer, letters):
    scorer = load_benchmark("vstar").scorers(None)["strict"]
    assert scorer(CHOICES, answer).taken == letters


@pytest.mark.parametrize("name", ["xlrs-bench", "vstar", "hr-bench", "lrs-gro"])
@pytest.mark.parametrize("there", [(0, 2), (1,), (0, 1, 2)])
def test_parts_of_a_benchmark_that_are_missing_are_noted(tmp_path, folders, name, there):
    benchmark = load_benchmark(name)
    whole = read_benchmark(benchmark, folders / name)
    (source, *_) = [p for p in (folders / name).iterdir() if p.suffix in (".jsonl", ".tsv")]
    for number in there:
        shutil.copy(source, tmp_path / f"part-{number:05d}-of-00003{source.suffix}")
        break
    for number in there[1:]:
        empty = "" if source.suffix == ".jsonl" else source.read_text().split("\n")[0] + "\n"
        (tmp_path / f"part-{number:05d}-of-00003{source.suffix}").write_text(empty)
    first = tmp_path / f"part-{there[0]:05d}-of-00003{source.suffix}"
    found = read_benchmark(benchmark, tmp_path, first)
    assert [s.id for s in found.samples] == [s.id for s in whole.samples]
    lost = [n for n in range(3) if n not in there]
    notes = [note for note in found.notes if "of the benchmark" in note and "missing" in note]
    assert all(note.startswith("1 part " if len(lost) == 1 else "2 parts ") for note in notes)
    assert len(notes) == bool(lost)
    assert all(f"part-{n:05d}-of-00003" in notes[0] for n in lost)


def test_the_published_text_is_asked_with_its_blanks(tmp_path):
    texts = [
        "How many tanks? \nAnswer the question using a single word or phrase.",
        "Which?\nNorth or south?\n Answer the question using a single word or phrase.",
        "What is it?\n Answer the question using a single word or phrase.",
    ]
    rows = [LRS | {"question_id": f"FAIR_{i}", "text": text} for i, text in enumerate(texts)]
    json_lines(tmp_path / "LRS_VQA_merged.jsonl", *rows)
    benchmark = load_benchmark("lrs-vqa")
    samples = read_benchmark(benchmark, tmp_path).samples
    assert [benchmark.prompt(sample) for sample in samples] == texts


@pytest.mark.parametrize(
    "text",
    [
        "Which? (A) red (B) blue",
        "Which?\n(A) red\n(B) blue\n"
        "Answer with the option's letter from the given choices directly.",
    ],
)
def test_vstar_asks_the_text_of_its_file(tmp_path, text):
    row = {"question_id": "0", "image": "a.jpg", "text": text, "label": "A", "category": "c"}
    json_lines(tmp_path / "test_questions.jsonl", row)
    benchmark = load_benchmark("vstar")
    (sample,) = read_benchmark(benchmark, tmp_path).samples
    assert benchmark.prompt(sample).startswith(text)
    assert benchmark.prompt(sample).count("Answer with the option's letter") == 1


@pytest.mark.parametrize("truth", [None, "", float("nan")])
def test_a_row_of_lrs_vqa_without_truth_is_not_scored(tmp_path, truth):
    rows = [LRS | {"question_id": "FAIR_1"}, LRS | {"question_id": "FAIR_2", "ground_truth": truth}]
    json_lines(tmp_path / "LRS_VQA_merged.jsonl", *rows)
    found = read_benchmark(load_benchmark("lrs-vqa"), tmp_path)
    assert [sample.id for sample in found.samples] == ["FAIR_1"]
    assert "1 row has no answer" in found.notes[0]
