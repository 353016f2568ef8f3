"""The monitoring service on a real PostgreSQL, with sets loaded and scored as the suite does it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text
from sqlalchemy.orm import scoped_session, sessionmaker

import monitoring.app
import monitoring.settings
import simulator.app
import simulator.settings
from contracts.vocabulary import SetName
from modelkit.pipeline import build_pipeline
from monitoring.repository import counting_sql
from schema.samples import replace_predictions
from schema.sets import LoadedSets
from tests.support.counted_tables import Counter
from tests.support.databases import TestDatabase

MODEL = "LogisticRegression"
HYPERPARAMETERS = {"solver": "liblinear"}


@dataclass
class Lab:
    """A database, the simulator in process, and the service under test."""

    database: TestDatabase
    app: Flask
    simulator: FlaskClient
    trained: int = field(default=0)

    @property
    def client(self) -> FlaskClient:
        """A client of its own, as from anywhere."""
        return self.app.test_client()

    def ask(self, status: int = 200, **body: Any) -> Any:
        """Send a question and return the JSON of an answer with that status."""
        answer = self.client.post("/root/monitoring", json=body)
        assert answer.status_code == status, answer.text
        return answer.get_json()

    def load(self, *set_names: str, **more: Any) -> None:
        """Load sets."""
        for set_name in set_names:
            answer = self.simulator.post("/root/simulator", json={"set_name": set_name, **more})
            assert answer.status_code == 200, answer.text

    def deploy(self) -> int:
        """Put a trained version into the ledger, as the ML service does, and return its id."""
        self.trained += 1
        dataset_id = self.database.rows("SELECT id FROM datasets WHERE name = 'wine'")[0][0]
        with self.database.session("cellar_ml_model") as session:
            version_id: int = session.execute(
                text(
                    "INSERT INTO model_versions (registered_name, version, model_name,"
                    " hyperparameters, training_run_id, dataset_id, training_content_hash,"
                    " fingerprint, model_uri)"
                    " VALUES (:name, :n, :name, '{}', 'r', :dataset, 'h', :print, 'u') RETURNING id"
                ),
                {
                    "name": MODEL,
                    "n": self.trained,
                    "dataset": dataset_id,
                    "print": f"f{self.trained}",
                },
            ).scalar_one()
            session.commit()
        self.set_model(version_id)
        return version_id

    def set_model(self, version_id: int | None) -> None:
        """Add a ledger entry."""
        self.database.execute(
            "INSERT INTO deployments (slot, action, model_name, hyperparameters, model_version_id,"
            " actor, reason, request_id) VALUES ('current', 'test', %s, '{}', %s, 't', 't', 't')",
            (MODEL, version_id),
        )

    def score(self, version_id: int, *set_names: SetName) -> None:
        """Store predictions of a model fitted on the loaded training set."""
        with self.database.session("cellar_ml_model") as session:
            sets = LoadedSets(session)  # type: ignore[arg-type]
            training = sets.get_load("training")
            dataset = training.dataset
            rows = sets.read_rows(training)
            pipeline = build_pipeline(MODEL, HYPERPARAMETERS, dataset.feature_names)
            pipeline.fit(rows[dataset.feature_names], rows[dataset.target.name].astype(int))
            for set_name in set_names:
                load = sets.get_load(set_name)
                rows = sets.read_rows(load)
                features = rows[dataset.feature_names]
                replace_predictions(
                    session.connection().connection.driver_connection,  # type: ignore[arg-type]
                    version_id,
                    dataset.id,
                    set_name,
                    rows.index.to_numpy(),
                    pipeline.predict(features),
                    pipeline.predict_proba(features),
                )
                session.execute(
                    text(
                        "INSERT INTO scorings (model_version_id, dataset_id, set_name,"
                        " content_hash, score, row_count) VALUES (:v, :d, :s, :h, 0, :n)"
                        " ON CONFLICT (model_version_id, dataset_id, set_name)"
                        " DO UPDATE SET content_hash = EXCLUDED.content_hash"
                    ),
                    {
                        "v": version_id,
                        "d": dataset.id,
                        "s": set_name,
                        "h": load.content_hash,
                        "n": len(rows),
                    },
                )
            session.commit()

    def ready(
        self, scenario: str = "shift", sets: Sequence[SetName] = ("testing", "production")
    ) -> int:
        """Load, deploy and score everything; return the version's id."""
        self.load("training", "testing")
        self.load("production", scenario=scenario)
        version_id = self.deploy()
        self.score(version_id, *sets)
        return version_id

    def stored(self) -> int:
        """Return how many results are stored."""
        count: int = self.database.rows("SELECT count(*) FROM monitoring_results")[0][0]
        return count


@pytest.fixture
def lab(cellar_database: TestDatabase) -> Lab:
    """An empty suite."""
    settings = cellar_database.settings(monitoring.settings.Settings)
    loader = simulator.app.create_app(cellar_database.settings(simulator.settings.Settings))
    return Lab(cellar_database, monitoring.app.create_app(settings), loader.test_client())


@pytest.fixture
def counter(cellar_database: TestDatabase, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A counter with the service's own rights, for which 1,500 rows are several ranges."""
    monkeypatch.setattr(counting_sql, "RANGE_ROWS", 700)
    with cellar_database.session("cellar_monitoring") as session:
        scoped = scoped_session(sessionmaker(session.bind))
        yield Counter(cellar_database, scoped)
        scoped.remove()
