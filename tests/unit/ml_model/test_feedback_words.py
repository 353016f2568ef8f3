"""Labels as they are stored, and logged rows in the words of their model."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from contracts.feedback import LabelsRequest
from ml_model.errors import ContradictoryLabels
from ml_model.repository.prediction_history import InputNames, LoggedPrediction
from ml_model.service.labels import as_label, distinct
from ml_model.service.prediction_history import in_words

LOGGED = LoggedPrediction(
    id=1,
    request_id="r",
    row=0,
    slot="current",
    inputs=[1.5, None],
    predicted_class="1",
    predicted_value=None,
    probabilities=[0.25, 0.75],
    latency_us=1500,
    error=None,
    created_at=datetime(2026, 1, 1, tzinfo=UTC),
    version_id=1,
    registered_name="flower",
    version=1,
    label=None,
    label_number=None,
)
NAMES = InputNames(["width", "length"], [0, 1], ["small", "large"])


@pytest.mark.parametrize(
    ("value", "text", "number"),
    [
        (1, "1", 1.0),
        (1.5, "1.5", 1.5),
        ("1", "1", None),
        (True, "True", None),
        ("a b", "a b", None),
    ],
)
def test_a_label_as_text_and_as_number(value: object, text: str, number: float | None) -> None:
    label = as_label("r", 2, value)
    assert (label.request_id, label.row, label.text, label.number) == ("r", 2, text, number)


def test_types_of_labels_survive_the_request() -> None:
    body = {"labels": [{"request_id": "r", "label": value} for value in (1, 1.0, True, "1")]}
    labels = [item.label for item in LabelsRequest.model_validate(body).items]
    assert [type(label) for label in labels] == [int, float, bool, str]


def test_a_single_label_is_that_of_the_first_row() -> None:
    [item] = LabelsRequest.model_validate({"request_id": "r", "label": 0}).items
    assert (item.request_id, item.row, item.label) == ("r", 0, 0)


def test_repetitions_fall_together_contradictions_are_named() -> None:
    assert len(distinct([("r", 0, 1), ("r", 0, 1), ("r", 1, 1)])) == 2
    with pytest.raises(ContradictoryLabels) as caught:
        distinct([("r", 0, 1), ("s", 0, 1), ("r", 0, "1")])
    assert caught.value.details[0].path == "labels.2"


def test_a_logged_row_in_the_models_words() -> None:
    entry = in_words(LOGGED, NAMES)
    assert entry.inputs == {"width": 1.5, "length": None}
    assert (entry.prediction, entry.prediction_name) == (1, "large")
    assert entry.probabilities == {"small": 0.25, "large": 0.75}
    assert entry.confidence == 0.75
    assert in_words(replace(LOGGED, label="0", label_number=0.0), NAMES).label == 0
    assert in_words(replace(LOGGED, label="small"), NAMES).label == "small"


def test_a_logged_row_whose_form_is_gone() -> None:
    entry = in_words(LOGGED, None)
    assert entry.inputs == {"0": 1.5, "1": None}
    assert (entry.prediction, entry.prediction_name) == ("1", "1")
    assert entry.probabilities is None and entry.confidence == 0.75


def test_a_number_and_its_label() -> None:
    number = replace(LOGGED, predicted_class=None, predicted_value=2.5, probabilities=None)
    entry = in_words(replace(number, label="3", label_number=3.0), InputNames(["a", "b"], [], []))
    assert (entry.prediction, entry.prediction_name, entry.label) == (2.5, None, 3.0)
    assert entry.confidence is None and entry.probabilities is None
