"""Tables that people bring: what goes in comes out, and a file that lies is refused whole."""

import csv
import gzip
import io
import json
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest
from flask.testing import FlaskClient
from werkzeug.datastructures import FileStorage
from werkzeug.test import encode_multipart

from contracts.vocabulary import BUILTIN_DATASETS, SET_NAMES
from schema.samples import CHUNK_ROWS
from simulator.builtin_datasets import read_builtin
from simulator.table_files import FIRST_ROWS
from tests.integration.simulator.conftest import Load
from tests.support.databases import TestDatabase

DATASETS = "/root/simulator/datasets"

Bring = Callable[..., Any]

MIXED = (
    'id;größe (cm);"say ""hi""";smokes;count;код;y\r\n'
    + "".join(
        f'a{n};{n / 3!r};"{word}";{smokes};{count};{n:03d};{label}\r\n'
        for n, (word, smokes, count, label) in enumerate(
            [
                ("plain", "true", "1", "no"),
                ("semi;colon", "false", "-2", "yes"),
                ("line\nbreak", "", "NA", "no"),
                ("", "TRUE", "3", "yes"),
                ("NA", "False", "9007199254740993", "no"),
            ]
            * 4
        )
    )
).replace("a1;0.3333333333333333", "a1;")


def packaged(name: str) -> bytes:
    """Return a file of scikit-learn's own data."""
    return resources.files("sklearn.datasets.data").joinpath(name).read_bytes()


def iris_csv() -> bytes:
    """Return scikit-learn's file of irises with a header and names for labels."""
    names = ["setosa", "versicolor", "virginica"]
    header = b"sepal length,sepal width,petal length,petal width,species\n"
    rows = packaged("iris.csv").decode().splitlines()[1:]
    lines = [f"{row.rpartition(',')[0]},{names[int(row.rpartition(',')[2])]}" for row in rows]
    return header + "\n".join(lines).encode()


def parquet_of(query: str, tmp_path: Path) -> bytes:
    path = tmp_path / "table.parquet"
    duckdb.execute(f"COPY ({query}) TO '{path}' (FORMAT parquet)")
    return path.read_bytes()


@pytest.fixture
def bring(client: FlaskClient) -> Bring:
    """Bring a file; return the answer, whose status must be the one given."""

    def send(content: bytes | str, status: int = 201, **fields: Any) -> Any:
        data = content.encode() if isinstance(content, str) else content
        form = {"dataset_name": "mine", "target": "y", **fields}
        boundary, body = encode_multipart({**form, "file": FileStorage(io.BytesIO(data), "table")})
        content_type = f"multipart/form-data; boundary={boundary}"
        answer = client.post(DATASETS, data=body, content_type=content_type)
        assert answer.status_code == status, answer.text
        return answer.json

    return send


def pairs(answer: dict[str, Any]) -> dict[str, str]:
    return {column["name"]: column["type"] for column in answer["columns"]}


def all_rows(client: FlaskClient, name: str = "mine", **query: Any) -> list[list[Any]]:
    rows: list[list[Any]] = []
    cursor: int | None = 0
    while cursor is not None:
        page = client.get(
            f"{DATASETS}/{name}/rows", query_string={"limit": 7, "cursor": cursor, **query}
        ).json
        rows += page["rows"]
        cursor = page["next_cursor"]
    return rows


def fetch(client: FlaskClient, path: str) -> Any:
    """Return an answer that was read to its end and closed, as a server does it."""
    with client.get(path, buffered=True) as answer:
        answer.get_data()
    return answer


