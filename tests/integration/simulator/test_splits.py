"""Sets cut by time, by group and as a column says; what is stored of it and what is refused."""

import io
import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from flask.testing import FlaskClient
from werkzeug.datastructures import FileStorage
from werkzeug.test import encode_multipart

from contracts.vocabulary import SET_NAMES
from schema import samples
from schema.samples import CHUNK_ROWS
from tests.integration.simulator.conftest import Load
from tests.support.databases import TestDatabase

DATASETS = "/root/simulator/datasets"
N_ROWS = 60
SETS_OF_ROWS = ["training", "testing", "production", "training", "training", "testing"]
TABLE = "day,who,part,x,y\n" + "".join(
    f"2024-01-{1 + (n * 7) % 30:02d},p{n % 9},{SETS_OF_ROWS[n % 6]},{n},{'ab'[n % 2]}\n"
    for n in range(N_ROWS)
)
COLUMNS = {"time_column": "day", "group_column": "who", "split_column": "part"}

Bring = Callable[..., Any]


@pytest.fixture
def bring(client: FlaskClient) -> Bring:
    """Bring the table; return the answer, whose status must be the one given."""

    def send(status: int = 201, content: str = TABLE, **fields: Any) -> Any:
        file = FileStorage(io.BytesIO(content.encode()), "table.csv")
        form = {"dataset_name": "mine", "target": "y", **fields, "file": file}
        boundary, body = encode_multipart(form)
        content_type = f"multipart/form-data; boundary={boundary}"
        answer = client.post(DATASETS, data=body, content_type=content_type)
        assert answer.status_code == status, answer.text
        return answer.json

    return send


def sets(database: TestDatabase, column: str) -> dict[str, list[Any]]:
    """Return the values of a column in each loaded set, in the order of the set."""
    rows = database.rows(
        f"SELECT set_name, array_agg({column} ORDER BY row_number) FROM samples.mine_v1"  # noqa: S608
        " GROUP BY set_name"
    )
    return dict(rows)


def load_all(load: Load, **more: Any) -> list[dict[str, Any]]:
    return [load(name, dataset_name="mine", scenario="clean", **more) for name in SET_NAMES]


def test_by_time_the_oldest_rows_train(
    bring: Bring, load: Load, client: FlaskClient, cellar_database: TestDatabase
) -> None:
    answer = bring(time_column="day")
    assert (answer["default_split"], answer["time_is_feature"]) == ("time", False)
    answers = load_all(load)
    assert [one["rows"] for one in answers] == [36, 12, 12]
    assert {one["split"] for one in answers} == {"time"}
    days = sets(cellar_database, "day")
    in_order = [*days["training"], *days["testing"], *days["production"]]
    assert in_order == sorted(in_order) and len(in_order) == N_ROWS
    # Nothing is drawn, so another seed is no other cut.
    again = load("training", dataset_name="mine", seed=7)
    assert again["changed"] is False and again["warnings"] == []
    stored = cellar_database.rows("SELECT DISTINCT split FROM set_loads")
    assert stored == [("time",)]
    mixed = load("training", dataset_name="mine", split="random")
    assert mixed["changed"] is True
    assert "production time, testing time, training random" in mixed["warnings"][0]


def test_the_time_is_no_feature_unless_that_is_asked(
    bring: Bring, load: Load, client: FlaskClient
) -> None:
    bring(time_column="day")
    # What is no feature is not fouled, either.
    load("production", dataset_name="mine", scenario="missing")
    page = client.get(f"{DATASETS}/mine/rows?set_name=production").json
    gone = {name for row in page["rows"] for name, cell in zip(page["columns"], row, strict=True)
            if cell is None}  # fmt: skip
    assert gone == {"who", "part", "x"}
    answer = bring(time_column="day", time_is_feature="true")
    assert answer["dataset_version"] == 2 and answer["time_is_feature"] is True
    load("production", dataset_name="mine", scenario="missing")
    page = client.get(f"{DATASETS}/mine/rows?set_name=production").json
    assert any(row[0] is None for row in page["rows"])


def test_by_group_nobody_is_in_two_sets(
    bring: Bring, load: Load, cellar_database: TestDatabase
) -> None:
    assert bring(group_column="who")["default_split"] == "group"
    load_all(load)
    first = sets(cellar_database, "who")
    assert sum(map(len, first.values())) == N_ROWS
    members = [set(people) for people in first.values()]
    assert sum(map(len, members)) == 9
    assert 30 <= len(first["training"]) <= 42
    other = load_all(load, seed=7)
    assert other[0]["changed"] is True and other[2]["warnings"] == []
    assert sets(cellar_database, "who") != first
    load_all(load)
    assert sets(cellar_database, "who") == first


def test_a_split_column_is_followed(
    bring: Bring, load: Load, cellar_database: TestDatabase
) -> None:
    assert bring(**COLUMNS)["default_split"] == "column"
    assert [one["split"] for one in load_all(load)] == ["column"] * 3
    assert {name: set(found) for name, found in sets(cellar_database, "part").items()} == {
        name: {name} for name in SET_NAMES
    }
    assert sets(cellar_database, "x")["training"][:4] == [0, 3, 4, 6]
    # Each of them can be asked for by its name.
    for split in ("time", "group", "random", "stratified"):
        assert load("training", dataset_name="mine", split=split)["split"] == split


