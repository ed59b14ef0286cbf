"""The weights are used as they were trained: the host sees what the student saw."""

import pytest
import torch

from geofovea.pipeline.training.embedded_model import vocabulary
from geofovea.pipeline.training.lessons.dense_labels import IGNORED
from geofovea.pipeline.training.samples import SampleSpec, training_samples
from geofovea.regionfocus.dated_tokens import DatedTokens
from geofovea.regionfocus.tokens import tokens_of_tiles
from geofovea.tiling.pyramid import Pyramid, Tile

SIDE = 4096
WORDS = vocabulary()
NOISE = 1e-4
"""Of float32, as a share of the spread of what is compared: other kernels add in another order."""
PLAN = SampleSpec(
    coarse_levels=2,
    coarse_tiles=2,
    native_tiles=3,
    questions=4,
    scene_sides=(SIDE,),
    dropped=0,
    alone=0,
)


class Case:
    """One sample, as the student gets it and as the host gets it."""

    def __init__(self, student, host, dropped=None):
        word_ids = {word: index for index, word in enumerate(WORDS)}
        sample = next(iter(training_samples(8, student.shape, PLAN, word_ids)))
        self.batch = {name: torch.from_numpy(value)[None] for name, value in vars(sample).items()}
        self.visible = self.batch["visible"][0]
        if dropped is not None:
            self.visible &= ~dropped
        tiles = _tiles(sample.places, student.shape)
        assert len(set(tiles)) == len(tiles) == PLAN.tiles
        pyramid = Pyramid(SIDE, SIDE, student.shape.tile_size)
        self.features = host.encode(sample.tiles, tiles, pyramid)
        self.tokens = tokens_of_tiles(
            self.features, host.grid, tiles, pyramid, self.visible.reshape(len(tiles), -1)
        )
        self.answer_at = (sample.targets != IGNORED).argmax(1)

    def question(self, index):
        """The text of a question, its answer left out."""
        ids = self.batch["words"][0, index, : self.answer_at[index] + 1]
        return " ".join(WORDS[i] for i in ids.tolist())


def _tiles(places, shape):
    """The addresses of a sample's tiles, found again from where its tokens are."""
    tiles = []
    for x, y, level in places[:: shape.grid**2]:
        span = shape.tile_size << round(level * 8)
        row, col = int((y + 1) / 2 * SIDE // span), int((x + 1) / 2 * SIDE // span)
        tiles.append(Tile(round(level * 8), row, col))
    return tiles


@torch.no_grad()
def seen_by_student(student, case):
    """Word logits (q, l, V) and focus logits (heads, q, n) of the training code."""
    encoded = student.encode(case.batch["tiles"])
    placed = encoded + student.scene_position(case.batch["places"])
    logits, attention, _ = student._decode(placed, case.batch)
    return placed[0], logits[0], attention[0]


@pytest.fixture(scope="module")
def case(student, tiny_host):
    return Case(student, tiny_host)


def test_tokens_are_encoded_as_in_training(student, case):
    placed, _, _ = seen_by_student(student, case)
    found = case.features.flatten(0, 1)
    assert float((found - placed).abs().max()) < NOISE * float(placed.std())


@pytest.mark.parametrize("question", range(PLAN.questions))
def test_the_answer_is_decoded_as_in_training(student, tiny_host, case, first_logits, question):
    _, logits, _ = seen_by_student(student, case)
    expected = logits[question, case.answer_at[question]]
    found = first_logits(tiny_host, case.question(question), case.tokens)
    assert float((found - expected).abs().max()) < NOISE * float(expected.std())
    assert int(found.argmax()) == int(expected.argmax())


@pytest.mark.parametrize("question", range(PLAN.questions))
def test_the_focus_looks_where_it_was_taught_to_look(student, tiny_host, case, question):
    _, _, attention = seen_by_student(student, case)
    expected = attention[:, question].softmax(-1).mean(0)
    found = tiny_host.scores(case.question(question), case.tokens)
    torch.testing.assert_close(found, expected, atol=NOISE, rtol=0)
    assert float(expected.max()) > 3 / len(expected), "a flat focus would prove nothing"


def test_the_comparison_would_notice_a_shifted_or_missing_token(
    student, tiny_host, case, first_logits
):
    _, logits, _ = seen_by_student(student, case)
    expected = logits[0, case.answer_at[0]]
    limit = 30 * NOISE * float(expected.std())
    order = torch.arange(len(case.tokens))
    for wrong in (order[1:], order[:-1], order.roll(1)):
        found = first_logits(tiny_host, case.question(0), case.tokens.select(wrong))
        assert float((found - expected).abs().max()) > limit


def test_dropped_tokens_are_as_absent_in_training_as_in_use(student, tiny_host, first_logits):
    count = PLAN.tiles * student.shape.grid**2
    dropped = torch.rand(count, generator=torch.Generator().manual_seed(2)) < 0.4
    case = Case(student, tiny_host, dropped)
    assert len(case.tokens) == int((~dropped).sum())
    _, logits, attention = seen_by_student(student, case)
    expected = logits[1, case.answer_at[1]]
    found = first_logits(tiny_host, case.question(1), case.tokens)
    assert float((found - expected).abs().max()) < NOISE * float(expected.std())
    focus = attention[:, 1, case.visible].softmax(-1).mean(0)
    scores = tiny_host.scores(case.question(1), case.tokens)
    torch.testing.assert_close(scores, focus, atol=NOISE, rtol=0)


@torch.no_grad()
def test_two_dates_are_seen_in_use_as_in_training(student, tiny_host, first_logits):
    plan = SampleSpec(
        lone_pad=True, dates=2, kinds=("appeared", "new count"), questions=4, scene_sides=(SIDE,)
    )
    word_ids = {word: index for index, word in enumerate(WORDS)}
    sample = next(iter(training_samples(3, student.shape, plan, word_ids)))
    batch = {name: torch.from_numpy(value)[None] for name, value in vars(sample).items()}
    placed = student._placed(student.encode(batch["tiles"]), batch)
    logits, _, _ = student._decode(placed, batch)
    (tile, _), pyramid = _tiles(sample.places, student.shape), Pyramid(SIDE, SIDE, 64)
    sets = tuple(
        tokens_of_tiles(
            tiny_host.encode(pixels[None], [tile], pyramid),
            tiny_host.grid,
            [tile],
            pyramid,
            torch.ones(1, student.shape.grid**2, dtype=torch.bool),
        )
        for pixels in sample.tiles
    )
    dated = DatedTokens(("Before, 2024-06-01:", "After, 2024-09-29:"), sets)
    answer_at = (sample.targets != IGNORED).argmax(1)
    for row, ids in enumerate(sample.words):
        question = " ".join(WORDS[i] for i in ids[: answer_at[row] + 1])
        found = first_logits(tiny_host, question, dated)
        expected = logits[0, row, answer_at[row]]
        assert float((found - expected).abs().max()) < NOISE * float(expected.std())
