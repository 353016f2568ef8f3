"""Every error takes the one shape, whatever raised it."""

import logging
from typing import Any

import psycopg2
import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from servicekit.database import is_outage
from servicekit.errors import Invalid

SECRET = "correct-horse-battery"


@pytest.mark.parametrize(
    ("kind", "status", "error", "message"),
    [
        ("invalid", 400, "Invalid request", "Say it again."),
        ("missing", 404, "No such bottle", "Bottle 7 is not on the shelf."),
        ("conflict", 409, "Not loaded", "Load it first."),
        ("impossible", 422, "The bottle is corked", "Open another."),
        (
            "unavailable",
            503,
            "A service that this one needs does not answer",
            "Try again in a moment.",
        ),
    ],
)
def test_domain_errors_have_their_status_and_text(
    client: FlaskClient, kind: str, status: int, error: str, message: str
) -> None:
    answer = client.get(f"/root/fail/{kind}")
    assert answer.status_code == status
    body = answer.get_json()
    assert (body["error"], body["message"]) == (error, message)


def test_details_are_passed_on(client: FlaskClient) -> None:
    assert client.get("/root/fail/invalid").get_json()["details"] == [
        {"path": "name", "problem": "is empty"}
    ]


def test_unavailable_says_when_to_come_back(client: FlaskClient) -> None:
    assert int(client.get("/root/fail/unavailable").headers["Retry-After"]) > 0


def test_bug_is_500_without_its_text_and_logged_with_it(
    client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    logging.getLogger().addHandler(caplog.handler)
    answer = client.get("/root/fail/bug")
    assert answer.status_code == 500
    assert set(answer.get_json()) == {"error", "message"}
    assert SECRET not in answer.text
    assert "Traceback" not in answer.text
    assert "RuntimeError" in caplog.text


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/root/nothing", 404),
        ("GET", "/root/shelf/../../etc/passwd", 404),
        ("GET", "/root//shelf", 404),
        ("GET", "/root/shelf%2e%2e/", 404),
        ("GET", "/docs/../app.py", 404),
        ("GET", "/docs/..%2f..%2fapp.py", 404),
        ("DELETE", "/root/shelf", 405),
        ("PUT", "/root/shelf", 405),
        ("PATCH", "/health", 405),
        ("TRACE", "/root/shelf", 405),
        ("BREW", "/root/shelf", 405),
        ("POST", "/openapi.json", 405),
        ("POST", "/docs/", 405),
        ("DELETE", "/docs", 405),
        ("POST", "/prometheus_metrics", 405),
    ],
)
def test_wrong_path_or_method_is_json(
    client: FlaskClient, method: str, path: str, status: int
) -> None:
    answer = client.open(path, method=method)
    assert answer.status_code == status, answer.text
    assert answer.mimetype == "application/json"
    assert set(answer.get_json()) == {"error", "message"}


def test_wrong_method_names_the_right_ones(client: FlaskClient) -> None:
    allow = client.delete("/root/shelf").headers["Allow"]
    assert {"GET", "POST"} <= {word.strip() for word in allow.split(",")}


def test_trailing_slash_is_the_same_path(client: FlaskClient) -> None:
    assert client.get("/root/shelf/").status_code == 200


def failing_query(app: Flask, error: Exception) -> Any:
    @app.get("/query")
    def query() -> str:
        raise error

    return app.test_client().get("/query")


def test_lost_database_is_503(app: Flask) -> None:
    lost = OperationalError("SELECT 1", {}, psycopg2.OperationalError("server closed"))
    answer = failing_query(app, lost)
    assert answer.status_code == 503
    assert answer.get_json()["error"] == "The database does not answer"


def test_exhausted_pool_is_503(app: Flask) -> None:
    assert failing_query(app, PoolTimeout("QueuePool limit")).status_code == 503


def test_wrong_sql_is_a_bug_and_does_not_show_itself(app: Flask) -> None:
    error = DBAPIError("SELECT secret_column", {}, psycopg2.ProgrammingError("syntax error"))
    answer = failing_query(app, error)
    assert answer.status_code == 500
    assert "secret_column" not in answer.text


class CodedError(psycopg2.OperationalError):
    """A driver error with the SQLSTATE that a server would send."""

    def __init__(self, code: str) -> None:
        super().__init__("server message")
        self.code = code

    @property
    def pgcode(self) -> str:
        """The SQLSTATE."""
        return self.code


@pytest.mark.parametrize(
    ("code", "outage"),
    [("57P01", True), ("57P03", True), ("53300", True), ("08006", True), ("40001", False)],
)
def test_sqlstate_tells_an_outage_from_an_error(code: str, outage: bool) -> None:
    assert is_outage(OperationalError("SELECT 1", {}, CodedError(code))) is outage


def test_error_text_is_the_docstring_of_its_class() -> None:
    class BadYear(Invalid):
        """The year is not one of ours.

        More that nobody needs on the wire.
        """

    assert BadYear().error == "The year is not one of ours"
    assert BadYear("Use 2020.").message == "Use 2020."
    assert str(BadYear("Use 2020.")) == "The year is not one of ours: Use 2020."
