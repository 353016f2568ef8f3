"""What parts add up to is what scikit-learn says of all their rows."""

import json
import math

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix, precision_recall_fscore_support

from ml_model.evaluation_metrics import regression_metrics
from ml_model.scoring_tally import ClassTally, NumberTally

PARTS = [(0, 1), (1, 400), (400, 400), (400, 997), (997, 1000)]


def stored(tally: ClassTally | NumberTally) -> dict[str, object]:
    """Return a tally as the database gives it back."""
    found: dict[str, object] = json.loads(json.dumps(tally.as_json(), allow_nan=False))
    return found


@pytest.mark.parametrize("seed", range(5))
def test_classes_are_judged_exactly_as_by_scikit_learn(seed: int) -> None:
    draw = np.random.default_rng(seed)
    labels = np.array(["no", "yes", "Ünsure", 'a "b"'], dtype=object)
    truth = labels[draw.choice(4, 1000, p=[0.7, 0.2, 0.1, 0])].tolist()
    # The last class is predicted and never true.
    found = labels[draw.choice(4, 1000, p=[0.4, 0.3, 0.25, 0.05])].tolist()

    parts = [ClassTally.of(truth[a:b], found[a:b]) for a, b in PARTS]
    whole = ClassTally.together([ClassTally.of_json(stored(part)) for part in parts])

    precision, recall, f1_score, _ = precision_recall_fscore_support(
        truth, found, average="weighted", zero_division=0.0
    )
    assert whole.metrics() == {
        "accuracy": accuracy_score(truth, found),
        "f1_score": f1_score,
        "precision": precision,
        "recall": recall,
    }
    assert whole.confusion() == {
        "classes": sorted(labels),
        "rows": confusion_matrix(truth, found, labels=sorted(labels)).tolist(),
    }
    assert whole.labelled_rows == 1000


def test_the_confusion_of_many_classes_is_not_shown() -> None:
    names = [str(number) for number in range(51)]
    assert ClassTally.of(names, names).confusion() is None
    assert ClassTally.of(names[:50], names[:50]).confusion() is not None


@pytest.mark.parametrize("offset", [0.5, -3.0, 1e6])
def test_numbers_are_judged_as_by_scikit_learn(offset: float) -> None:
    draw = np.random.default_rng(1)
    truth = draw.normal(size=1000) + offset
    found = truth + draw.normal(scale=0.3, size=1000)

    parts = [NumberTally.of(truth[a:b].tolist(), found[a:b].tolist()) for a, b in PARTS]
    whole = NumberTally.together([NumberTally.of_json(stored(part)) for part in parts])

    expected, _ = regression_metrics(truth.tolist(), found.tolist())
    del expected["median_absolute_error"]
    assert whole.metrics() == pytest.approx(expected, rel=1e-12)
    assert whole.labelled_rows == 1000


def test_the_order_of_the_parts_is_of_no_account() -> None:
    draw = np.random.default_rng(2)
    truth, found = draw.normal(size=(2, 1000))
    parts = [NumberTally.of(truth[a:b].tolist(), found[a:b].tolist()) for a, b in PARTS]
    assert NumberTally.together(parts) == NumberTally.together(parts[::-1])


@pytest.mark.parametrize(("found", "r2"), [([2.0, 2.0], 1.0), ([2.0, 3.0], 0.0)])
def test_a_truth_that_never_changes_has_the_r2_of_scikit_learn(
    found: list[float], r2: float
) -> None:
    parts = [NumberTally.of([2.0], [number]) for number in found]
    assert NumberTally.together(parts).metrics()["r2"] == r2


def test_what_cannot_be_computed_is_left_out() -> None:
    assert "mape" not in NumberTally.of([0.0, 1.0], [1.0, 1.0]).metrics()
    assert set(NumberTally.of([1.0], [1.0]).metrics()) == {"mae", "rmse", "mape"}
    huge = NumberTally.of([1e308, -1e308], [-1e308, 1e308])
    again = NumberTally.of_json(stored(huge))
    assert math.isinf(again.absolute)
    assert set(NumberTally.together([again, NumberTally.of([1.0], [2.0])]).metrics()) <= {"mape"}


def test_no_row_adds_nothing() -> None:
    for nothing in (ClassTally.of([], []), NumberTally.of([], [])):
        assert nothing.labelled_rows == 0
    assert NumberTally.together([]).labelled_rows == 0
    part = NumberTally.of([1.0, 2.0], [1.5, 2.5])
    assert NumberTally.together([NumberTally.of([], []), part]) == part
