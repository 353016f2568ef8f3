"""What `POST /root/ml` asks for of a testing or production set: scored at once or as a job."""

from collections.abc import Mapping
from typing import Any

from contracts.vocabulary import SetName
from jobkit.job import Job
from jobkit.service.jobs import JobService
from ml_model.domain import ModelVersion, Score
from ml_model.service.job_waiting import JobWaiting
from ml_model.service.scoring import ScoringService
from schema.samples import rows_per_part
from schema.sets import SetLoad


class ScoringRequests:
    """Scores short sets in the request, and hands long ones in."""

    def __init__(self, scoring: ScoringService, jobs: JobService, waiting: JobWaiting) -> None:
        self._scoring = scoring
        self._jobs = jobs
        self._waiting = waiting

    def score(
        self, set_name: SetName, dataset_name: str, dataset_version: int | None, *, wait: bool
    ) -> Score | Job:
        """Return the score, or the job where the set is long or nobody wants to `wait`.

        The job is returned when it has finished, as it is after the waiting time, or at once where
        nobody wants to wait or too many wait already. Raises as `ScoringService.score`.
        """
        version, load = self._scoring.choose(set_name, dataset_name, dataset_version)
        if wait and not is_long(load):
            return self._scoring.score(set_name, dataset_name, dataset_version)
        job = scoring_job_of(self._jobs, version, load)
        return self._waiting.wait(job) if wait else job


def scoring_job_of(
    jobs: JobService,
    version: ModelVersion,
    load: SetLoad,
    fitted: Mapping[str, Any] | None = None,
) -> Job:
    """Hand in the scoring of a loaded set with a version, and return the job.

    `fitted` is what its result says of the training that it belongs to, see `FitRows.facts`.
    """
    request: dict[str, Any] = {
        "dataset": load.set_name,
        "dataset_name": load.dataset.name,
        "dataset_version": load.dataset.version,
        "model_version_id": version.id,
    }
    if fitted is not None:
        request["fitted"] = dict(fitted)
    return jobs.submit("scoring", request, load.dataset.name)


def is_long(load: SetLoad) -> bool:
    """Tell whether a set has more rows than are predicted at once."""
    return load.row_count > rows_per_part(len(load.dataset.features) + 1)
