"""Runs of work that goes on without MLflow: kept as well as MLflow lets us, over its REST API."""

import logging
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from ml_model.domain import reason
from mlflowrest.client import Mlflow
from servicekit.errors import DomainError

log = logging.getLogger(__name__)

FAILURE_TAG = "cellar.failure_reason"
TRACEBACK_FILE = "traceback.txt"


class WorkRun:
    """One open run. Where MLflow is away `id` is None, and `notes` say what is not kept."""

    def __init__(self, mlflow: Mlflow, experiment: str, name: str, tags: Mapping[str, str]) -> None:
        self.name = name
        self.id: str | None = None
        self.notes: list[str] = []
        self._mlflow = mlflow
        self._folder = ""
        self._attempt(lambda: self._open(experiment, tags))

    def log(
        self,
        *,
        params: Mapping[str, Any] | None = None,
        metrics: Mapping[str, float] | None = None,
        tags: Mapping[str, Any] | None = None,
    ) -> None:
        """Log values."""
        if (run_id := self.id) is not None:
            self._attempt(
                lambda: self._mlflow.runs.log(run_id, params=params, metrics=metrics, tags=tags)
            )

    def put_json(self, name: str, value: Any) -> None:
        """Keep a value as a JSON file of the run."""
        if self.id is not None:
            self._attempt(lambda: self._mlflow.artifacts.put_json(f"{self._folder}/{name}", value))

    def finish(self) -> None:
        """End the run well."""
        if (run_id := self.id) is not None:
            self._attempt(lambda: self._mlflow.runs.terminate(run_id))

    def fail(self, error: BaseException) -> None:
        """End the run as FAILED, with reason and traceback."""
        if (run_id := self.id) is None:
            return
        text = "".join(traceback.format_exception(error))
        self._attempt(
            lambda: self._mlflow.artifacts.put(f"{self._folder}/{TRACEBACK_FILE}", text.encode())
        )
        self.log(tags={FAILURE_TAG: reason(error)})
        self._attempt(lambda: self._mlflow.runs.terminate(run_id, "FAILED"))

    def _open(self, experiment: str, tags: Mapping[str, str]) -> None:
        experiment_id = self._mlflow.experiments.ensure(experiment)
        run = self._mlflow.runs.create(experiment_id, self.name, tags=tags)
        self.id, self._folder = run.id, run.artifact_path

    def _attempt(self, action: Callable[[], None]) -> None:
        try:
            action()
        except DomainError as error:
            log.warning("Run %s is not kept whole: %s", self.name, error)
            what = "missing" if self.id is None else "incomplete"
            note = f"The MLflow run is {what}: {error.message}"
            if note not in self.notes:
                self.notes.append(note)


class WorkRuns:
    """Opens runs named `<kind>_<UTC time>`."""

    def __init__(self, mlflow: Mlflow) -> None:
        self._mlflow = mlflow

    @contextmanager
    def recorded(self, experiment: str, kind: str, tags: Mapping[str, str]) -> Iterator[WorkRun]:
        """Open a run that ends with the block: FAILED with the traceback where it raises."""
        name = f"{kind}_{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
        run = WorkRun(self._mlflow, experiment, name, tags)
        try:
            yield run
        except BaseException as error:
            run.fail(error)
            raise
        run.finish()
