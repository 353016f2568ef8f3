"""Which model version is deployed and what it said of the testing and production sets."""

import json
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sqlalchemy import select, text
from sqlalchemy.orm import Session, scoped_session

from contracts.vocabulary import DEFAULT_DATASET, SetName
from monitoring.errors import ModelNotSet, ModelNotTrained, SetNotScored
from monitoring.service.comparison import PREDICTION, Comparison
from monitoring.service.sampling import sample_numbers
from schema.day_numbers import days_since_1970
from schema.sets import Dataset, LoadedSets, SetLoad
from schema.tables import DatasetRow, DeploymentRow, ModelVersionRow, ScoringRow

CURRENT_SLOT = "current"
CATEGORICAL_TYPES = ("text", "boolean")


@dataclass(frozen=True)
class ScoredSets:
    """The two sets that are compared, both scored by one model version."""

    model_version_id: int
    model: str
    model_fingerprint: str
    testing: SetLoad
    production: SetLoad

    @property
    def dataset(self) -> Dataset:
        """The dataset version both sets belong to."""
        return self.testing.dataset


class ScoredSetsRepository:
    """Reads the deployed version and the sets it scored, in the caller's session."""

    def __init__(self, session: "scoped_session[Session]") -> None:
        self._session = session
        self._sets = LoadedSets(session)

    def begin_snapshot(self) -> None:
        """Let every read of this transaction see the database as it is at the first one."""
        self._session.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))

    def get(self, dataset_name: str, dataset_version: int | None) -> ScoredSets:
        """Return what is to be compared.

        Raises
        ------
        ModelNotSet, ModelNotTrained, SetNotLoaded, DatasetNotFound, SetNotScored
            A step of the lifecycle is due first; the message names its call.
        """
        version, trained_on = self._deployed_version(dataset_name, dataset_version)
        wanted = dataset_version or trained_on.version
        testing = self._sets.get_load("testing", dataset_name, wanted)
        production = self._sets.get_load("production", dataset_name, wanted)
        if testing.dataset.id != version.dataset_id:
            raise ModelNotTrained(
                f"The deployed model is trained on {trained_on.name} version "
                f"{trained_on.version}. Train it on {dataset_name} first: "
                f"{_due('training', dataset_name)}."
            )
        for load in (testing, production):
            self._check_scored(version.id, load)
        return ScoredSets(
            model_version_id=version.id,
            model=f"{version.registered_name} version {version.version}",
            model_fingerprint=f"{version.fingerprint}/{version.id}",
            testing=testing,
            production=production,
        )

    def compare(self, scored: ScoredSets, most_rows: int | None = None) -> Comparison:
        """Read both sets with their predictions; of a longer one a sample of `most_rows` rows."""
        dataset = scored.dataset
        taken = {*dataset.feature_names, dataset.target.name}
        prediction = PREDICTION
        while prediction in taken:
            prediction += "_"
        categorical = [
            column.name for column in dataset.features if column.type in CATEGORICAL_TYPES
        ]
        numerical = [name for name in dataset.feature_names if name not in categorical]
        frames = [
            self._frame(
                load, scored.model_version_id, prediction, numerical, categorical, most_rows
            )
            for load in (scored.testing, scored.production)
        ]
        return Comparison(
            reference=frames[0],
            current=frames[1],
            numerical=numerical,
            categorical=categorical,
            target=dataset.target.name,
            prediction=prediction,
            classes=[str(label) for label in dataset.classes],
            task=dataset.task,
        )

    def _deployed_version(
        self, dataset_name: str, dataset_version: int | None
    ) -> tuple[ModelVersionRow, DatasetRow]:
        """Return the version that serves and the dataset that it is trained on."""
        deployed = self._session.execute(
            select(DeploymentRow.model_version_id)
            .where(DeploymentRow.slot == CURRENT_SLOT)
            .order_by(DeploymentRow.id.desc())
            .limit(1)
        ).one_or_none()
        if deployed is None:
            raise ModelNotSet()
        if deployed.model_version_id is None:
            # Where loading is due before training, name that.
            self._sets.get_load("training", dataset_name, dataset_version)
            raise ModelNotTrained(f"Train the model first: {_due('training', dataset_name)}.")
        row = self._session.execute(
            select(ModelVersionRow, DatasetRow)
            .outerjoin(DatasetRow, DatasetRow.id == ModelVersionRow.dataset_id)
            .where(ModelVersionRow.id == deployed.model_version_id)
        ).one()
        version, trained_on = row
        if trained_on is None:
            raise ModelNotTrained(
                f"The model that serves, {version.registered_name}, came without a dataset of this"
                " suite to be judged on. Set one to train: POST /root/ml/set_model on the ML"
                " service."
            )
        return version, trained_on

    def _check_scored(self, model_version_id: int, load: SetLoad) -> None:
        content_hash = self._session.scalar(
            select(ScoringRow.content_hash).where(
                ScoringRow.model_version_id == model_version_id,
                ScoringRow.dataset_id == load.dataset.id,
                ScoringRow.set_name == load.set_name,
            )
        )
        if content_hash != load.content_hash:
            raise SetNotScored(
                f"Score the {load.set_name} set with the deployed model first: "
                f"{_due(load.set_name, load.dataset.name)}."
            )

    def _frame(
        self,
        load: SetLoad,
        model_version_id: int,
        prediction: str,
        numerical: list[str],
        categorical: list[str],
        most_rows: int | None,
    ) -> pd.DataFrame:
        if most_rows is None or load.row_count <= most_rows:
            rows = self._sets.read_rows(load)
            predictions = self._sets.read_predictions(load, model_version_id)
        else:
            rows = self._sets.read_rows(load, sample_numbers(load.row_count, most_rows))
            predictions = self._sets.read_predictions(
                load, model_version_id, rows.index.to_numpy(np.int64)
            )
        answers = [load.dataset.target.name, prediction]
        if load.dataset.task == "regression":
            rows[prediction] = predictions["predicted_value"].reindex(rows.index)
            numerical, answers = [*numerical, *answers], []
        else:
            rows[prediction] = predictions["predicted_class"].reindex(rows.index)
        for name in numerical:
            if rows[name].dtype.kind == "M":
                rows[name] = days_since_1970(rows[name].to_numpy())
        frame = rows.astype(dict.fromkeys(numerical, "float64"))
        for name in (*categorical, *answers):
            frame[name] = pd.Series(
                [None if pd.isna(value) else str(value) for value in rows[name]],
                index=rows.index,
                dtype=object,
            )
        return frame


def _due(set_name: SetName, dataset_name: str) -> str:
    """Return the ML service's call for a set, as a person would send it."""
    body: dict[str, str] = {"dataset": set_name}
    if dataset_name != DEFAULT_DATASET:
        body["dataset_name"] = dataset_name
    return f"POST /root/ml {json.dumps(body)}"