def test_a_mixed_table_comes_in_with_its_types_and_every_value(
    bring: Bring, client: FlaskClient
) -> None:
    answer = bring(MIXED, id_column="id")
    assert pairs(answer) == {
        "id": "text",
        "größe (cm)": "number",
        'say "hi"': "text",
        "smokes": "boolean",
        "count": "integer",
        "код": "text",
        "y": "text",
    }
    assert (answer["task"], answer["task_inferred"]) == ("classification", True)
    assert (answer["rows"], answer["classes"]) == (20, ["no", "yes"])
    assert answer["inferred_types"] == list(pairs(answer))
    rows = all_rows(client)
    assert rows[:5] == [
        ["a0", 0.0, "plain", True, 1, "000", "no"],
        ["a1", None, "semi;colon", False, -2, "001", "yes"],
        ["a2", 2 / 3, "line\nbreak", None, None, "002", "no"],
        ["a3", 1.0, "", True, 3, "003", "yes"],
        ["a4", 4 / 3, "NA", False, 9007199254740993, "004", "no"],
    ]


@pytest.mark.parametrize("format_", ["csv", "parquet"])
def test_an_export_brought_in_again_is_the_same_version(
    bring: Bring, client: FlaskClient, format_: str
) -> None:
    first = bring(MIXED, id_column="id")
    export = fetch(client, f"{DATASETS}/mine/export?format={format_}")
    assert export.status_code == 200
    assert int(export.headers["Content-Length"]) == len(export.data)
    assert f"mine_v1.{format_}" in export.headers["Content-Disposition"]
    again = bring(export.data, 200, id_column="id")
    assert again["created"] is False
    assert again["content_hash"] == first["content_hash"]


def test_the_same_content_is_one_version_and_changed_content_the_next(
    bring: Bring, client: FlaskClient, cellar_database: TestDatabase
) -> None:
    content = iris_csv()
    assert bring(content, target="species")["dataset_version"] == 1
    again = bring(gzip.compress(content), 200, target="species")
    assert (again["dataset_version"], again["message"]) == (1, "Dataset already there")
    assert bring(content.replace(b"5.1", b"5.2"), target="species")["dataset_version"] == 2
    # Another target makes another dataset of the same rows.
    third = bring(content, target="petal width")
    assert (third["dataset_version"], third["task"]) == (3, "regression")
    listed = client.get(DATASETS).json["datasets"]
    assert [item["dataset_version"] for item in listed] == [3, 2, 1]
    tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'samples'"
    assert cellar_database.rows(tables) == [(6,)]


def test_types_and_task_can_be_said(bring: Bring) -> None:
    types = {"код": "integer", "count": "number", "smokes": "text"}
    answer = bring(MIXED, types=json.dumps(types))
    assert {name: pairs(answer)[name] for name in types} == types
    assert answer["inferred_types"] == ["id", "größe (cm)", 'say "hi"', "y"]
    rows = "x,y\n" + "".join(f"{n},{n % 3}\n" for n in range(12))
    assert bring(rows, dataset_name="a")["task"] == "classification"
    assert bring(rows, dataset_name="b", task="regression")["classes"] == []
    wide = "x,y\n" + "".join(f"{n},{n}\n" for n in range(21))
    assert bring(wide, dataset_name="c")["task"] == "regression"


LONG = "".join(f"{n},{n % 7},{n % 2}\n" for n in range(FIRST_ROWS + 5_000))


@pytest.mark.parametrize(
    ("last", "type_"),
    [("8", "integer"), ("8.5", "number"), ("008", "text"), ("eight", "text"), ("NA", "integer")],
)
def test_a_row_far_behind_the_first_has_its_say_in_the_types(
    bring: Bring, cellar_database: TestDatabase, last: str, type_: str
) -> None:
    answer = bring(f"key,x,y\n{LONG}-1,{last},1\n")
    assert pairs(answer) == {"key": "integer", "x": type_, "y": "integer"}
    assert answer["rows"] == FIRST_ROWS + 5_001
    assert cellar_database.rows(
        "SELECT x::text FROM samples.mine_v1_source ORDER BY row_number DESC LIMIT 1"
    ) == [(None if last == "NA" else last,)]


