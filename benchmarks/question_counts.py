"""What questions ask of a GPU, part by part: launches, and what waits for it; counted, not timed.

A host of the depth of a 7B one (24 and 28 layers, so narrow that a CPU can compute it) stands on a
device that is not there, see ``pretend_device``; a session asks it two questions about a synthetic
scene, the second of which finds what the first left. *Alone* is what neither the encoder nor the
decoder asks for: choosing tiles and tokens, putting prompts together. On a GPU a launch costs the
CPU some microseconds, and a wait lets nothing be asked in advance. Last, what the default reduction
asks for where it chooses 2,376 of 9,216 tokens: a narrow host has too few to show it.

    python benchmarks/question_counts.py --side 4096 --tokens 576
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gpu_pipeline import QUESTIONS, SHAPES, build, make_host
from pretend_device import Far, PretendDevice, to_device

PARTS = ("encode", "focus", "prefill", "decode", "alone")


class Count:
    """What was asked of the device, by part; the innermost part that is open gets it."""

    def __init__(self, device: PretendDevice) -> None:
        """Begin at nothing."""
        self._device, self._open = device, ["alone"]
        self._settled = (0, 0)
        self.totals = {part: [0, 0] for part in PARTS}

    def settle(self) -> None:
        """Give what was asked since the last time to the part that is open."""
        now = self._device.launches.total(), self._device.waits.total()
        for i in (0, 1):
            self.totals[self._open[-1]][i] += now[i] - self._settled[i]
        self._settled = now

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """What is asked inside belongs to a part."""
        self.settle()
        self._open.append(name)
        try:
            yield
        finally:
            self.settle()
            self._open.pop()

    def within(self, name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        """The same work, counted."""

        def counted(*inputs: Any, **options: Any) -> Any:
            with self.part(name):
                return work(*inputs, **options)

        return counted


def watch(count: Count, host: Any) -> None:
    """Tell the parts of a host from each other."""
    from geofovea.pipeline.inference.decoder.run import DecoderRun

    host.encode = count.within("encode", host.encode)
    for name in ("scores_together", "scores_again"):
        setattr(host, name, count.within("focus", getattr(host, name)))
    host.generate_together = count.within("decode", host.generate_together)
    DecoderRun.prefill = count.within("prefill", DecoderRun.prefill)  # type: ignore[method-assign]


def count_choice(device: PretendDevice, k: int = 2376, tokens: int = 9216) -> str:
    """Launches and waits of the default reduction among random tokens."""
    import torch

    from geofovea.regionfocus.reductions.context import TokenContext
    from geofovea.regionfocus.reductions.registry import make_reduction
    from geofovea.regionfocus.strategies import DEFAULT_REDUCTION

    generator = torch.Generator().manual_seed(0)
    features, scores = (
        torch.randn(tokens, 64, generator=generator),
        torch.rand(tokens, generator=generator),
    )
    before = device.launches.total(), device.waits.total()
    make_reduction(DEFAULT_REDUCTION).reduce(TokenContext(Far(features), scores), k)
    after = device.launches.total(), device.waits.total()
    return " / ".join(str(b - a) for a, b in zip(before, after, strict=True))


def main() -> None:
    """Write a scene, count, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--side", type=int, default=4096, help="pixels (default %(default)s)")
    parser.add_argument("--tiles", type=int, default=64, help="budget (default %(default)s)")
    parser.add_argument("--tokens", type=int, default=576, help="budget (default %(default)s)")
    parser.add_argument("--answer", type=int, default=8, help="tokens (default %(default)s)")
    options = parser.parse_args()

    import torch

    from geofovea.datasets.synthetic.scene_files import write_scene
    from geofovea.datasets.synthetic.world import make_world
    from geofovea.pipeline.session.session import SceneSession
    from geofovea.pipeline.system.tables import print_table
    from geofovea.regionfocus.budget import Budget
    from geofovea.tiling import open_scene

    shape = SHAPES["thin"]
    budget = Budget(tiles=options.tiles, tokens=options.tokens)
    rows = []
    with tempfile.TemporaryDirectory() as folder, PretendDevice() as device:
        path = Path(folder) / "scene.tif"
        write_scene(make_world(1, options.side, options.side), path)
        model = to_device(build(shape, torch.device("cpu"), torch.float32))
        host, _ = make_host(model, shape, options.answer)
        count = Count(device)
        watch(count, host)
        session = SceneSession(open_scene(path), host)
        for name, question in zip(("first question", "second question"), QUESTIONS, strict=True):
            count.settle()
            count.totals = {part: [0, 0] for part in PARTS}
            cost = session.ask(question, budget=budget).cost
            count.settle()
            cells = [f"{launches} / {waits}" for launches, waits in count.totals.values()]
            rows.append([name, *cells, str(cost.tiles_encoded), str(cost.tokens_llm)])
        choice = count_choice(device)
    print(f"launches / waits; {options.side} pixels, at most {options.tiles} tiles")
    print_table(("", *PARTS, "tiles", "tokens"), rows)
    print(f"the default reduction, 2376 of 9216 tokens: {choice}")


if __name__ == "__main__":
    main()
