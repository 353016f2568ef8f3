"""What every service answers alike: health, readiness, counters, documents, request ids."""

import json
import re
import uuid
from datetime import datetime, timedelta
from importlib import import_module
from typing import Any

import pytest
from flask import Flask
from prometheus_client.parser import text_string_to_metric_families

from tests.support.running_suite import SERVICES, RunningSuite

pytestmark = pytest.mark.parametrize("service", SERVICES)


def test_health(suite: RunningSuite, service: str) -> None:
    body = suite.ask("GET", service, "/health")
    assert body["status"] == "healthy"
    assert datetime.fromisoformat(body["timestamp"]).utcoffset() == timedelta(0)


def test_ready(suite: RunningSuite, service: str) -> None:
    body = suite.ask("GET", service, "/ready")
    assert "database" in body["checks"]
    assert set(body["checks"].values()) == {"ok"}


def test_counters(suite: RunningSuite, service: str) -> None:
    suite.call("GET", service, "/nothing")
    answer = suite.call("GET", service, "/prometheus_metrics")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain")
    samples = [
        sample
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
        if sample.name == "http_requests_total"
    ]
    assert {sample.labels["service"] for sample in samples} == {service}
    assert any(sample.labels["status"] == "404" and sample.value >= 1 for sample in samples)


def test_request_id_is_taken_over_or_made(suite: RunningSuite, service: str) -> None:
    given = uuid.uuid4().hex
    for path in ("/health", "/nothing"):
        answer = suite.call("GET", service, path, headers={"X-Request-ID": given})
        assert answer.headers["X-Request-ID"] == given
    made = {suite.call("GET", service, "/health").headers["X-Request-ID"] for _ in range(3)}
    assert len(made) == 3


def test_interactive_page(suite: RunningSuite, service: str) -> None:
    answer = suite.call("GET", service, "/docs")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/html")


@pytest.fixture
def application(service: str, monkeypatch: pytest.MonkeyPatch) -> Flask:
    """The service's application, built without anything it needs."""
    for name, value in {
        "CELLAR_DATABASE_HOST": "127.0.0.1",
        "CELLAR_DATABASE_PORT": "1",
        "CELLAR_DATABASE_USER": "nobody",
        "CELLAR_DATABASE_PASSWORD": "none",
        "CELLAR_PORT": "5999",
    }.items():
        monkeypatch.setenv(name, value)
    settings = import_module(f"{service}.settings").Settings.load()
    app: Flask = import_module(f"{service}.app").create_app(settings)
    return app


def described(document: dict[str, Any]) -> set[tuple[str, str]]:
    return {
        (path, method.upper())
        for path, operations in document["paths"].items()
        for method in operations
    }


def test_every_route_is_in_the_document(
    suite: RunningSuite, service: str, application: Flask
) -> None:
    document = suite.ask("GET", service, "/openapi.json")
    served = {
        (re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule), method)
        for rule in application.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        # The page's own script and style files are no part of the API.
        if not rule.rule.startswith(("/docs/", "/dashboard/files/"))
    }
    assert served == described(document)


CONTRACT = {
    "simulator": {("/root/simulator", "GET"), ("/root/simulator", "POST")},
    "ml_model": {("/root/ml", "GET"), ("/root/ml", "POST"), ("/root/ml/set_model", "POST")},
    "tracking": {
        ("/root/tracking/model_management", "POST"),
        ("/root/tracking/experiments", "GET"),
        ("/root/tracking/experiments", "POST"),
        ("/root/tracking/experiments", "DELETE"),
        ("/root/tracking/runs", "GET"),
        ("/root/tracking/runs", "POST"),
        ("/root/tracking/runs", "DELETE"),
    },
    "monitoring": {("/root/monitoring", "GET"), ("/root/monitoring", "POST")},
}
EVERYWHERE = {
    (path, "GET") for path in ("/health", "/ready", "/prometheus_metrics", "/openapi.json", "/docs")
}


def test_every_route_of_the_contract_is_in_the_document(suite: RunningSuite, service: str) -> None:
    document = suite.ask("GET", service, "/openapi.json")
    assert CONTRACT[service] | EVERYWHERE <= described(document)


def test_document_is_one_of_openapi(suite: RunningSuite, service: str) -> None:
    document = suite.ask("GET", service, "/openapi.json")
    assert document["openapi"].startswith("3.1")
    for path, method in described(document):
        operation = document["paths"][path][method.lower()]
        assert operation["summary"], (path, method)
        for status, response in operation["responses"].items():
            content = response.get("content", {})
            if int(status) >= 400 and path != "/ready":
                schema = content["application/json"]["schema"]
                assert schema == {"$ref": "#/components/schemas/ErrorAnswer"}, (path, status)


def test_bodies_have_examples(suite: RunningSuite, service: str) -> None:
    document = suite.ask("GET", service, "/openapi.json")
    without = [
        (path, method)
        for path, method in described(document)
        if (body := document["paths"][path][method.lower()].get("requestBody"))
        and "example" not in json.dumps(body)
    ]
    assert without == []
