"""What the documents are held against: the routes and settings of the real services."""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from servicekit.settings import ServiceSettings

ROOT = Path(__file__).resolve().parents[2]
SERVICES = ("simulator", "ml_model", "tracking", "monitoring")


@pytest.fixture(scope="session")
def root() -> Path:
    """The top folder of the repository."""
    return ROOT


@pytest.fixture(scope="session")
def settings_classes() -> Mapping[str, type[ServiceSettings]]:
    """The settings class of each service."""
    return {name: import_module(f"{name}.settings").Settings for name in SERVICES}


@pytest.fixture(scope="session")
def openapi_documents(
    settings_classes: Mapping[str, type[ServiceSettings]],
) -> Mapping[str, dict[str, Any]]:
    """What each service answers at `/openapi.json`; nothing else has to run for that."""
    documents = {}
    for name, settings_class in settings_classes.items():
        settings = settings_class(
            port=1, database_host="127.0.0.1", database_user="nobody", database_password="nothing"
        )
        app = import_module(f"{name}.app").create_app(settings)
        documents[name] = app.test_client().get("/openapi.json").get_json()
    return documents


@pytest.fixture(scope="session")
def routes(openapi_documents: Mapping[str, dict[str, Any]]) -> set[tuple[str, str, str]]:
    """Every (service, method, path) that a service describes."""
    return {
        (service, method.upper(), path)
        for service, document in openapi_documents.items()
        for path, operations in document["paths"].items()
        for method in operations
    }
