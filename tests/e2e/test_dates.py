"""Real tables through the whole lifecycle: weather by days, cars by years, and digits."""

import json
from datetime import date, timedelta

from tests.support.lifecycle_client import SETS, Client
from tests.support.real_tables import SMALL_CAR, cars, digits, vega, weather
from tests.support.real_tables import WEATHER_FEATURES as WEATHER
from tests.support.table_walk import (
    bring,
    finished,
    new_name,
    predict,
    rows_of,
    serve,
    serve_what_was_found,
    train_and_judge,
)


def test_weather_by_days(client: Client) -> None:
    suite, walked = client.suite, train_and_judge(client, weather())
    name = walked.name
    first = {set_name: rows_of(client, name, set_name)[0]["date"] for set_name in SETS}
    day = date(2012, 1, 1)
    assert first == {
        "training": "2012-01-01",
        "testing": str(day + timedelta(876)),
        "production": str(day + timedelta(876 + 292)),
    }
    assert walked.scores["training"] > walked.scores["testing"] > 0.7
    assert client.monitor("summary", dataset_name=name)["total_tests"] > 0
    assert client.monitor("report", dataset_name=name)

    serve_what_was_found(client, weather(), walked)
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
    content = vega("seattle-weather.csv")
    brought = bring(
        client, content, dataset_name=new_name("weather"), target="weather",
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
    walked = train_and_judge(client, cars())
    names = [{row["Name"] for row in rows_of(client, walked.name, set_name)} for set_name in SETS]
    assert not names[1] & names[2] and not names[0] & names[1]
    assert walked.scores["testing"] > 0.7 > walked.scores["production"]
    summary = client.monitor("summary", dataset_name=walked.name)
    assert summary["retraining_needed"] is True
    serve_what_was_found(client, cars(), walked)
    thirst = {"Cylinders": 8, "Displacement": 400.0, "Weight_in_lbs": 4500, "Year": None}
    records = [SMALL_CAR, {**SMALL_CAR, **thirst, "Origin": "USA"}]
    economical, thirsty = predict(client, {"records": records})["predictions"]
    assert economical > 30 > 20 > thirsty


def test_digits(client: Client) -> None:
    walked = train_and_judge(client, digits())
    assert walked.scores["testing"] > 0.9 > walked.scores["production"]
    # One preset: all five of 64 columns take minutes where the machine is busy.
    drift = {"data_drift": True}
    summary = client.monitor("summary", dataset_name=walked.name, tests=drift)
    assert summary["retraining_needed"] is True
    serve_what_was_found(client, digits(), walked)