@pytest.mark.parametrize(
    ("last", "fields", "said"),
    [
        ("-1,8", {}, "2 cells"),
        ("-1,8,", {}, "column 'y': there is no value"),
        ("-1,eight,1", {"types": '{"x": "integer"}'}, "'eight' is no finite integer"),
        ("-1,8.5,1", {"types": '{"x": "integer"}'}, "'8.5' is no finite integer"),
    ],
)
def test_a_lie_far_behind_the_first_rows_is_found(
    bring: Bring, state: Callable[[], Any], last: str, fields: dict[str, str], said: str
) -> None:
    before = state()
    message = bring(f"key,x,y\n{LONG}{last}\n", 400, **fields)["message"]
    assert message.startswith(f"Line {FIRST_ROWS + 5_002}") and said in message
    assert state() == before


def test_sets_of_a_brought_table_are_cut_like_those_of_a_built_in_one(
    bring: Bring, client: FlaskClient, load: Load
) -> None:
    wine = read_builtin("wine").rows
    bring(wine.to_csv(index=False).encode(), dataset_name="my_wine", target="target")
    for set_name in ("training", "testing", "production"):
        own = load(set_name, dataset_name="my_wine")
        built_in = load(set_name)
        ignored = {"dataset_name", "changed"}
        assert {k: v for k, v in own.items() if k not in ignored} == {
            k: v for k, v in built_in.items() if k not in ignored
        }
        mine, theirs = (all_rows(client, name, set_name=set_name) for name in ("my_wine", "wine"))
        assert mine == theirs
    again = load("production", dataset_name="my_wine")
    assert again["changed"] is False and again["missing_cells"] == 26


def test_a_mixed_table_can_be_fouled(bring: Bring, client: FlaskClient, load: Load) -> None:
    bring(MIXED, id_column="id")
    for scenario in ("shift", "classic", "missing", "outliers", "clean"):
        answer = load("production", dataset_name="mine", scenario=scenario)
        assert answer["rows"] == 4
        rows = all_rows(client, set_name="production")
        assert sum(cell is None for row in rows for cell in row) == answer["missing_cells"]
        assert all(row[0] is not None and row[-1] is not None for row in rows)


def test_few_rows_of_a_class_cut_at_random_with_a_warning(bring: Bring, load: Load) -> None:
    bring("x,y\n" + "".join(f"{n},{'rare' if n == 3 else 'often'}\n" for n in range(30)))
    answer = load("training", dataset_name="mine")
    assert answer["rows"] == 18
    assert "fewer than 5 rows" in answer["warnings"][0]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_numbers_that_are_all_whole_come_back_as_numbers(
    bring: Bring, client: FlaskClient, kind: str
) -> None:
    cells = ["", "0.0", "-0.0", "1e300", "5e15", "-3.0", "12.0", "7.0", "8.0", "9e14"]
    brought = bring("x,%,y\n" + "".join(f"{x},{n}.0,{n % 2}\n" for n, x in enumerate(cells)))
    assert [column["type"] for column in brought["columns"]] == ["number", "number", "integer"]
    file = fetch(client, f"{DATASETS}/mine/export?format={kind}").data
    again = bring(file, status=200)
    assert again["dataset_version"] == 1 and not again["created"]


def test_long_whole_numbers_that_are_equal_as_others_are_described(
    bring: Bring, client: FlaskClient
) -> None:
    bring("id,y\n" + "".join(f"{461168601842738790 + n},{n % 2}\n" for n in range(20)))
    found = client.get(f"{DATASETS}/mine").json["profile"][0]
    assert (found["type"], found["distinct"]) == ("integer", 20)
    assert found["minimum"] == found["maximum"] == 461168601842738790.0


def test_a_table_is_described(bring: Bring, client: FlaskClient, load: Load) -> None:
    bring(MIXED, id_column="id")
    load("training", dataset_name="mine")
    found = client.get(f"{DATASETS}/mine").json
    assert found["loaded_sets"] == {"training": 12}
    profile = {column["name"]: column for column in found["profile"]}
    assert profile["größe (cm)"]["missing"] == 1
    assert sum(profile["größe (cm)"]["histogram"]["counts"]) == 19
    assert profile["count"]["missing"] == 4
    assert profile["count"]["maximum"] == 9007199254740992.0
    assert profile["smokes"]["frequent"] == [
        {"value": False, "count": 8},
        {"value": True, "count": 8},
    ]
    assert profile["y"]["frequent"][0] == {"value": "no", "count": 12}
    assert profile["y"]["distinct"] == 2
    assert client.get(f"{DATASETS}/mine").json == found


