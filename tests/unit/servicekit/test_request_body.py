"""What a caller may send, and what is refused with which advice."""

import json
from typing import Any

import pytest
from flask.testing import FlaskClient

PATH = "/root/shelf"


def post_raw(client: FlaskClient, raw: bytes, content_type: str = "application/json") -> Any:
    return client.post(PATH, data=raw, content_type=content_type)


def assert_refused(answer: Any, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.mimetype == "application/json"
    body = answer.get_json()
    assert set(body) <= {"error", "message", "details"}
    assert body["error"] and body["message"]
    return dict(body)


def test_valid_body_reaches_the_handler_with_its_defaults(client: FlaskClient) -> None:
    answer = client.post(PATH, json={"name": "Barolo", "litres": 1})
    assert answer.status_code == 201
    assert answer.get_json() == {
        "message": "stored",
        "bottle": {"name": "Barolo", "litres": 1.0, "tags": {}, "year": None},
    }


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"{", id="cut off"),
        pytest.param(b"{'name': 'x'}", id="single quotes"),
        pytest.param(b'{"name": "x"} {}', id="two documents"),
        pytest.param(b'{"name": "x", "litres": NaN}', id="NaN"),
        pytest.param(b'{"name": "x", "litres": Infinity}', id="Infinity"),
        pytest.param(b'{"name": "x", "litres": -Infinity}', id="-Infinity"),
        pytest.param(b'{"name": "x", "litres": 1e999}', id="beyond float"),
        pytest.param(b'{"name": "x", "year": 99999999999999999999}', id="beyond 64 bits"),
        pytest.param(b'{"name": "x", "year": ' + b"9" * 4000 + b"}", id="4000 digits"),
        pytest.param(b'{"name": "\xff\xfe"}', id="not UTF-8"),
        pytest.param('{"name": "x"}'.encode("utf-16"), id="UTF-16"),
        pytest.param(b'\xef\xbb\xbf{"name": "x"}', id="byte order mark"),
        pytest.param(b'{"name": "a\\u0000b"}', id="NUL"),
        pytest.param(b'{"name": "\\ud800"}', id="half a surrogate pair"),
        pytest.param(b'{"name": "x", "tags": {"\\ud800": 1}}', id="half a pair in a key"),
        pytest.param(b'{"name": "x", "name": "y"}', id="key twice"),
        pytest.param(b'{"name":"x","tags":' + b'{"a":' * 40 + b"1" + b"}" * 41, id="40 deep"),
        pytest.param(b"[" * 2000 + b"]" * 2000, id="2000 deep"),
    ],
)
def test_malformed_bodies_are_400(client: FlaskClient, raw: bytes) -> None:
    assert_refused(post_raw(client, raw), 400)


@pytest.mark.parametrize(
    "number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "99999999999999999999"]
)
def test_a_number_beyond_use_is_refused_with_its_place(client: FlaskClient, number: str) -> None:
    raw = f'{{"name": "x", "tags": {{"rows": [[1, 2], [3, 4, {number}]]}}}}'
    body = assert_refused(post_raw(client, raw.encode()), 400)
    assert body["error"] == "Malformed JSON"
    assert [item["path"] for item in body["details"]] == ["tags.rows.1.2"]
    assert body["message"].startswith("tags.rows.1.2 is ")


@pytest.mark.parametrize("value", [[], [{"name": "x"}], "name", 7, None, True])
def test_only_an_object_is_a_body(client: FlaskClient, value: Any) -> None:
    body = assert_refused(post_raw(client, json.dumps(value).encode()), 400)
    assert "object" in body["message"]


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({}, "name"),
        ({"name": None}, "name"),
        ({"name": 7}, "name"),
        ({"name": "x", "nmae": "y"}, "nmae"),
        ({"name": "x", "litres": "0.75"}, "litres"),
        ({"name": "x", "litres": True}, "litres"),
        ({"name": "x", "year": 1899}, "year"),
        ({"name": "x", "year": 2000.5}, "year"),
        ({"name": "x", "tags": []}, "tags"),
    ],
)
def test_bad_field_is_named(client: FlaskClient, body: Any, path: str) -> None:
    answer = assert_refused(client.post(PATH, json=body), 400)
    assert [item["path"] for item in answer["details"]] == [path]
    assert all(item["problem"] for item in answer["details"])


def test_many_bad_fields_give_a_bounded_list(client: FlaskClient) -> None:
    body = {"name": "x"} | {f"key{number}": number for number in range(200)}
    assert len(assert_refused(client.post(PATH, json=body), 400)["details"]) == 20


def test_union_is_told_apart_by_its_key(client: FlaskClient) -> None:
    red = client.post("/root/pour", json={"colour": "red", "tannin": 1})
    white = client.post("/root/pour", json={"colour": "white", "sugar": 1})
    assert (red.get_json()["message"], white.get_json()["message"]) == ("Red", "White")
    assert_refused(client.post("/root/pour", json={"colour": "blue"}), 400)
    assert_refused(client.post("/root/pour", json={"colour": "red", "sugar": 1}), 400)


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""]
)
def test_other_content_types_are_415(client: FlaskClient, content_type: str) -> None:
    assert_refused(post_raw(client, b'{"name": "x"}', content_type), 415)


def test_content_type_may_carry_a_charset(client: FlaskClient) -> None:
    answer = post_raw(client, b'{"name": "x"}', "application/json; charset=utf-8")
    assert answer.status_code == 201


def test_oversized_body_is_413(client: FlaskClient) -> None:
    assert_refused(client.post(PATH, json={"name": "x" * 5000}), 413)


def test_answer_keeps_letters_of_every_alphabet(client: FlaskClient) -> None:
    answer = client.post(PATH, json={"name": "Château 葡萄酒 🍷"})
    assert "Château 葡萄酒 🍷" in answer.text


def test_query_numbers_are_read_from_text(client: FlaskClient) -> None:
    answer = client.get(f"{PATH}?limit=25&name=Barolo")
    assert answer.get_json()["bottle"] == {"limit": 25, "name": "Barolo"}


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ("limit=0", "limit"),
        ("limit=many", "limit"),
        ("limit=1&limit=2", "limit"),
        ("litres=1", "litres"),
    ],
)
def test_bad_query_is_named(client: FlaskClient, query: str, path: str) -> None:
    answer = assert_refused(client.get(f"{PATH}?{query}"), 400)
    assert [item["path"] for item in answer["details"]] == [path]


def test_query_with_nul_is_refused(client: FlaskClient) -> None:
    assert_refused(client.get(f"{PATH}?name=a%00b"), 400)
