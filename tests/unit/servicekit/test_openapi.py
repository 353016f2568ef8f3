"""The API description says what the code does."""

from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient


@pytest.fixture
def document(client: FlaskClient) -> dict[str, Any]:
    """The service's own description."""
    return dict(client.get("/openapi.json").get_json())


def test_every_route_is_described(app: Flask, document: dict[str, Any]) -> None:
    described = set(document["paths"])
    served = {
        rule.rule.replace("<", "{").replace(">", "}").rstrip("/")
        for rule in app.url_map.iter_rules()
        if not rule.endpoint.startswith("swagger_ui")
    }
    assert served <= described


def test_body_answers_and_errors_are_described(document: dict[str, Any]) -> None:
    operation = document["paths"]["/root/shelf"]["post"]
    assert set(operation["responses"]) == {
        "201", "400", "403", "409", "413", "415", "422", "500", "503",
    }  # fmt: skip
    media = operation["requestBody"]["content"]["application/json"]
    assert media["example"] == {"name": "Barolo"}
    bottle = document["components"]["schemas"]["Bottle"]
    assert bottle["additionalProperties"] is False
    assert bottle["required"] == ["name"]


def test_errors_refer_to_the_one_shape(document: dict[str, Any]) -> None:
    error = document["components"]["schemas"]["ErrorAnswer"]
    assert set(error["required"]) == {"error", "message"}
    responses = document["paths"]["/root/fail/{kind}"]["get"]["responses"]
    for status in ("404", "409", "500", "503"):
        schema = responses[status]["content"]["application/json"]["schema"]
        assert schema == {"$ref": "#/components/schemas/ErrorAnswer"}


def test_query_and_path_parameters_are_described(document: dict[str, Any]) -> None:
    query = document["paths"]["/root/shelf"]["get"]["parameters"]
    assert {item["name"]: item["required"] for item in query} == {"limit": False, "name": False}
    path = document["paths"]["/root/fail/{kind}"]["get"]["parameters"]
    assert [(item["name"], item["in"], item["required"]) for item in path] == [
        ("kind", "path", True)
    ]


def test_every_reference_has_its_target(document: dict[str, Any]) -> None:
    def references(value: Any) -> list[str]:
        if isinstance(value, dict):
            own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
            return own + [ref for item in value.values() for ref in references(item)]
        if isinstance(value, list):
            return [ref for item in value for ref in references(item)]
        return []

    found = references(document)
    assert found
    for reference in found:
        target: Any = document
        for part in reference.removeprefix("#/").split("/"):
            target = target[part]


def test_operation_ids_are_unique(document: dict[str, Any]) -> None:
    ids = [
        operation["operationId"]
        for operations in document["paths"].values()
        for operation in operations.values()
        if "operationId" in operation
    ]
    assert len(ids) == len(set(ids))


def test_interactive_page_is_local(client: FlaskClient) -> None:
    page = client.get("/docs")
    assert page.status_code == 200
    assert page.mimetype == "text/html"
    assert "http://" not in page.text.replace("http://localhost", "")
    assert "https://" not in page.text
    with client.get("/docs/swagger-ui-bundle.js") as script:
        assert script.status_code == 200
