"""Folds of tables that were cut by time or by group, from the upload to the run."""

import io
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import accuracy_score
from sklearn.model_selection import TimeSeriesSplit
from werkzeug.datastructures import FileStorage
from werkzeug.test import encode_multipart

import simulator.app
import simulator.settings
from modelkit.features import columns_of
from modelkit.pipeline import build_pipeline
from servicekit.database import Database
from tests.integration.tracking.conftest import Lab, new_name
from tracking.domain import TrainingSet
from tracking.repository.training_set import TrainingSets
from tracking.service.folds import folds_of, folds_problem

N_ROWS = 200
RANDOM = np.random.default_rng(5)
TABLE = "day,who,part,x,y\n" + "".join(
    f"2024-{1 + day // 28:02d}-{1 + day % 28:02d},p{day % 17},"
    f"{['training', 'training', 'testing', 'production'][day % 4]},"
    f"{RANDOM.normal() + 2 * (day % 3 == 0):.3f},{'ab'[day % 3 == 0]}\n"
    for day in RANDOM.permutation(N_ROWS).tolist()
)


@pytest.fixture
def table(lab: Lab) -> Any:
    """Bring the table under a name of its own, with columns named, and load its training set."""
    settings = lab.database.settings(simulator.settings.Settings)
    client = simulator.app.create_app(settings).test_client()

    def bring(split: str | None = None, **columns: str) -> str:
        name = new_name("days").replace(" ", "_")
        file = FileStorage(io.BytesIO(TABLE.encode()), "table.csv")
        form = {"dataset_name": name, "target": "y", **columns, "file": file}
        boundary, body = encode_multipart(form)
        answer = client.post(
            "/root/simulator/datasets",
            data=body,
            content_type=f"multipart/form-data; boundary={boundary}",
        )
        assert answer.status_code == 201, answer.text
        asked = {"set_name": "training", "dataset_name": name}
        asked |= {} if split is None else {"split": split}
        answer = client.post("/root/simulator", json=asked)
        assert answer.status_code == 200, answer.text
        return name

    return bring


def read(lab: Lab, name: str, folds: Any = None, fit_max_rows: int = 250_000) -> TrainingSet:
    """Return the training set as a search gets it."""
    database: Database = lab.app.extensions["cellar_database"]
    with database.scope(), database.transaction() as session:
        return TrainingSets(session, fit_max_rows).get(name, None, folds)


def params(lab: Lab, data: Any) -> Any:
    return lab.client.get_run(data["run_ids"]["DecisionTree"]).data.params


def test_by_time_every_fold_is_scored_on_later_rows(lab: Lab, table: Any) -> None:
    name = table(time_column="day")
    data = lab.optimize(
        dataset_name=name, cv=4, hyperparameters={"DecisionTree": {"max_depth": [3]}}
    )
    run = lab.client.get_run(data["run_ids"]["DecisionTree"]).data
    assert run.params["grid_search_folds"] == "time"
    # Of day, who, part and x all but the day are features.
    assert (run.params["data_samples"], run.params["data_features"]) == ("120", "3")
    rows = read(lab, name)
    assert (np.diff(rows.fold_values) > np.timedelta64(0)).all()
    assert "day" not in rows.rows
    said: list[Any] = []
    for fitted_on, scored_on in TimeSeriesSplit(4).split(rows.rows):
        pipeline = build_pipeline("DecisionTree", {"max_depth": 3}, columns_of(rows.rows))
        pipeline.fit(rows.rows.iloc[fitted_on], rows.labels[fitted_on])
        said += pipeline.predict(rows.rows.iloc[scored_on]).tolist()
    assert len(said) == 96
    assert run.metrics["model_accuracy"] == accuracy_score(rows.labels[24:], said)
    body = {
        "experiment_id": data["experiment_id"],
        "run_id": data["run_ids"]["DecisionTree"],
        "request_information": "parameters",
        "type": "grid_search",
    }
    assert lab.ask("POST", "/runs", body)["data"]["folds"] == "time"


def test_folds_follow_what_the_set_was_cut_by(lab: Lab, table: Any) -> None:
    both = {"time_column": "day", "group_column": "who"}
    name = table(**both)
    rows = read(lab, name)
    assert rows.fold_kind == "group" and list(rows.rows) == ["part", "x"]
    assert params(lab, lab.optimize(dataset_name=name))["grid_search_folds"] == "group"
    assert read(lab, table(**both, split="time")).fold_kind == "time"
    assert read(lab, table(**both, split="stratified")).fold_kind == "stratified"
    cut = {"split_column": "part"}
    assert read(lab, table(**both, **cut)).fold_kind == "group"
    assert read(lab, table(time_column="day", **cut)).fold_kind == "stratified"

    said = params(lab, lab.optimize(dataset_name=name, folds="time"))
    assert said["grid_search_folds"] == "time"
    plain = params(lab, lab.optimize(dataset_name=name, folds="stratified"))
    assert "grid_search_folds" not in plain
    said = params(lab, lab.optimize(dataset_name=name, folds="random", nested_cv=2))
    assert said["grid_search_folds"] == "random"


def test_groups_are_those_of_the_column(lab: Lab, table: Any) -> None:
    rows = read(lab, table(group_column="who", time_column="day", time_is_feature="true"))
    assert list(rows.rows) == ["day", "part", "x"]
    name = table(time_column="day", time_is_feature="true")
    assert (read(lab, name).rows["day"].to_numpy() == read(lab, name).fold_values).all()
    assert 3 <= len(set(rows.fold_values.tolist())) < 17


@pytest.mark.parametrize("kind", ["group", "time"])
def test_folds_of_a_sample_are_as_those_of_all_rows(lab: Lab, table: Any, kind: Any) -> None:
    name = table(time_column="day", time_is_feature="true", group_column="who", split=kind)
    sample, whole = read(lab, name, fit_max_rows=60), read(lab, name)
    assert sample.drawn_from == len(whole.labels) > 60 == len(sample.labels)
    # The sample keeps the order of the set, and each row its own group or time.
    places = np.flatnonzero(whole.rows["day"].isin(sample.rows["day"]))
    assert (whole.rows["day"].to_numpy()[places] == sample.rows["day"].to_numpy()).all()
    values, of_sample = whole.fold_values[places], sample.fold_values
    if kind == "time":
        assert (values == of_sample).all()
    else:
        assert len(set(zip(values, of_sample, strict=True))) == len(set(of_sample.tolist()))
    assert folds_problem(sample, 3, []) is None
    for fitted_on, scored_on in folds_of(sample, 3):
        if kind == "time":
            assert of_sample[fitted_on].max() < of_sample[scored_on].min()
        else:
            assert not set(of_sample[fitted_on]) & set(of_sample[scored_on])


def test_folds_that_cannot_be_are_refused(lab: Lab, table: Any) -> None:
    name, before = table(group_column="who"), lab.all_runs()
    many = len(set(read(lab, name).fold_values.tolist())) + 1
    for over, path, problem in (
        ({"cv": many}, "cv", f"at most {many - 1}, the groups there are"),
        ({"folds": "time"}, "folds", "has no time_column. Bring it with one"),
        ({"folds": "odd"}, "optimization.folds", "stratified"),
        ({"dataset_name": "wine", "folds": "group"}, "folds", "has no group_column"),
    ):
        body = lab.optimization(**{"dataset_name": name, **over})
        answer = lab.ask("POST", "/model_management", body, 400)
        assert answer["details"][0]["path"] == path and problem in str(answer)
    assert lab.all_runs() == before
