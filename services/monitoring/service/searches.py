"""Tracking's searches as the live page shows them: without grids, and scores of one search only."""

from collections.abc import Mapping
from typing import Any

SEARCHES_PATH = "/root/tracking/jobs"

ASKED = (
    "experiment_name",
    "models",
    "scoring",
    "cv",
    "strategy",
    "n_candidates",
    "time_budget_s",
    "nested_cv",
    "dataset_version",
)
"""What of a request is shown; its grids may be of any size."""

FOUND = ("experiment_id", "run_ids", "models", "time_left_s")
SCORES = ("scores", "best_scores")


def looked_at(answer: Mapping[str, Any]) -> int | None:
    """Return the id of the search to look at more closely: the newest that runs, else the newest.

    One that only waits has nothing to show while another runs.
    """
    jobs = answer.get("jobs") or []
    running = [job for job in jobs if job["state"] == "running"]
    begun = [job for job in jobs if job["state"] != "queued"]
    for found in (running, begun, jobs):
        if found:
            return int(found[0]["id"])
    return None


def listed_searches(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return the list of searches, newest first, without the score of each candidate."""
    return {"jobs": [_shown(job, with_scores=False) for job in answer["jobs"]]}


def one_search(job: Mapping[str, Any]) -> dict[str, Any]:
    """Return one search with its candidates' scores in the order they finished."""
    return _shown(job, with_scores=True)


def _shown(job: Mapping[str, Any], *, with_scores: bool) -> dict[str, Any]:
    request, result = job["request"], job["result"] or {}
    found = {name: result[name] for name in FOUND if name in result}
    if not with_scores:
        found["models"] = {
            name: {key: value for key, value in model.items() if key not in SCORES}
            for name, model in found.get("models", {}).items()
        }
    return {
        **job,
        "request": {name: request[name] for name in ASKED if name in request},
        "result": found,
    }