@pytest.mark.parametrize("name", BUILTIN_DATASETS)
def test_a_built_in_dataset_is_brought_by_its_name(client: FlaskClient, name: str) -> None:
    first = client.post(DATASETS, json={"builtin": name})
    assert (first.status_code, first.json["created"]) == (201, True)
    assert client.post(DATASETS, json={"builtin": name}).status_code == 200
    found = client.get(f"{DATASETS}/{name}").json
    assert found["rows"] == len(read_builtin(name).rows)
    for column in found["profile"]:
        expected = read_builtin(name).rows[column["name"]]
        assert column["mean"] == pytest.approx(expected.mean(), abs=1e-12)
        assert column["deviation"] == pytest.approx(expected.std(ddof=0))
    assert len(all_rows(client, name)) == found["rows"]


def test_a_dataset_nobody_refers_to_is_deleted(
    bring: Bring, client: FlaskClient, load: Load, cellar_database: TestDatabase
) -> None:
    bring(MIXED)
    bring(MIXED.replace("plain", "ornate"))
    load("training", dataset_name="mine", dataset_version=1)
    answer = client.delete(f"{DATASETS}/mine", query_string={"version": 1})
    assert answer.json["deleted_versions"] == [1]
    assert client.get(f"{DATASETS}/mine", query_string={"version": 1}).status_code == 404
    assert client.delete(f"{DATASETS}/mine").json["deleted_versions"] == [2]
    assert client.delete(f"{DATASETS}/mine").status_code == 404
    left = "SELECT count(*) FROM pg_tables WHERE schemaname = 'samples'"
    assert cellar_database.rows(left) == [(0,)]


def test_a_dataset_that_a_model_saw_stays(
    client: FlaskClient,
    load: Load,
    state: Callable[[], Any],
    score: Callable[[str, str], None],
) -> None:
    load("production")
    score("wine", "production")
    before = state()
    answer = client.delete(f"{DATASETS}/wine")
    assert answer.status_code == 409
    assert "a model version, a scoring, a prediction" in answer.json["message"]
    assert state() == before


