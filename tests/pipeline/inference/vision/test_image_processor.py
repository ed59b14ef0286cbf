"""Images and tiles are those that the stock image processor of a file makes."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import transformers
from family_toys import model_of, pixels, tokenizer

from geofovea.errors import ModelError
from geofovea.pipeline.hosts.families.registry import FAMILIES
from geofovea.pipeline.hosts.load import load_host
from geofovea.pipeline.hosts.settings import SETTINGS_FILE
from geofovea.pipeline.inference.vision.image_processor import ImageProcessor
from geofovea.pipeline.inference.vision.pixels import CLIP_MEAN, CLIP_STD, Normalization

RECORDS = {
    "nothing said": {},
    "rounded factor": {"rescale_factor": 0.00392156862745098},
    "brighter": {"rescale_factor": 1 / 127.5, "image_mean": [1.0, 0.9, 1.1]},
    "bytes as they are": {"do_rescale": False, "image_mean": [123.7, 116.3, 103.5]}
    | {"image_std": [58.4, 57.1, 57.4]},
    "one number for all": {"image_mean": 0.5, "image_std": 0.25},
    "no normalization": {"do_normalize": False},
    "neither": {"do_normalize": False, "do_rescale": False},
}


@pytest.mark.parametrize("record", RECORDS.values(), ids=RECORDS)
def test_an_image_has_the_numbers_that_the_stock_processor_gives_it(record):
    tile = pixels(1, 32)
    stock = transformers.CLIPImageProcessor(**record, do_resize=False, do_center_crop=False)
    expected = torch.as_tensor(np.array(stock(images=list(tile))["pixel_values"]))
    found = ImageProcessor.of(record, CLIP_MEAN, CLIP_STD)
    images = Normalization(found.mean, found.std).images(tile, torch.device("cpu"), torch.float32)
    torch.testing.assert_close(images, expected.float(), atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("suffix", ["", "Fast"])
@pytest.mark.parametrize("said", [{}, {"image_std": [0.2, 0.3, 0.4]}], ids=["neither", "one"])
def test_colors_that_a_file_leaves_out_are_those_of_the_class_that_it_names(said, suffix):
    stock = transformers.SiglipImageProcessor(**said)
    named = {"image_processor_type": f"SiglipImageProcessor{suffix}"}
    found = ImageProcessor.of(named | said, CLIP_MEAN, CLIP_STD)
    assert (found.mean, found.std) == (tuple(stock.image_mean), tuple(stock.image_std))


@pytest.mark.parametrize("named", [{}, {"image_processor_type": "NoSuchProcessor"}])
def test_without_a_known_class_they_are_those_of_the_family(named):
    found = ImageProcessor.of(named, CLIP_MEAN, CLIP_STD)
    assert (found.mean, found.std) == (CLIP_MEAN, CLIP_STD)


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ({"image_mean": [0.5, 0.5]}, r"image_mean = \[0.5, 0.5\]"),
        ({"image_std": "0.5"}, "image_std = '0.5'"),
        ({"rescale_factor": 0}, "rescale_factor = 0"),
        ({"rescale_factor": math.inf}, "rescale_factor = inf"),
        ({"min_pixels": "many"}, "min_pixels = 'many'"),
        ({"size": {"longest_edge": -1}}, "longest_edge = -1"),
    ],
)
def test_a_file_that_no_processor_could_follow_is_refused(record, words):
    with pytest.raises(ModelError, match=words):
        ImageProcessor.of(record, CLIP_MEAN, CLIP_STD)


BOUNDS = [
    {},
    {"min_pixels": 400_000, "max_pixels": 10_000_000},
    {"min_pixels": 784, "max_pixels": 50_000},
    {"size": {"shortest_edge": 200_001, "longest_edge": 16_777_216}},
    {"size": {"shortest_edge": 784, "longest_edge": 100_352}},
    {"min_pixels": 784, "max_pixels": 1_000},
]


@pytest.mark.parametrize("bounds", BOUNDS, ids=str)
@pytest.mark.parametrize(
    ("family", "stock"),
    [
        ("qwen2_5_vl", "Qwen2VLImageProcessor"),
        ("qwen3_vl", "Qwen2VLImageProcessor"),
        ("glm4v", "Glm4vImageProcessor"),
    ],
)
def test_the_stock_processor_leaves_a_tile_as_it_is(family, stock, bounds):
    patch = 16 if family == "qwen3_vl" else 14
    vision = {"patch_size": patch, "spatial_merge_size": 2, "temporal_patch_size": 2}
    found = ImageProcessor.of(bounds, CLIP_MEAN, CLIP_STD)
    config = SimpleNamespace(vision_config=SimpleNamespace(**vision))
    side = FAMILIES[family].usual_tile(config, found.least, found.most)
    makes = getattr(transformers, stock)
    if "Glm" in stock and not hasattr(makes, "preprocess"):
        pytest.skip("this release of transformers makes its images with torchvision")
    given = {"size": {"shortest_edge": 784, "longest_edge": 12_845_056}} | bounds
    if family == "glm4v" and "min_pixels" in bounds:
        given["size"] = dict(zip(("shortest_edge", "longest_edge"), bounds.values(), strict=True))
    processor = makes(patch_size=patch, merge_size=2, **given)
    grid = processor(images=[np.zeros((side, side, 3), np.uint8)])["image_grid_thw"][0]
    assert [int(n) * patch for n in grid[1:]] == [side, side]
    if not bounds:
        assert side == 24 * patch, "what is not bounded has 12 tokens along a side"


def test_a_pixtral_is_shown_no_tile_that_its_processor_would_shrink():
    config = SimpleNamespace(vision_config=SimpleNamespace(patch_size=16))
    assert FAMILIES["pixtral"].usual_tile(config) == 384
    assert FAMILIES["pixtral"].usual_tile(config, most=100) == 96


@pytest.mark.parametrize(
    ("files", "mean"),
    [
        ({"preprocessor_config.json": {"image_mean": [0.1, 0.2, 0.3]}}, (0.1, 0.2, 0.3)),
        (
            {
                "preprocessor_config.json": {"image_mean": [0.1, 0.2, 0.3]},
                "processor_config.json": {"image_processor": {"image_mean": [0.4, 0.5, 0.6]}},
            },
            (0.4, 0.5, 0.6),
        ),
        (
            {
                "preprocessor_config.json": {"image_mean": [0.1, 0.2, 0.3]},
                "processor_config.json": {"processor_class": "LlavaProcessor"},
            },
            (0.1, 0.2, 0.3),
        ),
    ],
)
def test_of_two_files_the_one_counts_that_the_stock_processor_reads(tmp_path, files, mean):
    model_of("llava").save_pretrained(tmp_path)
    tokenizer().save_pretrained(tmp_path)
    (tmp_path / SETTINGS_FILE).write_text('{"template": "what {image} {question} is"}')
    kind = {"image_processor_type": "CLIPImageProcessor"}
    for name, record in files.items():
        own = record.get("image_processor")
        written = record | (kind if own is None else {"image_processor": own | kind})
        (tmp_path / name).write_text(json.dumps(written))
    stock = transformers.AutoImageProcessor.from_pretrained(tmp_path)
    assert tuple(stock.image_mean) == mean
    assert load_host(str(tmp_path))._settings.image_mean == mean


def test_a_model_of_any_tile_is_shown_those_of_its_processor(tmp_path):
    model_of("qwen2_5_vl").save_pretrained(tmp_path)
    tokenizer().save_pretrained(tmp_path)
    settings = {"template": "what {image} {question} is"}
    (tmp_path / SETTINGS_FILE).write_text(json.dumps(settings))
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"max_pixels": 4096}))
    host = load_host(str(tmp_path))
    assert (host.tile_size, host.grid) == (64, (8, 8))
