"""The rule on counts, against the same rule and tests on the rows themselves."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from monitoring.service.comparison import Comparison
from monitoring.service.counted_rule import judge_counted, larger_p_value, precision, undecided
from monitoring.service.retraining_rule import feature_drift
from monitoring.service.retraining_signals import RetrainingRule
from monitoring.service.sampling import sample_numbers
from monitoring.service.set_statistics import (
    FEATURES,
    PREDICTIONS,
    QUANTILES,
    AnswerCount,
    CategoryCells,
    Cells,
    ClassCounts,
    ColumnCounts,
    CountedSet,
    CountedSets,
    ErrorCounts,
    FeatureCounts,
    NumberCells,
    as_json,
    number_cells,
    single_valued,
)

RULE = RetrainingRule()
ANSWERS = ClassCounts([AnswerCount("a", "a", 900), AnswerCount("a", "b", 100)])


def quantiles(values: np.ndarray) -> list[float]:
    """Return what the database's percentile_disc answers."""
    levels = np.arange(1, QUANTILES) / QUANTILES
    found: list[float] = np.quantile(values, levels, method="inverted_cdf").tolist()
    return found


def counted(cells: NumberCells, values: np.ndarray) -> ColumnCounts:
    """Count as width_bucket does."""
    places = np.searchsorted(cells.edges, values[~np.isnan(values)], side="right")
    counts = np.bincount(places, minlength=len(cells.edges) + 1).tolist()
    return ColumnCounts(cells.name, counts, int(np.isnan(values).sum()))


def sets_of(
    cells: Cells, reference: ColumnCounts, current: ColumnCounts, answers: ClassCounts = ANSWERS
) -> CountedSets:
    """Return two sets of one feature."""
    sets = []
    for column, predictions in ((reference, ANSWERS), (current, answers)):
        per_row = [column.present, column.missing]
        sets.append(CountedSet(FeatureCounts([cells], [column], per_row), predictions))
    return CountedSets(*sets, ["a", "b"])


def test_a_value_that_many_rows_have_gets_a_cell_of_its_own() -> None:
    cells = number_cells("x", [0.0, 1.0, 1.0, 1.0, 2.0, None, np.inf])
    assert list(cells.edges) == [0.0, 1.0, np.nextafter(1.0, 2.0), 2.0]
    assert single_valued(cells.edges).tolist() == [False, False, True, False, False]
    assert list(number_cells("x", []).edges) == []


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("moved", [0.0, 0.05, 0.3])
def test_a_distance_is_never_too_large_and_too_small_by_its_precision_at_most(
    seed: int, moved: float
) -> None:
    draw = np.random.default_rng(seed)
    zeros = draw.random(3000) < 0.3
    reference = np.where(zeros, 0.0, draw.gamma(2.0, size=3000))
    current = np.where(zeros, 0.0, draw.gamma(2.0, size=3000) + moved).round(2)
    # Cells from other rows, as they are from a sample.
    cells = number_cells("x", quantiles(reference[:1000]))
    sets = sets_of(cells, counted(cells, reference), counted(cells, current))
    verdict = judge_counted(sets, replace(RULE, drift_share=1.0))
    frames = [pd.DataFrame({"x": values}) for values in (reference, current)]
    exact = feature_drift(Comparison(*frames, ["x"], [], "t", "p", []), "x")
    assert exact is not None
    within = precision(sets)["x"]
    assert 0 < within < 0.02
    exact_gap, exact_p = exact
    lowest = judge_counted(sets, replace(RULE, drift_distance=exact_gap + 1e-9)).signals[0]
    assert list(lowest.columns) == []
    highest = judge_counted(sets, replace(RULE, drift_distance=exact_gap - within)).signals[0]
    assert bool(highest.columns) == (highest.p_value is not None and highest.p_value <= 0.0125)
    assert verdict.signals[0].p_value is not None
    assert verdict.signals[0].p_value >= exact_p - 1e-12


def test_distances_that_the_cells_may_hide_are_named() -> None:
    cells = NumberCells("x", [0.0])
    even = ColumnCounts("x", [500, 500], 0)
    assert undecided(sets_of(cells, even, even), RULE) == ["x"]
    assert undecided(sets_of(cells, even, ColumnCounts("x", [900, 100], 0)), RULE) == []
    names = CategoryCells("x", ["a", "b"])
    mixed = ColumnCounts("x", [500, 450, 50], 0)
    assert precision(sets_of(names, mixed, mixed)) == {"x": 0.05}
    assert undecided(sets_of(names, mixed, mixed), RULE) == []


def test_categories_that_are_not_known_share_a_cell() -> None:
    cells = CategoryCells("x", ["a"])
    found = judge_counted(
        sets_of(cells, ColumnCounts("x", [1000, 0], 0), ColumnCounts("x", [700, 300], 0)), RULE
    )
    assert list(found.signals[0].columns) == ["x"]