LINES = "".join(f"{n},{n % 2}\n" for n in range(20))
LIES: dict[str, tuple[bytes, dict[str, str], str]] = {
    "empty": (b"", {}, "empty"),
    "header only": (b"x,y\n", {}, "0 rows"),
    "one row": (b"x,y\n1,2\n", {}, "1 rows"),
    "too short record": (f"x,y\n{LINES}7\n{LINES}".encode(), {}, "Line 22: 1 cells"),
    "too long record": (f"x,y\n{LINES}7,8,9\n{LINES}".encode(), {}, "Line 22: 3 cells"),
    "open quote": (f'x,y\n{LINES}"7,8\n{LINES}'.encode(), {}, "Line 22"),
    "latin-1": (f"x,y\n{LINES}é,1\n".encode("latin-1"), {}, "Line 22: the text is not UTF-8"),
    "utf-16": (f"x,y\n{LINES}".encode("utf-16"), {}, "UTF-16"),
    "cut off character": (f"x,y\n{LINES}1,é".encode()[:-1], {}, "cut off"),
    "NUL": (f"x,y\n{LINES}\0,1\n".encode(), {}, "Line 22: there is a NUL"),
    "a long line": (b"x" * 2**26, {}, "Line 1: the header is longer"),
    "a long line later": (f"x,y\n{LINES}".encode() + b"7" * 2**26, {}, "Line 22, column 'x': a"),
    "a long cell at the end": (f"x,y\n{LINES}7,".encode() + b"8" * 2**26 + b"\n", {},
                               "Line 22, column 'y': a line"),
    "a long cell": (f'x,y\n{LINES}7,"{"word " * 2**22}"\n'.encode(), {}, "Line 22, column 'y': a"),
    "a long cell of lines": (f'x,y\n{LINES}"{("word" + chr(10)) * 2**22}",7\n'.encode(), {},
                             "Line 22, column 'x': a line or a cell is longer than 2000000"),
    "cut off gzip": (gzip.compress(f"x,y\n{LINES}".encode())[:-9], {}, "cut off"),
    "damaged gzip": (gzip.compress(b"x,y\n1,2\n")[:-8] + b"\1" * 8, {}, "damaged"),
    "gzip twice": (gzip.compress(gzip.compress(b"x")), {}, "twice"),
    "cut off Parquet": (b"PAR1" + b"\0" * 100, {}, "Parquet file is damaged"),
    "spreadsheet": (b"PK\x03\x04" + b"\0" * 100, {}, "spreadsheet"),
    "a name twice": (f"x,x,y\n{LINES}".encode(), {}, "column 'x': the name is given twice"),
    "a name but for capitals": (f"x,X,y\n{LINES}".encode(), {}, "capitals"),
    "a name with a line end": (f'"x\r\n",y\n{LINES}'.encode(), {}, "line end"),
    "line ends of two kinds": (f"x,y\n{LINES}7,1\r\n{LINES}".encode(), {}, "line ends"),
    "a name of PostgreSQL's": (f"xmin,y\n{LINES}".encode(), {}, "'xmin': the name is taken"),
    "no name": (f"x,,y\n{LINES}".encode(), {}, "column 2 has no name"),
    "long name": (f"{'é' * 32},y\n{LINES}".encode(), {}, "63 bytes"),
    "taken name": (f"set_name,y\n{LINES}".encode(), {}, "taken"),
    "10,000 columns": ((",".join(f"c{n}" for n in range(10_000)) + "\n").encode(), {}, "at most"),
    "one column": (b"y\n" + b"1\n2\n" * 20, {}, "only one column"),
    "no such target": (f"x,z\n{LINES}".encode(), {}, "no column 'y'"),
    "no such id": (f"x,y\n{LINES}".encode(), {"id_column": "z"}, "no column 'z'"),
    "no such type": (f"x,y\n{LINES}".encode(), {"types": '{"z": "text"}'}, "no column 'z'"),
    "target is id": (f"x,y\n{LINES}".encode(), {"id_column": "y"}, "cannot be the id"),
    "nothing to learn from": (f"x,y\n{LINES}".encode(), {"id_column": "x"}, "no column left"),
    "id twice": (f"z,x,y\n{('7,' + LINES.replace(chr(10), chr(10) + '7,'))[:-2]}".encode(),
                 {"id_column": "z"}, "'7' is there twice"),
    "one class": (("x,y\n" + "".join(f"{n},no\n" for n in range(20))).encode(), {}, "every row"),
    "all missing": (("x,z,y\n" + "".join(f"{n},,{n}\n" for n in range(20))).encode(), {},
                    "Column 'z': has no value"),
    "target missing": (f"x,y\n{LINES}7,\n{LINES}".encode(), {}, "Line 22, column 'y'"),
    "wrong type": (f"x,y\n{LINES}seven,1\n".encode(), {"types": '{"x": "number"}'},
                   "Line 22, column 'x': 'seven' is no finite number"),
    "fraction": (f"x,y\n{LINES}7.5,1\n".encode(), {"types": '{"x": "integer"}'},
                 "'7.5' is no finite integer"),
    "classes with fractions": (("x,y\n" + "".join(f"{n},{n / 2}\n" for n in range(20))).encode(),
                               {"task": "classification"}, "fractions"),
    "regression of text": (("x,y\n" + "".join(f"{n},a{n}\n" for n in range(20))).encode(),
                           {"task": "regression"}, "a regression needs numbers"),
    "name of a built-in": (f"x,y\n{LINES}".encode(), {"dataset_name": "wine"}, "another name"),
    "bad name": (f"x,y\n{LINES}".encode(), {"dataset_name": "My table"}, "dataset_name"),
    "unknown field": (f"x,y\n{LINES}".encode(), {"taget": "y"}, "taget"),
    "types as text": (f"x,y\n{LINES}".encode(), {"types": "number"}, "types"),
}  # fmt: skip


