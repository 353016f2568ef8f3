"""The contract of an endpoint, declared where it is served, and the one error table.

`endpoint` states what a method takes and answers; the OpenAPI document is made from the same
declaration. `Api` lets errors through to the table below: Flask-RESTful would otherwise answer
them itself.
"""

import functools
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, NoReturn

import flask_restful
import psycopg2
from flask import Flask, Response, request
from pydantic import BaseModel, TypeAdapter
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import HTTPException

from servicekit.database import DatabaseUnavailable, is_outage
from servicekit.errors import (
    Conflict,
    DomainError,
    Forbidden,
    Impossible,
    Invalid,
    NotFound,
    Unavailable,
)
from servicekit.request_body import check_no_body, parse_body, parse_query
from servicekit.upload import is_upload, received_upload
from servicekit.wire import ErrorAnswer, ErrorDetail

log = logging.getLogger(__name__)

STATUS_OF: Mapping[type[DomainError], int] = {
    Invalid: 400,
    Forbidden: 403,
    NotFound: 404,
    Conflict: 409,
    Impossible: 422,
    Unavailable: 503,
}

HTTP_ADVICE: Mapping[int, tuple[str, str]] = {
    400: ("Bad request", "The request could not be read. Check the URL, the headers and the body."),
    404: ("Not found", "There is no such path. The paths of this service are listed at /docs."),
    405: (
        "Method not allowed",
        "This path does not take that method; see the Allow header and /docs.",
    ),
    413: (
        "Body too large",
        "Send less; the limit is CELLAR_MAX_BODY_BYTES, for a file CELLAR_MAX_UPLOAD_BYTES.",
    ),
    414: ("Address too long", "Send what is long in the body, not in the URL."),
    415: ("Not JSON", "Send the body as JSON with the header Content-Type: application/json."),
    431: ("Headers too large", "Send fewer or shorter headers."),
    500: ("Internal error", "The fault is ours. Quote the X-Request-ID header when you report it."),
    501: ("Unknown transfer coding", "Send the body whole or as chunks."),
}


DISCARD_BYTES = 64 * 1024 * 1024
"""How much of an oversized body is read and thrown away at most."""


@dataclass(frozen=True)
class EndpointSpec:
    """What a method takes and answers; `servicekit.openapi` reads it."""

    summary: str
    body: Any
    query: type[BaseModel] | None
    answers: Mapping[int, Any]
    errors: Sequence[int]
    media: Sequence[str] = ()
    description: str = ""
    body_example: Any = None
    upload: type[BaseModel] | None = None


@dataclass(frozen=True)
class Route:
    """A resource class, its path and what its constructor needs."""

    resource: type[flask_restful.Resource]
    path: str
    kwargs: Mapping[str, Any] = field(default_factory=dict)


class Api(flask_restful.Api):  # type: ignore[misc]
    """Flask-RESTful without its own error answers, so that every error takes the one shape."""

    def handle_error(self, e: Exception) -> NoReturn:
        raise e


def endpoint(
    *,
    summary: str,
    answers: Mapping[int, Any],
    body: Any = None,
    query: type[BaseModel] | None = None,
    errors: Sequence[int] = (),
    media: Sequence[str] = (),
    example: Any = None,
    upload: type[BaseModel] | None = None,
    json_types: Sequence[str] = (),
    nan_is_null: bool = False,
) -> Callable[[Callable[..., Any]], Callable[..., Response]]:
    """Declare a resource method: parse and validate before it, serialise after it.

    Parameters
    ----------
    summary : one line for the API description; the method's docstring is the longer text.
    answers : status to answer type (a pydantic model; None where the answer is not JSON).
    body : a request model or annotated union; passed as `body=`.
    query : a request model for the query string; passed as `query=`.
    errors : the statuses this method can answer besides those that every method can.
    media : further content types of the answer, e.g. `text/html`.
    example : a body that succeeds, shown in the API description.
    upload : a request model for a form with files, which may come instead of `body`; passed as
        `body=`. The service gives `create_service` its rules for uploads.
    json_types : further content types of a JSON body, for clients that declare it so; "" is none.
    nan_is_null : take the token NaN in a body as null, for clients that write a missing value so.

    The method returns an answer model, or (model, status), or a Flask response as it is.
    """
    adapter: TypeAdapter[Any] | None = TypeAdapter(body) if body is not None else None

    def decorate(method: Callable[..., Any]) -> Callable[..., Response]:
        @functools.wraps(method)
        def serve(self: Any, **path_values: Any) -> Response:
            with ExitStack() as stack:
                if upload is not None and is_upload(request):
                    path_values["body"] = stack.enter_context(received_upload(request, upload))
                elif adapter is not None:
                    path_values["body"] = parse_body(
                        request, adapter, json_types, nan_is_null=nan_is_null
                    )
                elif request.method == "POST":
                    check_no_body(request)
                if query is not None:
                    path_values["query"] = parse_query(request, query)
                answer = method(self, **path_values)
            if isinstance(answer, Response):
                return answer
            model, status = answer if isinstance(answer, tuple) else (answer, min(answers))
            return json_response(model, status)

        serve.endpoint_spec = EndpointSpec(  # type: ignore[attr-defined]
            summary=summary,
            body=body,
            query=query,
            answers=answers,
            errors=errors,
            media=media,
            description=(method.__doc__ or "").strip(),
            body_example=example,
            upload=upload,
        )
        return serve

    return decorate


