"""What questions ask of a GPU, part by part: launches, waits and bytes moved; counted, not timed.

A host of the depth of a 7B one (``thin_hosts``: all of its layers, patches and tokens, so narrow
that a CPU can compute it) stands on a device that is not there, see ``pretend_device``; a session
asks it two questions about a synthetic scene, the second of which finds what the first left.
*Alone* is what neither the encoder nor the decoder asks for: choosing tiles and tokens, putting
prompts together. On a GPU a launch costs the CPU some microseconds, and a wait lets nothing be
asked in advance. Bytes are those that go to the device and come from it; pixels have their real
size, vectors the narrow one. Last, what the default reduction asks for where it chooses 2,376 of
9,216 tokens: a narrow host has too few to show it.

    python benchmarks/question_counts.py --side 4096 --tokens 576
    python benchmarks/question_counts.py --families qwen2_5_vl --side 4096 --tokens 576
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gpu_pipeline import QUESTIONS
from pretend_device import Far, PretendDevice, to_device
from thin_hosts import THIN, thin_host

PARTS = ("encode", "focus", "prefill", "decode", "alone")
NOTHING = (0, 0, 0, 0)


class Count:
    """What was asked of the device, by part; the innermost part that is open gets it."""

    def __init__(self, device: PretendDevice) -> None:
        """Begin at nothing."""
        self._device, self._open = device, ["alone"]
        self._settled = NOTHING
        self.totals = {part: list(NOTHING) for part in PARTS}

    def settle(self) -> None:
        """Give what was asked since the last time to the part that is open."""
        device = self._device
        now = (
            device.launches.total(),
            device.waits.total(),
            device.moved["to the device"],
            device.moved["from the device"],
        )
        for i in range(len(NOTHING)):
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


@contextmanager
def watched(count: Count, host: Any) -> Iterator[None]:
    """Tell the parts of a host from each other."""
    from geofovea.pipeline.inference.decoder.run import DecoderRun

    host.encode = count.within("encode", host.encode)
    for name in ("scores_together", "scores_again"):
        setattr(host, name, count.within("focus", getattr(host, name)))
    host.generate_together = count.within("decode", host.generate_together)
    plain = DecoderRun.prefill
    DecoderRun.prefill = count.within("prefill", plain)  # type: ignore[method-assign]
    try:
        yield
    finally:
        DecoderRun.prefill = plain  # type: ignore[method-assign]


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


def count_questions(
    device: PretendDevice, family: str, path: Path, options: argparse.Namespace
) -> tuple[list[list[str]], list[list[str]]]:
    """Rows of launches and waits, and of kilobytes, of each question to a host of a family."""
    from geofovea.pipeline.session.session import SceneSession
    from geofovea.regionfocus.budget import Budget
    from geofovea.tiling import open_scene

    budget = Budget(tiles=options.tiles, tokens=options.tokens)
    model, make = thin_host(family, options.answer)
    to_device(model)
    host = make()
    count = Count(device)
    session = SceneSession(open_scene(path), host)
    rows, moved = [], []
    with watched(count, host):
        for name, question in zip(("first", "second"), QUESTIONS, strict=True):
            count.settle()
            count.totals = {part: list(NOTHING) for part in PARTS}
            cost = session.ask(question, budget=budget).cost
            count.settle()
            totals = count.totals.values()
            cells = [f"{launches} / {waits}" for launches, waits, _, _ in totals]
            sizes = [str(cost.tiles_encoded), str(cost.tokens_llm)]
            rows.append([f"{family}, {name}", *cells, *sizes])
            cells = [f"{there / 1e3:.1f} / {back / 1e3:.1f}" for _, _, there, back in totals]
            moved.append([f"{family}, {name}", *cells])
    return rows, moved


def main() -> None:
    """Write a scene, count, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "--families", default=",".join(THIN), help="with commas (default %(default)s)"
    )
    parser.add_argument("--side", type=int, default=4096, help="pixels (default %(default)s)")
    parser.add_argument("--tiles", type=int, default=64, help="budget (default %(default)s)")
    parser.add_argument("--tokens", type=int, default=576, help="budget (default %(default)s)")
    parser.add_argument("--answer", type=int, default=8, help="tokens (default %(default)s)")
    options = parser.parse_args()
    families = options.families.split(",")
    if unknown := sorted({*families} - {*THIN}):
        parser.error(f"no family {unknown[0]!r}; there are {', '.join(THIN)}")

    from geofovea.datasets.synthetic.scene_files import write_scene
    from geofovea.datasets.synthetic.world import make_world
    from geofovea.pipeline.system.tables import print_table

    rows, moved = [], []
    with tempfile.TemporaryDirectory() as folder, PretendDevice() as device:
        path = Path(folder) / "scene.tif"
        write_scene(make_world(1, options.side, options.side), path)
        for family in families:
            launches, sizes = count_questions(device, family, path, options)
            rows += launches
            moved += sizes
        choice = count_choice(device)
    print(f"launches / waits; {options.side} pixels, at most {options.tiles} tiles")
    print_table(("", *PARTS, "tiles", "tokens"), rows)
    print("kB to the device / from it")
    print_table(("", *PARTS), moved)
    print(f"the default reduction, 2376 of 9216 tokens: {choice}")


if __name__ == "__main__":
    main()
