"""Long sets are scored part by part: the same rows as at once, through kills and new loads."""

import io
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from flask.testing import FlaskClient
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    f1_score,
    median_absolute_error,
    r2_score,
)
from sklearn.pipeline import Pipeline

import ml_model.settings
import simulator.app
import simulator.settings
from jobkit.errors import JobGivenUp
from ml_model.domain import Deployment, ModelVersion, Score
from ml_model.errors import ScoringFailed
from ml_model.fitting import fit
from ml_model.repository.ledger import SqlLedger
from ml_model.repository.scorings import SqlScorings
from ml_model.repository.sets import SqlSets
from ml_model.service.bulk_scoring import BulkScore, BulkScoring
from ml_model.service.scoring import ScoringService
from schema import samples
from schema.sets import LoadedSets, SetChanged
from servicekit.background import bind_outside_requests
from servicekit.database import Database
from tests.support.databases import TestDatabase
from tests.support.jobs_lab import JobsLab, jobs_lab
from tests.support.mlflow_fixture import MlflowServer

N_ROWS = 1_000
N_PARTS = 10
PREDICTIONS = (
    "SELECT sample_id, predicted_class, predicted_value, probabilities FROM predictions"
    " WHERE set_name = 'testing' ORDER BY sample_id"
)


def table(task: str) -> bytes:
    """Return rows of all types with gaps, in features and target, as CSV."""
    draw = np.random.default_rng(3)
    weight, width = draw.normal(size=(2, N_ROWS))
    colour = np.array(["grün", "rot", None], dtype=object)[draw.integers(0, 3, N_ROWS)]
    ripe = draw.random(N_ROWS) < 0.5
    value = weight - width + ripe + (colour == "rot") + draw.normal(scale=0.3, size=N_ROWS)
    rows = pd.DataFrame({"weight": weight, 'a "width"': width, "farbe": colour, "ripe": ripe})
    rows.loc[draw.random(N_ROWS) < 0.1, "weight"] = np.nan
    rows["target"] = value if task == "regression" else np.where(value > 0.5, "süß", "sauer")
    return rows.to_csv(index=False).encode()