@pytest.mark.parametrize("name", LIES)
def test_a_file_that_lies_is_refused_whole(
    bring: Bring, load: Load, state: Callable[[], Any], name: str
) -> None:
    load("training")
    before = state()
    content, fields, said = LIES[name]
    answer = bring(content, 400, **fields)
    assert {"error", "message"} <= set(answer) <= {"error", "message", "details"}
    assert said in answer["message"], answer
    assert state() == before


@pytest.mark.parametrize(("cell", "status"), [("1.5", 201), ("some words that need room", 400)])
def test_the_widest_table_has_room_for_numbers(bring: Bring, cell: str, status: int) -> None:
    header = ",".join([*(f"c{n}" for n in range(899)), "y"])
    rows = [",".join([*[cell] * 899, str(n % 2)]) for n in range(20)]
    answer = bring("\n".join([header, *rows]), status)
    if status == 400:
        assert "8 kB" in answer["message"]


PARQUET_LIES = {
    "nanoseconds": (
        "SELECT TIMESTAMP_NS '2024-01-01 00:00:00.000000001' AS x, n AS y FROM range(20) t(n)",
        "Row 1, column 'x': '2024-01-01 00:00:00' is finer than a microsecond",
    ),
    "far away": (
        "SELECT DATE '12024-01-01' AS x, n AS y FROM range(20) t(n)",
        "Row 1, column 'x': '12024-01-01' is no date",
    ),
    "nested": ("SELECT [n] AS x, n AS y FROM range(20) t(n)", "has the type BIGINT[]"),
    "infinite": ("SELECT 1 / (n - 7.0)::DOUBLE AS x, n AS y FROM range(20) t(n)", "Row 8, column"),
    "too large": ("SELECT n::UTINYINT AS x, NULL::INT AS y FROM range(20) t(n)", "no value at all"),
}


@pytest.mark.parametrize("name", PARQUET_LIES)
def test_parquet_that_lies_is_refused_whole(bring: Bring, tmp_path: Path, name: str) -> None:
    query, said = PARQUET_LIES[name]
    assert said in bring(parquet_of(query, tmp_path), 400)["message"]


def test_parquet_brings_its_own_types(bring: Bring, client: FlaskClient, tmp_path: Path) -> None:
    query = (
        "SELECT n::SMALLINT AS i, n::FLOAT / 4 AS f, (n * 1.25)::DECIMAL(9, 2) AS d, n > 3 AS b,"
        " '007' AS t, DATE '2024-02-28' + n::INT AS day, CASE WHEN n = 5 THEN 'nan'::DOUBLE ELSE"
        " n END AS gap, n % 2 = 0 AS y FROM range(20) t(n)"
    )
    answer = bring(parquet_of(query, tmp_path))
    assert pairs(answer) == {
        "i": "integer",
        "f": "number",
        "d": "number",
        "b": "boolean",
        "t": "text",
        "day": "date",
        "gap": "number",
        "y": "boolean",
    }
    assert answer["classes"] == [False, True]
    assert all_rows(client)[5] == [5, 1.25, 6.25, True, "007", "2024-03-04", None, False]


TIMES = "day,moment,x,y\n" + "".join(
    f"{'' if n == 3 else f'2024-02-{n + 10}'},2024-02-{n + 10}T23:30:00.5-01:00,{n},{n % 2}\n"
    for n in range(20)
)


