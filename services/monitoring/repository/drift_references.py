"""What new rows are compared with: a version's drift sample, or the rows it was trained on."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sqlalchemy import select
from sqlalchemy.orm import Session, scoped_session

from mlflowrest.client import Mlflow
from mlflowrest.errors import MlflowNotFound
from monitoring.errors import InvalidRows, ReferenceGone
from monitoring.service.drift_rows import Table, read_rows, stored_table
from schema.day_numbers import time_texts
from schema.sets import LoadedSets, due_call
from schema.tables import DeploymentRow, ModelVersionRow


@dataclass(frozen=True)
class KnownVersion:
    """A model version that was trained or loaded here, and where its reference is."""

    id: int
    registered_name: str
    version: int
    drift_sample_id: str | None
    dataset_id: int | None
    training_content_hash: str | None

    def __str__(self) -> str:
        """Return it as a person would say it."""
        return f"{self.registered_name} version {self.version}"


_KNOWN = (
    ModelVersionRow.id,
    ModelVersionRow.registered_name,
    ModelVersionRow.version,
    ModelVersionRow.drift_sample_id,
    ModelVersionRow.dataset_id,
    ModelVersionRow.training_content_hash,
)


class DriftReferences:
    """Finds versions in the caller's session and their drift samples in the artifact store."""

    def __init__(self, session: "scoped_session[Session]", mlflow: Mlflow) -> None:
        self._session = session
        self._sets = LoadedSets(session)
        self._mlflow = mlflow

    def find_serving(self) -> KnownVersion | None:
        """Return the version in the slot `current`, None while nothing serves."""
        serving = (
            select(DeploymentRow.current_version_id).order_by(DeploymentRow.id.desc()).limit(1)
        )
        row = self._session.execute(
            select(*_KNOWN).where(ModelVersionRow.id == serving.scalar_subquery())
        ).one_or_none()
        return KnownVersion(*row) if row else None

    def find_version(self, name: str, version: int | None) -> KnownVersion | None:
        """Return a version by name and number; without a number the newest, None if unknown."""
        query = select(*_KNOWN).where(
            ModelVersionRow.registered_name == name, ModelVersionRow.version >= 0
        )
        if version is not None:
            query = query.where(ModelVersionRow.version == version)
        row = self._session.execute(
            query.order_by(ModelVersionRow.version.desc()).limit(1)
        ).one_or_none()
        return KnownVersion(*row) if row else None

    def read_sample(self, path: str) -> Table:
        """Return a drift sample; needs no session.

        Raises
        ------
        ReferenceGone
            The artifact store does not have it (any more), or the file is no drift sample.
        MlflowUnavailable
            MLflow does not answer.
        """
        try:
            sample = self._mlflow.artifacts.get_json(path)
            return read_rows(sample["rows"], "reference", sample["columns"])
        except MlflowNotFound as error:
            raise ReferenceGone(
                'The drift sample is no longer in the artifact store. Send rows as "reference".'
            ) from error
        except (ValueError, KeyError, TypeError, InvalidRows) as error:
            raise ReferenceGone(
                'The drift sample cannot be read. Send rows as "reference".'
            ) from error

    def read_training_rows(self, version: KnownVersion) -> Table:
        """Return the features of the training set that a version was trained on.

        Raises
        ------
        SetNotLoaded, SetChanged
            It has to be loaded first; it was loaded anew meanwhile.
        ReferenceGone
            Other rows are loaded as the training set now.
        """
        if version.dataset_id is None:
            raise ReferenceGone()
        dataset = self._sets.get_dataset_by_id(version.dataset_id)
        load = self._sets.get_load("training", dataset.name, dataset.version)
        if load.content_hash != version.training_content_hash:
            raise ReferenceGone(
                f"The training set that {version} was trained on is no longer loaded. Load it "
                f"again, with its seed: {due_call('training', dataset.name)}, or send rows as "
                '"reference".'
            )
        rows = self._sets.read_rows(load)
        columns = [_values(rows[name]) for name in dataset.feature_names]
        return stored_table(dataset.feature_names, columns, len(rows))


def _values(column: pd.Series) -> Any:
    """Return float64 with NaN for numbers, else a list with None where missing.

    Dates and times are texts, as in a drift sample.
    """
    if column.dtype.kind == "M":
        return time_texts(column.to_numpy())
    if column.dtype == object or column.dtype == "boolean":
        # As a list they are Python's; one by one they would be NumPy's.
        return [None if pd.isna(value) else value for value in column.to_list()]
    return column.to_numpy(dtype="float64", na_value=np.nan)