class Kept:
    """The one pipeline there is, in place of MLflow."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    def load(self, _: ModelVersion) -> Pipeline:
        """Return it."""
        return self._pipeline


@dataclass
class Bulk:
    """A table that a forest is trained on, and what scores it, at once or part by part."""

    stored: TestDatabase
    simulator: FlaskClient
    database: Database
    scope: Callable[[], Any]
    store: Any = None
    first: Any = None
    outcomes: list[BulkScore] = field(default_factory=list)

    def load(self, *set_names: str, seed: int = 42) -> None:
        """Load sets of the table."""
        for set_name in set_names:
            body = {"set_name": set_name, "dataset_name": "mine", "seed": seed}
            answer = self.simulator.post("/root/simulator", json=body)
            assert answer.status_code == 200, answer.text

    def train(self, model_name: str) -> None:
        """Fit a forest to the training set and have it serve."""
        deployment = Deployment(1, model_name, {"n_estimators": 10}, None, None)
        with self.scope(), self.database.transaction() as session:
            sets = LoadedSets(session)
            load = sets.get_load("training", "mine")
            dataset, rows = load.dataset, sets.read_rows(load)
        self.store = Kept(fit(deployment, rows, "target", dataset.classes))
        self.stored.execute(
            "WITH version AS (INSERT INTO model_versions (registered_name, version, model_name,"
            " hyperparameters, training_run_id, dataset_id, fingerprint, model_uri)"
            " VALUES ('m', 1, %s, '{}', 'r', %s, 'f', 'u') RETURNING id, model_name)"
            " INSERT INTO deployments (slot, action, model_name, hyperparameters, model_version_id,"
            " current_version_id, actor, reason, request_id)"
            " SELECT 'current', 'train', model_name, '{}', id, id, 'a', 'r', 'q' FROM version",
            (model_name, dataset.id),
        )

    def at_once(self) -> Score:
        """Score the testing set as a whole."""
        session = self.database.session
        ledger, sets = SqlLedger(session), SqlSets(session)
        with self.scope():
            service = ScoringService(self.database, ledger, sets, self.store)
            return service.score("testing", "mine", None)

    def version(self) -> ModelVersion:
        """Return the version that serves."""
        with self.scope(), self.database.transaction() as session:
            ledger = SqlLedger(session)
            found = ledger.find_newest("current")
            assert found is not None and found.model_version_id is not None
            return ledger.get_version(found.model_version_id)

    def score(
        self, report: Callable[[float, str], None] = lambda *_: None, threads: int = 3
    ) -> BulkScore:
        """Score the testing set part by part."""
        version = self.version()

        def conclude(outcome: BulkScore, make_visible: Callable[[], None]) -> None:
            with self.database.transaction():
                make_visible()
            self.outcomes.append(outcome)

        session = self.database.session
        scoring = BulkScoring(
            self.database, SqlSets(session), SqlScorings(session), self.store, threads
        )
        with self.scope():
            scoring.score(version, "testing", report, conclude)
        return self.outcomes[-1]

    def predictions(self) -> list[Any]:
        """Return what is stored of the testing set."""
        return self.stored.rows(PREDICTIONS)

    def count(self, name: str) -> int:
        """Return how many rows a table has."""
        return int(self.stored.rows(f"SELECT count(*) FROM {name}")[0][0])  # noqa: S608

    def is_scored(self) -> bool:
        """Tell whether readers take the testing set for scored."""
        return self.count("scorings") == 1

    def forget(self) -> None:
        """Take all scorings away."""
        self.stored.execute("TRUNCATE scorings, scoring_parts, predictions")

    def joined(self, column: str) -> pd.DataFrame:
        """Return truth and prediction of every row of the testing set."""
        rows = self.stored.rows(
            f"SELECT s.target, p.{column} FROM predictions p JOIN samples.mine_v1 s"  # noqa: S608
            " USING (sample_id) WHERE p.set_name = 'testing'"
        )
        return pd.DataFrame(rows, columns=["truth", "found"])


@pytest.fixture
def make_bulk(
    cellar_database: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], Bulk]:
    """Have a table of a task, scored at once; parts are so short then that there are many."""

    def make(task: str) -> Bulk:
        settings = cellar_database.settings(simulator.settings.Settings)
        client = simulator.app.create_app(settings).test_client()
        form = {"dataset_name": "mine", "target": "target", "file": (io.BytesIO(table(task)), "t")}
        answer = client.post(
            "/root/simulator/datasets", data=form, content_type="multipart/form-data"
        )
        assert answer.status_code == 201, answer.text
        database = Database(cellar_database.settings(ml_model.settings.Settings))
        scope = bind_outside_requests(database, "bulk")
        bulk = Bulk(cellar_database, client, database, scope)
        bulk.load("training", "testing")
        bulk.train("RandomForestRegressor" if task == "regression" else "RandomForest")
        bulk.first = bulk.at_once()
        monkeypatch.setattr(samples, "rows_per_part", lambda _: N_ROWS // 5 // N_PARTS)
        return bulk

    return make


@pytest.fixture
def bulk(make_bulk: Callable[[str], Bulk]) -> Bulk:
    """Two classes."""
    return make_bulk("classification")


@pytest.mark.parametrize("task", ["classification", "regression"])
@pytest.mark.parametrize("threads", [1, 3])
def test_parts_give_what_the_whole_gives(
    make_bulk: Callable[[str], Bulk], task: str, threads: int
) -> None:
    bulk = make_bulk(task)
    before = bulk.predictions()
    bulk.forget()
    reports: list[tuple[float, str]] = []

    outcome = bulk.score(lambda *how: reports.append(how), threads)

    assert bulk.predictions() == before
    assert len(before) == outcome.score.rows == bulk.first.rows == N_ROWS // 5
    assert outcome.score.message == bulk.first.message or task == "regression"
    assert outcome.score.score == pytest.approx(bulk.first.score, rel=1e-12)
    for name, value in bulk.first.metrics.items():
        assert outcome.score.metrics[name] == pytest.approx(value, rel=1e-12), name
    assert bulk.is_scored() and bulk.count("scoring_parts") == 0
    shares = [share for share, _ in reports]
    assert len(reports) == N_PARTS + 1 and shares == sorted(shares)
    assert reports[-1][1] == f"has scored {N_PARTS} of {N_PARTS} parts of {N_ROWS // 5} rows"


def test_metrics_are_those_of_scikit_learn(make_bulk: Callable[[str], Bulk]) -> None:
    bulk = make_bulk("classification")
    outcome, pairs = bulk.score(), bulk.joined("predicted_class")
    assert outcome.score.score == accuracy_score(pairs["truth"], pairs["found"])
    assert outcome.score.metrics["f1_score"] == f1_score(
        pairs["truth"], pairs["found"], average="weighted"
    )
    assert outcome.confusion == {
        "classes": ["sauer", "süß"],
        "rows": confusion_matrix(pairs["truth"], pairs["found"]).tolist(),
    }


def test_errors_are_those_of_scikit_learn(make_bulk: Callable[[str], Bulk]) -> None:
    bulk = make_bulk("regression")
    outcome, pairs = bulk.score(), bulk.joined("predicted_value")
    metrics = outcome.score.metrics
    assert outcome.confusion is None
    assert metrics["r2"] == pytest.approx(r2_score(pairs["truth"], pairs["found"]), rel=1e-12)
    assert metrics["median_absolute_error"] == pytest.approx(
        median_absolute_error(pairs["truth"], pairs["found"]), rel=1e-12
    )


class Stop(Exception):
    """What ends a scoring in the middle."""


def stop_after(parts: int) -> Callable[[float, str], None]:
    """Return a report that ends the scoring when so many parts are done."""

    def report(_: float, message: str) -> None:
        if message.startswith(f"has scored {parts} "):
            raise Stop

    return report


def test_what_is_half_scored_is_not_seen_and_is_gone_on_with(bulk: Bulk) -> None:
    before = bulk.predictions()
    bulk.forget()
    with pytest.raises(Stop):
        bulk.score(stop_after(4), threads=1)
    stored = bulk.count("scoring_parts")
    assert 4 <= stored < N_PARTS
    assert bulk.count("predictions") == stored * N_ROWS // 5 // N_PARTS
    assert not bulk.is_scored()
    written = dict(bulk.stored.rows("SELECT sample_id, xmin::text FROM predictions"))

    outcome = bulk.score()

    assert bulk.predictions() == before and bulk.is_scored()
    assert outcome.score.score == bulk.first.score
    now = dict(bulk.stored.rows("SELECT sample_id, xmin::text FROM predictions"))
    assert {sample: now[sample] for sample in written} == written


def test_a_set_that_is_scored_stays_so_while_it_is_scored_again(bulk: Bulk) -> None:
    before = bulk.predictions()
    seen: list[bool] = []
    bulk.score(lambda *_: seen.append(bulk.is_scored() and bulk.predictions() == before))
    assert len(seen) == N_PARTS + 1 and all(seen)


def test_parts_of_another_load_are_not_gone_on_with(bulk: Bulk) -> None:
    bulk.forget()
    with pytest.raises(Stop):
        bulk.score(stop_after(4))
    # Twice, so that the rows and their hash are those of before.
    for seed in (1, 42):
        bulk.load("testing", seed=seed)
        assert bulk.count("scoring_parts") == 0
        assert bulk.predictions() == []
    outcome = bulk.score()
    assert outcome.score.score == bulk.first.score
    assert len(bulk.predictions()) == N_ROWS // 5


def test_parts_of_another_grid_are_scored_anew(bulk: Bulk, monkeypatch: pytest.MonkeyPatch) -> None:
    before = bulk.predictions()
    bulk.forget()
    with pytest.raises(Stop):
        bulk.score(stop_after(4))
    monkeypatch.setattr(samples, "rows_per_part", lambda _: 33)
    assert bulk.score().score.score == bulk.first.score
    assert bulk.predictions() == before


def test_another_set_loaded_meanwhile_is_scored_instead(bulk: Bulk) -> None:
    loads = iter([7])

    def load_another(_: float, message: str) -> None:
        if message.startswith("has scored 3 "):
            for seed in loads:
                bulk.load("testing", seed=seed)

    outcome = bulk.score(load_another)
    assert outcome.score.score == bulk.at_once().score != bulk.first.score
    hashes = "SELECT DISTINCT content_hash FROM scorings WHERE set_name = 'testing'"
    loaded = "SELECT content_hash FROM set_loads WHERE set_name = 'testing'"
    assert bulk.stored.rows(hashes) == bulk.stored.rows(loaded)


def test_a_set_that_never_holds_still_is_given_up(bulk: Bulk) -> None:
    seeds = iter(range(1, 9))

    def load_another(share: float, _: str) -> None:
        if share > 0.9:
            bulk.load("testing", seed=next(seeds))

    with pytest.raises(SetChanged):
        bulk.score(load_another)
    assert not bulk.is_scored()


def test_scorings_of_one_set_take_turns(bulk: Bulk) -> None:
    before = bulk.predictions()
    waits, may_go_on = threading.Event(), threading.Event()

    def first(_: float, message: str) -> None:
        if message.startswith("has scored 2 "):
            assert waits.wait(60)

    def second(_: float, message: str) -> None:
        if message.startswith("waits"):
            waits.set()
        else:
            assert may_go_on.is_set()

    def run_first() -> None:
        bulk.score(first)
        may_go_on.set()

    def run_second() -> None:
        # The first one has its turn before the second asks for it.
        bulk.score(second)

    one = threading.Thread(target=run_first)
    one.start()
    while bulk.count("scoring_parts") == 0:
        assert one.is_alive()
    other = threading.Thread(target=run_second)
    other.start()
    for thread in (one, other):
        thread.join(120)
        assert not thread.is_alive()
    assert [outcome.score.score for outcome in bulk.outcomes] == [bulk.first.score] * 2
    assert bulk.predictions() == before


def test_a_set_scored_at_once_meanwhile_leaves_no_parts(bulk: Bulk) -> None:
    before = bulk.predictions()
    with pytest.raises(Stop):
        bulk.score(stop_after(4))
    assert bulk.count("scoring_parts") > 0
    assert bulk.at_once() == bulk.first
    assert bulk.count("scoring_parts") == 0 and bulk.predictions() == before


def test_a_set_without_labels_has_no_score(bulk: Bulk) -> None:
    bulk.forget()
    bulk.stored.execute("UPDATE samples.mine_v1 SET target = NULL WHERE set_name = 'testing'")
    with pytest.raises(ScoringFailed, match="No row of the set has a label"):
        bulk.score()
    assert not bulk.is_scored()


def test_whoever_is_not_wanted_any_more_stores_nothing_more(bulk: Bulk) -> None:
    bulk.forget()

    def given_up(*_: Any) -> None:
        raise JobGivenUp

    with pytest.raises(JobGivenUp):
        bulk.score(given_up, threads=1)
    assert bulk.count("scoring_parts") <= 2 and not bulk.is_scored()


@pytest.fixture
def jobs(
    cellar_database: TestDatabase, mlflow_server: MlflowServer, tmp_path: Path
) -> Iterator[JobsLab]:
    """Wine with a forest, beside the program that runs jobs."""
    with jobs_lab(cellar_database, mlflow_server.url, tmp_path) as lab:
        for set_name in ("training", "testing"):
            lab.load(set_name, "wine", 42)
        body = {"model_name": "RandomForest", "hyperparameters": {"n_estimators": 100}}
        lab.ask("POST", "/root/ml/set_model", body)
        lab.ask("POST", "/root/ml", {"dataset": "training"})
        yield lab


def lengthen(lab: JobsLab, copies: int) -> None:
    """Have each row of wine's testing set stand there many times."""
    columns = lab.database.rows(
        "SELECT string_agg(quote_ident(column_name), ', ') FROM information_schema.columns"
        " WHERE table_name = 'wine_v1' AND column_name NOT IN ('sample_id', 'row_number')"
    )[0][0]
    lab.database.execute(
        f"INSERT INTO samples.wine_v1 (row_number, {columns})"  # noqa: S608 - the table's own names
        f" SELECT row_number + 36 * copy, {columns}"
        " FROM generate_series(1, %s) AS copy, samples.wine_v1 WHERE set_name = 'testing'",
        (copies - 1,),
    )
    lab.database.execute(
        "UPDATE set_loads SET row_count = %s WHERE set_name = 'testing'", (36 * copies,)
    )


