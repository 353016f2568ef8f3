"""Request ids, log lines and counters."""

import io
import json
import logging
import re
from datetime import datetime, timedelta

import pytest
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families

from servicekit.telemetry import configure_logging

HEADER = "X-Request-ID"


@pytest.fixture
def log_text(client: FlaskClient) -> io.StringIO:
    """What the service writes to its log, as text lines."""
    return capture("text")


def capture(log_format: str) -> io.StringIO:
    configure_logging("INFO", log_format)
    stream = io.StringIO()
    handler = logging.getLogger().handlers[0]
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(stream)
    return stream


def test_request_id_is_taken_over(client: FlaskClient) -> None:
    answer = client.get("/root/shelf", headers={HEADER: "abc-1.2:3_4"})
    assert answer.headers[HEADER] == "abc-1.2:3_4"


def test_request_id_is_made_when_there_is_none(client: FlaskClient) -> None:
    first, second = (client.get("/root/shelf").headers[HEADER] for _ in range(2))
    assert first and second and first != second


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, "<script>", "é", "a;b"])
def test_unacceptable_request_id_is_replaced(client: FlaskClient, given: str) -> None:
    made = client.get("/root/shelf", headers={HEADER: given}).headers[HEADER]
    assert re.fullmatch(r"[0-9a-f]{32}", made)


@pytest.mark.parametrize("path", ["/root/nothing", "/root/fail/bug", "/root/fail/missing"])
def test_errors_carry_the_request_id(client: FlaskClient, path: str) -> None:
    assert client.get(path, headers={HEADER: "mine"}).headers[HEADER] == "mine"


def test_log_lines_carry_the_request_id(client: FlaskClient, log_text: io.StringIO) -> None:
    client.get("/root/fail/missing", headers={HEADER: "find-me"})
    lines = log_text.getvalue().splitlines()
    assert len(lines) == 2
    assert all("[find-me]" in line for line in lines)
    assert "GET /root/fail/missing 404" in lines[-1]


def test_health_checks_do_not_fill_the_log(client: FlaskClient, log_text: io.StringIO) -> None:
    client.get("/health")
    client.get("/ready")
    assert log_text.getvalue() == ""


def test_log_times_are_utc(client: FlaskClient, log_text: io.StringIO) -> None:
    client.get("/root/shelf")
    stamp = datetime.fromisoformat(log_text.getvalue().split()[0])
    assert stamp.utcoffset() == timedelta(0)


@pytest.mark.parametrize("path", ["/root/fail/newline", "/root/%0aINFO [forged] line"])
def test_caller_cannot_forge_a_log_line(
    client: FlaskClient, log_text: io.StringIO, path: str
) -> None:
    client.get(path)
    lines = log_text.getvalue().splitlines()
    assert lines
    assert not any(line.startswith("INFO [forged]") for line in lines)


def test_json_log_lines_are_json(client: FlaskClient) -> None:
    stream = capture("json")
    client.get("/root/fail/newline", headers={HEADER: "json-id"})
    client.get("/root/fail/bug", headers={HEADER: "json-id"})
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert {line["request_id"] for line in lines} == {"json-id"}
    assert any("RuntimeError" in line.get("traceback", "") for line in lines)


def test_named_log_arguments_are_formatted(log_text: io.StringIO) -> None:
    logging.getLogger("foreign").warning("%(what)s happened", {"what": "this\nthing"})
    assert log_text.getvalue().rstrip("\n").endswith("foreign: this\\nthing happened")


def test_counters_tell_route_method_and_status(client: FlaskClient) -> None:
    def count(status: str) -> float:
        answer = client.get("/prometheus_metrics")
        assert answer.mimetype == "text/plain"
        return sum(
            sample.value
            for family in text_string_to_metric_families(answer.text)
            for sample in family.samples
            if sample.name == "http_requests_total"
            and sample.labels["service"] == "shelf"
            and sample.labels["route"] == "/root/fail/<kind>"
            and sample.labels["status"] == status
        )

    before = count("404")
    client.get("/root/fail/missing")
    client.get("/root/fail/missing")
    assert count("404") == before + 2


def test_counters_do_not_grow_with_what_callers_invent(client: FlaskClient) -> None:
    for number in range(3):
        client.open(f"/invented/{number}", method=f"BREW{number}")
    text = client.get("/prometheus_metrics").text
    assert "invented" not in text
    assert "BREW" not in text
