"""What `POST /root/ml` asks for of a testing or production set: scored at once or as a job."""

from contracts.vocabulary import SetName
from jobkit.job import Job
from jobkit.service.jobs import JobService
from ml_model.domain import Score
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
        request = {
            "dataset": set_name,
            "dataset_name": load.dataset.name,
            "dataset_version": load.dataset.version,
            "model_version_id": version.id,
        }
        job = self._jobs.submit("scoring", request, load.dataset.name)
        return self._waiting.wait(job) if wait else job


def is_long(load: SetLoad) -> bool:
    """Tell whether a set has more rows than are predicted at once."""
    return load.row_count > rows_per_part(len(load.dataset.features) + 1)
