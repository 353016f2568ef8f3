"""Score a loaded set with the deployed version and store every row's prediction."""

from contracts.vocabulary import SetName
from ml_model.domain import ModelVersion, Score
from ml_model.errors import ModelNotTrained
from ml_model.fitting import predict
from ml_model.repository.ledger import SqlLedger
from ml_model.repository.model_store import MlflowModelStore
from ml_model.repository.sets import SqlSets
from ml_model.service.lifecycle import get_deployment, training_call
from schema.sets import SetChanged, SetLoad
from servicekit.database import Database

ATTEMPTS = 2


class ScoringService:
    """Uses whatever version the ledger names at the moment of the request, in any worker."""

    def __init__(
        self, database: Database, ledger: SqlLedger, sets: SqlSets, store: MlflowModelStore
    ) -> None:
        self._database = database
        self._ledger = ledger
        self._sets = sets
        self._store = store

    def score(self, set_name: SetName, dataset_name: str, dataset_version: int | None) -> Score:
        """Predict the set's rows, replace its stored predictions, return the score.

        Raises
        ------
        SetNotLoaded, ModelNotSet, ModelNotTrained
            Something is due first.
        DatasetNotFound
            There is no such dataset version.
        SetChanged
            The set was replaced again and again while it was scored.
        ModelGone, ModelStoreUnavailable
            The pipeline is not in memory and cannot be had from MLflow.
        """
        for _ in range(ATTEMPTS):
            with self._database.transaction():
                version, load = self._choose(set_name, dataset_name, dataset_version)
                rows = self._sets.read_rows(load)
            if rows is None:
                continue
            pipeline = self._store.load(version)
            predictions = predict(pipeline, rows, load.dataset.target.name, load.dataset.classes)
            with self._database.transaction():
                stored = self._sets.holds(load)
                if stored:
                    self._sets.replace_predictions(version, load, predictions)
            if stored:
                return Score.of_set(load, version, predictions.score, predictions.metrics)
        raise SetChanged()

    def choose(
        self, set_name: SetName, dataset_name: str, dataset_version: int | None
    ) -> tuple[ModelVersion, SetLoad]:
        """Return what `score` would score, and with which version.

        Raises
        ------
        SetNotLoaded, ModelNotSet, ModelNotTrained
            Something is due first.
        DatasetNotFound
            There is no such dataset version.
        """
        with self._database.transaction():
            return self._choose(set_name, dataset_name, dataset_version)

    def _choose(
        self, set_name: SetName, dataset_name: str, dataset_version: int | None
    ) -> tuple[ModelVersion, SetLoad]:
        version = self._trained_version(dataset_name, dataset_version)
        return version, self._sets.get_load(set_name, dataset_name, version.dataset_version)

    def _trained_version(self, dataset_name: str, dataset_version: int | None) -> ModelVersion:
        """Return the deployed version, which must be trained on the dataset to be scored."""
        deployment = get_deployment(self._ledger)
        if deployment.model_version_id is None:
            # Names loading instead, where that is due before training.
            self._sets.get_load("training", dataset_name, dataset_version)
            raise ModelNotTrained(_train_first(dataset_name, dataset_version))
        version = self._ledger.get_version(deployment.model_version_id)
        if version.dataset_name is None:
            raise ModelNotTrained(
                f"The model that serves, {version.registered_name}, came without a dataset of this"
                " suite to be scored on. Set one to train: POST /root/ml/set_model."
            )
        wanted = (dataset_name, dataset_version or version.dataset_version)
        if wanted != (version.dataset_name, version.dataset_version):
            # Names what is amiss, or due, before training.
            self._sets.get_load("training", dataset_name, dataset_version)
            raise ModelNotTrained(
                f"The model is trained on {version.dataset_name} version"
                f" {version.dataset_version}. {_train_first(dataset_name, dataset_version)}"
            )
        return version


def _train_first(dataset_name: str, dataset_version: int | None) -> str:
    return f"Train the model first: {training_call(dataset_name, dataset_version)}."
