"""A dataset whose target is a number: trained, scored, served, judged and trained again."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_diabetes
from sklearn.ensemble import RandomForestRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import Ridge
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeRegressor

from tests.integration.ml_model.conftest import Lab
from tests.support.databases import TestDatabase
from tests.support.jobs_lab import JobsLab, jobs_lab
from tests.support.mlflow_fixture import MlflowServer

ROWS, TARGET = load_diabetes(return_X_y=True, as_frame=True)
COLUMNS = list(ROWS)
DATASET = {"dataset_name": "diabetes"}
MODELS = ("'RandomForestRegressor'", "'Ridge'", "or 'SVR'")


def stored_rows(database: TestDatabase, set_name: str) -> pd.DataFrame:
    """Return a set's features and target, in order."""
    listed = ", ".join(f'"{name}"' for name in (*COLUMNS, "target"))
    rows = database.rows(
        f"SELECT {listed} FROM samples.diabetes_v1 WHERE set_name = %s ORDER BY row_number",  # noqa: S608
        (set_name,),
    )
    return pd.DataFrame(rows, columns=[*COLUMNS, "target"], dtype=float)


def bare(model: Any, rows: pd.DataFrame) -> Any:
    """Fit the pipeline as a person would with scikit-learn alone."""
    steps = SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler(), model
    return make_pipeline(*steps).fit(rows[COLUMNS], rows["target"].to_numpy())


