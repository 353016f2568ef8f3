"""The OpenAPI 3.1 document of a service, made from the declarations its code is served by."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, TypeAdapter

from servicekit.api import HTTP_ADVICE, EndpointSpec, Route
from servicekit.telemetry import REQUEST_ID_HEADER
from servicekit.version import VERSION
from servicekit.wire import ErrorAnswer

REFERENCE = "#/components/schemas/{model}"
METHODS = ("get", "post", "put", "patch", "delete")
COMMON_ERRORS = (500, 503)
BODY_ERRORS = (400, 413, 415)
CHANGING_METHODS = ("post", "put", "patch", "delete")

TEXT: Mapping[str, Any] = {"type": "string"}
MEDIA_SCHEMAS: Mapping[str, Mapping[str, Any]] = {
    # Of one event: a stream has no end that a schema could speak of.
    "text/event-stream": {"type": "object", "properties": {"event": TEXT, "data": TEXT}},
}

ERROR_TEXT = {
    400: "Malformed JSON, or a value that is missing, of the wrong type or out of range",
    403: "From a page of another site, or by a host name that is not the service's own",
    404: "No such thing",
    409: "The lifecycle is not there yet; the message names the call that is due",
    413: "Body too large",
    415: "Not JSON",
    422: "Understood but impossible; the reason is passed on",
    500: "A fault of the service",
    503: "Something this service needs does not answer; try again later",
}


def openapi_document(title: str, description: str, routes: Sequence[Route]) -> dict[str, Any]:
    """Describe every route, its body, its answers and its errors."""
    components: dict[str, Any] = {}
    paths: dict[str, Any] = {}
    for route in routes:
        path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", route.path)
        operations = paths.setdefault(path, {})
        for method in METHODS:
            spec = getattr(getattr(route.resource, method, None), "endpoint_spec", None)
            if spec is not None:
                operations[method] = _operation(spec, path, method, components)
    paths["/openapi.json"] = {"get": _plain("This document", "application/json")}
    paths["/docs"] = {"get": _plain("Interactive page", "text/html")}
    paths["/prometheus_metrics"] = {"get": _plain("Counters for Prometheus", "text/plain")}
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": VERSION, "description": description},
        "paths": paths,
        "components": {"schemas": components},
    }


def _operation(
    spec: EndpointSpec, path: str, method: str, components: dict[str, Any]
) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": f"{method}_{re.sub(r'[^a-zA-Z0-9]+', '_', path).strip('_') or 'root'}",
        "summary": spec.summary,
        "description": spec.description,
        "parameters": _parameters(spec, path, components),
        "responses": {},
    }
    if spec.body is not None:
        media: dict[str, Any] = {"schema": _schema(spec.body, "validation", components)}
        if spec.body_example is not None:
            media["example"] = spec.body_example
        bodies = {"application/json": media}
        if spec.upload is not None:
            form = _schema(spec.upload, "validation", components)
            bodies["multipart/form-data"] = {"schema": form}
        operation["requestBody"] = {"required": True, "content": bodies}
    for status, model in spec.answers.items():
        content: dict[str, Any] = {}
        if model is not None:
            schema = _schema(model, "serialization", components)
            content["application/json"] = {"schema": schema}
        content.update({kind: {"schema": MEDIA_SCHEMAS.get(kind, TEXT)} for kind in spec.media})
        operation["responses"][str(status)] = _response(
            "Success" if status < 400 else ERROR_TEXT[status], content
        )
    errors = {*COMMON_ERRORS, *spec.errors, *_request_errors(spec, method)}
    for status in sorted(errors - set(spec.answers)):
        content = {
            "application/json": {"schema": _schema(ErrorAnswer, "serialization", components)}
        }
        operation["responses"][str(status)] = _response(
            ERROR_TEXT.get(status, HTTP_ADVICE.get(status, ("Error", ""))[0]), content
        )
    return operation


def _request_errors(spec: EndpointSpec, method: str) -> set[int]:
    """Return what can be wrong with a request before its method is called."""
    # A POST without a body of its own refuses a body.
    errors = set(BODY_ERRORS) if spec.body is not None or method == "post" else set()
    errors |= {400} if spec.query is not None else set()
    return errors | ({403} if method in CHANGING_METHODS else set())


def _parameters(spec: EndpointSpec, path: str, components: dict[str, Any]) -> list[dict[str, Any]]:
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"{(\w+)}", path)
    ]
    if spec.query is not None:
        schema = TypeAdapter(spec.query).json_schema(ref_template=REFERENCE)
        components.update(schema.pop("$defs", {}))
        required = set(schema.get("required", ()))
        parameters += [
            {"name": name, "in": "query", "required": name in required, "schema": value}
            for name, value in schema.get("properties", {}).items()
        ]
    return parameters


def _schema(model: Any, mode: Any, components: dict[str, Any]) -> dict[str, Any]:
    schema = TypeAdapter(model).json_schema(ref_template=REFERENCE, mode=mode)
    components.update(schema.pop("$defs", {}))
    if isinstance(model, type) and issubclass(model, BaseModel):
        components[model.__name__] = schema
        return {"$ref": REFERENCE.format(model=model.__name__)}
    return schema


def _response(text: str, content: dict[str, Any]) -> dict[str, Any]:
    return {
        "description": text,
        "headers": {REQUEST_ID_HEADER: {"schema": {"type": "string"}}},
        "content": content,
    }


def _plain(summary: str, media: str) -> dict[str, Any]:
    return {"summary": summary, "responses": {"200": _response("Success", {media: {"schema": {}}})}}
