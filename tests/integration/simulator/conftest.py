"""The simulator on a database of its own, and what models have said of its rows."""

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from simulator.app import create_app
from simulator.settings import Settings
from tests.conftest import MakeSettings
from tests.support.databases import TestDatabase

Load = Callable[..., dict[str, Any]]


@pytest.fixture
def app(make_settings: MakeSettings) -> Flask:
    return create_app(make_settings(Settings))


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def load(client: FlaskClient) -> Load:
    """Load a set; the answer must be 200."""

    def send(set_name: str, **more: Any) -> dict[str, Any]:
        answer = client.post("/root/simulator", json={"set_name": set_name, **more})
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json
        return found

    return send


@pytest.fixture
def state(cellar_database: TestDatabase) -> Callable[[], dict[str, Any]]:
    """Return every row of every table, but for the times and the numbers that Postgres gives."""

    def read() -> dict[str, Any]:
        tables = cellar_database.rows(
            "SELECT format('%%I.%%I', schemaname, tablename) FROM pg_tables"
            " WHERE schemaname IN ('public', 'samples')"
        )
        given = "ARRAY['id', 'sample_id', 'batch_id', 'created_at', 'loaded_at', 'dataset_id']"
        return {
            name: cellar_database.rows(
                f"SELECT to_jsonb(t) - {given} FROM {name} AS t ORDER BY 1"  # noqa: S608
            )
            for (name,) in tables
        }

    return read


@pytest.fixture
def score(cellar_database: TestDatabase) -> Callable[[str, str], None]:
    """Store what a model version would, for every row of a loaded set."""

    def store(dataset_name: str, set_name: str) -> None:
        cellar_database.execute(
            f"""
            INSERT INTO model_versions (registered_name, version, model_name, hyperparameters,
                training_run_id, dataset_id, training_content_hash, fingerprint, model_uri)
            SELECT 'RandomForest', id, 'RandomForest', '{{}}', 'run', id, 'hash', name, 'models:/x'
            FROM datasets WHERE name = %(dataset)s ON CONFLICT DO NOTHING;
            INSERT INTO predictions
                (model_version_id, dataset_id, sample_id, set_name, predicted_class)
            SELECT m.id, m.dataset_id, s.sample_id, s.set_name, '1'
            FROM samples.{dataset_name}_v1 AS s, model_versions AS m
            WHERE s.set_name = %(set)s AND m.fingerprint = %(dataset)s;
            INSERT INTO scorings
                (model_version_id, dataset_id, set_name, content_hash, score, row_count)
            SELECT m.id, m.dataset_id, l.set_name, l.content_hash, 0.5, l.row_count
            FROM set_loads AS l JOIN model_versions AS m USING (dataset_id)
            WHERE l.set_name = %(set)s AND m.fingerprint = %(dataset)s
            """,  # noqa: S608 - our own names
            {"dataset": dataset_name, "set": set_name},
        )

    return store


@pytest.fixture
def scored(cellar_database: TestDatabase) -> Callable[[], dict[tuple[str, str], tuple[int, int]]]:
    """Return the numbers of predictions and scorings by dataset and set."""

    def count() -> dict[tuple[str, str], tuple[int, int]]:
        rows = cellar_database.rows(
            "SELECT d.name, p.set_name, count(*), (SELECT count(*) FROM scorings AS s"
            " WHERE s.dataset_id = p.dataset_id AND s.set_name = p.set_name)"
            " FROM predictions AS p JOIN datasets AS d ON d.id = p.dataset_id"
            " GROUP BY d.name, p.set_name, p.dataset_id"
        )
        return {(name, set_name): (predicted, times) for name, set_name, predicted, times in rows}

    return count
