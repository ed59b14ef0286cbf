"""Questions about what changed between two dates of a synthetic world, with their answers."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from geofovea.datasets.synthetic.dates import WorldChange, changes_between
from geofovea.datasets.synthetic.questions import Question
from geofovea.datasets.synthetic.vocabulary import THINGS
from geofovea.datasets.synthetic.wordings import CHANGE_FORMS
from geofovea.datasets.synthetic.world import Site, World

__all__ = ["CHANGE_CATEGORIES", "ask_changes", "ask_site_changes", "ask_undated"]

CHANGE_CATEGORIES = tuple(CHANGE_FORMS)

_ATTRIBUTES = ("color", "status")

_Changes = tuple[WorldChange, ...]
_Asker = Callable[[Site, _Changes, random.Random], "Iterator[Question]"]


def ask_changes(before: World, after: World, per_category: int, seed: int = 0) -> list[Question]:
    """Up to ``per_category`` different questions of each category about two dates.

    A category gives fewer where too little happened. Boxes are those of both dates: nothing moves.

    Args:
        before: The world at the earlier date.
        after: The same world at the later date.
        per_category: Most questions of a category.
        seed: Another one chooses other questions.
    """
    rng = random.Random(f"geofovea-changes-{after.seed}-{before.date}-{after.date}-{seed}")
    changes = changes_between(before, after)
    existing = {site.box for site in before.sites}
    sites = [site for site in after.named_sites if site.box in existing]
    questions: list[Question] = []
    for category in CHANGE_CATEGORIES:
        rng.shuffle(sites)
        by_text: dict[str, Question] = {}
        if category == "new site":
            candidates = _new_site(after, changes)
        else:
            candidates = (q for site in sites for q in _ASKERS[category](site, changes, rng))
        for question in candidates:
            if len(by_text) < per_category:
                by_text.setdefault(question.text, question)
        questions += by_text.values()
    return questions


def ask_site_changes(
    kind: str, before: World, after: World, site: Site, rng: random.Random
) -> Question | None:
    """One question of a kind about what happened at a site; None where nothing can be asked.

    Args:
        kind: One of ``CHANGE_CATEGORIES`` but ``new site``.
        before: The world at the earlier date.
        after: The same world at the later date.
        site: As it is at the later date.
        rng: Decides which question.
    """
    questions = list(_ASKERS[kind](site, changes_between(before, after), rng))
    return rng.choice(questions) if questions else None


def ask_undated(site: Site, rng: random.Random) -> Question:
    """A question about what happened at a site, without its answer.

    One date does not answer it, but says where to look.
    """
    kind = rng.choice([name for name in CHANGE_CATEGORIES if name != "new site"])
    names = {"thing": rng.choice(THINGS), "attribute": rng.choice(_ATTRIBUTES), "site": site.kind}
    text = CHANGE_FORMS[kind][0].format(**names)
    return Question(kind, text, "no", None, (site.pad,))


def _at(site: Site, changes: _Changes, kind: str) -> list[WorldChange]:
    return [c for c in changes if c.site == site.kind and c.kind == kind and _is_on(site, c)]


def _is_on(site: Site, change: WorldChange) -> bool:
    return change.box.share_inside(site.box) == 1


def _only_one(kind: str) -> _Asker:
    """Asks what came or went where it was one thing alone."""

    def ask(site: Site, changes: _Changes, rng: random.Random) -> Iterator[Question]:  # noqa: ARG001
        some = _at(site, changes, kind)
        if len(some) == 1 and (thing := some[0].thing) is not None:
            box = some[0].box
            yield Question(
                kind, CHANGE_FORMS[kind][0].format(site=site.kind), thing.kind, box, (box,)
            )

    return ask


def _new_count(site: Site, changes: _Changes, rng: random.Random) -> Iterator[Question]:
    """Of a kind that came, and of one that did not."""
    came = _at(site, changes, "appeared")
    kinds = sorted({c.after.kind for c in came if c.after is not None})
    others = [kind for kind in THINGS if kind not in kinds]
    for kind in [*kinds, rng.choice(others)]:
        boxes = tuple(c.box for c in came if c.after is not None and c.after.kind == kind)
        text = CHANGE_FORMS["new count"][0].format(thing=kind, site=site.kind)
        yield Question("new count", text, str(len(boxes)), None, (site.pad,), boxes)


def _did_change(site: Site, changes: _Changes, rng: random.Random) -> Iterator[Question]:
    """Of a thing that was and is the only one of its kind on its pad."""
    unsure = {
        change.thing.kind
        for kind in ("appeared", "gone")
        for change in _at(site, changes, kind)
        if change.thing is not None
    }
    changed = {c.after: c.before for c in _at(site, changes, "changed")}
    for thing in site.things:
        if len(site.of_kind(thing.kind)) > 1 or thing.kind in unsure:
            continue
        attribute = rng.choice(_ATTRIBUTES)
        earlier = changed.get(thing) or thing
        is_other = getattr(earlier, attribute) != getattr(thing, attribute)
        text = CHANGE_FORMS["changed"][0].format(
            thing=thing.kind, site=site.kind, attribute=attribute
        )
        yield Question("changed", text, "yes" if is_other else "no", thing.box, (thing.box,))


def _new_site(after: World, changes: _Changes) -> Iterator[Question]:
    """Where one was built alone, and there is no other of its kind."""
    some = [change for change in changes if change.kind == "new site"]
    if len(some) == 1 and sum(site.kind == some[0].site for site in after.sites) == 1:
        box = some[0].box
        yield Question("new site", CHANGE_FORMS["new site"][0], some[0].site, box, (box,))


_ASKERS: dict[str, _Asker] = {
    "appeared": _only_one("appeared"),
    "gone": _only_one("gone"),
    "new count": _new_count,
    "changed": _did_change,
}
