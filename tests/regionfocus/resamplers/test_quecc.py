"""QueCC: recorded tokens of the release, windows that know nothing of each other, the question."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from reduction_vectors import SECOND, load, near, vector_files

from geofovea.errors import ModelError
from geofovea.regionfocus.resamplers.quecc import QueCc

WHOLE = torch.ones(1, 36, dtype=torch.bool)


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def resampler():
    torch.manual_seed(5)
    return QueCc((6, 6), 12).requires_grad_(False)


def _only(inputs, prefix):
    return {k.removeprefix(prefix): v for k, v in inputs.items() if k.startswith(prefix)}


@pytest.mark.parametrize("file", vector_files("quecc_", folder=SECOND))
def test_tokens_are_those_of_the_reference(file):
    parameters, inputs, outputs = load(file)
    side, width = parameters["side"], inputs["x"].shape[1]
    made = QueCc(
        (side, side), width, parameters["heads"], source=inputs["x_multi"].shape[1]
    ).requires_grad_(False)
    made.query.load_state_dict(_only(inputs, "w_q_proj."))
    made.key.load_state_dict(_only(inputs, "w_k_proj."))
    made.value.load_state_dict(_only(inputs, "w_v_proj."))
    made.attention.load_state_dict(_only(inputs, "w_clip_attn."))
    made.windows[str(parameters["kernel"])].load_state_dict(_only(inputs, "w_q_downsample."))
    made.text[0] = torch.nn.Linear(len(inputs["text"]), width)
    made.text.load_state_dict(_only(inputs, "w_text_projection."))
    count = (side // parameters["kernel"]) ** 2
    text = made.text(inputs["text"])[None, None]
    coarse = made.coarse(inputs["x"][None], inputs["x_multi"][None], WHOLE, count, text)
    near(coarse[0], outputs["tokens"])


@given(st.integers(0, 35))
def test_a_token_knows_its_window_and_the_question_alone(place):
    tokens, question, made = noise(1, 36, 12), noise(1, 12, seed=1), resampler()
    other = tokens.clone()
    other[0, place] += 1
    changed = (made(tokens, WHOLE, 9, question) != made(other, WHOLE, 9, question)).any(-1)[0]
    assert changed.tolist() == made.members(9)[:, place].tolist()


def test_another_question_makes_other_tokens():
    tokens, made = noise(1, 36, 12), resampler()
    first, second = (made(tokens, WHOLE, 4, noise(1, 12, seed=s)) for s in (1, 2))
    assert not torch.allclose(first, second)
    with pytest.raises(ModelError, match="reads the question"):
        made(tokens, WHOLE, 4)


def test_hidden_tokens_are_not_read():
    tokens, visible, made = noise(1, 36, 12), torch.arange(36)[None] < 20, resampler()
    other = torch.where(visible[..., None], tokens, 7.0)
    question = noise(1, 12, seed=1)
    first, second = (made(x, visible, 9, question) for x in (tokens, other))
    seen = (made.members(9) & visible).any(1)
    torch.testing.assert_close(first[0, seen], second[0, seen])
    assert first.isfinite().all()


def test_each_window_that_divides_the_grid_is_a_length():
    assert resampler().counts == (1, 4, 9)
    # of one token, which has no smaller length
    assert QueCc((1, 1), 12).largest(5) == 1
    with pytest.raises(ModelError, match="square tiles"):
        QueCc((4, 6), 12)
