"""What the simulator speaks of: a table before it is stored."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from schema.samples import Column

Chunks = Callable[[Sequence[Column]], Iterator[pd.DataFrame]]
"""Gives the named columns of a table from its first row on, a limited number of rows at a time."""


@dataclass(frozen=True)
class DatasetDescription:
    """What a dataset version is, but for its rows.

    `columns` are all of them in their order; `target` and the other columns are names among them.
    `classes` are the sorted labels, empty for a regression; `class_names` what people call them.
    """

    name: str
    task: str
    columns: tuple[Column, ...]
    target: str
    classes: tuple[Any, ...]
    origin: str
    class_names: tuple[str, ...] | None = None
    id_column: str | None = None
    time_column: str | None = None
    time_is_feature: bool = False
    group_column: str | None = None
    split_column: str | None = None
