"""How long an endpoint asks to be left alone is understood in all the ways of saying it."""

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geofovea.pipeline.hosts.endpoint.retry_after import retry_hint


def body(value):
    return json.dumps(value).encode()


def in_words(text):
    return body({"error": {"message": text}})


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "14"}, 14),
        ({"retry-after": "0.25"}, 0.25),
        ({"retry-after": "-5"}, 0),
        ({"retry-after": "20s"}, 20),
        ({"retry-after": "1m30.5s"}, 90.5),
        ({"retry-after": "PT1M30S"}, 90),
        ({"retry-after-ms": "14000"}, 14),
        ({"retry-after-ms": "1500", "retry-after": "1"}, 1.5),
        ({"x-ms-retry-after-ms": "250"}, 0.25),
        ({"x-retry-after": "7"}, 7),
    ],
)
def test_headers_that_ask_for_patience(headers, seconds):
    found = retry_hint(headers)
    assert found.is_certain
    assert found.seconds == pytest.approx(seconds)


@pytest.mark.parametrize("hours", [-1000, -1, 0, 1 / 6, 500])
@pytest.mark.parametrize("write", ["http", "850", "iso", "epoch", "ms"])
def test_a_date_is_one_of_the_clock_of_the_reply(hours, write):
    clock = (datetime.now(UTC) + timedelta(hours=hours)).replace(microsecond=0)
    until = clock + timedelta(seconds=8)
    written = {
        "http": format_datetime(until, usegmt=True),
        "850": until.strftime("%A, %d-%b-%y %H:%M:%S GMT"),
        "iso": until.isoformat(),
        "epoch": str(int(until.timestamp())),
        "ms": str(int(1000 * until.timestamp())),
    }[write]
    headers = {"date": format_datetime(clock, usegmt=True), "retry-after": written}
    assert retry_hint(headers).seconds == pytest.approx(8)


def test_without_a_clock_of_the_reply_ours_is_taken():
    until = datetime.now(UTC) + timedelta(seconds=60)
    found = retry_hint({"retry-after": format_datetime(until, usegmt=True), "date": "noon"})
    assert 55 < found.seconds <= 60


@pytest.mark.parametrize(
    ("content", "seconds"),
    [
        (body([{"error": {"details": [{"retryDelay": "10.8s"}]}}]), 10.8),
        (body({"error": {"details": [{"retryDelay": {"seconds": 3, "nanos": 500000000}}]}}), 3.5),
        (body({"retry_after": 12}), 12),
        (body({"error": {"retryAfter": "12"}}), 12),
        (body({"retry_after_ms": 1500}), 1.5),
        (body({"detail": {"retry-after-seconds": 4}}), 4),
        (body({"parameters": {"wait_seconds": 6}}), 6),
        (in_words("Please try again in 1m30.5s. Visit the site."), 90.5),
        (in_words("Please retry in 10.8s."), 10.8),
        (in_words("Please try again in 20ms"), 0.02),
        (in_words("Please retry after 60 seconds."), 60),
        (in_words("Rate limited, wait for 2 minutes and 5 seconds"), 125),
        (in_words("Limit 30000 / min, used 29000. Please try again in 6m0s."), 360),
        (in_words("retry-after: 20"), 20),
        (in_words("The limit resets in 1 hour"), 3600),
        (b"<html><p>Too many requests, try again in 9 seconds</p></html>", 9),
    ],
)
def test_bodies_that_ask_for_patience(content, seconds):
    found = retry_hint({}, content)
    assert found.is_certain
    assert found.seconds == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"x-ratelimit-reset-requests": "1s", "x-ratelimit-reset-tokens": "6m0s"}, 1),
        (
            {
                "x-ratelimit-remaining-requests": "9",
                "x-ratelimit-reset-requests": "1s",
                "x-ratelimit-remaining-tokens": "0",
                "x-ratelimit-reset-tokens": "6m0s",
            },
            360,
        ),
        ({"x-ratelimit-reset": "17"}, 17),
        ({"ratelimit": 'limit=10, remaining=0, reset=30"'}, 30),
        ({"ratelimit": '"default";r=0;t=5'}, 5),
        (
            {
                "date": "Sat, 01 Nov 2025 10:00:00 GMT",
                "anthropic-ratelimit-tokens-reset": "2025-11-01T10:00:42Z",
            },
            42,
        ),
    ],
)
def test_when_a_limit_is_reset_is_a_hint(headers, seconds):
    found = retry_hint(headers)
    assert not found.is_certain
    assert found.seconds == pytest.approx(seconds)


def test_what_is_asked_for_counts_more_than_when_a_limit_is_reset():
    found = retry_hint({"retry-after": "3", "x-ratelimit-reset-tokens": "6m0s"})
    assert (found.seconds, found.is_certain) == (3, True)


@pytest.mark.parametrize(
    ("headers", "content"),
    [
        ({}, b""),
        ({"retry-after": "soon"}, b"busy"),
        ({"retry-after": "nan"}, b"{}"),
        ({"retry-after-ms": "inf"}, b"[]"),
        ({"retry-after": "Fri, 01 Jan 99999999999999999999 00:00:00 GMT"}, b""),
        ({}, in_words("5 requests per 60 seconds are allowed")),
        ({}, body({"wait": True})),
    ],
)
def test_what_asks_for_nothing_is_none(headers, content):
    assert retry_hint(headers, content) is None


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["retry_after", "retryDelay", "seconds", "x"]), inner)
    ),
    max_leaves=8,
)


@settings(deadline=None, max_examples=60)
@given(
    st.dictionaries(st.sampled_from(["retry-after", "date", "ratelimit"]), st.text()), json_values
)
def test_any_reply_is_a_time_or_none(headers, value):
    found = retry_hint(headers, body(value))
    assert found is None or 0 <= found.seconds < float("inf")
