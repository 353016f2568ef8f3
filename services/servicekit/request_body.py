"""From bytes to a validated request: the one place where a caller's input is parsed."""

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
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


def parse_body(
    request: Request,
    adapter: TypeAdapter[Any],
    also: Sequence[str] = (),
    *,
    nan_is_null: bool = False,
) -> Any:
    """Return the validated body.

    `also` are further content types that declare JSON here; with `nan_is_null` NaN, which JSON
    does not know and some clients write for a missing value, is taken as null.

    Raises
    ------
    RequestEntityTooLarge
        The body reaches the limit (413).
    UnsupportedMediaType
        The body is not declared as JSON (415).
    MalformedBody
        Not UTF-8, not JSON, nested beyond all use, or with text that PostgreSQL cannot hold (NUL,
        lone surrogates); or a number is NaN, infinite or beyond 64 bits, and `details` names it.
    InvalidRequest
        A key is missing, unknown or of the wrong type; `details` names each.
    """
    return _parse(request, _read(request), adapter, also, nan_is_null=nan_is_null)


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


def load_json(raw: bytes, *, nan_is_null: bool = False) -> Any:
    """Parse strict JSON; see `parse_body` for what is refused, and for `nan_is_null`."""
    constants = {"NaN": None if nan_is_null else math.nan}
    try:
        value = json.loads(
            raw.decode("utf-8"),
            # The names that are no JSON numbers are refused where their place is known.
            parse_constant=lambda token: constants.get(token, math.inf),
            object_pairs_hook=_no_repeats,
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
    try:
        _check_value(value, 1)
    except _Unusable as error:
        detail = Detail(_path(error.path), error.problem)
        message = f"{detail.path or 'The body'} {detail.problem}."
        raise MalformedBody(message, details=[detail]) from None
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
    request: Request,
    raw: bytes,
    adapter: TypeAdapter[Any],
    also: Sequence[str] = (),
    *,
    nan_is_null: bool = False,
) -> Any:
    if not request.is_json and request.mimetype not in also:
        raise UnsupportedMediaType()
    return validate(adapter, load_json(raw, nan_is_null=nan_is_null))


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


def _no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("The body holds a key twice.")
    return value


class _Unusable(Exception):
    """A value that no later layer could store; whoever holds it adds its place to `path`."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.path: tuple[int | str, ...] = ()


def _check_value(value: Any, depth: int) -> None:
    """Raise `_Unusable` for what `parse_body` refuses inside of JSON."""
    if depth > MAX_DEPTH:
        raise MalformedBody(f"The body is nested deeper than {MAX_DEPTH} levels.")
    if isinstance(value, str):
        _check_text(value)
    elif isinstance(value, dict):
        for key in value:
            _check_text(key)
        _check_all(value.items(), depth)
    elif isinstance(value, list):
        _check_all(enumerate(value), depth)
    elif isinstance(value, float):
        if value != value:
            raise _Unusable("is NaN, which is no JSON number; leave the value out or send null")
        if value in (math.inf, -math.inf):
            raise _Unusable("is infinite, or too large for a 64-bit float")
    elif isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise _Unusable("is a whole number beyond 64 bits")


def _check_all(items: Iterable[tuple[int | str, Any]], depth: int) -> None:
    place: int | str = ""
    try:
        for place, item in items:  # noqa: B007 - read where it fails
            _check_value(item, depth + 1)
    except _Unusable as error:
        error.path = (place, *error.path)
        raise


def _check_text(value: str) -> None:
    if "\x00" in value:
        raise MalformedBody("Text must not hold the NUL character.")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise MalformedBody("Text holds half of a surrogate pair.") from None
