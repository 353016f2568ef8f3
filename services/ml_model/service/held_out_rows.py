"""Which rows a version is compared on, when datasets are loaded."""

from ml_model.held_out import MOST_ROWS, HeldOut, held_out_of
from ml_model.repository.sets import SqlSets
from schema.sets import DatasetNotFound, SetChanged, SetNotLoaded

TESTING_SET = "testing set"


def testing_rows(sets: SqlSets, dataset_name: str, dataset_version: int) -> HeldOut | None:
    """Return the loaded testing set of a dataset version, None without one; in a transaction."""
    try:
        load = sets.get_load("testing", dataset_name, dataset_version)
        rows = sets.read_first_rows(load, MOST_ROWS)
        return None if rows is None else held_out_of(TESTING_SET, load.dataset, rows)
    except (SetNotLoaded, DatasetNotFound, SetChanged):
        return None
