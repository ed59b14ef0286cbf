"""How many operations a further question takes in a 7B host, with a scene memory and without.

    python benchmarks/memory_counts.py --side 4096 --tiles 64 --tokens 576

Nothing is timed. A host with as many layers as a 7B one, but so narrow that a CPU can run it
(``thin_hosts``), is asked two questions about a synthetic scene whose tiles are all encoded. It is
asked without a memory, with one that holds all tiles, and about all tokens of the base level alone,
as any-resolution models do. Launches and bytes are those of the second question in the narrow host,
counted by operations of torch. Arithmetic and the size of keys and values are those of
CLIP-L/14-336 with Qwen2.5-7B, computed from its shape for the same tiles, tokens and words.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from decode_counts import LaunchCounter
from gpu_pipeline import QUESTIONS, SHAPES
from thin_hosts import thin_host

WAYS: dict[str, tuple[str | None, str]] = {
    "default": (None, "attention"),
    "memory, exact": ("exact", "attention"),
    "memory, plain:2": ("plain:2", "attention"),
    "any resolution": (None, "overview"),
}
"""Policy of the memory, and focus."""


class OperationCounter(LaunchCounter):
    """Counts as `LaunchCounter` does, and lets what is waited for happen."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if not func.is_view and not name.startswith("empty"):
            self.note(name, args, kwargs, result)
        return result


@dataclass(frozen=True)
class Counts:
    """A further question in one way.

    Attributes:
        launches: Operations of torch that compute.
        megabytes: What they read and write in the narrow host.
        tera: Operations of the 7B host in 10¹², by stage.
        tiles: That it encoded.
        tokens: That it showed.
        stored: Megabytes that keys and values of all tiles take in the 7B host.
    """

    launches: int
    megabytes: float
    tera: dict[str, float]
    tiles: int
    tokens: int
    stored: float


def seven_b(focus_layer: int) -> Any:
    """The shape of the real host."""
    from geofovea.pipeline.hosts.shapes import DecoderShape, EncoderShape, HostShape

    text, vision = SHAPES["7b"].text, SHAPES["7b"].vision
    decoder = DecoderShape(
        text["num_hidden_layers"],
        text["hidden_size"],
        text["num_attention_heads"],
        text["num_key_value_heads"],
        text["hidden_size"] // text["num_attention_heads"],
        text["intermediate_size"],
        text["vocab_size"],
    )
    encoder = EncoderShape(
        vision["num_hidden_layers"] - 1,
        vision["hidden_size"],
        vision["intermediate_size"],
        (336 // vision["patch_size"]) ** 2,
        3 * vision["patch_size"] ** 2,
        extra_tokens=1,
    )
    return HostShape(encoder, decoder, focus_layer)


def counted(path: Path, kv: str | None, focus: str, options: argparse.Namespace) -> Counts:
    """Ask two questions, and count the second."""
    from geofovea.pipeline.engine.memory_fill import fill_memory, tiles_of_levels
    from geofovea.pipeline.engine.memory_options import MemoryOptions
    from geofovea.pipeline.session.session import SceneSession
    from geofovea.regionfocus.budget import Budget
    from geofovea.tiling.opening import open_scene

    host = thin_host("llava", options.answer)[1]()
    host.shape = shape = seven_b(host.shape.focus_layer)
    memory = None if kv is None else MemoryOptions(4000, kv)
    session = SceneSession(open_scene(path), host, memory=memory)
    budget = Budget(tiles=options.tiles, tokens=options.tokens)
    tiles = tiles_of_levels(session.pyramid)
    if session.memory is None:
        session.tokens(list(tiles))
    else:
        fill_memory(session.memory, tiles, 4 * 10**9)
    session.ask(QUESTIONS[0], budget=budget, focus=focus)
    with OperationCounter() as counter:
        cost = session.ask(QUESTIONS[1], budget=budget, focus=focus).cost
    stored = 0.0
    if session.memory is not None and kv is not None:
        stored = session.memory.tokens * bytes_a_token(kv, shape.decoder) / 1e6
    full = cost.flops.full
    tera = {name: getattr(full, name) for name in ("encode", "focus", "prefill", "decode")}
    return Counts(
        counter.launches.total(),
        counter.bytes.total() / 1e6,
        tera,
        cost.tiles_read,
        cost.tokens_llm,
        stored,
    )


def bytes_a_token(kv: str, decoder: Any, tokens: int = 36) -> float:
    """Bytes of the keys and values of a vision token in all layers, in a tile of so many."""
    import torch

    from geofovea.regionfocus.cache_policies.base import CacheView
    from geofovea.regionfocus.cache_policies.kv_spec import parse_kv

    states = torch.randn(2, decoder.kv_heads, tokens, decoder.head_width).bfloat16()
    view = CacheView(*states, torch.arange(tokens))
    return decoder.layers * parse_kv(kv).storing().store(view).nbytes / tokens


def rows_of(counts: dict[str, Counts]) -> list[Sequence[str]]:
    """Rows of the table."""
    return [
        (
            name,
            str(c.launches),
            f"{c.megabytes:.0f}",
            *(f"{value:.2f}" for value in c.tera.values()),
            f"{sum(c.tera.values()):.2f}",
            str(c.tiles),
            str(c.tokens),
            f"{c.stored:.0f}" if c.stored else "-",
        )
        for name, c in counts.items()
    ]


def main() -> None:
    """Write a scene, count, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--side", type=int, default=4096, help="pixels (default %(default)s)")
    parser.add_argument("--tiles", type=int, default=64, help="budget (default %(default)s)")
    parser.add_argument("--tokens", type=int, default=576, help="budget (default %(default)s)")
    parser.add_argument("--answer", type=int, default=8, help="tokens (default %(default)s)")
    options = parser.parse_args()

    from geofovea.datasets.synthetic.scene_files import write_scene
    from geofovea.datasets.synthetic.world import make_world
    from geofovea.pipeline.system.tables import markdown_table

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scene.tif"
        write_scene(make_world(1, options.side, options.side), path)
        counts = {name: counted(path, kv, focus, options) for name, (kv, focus) in WAYS.items()}
    titles = ("a further question", "launches", "MB moved", "encode, tera", "focus", "prefill",
              "decode", "all", "tiles", "tokens", "keys and values, MB")  # fmt: skip
    print(markdown_table(titles, rows_of(counts)))


if __name__ == "__main__":
    main()
