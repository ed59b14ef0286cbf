"""Do 95 % intervals of counts hold the true count in 95 % of the cases?

No model runs. Detections are the true counts with errors at the rates that were measured of a
model, and the estimator knows these rates from as many things and tiles as that measurement had;
coarse scores have a planted quality. The first rows have no such measurement: their intervals are
compared with what a whole sweep would detect.

    python benchmarks/count_intervals.py --worlds 40 --side 8192
"""

from __future__ import annotations

import argparse
from pathlib import Path

import geofovea as gf
from geofovea.pipeline.evaluation.counts.coverage import Planted, interval_coverage
from geofovea.pipeline.places.confusion import Confusion, read_confusion
from geofovea.pipeline.system.tables import markdown_table

_UNKNOWN = (
    Planted(0.1, 0.8, is_known=False),
    Planted(0.25, 0.8, is_known=False),
    Planted(0.5, 0.8, is_known=False),
    Planted(0.3, 0.0, is_known=False),
)
# share of the tiles, and quality of the coarse level
_KNOWN = ((0.1, 0.8), (0.25, 0.8), (0.5, 0.8), (0.3, 0.0), (1.0, 0.8))
_HEADER = ("tiles", "coarse level", "recall", "false alarms a tile", "intervals", "hold", "width")


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--worlds", type=int, default=200)
    parser.add_argument(
        "--confusion", type=Path, help="Measured errors; those of the embedded model if unset."
    )
    parser.add_argument("--side", type=int, default=8192, help="Of a world in pixels.")
    parser.add_argument("--seed", type=int, default=8_200_000, help="Of the first world.")
    options = parser.parse_args()
    confusion = read_confusion(options.confusion) if options.confusion else _shipped()
    known = [Planted.errors_of(confusion, share, quality) for share, quality in _KNOWN]
    rows, held, runs = [], 0.0, 0
    for planted in (*_UNKNOWN, *known):
        result = interval_coverage(planted, options.worlds, options.side, seed=options.seed)
        held += result.coverage * result.runs
        runs += result.runs
        rows.append(
            [
                f"{planted.share:.0%}",
                f"{planted.quality:.1f}",
                f"{planted.recall:.2f}",
                f"{planted.false_alarms:.4f}",
                f"{result.runs}",
                f"{result.coverage:.1%}",
                f"{result.width:.2f}",
            ]
        )
    print(markdown_table(list(_HEADER), rows))
    print(f"\nall: {held / runs:.1%} of {runs}")


def _shipped() -> Confusion:
    """The errors that came with the embedded model."""
    counts = gf.load_host("embedded").presence.confusion
    return Confusion(*counts, model="embedded")


if __name__ == "__main__":
    main()
