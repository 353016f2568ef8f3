"""Measure a version on labelled rows, and keep the outcome as a run in MLflow."""

from collections.abc import Sequence
from dataclasses import dataclass

from contracts.inference import EvaluateRequest
from contracts.vocabulary import SetName
from ml_model.errors import ScoringFailed
from ml_model.repository.sets import SqlSets
from ml_model.repository.work_runs import WorkRun, WorkRuns
from ml_model.service.batch_prediction import checked_rows, json_rows, predict
from ml_model.service.dataset_loading import DatasetLoading
from ml_model.service.evaluation_rows import (
    Labelled,
    chosen_rows,
    kept_note,
    kept_numbers,
    labelled_of,
    truth_of,
)
from ml_model.service.long_evaluation import LongEvaluation
from ml_model.service.scoring_requests import is_long
from ml_model.service.version_choice import ChosenVersion, VersionChoice
from modelkit.servable import ServableModel
from schema.sets import SetChanged, SetLoad
from servicekit.database import Database
from servicekit.telemetry import request_id

EXPERIMENT = "evaluation"
RUN_KIND = "eval"
ATTEMPTS = 2


@dataclass(frozen=True)
class Evaluation:
    """What was measured. `rows` had a label."""

    version: ChosenVersion
    metrics: dict[str, float]
    rows: int
    load: SetLoad | None
    run: WorkRun
    notes: Sequence[str]


class EvaluationService:
    """Evaluates on rows of the request or on a stored set, which is loaded where it is not."""

    def __init__(
        self,
        database: Database,
        versions: VersionChoice,
        sets: SqlSets,
        loading: DatasetLoading,
        runs: WorkRuns,
    ) -> None:
        self._database = database
        self._versions = versions
        self._sets = sets
        self._loading = loading
        self._runs = runs
        self._long = LongEvaluation(database, sets)

    def evaluate(self, request: EvaluateRequest) -> Evaluation:
        """Predict the rows that have a label and measure.

        A failure is a FAILED run with its traceback; with MLflow away the metrics are answered
        all the same. A long set is measured part by part, see `LongEvaluation`.

        Raises
        ------
        NothingServes, VersionNotFound, ModelRefused, MlflowUnavailable
            See `VersionChoice.choose`.
        InvalidRows, InvalidTarget, PredictionFailed
            Rows or labels do not fit the model.
        DatasetNotFound, SetChanged, ScoringFailed
            The set is unknown, replaced meanwhile, or has no label.
        """
        chosen = self._versions.choose(request.registered_model_name, request.model_version)
        tags = {**chosen.tags, "request_id": request_id()}
        if request.dataset_name is not None:
            tags |= {"dataset_name": request.dataset_name, "dataset": request.dataset or "testing"}
        with self._runs.recorded(EXPERIMENT, RUN_KIND, tags) as run:
            if request.data is not None and request.target is not None:
                return self._evaluate(chosen, Labelled(request.data, request.target), None, run)
            return self._evaluate_set(chosen, request, run)

    def _evaluate_set(
        self, chosen: ChosenVersion, request: EvaluateRequest, run: WorkRun
    ) -> Evaluation:
        set_name: SetName = request.dataset or "testing"
        for _ in range(ATTEMPTS):
            load = self._loading.ensure(
                set_name, str(request.dataset_name), request.dataset_version
            )
            if is_long(load):
                try:
                    return self._evaluate_long(chosen, load, run)
                except SetChanged:
                    continue
            labelled = self._labelled(load, chosen.model)
            if labelled is not None:
                return self._evaluate(chosen, labelled, load, run)
        raise SetChanged()

    def _labelled(self, load: SetLoad, model: ServableModel) -> Labelled | None:
        with self._database.transaction():
            rows = self._sets.read_rows(load)
        if rows is None:
            return None
        return Labelled(*labelled_of(rows, model, load.dataset), load.dataset)

    def _evaluate_long(self, chosen: ChosenVersion, load: SetLoad, run: WorkRun) -> Evaluation:
        found = self._long.measure(chosen.model, load)
        run.log(
            params={"data_samples": found.rows, "data_features": len(chosen.model.columns)},
            metrics=found.metrics,
        )
        run.put_json("evaluation.json", found.kept)
        return Evaluation(chosen, found.metrics, found.rows, load, run, found.notes)

    def _evaluate(
        self, chosen: ChosenVersion, labelled: Labelled, load: SetLoad | None, run: WorkRun
    ) -> Evaluation:
        # scikit-learn takes a second to import; a process that only serves never does.
        from ml_model.evaluation_metrics import classification_metrics, regression_metrics

        model = chosen.model
        known = [number for number, label in enumerate(labelled.target) if label is not None]
        if not known:
            raise ScoringFailed("No row has a label to measure against.")
        labels = [(number, labelled.target[number]) for number in known]
        truth = truth_of(model, labels, labelled.dataset)
        checked = checked_rows(model, labelled.rows)
        predicted = predict(model, chosen_rows(checked, known))
        if model.task == "regression":
            metrics, notes = regression_metrics(truth, predicted.labels)
        else:
            metrics, notes = classification_metrics(
                truth,
                [str(label) for label in predicted.labels],
                predicted.probabilities,
                [str(label) for label in model.classes],
            )
        run.log(
            params={"data_samples": len(known), "data_features": len(model.columns)},
            metrics=metrics,
        )
        kept = kept_numbers(len(known))
        run.put_json(
            "evaluation.json",
            {
                "columns": [column.name for column in model.columns],
                "rows": json_rows(model, chosen_rows(checked, [known[place] for place in kept])),
                "target": [truth[place] for place in kept],
                "predictions": [predicted.labels[place] for place in kept],
                "metrics": metrics,
            },
        )
        if len(kept) < len(known):
            notes = [*notes, kept_note(len(known))]
        return Evaluation(chosen, metrics, len(known), load, run, notes)
