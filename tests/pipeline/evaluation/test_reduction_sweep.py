"""The bench of reductions keeps the shares it names, can be stopped anywhere, reports it all."""

import json
from dataclasses import replace

import pytest
from click.testing import CliRunner

from geofovea.errors import DataError, ModelError
from geofovea.pipeline.cli import main
from geofovea.pipeline.evaluation.reduction_picture import _colors
from geofovea.pipeline.evaluation.reduction_report import report, rows_of, write_report
from geofovea.pipeline.evaluation.reduction_sweep import (
    ALL_TOKENS,
    ReductionItem,
    measure_reductions,
    method_at,
    methods_at,
)
from geofovea.regionfocus.budget import Budget
from geofovea.regionfocus.strategies import DEFAULT_REDUCTION

CHAINS = ("strided", "fastervlm", "fastv", "tome_encoder", "todre_drop_all", "divprune+fastv")
OTHERS = ("ima:1", "plain:2", "compresskv")
METHODS = (*OTHERS, *CHAINS)
SHARES = (0.25, 0.5)


@pytest.mark.parametrize(
    ("method", "share", "chain"),
    [
        ("divprune", 0.1, ("divprune", 0.1, None, None)),
        ("fastv", 0.1, ("top_score", 1.0, None, "fastv")),
        ("vflowopt_decoder", 0.1, ("vflowopt", 1.0, None, "vflowopt_decoder")),
        ("tome_encoder", 0.1, ("top_score", 1.0, "tome", None)),
        ("divprune+fastv", 0.1, ("divprune", 0.1, None, "fastv")),
        ("todre_drop_all", 1.0, ("top_score", 1.0, None, "todre_drop_all")),
        (ALL_TOKENS, 1.0, ("top_score", 1.0, None, None)),
    ],
)
def test_a_share_is_kept_where_the_method_acts(method, share, chain):
    made = methods_at(method, share)
    found = (
        made.projected_name,
        made.projected_share,
        made.encoder and made.encoder.name,
        made.decoder and made.decoder.name,
    )
    assert found == chain
    if method == "fastv":
        assert made.decoder.schedule.steps[-1].keep == share
    if method == "tome_encoder":
        assert made.encoder_share == share


def item(method, share, scene=1, **changes):
    blank = ReductionItem(
        side=2048,
        scene=scene,
        number=0,
        look="base",
        method=method,
        share=share,
        category="count",
        answer="1",
        truth="1",
        hit=None,
        looked=100,
        entered=10,
        end=10,
        selection_seconds=0.1,
        decoder_seconds=0.2,
        peak_mb=3.0,
    )
    return replace(blank, **changes)


def test_rows_do_not_depend_on_the_order_of_the_journal():
    items = [item(m, s, scene) for m in ("a", "b") for s in SHARES for scene in (1, 2, 3)]
    items[3] = replace(items[3], answer="2")
    assert rows_of(items) == rows_of(items[::-1])
    assert [r.method for r in rows_of(items) if r.share == 0.5] == ["b", "a"]


def test_a_method_that_refuses_so_many_tokens_is_wrong_and_told():
    row = rows_of([item("a", 0.5, refused="too many", answer="")])[0]
    assert (row.accuracy, row.refused) == (0, 1)
    assert "a (refused 1)" in report([row], "toy")


class Counting:
    """A host that counts its answers."""

    def __init__(self, host):
        self._host = host
        self.answers = 0

    def __getattr__(self, name):
        return getattr(self._host, name)

    def generate(self, *args, **options):
        self.answers += 1
        return self._host.generate(*args, **options)

    def encode_planned(self, *args):
        return self._host.encode_planned(*args)

    def question_embeds(self, question):
        return self._host.question_embeds(question)


@pytest.fixture(scope="module")
def bench(tiny_host, scene_path, tmp_path_factory):
    folder = tmp_path_factory.mktemp("reductions")
    (folder / "scene_2048_5.tif").hardlink_to(scene_path)
    return folder, measured(folder, tiny_host)


def measured(folder, host, **changes):
    wanted = {"methods": METHODS, "shares": SHARES, "budget": Budget(tiles=6, tokens=1)} | changes
    return measure_reductions(folder, [2048], 1, 1, 5, host, **wanted)


@pytest.mark.slow
def test_every_method_keeps_its_share_of_the_same_looks(bench):
    _, items = bench
    questions = {i.number for i in items}
    assert len(questions) >= 6
    # six methods at two shares, three at their own, and all tokens, in two ways of looking
    assert len(items) == len(questions) * 2 * (6 * 2 + 3 + 1)
    for i in items:
        if i.method == "tome_encoder":
            assert 1 <= i.entered == i.end <= i.looked
            continue
        kept = max(1, int(i.share * i.looked + 0.5))
        if i.method in ("strided", "fastervlm", ALL_TOKENS):
            assert i.entered == i.end == kept
        elif i.method == "fastv":
            assert (i.entered, i.end) == (i.looked, kept)
        elif i.method == "divprune+fastv":
            assert i.entered == kept > i.end
        else:
            assert i.entered == i.looked
        assert i.decoder_seconds > 0
        assert i.cpu_seconds > 0
    plain = {(i.number, i.look): i.looked for i in items if i.method == ALL_TOKENS}
    for i in items:
        if i.method != "tome_encoder":
            assert i.looked == plain[i.number, i.look]


