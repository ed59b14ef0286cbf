"""From a scene on disk to an answer of some tokens, stage by stage, beside floors and rivals.

The model has the shape of a 7B host (CLIP-L/14-336 and Qwen2-7B in a stock
``LlavaForConditionalGeneration``) and random weights, made on the device in bfloat16: its answers
mean nothing, its times do. A synthetic scene is written as a COG; a session of this package answers
two questions on it, of lengths that nothing was asked in before. Beside that stand the *floor*
(operations by the measured rate of matrix products, bytes by the measured bandwidth, for what the
first question took), and two other ways (``gpu_rivals``). ``--shape tiny`` runs anywhere; ``thin``
has all layers and next to no work in them, so its times are those of Python and launches. Nothing
is asserted.

After every course all figures so far go into a folder, with a picture; a course that the minutes
left would not hold is skipped, and said to be.

    python benchmarks/gpu_pipeline.py --side 16384 --minutes 8 --output runs/gpu
    python benchmarks/gpu_pipeline.py --shape tiny --side 2048
"""

from __future__ import annotations

import argparse
import platform
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from decode_steps import Steps, time_steps
from gpu_floor import Floors, measure_rates, wait_for
from gpu_report import Clock, write_figures
from gpu_rivals import AnyResolution, PublishedSteps

STAGES = ("read", "encode", "focus", "choose", "prefill", "decode")
QUESTIONS = (
    "What is the color of the plane at the airport?",
    "how many objects are at the airport ?",
)
# unmeasured; of other lengths, for what is prepared for one length would hide in them
WARM_UP = (
    "is there a plane at the airport beside the harbour ?",
    "what is the shape of the object at the stadium near the river ?",
)


@dataclass(frozen=True)
class Shape:
    """Sizes of a model; those of a tile are 336 pixels everywhere."""

    vision: dict[str, int]
    text: dict[str, int]
    focus_layer: int


SHAPES = {
    "7b": Shape(
        {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24}
        | {"num_attention_heads": 16, "patch_size": 14},
        {"hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28}
        | {"num_attention_heads": 28, "num_key_value_heads": 4, "vocab_size": 152064},
        3,
    ),
    # the layers of the first, to see what they ask for without the work that they are
    "thin": Shape(
        {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 24}
        | {"num_attention_heads": 2, "patch_size": 28},
        {"hidden_size": 56, "intermediate_size": 64, "num_hidden_layers": 28}
        | {"num_attention_heads": 14, "num_key_value_heads": 2, "vocab_size": 512},
        3,
    ),
    "tiny": Shape(
        {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3}
        | {"num_attention_heads": 2, "patch_size": 56},
        {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 4}
        | {"num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 512},
        1,
    ),
}


@dataclass
class Course:
    """What one way to an answer took."""

    device: torch.device
    seconds: dict[str, float] = field(default_factory=dict)
    lengths: list[int] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add what a block takes, the device's work included, to a stage."""
        wait_for(self.device)
        start = time.perf_counter()
        yield
        wait_for(self.device)
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


def build(shape: Shape, device: torch.device, dtype: torch.dtype) -> Any:
    """The model, random, on the device."""
    from transformers import (
        CLIPVisionConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        Qwen2Config,
    )

    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**shape.vision, image_size=336),
        text_config=Qwen2Config(
            **shape.text,
            max_position_embeddings=32768,
            bos_token_id=None,
            eos_token_id=None,
            pad_token_id=None,
        ),
        image_token_id=4,
        vision_feature_layer=-2,
        vision_feature_select_strategy="default",
    )
    torch.manual_seed(0)
    usual = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            model = LlavaForConditionalGeneration(config)
    finally:
        torch.set_default_dtype(usual)
    model.generation_config.eos_token_id = None
    return model.eval()


