"""End what a job's search leaves open in MLflow when it is cancelled or has failed."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from jobkit.job import RunsEnd
from mlflowrest.client import Mlflow
from mlflowrest.runs import Run
from servicekit.database import Database
from tracking.domain import (
    CANDIDATE_TAG,
    FAILURE_TAG,
    MODEL_TAG,
    SEARCH_TAG,
    Candidate,
    SearchOutcome,
    SearchPlan,
)
from tracking.repository.candidate_runs import metrics_of
from tracking.repository.jobs import SearchJobs
from tracking.service.candidates import candidates_csv
from tracking.service.job_watcher import standing

WHY = {
    "KILLED": "The job was cancelled.",
    "FAILED": "The search was interrupted before it ended.",
}
STATE = {"KILLED": "cancelled", "FAILED": "failed"}
MOST_RUNS = 100_000


class SearchLeftovers:
    """Ends runs and keeps in them what was found; nothing is registered. May be repeated."""

    def __init__(self, database: Database, jobs: SearchJobs, mlflow: Mlflow) -> None:
        self._database = database
        self._jobs = jobs
        self._mlflow = mlflow

    def end(self, job_id: int, status: RunsEnd) -> None:
        """End the open runs of a job's search with `status`.

        The run of a model gets the candidates that have finished, as a file and the best one's
        scores as metrics. A version that was registered from such a run is deleted.

        Raises
        ------
        MlflowUnavailable
        """
        with self._database.transaction():
            job = self._jobs.find(job_id)
            search = self._jobs.find_search(job_id)
            kept = self._jobs.list_candidates(job_id)
        if job is None or search is None:
            return
        found: dict[str, list[Candidate]] = defaultdict(list)
        for item in kept:
            found[item.model_name].append(item.candidate)
        # A cancel may come when the first of several models is registered already.
        ended = ("RUNNING", "FINISHED") if status == "KILLED" else ("RUNNING",)
        where = f"tags.`{SEARCH_TAG}` = '{search.id}'"
        runs = self._mlflow.runs.search([search.experiment_id], where, max_results=MOST_RUNS)
        for run in runs:
            is_candidate = CANDIDATE_TAG in run.tags
            if run.status != "RUNNING" and (is_candidate or run.status not in ended):
                continue
            if not is_candidate:
                model = run.tags.get(MODEL_TAG, "")
                self._keep(run, _plan(job.request, model, found[model]), found[model])
                self._mlflow.runs.log(run.id, tags={FAILURE_TAG: WHY[status]})
            self._mlflow.runs.terminate(run.id, status)
        with self._database.transaction():
            self._jobs.end_search(job_id, STATE[status], job.reason or WHY[status])

    def _keep(self, run: Run, plan: SearchPlan, candidates: Sequence[Candidate]) -> None:
        for version in self._mlflow.registry.of_run(run.id):
            self._mlflow.registry.delete(version.name, version.version)
        ranked = _ranked(candidates)
        if not ranked:
            return
        best = ranked[0]
        outcome = SearchOutcome(
            plan=plan,
            pipeline=None,
            best=best.values,
            best_score=best.mean_score or 0.0,
            metrics={},
            candidates=ranked,
        )
        path = f"{run.artifact_path}/search/candidates.csv"
        self._mlflow.artifacts.put(path, candidates_csv(outcome).encode())
        self._mlflow.runs.log(
            run.id,
            metrics=metrics_of(best, plan.scoring),
            tags={"cellar.candidates": str(len(ranked))},
        )


def _plan(
    request: Mapping[str, Any], model_name: str, candidates: Sequence[Candidate]
) -> SearchPlan:
    """Return what the table of the candidates says of their search: which values they have."""
    names = dict.fromkeys(name for item in candidates for name in item.values)
    return SearchPlan(model_name, dict.fromkeys(names, ()), request["scoring"], request["cv"])


def _ranked(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return the candidates of the search itself, the best first, with their ranks.

    What was tried on more rows comes first, what failed last; equal ones share a rank.
    """
    own = sorted(
        (item for item in candidates if item.outer_fold is None), key=standing, reverse=True
    )
    places = [standing(item) for item in own]
    return [
        replace(item, rank=1 + places.index(place)) for item, place in zip(own, places, strict=True)
    ]
