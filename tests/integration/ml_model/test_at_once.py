"""Many requests at once: each gets the answer it would get alone."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from ml_model.service import scoring, training
from tests.integration.ml_model.conftest import Lab, Service


def at_once(calls: list[Callable[[], Any]]) -> list[Any]:
    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result() for future in [pool.submit(call) for call in calls]]


def test_one_training_however_many_ask(wine: Lab) -> None:
    wine.ml.set_model("DecisionTree", max_depth=5)
    workers = [wine.ml, wine.another_ml()]
    answers = at_once([lambda worker=worker: worker.score("training") for worker in workers * 3])
    assert all(answer == answers[0] for answer in answers)
    assert (wine.count("model_versions"), len(wine.finished_runs())) == (1, 1)
    assert wine.count("deployments") == 2
    assert wine.count("predictions") == 106


def test_one_entry_however_many_set_the_same(lab: Lab) -> None:
    at_once([lambda: lab.ml.set_model("SVC", C=0.5)] * 6)
    assert lab.count("deployments") == 1


def test_scorings_do_not_mix(wine: Lab) -> None:
    wine.ml.set_model("RandomForest", n_estimators=5)
    workers: list[Service] = [wine.ml, wine.another_ml()]
    alone = {name: workers[0].score(name) for name in ("training", "testing", "production")}
    kept = {name: wine.predictions(name) for name in alone}
    answers = at_once(
        [
            lambda worker=worker, name=name: (name, worker.score(name))
            for worker in workers
            for name in ("testing", "production", "testing", "production")
        ]
    )
    assert all(answer == alone[name] for name, answer in answers)
    assert {name: wine.predictions(name) for name in alone} == kept
    assert wine.count("scorings") == 3


def test_every_worker_has_the_newest_version(wine: Lab) -> None:
    first, second = wine.ml, wine.another_ml()
    first.set_model("DecisionTree", max_depth=1)
    stump = first.score("training")
    assert second.score("testing")["model_version"] == stump["model_version"]
    second.set_model("KNN")
    assert first.ask("GET", "/root/ml")["name"] == "KNN"
    neighbours = second.score("training")
    assert first.score("testing")["model_name"] == "KNN"
    assert first.score("training") == neighbours


def once(lab: Lab, set_name: str, seed: int, real: Callable[..., Any]) -> Callable[..., Any]:
    """Return `real`, but before its first answer somebody loads other rows."""
    seeds = [seed]

    def load_first(*args: Any, **kwargs: Any) -> Any:
        if seeds:
            lab.load(set_name, seed=seeds.pop())
        return real(*args, **kwargs)

    return load_first


def hashes(lab: Lab, set_name: str) -> tuple[str, str]:
    [row] = lab.database.rows(
        "SELECT s.content_hash, l.content_hash FROM scorings s JOIN set_loads l"
        " USING (dataset_id, set_name) WHERE set_name = %s",
        (set_name,),
    )
    return row


def test_a_set_replaced_while_it_is_scored_is_scored_anew(
    wine: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    wine.ml.set_model("DecisionTree")
    wine.ml.score("training")
    monkeypatch.setattr(scoring, "predict", once(wine, "testing", 8, scoring.predict))
    answer = wine.ml.score("testing")
    monkeypatch.undo()
    scored, loaded = hashes(wine, "testing")
    assert scored == loaded
    assert answer == wine.ml.score("testing")
    assert wine.count("predictions") == 106 + 36


def test_a_training_set_replaced_meanwhile_is_trained_anew(
    wine: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    wine.ml.set_model("DecisionTree")
    monkeypatch.setattr(training, "fit", once(wine, "training", 8, training.fit))
    answer = wine.ml.score("training")
    monkeypatch.undo()
    scored, loaded = hashes(wine, "training")
    assert scored == loaded
    assert answer == wine.ml.score("training")
    assert wine.count("predictions") == 106


def test_a_set_replaced_again_and_again_is_given_up(
    wine: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    wine.ml.set_model("DecisionTree")
    wine.ml.score("training")
    seeds = iter(range(100, 200))
    real = scoring.predict

    def replace_always(*args: Any) -> Any:
        wine.load("testing", seed=next(seeds))
        return real(*args)

    monkeypatch.setattr(scoring, "predict", replace_always)
    status, answer = wine.ml.send("POST", "/root/ml", {"dataset": "testing"})
    assert status == 409
    assert "again" in answer["message"]
    assert wine.count("predictions") == 106


def test_a_model_set_while_another_is_trained_stays_set(
    wine: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    wine.ml.set_model("DecisionTree")
    real = training.fit

    def set_another(*args: Any) -> Any:
        wine.another_ml().set_model("KNN")
        return real(*args)

    monkeypatch.setattr(training, "fit", set_another)
    status, answer = wine.ml.send("POST", "/root/ml", {"dataset": "training"})
    monkeypatch.undo()
    assert status == 409
    assert 'POST /root/ml {"dataset": "training"}' in answer["message"]
    state = wine.ml.ask("GET", "/root/ml")
    assert (state["name"], state["trained"]) == ("KNN", False)
    # What was fitted is kept: coming back to it costs nothing.
    assert wine.count("model_versions") == 1
    wine.ml.set_model("DecisionTree")
    wine.ml.score("training")
    assert wine.count("model_versions") == 1
