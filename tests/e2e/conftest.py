"""The lifecycle's client; see `suite` for the services."""

import pytest

from tests.support.lifecycle_client import Client
from tests.support.running_suite import RunningSuite


@pytest.fixture(scope="session")
def client(suite: RunningSuite) -> Client:
    """The lifecycle's steps on the running suite."""
    return Client(suite)