def test_a_feature_without_a_value_is_not_compared() -> None:
    cells = NumberCells("x", [])
    empty, full = ColumnCounts("x", [0], 1000), ColumnCounts("x", [1000], 0)
    verdict = judge_counted(sets_of(cells, full, empty), RULE)
    assert (verdict.signals[0].p_value, verdict.signals[0].fired) == (None, False)
    assert verdict.signals[1].fired and verdict.signals[1].value == 1.0


@pytest.mark.parametrize(
    ("counts", "reference"),
    [([50, 30, 20], [70, 30, 0]), ([10, 0, 90], [5, 5, 90]), ([1, 0, 0], [0, 0, 4])],
)
def test_more_missing_values_per_row_as_scipy_tests_the_rows(
    counts: list[int], reference: list[int]
) -> None:
    rows = [np.repeat(np.arange(3), table) for table in (counts, reference)]
    exact = stats.mannwhitneyu(*rows, alternative="greater", method="asymptotic").pvalue
    assert larger_p_value(counts, reference) == pytest.approx(exact)
    assert larger_p_value([5, 0], [7, 0]) == 1.0


def test_accuracy_is_that_of_the_confusion_matrix() -> None:
    column = ColumnCounts("x", [1000], 0)
    worse = ClassCounts(
        [
            AnswerCount("a", "a", 500),
            AnswerCount("a", "b", 400),
            AnswerCount(None, "a", 60),
            AnswerCount("b", None, 40),
        ]
    )
    verdict = judge_counted(sets_of(NumberCells("x", []), column, column, worse), RULE)
    drop, drift = verdict.signals[2:]
    assert drop.fired and drop.value == pytest.approx(0.9 - 5 / 9)
    assert drift.fired and "a: 560, b: 400 in production" in drift.statement
    nothing = ClassCounts([AnswerCount("a", None, 1000)])
    verdict = judge_counted(sets_of(NumberCells("x", []), column, column, nothing), RULE)
    assert [signal.p_value for signal in verdict.signals[2:]] == [None, None]


def test_errors_are_compared_by_their_sums() -> None:
    draw = np.random.default_rng(0)
    cells = number_cells("prediction", quantiles(draw.normal(size=2000)))

    def scored(errors: np.ndarray) -> ErrorCounts:
        return ErrorCounts(
            cells,
            counted(cells, draw.normal(size=2000)),
            0.0,
            len(errors),
            float(errors.mean()),
            float(errors.var(ddof=1)),
            None,
        )

    before, after = np.abs(draw.normal(size=2000)), np.abs(draw.normal(scale=1.2, size=2000))
    features = FeatureCounts([NumberCells("x", [])], [ColumnCounts("x", [2000], 0)], [2000, 0])
    pair = [CountedSet(features, scored(errors)) for errors in (before, after)]
    growth = judge_counted(CountedSets(*pair, []), RULE).signals[2]
    exact = stats.ttest_ind(after, before, equal_var=False, alternative="greater").pvalue
    assert growth.fired and growth.p_value == pytest.approx(exact)
    flat = [
        replace(item, predictions=scored(np.full(2000, size)))
        for item, size in zip(pair, (1.0, 2.0), strict=True)
    ]
    assert judge_counted(CountedSets(*flat, []), RULE).signals[2].p_value == 0.0
    same = CountedSets(flat[0], flat[0], [])
    assert judge_counted(same, RULE).signals[2].p_value == 1.0
    with pytest.raises(TypeError, match="different tasks"):
        judge_counted(CountedSets(pair[0], replace(pair[1], predictions=ANSWERS), []), RULE)


def test_what_is_kept_is_read_as_it_was() -> None:
    cells = number_cells("x", [0.1, 0.1, 1e300])
    features = FeatureCounts([cells], [ColumnCounts("x", [1, 2, 3, 4], 5, 0.1, 7.0)], [10, 5])
    assert as_json(FEATURES.validate_python(as_json(features))) == as_json(features)
    assert as_json(PREDICTIONS.validate_python(as_json(ANSWERS))) == as_json(ANSWERS)


def test_a_sample_has_each_row_once_and_is_the_same_every_time() -> None:
    found = sample_numbers(1000, 100)
    assert len(np.unique(found)) == 100 and found.max() < 1000 and (np.diff(found) > 0).all()
    assert (found == sample_numbers(1000, 100)).all()
    assert sample_numbers(5, 100).tolist() == [0, 1, 2, 3, 4]
    # Each row has the same chance: none of the tenths of the set is passed over.
    tenths = np.histogram(sample_numbers(10_000_000, 50_000), bins=10)[0]
    assert stats.chisquare(tenths).pvalue > 0.001
