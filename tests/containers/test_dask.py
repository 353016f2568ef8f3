"""The profile `dask`: a scheduler and workers of tracking's image, on which searches run."""

import json
from collections.abc import Iterator

import pytest

from tests.support.compose_suite import ComposeSuite

pytestmark = pytest.mark.containers

ADDRESS = "tcp://dask-scheduler:8786"

# Runs in tracking's container: the same search here and on the cluster, and who fitted it there.
SEARCH = f"""
import json
from distributed import Client
from sklearn.datasets import load_wine
from tracking.domain import SearchPlan, TrainingSet
from tracking.service.search import search

wine = load_wine(as_frame=True)
rows = TrainingSet("wine", 1, "0" * 64, wine.data, wine.target.to_numpy(), (0, 1, 2))
plan = SearchPlan("RandomForest", {{"n_estimators": [5, 10, 20]}}, "accuracy", 3)
found = [
    [outcome.best, outcome.metrics, [item.mean_score for item in outcome.candidates]]
    for outcome in (search(plan, rows), search(plan, rows, dask_address="{ADDRESS}"))
]
with Client("{ADDRESS}") as client:
    fits = sum(client.run(lambda dask_worker: len(dask_worker.state.log)).values())
print(json.dumps([*found, fits]))
"""


@pytest.fixture
def cluster(suite: ComposeSuite) -> Iterator[None]:
    programs = ("dask_scheduler", "dask_worker")
    suite.compose("--profile", "dask", "up", "--detach", "--wait", *programs, timeout_s=600)
    yield
    suite.compose("--profile", "dask", "rm", "--stop", "--force", *programs)


@pytest.mark.usefixtures("cluster")
def test_a_search_on_the_cluster_has_the_same_outcome(suite: ComposeSuite) -> None:
    printed = suite.inside("tracking", "python", "-W", "ignore", "-c", SEARCH)

    here, there, steps = json.loads(printed.strip().splitlines()[-1])
    assert here == there
    assert steps > 0
