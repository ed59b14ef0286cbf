"""Some of the questions of a benchmark, so that every category has its share.

Files of benchmarks are sorted by category: their first questions are of one kind.
"""

from __future__ import annotations

import random
from dataclasses import replace

from geofovea.datasets.records.sample import Collection, Sample

__all__ = ["stratified"]


def stratified(collection: Collection, count: int, seed: int = 0) -> Collection:
    """A sample of some questions: each category as often as in the whole, rounded.

    Parts that are left after rounding down go to the categories with the largest remainders, and
    of alike ones to the smaller, so that none is left out without need.

    Args:
        collection: All questions.
        count: How many are wanted; all of them if there are no more.
        seed: Of the draw. A sample with the same seed is the same on every machine.

    Returns:
        The sample in the order of the file, with a note that says what it is.
    """
    total = len(collection.samples)
    if count >= total:
        return collection
    groups: dict[str, list[Sample]] = {}
    for sample in collection.samples:
        groups.setdefault(sample.category, []).append(sample)
    shares = {name: count * len(group) / total for name, group in groups.items()}
    sizes = {name: int(share) for name, share in shares.items()}
    order = sorted(groups, key=lambda n: (sizes[n] - shares[n], len(groups[n]), n))
    for name in order[: count - sum(sizes.values())]:
        sizes[name] += 1
    ids = {
        sample.id
        for name, group in groups.items()
        # a text as seed, which is the same for every hash seed and version
        for sample in random.Random(f"{seed}/{name}").sample(group, sizes[name])
    }
    note = (
        f"a stratified sample of {count} of {total} questions in {len(groups)} categories, "
        f"seed {seed}"
    )
    samples = tuple(sample for sample in collection.samples if sample.id in ids)
    return replace(collection, samples=samples, notes=(*collection.notes, note))
