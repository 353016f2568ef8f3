"""Real tables go through the whole lifecycle in containers, as they do locally."""

import time
from collections.abc import Callable

import pytest

from tests.support.compose_suite import ComposeSuite
from tests.support.lifecycle_client import Client
from tests.support.real_tables import EVERY_TABLE
from tests.support.table_walk import Table, walk

pytestmark = pytest.mark.containers


@pytest.mark.parametrize("table_of", EVERY_TABLE)
def test_a_real_table_goes_through_the_whole_lifecycle(
    suite: ComposeSuite, table_of: Callable[[], Table], note_figure: Callable[[str], None]
) -> None:
    began = time.monotonic()
    walked = walk(Client(suite), table_of())
    stored = suite.sql(f"SELECT count(*) FROM samples.{walked.name}_v1")  # noqa: S608
    assert int(stored) == table_of().rows
    note_figure(f"{walked.name}, whole lifecycle: {time.monotonic() - began:.1f} s")
