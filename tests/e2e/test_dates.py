"""Real tables through the whole lifecycle: weather by days, cars by years, and digits.

Four years of Seattle's weather and 406 cars of 1970 to 1982, with gaps, come with the package
vega_datasets, the digits with scikit-learn.
"""

import csv
import io
import json
import uuid
from datetime import date, timedelta
from importlib import resources
from typing import Any

from tests.e2e.conftest import SETS, Client
from tests.e2e.test_mixed_table import finished, predict, serve

DATASETS = "/root/simulator/datasets"
WEATHER = ["date", "precipitation", "temp_max", "temp_min", "wind"]


def packaged(name: str) -> str:
    """Return a file of the package vega_datasets, without importing it."""
    return resources.files("vega_datasets").joinpath("_data", name).read_text("utf-8")


def bring(client: Client, content: str, **form: str) -> dict[str, Any]:
    """Bring a table under a name of its own."""
    form["dataset_name"] = f"{form['dataset_name']}_{uuid.uuid4().hex[:8]}"
    files = {"file": ("table.csv", content.encode())}
    answer = client.suite.call("POST", "simulator", DATASETS, data=form, files=files)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def scores(client: Client, name: str) -> dict[str, float]:
    """Train, and score the other two sets."""
    return {
        set_name: client.suite.ask(
            "POST", "ml_model", "/root/ml", {"dataset": set_name, "dataset_name": name}
        )["score"]
        for set_name in SETS
    }


def rows_of(client: Client, name: str, set_name: str) -> list[dict[str, Any]]:
    """Return up to 200 rows of a set by column."""
    path = f"{DATASETS}/{name}/rows?limit=200&set_name={set_name}"
    page = client.suite.ask("GET", "simulator", path)
    return [dict(zip(page["columns"], row, strict=True)) for row in page["rows"]]


def test_weather_by_days(client: Client) -> None:
    suite = client.suite
    brought = bring(
        client,
        packaged("seattle-weather.csv"),
        dataset_name="weather",
        target="weather",
        time_column="date",
        time_is_feature="true",
    )
    name = brought["dataset_name"]
    types = {column["name"]: column["type"] for column in brought["columns"]}
    assert types == {"date": "date", **dict.fromkeys(WEATHER[1:], "number"), "weather": "text"}
    assert (brought["default_split"], brought["classes"]) == (
        "time",
        ["drizzle", "fog", "rain", "snow", "sun"],
    )
    loaded = {
        set_name: client.load(set_name, dataset_name=name, scenario="clean") for set_name in SETS
    }
    assert [one["rows"] for one in loaded.values()] == [876, 292, 293]
    assert {one["split"] for one in loaded.values()} == {"time"}
    first = {set_name: rows_of(client, name, set_name)[0]["date"] for set_name in SETS}
    day = date(2012, 1, 1)
    assert first == {
        "training": "2012-01-01",
        "testing": str(day + timedelta(876)),
        "production": str(day + timedelta(876 + 292)),
    }

    grids: dict[str, dict[str, list[Any]]] = {"RandomForest": {"n_estimators": [30]}}
    found = client.search(name, grids, dataset_name=name, cv=3)
    client.deploy(found["run_ids"]["RandomForest"])
    scored = scores(client, name)
    assert scored["training"] > scored["testing"] > 0.7
    # All days of production are later ones, which is what drift is.
    assert client.monitor("summary", dataset_name=name)["total_tests"] > 0
    assert client.monitor("report", dataset_name=name)

    serve(client, f"runs:/{found['run_ids']['RandomForest']}/model")
    rain = ["2012/01/04", 20.3, 12.2, 5.6, 4.7]
    answer = predict(client, {"data": [rain, [None, 0.0, 30.0, 15.0, 2.0]]})
    assert answer["predictions"] == ["rain", "sun"]
    by_name = dict(zip(WEATHER, ["2012-01-04T00:00:00Z", *rain[1:]], strict=True))
    assert predict(client, {"records": [by_name]})["predictions"] == ["rain"]
    history = suite.ask("GET", "ml_model", "/predictions/history?limit=1")["history"]
    assert history[0]["inputs"] == {**by_name, "date": "2012-01-04"}
    for wrong in ("yesterday", 16770, "2015-02-30"):
        refused = predict(client, {"data": [rain, [wrong, *rain[1:]]]}, status=400)
        assert refused["details"][0]["path"] == "data.1.date"
        assert "date or time" in refused["details"][0]["problem"]


