"""Searches that are not waited for: checked, and handed in as jobs."""

from collections.abc import Mapping
from typing import Any

from contracts.tracking import OptimizationRequest
from jobkit.job import Job
from jobkit.service.jobs import JobService
from tracking.repository.jobs import KIND
from tracking.service.optimization import OptimizationService

ROWS_KEY = "content_hash"


class SearchRequests:
    """Hands searches in."""

    def __init__(self, optimization: OptimizationService, jobs: JobService) -> None:
        self._optimization = optimization
        self._jobs = jobs

    def submit(self, request: OptimizationRequest) -> Job:
        """Return the job of a search; everything that can be checked before it begins is.

        The search is of the training set that is loaded now: should another one be loaded before
        it begins, it fails and says so. For what is raised see `OptimizationService.check`.
        """
        training_set = self._optimization.check(request)
        asked = {
            **request.model_dump(),
            "dataset_version": training_set.dataset_version,
            "folds": training_set.fold_kind,
            ROWS_KEY: training_set.rows_key,
        }
        return self._jobs.submit(KIND, asked, training_set.dataset_name)


def asked_of(stored: Mapping[str, Any]) -> tuple[OptimizationRequest, str]:
    """Return the request of a job, and the `rows_key` of the training set it was meant for."""
    known = {name: value for name, value in stored.items() if name in request_fields()}
    return OptimizationRequest.model_validate(known), str(stored[ROWS_KEY])


def request_fields() -> set[str]:
    """Return what a request consists of."""
    return set(OptimizationRequest.model_fields)
