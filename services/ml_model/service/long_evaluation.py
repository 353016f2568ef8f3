"""Measure a version on a stored set of any length, part by part."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ml_model.errors import ScoringFailed
from ml_model.repository.sets import SqlSets
from ml_model.service.batch_prediction import checked_rows, json_rows, predict
from ml_model.service.evaluation_rows import (
    KEPT_ROWS,
    chosen_rows,
    kept_note,
    kept_numbers,
    labelled_of,
    truth_of,
)
from modelkit.servable import Predicted, ServableModel
from schema.sets import Dataset, SetChanged, SetLoad
from servicekit.database import Database

if TYPE_CHECKING:
    # A process that only serves never loads it.
    import pandas as pd


@dataclass(frozen=True)
class Measured:
    """What was measured on `rows` labelled rows; `kept` is what the run keeps as a file."""

    metrics: dict[str, float]
    notes: Sequence[str]
    rows: int
    kept: Mapping[str, Any]


class LongEvaluation:
    """Reads, predicts and counts one part after the other: memory does not grow with the set."""

    def __init__(self, database: Database, sets: SqlSets) -> None:
        self._database = database
        self._sets = sets

    def measure(self, model: ServableModel, load: SetLoad) -> Measured:
        """Measure as `EvaluationService.evaluate` does.

        Metrics are those of `ml_model.evaluation_metrics`, the same but for what
        `evaluation_tally` rounds.

        Raises
        ------
        SetChanged
            The set was loaded anew meanwhile.
        InvalidRows, InvalidTarget, PredictionFailed, ScoringFailed
            As `EvaluationService.evaluate`.
        """
        # scikit-learn takes a second to import; a process that only serves never does.
        from ml_model.evaluation_tally import ClassMeasures, NumberMeasures

        measures: ClassMeasures | NumberMeasures
        if model.task == "regression":
            measures = NumberMeasures()
        else:
            measures = ClassMeasures([str(label) for label in model.classes])
        rows = 0
        for frame in self._parts(load):
            truth, predicted, _ = _judged(model, frame, load.dataset)
            measures.add(truth, predicted.labels, predicted.probabilities)
            rows += len(truth)
        if not rows:
            raise ScoringFailed("No row has a label to measure against.")
        metrics, notes = measures.metrics()
        kept = self._kept(model, load)
        if load.row_count > KEPT_ROWS:
            notes = [*notes, kept_note(load.row_count)]
        return Measured(metrics, notes, rows, {**kept, "metrics": metrics})

    def _parts(self, load: SetLoad) -> "Iterator[pd.DataFrame]":
        with self._database.transaction():
            parts = self._sets.parts(load)
        for ids in parts:
            # Each in a transaction of its own: predicting keeps none open.
            with self._database.transaction():
                rows = self._sets.read_part(load, ids)
            yield rows

    def _kept(self, model: ServableModel, load: SetLoad) -> dict[str, Any]:
        numbers = np.asarray(kept_numbers(load.row_count), dtype=np.int64)
        with self._database.transaction():
            frame = self._sets.read_rows(load, numbers)
        if frame is None:
            raise SetChanged()
        truth, predicted, checked = _judged(model, frame, load.dataset)
        return {
            "columns": [column.name for column in model.columns],
            "rows": json_rows(model, checked),
            "target": truth,
            "predictions": predicted.labels,
        }


def _judged(
    model: ServableModel, frame: "pd.DataFrame", dataset: Dataset
) -> tuple[list[Any], Predicted, Any]:
    """Return of the labelled rows the truth, what the model predicts, and they themselves."""
    rows, target = labelled_of(frame, model, dataset)
    known = [number for number, label in enumerate(target) if label is not None]
    if not known:
        return [], Predicted([], None), []
    labels = dict.fromkeys(target[number] for number in known)
    text_of = dict(zip(labels, truth_of(model, list(enumerate(labels)), dataset), strict=True))
    checked = chosen_rows(checked_rows(model, rows), known)
    return [text_of[target[number]] for number in known], predict(model, checked), checked
