"""The loaded training set as searches need it."""

from sqlalchemy.orm import Session, scoped_session

from modelkit.features import feature_frame
from schema.sets import LoadedSets
from tracking.domain import TrainingSet


class TrainingSets:
    """The training sets in the dataset database."""

    def __init__(self, session: "scoped_session[Session]", fit_max_rows: int) -> None:
        self._sets = LoadedSets(session)
        self._fit_max_rows = fit_max_rows

    def check_head(self) -> None:
        """Raise unless the database's migrations are this code's."""
        self._sets.check_head()

    def get(self, dataset_name: str, dataset_version: int | None) -> TrainingSet:
        """Return the loaded training set, of a long one the sample that is searched on.

        Raises
        ------
        SetNotLoaded, DatasetNotFound
            As `LoadedSets.get_load`.
        """
        load = self._sets.get_load("training", dataset_name, dataset_version)
        found = self._sets.read_fit_rows(load, self._fit_max_rows)
        rows = found.rows
        dataset = load.dataset
        numbers = "float64" if dataset.task == "regression" else None
        return TrainingSet(
            dataset_name=dataset.name,
            dataset_version=dataset.version,
            content_hash=load.content_hash,
            rows=feature_frame(rows[dataset.feature_names]),
            labels=rows[dataset.target.name].to_numpy(numbers),
            classes=dataset.classes,
            class_names=dataset.class_names,
            task=dataset.task,
            drawn_from=found.rows_in_set if found.sampled else None,
            notes=found.notes,
        )