class TestLifecycle:
    """Set, train, score, serve, label, evaluate."""

    @pytest.fixture
    def diabetes(self, lab: Lab) -> Lab:
        lab.load("training", "testing", "production", **DATASET)
        return lab

    @pytest.mark.parametrize(
        ("name", "hyperparameters", "model"),
        [
            ("Ridge", {"alpha": 10}, Ridge(alpha=10)),
            (
                "RandomForestRegressor",
                {"n_estimators": 10},
                RandomForestRegressor(10, random_state=42),
            ),
        ],
    )
    def test_numbers_are_those_of_plain_scikit_learn(
        self, diabetes: Lab, name: str, hyperparameters: dict[str, Any], model: Any
    ) -> None:
        diabetes.ml.set_model(name, **hyperparameters)
        fitted = bare(model, stored_rows(diabetes.database, "training"))
        for set_name in ("training", "testing", "production"):
            answer = diabetes.ml.score(set_name, **DATASET)
            rows = stored_rows(diabetes.database, set_name)
            truth, said = rows["target"], fitted.predict(rows[COLUMNS])
            assert answer["message"] == f"Score on {set_name} set: {answer['score'] * 100}%"
            assert answer["task"] == "regression"
            assert answer["score"] == answer["metrics"]["r2"]
            assert answer["score"] == pytest.approx(r2_score(truth, said))
            assert answer["metrics"]["mae"] == pytest.approx(mean_absolute_error(truth, said))
            assert answer["metrics"]["rmse"] == pytest.approx(root_mean_squared_error(truth, said))
            kept = diabetes.database.rows(
                "SELECT predicted_value, predicted_class, probabilities FROM predictions"
                " WHERE set_name = %s ORDER BY sample_id",
                (set_name,),
            )
            assert sorted(value for value, _, _ in kept) == pytest.approx(sorted(said))
            assert {(label, shares) for _, label, shares in kept} == {(None, None)}
        again = diabetes.another_ml()
        assert again.score("production", **DATASET) == answer

    def test_what_mlflow_keeps(self, diabetes: Lab) -> None:
        diabetes.ml.set_model("Ridge")
        answer = diabetes.ml.score("training", **DATASET)
        [run] = diabetes.finished_runs()
        metrics = {item["key"]: item["value"] for item in run["data"]["metrics"]}
        assert metrics["training_r2"] == answer["score"]
        assert metrics["training_rmse"] == answer["metrics"]["rmse"]
        assert "training_accuracy" not in metrics
        params = {item["key"]: item["value"] for item in run["data"]["params"]}
        assert (params["data_samples"], params["data_classes"]) == ("265", "0")
        version = diabetes.mlflow(
            "model-versions/get", name="Ridge", version=answer["model_version"]
        )["model_version"]
        assert version["status"] == "READY"
        # The same question is not answered twice.
        assert diabetes.ml.score("training", **DATASET) == answer
        assert len(diabetes.finished_runs()) == 1

    def test_served_logged_labelled_and_evaluated(self, diabetes: Lab) -> None:
        ask = diabetes.ml.ask
        diabetes.ml.set_model("Ridge")
        diabetes.ml.score("training", **DATASET)
        fitted = bare(Ridge(), stored_rows(diabetes.database, "training"))
        rows = stored_rows(diabetes.database, "testing").head(5)
        expected = fitted.predict(rows[COLUMNS])

        answer = ask("POST", "/predict", {"data": rows[COLUMNS].to_numpy().tolist()})
        assert answer["predictions"] == pytest.approx(expected)
        assert all(isinstance(value, float) for value in answer["predictions"])
        missing = ("prediction_names", "probabilities")
        assert [answer[name] for name in missing] == [None, None]
        one = ask("POST", "/predict", {"features": rows[COLUMNS].to_numpy()[0].tolist()})
        assert one["prediction"] == pytest.approx(expected[0])
        assert [one[name] for name in ("prediction_name", "confidence")] == [None, None]
        by_name = ask("POST", "/predict", {"records": rows[COLUMNS].head(1).to_dict("records")})
        assert by_name["predictions"] == pytest.approx(expected[:1])
        protocol = ask("POST", "/invocations", {"inputs": rows[COLUMNS].to_numpy().tolist()})
        assert protocol["predictions"] == pytest.approx(expected)

        labels = [
            {"request_id": answer["request_id"], "row": number, "label": label}
            for number, label in enumerate(rows["target"])
        ]
        stored = ask("POST", "/labels", {"labels": labels})
        assert (stored["stored"], stored["matched"]) == (5, 5)
        [quality] = ask("GET", "/quality")["quality"]
        assert (quality["labelled"], quality["accuracy"]) == (5, None)
        errors = rows["target"] - expected
        assert quality["mean_absolute_error"] == pytest.approx(np.abs(errors).mean())
        assert quality["r2"] == pytest.approx(r2_score(rows["target"], expected))
        history = ask("GET", "/predictions/history")["history"]
        assert history[-5]["prediction"] == pytest.approx(expected[4])

        found = ask("POST", "/evaluate", {**DATASET, "dataset": "testing"})
        scored = diabetes.ml.score("testing", **DATASET)
        assert found["task"] == "regression"
        assert found["metrics"] == pytest.approx(scored["metrics"])

    def test_a_model_of_another_task_is_refused_with_those_that_fit(self, diabetes: Lab) -> None:
        diabetes.ml.set_model("RandomForest")
        body = {"dataset": "training", **DATASET}
        status, answer = diabetes.ml.send("POST", "/root/ml", body)
        assert (status, answer["error"]) == (422, "Model of another task")
        assert answer["message"].startswith("diabetes is a regression, and RandomForest predicts")
        assert all(name in answer["message"] for name in MODELS)
        diabetes.load("training")
        diabetes.ml.set_model("Ridge")
        status, answer = diabetes.ml.send("POST", "/root/ml", {"dataset": "training"})
        assert status == 422
        assert answer["message"].endswith("'KNN' or 'LinearSVC'")
        assert diabetes.count("model_versions") == 0
        assert diabetes.training_runs() == []


