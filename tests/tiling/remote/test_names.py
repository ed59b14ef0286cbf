"""The name of a far-away file: without any secret, one for one file, another for another."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from range_server import answer_status, descend, open_far

from geofovea.errors import SceneReadError, SceneRefusedError
from geofovea.tiling import inspect_scene
from geofovea.tiling.remote.names import (
    doubtful_secrets,
    redacted,
    remote_name,
    without_secrets,
)
from geofovea.tiling.remote.policy import remote_object

PLAIN = "https://h.org/a/b.tif"
SIGNED = {
    "azure": "se=2026-01-{n:02}T00:00Z&sp=r&sv=2022-11-02&sr=c&skoid=SECRET{n}&sig=SECRET{n}%3D",
    "aws": "X-Amz-Algorithm=A&X-Amz-Credential=SECRET{n}&X-Amz-Date=D{n}&X-Amz-Expires=3600"
    "&X-Amz-SignedHeaders=host&X-Amz-Signature=SECRET{n}",
    "aws, old": "AWSAccessKeyId=SECRET{n}&Expires=17{n}&Signature=SECRET{n}",
    "google": "X-Goog-Algorithm=A&X-Goog-Credential=SECRET{n}&X-Goog-Signature=SECRET{n}",
    "google, old": "GoogleAccessId=SECRET{n}&Expires=17{n}&Signature=SECRET{n}",
    "cloudfront": "Expires=17{n}&Policy=SECRET{n}&Signature=SECRET{n}&Key-Pair-Id=SECRET{n}",
    "alibaba": "OSSAccessKeyId=SECRET{n}&Expires=17{n}&Signature=SECRET{n}",
    "token": "token=SECRET{n}",
    "access_token": "access_token=SECRET{n}",
    "accessToken": "accessToken=SECRET{n}",
    "key": "key=SECRET{n}",
    "api_key": "api_key=SECRET{n}",
    "subscription-key": "subscription-key=SECRET{n}",
    "password": "user_password=SECRET{n}",
    "jwt": "jwt=SECRET{n}&exp=17{n}",
    "in capitals": "SIG=SECRET{n}",
}


def forms(query):
    """A URL with a query in the ways in which a URL can be given."""
    quoted = query.replace("%", "%25").replace("&", "%26").replace("=", "%3D")
    nested = f"https%3A%2F%2Fme%3ASECRET%40h.org%2Fa%2Fb.tif%3F{quoted}"
    return {
        "plain": f"{PLAIN}?{query}",
        "vsicurl": f"/vsicurl/{PLAIN}?{query}",
        "password": f"https://SECRET:SECRET@h.org/a/b.tif?{query}",
        "fragment": f"{PLAIN}?{query}#SECRET",
        "nested": f"https://p.org/cog?url={nested}",
        "in the path": f"https://p.org/cog/{nested}",
        "in the path, plain": f"https://p.org/https://me:SECRET@h.org/a/b.tif?{query}",
    }


@pytest.mark.parametrize("form", forms(""))
@pytest.mark.parametrize("query", SIGNED.values(), ids=SIGNED)
def test_a_name_has_no_secret_and_stays_when_it_is_signed_anew(query, form):
    first, second = (forms(query.format(n=n))[form] for n in (11, 12))
    assert "SECRET" in first
    assert "SECRET" not in remote_name(first)
    assert remote_name(first) == remote_name(second)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("https://h.org/cog?file=a.tif", "https://h.org/cog?file=b.tif"),
        ("https://h.org/cog?file=a.tif&sig=1", "https://h.org/cog?file=b.tif&sig=1"),
        ("https://h.org/cog?key=a/b.tif", "https://h.org/cog?key=a/c.tif"),
        ("https://h.org/a.tif?versionId=1", "https://h.org/a.tif?versionId=2"),
        ("https://h.org/a.tif", "https://h.org/a.tif?versionId=2"),
        ("https://h.org/a.tif", "http://h.org/a.tif"),
        ("https://h.org/a.tif", "https://h.org:8443/a.tif"),
        ("https://h.org/a.tif", "https://h.org/A.tif"),
        ("https://h.org/cog?st=1", "https://h.org/cog?st=2"),
        ("https://h.org/cog?keyword=a", "https://h.org/cog?keyword=b"),
        ("s3://bucket/a.tif", "s3://Bucket/a.tif"),
        (
            "https://p.org/cog?url=https%3A%2F%2Fh.org%2Fa.tif%3Fsig%3D1",
            "https://p.org/cog?url=https%3A%2F%2Fh.org%2Fb.tif%3Fsig%3D1",
        ),
    ],
)
def test_two_files_have_two_names(first, second):
    assert remote_name(first) != remote_name(second)


@pytest.mark.parametrize(
    "same",
    [
        "https://h.org/cog?b=2&a=1",
        "https://me:word@h.org/cog?a=1&b=2#part",
        "https://H.org:443/cog?a=1&b=2",
        "/vsicurl/https://h.org/cog?a=1&b=2&sig=9&se=2026",
    ],
)
def test_one_file_has_one_name(same):
    assert remote_name(same) == remote_name("https://h.org/cog?a=1&b=2")


def test_a_name_is_the_url_where_nothing_is_hidden():
    assert remote_name(PLAIN) == PLAIN
    assert remote_name("s3://bucket/a.tif") == remote_name("/vsis3/bucket/a.tif")
    assert remote_name(f"{PLAIN}?sig=1") == f"{PLAIN}?..."
    # a name is its own name
    named = remote_name(f"{PLAIN}?v=1")
    assert named.startswith(f"{PLAIN}?...~")
    assert without_secrets(named) == named


@given(st.text(st.characters(codec="utf-8"), max_size=30), st.text(max_size=30))
def test_any_text_after_a_question_mark_is_hidden(path, query):
    shown = redacted(f"https://h.org/{path}?Q{query}Q")
    assert "Q" not in shown.replace(path, "")
    assert "Q" not in remote_name(f"https://h.org/x?Q{query}Q")


def test_what_may_be_no_secret_is_known():
    assert doubtful_secrets("https://h.org/get?key=a/b&sig=1&file=x") == {"key": "a/b"}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "no 'https://me:SECRET@h.org/a.tif?sig=SECRET'; check",
            "no 'https://h.org/a.tif?...'; check",
        ),
        ("(see https://h.org/a?token=SECRET)", "(see https://h.org/a?...)"),
        ("https:/me:SECRET@h.org/a.tif?sig=SECRET", "https:/h.org/a.tif?..."),
        (
            "/vsicurl/https://h.org/a.tif?sig=SECRET failed",
            "/vsicurl/https://h.org/a.tif?... failed",
        ),
        ("is it a.tif? yes #1", "is it a.tif? yes #1"),
        ("use https://h.org/v1 (vLLM)", "use https://h.org/v1 (vLLM)"),
    ],
)
def test_urls_in_texts_lose_their_secrets(text, shown):
    assert without_secrets(text) == shown


def test_the_identity_of_a_far_file_is_without_its_signature():
    first, second = (remote_object(f"{PLAIN}?sig=SECRET{n}", ("h.org",)) for n in (1, 2))
    assert first.identity == second.identity
    assert "SECRET" not in first.identity + repr(first)
    assert first.url != second.url


def test_passwords_and_signatures_are_used_but_never_shown(served):
    url = served.url.replace("://", "://mallory:pass%20word@") + "?signature=hidden#part"
    scene = open_far(served, url)
    assert served.headers[0]["Authorization"] == "Basic bWFsbG9yeTpwYXNzIHdvcmQ="
    assert served.requests[0][0] == "/scene.tif?signature=hidden"
    assert scene.path == served.url + "?..."
    inspection = inspect_scene(scene, scene.pyramid(64))
    served.answer = answer_status(500)
    with pytest.raises(SceneReadError) as failed:
        descend(scene)
    with pytest.raises(SceneRefusedError) as refused:
        open_far(served, url, ("example.org",))
    shown = [repr(scene), scene.identity, json.dumps(inspection.to_json())]
    for text in (*shown, str(failed.value), str(refused.value)):
        found = [
            secret for secret in ("pass%20", "pass word", "hidden", "mallory") if secret in text
        ]
        assert not found, text


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("https://u:p@h.org/a.tif?sig=1#x", "https://h.org/a.tif?..."),
        ("/vsicurl/https://u:p@h.org/a.tif", "/vsicurl/https://h.org/a.tif"),
        ("https://u:p/w@h.org/a.tif", "https://..."),
        ("https://h.org/a@b.tif", "https://h.org/a@b.tif"),
    ],
)
def test_a_name_is_shown_without_its_secrets(name, shown):
    assert redacted(name) == shown
