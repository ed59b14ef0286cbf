"""Questions that only near infrared answers: is the green roof of a hall a lawn, or is it painted?

Both roofs are of the same green. Scenes have them only where they are asked for, see
``with_green_roofs``.
"""

from __future__ import annotations

import random

from geofovea.datasets.synthetic.lawn_questions import balanced
from geofovea.datasets.synthetic.questions import Question
from geofovea.datasets.synthetic.wordings import ROOF_FORM
from geofovea.datasets.synthetic.world import Site, World

__all__ = ["ROOF_CATEGORY", "ask_roof", "ask_roofs"]

ROOF_CATEGORY = "roof lawn"


def ask_roof(site: Site) -> Question:
    """The question about the roof of a site's hall; a gray one is no lawn, which colors tell."""
    answer = "yes" if site.hall.roof == "planted" else "no"
    place = site.hall.box
    return Question(ROOF_CATEGORY, ROOF_FORM.format(site=site.kind), answer, place, (place,))


def ask_roofs(world: World, most: int, seed: int = 0) -> list[Question]:
    """Up to ``most`` questions about roofs, as many *yes* as *no* where the world allows it.

    Args:
        world: With green roofs; others give no question.
        most: Of the questions.
        seed: Another one chooses other sites.
    """
    rng = random.Random(f"geofovea-roofs-{world.seed}-{seed}")
    questions = [ask_roof(site) for site in world.named_sites if site.hall.roof is not None]
    return balanced(questions, most, rng)
