"""Rows of a request against the columns of a model: what is wrong is said by row and column.

Imports numpy only, and makes no DataFrame: this runs in every prediction.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from servicekit.errors import Detail, Invalid
from servicekit.iso_times import days_of, parse_time, text_of_days

ColumnType = Literal["double", "integer", "boolean", "string", "datetime"]

MOST_DETAILS = 20
MOST_NAMES = 12
LARGEST_WHOLE_NUMBER = 2**53
"""Beyond it float64, which the model computes in, cannot tell neighbours apart."""

_NUMBERS = {float, int}


class InvalidRows(Invalid):
    """Invalid input rows."""

    advice = "Give each row the columns that the model was fitted on."


@dataclass(frozen=True)
class InputColumn:
    """One input of a model.

    Parameters
    ----------
    name : as the model knows it.
    type : double, integer (whole numbers), boolean, string or datetime (an ISO text of a date, or
        of a time, which is UTC without a zone).
    required : False allows null, which is a missing value. No key may be left out of a record:
        that is more often a mistake than a missing value.
    categories : the values the model knows, where it refuses others; None: any of the type.
    """

    name: str
    type: ColumnType
    required: bool = True
    categories: tuple[Any, ...] | None = None

    def problem(self, value: Any) -> str | None:
        """Say what is wrong with one JSON value, or None."""
        if value is None:
            return "must not be null: the model needs a value here" if self.required else None
        problem = _PROBLEMS[self.type](value)
        if problem or self.categories is None or value in self.categories:
            return problem
        return f"must be one of {_listed(self.categories)}, not {_shown(value)}"


class InputRows:
    """Checks the rows of requests against a model's columns and gives them as the model takes them.

    `numeric` tells which form that is: a float64 array (n, k) with NaN where a value is missing
    (booleans are 0 and 1), or, where a column is text, a list of lists of JSON values. In both
    forms dates and times are days since 1970.
    """

    def __init__(self, columns: Sequence[InputColumn]) -> None:
        self.columns = tuple(columns)
        self.numeric = all(column.type != "string" for column in columns)
        self._names = [column.name for column in columns]
        self._times = [place for place, column in enumerate(columns) if column.type == "datetime"]
        # Most models take numbers, all of them required: for these a few passes at C speed do.
        self._plain = all(
            column.type == "double" and column.categories is None for column in columns
        )

    def from_lists(
        self, rows: Sequence[Any], *, path: str = "data", single: bool = False
    ) -> NDArray[np.float64] | list[list[Any]]:
        """Return rows given as lists of values in the order of the columns.

        `path` is what the request calls them, for the details of an error; `single` says that
        the request gave one row without a list around it.

        Raises
        ------
        InvalidRows
            No row, a row of another length, or a value that the column does not take.
        """
        if self._plain:
            array = self._at_once(rows)
            if array is not None:
                return array
        problems = _Problems(path, single)
        width = len(self.columns)
        checked: list[list[Any]] = []
        for number, row in enumerate(rows):
            if not isinstance(row, list | tuple):
                problems.add(number, None, f"must be a list of {width} values")
            elif len(row) != width:
                what = f"has {_counted(len(row))}, the model takes {width}: {_listed(self._names)}"
                problems.add(number, None, what)
            else:
                checked.append(self._checked(row, number, problems))
        return self._formed(checked, problems)

    def from_records(
        self, rows: Sequence[Any], *, path: str = "records", single: bool = False
    ) -> NDArray[np.float64] | list[list[Any]]:
        """Return rows given as objects: column name to value, in any order.

        Raises
        ------
        InvalidRows
            As `from_lists`; a key is missing, or is no column of the model.
        """
        problems = _Problems(path, single)
        known = set(self._names)
        checked: list[list[Any]] = []
        for number, row in enumerate(rows):
            if not isinstance(row, Mapping):
                problems.add(number, None, "must be an object of column names and values")
                continue
            for column in self.columns:
                if column.name not in row:
                    unknown = "" if column.required else "; send null where it is not known"
                    problems.add(number, column.name, f"is missing{unknown}")
            for name in row:
                if name not in known:
                    what = f"is no column of the model, which takes {_listed(self._names)}"
                    problems.add(number, str(name), what)
            given = [(column, row[column.name]) for column in self.columns if column.name in row]
            for column, value in given:
                problem = column.problem(value)
                if problem:
                    problems.add(number, column.name, problem)
            checked.append([row.get(name) for name in self._names])
        return self._formed(checked, problems)

    def _at_once(self, rows: Sequence[Any]) -> NDArray[np.float64] | None:
        """Return the rows if all is well and nothing is null; None: look closer."""
        width = len(self.columns)
        if not rows or set(map(type, rows)) != {list} or set(map(len, rows)) != {width}:
            return None
        if not set(map(type, chain.from_iterable(rows))) <= _NUMBERS:
            return None
        try:
            if len(rows) == 1:
                # Quicker for a few numbers; where the sum alone overflows, a closer look is due.
                return np.array(rows, np.float64) if math.isfinite(sum(rows[0])) else None
            flat = np.fromiter(chain.from_iterable(rows), np.float64, len(rows) * width)
        except OverflowError:
            return None
        return flat.reshape(-1, width) if np.isfinite(flat).all() else None

    def _checked(self, row: Sequence[Any], number: int, problems: "_Problems") -> list[Any]:
        for column, value in zip(self.columns, row, strict=True):
            problem = column.problem(value)
            if problem:
                problems.add(number, column.name, problem)
        return list(row)

    def _formed(
        self, rows: list[list[Any]], problems: "_Problems"
    ) -> NDArray[np.float64] | list[list[Any]]:
        problems.refuse()
        if not rows:
            raise InvalidRows("Give at least one row.", details=[Detail(problems.path, "is empty")])
        for row in rows if self._times else ():
            for place in self._times:
                row[place] = None if row[place] is None else _days(row[place])
        # numpy makes NaN of None.
        return np.array(rows, dtype=np.float64) if self.numeric else rows

    def as_json(self, rows: NDArray[np.float64] | list[list[Any]]) -> list[list[Any]]:
        """Return checked rows as JSON values, so that they can be checked again.

        NaN is a missing value, except in dates and times, where it is None.
        """
        listed = rows if isinstance(rows, list) else rows.tolist()
        if not self._times:
            return listed
        listed = [list(row) for row in listed]
        for row in listed:
            for place in self._times:
                days = row[place]
                row[place] = None if days is None or days != days else text_of_days(days)
        return listed


class _Problems:
    """What was found, row by row."""

    def __init__(self, path: str, single: bool) -> None:
        self.path = path
        self._single = single
        self._found: list[tuple[str, Detail]] = []
        self._count = 0

    def add(self, number: int, column: str | None, problem: str) -> None:
        self._count += 1
        if len(self._found) == MOST_DETAILS:
            return
        steps = [self.path, *([] if self._single else [str(number)]), *([column] if column else [])]
        where = [
            *([] if self._single else [f"row {number}"]),
            *([f"column {column}"] if column else []),
        ]
        place = ", ".join(where) or "the row"
        self._found.append((place, Detail(".".join(steps), problem)))

    def refuse(self) -> None:
        if not self._found:
            return
        place, first = self._found[0]
        more = f" ({self._count - 1} more: see details.)" if self._count > 1 else ""
        raise InvalidRows(
            f"{place[0].upper()}{place[1:]} {first.problem}.{more}",
            details=[detail for _, detail in self._found],
        )


def _number_problem(value: Any) -> str | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"must be a number, not {_kind(value)}"
    try:
        finite = math.isfinite(value)
    except OverflowError:
        finite = False
    return None if finite else "must be a finite number"


def _whole_number_problem(value: Any) -> str | None:
    problem = _number_problem(value)
    if problem:
        return problem
    if value != int(value):
        return f"must be a whole number, not {value!r}"
    if abs(value) > LARGEST_WHOLE_NUMBER:
        return "must be between -2^53 and 2^53"
    return None


def _boolean_problem(value: Any) -> str | None:
    return None if isinstance(value, bool) else f"must be true or false, not {_kind(value)}"


def _text_problem(value: Any) -> str | None:
    if not isinstance(value, str):
        return f"must be text, not {_kind(value)}"
    # The prediction log cannot hold it, nor can any dataset.
    return "must not hold the character NUL" if "\0" in value else None


def _time_problem(value: Any) -> str | None:
    if not isinstance(value, str):
        return f"must be a date or time as text, not {_kind(value)}"
    if parse_time(value) is None:
        return (
            f"must be a date or time like 2026-11-28 or 2026-11-28T10:00:00Z, not {_shown(value)}"
        )
    return None


def _days(text: str) -> float:
    time = parse_time(text)
    return math.nan if time is None else days_of(time)


_PROBLEMS: Mapping[str, Callable[[Any], str | None]] = {
    "double": _number_problem,
    "integer": _whole_number_problem,
    "boolean": _boolean_problem,
    "string": _text_problem,
    "datetime": _time_problem,
}


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, str):
        return f"text ({_shown(value)})"
    if isinstance(value, list | tuple):
        return "a list"
    return "an object" if isinstance(value, Mapping) else f"the number {value!r}"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}…"


def _listed(values: Sequence[Any]) -> str:
    shown = ", ".join(str(value) for value in values[:MOST_NAMES])
    return shown if len(values) <= MOST_NAMES else f"{shown} and {len(values) - MOST_NAMES} more"


def _counted(count: int) -> str:
    return "1 value" if count == 1 else f"{count} values"
