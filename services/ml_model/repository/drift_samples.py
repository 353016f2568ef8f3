"""Drift samples: rows that a version was not fitted to, kept in the artifact store.

A file `{"columns": [names], "rows": [[...]], "target_name": ..., "target": [...]}` with null where
a value is missing. Its id, its path below the artifact root, stands in the tag `drift_sample_id`
of the model version and with the version in Postgres.
"""

import uuid
from collections.abc import Sequence
from typing import Any

import pandas as pd

from mlflowrest.client import Mlflow
from modelkit.features import json_rows

FOLDER = "cellar/drift_samples"
TAG = "drift_sample_id"


def new_sample_id() -> str:
    """Return an id that no sample has."""
    return f"{FOLDER}/{uuid.uuid4().hex}.json"


class DriftSamples:
    """Stores drift samples through MLflow's artifact proxy."""

    def __init__(self, mlflow: Mlflow) -> None:
        self._mlflow = mlflow

    def put(
        self, sample_id: str, features: pd.DataFrame, target_name: str, target: Sequence[Any]
    ) -> None:
        """Store the rows, a `feature_frame` (n_rows, n_columns), with their labels.

        Raises
        ------
        MlflowUnavailable
        """
        sample = {
            "columns": [str(name) for name in features.columns],
            "rows": json_rows(features),
            "target_name": target_name,
            "target": list(target),
        }
        self._mlflow.artifacts.put_json(sample_id, sample)

    def delete(self, sample_id: str) -> None:
        """Delete a sample; none there is no error."""
        self._mlflow.artifacts.delete(sample_id)
