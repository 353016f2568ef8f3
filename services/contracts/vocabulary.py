"""The words that every service uses for sets and datasets."""

from typing import Literal

SetName = Literal["training", "testing", "production"]
SET_NAMES: tuple[SetName, ...] = ("training", "testing", "production")

Task = Literal["classification", "regression"]
ColumnType = Literal["number", "integer", "text", "boolean"]

DEFAULT_DATASET = "wine"
DATASET_NAME_PATTERN = r"^[a-z][a-z0-9_]{0,47}$"
