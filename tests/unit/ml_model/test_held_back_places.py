"""Which of the rows that came in online are for comparing."""

from typing import Any

from ml_model.repository.training_rows import TrainingRow
from ml_model.service.retrain_job import held_back_places


def rows(*features: Any) -> list[TrainingRow]:
    # Ids are shared by all datasets, and repeated requests use some up: they say nothing.
    return [TrainingRow(5 * place, "iris", [value], 0) for place, value in enumerate(features)]


def test_every_fifth_row_of_the_dataset_is_held_back() -> None:
    assert held_back_places(rows(*range(12))) == [place in {4, 9} for place in range(12)]


def test_the_same_row_twice_is_on_one_side() -> None:
    places = held_back_places(rows(0, 1, 2, 3, 4, 4, 0, 5, None, None, 6, 7))
    assert places == [False] * 4 + [True, True] + [False] * 5 + [False]


def test_later_rows_change_nothing_for_those_before() -> None:
    early = held_back_places(rows(*range(30)))
    assert held_back_places(rows(*range(50)))[:30] == early
