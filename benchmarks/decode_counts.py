"""What a decode step asks of a device, counted and not timed: launches, bytes, waits.

A decoder of any size runs on the device ``meta``, which computes shapes alone, so the 7B shape is
counted on any machine. *Stock* and *ours* are those of ``decode_steps``. A launch is an operation
of ATen that is no view; attention is one, as it is with a fused kernel. Bytes are what an operation
is given and gives back; those of the weights, keys and values are the floor of a step.

    python benchmarks/decode_counts.py --tokens 21312
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from decode_steps import our_run, stock_run

_WAITS = ("item", "is_nonzero", "_local_scalar_dense")


def tensors_in(value: Any) -> Iterator[Tensor]:
    """All tensors among arguments or results, those in lists too."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for each in value:
            yield from tensors_in(each)
    elif isinstance(value, dict):
        yield from tensors_in(list(value.values()))


class LaunchCounter(TorchDispatchMode):
    """Counts launches and bytes by operation, and answers waits without a device."""

    def __init__(self) -> None:
        """Start at nothing."""
        super().__init__()
        self.launches: Counter[str] = Counter()
        self.bytes: Counter[str] = Counter()
        self.waits = 0

    def note(self, name: str, *values: Any) -> None:
        """One launch."""
        self.launches[name] += 1
        self.bytes[name] += sum(tensor.nbytes for tensor in tensors_in(values))

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = func.overloadpacket.__name__
        if name in _WAITS:
            # what is read back is whether a mask of ones hides nothing: it does
            self.waits += 1
            return True
        result = func(*args, **(kwargs or {}))
        if not func.is_view and not name.startswith("empty"):
            self.note(name, args, kwargs, result)
        return result


class FusedAttention(TorchFunctionMode):
    """Attention as one launch: without a device it would come apart into many."""

    def __init__(self, counter: LaunchCounter) -> None:
        """Take what counts."""
        super().__init__()
        self._counter = counter

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is torch.nn.functional.scaled_dot_product_attention:
            named = kwargs or {}
            query, keys, values = (
                args[:3] if args else (named[n] for n in ("query", "key", "value"))
            )
            result = torch.empty_like(query)
            self._counter.note("attention", query, keys, values, named.get("attn_mask"), result)
            return result
        return func(*args, **(kwargs or {}))


def counted_step(start: Callable[[Any, Tensor], Callable[[Tensor], Tensor]], decoder: Any,
                 embedded: Tensor) -> LaunchCounter:  # fmt: skip
    """Prefill unseen, then count one step behind the first, which is like all that follow."""
    before, counter = LaunchCounter(), LaunchCounter()
    with before, FusedAttention(before):
        step = start(decoder, embedded)
        step(embedded[:, :1])
    with counter, FusedAttention(counter):
        step(embedded[:, :1])
    return counter


@torch.inference_mode()
def main() -> None:
    """Count and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--tokens", type=int, default=21312, help="prompt (default %(default)s)")
    parser.add_argument("--width", type=int, default=3584, help="default %(default)s")
    parser.add_argument("--hidden", type=int, default=18944, help="default %(default)s")
    parser.add_argument("--heads", type=int, default=28, help="default %(default)s")
    parser.add_argument("--key-heads", type=int, default=4, help="default %(default)s")
    parser.add_argument("--layers", type=int, default=28, help="default %(default)s")
    options = parser.parse_args()

    from transformers import Qwen2Config, Qwen2Model

    from geofovea.pipeline.system.tables import markdown_table

    config = Qwen2Config(
        hidden_size=options.width,
        intermediate_size=options.hidden,
        num_hidden_layers=options.layers,
        num_attention_heads=options.heads,
        num_key_value_heads=options.key_heads,
        vocab_size=512,
        max_position_embeddings=2**16,
    )
    with torch.device("meta"):
        decoder = Qwen2Model(config).to(torch.bfloat16).eval()
        embedded = torch.empty(1, options.tokens, options.width, dtype=torch.bfloat16)
    steps = {
        "stock": counted_step(stock_run, decoder, embedded),
        "ours": counted_step(lambda d, e: our_run(d, e, 8), decoder, embedded),
    }
    weights = sum(p.nbytes for p in decoder.layers.parameters())
    keys = 4 * options.layers * options.key_heads * (options.width // options.heads)
    floor = weights + options.tokens * keys
    names = sorted(set().union(*(c.launches for c in steps.values())))
    rows = []
    for name in sorted(names, key=lambda n: -max(c.bytes[n] for c in steps.values())):
        cells = [(str(c.launches[name]), f"{c.bytes[name] / 1e6:.1f}") for c in steps.values()]
        rows.append([name, *(cell for pair in cells for cell in pair)])
    total = [(str(c.launches.total()), f"{c.bytes.total() / 1e6:.1f}") for c in steps.values()]
    rows.append(["all", *(cell for pair in total for cell in pair)])
    rows.append(["waits for the device", *(x for c in steps.values() for x in (str(c.waits), ""))])
    print(f"{options.tokens} tokens, {options.layers} layers of {options.width}, bfloat16")
    print(f"floor: {floor / 1e6:.1f} MB of weights, keys and values")
    head = ("operation", "stock: launches", "MB", "ours: launches", "MB")
    print(markdown_table(head, rows))


if __name__ == "__main__":
    main()
