"""The job `scoring`: a stored set scored part by part, gone on with where a killed one stopped."""

from collections.abc import Callable, Mapping
from typing import Any

from jobkit.job import Job
from jobkit.service.job_runs import JobRuns
from ml_model.repository.ledger import SqlLedger
from ml_model.service.bulk_scoring import BulkScore, BulkScoring
from servicekit.database import Database


class ScoringJob:
    """Scores as `POST /root/ml` asked, with the version that served then."""

    def __init__(
        self, database: Database, runs: JobRuns, ledger: SqlLedger, scoring: BulkScoring
    ) -> None:
        self._database = database
        self._runs = runs
        self._ledger = ledger
        self._scoring = scoring

    def work_on(self, job: Job, request: Mapping[str, Any]) -> None:
        """Score, and end the job with what came of it; what `BulkScoring.score` raises passes."""
        with self._database.transaction():
            version = self._ledger.get_version(request["model_version_id"])

        def report(progress: float, message: str) -> None:
            self._runs.report(job, progress, message)

        def conclude(outcome: BulkScore, make_visible: Callable[[], None]) -> None:
            message = outcome.score.message
            result = {**_result(outcome), **request.get("fitted", {})}
            self._runs.succeed(job, message, result, make_visible)

        self._scoring.score(version, request["dataset"], report, conclude)


def _result(outcome: BulkScore) -> dict[str, Any]:
    score, version = outcome.score, outcome.score.version
    return {
        "message": score.message,
        "score": score.score,
        "model_name": version.model_name,
        "registered_model_name": version.registered_name,
        "model_version": str(version.version),
        "dataset_name": score.dataset_name,
        "dataset_version": score.dataset_version,
        "rows": score.rows,
        "task": score.task,
        "metrics": dict(score.metrics),
        "confusion": outcome.confusion,
    }
