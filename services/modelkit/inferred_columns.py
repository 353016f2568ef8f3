"""What the columns of rows are that came without a schema: found from their JSON values.

As of a dataset, whose values are typed: numbers, truth values, dates and times, else text.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from modelkit.input_rows import ColumnType, InputColumn
from servicekit.iso_times import parse_time

_TYPES: Mapping[type, ColumnType] = {
    int: "double",
    float: "double",
    bool: "boolean",
    str: "string",
}


def inferred_columns(rows: Sequence[Any], names: Sequence[str]) -> list[InputColumn]:
    """Return the columns `names` of rows, which are lists of that length or objects with them.

    A column is what most of its values are, so that a value of another kind is the one that is
    wrong; of text it is `datetime` where all of it is ISO dates or times, and a column without a
    value is one of numbers. None is a missing value. Rows of other forms are passed over:
    `InputRows` refuses them.
    """
    listed = [row for row in rows if isinstance(row, list) and len(row) == len(names)]
    records = [row for row in rows if isinstance(row, Mapping)]
    by_place: list[Sequence[Any]] = [*zip(*listed, strict=True)] or [()] * len(names)
    return [
        InputColumn(
            name, _type_of([*by_place[place], *(row.get(name) for row in records)]), required=False
        )
        for place, name in enumerate(names)
    ]


def _type_of(values: Sequence[Any]) -> ColumnType:
    counts = Counter(_TYPES[type(value)] for value in values if type(value) in _TYPES)
    if not counts:
        return "double"
    # Of two that are equally many the one that comes first.
    [(most, _)] = counts.most_common(1)
    if most == "string" and _are_times(value for value in values if isinstance(value, str)):
        return "datetime"
    return most


def _are_times(texts: Iterable[str]) -> bool:
    return all(parse_time(text) is not None for text in texts)