def test_weather_is_trained_checked_and_retrained(client: Client) -> None:
    suite = client.suite
    content = packaged("seattle-weather.csv")
    brought = bring(
        client, content, dataset_name="weather", target="weather",
        types=json.dumps({"date": "timestamp"}),
    )  # fmt: skip
    name = brought["dataset_name"]
    for set_name in SETS:
        client.load(set_name, dataset_name=name, scenario="clean")
    body = {"dataset_name": name, "model_name": "RandomForest", "registered_model_name": name}
    trained = suite.ask("POST", "ml_model", "/train", body)
    assert trained["status"] == "success"
    serve(client, trained["model_uri"])
    testing = [
        {column: row[column] for column in WEATHER} for row in rows_of(client, name, "testing")
    ]
    asked = {"data": testing, "registered_model_name": name}
    inferred = suite.ask("POST", "ml_model", "/inference", asked)
    assert len(inferred["predictions"]) == 200
    assert inferred["drift"]["status"] == "no_drift", inferred["drift"]
    later = [{**row, "date": row["date"].replace("201", "203", 1)} for row in testing]
    check = suite.ask("POST", "ml_model", "/data-drift", {"data": later})
    drifted = {column["name"]: column["kind"] for column in check["columns"] if column["drift"]}
    assert drifted == {"date": "datetime"}
    evaluated = suite.ask("POST", "ml_model", "/evaluate", {"dataset_name": name})
    assert evaluated["metrics"]["accuracy"] > 0.7

    for when in ("2016-01-01", None):
        row = {"features": [when, 9.0, 7.0, 3.0, 4.0], "target": "rain", "dataset_name": name}
        suite.ask("POST", "ml_model", "/add_training_data", row)
    wrong = {"features": ["soon", 9.0, 7.0, 3.0, 4.0], "target": "rain", "dataset_name": name}
    refused = suite.ask("POST", "ml_model", "/add_training_data", wrong, status=400)
    assert refused["details"][0]["path"] == "features.date"
    job = suite.ask("POST", "ml_model", "/trigger_retrain", {"dataset_name": name}, status=202)
    ended = finished(client, job["job_id"])
    assert ended["state"] == "succeeded", ended
    assert ended["result"]["new_rows"] == 2


def test_cars_by_years(client: Client) -> None:
    cars = [car for car in json.loads(packaged("cars.json")) if car["Miles_per_Gallon"] is not None]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(cars[0]))
    writer.writeheader()
    writer.writerows(cars)
    brought = bring(
        client,
        text.getvalue(),
        dataset_name="cars",
        target="Miles_per_Gallon",
        task="regression",
        time_column="Year",
        time_is_feature="true",
        group_column="Name",
    )
    name = brought["dataset_name"]
    types = {column["name"]: column["type"] for column in brought["columns"]}
    assert (types["Year"], types["Origin"], types["Horsepower"]) == ("date", "text", "integer")
    assert brought["default_split"] == "group"
    for set_name in SETS:
        loaded = client.load(set_name, dataset_name=name)
        assert loaded["split"] == "group"
    names = [{row["Name"] for row in rows_of(client, name, set_name)} for set_name in SETS]
    assert not names[1] & names[2] and not names[0] & names[1]

    grids: dict[str, dict[str, list[Any]]] = {
        "Ridge": {"alpha": [0.1, 1]},
        "HistGradientBoostingRegressor": {"max_iter": [60]},
    }
    found = client.search(name, grids, dataset_name=name, cv=3, scoring="r2")
    client.deploy(found["run_ids"]["Ridge"])
    scored = scores(client, name)
    assert scored["testing"] > 0.7 > scored["production"]
    assert client.monitor("summary", dataset_name=name)["retraining_needed"] is True
    serve(client, f"runs:/{found['run_ids']['HistGradientBoostingRegressor']}/model")
    small = {
        "Cylinders": 4, "Displacement": 97.0, "Horsepower": None, "Weight_in_lbs": 2000,
        "Acceleration": 15.0, "Year": "1982-01-01", "Origin": "Japan",
    }  # fmt: skip
    large = {**small, "Cylinders": 8, "Displacement": 400.0, "Weight_in_lbs": 4500}
    economical, thirsty = predict(
        client, {"records": [small, {**large, "Year": None, "Origin": "USA"}]}
    )["predictions"]
    assert economical > 30 > 20 > thirsty


def test_digits(client: Client) -> None:
    assert client.load("training", dataset_name="digits")["split"] == "stratified"
    for set_name in SETS[1:]:
        client.load(set_name, dataset_name="digits")
    client.set_model("RandomForest", n_estimators=50)
    scored = scores(client, "digits")
    assert scored["testing"] > 0.9 > scored["production"]
    # One preset: all five of 64 columns take minutes where the machine is busy.
    summary = client.monitor("summary", dataset_name="digits", tests={"data_drift": True})
    assert summary["retraining_needed"] is True
