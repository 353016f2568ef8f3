"""Drift that was found, as a run in MLflow with the rows it was found in."""

import contextlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlflowrest.client import Mlflow
from monitoring.service.drift_rows import Table
from servicekit.errors import DomainError

EXPERIMENT = "drift"
MOST_ROWS = 50_000
"""Rows that are kept of either side; of more, every so manieth."""

_NOT_IN_A_KEY = re.compile(r"[^\w.\- ]")
LONGEST_KEY = 250


@dataclass(frozen=True)
class DriftRun:
    """What is to be kept of a check."""

    name: str
    tags: Mapping[str, str]
    metrics: Mapping[str, float]
    params: Mapping[str, Any]
    result: Mapping[str, Any]
    data: Table
    reference: Table


class DriftRuns:
    """Runs of the experiment `drift`."""

    def __init__(self, mlflow: Mlflow) -> None:
        self._mlflow = mlflow

    def record(self, run: DriftRun) -> str:
        """Make the run with its artifacts `result.json`, `data.json` and `reference.json`.

        Raises
        ------
        MlflowUnavailable, MlflowRefused
            There is no complete run; one that was begun is FAILED if MLflow can still be told.
        """
        experiment_id = self._mlflow.experiments.ensure(EXPERIMENT)
        made = self._mlflow.runs.create(experiment_id, run.name, tags=run.tags)
        try:
            for name, content in (
                ("result.json", run.result),
                ("data.json", _rows(run.data)),
                ("reference.json", _rows(run.reference)),
            ):
                self._mlflow.artifacts.put_json(f"{made.artifact_path}/{name}", content)
            metrics = {metric_key(key): value for key, value in run.metrics.items()}
            self._mlflow.runs.log(made.id, params=run.params, metrics=metrics)
            self._mlflow.runs.terminate(made.id)
        except DomainError:
            with contextlib.suppress(DomainError):
                self._mlflow.runs.terminate(made.id, "FAILED")
            raise
        return made.id


def metric_key(text: str) -> str:
    """Return a key that MLflow takes: other characters than its own become `_`."""
    return _NOT_IN_A_KEY.sub("_", text)[:LONGEST_KEY]


def _rows(table: Table) -> dict[str, Any]:
    step = max(1, math.ceil(table.row_count / MOST_ROWS))
    columns = [_json_values(column[::step]) for column in table.values]
    return {
        "columns": list(table.columns),
        "rows": [list(row) for row in zip(*columns, strict=True)],
        "row_count": table.row_count,
    }


def _json_values(column: Sequence[Any]) -> list[Any]:
    if isinstance(column, np.ndarray):
        return [None if math.isnan(value) else value for value in column.tolist()]
    return list(column)