def make_host(model: Any, shape: Shape, answer: int) -> tuple[Any, Any]:
    """The package's own host around the model, which never ends an answer early."""
    from geofovea.pipeline.hosts.families.llava import LlavaFamily
    from geofovea.pipeline.hosts.lvlm import LvlmHost
    from geofovea.pipeline.hosts.settings import HostSettings
    from geofovea.pipeline.training.embedded_model import build_tokenizer

    tokenizer = build_tokenizer()
    tokenizer.eos_token = None
    settings = HostSettings(
        template="{image} {question}",
        instruction="",
        # as the published method has it
        pool=2,
        focus_layer=shape.focus_layer,
        answer_tokens=answer,
    )
    family = LlavaFamily(model)
    return LvlmHost("random", family, tokenizer, settings), family


def ask(session: Any, question: str, model: Any, budget: Any) -> Course:
    """Ask through the session, and hear when each part of the model begins and ends."""
    device = model.lm_head.weight.device
    course, prefilled, answered = Course(device), [0.0], [0.0]
    started = [0.0]

    def begin(_: Any, __: Any, kwargs: dict[str, Any]) -> None:
        length = kwargs["inputs_embeds"].shape[1]
        course.lengths.append(length)
        if length > 1:
            wait_for(device)
            started[0] = time.perf_counter()

    def end(*_: Any) -> None:
        # a focus begins to run the decoder too, and does not come to its end: it stays in the list
        length = course.lengths.pop()
        if length > 1:
            wait_for(device)
            course.counts["prompt"] = length
            prefilled[0] += time.perf_counter() - started[0]

    decoder = model.model.language_model
    hooks = [
        decoder.register_forward_pre_hook(begin, with_kwargs=True),
        decoder.register_forward_hook(end),
    ]
    plain = session.host.encode

    def encode(*inputs: Any) -> Any:
        tokens = plain(*inputs)
        # else the work of the encoder would be counted where it is first waited for
        wait_for(device)
        return tokens

    plain_answers = session.host.generate_together

    def generate(*inputs: Any) -> Any:
        wait_for(device)
        begun = time.perf_counter()
        try:
            return plain_answers(*inputs)
        finally:
            wait_for(device)
            answered[0] += time.perf_counter() - begun

    session.host.encode, session.host.generate_together = encode, generate
    try:
        answer = session.ask(question, budget=budget)
    finally:
        del session.host.encode, session.host.generate_together
        for hook in hooks:
            hook.remove()
    spent = dict(answer.cost.seconds)
    course.seconds = {name: spent[name] for name in ("read", "encode", "focus")}
    course.seconds |= {"choose": spent["answer"] - answered[0], "prefill": prefilled[0]}
    course.seconds["decode"] = answered[0] - prefilled[0]
    course.seconds["total"] = spent["total"]
    course.counts["tiles"] = answer.cost.tiles_read
    course.counts["tokens"] = answer.cost.tokens_llm
    return course


def rival(work: Callable[[Any], dict[str, int]], device: torch.device) -> Course:
    """One of the other ways, timed."""
    course = Course(device)
    start = time.perf_counter()
    course.counts = work(course)
    course.seconds["total"] = time.perf_counter() - start
    return course


def with_peaks(work: Callable[[], Course], device: torch.device) -> Course:
    """Run, and note the most memory that was taken: of the device, and of the process beyond."""
    from geofovea.pipeline.system.memory import peak_rss_since, reset_peak_rss

    before = reset_peak_rss()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    course = work()
    course.counts["host MB"] = round(peak_rss_since(before))
    if device.type == "cuda":
        course.counts["device MB"] = round(torch.cuda.max_memory_allocated(device) / 1e6)
    return course


def floor_of(floors: Floors, course: Course, shape: Shape, answer: int) -> Course:
    """The least that the tiles and tokens of a question need."""
    course_floor = Course(course.device)
    prompt = course.counts["prompt"]
    course_floor.seconds = {
        "read": floors.read(course.counts["tiles"], 336),
        "encode": floors.encode(course.counts["tiles"]),
        "focus": floors.focus(course.lengths, shape.focus_layer),
        "prefill": floors.prefill(prompt),
        "decode": floors.decode(prompt, answer - 1),
    }
    course_floor.seconds["total"] = sum(course_floor.seconds.values())
    return course_floor


