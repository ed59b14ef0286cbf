"""What one gets without looking, on rows made by hand and on the published annotation file."""

from geofovea.datasets.benchmarks.lrs_vqa import BENCHMARK, read
from geofovea.datasets.records.sample import Sample
from geofovea.datasets.scoring.blind import (
    constant_answers,
    constants_for,
    halves,
    neighbor_answers,
)
from geofovea.datasets.scoring.metrics import Bootstrap
from geofovea.datasets.scoring.wordnet import synonyms
from geofovea.pipeline.evaluation.blind import measure_blind

SCORER = BENCHMARK.scorers(synonyms("table"))["official"]


def row(number, answer, question="what?", image=None, category="color"):
    return Sample(str(number), (image or f"{number}.tif",), question, (answer,), category, "S")


def test_the_constant_is_what_the_judge_accepts_most_often():
    # white is said most often, but the scorer takes gray for gray
    samples = [row(i, a) for i, a in enumerate(["white"] * 3 + ["grey"] * 2 + ["gray"] * 2)]
    assert constant_answers(samples, SCORER) == {("S", "color"): "gray"}
    exact = BENCHMARK.scorers(synonyms("none"))["official"]
    assert constant_answers(samples, exact) == {("S", "color"): "white"}


def test_a_group_that_was_not_learnt_gets_no_answer():
    known, asked = [row(0, "white")], [row(1, "white", category="shape")]
    assert constants_for(known, asked, SCORER) == {"1": ""}
    assert neighbor_answers(known, asked) == {"1": ""}


def test_halves_share_no_image_and_lose_no_question():
    samples = [row(i, "x", image=f"{i % 7}.tif") for i in range(50)]
    one, two = halves(samples, 3)
    assert not {s.images for s in one} & {s.images for s in two}
    assert sorted(s.id for s in one + two) == sorted(s.id for s in samples)
    assert halves(samples, 3) == (one, two)
    assert halves(samples, 4) != (one, two)


def test_neighbors_answer_what_is_worded_alike():
    known = [row(i, "red", f"color of the roof in the {i}") for i in range(5)]
    known += [row(9 + i, "blue", f"color of the pool at {i}") for i in range(4)]
    asked = [row(30, "?", "what color of the pool"), row(31, "?", "color of that roof")]
    assert neighbor_answers(known, asked, k=3) == {"30": "blue", "31": "red"}


def test_a_figure_is_averaged_over_the_halves_that_have_questions_of_it():
    samples = [row(i, "white", image=f"{i // 4}.tif") for i in range(12)]
    fair = Sample("FAIR_1", ("3.tif",), "what?", ("white",), "color", "FAIR")
    found = measure_blind(BENCHMARK, [*samples, fair], synonyms("none"), runs=9)
    # one image has all of them: a half that asks about it learns no answer of its source
    assert found.crossed["FAIR OA"] == found.neighbors["FAIR OA"] == (0.0, 0.0)
    assert "STAR OA" not in found.fitted
    assert found.to_json()["crossed"]["OA"]["mean"] > 0.5


def test_the_best_constants_of_the_published_file_have_their_known_scores(published_file):
    samples = read(published_file, published_file.parent).samples
    answers = constants_for(samples, samples, SCORER)
    right = [SCORER(s, answers[s.id]).correct for s in samples]
    draws = Bootstrap(samples, draws=0)
    found = {f.name: round(100 * draws.measure(f, right).value, 2) for f in BENCHMARK.metrics}
    expected = {"FAIR AA": 33.82, "Bridge AA": 29.88, "STAR AA": 30.14, "mean AA": 31.28}
    assert {name: found[name] for name in expected} == expected


def test_what_is_learnt_from_other_images_has_its_known_scores(published_file):
    samples = read(published_file, published_file.parent).samples
    found = measure_blind(BENCHMARK, samples, synonyms("table"), runs=12)
    # mean and standard deviation over divisions, in percent
    known = {"FAIR AA": (33.81, 0.96), "Bridge AA": (28.34, 1.77), "STAR AA": (29.97, 0.69)}
    for name, (mean, spread) in known.items():
        assert abs(100 * found.crossed[name][0] - mean) < spread, name
    for name, mean in {"FAIR AA": 36.05, "Bridge AA": 38.32, "STAR AA": 32.74}.items():
        assert abs(100 * found.neighbors[name][0] - mean) < 1, name
