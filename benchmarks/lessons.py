"""How well does a model answer lessons that no training has seen, kind by kind?

    python benchmarks/lessons.py --models embedded runs/further/model --samples 24

Each model gets the same questions, and its answer is the likeliest word, so only weights are
compared: the right tiles are given. Prints a row a kind, with the accuracy of each model, and for
two models the questions that one alone answers, with a sign test.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from itertools import islice
from math import comb

import torch

from geofovea.pipeline.hosts.load import EMBEDDED, folder_of
from geofovea.pipeline.system.tables import markdown_table
from geofovea.pipeline.training.curriculum import further_config
from geofovea.pipeline.training.embedded_model import vocabulary
from geofovea.pipeline.training.lessons.spec import LESSON_KINDS, SampleSpec
from geofovea.pipeline.training.samples import training_samples
from geofovea.pipeline.training.starting import shape_of, start_from
from geofovea.pipeline.training.student import Student

_SEED = 2 * 10**9


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=[EMBEDDED])
    parser.add_argument("--samples", type=int, default=24, help="Of each kind of lesson.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--world", type=int, default=1, help="Version of the synthetic world.")
    options = parser.parse_args()
    students = [load(name) for name in options.models]
    right: dict[str, list[list[bool]]] = defaultdict(list)
    turns = further_config("", students[0].shape, worlds=(options.world,)).phases[0].turns
    for number, plan in enumerate(dict.fromkeys(turn.plan for turn in turns)):
        count = options.samples * (4 if plan.lone_pad else 1)
        measure(students, plan, count, _SEED + 100 * options.seed + number, right)
    print(table(options.models, right))


def load(name: str) -> Student:
    """The student that a model is."""
    folder = folder_of(name)
    torch.manual_seed(0)
    student = Student(shape_of(folder)).eval()
    start_from(student, folder)
    return student


@torch.no_grad()
def measure(
    students: list[Student],
    plan: SampleSpec,
    count: int,
    seed: int,
    right: dict[str, list[list[bool]]],
) -> None:
    """Ask all students the questions of some samples, and note who is right."""
    word_ids = {word: index for index, word in enumerate(vocabulary())}
    where = "pads" if plan.lone_pad else f"scenes, {plan.native_tiles} native tiles"
    for sample in islice(training_samples(seed, students[0].shape, plan, word_ids), count):
        batch = {name: torch.from_numpy(value)[None] for name, value in vars(sample).items()}
        answers = [student(batch).correct[0].bool().tolist() for student in students]
        for kind, answered, *verdicts in zip(
            sample.category.tolist(), sample.answered.tolist(), *answers, strict=True
        ):
            if answered:
                right[f"{LESSON_KINDS[kind]} ({where})"].append(verdicts)


def table(models: list[str], right: dict[str, list[list[bool]]]) -> str:
    """A row a kind."""
    rows = []
    for kind, verdicts in sorted(right.items()):
        shares = [sum(column) / len(verdicts) for column in zip(*verdicts, strict=True)]
        row = [kind, str(len(verdicts)), *(f"{share:.3f}" for share in shares)]
        if len(models) == 2:
            lost = sum(first and not second for first, second in verdicts)
            won = sum(second and not first for first, second in verdicts)
            row += [f"+{won} -{lost}", f"{sign_test(won, lost):.3f}"]
        rows.append(row)
    extra = ["won, lost", "p"] if len(models) == 2 else []
    return markdown_table(["kind", "questions", *models, *extra], rows)


def sign_test(won: int, lost: int) -> float:
    """Two-sided probability of so uneven a split of the questions that one alone answers."""
    count = won + lost
    tail = sum(comb(count, k) for k in range(min(won, lost) + 1)) / 2**count
    return min(1.0, 2 * tail)


if __name__ == "__main__":
    main()
