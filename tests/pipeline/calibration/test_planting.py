"""Planted sinks go through the real scoring code, and the default mode withstands them."""

from dataclasses import replace

import pytest
import torch

from geofovea.errors import DataError
from geofovea.pipeline.calibration.planting import PLANTINGS, Planting
from geofovea.pipeline.calibration.pointing import pointing_looks
from geofovea.pipeline.calibration.robustness import (
    bench_samples,
    calibrate_planted,
    measure_plantings,
    plantings_of,
    write_focus_bench,
)
from geofovea.pipeline.hosts.load import load_host
from geofovea.regionfocus.attention_mode import (
    WORDINGS,
    AttentionMode,
    default_mode,
    reworded_in,
)

LOOKS = 4
TRENDS = {"trend", "radial trend", "steep trend", "wavy trend", "last rows", "left columns"}
RAW = AttentionMode((2,), correction="raw")
ROBUST = default_mode(range(4), reuses_prefix=True)


@pytest.fixture(scope="module")
def host():
    return load_host("embedded", "cpu")


@pytest.fixture(scope="module")
def measured(host):
    """Accuracies of both modes by kind, at nine tenths; every look is read once."""
    plantings = [Planting("place", 0.0), *(Planting(kind, 0.9) for kind in PLANTINGS)]
    modes = {"raw": RAW, "robust": ROBUST, "halved": replace(ROBUST, halvings=2)}
    rows = measure_plantings(host, modes, plantings, bench_samples(host), range(LOOKS))
    return {(row.kind if row.share else "nothing", row.mode): row.accuracy[0] for row in rows}


# a patch that follows the question, and is not in the layers below, looks like a thing
LIKE_THINGS = ("following blocks", "upper following block")


@pytest.mark.parametrize("kind", sorted(set(PLANTINGS) - set(LIKE_THINGS)))
def test_the_default_mode_withstands_nine_tenths_on_sinks(measured, kind):
    assert measured[kind, "robust"] >= 0.85 * measured["nothing", "raw"]
    if kind not in {"edges", "ten", "column"} | TRENDS:
        hidden = measured[kind, "raw"] < 0.7 * measured["nothing", "raw"]
        assert hidden, "a sink that hides nothing would prove little"


@pytest.mark.parametrize("kind", LIKE_THINGS)
def test_a_look_in_halves_tells_a_thing_from_a_patch_that_looks_like_one(measured, kind):
    assert measured[kind, "robust"] < 0.3 * measured["nothing", "raw"]
    assert measured[kind, "halved"] >= 0.75 * measured["nothing", "raw"]


@pytest.mark.slow
def test_a_calibration_reads_what_is_planted_and_chooses_a_mode_that_withstands_it(host, tmp_path):
    plantings = [Planting("following blocks", 0.9)]
    ((_, result),) = calibrated = calibrate_planted(host, plantings, tmp_path, 2)
    assert result.uncalibrated[0] < 0.4 < result.accuracy()[0]
    assert result.mode.halvings > 0
    text = write_focus_bench(tmp_path, [], [(2, (2,)), (3, (2, 3)), (4, (2,))], calibrated)
    sentence, table = text.split("\n\n")[-3], text.split("\n\n")[-1]
    assert sentence.endswith("among those chosen in 2 of 3 hosts, and the only one in 1.")
    assert "following blocks | 0.9" in table
    assert result.chosen in table
    # looks that were read are not read again
    ((_, again),) = calibrate_planted(host, plantings, tmp_path, 2)
    assert (again.chosen, again.seconds) == (result.chosen, result.seconds)


def test_nothing_is_lost_where_nothing_is_planted(measured):
    for mode in ("robust", "halved"):
        assert measured["nothing", mode] >= measured["nothing", "raw"] - 0.05


class Drift:
    """Sinks of a kind that the bench does not plant: they differ between heads and layers, move
    from one look to the next, and pull at their neighbors."""

    def __call__(self, rows, _question, tokens, layers):
        count = rows.shape[-1]
        planted = rows.clone()
        for i, layer in enumerate(layers):
            for head in range(rows.shape[1]):
                place = (7 * layer + 13 * head + 31 * tokens.tiles[0].level + count // 3) % count
                sink = torch.zeros(count)
                for offset, weight in ((-1, 0.25), (0, 0.5), (1, 0.25)):
                    sink[(place + offset) % count] += weight
                planted[i, head] = 0.1 * rows[i, head] + 0.9 * sink.to(rows)
        return planted


def test_sinks_of_an_unforeseen_kind_are_withstood(host, measured):
    hits = total = 0
    read = host.with_attention(ROBUST, Drift())
    for look in pointing_looks(bench_samples(host), range(LOOKS)):
        for question, right in zip(look.questions, look.right, strict=True):
            hits += bool(right[int(read.scores(question, look.tokens).argmax())])
            total += 1
    assert hits / total >= 0.85 * measured["nothing", "raw"]


@pytest.fixture(scope="module")
def look(host):
    return next(pointing_looks(bench_samples(host), range(1)))


@pytest.mark.parametrize("kind", sorted(set(PLANTINGS) - TRENDS))
def test_a_planting_leaves_shares_and_puts_the_share_that_it_says_on_few_tokens(look, kind):
    count = len(look.tokens)
    rows = torch.full((2, 3, count), 1 / count)
    planted = Planting(kind, 0.6)(rows, look.questions[0], look.tokens, (0, 2))
    torch.testing.assert_close(planted.sum(-1), torch.ones(2, 3))
    if kind.startswith("upper"):
        assert torch.equal(planted[0], rows[0])
        planted, rows = planted[1:], rows[1:]
    assert float(planted.min()) >= 0.3 / count
    raised = planted > 1 / count
    share = float((planted * raised)[0, 0].sum())
    assert 0.5 < share < 0.75
    again = Planting(kind, 0.6)(rows, look.questions[0], look.tokens, (0, 2)[-len(rows) :])
    assert torch.equal(planted, again)


@pytest.mark.parametrize("kind", sorted(TRENDS))
def test_a_trend_makes_one_token_as_much_more_attractive_than_another_as_it_says(look, kind):
    rows = torch.full((2, 3, len(look.tokens)), 1 / len(look.tokens))
    planted = Planting(kind, 0.5)(rows, look.questions[0], look.tokens, (0, 2))
    torch.testing.assert_close(planted.sum(-1), torch.ones(2, 3))
    ratios = planted.amax(-1) / planted.amin(-1)
    assert float(ratios.log().amin()) == pytest.approx(4, abs=0.2)


def test_a_sink_that_follows_what_is_asked_does_not_move_with_the_wording(look):
    count, question = len(look.tokens), look.questions[0]
    rows = torch.full((1, 1, count), 1 / count)

    def place(kind, text):
        return int(Planting(kind, 0.9)(rows, text, look.tokens, (0,)).argmax())

    texts = [question, *reworded_in(WORDINGS, question)]
    assert len({place("following", text) for text in texts}) == 1
    assert len({place("drifting", text) for text in texts}) == len(texts)
    assert len({place("following", text) for text in look.questions}) > 1


def test_plantings_that_there_are_not_are_refused():
    with pytest.raises(DataError, match="no planting 'magic'"):
        Planting("magic", 0.5)
    with pytest.raises(DataError, match=r"share in \[0, 1\)"):
        Planting("place", 1.0)


def test_nothing_is_planted_once():
    plantings = plantings_of(["place", "corner"], [0, 0.5])
    assert [(p.kind, p.share) for p in plantings] == [
        ("place", 0.0),
        ("place", 0.5),
        ("corner", 0.5),
    ]
