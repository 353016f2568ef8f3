"""A small service made of the kit alone, so that the kit is tested without any domain."""

import logging
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask_restful import Resource
from pydantic import Field, RootModel

from servicekit.api import Route, endpoint
from servicekit.app import create_service
from servicekit.errors import Conflict, Detail, Impossible, Invalid, NotFound, Unavailable
from servicekit.settings import ServiceSettings
from servicekit.wire import AnswerModel, RequestModel

SECRET = "correct-horse-battery"


class Bottle(RequestModel):
    """A bottle as a client names it."""

    name: str
    litres: float = 0.75
    tags: dict[str, Any] = {}
    year: int | None = Field(default=None, ge=1900, le=2100)


class Red(RequestModel):
    """One branch of a union."""

    colour: Literal["red"]
    tannin: float


class White(RequestModel):
    """The other branch of a union."""

    colour: Literal["white"]
    sugar: float


Wine = RootModel[Annotated[Red | White, Field(discriminator="colour")]]


class BottleQuery(RequestModel):
    """A query string."""

    limit: int = Field(default=10, ge=1, le=100)
    name: str | None = None


class BottleAnswer(AnswerModel):
    """What the shelf answers."""

    message: str
    bottle: dict[str, Any] = {}


class BottleMissing(NotFound):
    """No such bottle."""


class Corked(Impossible):
    """The bottle is corked."""

    advice = "Open another."


class Shelf(Resource):
    """A bottle on a shelf."""

    @endpoint(summary="Count", query=BottleQuery, answers={200: BottleAnswer})
    def get(self, query: BottleQuery) -> BottleAnswer:
        """Answers the query as it was understood."""
        return BottleAnswer(message="query", bottle=query.model_dump())

    @endpoint(
        summary="Put a bottle",
        body=Bottle,
        answers={201: BottleAnswer},
        errors=(409, 422),
        example={"name": "Barolo"},
    )
    def post(self, body: Bottle) -> tuple[BottleAnswer, int]:
        """Answers the body as it was understood."""
        return BottleAnswer(message="stored", bottle=body.model_dump()), 201


class Pour(Resource):
    """Takes either colour."""

    @endpoint(summary="Pour", body=Wine, answers={200: BottleAnswer})
    def post(self, body: Any) -> BottleAnswer:
        """Names the branch that was chosen."""
        return BottleAnswer(message=type(body.root).__name__)


class Failing(Resource):
    """Raises what the path names."""

    @endpoint(summary="Fail", answers={200: BottleAnswer}, errors=(400, 404, 409, 422))
    def get(self, kind: str) -> BottleAnswer:
        """Never answers."""
        raise {
            "invalid": Invalid("Say it again.", details=[Detail("name", "is empty")]),
            "missing": BottleMissing("Bottle 7 is not on the shelf."),
            "conflict": Conflict("Load it first.", error="Not loaded"),
            "impossible": Corked(),
            "unavailable": Unavailable(),
            "bug": RuntimeError(f"password={SECRET}"),
            "newline": BottleMissing("no\nINFO [forged] line"),
        }[kind]


@pytest.fixture(autouse=True)
def root_logger_as_before() -> Iterator[None]:
    """Undo what building a service does to the process's log."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def settings() -> ServiceSettings:
    """Settings of a service that never connects."""
    return ServiceSettings.model_validate(
        {
            "database_host": "127.0.0.1",
            "database_port": 1,
            "database_user": "nobody",
            "database_password": SECRET,
            "port": 5999,
            "max_body_bytes": 4096,
        }
    )


@pytest.fixture
def checks() -> dict[str, Any]:
    """The readiness checks of the service; a test adds its own before asking."""
    return {}


@pytest.fixture
def app(settings: ServiceSettings, checks: dict[str, Any]) -> Flask:
    """The service; `TESTING` stays off, because Flask answers errors differently under it."""
    return create_service(
        "shelf",
        settings,
        title="Shelf",
        routes=[
            Route(Shelf, "/root/shelf"),
            Route(Pour, "/root/pour"),
            Route(Failing, "/root/fail/<kind>"),
        ],
        checks=checks,
    )


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """A client of the service."""
    return app.test_client()
