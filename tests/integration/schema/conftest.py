"""A connection as the simulator has it."""

from collections.abc import Iterator

import pytest
from psycopg2.extensions import connection as PgConnection  # noqa: N812 - the driver's own name

from tests.support.databases import TestDatabase


@pytest.fixture
def connection(cellar_database: TestDatabase) -> Iterator[PgConnection]:
    with cellar_database.connection("cellar_simulator") as connection:
        yield connection