class TestJobs:
    """`POST /train` and the retraining."""

    @pytest.fixture
    def lab(
        self, cellar_database: TestDatabase, mlflow_server: MlflowServer, tmp_path: Any
    ) -> Iterator[JobsLab]:
        with jobs_lab(cellar_database, mlflow_server.url, tmp_path) as lab:
            yield lab

    def test_trained_on_a_dataset_and_trained_again(self, lab: JobsLab) -> None:
        body = {
            **DATASET,
            "model_name": "DecisionTreeRegressor",
            "hyperparameters": {"max_depth": 3},
        }
        trained = lab.ask("POST", "/train", body)
        # A fifth of 265 rows at random, and not the first ones.
        assert (trained["trained_rows"], trained["drift_sample_rows"]) == (212, 53)
        assert set(trained["metrics"]) == {
            f"{prefix}{name}"
            for prefix in ("", "training_")
            for name in ("mae", "rmse", "median_absolute_error", "mape", "r2")
        }
        champion_id = lab.job(trained["job_id"])["result"]["model_version_id"]
        lab.database.execute(
            "INSERT INTO deployments (slot, action, current_version_id, canary_probability, shadow,"
            " actor, reason, request_id) VALUES ('current', 'accept', %s, 1, false, 't', 't', 't')",
            (champion_id,),
        )
        for number in range(5):
            row = {"features": ROWS.iloc[number].tolist(), "target": TARGET[number]}
            added = lab.ask("POST", "/add_training_data", row)
            assert (added["dataset_name"], added["new_rows"]) == ("diabetes", number + 1)
        for label in ("dear", True, None):
            row = {"features": ROWS.iloc[0].tolist(), "target": label}
            status, answer = lab.send("POST", "/add_training_data", row)
            assert (status, "target" in answer["message"]) == (400, True), answer

        job = lab.wait(lab.ask("POST", "/trigger_retrain", {})["job_id"])
        assert job["state"] == "succeeded", job
        result = job["result"]
        assert result["model_name"] == "DecisionTreeRegressor"
        assert result["registered_model_name"] == "DecisionTreeRegressor"
        assert (result["stored_rows"], result["new_rows"], result["compared_rows"]) == (265, 5, 89)
        assert result["challenger_accuracy"] is result["champion_accuracy"] is None
        stored, testing = (stored_rows(lab.database, name) for name in ("training", "testing"))
        new = ROWS.head(5).assign(target=TARGET)
        # Of the rows that came in the fifth is not trained on, but compared on.
        challenger = bare(
            DecisionTreeRegressor(max_depth=3, random_state=42), pd.concat([stored, new.head(4)])
        )
        compared = pd.concat([testing, new.tail(1)])
        error = root_mean_squared_error(compared["target"], challenger.predict(compared[COLUMNS]))
        assert result["challenger_rmse"] == pytest.approx(error, rel=1e-6)
        assert result["promoted"] is (result["challenger_rmse"] <= result["champion_rmse"])
        assert f"rmse {result['challenger_rmse']:.6g} against" in result["verdict"]

    def test_rows_of_the_request(self, lab: JobsLab) -> None:
        rows = {"data": ROWS.head(100).to_numpy().tolist(), "target": TARGET.head(100).tolist()}
        trained = lab.ask("POST", "/train", {**rows, "model_name": "Ridge"})
        assert (trained["trained_rows"], trained["drift_sample_rows"]) == (80, 20)
        assert trained["metrics"]["rmse"] > 0
        for label, problem in ((None, "target.3"), ("dear", "finite number"), (True, "target.3")):
            bad = {**rows, "target": [1.0, 2.0, 3.0, label, *rows["target"][4:]]}
            status, answer = lab.send("POST", "/train", {**bad, "model_name": "Ridge"})
            assert status == 400 and problem in answer["message"], answer
        status, answer = lab.send(
            "POST", "/train", {**rows, "target": [7.5] * 100, "model_name": "Ridge"}
        )
        assert (status, answer["status"]) == (422, "failed")
        assert answer["message"] == "All rows have one target; at least two are needed."
        # Without a model of numbers the labels are classes, as they always were.
        status, answer = lab.send("POST", "/train", {**rows, "target": [1.5, 2.0] * 50})
        assert status == 400 and "must be a class" in answer["message"]
        status, answer = lab.send("POST", "/train", {**DATASET, "model_name": "SVC"})
        assert (status, answer["status"]) == (422, "failed")
        assert all(name in answer["message"] for name in MODELS)

    def test_a_model_of_classes_that_is_set_is_not_taken(self, lab: JobsLab) -> None:
        lab.ask("POST", "/root/ml/set_model", {"model_name": "DecisionTree"})
        body = {**DATASET, "force_retrain": True}
        job = lab.wait(lab.ask("POST", "/trigger_retrain", body)["job_id"])
        assert job["state"] == "succeeded", job
        assert job["result"]["model_name"] == "RandomForestRegressor"
        assert (job["result"]["promoted"], job["result"]["champion_rmse"]) == (True, None)
        assert job["result"]["verdict"].startswith("nothing serves yet, the challenger has rmse")
