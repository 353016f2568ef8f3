"""The Postman collection knows every route, and knows no other."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

COLLECTION = "postman/Cellar.postman_collection.json"
ENVIRONMENT = "postman/Cellar.postman_environment.json"
ABUSE = "8 Abuse"


@pytest.fixture(scope="module")
def collection(root: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((root / COLLECTION).read_text())
    return loaded


def requests_of(item: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each request with the names of its folders before its own."""
    for child in item["item"]:
        name = f"{path}/{child['name']}"
        if "item" in child:
            yield from requests_of(child, name)
        else:
            yield name, child


def route_of(item: dict[str, Any]) -> tuple[str, str, str]:
    """Return (service, method, path) of a request, `{{job_id}}` as routes have it: `{job_id}`."""
    address = re.fullmatch(r"\{\{(\w+)_url\}\}(/[^?]*)(\?.*)?", item["request"]["url"]["raw"])
    assert address, f"{item['name']}: the address must start with a service's variable"
    path = address[2].replace("{{", "{").replace("}}", "}")
    return address[1], item["request"]["method"], path


def test_every_route_stands_in_the_collection(
    collection: dict[str, Any], routes: set[tuple[str, str, str]]
) -> None:
    requested = {route_of(item) for _, item in requests_of(collection)}
    assert sorted(routes - requested) == []


def test_the_walk_through_asks_only_for_routes_that_exist(
    collection: dict[str, Any], routes: set[tuple[str, str, str]]
) -> None:
    requested = {
        route_of(item) for name, item in requests_of(collection) if not name.startswith(f"/{ABUSE}")
    }
    assert {route for route in requested - routes if route[0] != "mlflow"} == set()


def test_every_request_checks_its_answer(collection: dict[str, Any]) -> None:
    for name, item in requests_of(collection):
        scripts = [
            "\n".join(event["script"]["exec"])
            for event in item["event"]
            if event["listen"] == "test"
        ]
        assert any("to.have.status(" in script for script in scripts), name


def test_every_error_class_stands_in_the_abuse_folder(collection: dict[str, Any]) -> None:
    scripts = "\n".join(
        line
        for name, item in requests_of(collection)
        if name.startswith(f"/{ABUSE}")
        for event in item["event"]
        for line in event["script"]["exec"]
    )
    asked_for = {int(code) for code in re.findall(r"to\.have\.status\((\d+)\)", scripts)}
    assert asked_for >= {400, 404, 405, 409, 413, 415, 422}


def test_every_variable_used_is_declared(root: Path, collection: dict[str, Any]) -> None:
    declared = {entry["key"] for entry in collection["variable"]}
    text = json.dumps(collection)
    used = set(re.findall(r"\{\{(\w+)\}\}", text))
    set_by_scripts = set(re.findall(r"(?:V|v)ariables\.set\(\\\"(\w+)\\\"", text))
    assert sorted(used - declared - set_by_scripts) == []
    environment = json.loads((root / ENVIRONMENT).read_text())
    addresses = {entry["key"]: entry["value"] for entry in environment["values"]}
    assert set(addresses) == {key for key in declared if key.endswith("_url")}
    assert {entry["key"]: entry["value"] for entry in collection["variable"]}.items() >= (
        addresses.items()
    )
