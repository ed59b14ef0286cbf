"""``geofovea eval``: how well a model does on a benchmark, next to blind answers."""

from __future__ import annotations

import json
from functools import partial
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from geofovea._plurals import counted
from geofovea.datasets.benchmarks.registry import BENCHMARK_NAMES
from geofovea.datasets.scoring.wordnet import SYNONYM_SOURCES
from geofovea.pipeline.cli.options.ask import ask_options
from geofovea.pipeline.cli.options.companions import check_absent
from geofovea.pipeline.cli.options.grouped import GroupedCommand, in_group, option
from geofovea.pipeline.cli.options.run import run_options
from geofovea.pipeline.cli.options.scene import verify_option
from geofovea.pipeline.cli.options.shared import json_option
from geofovea.pipeline.cli.options.shell_words import in_shell_words
from geofovea.pipeline.system.terminal import echo

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from geofovea.datasets.benchmarks.benchmark import Benchmark
    from geofovea.datasets.benchmarks.scores import Scores
    from geofovea.datasets.records.sample import Collection
    from geofovea.datasets.scoring.wordnet import Synonyms
    from geofovea.pipeline.evaluation.blind import BlindScores
    from geofovea.pipeline.evaluation.contamination import Leaks
    from geofovea.pipeline.evaluation.run import FinishedRun
    from geofovea.pipeline.runs.workers import Workers
    from geofovea.pipeline.session.settings import AskSettings

__all__ = ["eval_command"]

_path = click.Path(path_type=Path)


_EXAMPLES = (
    "geofovea eval lrs-vqa --root LRS_VQA -o run --model llava-hf/llava-1.5-7b-hf",
    "geofovea eval lrs-vqa --root LRS_VQA --output smoke --sample 100 --seed 1",
    "geofovea compare run other-run",
)
_input = in_group("Benchmark options")
_GROUPS_OF_ASKING = (
    *("Model options", "Endpoint options", "Budget options", "Search options", "Scene options"),
    "Run options",
)


@click.command("eval", cls=GroupedCommand, examples=_EXAMPLES)
@click.argument("benchmark", type=click.Choice(BENCHMARK_NAMES))
@_input("--root", type=_path, required=True, is_common=True, help="Folder of the benchmark.")
@option(
    "-o", "--output", type=_path, is_common=True, help="Folder of the run, when a model is asked."
)
@_input(
    "--predictions", type=_path, is_common=True, help="Score a file of answers in place of a model."
)
@_input("--blind", is_flag=True, help="Measure guessing without the pictures.")
@_input("--sample", type=int, is_common=True, help="Ask this many questions, of every category.")
@_input("--seed", default=0, show_default=True, goes_with=["--sample"], help="Seed of --sample.")
@_input("--limit", type=int, help="Ask only the first questions, this many.")
@_input("--annotations", type=_path, help="Annotation file, if not the usual one.")
@_input(
    "--answer-field", goes_with=["--predictions"],
    help="Column of the answer in --predictions, if it has several.",
)  # fmt: skip
@_input(
    "--runs", default=40, show_default=True, goes_with=["--blind"],
    help="Divisions of the images for --blind.",
)  # fmt: skip
@_input(
    "--train", "trained_on", multiple=True, type=_path, metavar="PATH",
    help="Folder of training images, or a list of their hashes: are benchmark images in it?",
)  # fmt: skip
@_input(
    "--synonyms", type=click.Choice(SYNONYM_SOURCES), default="table", show_default=True,
    help="Dictionary of the scorers.",
)  # fmt: skip
@verify_option
@ask_options()
@run_options
@json_option
def eval_command(
    benchmark: str,
    root: Path,
    annotations: Path | None,
    predictions: Path | None,
    answer_field: str | None,
    blind: bool,
    runs: int,
    trained_on: tuple[Path, ...],
    synonyms: str,
    verify: bool,
    output: Path | None,
    settings: AskSettings,
    workers: Workers,
    sample: int | None,
    seed: int,
    limit: int | None,
    wait: bool,
    retry_failed: bool,
    max_failures: int | None,
    replace: bool,
    as_json: bool,
) -> None:
    """Score a model on a benchmark.

    Asks a model the questions of BENCHMARK, or scores a file of answers. If the run is interrupted,
    repeat the command and it resumes.
    """
    from geofovea.datasets.benchmarks.local_files import find_annotations, read_benchmark
    from geofovea.datasets.benchmarks.registry import load_benchmark
    from geofovea.datasets.scoring.wordnet import synonyms as load_synonyms

    if bool(predictions) + blind + bool(trained_on) + bool(output and not predictions) != 1:
        raise click.UsageError(
            "give one of --output FOLDER (ask a model), --predictions FILE, --blind and --train"
        )
    if predictions or not output:
        check_absent(_asking(), "is about asking a model, and no model is asked here")
    if trained_on:
        check_absent(("synonyms",), "is for scoring answers, and --train scores none")
    definition = load_benchmark(benchmark)
    file = annotations or find_annotations(definition, root)
    collection = _chosen(read_benchmark(definition, root, file), limit, sample, seed)
    dictionary = load_synonyms(synonyms)
    if blind:
        _measure_blind(definition, collection, dictionary, runs, as_json)
    elif trained_on:
        _look_for_leaks(root, collection, trained_on, as_json)
    elif predictions:
        scores, rows, configuration = _score_file(
            definition, collection, dictionary, predictions, answer_field
        )
        if output:
            from geofovea.pipeline.evaluation.run import write_results

            plain, counts = scores.to_json(), {"scored": scores.answered}
            write_results(output, definition, rows, plain, configuration, root, file, counts)
        _show(definition, scores, as_json)
    elif output:
        run = _ask_model(
            definition,
            root,
            collection,
            dictionary,
            output,
            settings,
            file,
            workers=workers,
            verify=verify,
            wait=wait,
            retry_failed=retry_failed,
            max_failures=max_failures,
            replace_others=replace,
        )
        _show(definition, run.scores, as_json)
        if not as_json:
            _print_counts(run, output)


