"""What does an index of an archive cost, what does it save, and what does it lose?

    python benchmarks/archive_search.py --scenes 8 --side 4096
    python benchmarks/archive_search.py --scenes 100 --copies 10 --side 768 --forms int8
    python benchmarks/archive_search.py --archive data/image --indexed index --encoder embedded

Synthetic scenes are indexed with eight bits and with half precision, and searched for some phrases.
Beside it stands the search without an index, which reads and embeds every tile for each phrase. The
ten best scenes, and the ten best tiles of each scene, are compared with those of vectors in full
precision. With ``--copies`` each scene stands in the index under so many names, which are hard
links of its file: a search compares and checks as many files and vectors as in an archive of that
size, and the search without an index is taken as so many times as long. ``--archive`` takes scenes
that are there, and ``--indexed`` an index that ``geofovea index`` made of them; ``--full-scenes``
searches so many of them without an index, and takes the others to cost as much.

``indexed_questions.py`` asks about one scene. Without ``--encoder`` the encoder is a small CLIP
with random weights and vectors of 512 numbers: times, sizes and losses by rounding are real, its
rankings mean nothing.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

import geofovea as gf
from geofovea.datasets.synthetic.scene_files import write_scene
from geofovea.datasets.synthetic.vocabulary import SITES, THINGS
from geofovea.datasets.synthetic.world import make_world
from geofovea.pipeline.focus.dual_encoder import load_dual_encoder
from geofovea.pipeline.hosts.checkpoint import quiet_transformers
from geofovea.pipeline.index.indexed_scene import identity_of
from geofovea.pipeline.index.lookup import look_up
from geofovea.pipeline.index.store import IndexStore
from geofovea.pipeline.training.embedded_model import build_tokenizer, vocabulary
from geofovea.tiling.pixels.radiometry_plan import plan_radiometry
from geofovea.tiling.reader import TileReader
from side_by_side import aligned, cpu_seconds, machine, peak_mib, report

_PHRASES = ("red roof", "harbor", "pond", "airport", "school", "depot", "stadium", "quarry")
# of a model that knows synthetic scenes alone
_KNOWN_PHRASES = (*SITES, *THINGS)[:16]
_BEST = 10


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", type=int, default=8, help="Of the archive.")
    parser.add_argument("--side", type=int, default=4096, help="Of a scene in pixels.")
    parser.add_argument("--copies", type=int, default=1, help="Names under which each stands.")
    parser.add_argument("--forms", default="int8,float16", help="How vectors are stored.")
    parser.add_argument("--encoder", help="A dual encoder. Default: a small CLIP, random.")
    parser.add_argument("--archive", type=Path, help="A folder of scenes, in place of new ones.")
    parser.add_argument("--indexed", type=Path, help="An index of it, in place of a new one.")
    parser.add_argument("--full-scenes", type=int, help="To search without an index. Default: all.")
    parser.add_argument("--output", type=Path, help="Write all numbers to this JSON file.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        encoder = options.encoder or str(random_encoder(folder / "clip"))
        archive = options.archive or write_archive(folder / "archive", options)
        phrases = _KNOWN_PHRASES if encoder.startswith("embedded") else _PHRASES
        forms = ["as it is"] if options.indexed else options.forms.split(",")
        indices = {form: options.indexed or folder / form for form in forms}
        rows = [
            searched(archive, index, encoder, form, options.copies, phrases)
            for form, index in indices.items()
        ]
        paths = sorted(archive.iterdir())
        full, full_cpu = searched_in_full(paths[: options.full_scenes], encoder)
        full_cpu *= options.copies * len(paths) / len(full)
        for row in rows:
            row |= recalls_of(indices[row["form"]], full, encoder, phrases)
    header = [
        "",
        "index CPU s a Gpx",
        "search CPU ms",
        "of one scene",
        "full search is",
        "MB a Gpx",
    ]
    lines = [[*header, "10 scenes kept", "10 tiles kept"]]
    for row in rows:
        row["full_search_cpu_s"] = full_cpu
        ratio = full_cpu / row["search_cpu_s"]
        lines.append(
            [
                row["form"],
                "–" if row["index_cpu_s_per_gpx"] is None else f"{row['index_cpu_s_per_gpx']:.0f}",
                f"{row['search_cpu_s'] * 1e3:.1f}",
                f"{row['one_scene_cpu_s'] * 1e3:.2f}",
                f"{ratio:,.0f} x",
                f"{row['mb_per_gpx']:.1f}",
                f"{row['scene_recall']:.3f}",
                f"{row['recall']:.3f}",
            ]
        )
    facts = machine(
        scenes=len(paths),
        copies=options.copies,
        searched_in_full=len(full),
        full_search_cpu_s_of_one_scene=round(full_cpu / options.copies / len(paths), 2),
        tiles=rows[0]["tiles"],
        encoder=options.encoder,
        phrases=len(phrases),
        search_peak_mib=round(rows[0]["peak_mib"]),
    )
    report(facts, aligned(lines), rows, options.output)


def write_archive(folder: Path, options: argparse.Namespace) -> Path:
    """Fresh scenes in a folder."""
    folder.mkdir()
    for seed in range(options.scenes):
        write_scene(make_world(seed, options.side, options.side), folder / f"{seed:04}.tif")
    return folder


def searched(
    archive: Path, index: Path, encoder: str, form: str, copies: int, phrases: Sequence[str]
) -> dict[str, object]:
    """An index in one form, made where it is not there: its cost, its size, and what searches cost.

    Every phrase was searched for once before the clock starts, so that the encoder is loaded.
    """
    index_cpu: float | None = None
    if not IndexStore.exists(index):
        start = cpu_seconds()
        gf.build_index(index, [str(archive)], encoder=encoder, number_format=form)
        index_cpu = cpu_seconds() - start
    store = IndexStore.open(index)
    scenes = store.scenes()
    pixels = sum(scene.width * scene.height for scene in scenes) / 1e9
    size = store.size_bytes / 1e6
    results = [gf.search_index(index, phrase) for phrase in phrases]
    enter_copies(index, index.with_name(f"links-{index.name}"), copies)
    start = cpu_seconds()
    for phrase in phrases:
        gf.search_index(index, phrase)
    search_cpu = (cpu_seconds() - start) / len(phrases)
    model = load_dual_encoder(encoder)
    start = cpu_seconds()
    for phrase in phrases:
        look_up(store, model.embed_text(phrase).numpy(), scenes[:1])
    return {
        "form": form,
        "index_cpu_s_per_gpx": None if index_cpu is None else index_cpu / pixels,
        "search_cpu_s": search_cpu,
        "one_scene_cpu_s": (cpu_seconds() - start) / len(phrases),
        "mb_per_gpx": size / pixels,
        "tiles": results[0].lookup.tiles,
        "peak_mib": peak_mib(),
    }


def recalls_of(index: Path, full, encoder: str, phrases: Sequence[str]) -> dict[str, object]:
    """How far an index ranks scenes, and the tiles of a scene, as the full search does."""
    store, model = IndexStore.open(index), load_dual_encoder(encoder)
    some = [scene for scene in store.scenes() if Path(scene.name).name in full]
    of_scenes = []
    for phrase in phrases:
        text = model.embed_text(phrase).numpy()
        by_index = look_up(store, text, some, most_scenes=_BEST).scenes
        ranked = {Path(each.scene.name).name for each in by_index}
        best = sorted(full, key=lambda name, text=text: -(full[name] @ text).max())[:_BEST]
        of_scenes.append(shared(ranked, set(best)))
    return {
        "scene_recall": float(np.mean(of_scenes)),
        "recall": recall_of_tiles(index, full, phrases, encoder),
    }


def enter_copies(index, folder, copies) -> None:
    """Enter each scene of an index under further names, which are hard links of its file."""
    store = IndexStore.open(index)
    if copies > 1:
        folder.mkdir()
    for scene in store.scenes():
        path = Path(scene.name)
        for number in range(1, copies):
            link = folder / f"{number:03}-{path.name}"
            link.hardlink_to(path)
            named = replace(scene, name=str(link), identity=identity_of(str(link)))
            store.begin(named)
            for name in store.part_names(scene):
                store.write(named, store.read(scene, name))


def recall_of_tiles(index, full, phrases, encoder) -> float:
    """The share of the ten best tiles of a scene that its stored vectors rank so, too."""
    store, recalls = IndexStore.open(index), []
    model = load_dual_encoder(encoder)
    texts = [model.embed_text(phrase).numpy() for phrase in phrases]
    for scene in store.scenes():
        if Path(scene.name).name not in full:
            continue
        # coarse levels first, as in the full search
        parts = sorted(store.part_names(scene), key=lambda name: (-name.level, name.start))
        vectors = np.concatenate([store.read(scene, name).vectors.restored() for name in parts])
        for text in texts:
            best = [
                set(np.argsort(-(each @ text))[:_BEST].tolist())
                for each in (vectors, full[Path(scene.name).name])
            ]
            recalls.append(shared(*best))
    return float(np.mean(recalls))


def shared(ranked, expected) -> float:
    """The share of what is expected that was ranked among the best."""
    return len(ranked & expected) / len(expected)


def searched_in_full(paths, encoder):
    """Vectors of all tiles in full precision by scene, and CPU seconds of one search by pixels."""
    model, start, full = load_dual_encoder(encoder), cpu_seconds(), {}
    for path in paths:
        scene = gf.open_scene(path)
        reader = TileReader(scene, scene.pyramid(model.side), plan_radiometry(scene))
        levels = range(reader.pyramid.base_level, -1, -1)
        tiles = [tile for level in levels for tile in reader.pyramid.tiles(level)]
        parts = [
            model.embed_pictures([reader.read(tile).rgb for tile in tiles[i : i + 32]]).numpy()
            for i in range(0, len(tiles), 32)
        ]
        full[path.name] = np.concatenate(parts)
    text = model.embed_text(_PHRASES[0]).numpy()
    for vectors in full.values():
        np.argsort(-(vectors @ text))
    return full, cpu_seconds() - start


def random_encoder(folder: Path) -> Path:
    """A small CLIP with random weights, as a hub would bring it."""
    from transformers import CLIPConfig, CLIPModel

    words = vocabulary()
    shape = {
        "hidden_size": 192,
        "intermediate_size": 384,
        "num_hidden_layers": 4,
        "num_attention_heads": 3,
    }
    text = shape | {
        "vocab_size": len(words),
        "max_position_embeddings": 24,
        "bos_token_id": words.index("<s>"),
        "eos_token_id": words.index("</s>"),
        "pad_token_id": words.index("<pad>"),
    }
    vision = shape | {"image_size": 224, "patch_size": 32}
    torch.manual_seed(0)
    config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=512)
    with quiet_transformers():
        CLIPModel(config).save_pretrained(folder)
    build_tokenizer().save_pretrained(folder)
    return folder


if __name__ == "__main__":
    main()
