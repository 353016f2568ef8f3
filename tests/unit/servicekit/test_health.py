"""Liveness cannot fail while the process answers; readiness names what is missing."""

from datetime import datetime, timedelta
from typing import Any

from flask.testing import FlaskClient

from servicekit.app import create_service
from servicekit.database import Database
from servicekit.errors import Unavailable
from servicekit.settings import ServiceSettings
from servicekit.version import VERSION


def refuse() -> None:
    raise Unavailable("The MLflow server does not answer.")


def break_down() -> None:
    raise RuntimeError("password=secret")


def test_health_is_the_process_alone(client: FlaskClient, checks: dict[str, Any]) -> None:
    checks["mlflow"] = refuse
    answer = client.get("/health")
    body = answer.get_json()
    assert answer.status_code == 200
    assert body["status"] == "healthy"
    assert body["version"] == VERSION
    assert datetime.fromisoformat(body["timestamp"]).utcoffset() == timedelta(0)


def test_ready_names_every_check(settings: ServiceSettings) -> None:
    checks = {"mlflow": lambda: None, "ml_model": lambda: None}
    client = create_service("s", settings, title="S", checks=checks).test_client()
    answer = client.get("/ready")
    assert answer.status_code == 200
    assert answer.get_json()["checks"] == {"mlflow": "ok", "ml_model": "ok"}


def test_not_ready_names_what_failed_and_hides_foreign_texts(settings: ServiceSettings) -> None:
    checks = {"mlflow": refuse, "disk": break_down, "fine": lambda: None}
    client = create_service("s", settings, title="S", checks=checks).test_client()
    answer = client.get("/ready")
    body = answer.get_json()
    assert answer.status_code == 503
    assert body["checks"]["mlflow"] == "The MLflow server does not answer."
    assert body["checks"]["disk"] == "failed (RuntimeError)"
    assert body["checks"]["fine"] == "ok"
    assert "mlflow" in body["message"] and "disk" in body["message"]
    assert "fine" not in body["message"]
    assert body["error"]
    assert "secret" not in answer.text


def test_absent_database_is_not_ready_and_queries_are_503(settings: ServiceSettings) -> None:
    database = Database(settings)
    app = create_service("s", settings, title="S", database=database)
    answer = app.test_client().get("/ready")
    assert answer.status_code == 503
    assert "database" in answer.get_json()["message"]
    assert app.test_client().get("/health").status_code == 200