def _ask_model(
    benchmark: Benchmark,
    root: Path,
    collection: Collection,
    dictionary: Synonyms,
    output: Path,
    settings: AskSettings,
    annotations: Path,
    **how: Any,
) -> FinishedRun:
    """Run the benchmark and write the run, also if it ends early."""
    from geofovea.pipeline.evaluation.run import run_eval, write_run
    from geofovea.pipeline.runs.scene_worker import openable_scenes

    settings = settings.for_scenes(openable_scenes(_scenes_of(root, collection), {}))
    command = click.get_current_context().command

    def write(run: FinishedRun) -> None:
        worded = partial(in_shell_words, verb=command)
        write_run(run, output, benchmark, settings, root, annotations, worded)

    run = run_eval(benchmark, root, collection, dictionary, output, settings, early=write, **how)
    write(run)
    return run


def _print_counts(run: FinishedRun, folder: Path) -> None:
    rate = run.hit_rate
    echo(
        ("" if rate is None else f"tile hit rate {rate:.3f}; ")
        + f"{run.counts.answered} answered now, {run.counts.earlier} before, "
        f"{len(run.errors)} failed; make a page of it with: geofovea report {folder}"
    )


def _asking() -> Iterator[str]:
    """Parameters that say how a model is asked, and how a run of questions goes."""
    for parameter in click.get_current_context().command.params:
        if getattr(parameter, "group", "") in _GROUPS_OF_ASKING and parameter.name:
            yield parameter.name


def _scenes_of(root: Path, collection: Collection) -> Iterator[str]:
    """The images that are asked about, as far as they are there."""
    from geofovea.datasets.benchmarks.local_files import find_images

    images = find_images(root, collection.samples)
    paths = (images.of(sample) for sample in collection.samples)
    return (str(files[0]) for files in paths if files)


def _chosen(collection: Collection, limit: int | None, sample: int | None, seed: int) -> Collection:
    """The questions that are asked."""
    from dataclasses import replace

    from geofovea.datasets.records.sampling import stratified

    if limit is not None and sample is not None:
        raise click.UsageError("--limit takes the first questions, --sample some of all: give one")
    for name, count in (("--limit", limit), ("--sample", sample)):
        if count is not None and count < 1:
            raise click.BadParameter(f"{count} is not at least 1", param_hint=name)
    if sample is not None:
        return stratified(collection, sample, seed)
    return collection if limit is None else replace(collection, samples=collection.samples[:limit])


def _measure_blind(
    benchmark: Benchmark, collection: Collection, dictionary: Synonyms, runs: int, as_json: bool
) -> None:
    from geofovea.pipeline.evaluation.blind import measure_blind

    scores = measure_blind(benchmark, collection.samples, dictionary, runs)
    if as_json:
        echo(json.dumps(scores.to_json()))
    else:
        _print_blind(scores)


