"""From bytes to a validated request: the one place where a caller's input is parsed."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from flask import Request
from pydantic import BaseModel, TypeAdapter, ValidationError
from werkzeug.exceptions import RequestEntityTooLarge, UnsupportedMediaType

from servicekit.errors import Detail, Invalid
from servicekit.wire import RequestModel

MAX_DEPTH = 32
MAX_DETAILS = 20


class MalformedBody(Invalid):
    """Malformed JSON."""

    advice = "Send a JSON object in UTF-8, without NaN or Infinity."


class InvalidRequest(Invalid):
    """Invalid request."""

    advice = "Correct the fields listed under 'details'."


def parse_body(request: Request, adapter: TypeAdapter[Any], also: Sequence[str] = ()) -> Any:
    """Return the validated body; `also` are further content types that declare JSON here.

    Raises
    ------
    RequestEntityTooLarge
        The body reaches the limit (413).
    UnsupportedMediaType
        The body is not declared as JSON (415).
    MalformedBody
        Not UTF-8, not JSON, NaN or Infinity, a number or nesting beyond all use, or text that
        PostgreSQL cannot hold (NUL, lone surrogates).
    InvalidRequest
        A key is missing, unknown or of the wrong type; `details` names each.
    """
    return _parse(request, _read(request), adapter, also)


def check_no_body(request: Request) -> None:
    """Return where the body is absent, blank or an object without keys; else as `parse_body`."""
    raw = _read(request)
    if raw.strip():
        _parse(request, raw, TypeAdapter(RequestModel))


def parse_query(request: Request, model: type[BaseModel]) -> BaseModel:
    """Return the validated query string; a key given twice is refused."""
    refuse_repeated([key for key, values in request.args.lists() for _ in values])
    return validate_text(model, request.args.to_dict())


def refuse_repeated(keys: Sequence[str]) -> None:
    """Raise `InvalidRequest` naming each key that is there more than once."""
    repeated = sorted(key for key, count in Counter(keys).items() if count > 1)
    if repeated:
        raise InvalidRequest(details=[Detail(key, "is given more than once") for key in repeated])


def validate_text(model: type[BaseModel], values: Mapping[str, Any]) -> BaseModel:
    """Return `model` made from values that came as text, or raise `InvalidRequest`."""
    for key, value in values.items():
        _check_text(key)
        if isinstance(value, str):
            _check_text(value)
    try:
        return model.model_validate(values, strict=False)
    except ValidationError as error:
        _refuse(error)


def load_json(raw: bytes) -> Any:
    """Parse strict JSON; see `parse_body` for what is refused."""
    try:
        value = json.loads(
            raw.decode("utf-8"), parse_constant=_no_constant, object_pairs_hook=_no_repeats
        )
    except UnicodeDecodeError:
        raise MalformedBody("The body is not UTF-8.") from None
    except RecursionError:
        raise MalformedBody("The body is nested too deeply.") from None
    except json.JSONDecodeError as error:
        raise MalformedBody(
            f"{error.msg} at line {error.lineno}, column {error.colno}. Send a JSON object."
        ) from None
    except ValueError as error:
        raise MalformedBody(str(error)) from None
    _check_value(value, 1)
    return value


def validate(adapter: TypeAdapter[Any], value: Any) -> Any:
    """Return `value` as the adapter's type or raise `InvalidRequest` naming each bad field."""
    if not isinstance(value, dict):
        raise InvalidRequest("The body must be a JSON object.")
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        _refuse(error)


def _read(request: Request) -> bytes:
    raw = request.get_data(cache=False)
    if request.max_content_length is not None and len(raw) >= request.max_content_length:
        # A body sent in chunks is cut off at the limit without a word.
        raise RequestEntityTooLarge()
    return raw


def _parse(
    request: Request, raw: bytes, adapter: TypeAdapter[Any], also: Sequence[str] = ()
) -> Any:
    if not request.is_json and request.mimetype not in also:
        raise UnsupportedMediaType()
    return validate(adapter, load_json(raw))


def _refuse(error: ValidationError) -> NoReturn:
    found = error.errors(include_url=False, include_context=False, include_input=False)
    details = [Detail(_path(item["loc"]), item["msg"]) for item in found[:MAX_DETAILS]]
    raise InvalidRequest(
        "; ".join(
            f"{item.path}: {item.problem}" if item.path else item.problem for item in details[:3]
        ),
        details=details,
    ) from None


def _path(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location)


def _no_constant(token: str) -> NoReturn:
    raise ValueError(f"{token} is not a JSON number. Leave the value out or send null.")


def _no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("The body holds a key twice.")
    return value


def _check_value(value: Any, depth: int) -> None:
    """Refuse what no later layer could store: see `parse_body`."""
    if depth > MAX_DEPTH:
        raise MalformedBody(f"The body is nested deeper than {MAX_DEPTH} levels.")
    if isinstance(value, str):
        _check_text(value)
    elif isinstance(value, dict):
        for key, item in value.items():
            _check_text(key)
            _check_value(item, depth + 1)
    elif isinstance(value, list):
        for item in value:
            _check_value(item, depth + 1)
    elif isinstance(value, float):
        if value in (float("inf"), float("-inf")):
            raise MalformedBody("A number is too large for a 64-bit float.")
    elif isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise MalformedBody("A whole number is beyond 64 bits.")


def _check_text(value: str) -> None:
    if "\x00" in value:
        raise MalformedBody("Text must not hold the NUL character.")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise MalformedBody("Text holds half of a surrogate pair.") from None