def test_places_and_bytes_of_the_cache_are_those_of_the_method(bench, tiny_host):
    _, items = bench
    text = tiny_host.decoder.config
    width = text.hidden_size // text.num_attention_heads
    entry = 2 * text.num_key_value_heads * width * 4
    depth = text.num_hidden_layers
    for i in items:
        whole = i.looked * depth * entry
        if i.method in (ALL_TOKENS, "ima:1"):
            assert i.cache_bytes == whole
        elif i.method == "strided":
            assert i.cache_bytes == i.entered * depth * entry
        elif i.method == "fastv":
            assert i.end * depth * entry < i.cache_bytes < whole
        elif i.method == "plain:2":
            assert i.cache_bytes < 0.2 * whole
        elif i.method == "compresskv":
            assert i.cache_bytes == round(i.share * whole)
    # the same tiles take the same bytes, whatever else the memory holds by then
    base = {i.cache_bytes for i in items if (i.method, i.look) == ("plain:2", "base")}
    assert len(base) == 1
    places = {i.method: i.place for i in items}
    assert [places[m] for m in (ALL_TOKENS, *METHODS)] == [
        "", "prefill", "cache", "decode", "projector", "projector", "prefill", "encoder",
        "prefill", "projector + prefill",
    ]  # fmt: skip


@pytest.mark.parametrize("word", ["ima:x", "plain:3", "telepathy"])
def test_a_method_of_no_room_is_refused(word):
    with pytest.raises(ModelError):
        method_at(word, 1.0)


def test_a_first_layer_that_the_model_lacks_is_refused_before_anything_is_asked(
    tiny_host, tmp_path
):
    with pytest.raises(ModelError, match="ima does nothing from layer 99 on"):
        measure_reductions(
            tmp_path, [2048], 1, 1, 5, tiny_host, Budget(tiles=6), ["ima:99"], (0.5,)
        )
    assert not list(tmp_path.iterdir())


def test_the_default_and_the_best_five_are_drawn_in_color():
    lines = {name: [(1.0, accuracy), (9.0, 0.9)] for name, accuracy in
             zip("abcdefg", (0.1, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2), strict=True)}  # fmt: skip
    lines |= {DEFAULT_REDUCTION: [(1.0, 0.0), (9.0, 0.0)], "one point": [(5.0, 1.0)]}
    assert set(_colors(lines, in_bytes=False)) == {*"bcdef", DEFAULT_REDUCTION}
    # by bytes, a policy without a share is as good as its one point
    assert set(_colors(lines, in_bytes=True)) == {*"bcde", "one point", DEFAULT_REDUCTION}


def measured_facts(items):
    return sorted((i.key, i.answer, i.hit, i.looked, i.entered, i.end) for i in items)


@pytest.mark.slow
def test_a_bench_that_was_killed_goes_on_and_ends_in_the_same_table(bench, tiny_host, tmp_path):
    folder, items = bench
    lines = (folder / "reductions.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "scene_2048_5.tif").hardlink_to(folder / "scene_2048_5.tif")
    # killed while it wrote the line before the last three
    torn = "".join(lines[:-4]) + lines[-4][:20]
    (tmp_path / "reductions.jsonl").write_text(torn)
    host = Counting(tiny_host)
    again = measured(tmp_path, host)
    assert host.answers == 4
    assert measured_facts(again) == measured_facts(items)
    untouched = [i.key for i in again[: len(lines) - 5]]
    assert untouched == [i.key for i in items[: len(lines) - 5]]
    host.answers = 0
    assert measured_facts(measured(tmp_path, host)) == measured_facts(items)
    assert host.answers == 0
    with pytest.raises(DataError, match="is of another bench"):
        measured(tmp_path, host, budget=Budget(tiles=7))


@pytest.mark.slow
def test_a_report_holds_every_row_as_a_table_as_json_and_as_a_picture(bench):
    folder, items = bench
    table = write_report(folder, items, "toy")
    assert (folder / "reductions.md").read_text().rstrip("\n") == table
    rows = json.loads((folder / "reductions.json").read_text())["rows"]
    assert len(rows) == 2 * (6 * 2 + 4)
    for row in rows:
        low, high = row["interval"]
        assert 0 <= low <= row["accuracy"] <= high <= 1
        assert f"| {row['method']} " in table
    assert (folder / "reductions.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    "options", [["--methods", "telepathy"], ["--shares", "x"], ["--methods", "divprune,,fastv"]]
)
def test_wrong_words_are_wrong_usage(tmp_path, options):
    result = CliRunner().invoke(main, ["bench", "reductions", "--output", str(tmp_path), *options])
    assert result.exit_code == 2, result.output


@pytest.mark.parametrize("nothing", [{"methods": ()}, {"shares": ()}])
def test_a_bench_of_nothing_is_refused(tiny_host, tmp_path, nothing):
    with pytest.raises(DataError, match="at least one"):
        measured(tmp_path / "none", tiny_host, **nothing)
    assert not (tmp_path / "none").exists()
