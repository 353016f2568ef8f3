"""Without its database the simulator says so, and works again when the database is back."""

from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from simulator.app import create_app
from simulator.settings import Settings
from tests.conftest import MakeSettings
from tests.support.databases import TestDatabase
from tests.support.gate import Gate


@pytest.fixture
def client(make_settings: MakeSettings, database_gate: Gate) -> FlaskClient:
    return create_app(make_settings(Settings, database_port=database_gate.port)).test_client()


def test_an_outage_is_a_503_and_passes(
    client: FlaskClient, database_gate: Gate, state: Callable[[], Any]
) -> None:
    body = {"set_name": "production"}
    assert client.post("/root/simulator", json=body).status_code == 200
    before = state()

    with database_gate.outage():
        answer = client.post("/root/simulator", json=body | {"seed": 7})
        assert answer.status_code == 503
        assert {"error", "message"} == set(answer.json)
        ready = client.get("/ready")
        assert ready.status_code == 503
        assert "database" in ready.json["message"]
        assert client.get("/health").status_code == 200
        assert client.get("/root/simulator").status_code == 200

    assert state() == before
    assert client.get("/ready").status_code == 200
    answer = client.post("/root/simulator", json=body | {"seed": 7})
    assert (answer.status_code, answer.json["changed"]) == (200, True)


def test_a_database_of_another_version_is_not_ready(
    client: FlaskClient, cellar_database: TestDatabase
) -> None:
    assert client.get("/ready").json["checks"] == {"database": "ok", "migrations": "ok"}
    cellar_database.execute("UPDATE alembic_version SET version_num = '9999'")
    answer = client.get("/ready")
    assert answer.status_code == 503
    assert "9999" in answer.json["checks"]["migrations"]


def test_an_answer_carries_no_secret(client: FlaskClient, make_settings: MakeSettings) -> None:
    password = make_settings(Settings).database_password.get_secret_value()
    assert password not in client.get("/ready").text
    assert password not in repr(make_settings(Settings))
