"""The table of all methods: what stands in a cell, in which order, and that the page has it."""

import json
import sys

import pytest
from repository import ROOT

sys.path.insert(0, str(ROOT / "tools"))
import reduction_table


def row(method, share, accuracy, kilobytes, look="descent", **changes):
    usual = {
        "look": look,
        "method": method,
        "place": "projector",
        "share": share,
        "accuracy": accuracy,
        "interval": [accuracy - 0.1, accuracy + 0.05],
        "hit_rate": 0.5,
        "entered": 49.6,
        "end": 12.2,
        "selection_ms": 3.04,
        "decoder_ms": 9.96,
        "cpu_ms": 20,
        "cache_bytes": 1000 * kilobytes,
        "refused": 0,
    }
    return usual | changes


ROWS = [
    row("worse", 0.05, 0.5, 10.4),
    row("worse", 0.1, 0.7, 20.6),
    row("better", 0.1, 0.8, 21),
    row("all tokens", 1.0, 0.6, 200, place=""),
    row("cached", 1.0, 0.75, 30, place="cache", refused=2, hit_rate=None),
    *(row(name, 0.1, 0.25, 1, look="base") for name in ("worse", "better")),
    *(row(name, 1.0, 0.25, 1, look="base") for name in ("all tokens", "cached")),
]


def cells_of(table):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]


def test_a_row_holds_what_was_measured_and_the_best_come_first():
    header, _, *lines = cells_of(reduction_table.table_of(ROWS))
    assert tuple(header) == reduction_table.HEADER
    assert [line[0] for line in lines] == ["all tokens", "`better`", "`cached`", "`worse`"]
    worse, cached = lines[3], lines[2]
    assert worse[1:7] == ["projector", "0.50 · 10", "0.70 · 21", "", "", ""]
    # what stands behind the shares is that of a tenth
    assert worse[7:] == ["[0.60, 0.75]", "0.50", "50", "12", "20.0", "3.0", "10.0", "0.25"]
    assert cached[1:8] == ["cache", "", "", "", "", "0.75 · 30 (2 refused)", "[0.65, 0.80]"]
    assert cached[8] == "–"


def test_the_table_is_put_in_place_of_the_one_on_the_page(tmp_path, monkeypatch):
    (tmp_path / "reductions.json").write_text(json.dumps({"rows": ROWS}))
    page = tmp_path / "page.md"
    page.write_text(f"before\n{reduction_table.BEGIN}\nold\n{reduction_table.END}\nbehind\n")
    monkeypatch.setattr(sys, "argv", ["tool", str(tmp_path), "--page", str(page)])
    reduction_table.main()
    first = page.read_text()
    assert first.startswith(f"before\n{reduction_table.BEGIN}\n\n| method")
    assert first.endswith(f"|\n\n{reduction_table.END}\nbehind\n")
    assert "old" not in first
    reduction_table.main()
    assert page.read_text() == first


def test_the_page_has_all_methods():
    text = reduction_table.PAGE.read_text(encoding="utf-8")
    table = text.split(reduction_table.BEGIN)[1].split(reduction_table.END)[0].strip()
    header, _, *lines = cells_of(table)
    assert tuple(header) == reduction_table.HEADER
    from geofovea.regionfocus.reductions.chain_spec import CHAIN_NAMES

    named = {line[0].strip("`") for line in lines}
    assert set(CHAIN_NAMES) <= named


@pytest.mark.parametrize("share", reduction_table.SHARES.values())
def test_shares_are_those_of_the_bench(share):
    from geofovea.pipeline.cli.measurements.bench import reductions

    (option,) = [o for o in reductions.params if o.name == "shares"]
    assert share == 1 or str(share) in option.default.split(",")
