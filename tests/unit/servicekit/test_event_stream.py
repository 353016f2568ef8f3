"""Streams of events: few at a time, each with an end."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask, Response

from servicekit.event_stream import STOPPING, EventStreams, StreamsTaken


@pytest.fixture
def app() -> Iterator[Flask]:
    app = Flask("test")
    with app.test_request_context():
        yield app
    STOPPING.clear()


def messages_of(response: Response) -> list[tuple[str, Any]]:
    """Return the events of a stream that has an end."""
    found = []
    for part in response.get_data(as_text=True).split("\n\n"):
        fields = dict(line.split(": ", 1) for line in part.splitlines())
        if "event" in fields:
            found.append((fields["event"], json.loads(fields["data"])))
    response.close()
    return found


def test_a_stream_says_at_least_its_first_message(app: Flask) -> None:
    streams = EventStreams(1, advice="")
    assert messages_of(streams.open(lambda: {"a": 1}, 0.0)) == [("state", {"a": 1})]


def test_nothing_new_is_a_beat(app: Flask) -> None:
    streams = EventStreams(1, advice="")
    assert messages_of(streams.open(lambda: None, 0.0)) == [("beat", {})]


def test_who_comes_when_all_are_taken_is_told_what_to_do(app: Flask) -> None:
    streams = EventStreams(2, advice="Ask /state instead.")
    first, _second = (streams.open(lambda: None, 60.0) for _ in range(2))
    with pytest.raises(StreamsTaken, match="Ask /state instead"):
        streams.open(lambda: None, 60.0)
    first.close()
    assert messages_of(streams.open(lambda: None, 0.0)) == [("beat", {})]


def test_streams_end_when_the_worker_stops(app: Flask) -> None:
    streams = EventStreams(1, advice="")
    response = streams.open(lambda: {"a": 1}, 60.0)
    STOPPING.set()
    assert messages_of(response) == [("state", {"a": 1})]
    with pytest.raises(StreamsTaken):
        streams.open(lambda: None, 60.0)


def test_none_at_all_may_be_wanted(app: Flask) -> None:
    with pytest.raises(StreamsTaken):
        EventStreams(0, advice="").open(lambda: None, 1.0)
