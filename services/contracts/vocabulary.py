"""The words that every service uses for sets and datasets."""

from typing import Literal

SetName = Literal["training", "testing", "production"]
SET_NAMES: tuple[SetName, ...] = ("training", "testing", "production")

Task = Literal["classification", "regression"]
ColumnType = Literal["number", "integer", "text", "boolean", "date", "timestamp"]
Split = Literal["stratified", "random", "time", "group", "column"]
SEEDED_SPLITS = frozenset({"stratified", "random", "group"})
"""Those that another seed cuts otherwise."""

DEFAULT_DATASET = "wine"
BUILTIN_DATASETS = (DEFAULT_DATASET, "iris", "breast_cancer", "digits", "diabetes")
"""Those that scikit-learn brings: stored when they are first asked for."""
DATASET_NAME_PATTERN = r"^[a-z][a-z0-9_]{0,47}$"
