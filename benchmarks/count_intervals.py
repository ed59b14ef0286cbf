"""Do 95 % intervals of counts hold the true count in 95 % of the cases?

No model runs, and the worlds were not used for tuning. Detections are the true counts with planted
errors, and coarse scores have a planted quality. The estimator sees what it would see in a run.
Where errors are not known, an interval is compared with what a whole sweep would detect.

    python benchmarks/count_intervals.py --worlds 100 --side 8192
"""

from __future__ import annotations

import argparse

from geofovea.pipeline.evaluation.counts.coverage import Planted, interval_coverage
from geofovea.pipeline.system.tables import markdown_table

# the last two have the errors of the embedded model
_ROWS = (
    Planted(0.1, 0.8, is_known=False),
    Planted(0.25, 0.8, is_known=False),
    Planted(0.5, 0.8, is_known=False),
    Planted(0.3, 0.0, is_known=False),
    Planted(0.25, 0.5, 0.9, 0.002),
    Planted(1.0, 0.8, 0.9, 0.002),
    Planted(0.25, 0.8, 0.76, 0.0006),
    Planted(1.0, 0.8, 0.76, 0.0006),
)
_HEADER = ("tiles", "coarse level", "recall", "false alarms a tile", "intervals", "hold", "width")


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--worlds", type=int, default=100)
    parser.add_argument("--side", type=int, default=8192, help="Of a world in pixels.")
    parser.add_argument("--seed", type=int, default=8_200_000, help="Of the first world.")
    options = parser.parse_args()
    rows, held, runs = [], 0.0, 0
    for planted in _ROWS:
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


if __name__ == "__main__":
    main()
