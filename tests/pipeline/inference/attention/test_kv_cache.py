"""Keys and values with room: the stock layer is the oracle."""

from __future__ import annotations

import copy
import inspect

import pytest
import torch
from pipeline_toys import QUESTION, llava_host, random_llava
from torch.overrides import TorchFunctionMode
from transformers import Qwen2Config
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from geofovea.pipeline.inference.attention.kv_cache import (
    PreallocatedLayer,
    WindowLayer,
    preallocated_cache,
)


def states(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    keys, values = torch.randn(2, 1, 2, count, 4, generator=generator)
    return keys, values


@pytest.mark.parametrize("room", [9, 6, 1])
def test_a_layer_with_room_gives_what_the_stock_one_gives_also_beyond_its_room(room: int) -> None:
    roomy, stock = PreallocatedLayer(room), DynamicLayer()
    # earlier releases of transformers 5 take the places of the queries, later ones their number
    takes_places = "cache_position" in inspect.signature(stock.get_mask_sizes).parameters
    two = torch.arange(2) if takes_places else 2
    for step, count in enumerate((5, 1, 3, -3, 1, 1, 2)):
        if count < 0:
            roomy.crop(count)
            stock.crop(count)
        else:
            given = states(count, step)
            for ours, theirs in zip(roomy.update(*given), stock.update(*given), strict=True):
                torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
        assert roomy.get_seq_length() == stock.get_seq_length()
        assert roomy.get_mask_sizes(two) == stock.get_mask_sizes(two)


def test_a_step_within_the_room_moves_no_key() -> None:
    layer = PreallocatedLayer(8)
    keys, _ = layer.update(*states(5, 0))
    longer, _ = layer.update(*states(1, 1))
    assert longer.data_ptr() == keys.data_ptr()


def test_a_repeated_or_copied_layer_goes_on_as_the_stock_one_does() -> None:
    roomy, stock = PreallocatedLayer(8), DynamicLayer()
    for layer in (roomy, stock):
        layer.update(*states(5, 0))
    kept = copy.deepcopy(roomy)
    for layer in (roomy, stock):
        layer.batch_repeat_interleave(2)
    more = [x.repeat_interleave(2, 0) for x in states(1, 1)]
    torch.testing.assert_close(roomy.update(*more)[0], stock.update(*more)[0], rtol=0, atol=0)
    torch.testing.assert_close(kept.keys, states(5, 0)[0], rtol=0, atol=0)


def test_a_layer_with_a_window_gives_what_the_stock_one_gives_and_forgets_the_rest() -> None:
    ours, theirs = WindowLayer(4), DynamicSlidingWindowLayer(4)
    for step, count in enumerate((9, 1, 1, 5, 1)):
        given = states(count, step)
        for made, stock in zip(ours.update(*given), theirs.update(*given), strict=True):
            torch.testing.assert_close(made, stock, rtol=0, atol=0)
        torch.testing.assert_close(ours.keys, theirs.keys, rtol=0, atol=0)
        assert ours.get_seq_length() == theirs.get_seq_length()
        # the stock layer holds on to the whole prompt
        places = 4 if count == 1 else 3
        assert ours.keys.untyped_storage().nbytes() == places * 2 * 4 * 4
        assert ours.values.untyped_storage().nbytes() == places * 2 * 4 * 4


def test_every_layer_gets_the_cache_of_its_kind() -> None:
    config = Qwen2Config(
        num_hidden_layers=2,
        use_sliding_window=True,
        sliding_window=4,
        layer_types=["full_attention", "sliding_attention"],
    )
    kinds = [type(layer) for layer in preallocated_cache(config, 8).layers]
    assert kinds == [PreallocatedLayer, WindowLayer]


class _Reads(TorchFunctionMode):
    """Counts numbers that Python reads off a tensor: on a device it waits for each of them."""

    count = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        name = getattr(func, "__name__", "")
        self.count += name in ("item", "tolist", "__bool__", "__int__", "__float__", "__index__")
        return func(*args, **(kwargs or {}))


def test_a_step_of_an_answer_waits_for_the_device_once() -> None:
    model = random_llava()
    # where attention is not eager, a mask of ones is read back to see that it hides nothing
    model.set_attn_implementation("sdpa")
    model.generation_config.eos_token_id = None
    counted = []
    for most in (4, 12):
        host = llava_host(model, answer_tokens=most)
        host._writer.stop.clear()
        with _Reads() as reads:
            assert len(host.generate(QUESTION, None).log_probabilities) == most
        counted.append(reads.count)
    assert counted[1] - counted[0] == 12 - 4
