"""A decode step of a stock decoder, and what its surroundings cost, side by side in one run.

*Stock* joins keys and values in a ``DynamicCache`` and passes a mask of ones, which is read back to
see that it hides nothing; *unplanned* is the same without cuDNN's attention, which on some GPUs
plans each number of keys anew; *ours* is what the package runs. All get the same prompt and the
same tokens, turn by turn; times are medians of single steps, none of whose numbers of keys was seen
before. Nothing is asserted. The floor of a step is its bytes by the measured bandwidth.

    python benchmarks/decode_steps.py --tokens 8192
    python benchmarks/decode_steps.py --tokens 16 --width 32  # Python and launches, little else
    python benchmarks/decode_steps.py --device cuda --width 3584 --heads 28 --tokens 21376
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gpu_floor import measure_rates, wait_for


def stock_run(decoder: Any, embedded: Tensor) -> Callable[[Tensor], Tensor]:
    """Prefill as a stock model would; what runs one more token."""
    from transformers import DynamicCache

    from geofovea.pipeline.inference.decoder.forward import forward

    cache = DynamicCache(config=decoder.config)

    def run(some: Tensor) -> Tensor:
        length = cache.get_seq_length()
        ids = torch.arange(length, length + some.shape[1], device=some.device)[None]
        mask = torch.ones(1, length + some.shape[1], dtype=torch.long, device=some.device)
        inputs = {"inputs_embeds": some, "position_ids": ids, "attention_mask": mask}
        # releases of transformers name the cache differently
        states: Tensor = forward(decoder, **inputs, cache=cache).last_hidden_state
        return states[:, -1]

    run(embedded)
    return run


def our_run(decoder: Any, embedded: Tensor, steps: int) -> Callable[[Tensor], Tensor]:
    """The same through the package."""
    from geofovea.pipeline.inference.decoder.run import DecoderRun
    from geofovea.pipeline.inference.prompts.batch import PromptBatch
    from geofovea.pipeline.inference.prompts.embeds import PromptSequence

    ids = torch.arange(embedded.shape[1], device=embedded.device)
    prompt = PromptSequence(embedded, ids[None], ids, None, len(ids))
    run = DecoderRun(decoder, PromptBatch.of([prompt]), steps)
    run.prefill()
    return run.advance


def unplanned_run(decoder: Any, embedded: Tensor) -> Callable[[Tensor], Tensor]:
    """As `stock_run`, without attention that is planned for each length."""
    from geofovea.pipeline.inference.attention.backend import unplanned_attention

    run = stock_run(decoder, embedded)
    return unplanned_attention()(run)


@dataclass(frozen=True)
class Steps:
    """What steps took.

    Attributes:
        seconds: Medians, by way, until the device has done its work.
        on_host: Medians of the CPU, until all is asked for.
        difference: The largest between states of two ways.
    """

    seconds: dict[str, float]
    on_host: dict[str, float]
    difference: float


@torch.inference_mode()
def time_steps(decoder: Any, embedded: Tensor, steps: int) -> Steps:
    """Decode some steps behind one prompt in all ways, turn by turn.

    Args:
        decoder: A stock decoder.
        embedded: The prompt, ``(1, s, d)``.
        steps: How many.
    """
    device = embedded.device
    runs = {
        "stock": stock_run(decoder, embedded),
        "unplanned": unplanned_run(decoder, embedded),
        "ours": our_run(decoder, embedded, steps),
    }
    times: dict[str, list[float]] = {name: [] for name in runs}
    host_times: dict[str, list[float]] = {name: [] for name in runs}
    difference = 0.0
    for step in range(steps):
        states = []
        for name, run in runs.items():
            wait_for(device)
            start, on_host = time.perf_counter(), time.process_time()
            states.append(run(embedded[:, [step % embedded.shape[1]]]))
            host_times[name].append(time.process_time() - on_host)
            wait_for(device)
            times[name].append(time.perf_counter() - start)
        difference = max(difference, *(float((states[0] - s).abs().max()) for s in states[1:]))
    return Steps(
        {name: statistics.median(of) for name, of in times.items()},
        {name: statistics.median(of) for name, of in host_times.items()},
        difference,
    )


@torch.inference_mode()
def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--device", default="cpu", help="default %(default)s")
    parser.add_argument("--tokens", type=int, default=8192, help="prompt (default %(default)s)")
    parser.add_argument("--width", type=int, default=128, help="default %(default)s")
    parser.add_argument("--heads", type=int, default=4, help="default %(default)s")
    parser.add_argument("--layers", type=int, default=28, help="default %(default)s")
    parser.add_argument("--steps", type=int, default=15, help="default %(default)s")
    options = parser.parse_args()

    from transformers import Qwen2Config, Qwen2Model

    from geofovea.pipeline.system.tables import print_table

    device = torch.device(options.device)
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    config = Qwen2Config(
        hidden_size=options.width,
        intermediate_size=options.width * 37 // 7,
        num_hidden_layers=options.layers,
        num_attention_heads=options.heads,
        num_key_value_heads=max(1, options.heads // 7),
        vocab_size=512,
        max_position_embeddings=2**16,
    )
    with torch.device(device):
        torch.manual_seed(0)
        decoder = Qwen2Model(config).to(dtype).eval()
        embedded = torch.randn(1, options.tokens, options.width, dtype=dtype)
    steps = time_steps(decoder, embedded, options.steps)
    keys = 2 * options.layers * config.num_key_value_heads * (options.width // options.heads)
    weights = sum(p.nbytes for p in decoder.layers.parameters())
    moved = weights + options.tokens * keys * dtype.itemsize
    floor = moved / measure_rates(device, dtype).bytes
    print(f"{options.tokens} tokens, {options.layers} layers of {options.width}, {device}")
    rows = [
        [name, *(f"{1000 * of[name]:.2f}" for of in (steps.seconds, steps.on_host))]
        for name in steps.seconds
    ]
    print_table(("", "a step (ms)", "of the CPU until all is asked for (ms)"), rows)
    print(f"floor {1000 * floor:.2f} ms, largest difference of a state {steps.difference:.1e}")


if __name__ == "__main__":
    main()