def digest(lab: JobsLab) -> Any:
    """Return what tells all predictions of the testing set from any others."""
    return lab.database.rows(
        "SELECT count(*), md5(string_agg(sample_id || predicted_class || probabilities::text, ','"
        " ORDER BY sample_id)) FROM predictions WHERE set_name = 'testing'"
    )


def test_a_killed_scoring_goes_on_and_gives_the_same_rows(jobs: JobsLab) -> None:
    short = jobs.ask("POST", "/root/ml", {"dataset": "testing"})
    lengthen(jobs, 10_000)
    jobs.database.execute("DELETE FROM scorings; DELETE FROM predictions")
    began = jobs.ask("POST", "/root/ml", {"dataset": "testing", "wait": False})
    assert began["status"] == "queued" and began["job"]["kind"] == "scoring"

    parts = "SELECT first_sample_id, stored_at FROM scoring_parts"
    jobs.eventually(lambda: jobs.database.rows(parts), lambda found: len(found) >= 1)
    [child] = jobs.children()
    child.kill()
    kept = jobs.database.rows(parts)
    assert 1 <= len(kept) < 8
    unseen = jobs.database.rows("SELECT count(*) FROM scorings WHERE set_name = 'testing'")
    job = jobs.wait(began["job_id"])

    assert unseen == [(0,)]
    assert (job["state"], job["attempts"]) == ("succeeded", 2), job
    assert job["result"]["rows"] == 360_000
    assert job["result"]["score"] == pytest.approx(short["score"])
    assert np.sum(job["result"]["confusion"]["rows"]) == 360_000
    assert jobs.database.rows("SELECT count(*) FROM scoring_parts") == [(0,)]
    killed = digest(jobs)

    jobs.database.execute("DELETE FROM scorings; DELETE FROM predictions")
    answer = jobs.ask("POST", "/root/ml", {"dataset": "testing"})
    assert digest(jobs) == killed
    assert answer["message"] == job["result"]["message"]
    assert answer["metrics"] == job["result"]["metrics"]
    assert set(answer) == set(short)


