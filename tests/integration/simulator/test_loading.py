"""Loading the sets: what is stored, what stays, what goes."""

import itertools
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from flask import Flask
from flask.testing import FlaskClient

from contracts.vocabulary import BUILTIN_DATASETS, SET_NAMES
from schema.sets import LoadedSets, SetChanged
from simulator.app import create_app
from simulator.builtin_datasets import read_builtin
from simulator.content_hash import content_hash_of
from simulator.service.scenarios import SCENARIOS
from simulator.settings import Settings
from tests.conftest import MakeSettings
from tests.integration.simulator.conftest import Load
from tests.support.databases import TestDatabase

State = Callable[[], dict[str, Any]]
ROWS = {"training": 106, "testing": 36, "production": 36}


def stored(database: TestDatabase, set_name: str, dataset_name: str = "wine") -> Any:
    """Return a set's rows as another service reads them, and the load they belong to."""
    with database.session("cellar_ml_model") as session:
        sets = LoadedSets(session)  # type: ignore[arg-type]
        load = sets.get_load(set_name, dataset_name)  # type: ignore[arg-type]
        return load, sets.read_rows(load)


def all_at_once(calls: list[Callable[[], object]]) -> list[object]:
    """Make all calls at the same time; return what each gave, in order."""
    results: list[object] = [None] * len(calls)
    barrier = threading.Barrier(len(calls))

    def run(place: int, call: Callable[[], object]) -> None:
        barrier.wait(30)
        results[place] = call()

    threads = [threading.Thread(target=run, args=(place, call)) for place, call in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    return results


def test_the_simulator_says_who_it_is(client: FlaskClient) -> None:
    assert client.get("/root/simulator").json == {"name": "DataSimulator", "message": "Simulator"}


@pytest.mark.parametrize("set_name", SET_NAMES)
def test_a_set_is_loaded(load: Load, cellar_database: TestDatabase, set_name: str) -> None:
    answer = load(set_name)
    missing = answer.pop("missing_cells")
    assert answer == {
        "message": f"Load {set_name} set",
        "set_name": set_name,
        "dataset_name": "wine",
        "dataset_version": 1,
        "seed": 42,
        "scenario": "shift" if set_name == "production" else "clean",
        "split": "stratified",
        "rows": ROWS[set_name],
        "changed": True,
        "warnings": [],
    }
    # 5 % of 36 rows are 2 cells in each of 13 columns.
    assert missing == (26 if set_name == "production" else 0)
    found = cellar_database.rows(
        "SELECT set_name, count(*), count(*) - count(proline),"
        " min(row_number), max(row_number) FROM samples.wine_v1 GROUP BY set_name"
    )
    n_rows = ROWS[set_name]
    assert found == [(set_name, n_rows, 2 if set_name == "production" else 0, 0, n_rows - 1)]


def test_clean_rows_are_those_of_the_source_to_the_last_bit(
    load: Load, cellar_database: TestDatabase
) -> None:
    for set_name in SET_NAMES:
        load(set_name, scenario="clean")
    found = {
        tuple(row) for name in SET_NAMES for row in stored(cellar_database, name)[1].to_numpy()
    }
    assert found == {tuple(row) for row in read_builtin("wine").rows.to_numpy()}


def test_only_production_is_fouled(load: Load, state: State) -> None:
    for set_name in ("training", "testing"):
        assert load(set_name, scenario="classic")["scenario"] == "clean"
        before = state()
        assert load(set_name)["changed"] is False
        assert state() == before


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_scenario_can_be_loaded(load: Load, scenario: str) -> None:
    answer = load("production", scenario=scenario)
    assert (answer["scenario"], answer["rows"]) == (scenario, 36)


@pytest.mark.parametrize("dataset_name", BUILTIN_DATASETS)
def test_every_dataset_can_be_loaded(
    load: Load, cellar_database: TestDatabase, dataset_name: str
) -> None:
    for set_name in SET_NAMES:
        load(set_name, dataset_name=dataset_name)
    n_rows = cellar_database.rows(f"SELECT count(*) FROM samples.{dataset_name}_v1")  # noqa: S608
    assert n_rows == [(len(read_builtin(dataset_name).rows),)]


def test_any_order_gives_the_same_rows(
    load: Load, state: State, cellar_database: TestDatabase
) -> None:
    found = []
    for order in itertools.permutations(SET_NAMES):
        for set_name in order:
            load(set_name)
        found.append(state())
        cellar_database.execute("TRUNCATE set_loads, samples.wine_v1")
    assert all(one == found[0] for one in found[1:])


def test_loading_again_changes_nothing(
    load: Load, cellar_database: TestDatabase, score: Callable[[str, str], None]
) -> None:
    everything = (
        "SELECT to_jsonb(t), xmin FROM samples.wine_v1 AS t ORDER BY sample_id",
        "SELECT to_jsonb(t), xmin FROM set_loads AS t",
        "SELECT to_jsonb(t), xmin FROM datasets AS t",
        "SELECT to_jsonb(t), xmin FROM predictions AS t ORDER BY sample_id",
        "SELECT to_jsonb(t), xmin FROM scorings AS t",
    )
    load("production")
    score("wine", "production")
    before = [cellar_database.rows(query) for query in everything]
    assert len(before[3]) == 36
    for _ in range(3):
        assert load("production")["changed"] is False
    assert [cellar_database.rows(query) for query in everything] == before


@pytest.mark.parametrize("change", [{"seed": 7}, {"scenario": "classic"}])
def test_other_rows_take_the_predictions_of_that_set_with_them(
    load: Load,
    score: Callable[[str, str], None],
    scored: Callable[[], dict[tuple[str, str], tuple[int, int]]],
    change: dict[str, Any],
) -> None:
    for name in ("wine", "iris"):
        for set_name in ("testing", "production"):
            load(set_name, dataset_name=name)
            score(name, set_name)
    before = scored()
    assert before[("wine", "production")] == (36, 1)

    assert load("production", **change)["changed"] is True

    after = scored()
    assert ("wine", "production") not in after
    assert after == {key: value for key, value in before.items() if key in after}
    assert len(after) == 3


def test_going_back_to_the_first_seed_brings_the_first_rows_back(load: Load, state: State) -> None:
    load("production")
    first = state()
    load("production", seed=7)
    assert state() != first
    load("production")
    assert state() == first


def test_a_restart_wipes_nothing(load: Load, state: State, make_settings: MakeSettings) -> None:
    for set_name in SET_NAMES:
        load(set_name)
    before = state()
    restarted = create_app(make_settings(Settings)).test_client()
    assert restarted.get("/ready").status_code == 200
    assert state() == before
    answer = restarted.post("/root/simulator", json={"set_name": "production"})
    assert answer.json["changed"] is False


def test_sets_of_different_seeds_are_warned_of(load: Load) -> None:
    load("training", seed=1)
    (warning,) = load("testing", seed=2)["warnings"]
    assert "training 1" in warning and "testing 2" in warning
    assert load("testing", seed=1)["warnings"] == []


def test_the_first_loads_at_once_make_one_dataset(
    make_settings: MakeSettings, state: State, load: Load, cellar_database: TestDatabase
) -> None:
    workers = [create_app(make_settings(Settings)) for _ in range(2)]

    def send(app: Flask, set_name: str) -> Callable[[], object]:
        return lambda: (
            app.test_client().post("/root/simulator", json={"set_name": set_name}).status_code
        )

    calls = [send(app, name) for app in workers for name in SET_NAMES for _ in range(2)]
    assert all_at_once(calls) == [200] * 12
    at_once = state()
    assert len(at_once["public.datasets"]) == 1
    assert len(at_once["samples.wine_v1"]) == 178

    cellar_database.execute("TRUNCATE set_loads, samples.wine_v1")
    for name in SET_NAMES:
        load(name)
    assert state() == at_once


def test_loads_of_one_set_at_once_leave_the_rows_of_one_of_them(
    app: Flask, cellar_database: TestDatabase
) -> None:
    def send(seed: int) -> Callable[[], object]:
        body = {"set_name": "production", "seed": seed}
        return lambda: app.test_client().post("/root/simulator", json=body).status_code

    assert all_at_once([send(seed) for seed in range(8)]) == [200] * 8
    found, rows = stored(cellar_database, "production")
    assert len(rows) == 36
    as_written = rows.reset_index(drop=True).astype({"target": "int64"})
    assert content_hash_of(as_written) == found.content_hash


@pytest.mark.parametrize(
    "failure",
    [
        "RAISE EXCEPTION 'no' USING ERRCODE = 'disk_full'",
        "PERFORM pg_terminate_backend(pg_backend_pid())",
    ],
    ids=["disk full", "connection lost"],
)
def test_a_failure_half_way_leaves_the_old_rows_and_their_predictions(
    load: Load,
    client: FlaskClient,
    state: State,
    score: Callable[[str, str], None],
    cellar_database: TestDatabase,
    failure: str,
) -> None:
    load("production")
    score("wine", "production")
    cellar_database.execute(
        "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS"
        f" $$ BEGIN {failure}; RETURN NEW; END $$;"
        "CREATE TRIGGER fail BEFORE INSERT ON samples.wine_v1"
        " FOR EACH ROW WHEN (NEW.row_number = 30) EXECUTE FUNCTION fail()"
    )
    before = state()
    for _ in range(2):
        answer = client.post("/root/simulator", json={"set_name": "production", "seed": 7})
        assert answer.status_code == 503
    assert state() == before
    cellar_database.execute("DROP TRIGGER fail ON samples.wine_v1")
    assert load("production", seed=7)["changed"] is True


def test_a_load_waits_for_a_scoring_that_is_being_stored(
    load: Load, app: Flask, cellar_database: TestDatabase
) -> None:
    load("production")
    done = threading.Event()

    def load_other() -> None:
        body = {"set_name": "production", "seed": 7}
        app.test_client().post("/root/simulator", json=body)
        done.set()

    with cellar_database.session("cellar_ml_model") as session:
        sets = LoadedSets(session)  # type: ignore[arg-type]
        held = sets.get_load("production")
        sets.hold(held)
        loading = threading.Thread(target=load_other)
        loading.start()
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        for _ in range(200):
            if cellar_database.rows(waiting) != [(0,)]:
                break
            done.wait(0.05)
        assert not done.is_set()
        session.commit()
        loading.join(30)
        assert done.is_set()
        with pytest.raises(SetChanged):
            sets.hold(held)


def test_reading_gives_features_in_order_then_the_target(
    load: Load, cellar_database: TestDatabase
) -> None:
    load("production")
    found, rows = stored(cellar_database, "production")
    assert list(rows.columns) == list(read_builtin("wine").rows.columns)
    assert found.dataset.classes == (0, 1, 2)
    assert found.dataset.feature_names[11] == "od280/od315_of_diluted_wines"
    assert rows["target"].isna().sum() == 0
    assert np.isnan(rows["proline"]).sum() == 2


def test_class_names_are_stored_and_added_to_a_dataset_from_before_there_were_any(
    load: Load, cellar_database: TestDatabase
) -> None:
    load("training", dataset_name="iris")
    cellar_database.execute("UPDATE datasets SET class_names = NULL")
    load("training", dataset_name="iris")
    found, _ = stored(cellar_database, "training", "iris")
    assert found.dataset.class_names == ("setosa", "versicolor", "virginica")


def test_a_database_from_before_datasets_were_whole_gets_the_rows(
    load: Load, cellar_database: TestDatabase
) -> None:
    load("training")
    cellar_database.execute(
        "DROP TABLE samples.wine_v1_source; UPDATE datasets SET row_count = NULL"
    )
    assert load("training")["changed"] is False
    found = cellar_database.rows("SELECT count(*), max(row_number) FROM samples.wine_v1_source")
    assert found == [(178, 177)]
    assert cellar_database.rows("SELECT row_count FROM datasets") == [(178,)]


def test_a_version_can_be_named(load: Load, client: FlaskClient) -> None:
    assert load("training", dataset_version=1)["dataset_version"] == 1
    body = {"set_name": "training", "dataset_version": 2}
    answer = client.post("/root/simulator", json=body)
    assert answer.status_code == 404 and "no version 2" in answer.json["message"]


def test_of_a_version_without_all_rows_no_set_can_be_cut(
    load: Load, client: FlaskClient, cellar_database: TestDatabase
) -> None:
    load("training")
    cellar_database.execute(
        "UPDATE datasets SET content_hash = 'of another scikit-learn', row_count = NULL"
    )
    body = {"set_name": "training", "dataset_version": 1}
    answer = client.post("/root/simulator", json=body)
    assert answer.status_code == 409 and "newest" in answer.json["message"]
    assert load("training")["dataset_version"] == 2