@pytest.mark.parametrize("format_", ["csv", "parquet"])
def test_dates_and_times_go_in_and_out(
    bring: Bring,
    client: FlaskClient,
    cellar_database: TestDatabase,
    tmp_path: Path,
    format_: str,
) -> None:
    first = bring(TIMES)
    assert pairs(first) == {"day": "date", "moment": "timestamp", "x": "integer", "y": "integer"}
    assert all_rows(client)[2:4] == [
        ["2024-02-12", "2024-02-13T00:30:00.500000Z", 2, 0],
        [None, "2024-02-14T00:30:00.500000Z", 3, 1],
    ]
    types = (
        "SELECT data_type FROM information_schema.columns WHERE table_name = 'mine_v1_source'"
        " AND column_name IN ('day', 'moment') ORDER BY column_name"
    )
    assert cellar_database.rows(types) == [("date",), ("timestamp with time zone",)]
    profile = {one["name"]: one for one in client.get(f"{DATASETS}/mine").json["profile"]}
    assert profile["day"]["missing"] == 1 and profile["day"]["distinct"] == 19
    assert (profile["day"]["minimum"], profile["day"]["maximum"]) == ("2024-02-10", "2024-02-29")
    histogram = profile["day"]["histogram"]
    assert (histogram["edges"][0], histogram["edges"][-1]) == ("2024-02-10", "2024-02-29")
    assert histogram["edges"][1] == "2024-02-10T22:48:00Z"
    assert sum(histogram["counts"]) == 19 and len(histogram["counts"]) == 20
    assert profile["moment"]["frequent"][0]["value"] == "2024-02-11T00:30:00.500000Z"

    export = fetch(client, f"{DATASETS}/mine/export?format={format_}").data
    if format_ == "parquet":
        (tmp_path / "table.parquet").write_bytes(export)
        found = duckdb.read_parquet(str(tmp_path / "table.parquet")).types[:2]
        assert list(map(str, found)) == ["DATE", "TIMESTAMP WITH TIME ZONE"]
    again = bring(export, 200)
    assert again["content_hash"] == first["content_hash"]
    # As text they are what the file holds, and as another type of time what loses nothing.
    texts = bring(TIMES, types=json.dumps({"day": "text", "moment": "text"}))
    assert pairs(texts)["moment"] == "text"
    assert pairs(bring(TIMES, types=json.dumps({"day": "timestamp"})))["day"] == "timestamp"
    refused = bring(TIMES, 400, types=json.dumps({"moment": "date"}))
    assert "Line 2, column 'moment'" in refused["message"]
    assert "the target is a time" in bring(TIMES, 400, target="moment")["message"]


def test_times_only_go_missing_in_production(bring: Bring, client: FlaskClient, load: Load) -> None:
    bring(TIMES)
    answer = load("production", dataset_name="mine", scenario="missing")
    rows = all_rows(client, set_name="production")
    assert answer["rows"] == len(rows) == 4
    assert any(row[1] is None for row in rows)
    kept = {row[1] for row in rows} - {None}
    assert kept < {f"2024-02-{n + 11}T00:30:00.500000Z" for n in range(20)} | {
        "2024-03-01T00:30:00.500000Z"
    }