def test_the_same_content_with_other_columns_named_is_another_version(
    bring: Bring, client: FlaskClient
) -> None:
    plain = bring()
    assert plain["default_split"] == "stratified"
    assert bring(200)["content_hash"] == plain["content_hash"]
    assert bring(**COLUMNS)["dataset_version"] == 2
    assert bring(200, **COLUMNS)["dataset_version"] == 2
    described = client.get(f"{DATASETS}/mine").json
    assert {key: described[key] for key in COLUMNS} == COLUMNS


@pytest.mark.parametrize("split", ["time", "group", "column"])
def test_without_the_column_it_is_refused(client: FlaskClient, split: str) -> None:
    body = {"set_name": "training", "split": split}
    answer = client.post("/root/simulator", json=body)
    assert answer.status_code == 400
    column = "split_column" if split == "column" else f"{split}_column"
    assert f"wine version 1 has no {column}" in answer.json["message"]
    assert client.get(f"{DATASETS}").json["datasets"] == []


def test_random_is_not_stratified_and_a_regression_is_random(
    client: FlaskClient, load: Load
) -> None:
    assert load("training")["split"] == "stratified"
    assert load("training", split="stratified")["changed"] is False
    random = load("training", split="random")
    assert (random["split"], random["rows"], random["changed"]) == ("random", 106, True)
    assert load("training", dataset_name="diabetes")["split"] == "random"
    assert load("training", dataset_name="diabetes", split="random")["changed"] is False
    answer = client.post("/root/simulator", json={"set_name": "training", "split": "fair"})
    assert answer.status_code == 400


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"time_column": "when"}, "time_column: there is no column 'when'"),
        ({"time_column": "who"}, "a time column holds dates, times or numbers, and this is text"),
        ({"time_column": "y"}, "is named as target and as time_column"),
        ({"group_column": "who", "split_column": "who"}, "as group_column and as split_column"),
        ({"group_column": "y2"}, "three different groups"),
        ({"group_column": "gap"}, "Line 5, column 'gap'"),
        ({"split_column": "who"}, "a split column holds training, testing, production"),
        ({"time_is_feature": "true"}, "name the time_column as well"),
        ({"time_is_feature": "perhaps"}, "time_is_feature"),
    ],
)
def test_columns_that_cannot_be_split_by_are_refused(
    bring: Bring, cellar_database: TestDatabase, fields: dict[str, str], said: str
) -> None:
    lines = TABLE.splitlines()
    more = [f"{line},{'lr'[n % 2]},{'' if n == 4 else n}" for n, line in enumerate(lines)]
    more[0] = f"{lines[0]},y2,gap"
    answer = bring(400, "\n".join(more), **fields)
    assert said in json.dumps(answer, ensure_ascii=False)
    tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'samples'"
    assert cellar_database.rows(tables) == [(0,)]


@pytest.mark.parametrize("split", ["time", "group", "column"])
def test_a_table_of_several_chunks_is_cut_as_if_it_were_one(
    bring: Bring, load: Load, cellar_database: TestDatabase, split: str
) -> None:
    n_rows = CHUNK_ROWS + 10_000
    draw = np.random.default_rng(3)
    times, groups = draw.permutation(n_rows), draw.integers(0, 900, n_rows)
    parts = draw.choice(SETS_OF_ROWS, n_rows)
    content = "day,who,part,x,y\n" + "".join(
        f"{time},g{group},{part},{number},{number % 2}\n"
        for number, (time, group, part) in enumerate(zip(times, groups, parts, strict=True))
    )
    bring(content=content, **COLUMNS)
    load_all(load, split=split)
    found = {name: np.array(rows) for name, rows in sets(cellar_database, "x").items()}
    assert sum(map(len, found.values())) == n_rows
    if split == "time":
        order = np.concatenate([found[name] for name in SET_NAMES])
        assert times[order].tolist() == list(range(n_rows))
    elif split == "group":
        assert sum(len(set(groups[rows])) for rows in found.values()) == 900
    else:
        assert all((parts[rows] == name).all() for name, rows in found.items())


@pytest.mark.parametrize("split", ["stratified", "random", "time", "group", "column"])
def test_a_table_of_long_text_is_cut_in_chunks_of_fewer_rows(
    bring: Bring,
    load: Load,
    cellar_database: TestDatabase,
    monkeypatch: pytest.MonkeyPatch,
    split: str,
) -> None:
    # A row takes some 340 bytes, of which the note takes 160.
    monkeypatch.setattr("schema.samples.CHUNK_BYTES", 70 * 340)
    read: list[int] = []
    read_all = samples.read_source

    def read_source(*arguments: Any) -> Iterator[pd.DataFrame]:
        for chunk in read_all(*arguments):
            read.append(len(chunk))
            yield chunk

    monkeypatch.setattr(samples, "read_source", read_source)
    n_rows = 200
    draw = np.random.default_rng(3)
    parts = draw.choice(SETS_OF_ROWS, n_rows)
    content = "day,who,part,note,x,y\n" + "".join(
        f"{time},g{number % 20},{part},{'n' * 100},{number},{number % 2}\n"
        for number, (time, part) in enumerate(zip(draw.permutation(n_rows), parts, strict=True))
    )
    bring(content=content, **COLUMNS)
    for scenario in ("clean", "shift"):
        for name in SET_NAMES:
            load(name, dataset_name="mine", scenario=scenario, split=split)
        days = [day for days in sets(cellar_database, "day").values() for day in days]
        assert sorted(days) == list(range(n_rows))
    assert 60 < max(read) < 80