def rows_of(courses: dict[str, Course]) -> list[list[str]]:
    """A row for each stage, then totals, memory and sizes."""
    rows = []
    for stage in (*STAGES, "total"):
        cells = [f"{1000 * c.seconds.get(stage, 0.0):.3f}" for c in courses.values()]
        rows.append([f"{stage} (ms)", *cells])
    for name in ("device MB", "host MB", "tiles", "tokens", "prompt"):
        cells = [str(c.counts.get(name, "-")) for c in courses.values()]
        rows.append([name, *cells])
    return rows


@dataclass
class Report:
    """What is known so far, and how much time is left.

    Attributes:
        facts: Of the machine and of the options.
        clock: Of the whole run.
        folder: Where figures go after every course; None keeps them to the end.
        courses: By name.
        skipped: Courses that the time left would not have held.
        failed: What went wrong, by part.
    """

    facts: dict[str, Any]
    clock: Clock
    folder: Path | None
    courses: dict[str, Course] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """A part whose error is written down, and keeps no other part from being measured."""
        try:
            yield
        except Exception as error:
            self.failed[name] = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
            traceback.print_exc()
        self.write()

    def write(self) -> None:
        """Write all figures that are there."""
        if self.folder is not None:
            write_figures(self.folder, self.figures(), STAGES)

    def add(self, **courses: Course) -> None:
        """Take courses, whose names have underscores for blanks, and write all figures."""
        self.courses |= {name.replace("_", " "): course for name, course in courses.items()}
        self.write()

    def figures(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        courses = {
            name: {"seconds": c.seconds, "counts": c.counts, "scored": c.lengths}
            for name, c in self.courses.items()
        }
        spent = {"spent_seconds": self.clock.spent, "skipped": self.skipped, "failed": self.failed}
        return self.facts | {"courses": courses} | spent


def measure(options: argparse.Namespace, path: Path, report: Report) -> None:
    """All ways to an answer, one after the other, each once unmeasured and then measured."""
    from geofovea.pipeline.session.session import SceneSession
    from geofovea.regionfocus.budget import Budget
    from geofovea.tiling import open_scene

    shape, device = SHAPES[options.shape], torch.device(options.device)
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    rates = measure_rates(device, dtype)
    report.facts["rates"] = asdict(rates)
    model = build(shape, device, dtype)
    host, family = make_host(model, shape, options.answer)
    budget = Budget(tiles=options.tiles, tokens=options.tokens)

    def course_of(questions: tuple[str, ...]) -> list[Course]:
        session = SceneSession(open_scene(path), host)
        return [
            with_peaks(lambda q=q: ask(session, q, model, budget), device)  # type: ignore[misc]
            for q in questions
        ]

    course_of(WARM_UP)
    first, second = course_of(QUESTIONS)
    report.add(first_question=first, second_question=second)
    with report.part("floor"):
        report.add(floor=floor_of(Floors(model, rates), first, shape, options.answer))
    with report.part("steps"):
        report.facts["steps"] = asdict(decode_steps_of(model, first, options.answer))
    for name, kind in (("any resolution", AnyResolution), ("published steps", PublishedSteps)):
        with report.part(name):
            other = kind(host, model, family, 2, options.answer)
            if isinstance(other, PublishedSteps):
                other.layers = shape.focus_layer
            _measure_rival(name, lambda c, o=other: o.ask(path, c), device, report)  # type: ignore[misc]


def _measure_rival(
    name: str, ask_rival: Callable[[Course], object], device: torch.device, report: Report
) -> None:
    """Measure another way to an answer: once cold, and warm if there is time."""
    once = rival(ask_rival, device)
    if report.clock.has(once.seconds["total"]):
        once = with_peaks(lambda: rival(ask_rival, device), device)
    else:
        # what it prepares is counted then
        report.skipped.append(f"{name}: a second, warm run")
    report.add(**{name.replace(" ", "_"): once})


def decode_steps_of(model: Any, course: Course, answer: int) -> Steps:
    """Decoding steps behind a prompt as long as that of a course: stock, unplanned, ours."""
    decoder, weight = model.model.language_model, model.lm_head.weight
    # drawn on the CPU: the numbers are the same on every device
    generator = torch.Generator().manual_seed(0)
    shape = (1, course.counts["prompt"], decoder.config.hidden_size)
    embedded = torch.randn(shape, generator=generator).to(weight.device, weight.dtype)
    return time_steps(decoder, embedded, max(3, answer))


def refusal(options: argparse.Namespace) -> str | None:
    """Why these options cannot be measured, before minutes of a device are spent on them."""
    from geofovea.datasets.synthetic.world import check_size
    from geofovea.errors import DataError

    for name in ("tiles", "tokens", "answer"):
        if getattr(options, name) < 1:
            return f"--{name} is a whole number from 1, got {getattr(options, name)}"
    if options.shape == "7b" and options.device == "cpu":
        return (
            "--shape 7b holds 15 GB of weights and would take hours on a CPU; name --shape tiny or "
            "thin, which run anywhere, or a GPU with --device"
        )
    try:
        check_size(options.side, options.side)
        torch.empty(0, device=options.device)
        if options.output is not None:
            options.output.mkdir(parents=True, exist_ok=True)
    except DataError as error:
        return f"--side {options.side}: {error}"
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        return f"--device {options.device} cannot be used ({reason}); name another, such as cpu"
    except OSError as error:
        return f"--output {options.output} cannot be written: {error.strerror}"
    return None


def main() -> None:
    """Write a scene, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    usual = "cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument("--side", type=int, default=16384, help="pixels (default %(default)s)")
    parser.add_argument("--shape", choices=sorted(SHAPES), default="7b", help="default %(default)s")
    parser.add_argument("--device", default=usual, help="default here: %(default)s")
    parser.add_argument("--tiles", type=int, default=64, help="budget (default %(default)s)")
    parser.add_argument("--tokens", type=int, default=2376, help="budget (default %(default)s)")
    parser.add_argument("--answer", type=int, default=8, help="tokens (default %(default)s)")
    parser.add_argument(
        "--minutes", type=float, default=8, help="for all of it (default %(default)s)"
    )
    parser.add_argument("--output", type=Path, help="a folder for figures.json and pipeline.png")
    options = parser.parse_args()
    if why := refusal(options):
        parser.error(why)

    import transformers

    from geofovea.datasets.synthetic.scene_files import write_scene
    from geofovea.datasets.synthetic.world import make_world
    from geofovea.pipeline.system.tables import print_table

    is_gpu = options.device.startswith("cuda")
    name = torch.cuda.get_device_name(options.device) if is_gpu else platform.processor() or "CPU"
    facts = {"device": name, "shape": options.shape, "side": options.side}
    facts |= {"torch": torch.__version__, "transformers": transformers.__version__}
    report = Report(facts, Clock(options.minutes), options.output)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scene.tif"
        write_scene(make_world(1, options.side, options.side), path)
        print(f"a scene of {options.side} pixels is written after {report.clock.spent:.0f} s")
        measure(options, path, report)
    rates, courses = report.facts["rates"], report.courses
    print(f"{options.shape} on {name}, torch {torch.__version__}, side {options.side}")
    print(f"{rates['operations'] / 1e12:.3g} TFLOP/s, {rates['bytes'] / 1e9:.3g} GB/s measured")
    print_table(("", *courses), rows_of(courses))
    total = courses["first question"].seconds["total"]
    for other in ("floor", "any resolution", "published steps"):
        if other in courses:
            print(f"{other}: {courses[other].seconds['total'] / total:.3g} x the first question")
    steps = report.facts.get("steps", {"seconds": {}})["seconds"]
    each = (f"{way} {1000 * seconds:.2f} ms" for way, seconds in steps.items())
    print(f"a step of the decoder: {', '.join(each) or 'not measured'}")
    for part, why in report.failed.items():
        print(f"{part} failed: {why}")
    for what in report.skipped:
        print(f"skipped for want of time: {what}")
    print(f"all of it: {report.clock.spent:.0f} s")
    report.write()
    if report.failed:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