def test_a_short_set_is_scored_as_a_job_on_request(jobs: JobsLab) -> None:
    at_once = jobs.ask("POST", "/root/ml", {"dataset": "testing"})
    stored = digest(jobs)
    began = jobs.ask("POST", "/root/ml", {"dataset": "testing", "wait": False})
    job = jobs.wait(began["job_id"])
    assert job["state"] == "succeeded" and job["dataset_name"] == "wine"
    assert job["message"] == at_once["message"]
    assert digest(jobs) == stored
    listed = jobs.ask("GET", "/jobs?kind=scoring")["jobs"]
    assert [one["id"] for one in listed] == [job["id"]]


def test_a_failed_job_is_answered_as_the_failure(jobs: JobsLab) -> None:
    lengthen(jobs, 2_000)
    jobs.database.execute("UPDATE samples.wine_v1 SET target = NULL WHERE set_name = 'testing'")
    status, answer = jobs.send("POST", "/root/ml", {"dataset": "testing"})
    assert (status, answer["error"]) == (422, "The set cannot be scored")
    assert "label" in answer["message"]


def test_what_is_due_is_said_before_there_is_a_job(jobs: JobsLab) -> None:
    status, answer = jobs.send("POST", "/root/ml", {"dataset": "production", "wait": False})
    assert status == 409 and "POST /root/simulator" in answer["message"]
    status, answer = jobs.send("POST", "/root/ml", {"dataset": "training", "wait": False})
    assert status == 400 and "POST /train" in str(answer)
    assert jobs.ask("GET", "/jobs?kind=scoring")["count"] == 0