def test_a_parquet_file_cut_off_anywhere_is_refused(bring: Bring, tmp_path: Path) -> None:
    whole = parquet_of("SELECT n AS x, n % 2 AS y FROM range(50) t(n)", tmp_path)
    for length in range(8, len(whole), max(1, len(whole) // 10)):
        bring(whole[:length], 400)
    bring(whole)


def test_a_file_over_the_limit_is_too_large(
    client: FlaskClient, make_settings: Any, state: Callable[[], Any]
) -> None:
    from simulator.app import create_app
    from simulator.settings import Settings

    small = create_app(make_settings(Settings, max_upload_bytes=2048)).test_client()
    packed = gzip.compress(b"x,y\n" + b"1,2\n" * 10_000)
    assert len(packed) < 1024
    for content, status in ((b"x,y\n" + b"1,2\n" * 1000, 413), (packed, 400)):
        form = {"dataset_name": "mine", "target": "y", "file": (io.BytesIO(content), "t")}
        answer = small.post(DATASETS, data=form, content_type="multipart/form-data")
        assert answer.status_code == status
        assert "CELLAR_MAX_UPLOAD_BYTES" in answer.json["message"]


@pytest.mark.parametrize("content_type", ["multipart/form-data", "multipart/form-data; boundary=x"])
def test_a_form_that_is_none_is_refused(client: FlaskClient, content_type: str) -> None:
    answer = client.post(DATASETS, data=b"--x\r\nnothing", content_type=content_type)
    assert answer.status_code == 400


def test_nothing_is_left_in_the_folder(make_settings: Any, tmp_path: Path) -> None:
    from simulator.app import create_app
    from simulator.settings import Settings

    client = create_app(make_settings(Settings, upload_folder=str(tmp_path))).test_client()
    for content in (gzip.compress(MIXED.encode()), b"y\n"):
        form = {"dataset_name": "mine", "target": "y", "file": (io.BytesIO(content), "t")}
        client.post(DATASETS, data=form, content_type="multipart/form-data")
    client.get(f"{DATASETS}/mine/export?format=parquet").close()
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_there_is_not_found(client: FlaskClient) -> None:
    for path in ("", "/rows", "/export"):
        assert client.get(f"{DATASETS}/nothing{path}").status_code == 404
    assert client.get(f"{DATASETS}/nothing/rows?set_name=training").status_code == 404
    client.post(DATASETS, json={"builtin": "wine"})
    answer = client.get(f"{DATASETS}/wine/rows?set_name=training")
    assert answer.status_code == 409 and "POST /root/simulator" in answer.json["message"]


def test_a_set_is_exported(client: FlaskClient, load: Load) -> None:
    load("production")
    export = fetch(client, f"{DATASETS}/wine/export?set_name=production")
    read = list(csv.reader(io.StringIO(export.text)))
    assert len(read) == 37 and read[0] == list(read_builtin("wine").rows.columns)
    frame = pd.read_csv(io.StringIO(export.text))
    assert int(frame.isna().sum().sum()) == 26


def test_a_table_of_several_chunks_is_cut_as_if_it_were_one(
    bring: Bring, load: Load, cellar_database: TestDatabase
) -> None:
    n_rows = 2 * CHUNK_ROWS + 20_000
    labels = np.arange(n_rows) % 3
    table = pd.DataFrame({"key": np.arange(n_rows), "x": np.arange(n_rows) / 7, "y": labels})
    bring(table.to_csv(index=False), id_column="key")
    rows = {name: load(name, dataset_name="mine")["rows"] for name in SET_NAMES}
    assert rows == {"training": 72_000, "testing": 24_000, "production": 24_000}
    found = {
        name: np.array(keys)
        for name, keys in cellar_database.rows(
            "SELECT set_name, array_agg(key ORDER BY row_number) FROM samples.mine_v1 GROUP BY 1"
        )
    }
    assert sorted(np.concatenate(list(found.values()))) == list(range(n_rows))
    for name, keys in found.items():
        assert (np.bincount(labels[keys]) == rows[name] // 3).all()
        # Drawn and put in order at random; it does not matter whether the rows are fouled.
        assert abs(np.corrcoef(keys, np.arange(len(keys)))[0, 1]) < 0.03
    load("production", dataset_name="mine", scenario="clean")
    clean = cellar_database.rows(
        "SELECT array_agg(key ORDER BY row_number), max(row_number) FROM samples.mine_v1"
        " WHERE set_name = 'production'"
    )
    assert clean == [(found["production"].tolist(), rows["production"] - 1)]
    load("production", dataset_name="mine")
    # Every block is moved the same way, by about one standard deviation.
    moves = cellar_database.rows(
        "SELECT p.key / 50000, avg(p.x - s.x), count(*) - count(p.x), count(*) FROM samples.mine_v1"
        " AS p JOIN samples.mine_v1_source AS s USING (key) WHERE set_name = 'production'"
        " GROUP BY 1 ORDER BY 1"
    )
    assert [block for block, *_ in moves] == [0, 1, 2]
    assert len({move > 0 for _, move, *_ in moves}) == 1
    for _, move, missing, count in moves:
        assert abs(move) == pytest.approx(table["x"].std(), rel=0.1)
        assert missing == round(0.05 * count)
    query = "SELECT sum(x), count(x) FROM samples.mine_v1 WHERE set_name = 'production'"
    before = cellar_database.rows(query)
    load("production", dataset_name="mine", seed=7)
    assert cellar_database.rows(query) != before
    load("production", dataset_name="mine")
    assert cellar_database.rows(query)[0] == pytest.approx(before[0])
