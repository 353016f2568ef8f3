"""The one running suite of a test session, started when the first test asks for it."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.running_suite import ForeignSuite, OwnSuite, RunningSuite


@pytest.fixture(scope="session")
def own_suite() -> Iterator[OwnSuite]:
    """The suite as processes of this session, for tests that stop programs or read the databases.

    Its logs are copied to the folder that `SUITE_KEEP_LOGS` names.
    """
    if ForeignSuite.from_environment() is not None:
        pytest.skip("SUITE_..._URL names a suite whose programs and databases are not ours")
    folder = Path(tempfile.mkdtemp(prefix="cellar-suite-"))
    try:
        suite = OwnSuite.start_in(folder)
        try:
            yield suite
        finally:
            suite.close()
    finally:
        kept = os.environ.get("SUITE_KEEP_LOGS")
        if kept:
            for log in folder.rglob("*.log"):
                shutil.copy(log, kept)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def suite(request: pytest.FixtureRequest) -> RunningSuite:
    """The suite that `SUITE_..._URL` names, else one of this session's own."""
    foreign = ForeignSuite.from_environment()
    if foreign is not None:
        return foreign
    own: OwnSuite = request.getfixturevalue("own_suite")
    return own
