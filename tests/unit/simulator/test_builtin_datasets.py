"""The built-in datasets as the suite describes them."""

import numpy as np
import pytest

from contracts.vocabulary import BUILTIN_DATASETS
from schema.samples import LONGEST_NAME_BYTES, RESERVED_COLUMNS
from simulator.builtin_datasets import read_builtin

SHAPES = {
    "wine": (178, 13, 3),
    "iris": (150, 4, 3),
    "breast_cancer": (569, 30, 2),
    "digits": (1797, 64, 10),
    "diabetes": (442, 10, 0),
}


def test_every_dataset_is_described_here() -> None:
    assert set(SHAPES) == set(BUILTIN_DATASETS)


@pytest.mark.parametrize("name", BUILTIN_DATASETS)
def test_dataset_has_its_rows_features_and_classes(name: str) -> None:
    source = read_builtin(name)
    n_rows, n_features, n_classes = SHAPES[name]
    assert source.rows.shape == (n_rows, n_features + 1)
    assert source.classes == tuple(range(n_classes))
    assert list(source.rows.columns) == [*(c.name for c in source.features), source.target.name]
    assert {str(kind) for kind in source.rows.dtypes.iloc[:-1]} == {"float64"}
    assert not source.rows.isna().any(axis=None)


@pytest.mark.parametrize("name", BUILTIN_DATASETS)
def test_column_names_fit_the_sample_table(name: str) -> None:
    source = read_builtin(name)
    names = [column.name for column in (*source.features, source.target)]
    assert len(set(names)) == len(names)
    assert not RESERVED_COLUMNS & set(names)
    assert max(len(column.encode()) for column in names) <= LONGEST_NAME_BYTES


def test_wine_keeps_the_names_of_its_source() -> None:
    source = read_builtin("wine")
    assert "od280/od315_of_diluted_wines" in [column.name for column in source.features]
    # The first row of the file.
    np.testing.assert_array_equal(source.rows.iloc[0].to_numpy()[:4], [14.23, 1.71, 2.43, 15.6])


def test_classes_have_the_names_people_give_them() -> None:
    assert read_builtin("iris").class_names == ("setosa", "versicolor", "virginica")
    assert read_builtin("breast_cancer").class_names == ("malignant", "benign")
    assert read_builtin("digits").class_names == tuple("0123456789")


def test_a_regression_has_no_classes() -> None:
    source = read_builtin("diabetes")
    assert (source.task, source.target.type) == ("regression", "number")
    assert source.class_names == ()
