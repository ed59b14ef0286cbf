"""Scenes of STAC items lie where STAC says; one bad item is one bad row."""

import json

import pytest

from geofovea.datasets.inputs.scene_lists import list_scenes
from geofovea.errors import DataError

COG = "image/tiff; application=geotiff; profile=cloud-optimized"


def item(name, href="./visual.tif", self_href=None, **fields):
    links = [] if self_href is None else [{"rel": "self", "href": str(self_href)}]
    assets = {"visual": {"href": href, "type": COG, "roles": ["data"]}}
    return {"type": "Feature", "id": name, "links": links, "assets": assets, **fields}


def rows_of(tmp_path, *items, name="items.json"):
    path = tmp_path / name
    path.write_text(json.dumps({"type": "FeatureCollection", "features": list(items)}))
    return list_scenes([str(path)])


@pytest.mark.parametrize(
    ("self_href", "href", "scene"),
    [
        ("/data/north/north.json", "./visual.tif", "/data/north/visual.tif"),
        ("/data/north/north.json", "../visual.tif", "/data/north/../visual.tif"),
        ("file:///data/a%20b/i.json", "visual.tif", "/data/a b/visual.tif"),
        ("north/north.json", "visual.tif", "{folder}/north/visual.tif"),
        ("https://ex.org/c/i.json", "./visual.tif", "https://ex.org/c/visual.tif"),
        ("https://ex.org/c/i.json", "../v.tif?x=1", "https://ex.org/v.tif?x=1"),
        ("https://ex.org/c/i", "/v.tif", "https://ex.org/v.tif"),
        ("s3://bucket/c/i.json", "./v.tif", "s3://bucket/c/v.tif"),
        ("/data/i.json", "https://ex.org/v.tif", "https://ex.org/v.tif"),
        ("/data/i.json", "/other/v.tif", "/other/v.tif"),
        ("https://ex.org/i.json", "file:///other/a%20v.tif", "/other/a v.tif"),
        (None, "./visual.tif", "{folder}/visual.tif"),
        ("", "visual.tif", "{folder}/visual.tif"),
    ],
)
def test_a_relative_reference_starts_at_its_item(self_href, href, scene, tmp_path):
    (row,) = rows_of(tmp_path, item("a", href, self_href))
    assert row.scene == scene.format(folder=tmp_path)


def test_a_file_of_one_item_is_the_item_wherever_it_was_published(tmp_path):
    path = tmp_path / "i.json"
    path.write_text(json.dumps(item("a", self_href="https://ex.org/c/i.json")))
    assert list_scenes([str(path)])[0].scene == str(tmp_path / "visual.tif")


def test_references_are_urls_in_which_spaces_are_encoded(tmp_path):
    (tmp_path / "my scene.tif").touch()
    (tmp_path / "as%20written.tif").touch()
    first, second = rows_of(tmp_path, item("a", "my%20scene.tif"), item("b", "as%20written.tif"))
    assert first.scene == str(tmp_path / "my scene.tif")
    assert second.scene == str(tmp_path / "as%20written.tif")


def test_ids_are_unique_in_their_collection_only(tmp_path):
    one = item("scene", collection="a"), item("scene", collection="b"), item("other")
    assert [row.id for row in rows_of(tmp_path, *one)] == ["a/scene", "b/scene", "other"]
    for number, collection in enumerate("ab"):
        path = tmp_path / f"{number}.json"
        path.write_text(json.dumps(item("scene", collection=collection)))
    rows = list_scenes([str(tmp_path / "0.json"), str(tmp_path / "1.json")])
    assert [row.id for row in rows] == ["a/scene", "b/scene"]
    with pytest.raises(DataError, match="occurs twice") as failure:
        rows_of(tmp_path, item("scene", collection="a"), item("scene", collection="a"))
    assert "column" not in str(failure.value)


@pytest.mark.parametrize(
    ("assets", "words"),
    [
        ({}, "not one raster but 0"),
        ({"a": {"href": "a.tif"}, "b": {"href": "b.tif"}}, "but 2 among 'a', 'b'"),
        ({"data": {"href": 5, "type": COG}}, "field 'assets.data.href': 5"),
        ({"data": {"href": "a\0.tif", "type": COG}}, "is not a path"),
        ({"data": {"href": "a.tif", "roles": [["thumbnail"]]}}, ""),
        ({"data": {"href": "a.tif", "roles": 5}}, ""),
        ({"data": 5}, "not one raster but 0"),
        ({"data": {"href": "http://[a.tif"}}, "neither a path nor a URL"),
        ({"data": {"href": "http://[a.tif", "type": COG}}, "neither a path nor a URL"),
        ({"data": {"href": "a" * 5000 + ".tif"}}, ""),
    ],
)
def test_an_item_without_a_plain_scene_is_a_row_that_fails_by_itself(assets, words, tmp_path):
    bad, good = rows_of(tmp_path, item("bad") | {"assets": assets}, item("good"))
    assert (words in bad.problem) if words else not bad.problem
    assert good.problem == ""
    assert good.scene == str(tmp_path / "visual.tif")


def test_a_link_to_itself_that_is_no_url_fails_its_row_alone(tmp_path):
    lost = item("lost") | {"links": [{"rel": "self", "href": "http://[lost.json"}]}
    bad, good = rows_of(tmp_path, lost, item("good"))
    assert "neither a path nor a URL" in bad.problem
    assert good.problem == ""


@pytest.mark.parametrize("query", ["?a=1", "#page", "?b=x.json#c"])
def test_what_follows_the_path_of_a_reference_does_not_hide_a_raster(query, tmp_path):
    assets = {"scene": {"href": f"https://example.org/scene.tif{query}"}}
    (row,) = rows_of(tmp_path, item("a") | {"assets": assets})
    assert row.scene == assets["scene"]["href"]


@pytest.mark.parametrize("links", [5, "self", [5], [{"rel": "self"}], [{"rel": "self", "href": 5}]])
def test_malformed_links_are_none(links, tmp_path):
    (row,) = rows_of(tmp_path, item("a") | {"links": links})
    assert row.scene == str(tmp_path / "visual.tif")
