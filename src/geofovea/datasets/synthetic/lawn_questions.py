"""Questions that only near infrared answers: is the lawn around the pad of a site healthy?

A healthy lawn and a dry one are equal in red, green and blue, so a model that sees no more than
these can only guess, and half of the answers are *yes*.
"""

from __future__ import annotations

import random

from geofovea.datasets.synthetic.questions import Question
from geofovea.datasets.synthetic.wordings import LAWN_FORM
from geofovea.datasets.synthetic.world import Site, World
from geofovea.tiling.pyramid import Box

__all__ = ["LAWN_CATEGORY", "ask_lawn", "ask_lawns", "balanced", "lawn_strips"]

LAWN_CATEGORY = "lawn health"


def ask_lawn(site: Site) -> Question | None:
    """The question about the lawn of a site; None where there is none.

    Its places are the four strips of grass, of which each answers it.
    """
    if site.lawn is None:
        return None
    answer = "yes" if site.lawn == "healthy" else "no"
    text = LAWN_FORM.format(site=site.kind)
    return Question(LAWN_CATEGORY, text, answer, site.apron, lawn_strips(site))


def ask_lawns(world: World, most: int, seed: int = 0) -> list[Question]:
    """Up to ``most`` questions about lawns, as many *yes* as *no* where the world allows it.

    Args:
        world: Of version 2; others have no lawns, and give no question.
        most: Of the questions.
        seed: Another one chooses other sites.
    """
    rng = random.Random(f"geofovea-lawns-{world.seed}-{seed}")
    questions = [q for site in world.named_sites if (q := ask_lawn(site)) is not None]
    return balanced(questions, most, rng)


def balanced(questions: list[Question], most: int, rng: random.Random) -> list[Question]:
    """Up to ``most`` of some questions, as many *yes* as *no* where there are as many.

    Args:
        questions: Brought into another order.
        most: Of the questions.
        rng: Decides which.
    """
    rng.shuffle(questions)
    by_answer = {answer: [q for q in questions if q.answer == answer] for answer in ("yes", "no")}
    ranks = {id(q): rank for same in by_answer.values() for rank, q in enumerate(same)}
    return sorted(questions, key=lambda q: ranks[id(q)])[:most]


def lawn_strips(site: Site) -> tuple[Box, ...]:
    """The grass above, below, left and right of the pad, in scene pixels."""
    outer, pad = site.apron, site.pad
    return (
        Box(outer.x0, outer.y0, outer.x1, pad.y0),
        Box(outer.x0, pad.y1, outer.x1, outer.y1),
        Box(outer.x0, pad.y0, pad.x0, pad.y1),
        Box(pad.x1, pad.y0, outer.x1, pad.y1),
    )
