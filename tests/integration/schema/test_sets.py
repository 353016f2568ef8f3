"""What every service reads of datasets and sets, and what it is told where they are not there."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
from sqlalchemy.orm import Session

from contracts.vocabulary import SET_NAMES
from schema import samples
from schema.samples import Column
from schema.sets import DatasetNotFound, LoadedSets, SetChanged, SetLoad, SetNotLoaded
from tests.support.databases import TestDatabase

FEATURES = (Column("a", "number"), Column("b/c", "number"))
TARGET = Column("target", "integer")


def load_set(database: TestDatabase, name: str, version: int, set_name: str, value: float) -> None:
    """Load three rows that hold `value`, past the simulator."""
    database.execute(
        """
        INSERT INTO datasets (name, version, content_hash, task, target, columns, classes, origin)
        VALUES (%(name)s, %(version)s, %(version)s::text, 'classification', 'target',
            '[{"name": "a", "type": "number"}, {"name": "b/c", "type": "number"},
              {"name": "target", "type": "integer"}]', '[0, 1]', 'test')
        ON CONFLICT DO NOTHING;
        INSERT INTO set_loads (dataset_id, set_name, seed, scenario, content_hash, row_count)
        SELECT id, %(set)s, 1, 'clean', %(value)s::text, 3 FROM datasets
        WHERE name = %(name)s AND version = %(version)s
        ON CONFLICT (dataset_id, set_name) DO UPDATE SET content_hash = excluded.content_hash
        """,
        {"name": name, "version": version, "set": set_name, "value": value},
    )
    rows = pd.DataFrame({"a": [value] * 3, "b/c": [1.0, np.nan, 3.0], "target": [0, 1, 1]})
    with database.connection("cellar_simulator") as connection:
        samples.create_table(connection, name, version, [*FEATURES, TARGET])
        samples.replace_rows(connection, name, version, set_name, 1, [*FEATURES, TARGET], rows)
        connection.commit()


@pytest.fixture
def session(cellar_database: TestDatabase) -> Iterator[Session]:
    """A session of the ML service, beside rows that nobody here asks for."""
    for version in (1, 2):
        for set_name in SET_NAMES:
            load_set(cellar_database, "noise", version, set_name, 100.0 + version)
    with cellar_database.session("cellar_ml_model") as session:
        yield session


@pytest.fixture
def sets(session: Session) -> LoadedSets:
    return LoadedSets(session)  # type: ignore[arg-type]


def test_nothing_loaded_names_the_call_that_is_due(sets: LoadedSets) -> None:
    assert sets.find_dataset("wine") is None
    assert sets.find_load("training") is None
    with pytest.raises(SetNotLoaded) as caught:
        sets.get_load("training")
    assert caught.value.error == "Training set not loaded"
    assert 'POST /root/simulator {"set_name": "training"}' in caught.value.message


def test_the_call_that_is_due_names_another_dataset(sets: LoadedSets) -> None:
    with pytest.raises(SetNotLoaded, match='"dataset_name": "iris"'):
        sets.get_load("testing", "iris")


def test_another_set_of_the_dataset_does_not_help(
    sets: LoadedSets, cellar_database: TestDatabase
) -> None:
    load_set(cellar_database, "wine", 1, "training", 1.0)
    assert sets.get_load("training").row_count == 3
    with pytest.raises(SetNotLoaded, match="testing"):
        sets.get_load("testing")


def test_the_newest_version_is_meant_unless_one_is_named(
    sets: LoadedSets, cellar_database: TestDatabase
) -> None:
    for version in (1, 2):
        load_set(cellar_database, "wine", version, "training", float(version))
    assert sets.get_load("training").dataset.version == 2
    first = sets.get_load("training", "wine", 1)
    assert sets.read_rows(first)["a"].tolist() == [1.0] * 3
    with pytest.raises(DatasetNotFound, match="no version 3"):
        sets.get_load("training", "wine", 3)


def test_rows_come_with_types_and_sample_ids(
    sets: LoadedSets, cellar_database: TestDatabase
) -> None:
    load_set(cellar_database, "wine", 1, "training", 1.5)
    load = sets.get_load("training")
    rows = sets.read_rows(load)
    assert list(rows.columns) == ["a", "b/c", "target"]
    assert load.dataset.features == FEATURES
    assert load.dataset.target == TARGET
    assert rows.index.name == "sample_id"
    assert rows["b/c"].isna().tolist() == [False, True, False]
    assert rows["target"].tolist() == [0, 1, 1]


def test_a_set_that_was_loaded_anew_is_not_taken_for_the_old_one(
    sets: LoadedSets, session: Session, cellar_database: TestDatabase
) -> None:
    load_set(cellar_database, "wine", 1, "training", 1.0)
    load = sets.get_load("training")
    session.commit()
    load_set(cellar_database, "wine", 1, "training", 2.0)
    for read in (sets.read_rows, sets.hold, lambda found: sets.read_predictions(found, 1)):
        with pytest.raises(SetChanged):
            read(load)
    # The session does not answer from what it has read before.
    assert sets.get_load("training").content_hash != load.content_hash


def store_predictions(
    database: TestDatabase, load: SetLoad, rows: pd.DataFrame, version_id: int, label: str
) -> None:
    """Store a prediction per row as the ML service does."""
    database.execute(
        "INSERT INTO model_versions (id, registered_name, version, model_name, hyperparameters,"
        " training_run_id, dataset_id, training_content_hash, fingerprint, model_uri)"
        " OVERRIDING SYSTEM VALUE VALUES (%(id)s, 'SVC', %(id)s, 'SVC', '{}', 'r', %(dataset)s,"
        " 'h', %(id)s::text, 'u') ON CONFLICT DO NOTHING",
        {"id": version_id, "dataset": load.dataset.id},
    )
    with database.connection("cellar_ml_model") as connection:
        samples.replace_predictions(
            connection,
            version_id,
            load.dataset.id,
            load.set_name,
            rows.index.to_numpy(),
            np.array([label, "0", "1"], dtype=object),
            np.array([[0.1, 0.9], [1 / 3, 2 / 3], [5e-324, 1.0]]),
        )
        connection.commit()


def test_predictions_come_back_exactly_and_are_replaced(
    sets: LoadedSets, cellar_database: TestDatabase
) -> None:
    load_set(cellar_database, "wine", 1, "training", 1.0)
    load = sets.get_load("training")
    rows = sets.read_rows(load)
    odd = 'a,"b"\t\\N\n{1}'
    for label in ("first", odd):
        store_predictions(cellar_database, load, rows, 1, label)
    store_predictions(cellar_database, load, rows, 2, "other version")

    found = sets.read_predictions(load, 1)

    assert found.index.tolist() == rows.index.tolist()
    assert found["predicted_class"].tolist() == [odd, "0", "1"]
    assert found["predicted_value"].isna().all()
    assert found["probabilities"].tolist() == [[0.1, 0.9], [1 / 3, 2 / 3], [5e-324, 1.0]]
    assert sets.read_predictions(load, 2)["predicted_class"].iloc[0] == "other version"


def test_no_predictions_are_an_empty_frame(sets: LoadedSets, cellar_database: TestDatabase) -> None:
    load_set(cellar_database, "wine", 1, "training", 1.0)
    found = sets.read_predictions(sets.get_load("training"), 77)
    assert found.empty
    assert list(found.columns) == ["predicted_class", "predicted_value", "probabilities"]