def _look_for_leaks(
    root: Path, collection: Collection, trained_on: tuple[Path, ...], as_json: bool
) -> None:
    from geofovea.pipeline.evaluation.contamination import look_for_leaks

    leaks = look_for_leaks(root, collection.samples, trained_on)
    if as_json:
        echo(json.dumps(leaks.to_json()))
    else:
        _print_leaks(leaks)


def _score_file(
    benchmark: Benchmark,
    collection: Collection,
    dictionary: Synonyms,
    predictions: Path,
    answer_field: str | None,
) -> tuple[Scores, list[dict[str, Any]], dict[str, Any]]:
    """Scores, rows of items, and what stands for a configuration."""
    from geofovea.datasets.benchmarks.scores import score
    from geofovea.datasets.records.predictions import read_predictions

    samples, fields = collection.samples, benchmark.prediction_fields
    file = read_predictions(predictions, fields, answer_field, samples=samples)
    notes = [*collection.notes, *file.notes]
    for stage in () if answer_field else fields[1:]:
        if any(stage in row for row in file.rows.values()):
            earlier = read_predictions(predictions, fields, stage, samples=samples).answers
            before, _ = score(benchmark, collection.samples, earlier, dictionary)
            figures = before.figures["official"].items()
            text = ", ".join(f"{name} {100 * figure.value:.2f}" for name, figure in figures)
            notes.append(f"the column {stage} alone, official rule: {text}")
    scores, answers = score(benchmark, collection.samples, file.answers, dictionary, notes)
    configuration = {"model": predictions.name, "sha256": _digest(predictions)}
    rows = [item.to_json() | {"image": item.sample.images[0]} for item in answers]
    return scores, rows, configuration


def _digest(answers: Path) -> str:
    """SHA-256 of a file, or of all files of a folder one after the other."""
    import hashlib

    from geofovea.pipeline.system.files import file_digest

    if not answers.is_dir():
        return file_digest(answers)
    parts = sorted(path for path in answers.rglob("*") if path.is_file())
    return hashlib.sha256("".join(map(file_digest, parts)).encode()).hexdigest()


def _show(benchmark: Benchmark, scores: Scores, as_json: bool) -> None:
    record, command = scores.to_json(), click.get_current_context().command
    record["notes"] = [in_shell_words(note, command) for note in record["notes"]]
    if as_json:
        echo(json.dumps(record))
    else:
        _print_scores(benchmark, record)


def _print_scores(benchmark: Benchmark, scores: Mapping[str, Any]) -> None:
    from geofovea.pipeline.evaluation.reports.tables import (
        collapsed,
        figure_rows,
        group_rows,
        head_lines,
        rule_rows,
    )
    from geofovea.pipeline.system.tables import print_table

    for line in head_lines(benchmark, scores):
        echo(in_shell_words(line, click.get_current_context().command))
    print_table(*collapsed(figure_rows(scores)))
    print_table(*collapsed(group_rows(scores)), numbers_from=2)
    print_table(*rule_rows(scores), numbers_from=2)


def _print_blind(scores: BlindScores) -> None:
    from geofovea.pipeline.system.tables import print_table

    def spread(pair: tuple[float, float]) -> str:
        return "n/a" if isnan(pair[0]) else f"{100 * pair[0]:.2f} ± {100 * pair[1]:.2f}"

    echo(
        f"{scores.benchmark} without looking, official rule, percent. The constant is fitted on "
        f"the questions that it answers; the others learn from the other half of the images "
        f"({scores.runs[0]} and {scores.runs[1]} divisions, mean ± standard deviation)."
    )
    rows = [
        [
            name,
            f"{100 * fitted.value:.2f}",
            spread(scores.crossed[name]),
            spread(scores.neighbors[name]),
        ]
        for name, fitted in scores.fitted.items()
    ]
    print_table(("figure", "best constant", "constant, crossed", "15 neighbors, crossed"), rows)
    print_table(("group", "constant"), [list(item) for item in scores.constants.items()])


def _print_leaks(leaks: Leaks) -> None:
    from geofovea.pipeline.system.tables import print_table

    if leaks.matches:
        rows = [
            [m.image, m.other, "the same file" if m.bits is None else f"{m.bits} of 64 bits"]
            for m in leaks.matches
        ]
        print_table(("benchmark image", "training image", "difference"), rows)
    echo(
        f"{len(leaks.matches)} of {leaks.images} benchmark images "
        f"({counted(leaks.questions, 'question')}) "
        f"are among {counted(leaks.others, 'training image')}; not here: "
        f"{counted(leaks.missing, 'benchmark image')}; compared as files only: "
        f"{counted(leaks.undecoded, 'image')}. Tiles and crops of a "
        "scene are not found."
    )