def json_response(model: BaseModel, status: int) -> Response:
    """Serialise an answer; NaN never reaches the wire."""
    payload = model.model_dump(mode="json", by_alias=True)
    text = json.dumps(payload, ensure_ascii=False, allow_nan=False)
    return Response(text + "\n", status=status, mimetype="application/json")


def error_response(
    status: int, error: str, message: str, details: Sequence[ErrorDetail] = ()
) -> Response:
    """Make the one error answer."""
    answer = ErrorAnswer(error=error, message=message, details=list(details) or None)
    payload = answer.model_dump(mode="json", exclude_none=True)
    text = json.dumps(payload, ensure_ascii=False)
    return Response(text + "\n", status=status, mimetype="application/json")


def discard_body() -> None:
    """Read what is left of the request's body, up to `DISCARD_BYTES`.

    A client that is still sending when the connection closes sees a broken pipe and never the
    answer that says why.
    """
    stream, left = request.environ["wsgi.input"], DISCARD_BYTES
    try:
        while left > 0 and (chunk := stream.read(min(left, 65536))):
            left -= len(chunk)
    except (OSError, ValueError):
        log.debug("The rest of an oversized body could not be read")


def status_of(error: DomainError) -> int:
    """Return the HTTP status of a domain error, by its nearest ancestor in the table."""
    return next((STATUS_OF[cls] for cls in type(error).__mro__ if cls in STATUS_OF), 500)


def register_error_table(app: Flask) -> None:
    """Answer every error of the application in the contract's shape."""

    @app.errorhandler(DomainError)
    def answer_domain_error(error: DomainError) -> Response:
        status = status_of(error)
        details = [ErrorDetail(path=item.path, problem=item.problem) for item in error.details]
        log.log(
            logging.WARNING if status >= 500 else logging.INFO,
            "%s: %s",
            type(error).__name__,
            error,
            exc_info=error.__cause__ if status >= 500 else None,
        )
        response = error_response(status, error.error, error.message, details)
        if status == 503:
            response.headers["Retry-After"] = "2"
        return response

    # COPY runs on the driver's connection, past SQLAlchemy and its wrapping of errors.
    @app.errorhandler(psycopg2.Error)
    @app.errorhandler(DBAPIError)
    def answer_database_error(error: DBAPIError | psycopg2.Error) -> Response:
        if is_outage(error):
            return answer_domain_error(DatabaseUnavailable())
        return answer_bug(error)

    @app.errorhandler(PoolTimeout)
    def answer_pool_timeout(error: PoolTimeout) -> Response:
        return answer_domain_error(
            DatabaseUnavailable("All database connections are in use; try again in a moment.")
        )

    @app.errorhandler(HTTPException)
    def answer_http_error(error: HTTPException) -> Response:
        status = error.code or 500
        if status < 400:
            return error.get_response()  # type: ignore[return-value]
        if status == 413:
            discard_body()
        cause, advice = HTTP_ADVICE.get(status, (error.name, error.description or error.name))
        response = error_response(status, cause, advice)
        for name, value in error.get_headers():
            if name.lower() in {"allow", "retry-after"}:
                response.headers[name] = value
        return response

    @app.errorhandler(Exception)
    def answer_bug(error: Exception) -> Response:
        log.error("Unhandled error", exc_info=error)
        return error_response(500, *HTTP_ADVICE[500])
