"""From rows as a caller or a stored sample gives them to columns that can be compared."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from monitoring.errors import InvalidRows
from monitoring.service.drift import ColumnPair, Kind
from servicekit.errors import Detail
from servicekit.iso_times import days_of, parse_time

MOST_COLUMNS = 1000
MOST_DETAILS = 20

KIND_OF: Mapping[type, Kind] = {int: "number", float: "number", bool: "boolean", str: "text"}
WORD_OF: Mapping[Kind, str] = {
    "number": "a number",
    "boolean": "true or false",
    "text": "text",
    "datetime": "a date or time",
    "unknown": "missing",
}

Row = Sequence[Any] | Mapping[str, Any]


@dataclass(frozen=True)
class Table:
    """Rows by column. `values` are JSON values, None where missing.

    `named` is False where the rows were lists that came without names; `source` is what the rows
    are called in the request, e.g. `data`.
    """

    source: str
    columns: tuple[str, ...]
    values: tuple[Sequence[Any], ...]
    row_count: int
    named: bool

    def path(self, row: int, column: str) -> str:
        """Return where a value stands in the request."""
        return f"{self.source}.{row}.{column}"


def read_rows(rows: Sequence[Row], source: str, columns: Sequence[str] | None = None) -> Table:
    """Return rows by column.

    Lists are read in the order of `columns`, or get the names `x0`, `x1`, ... Records
    must have exactly the keys `columns`, or else those of the first record; a missing value is
    null.

    Raises
    ------
    InvalidRows
        No row, no or too many columns, lists and records mixed, a row of another length, keys
        missing or unknown, a value that is neither number, text, true, false nor null; `details`
        names each row and column.
    """
    if not rows:
        raise InvalidRows(f"{source} holds no row.", details=[Detail(source, "holds no row")])
    records = isinstance(rows[0], Mapping)
    for number, row in enumerate(rows):
        if not isinstance(row, list | Mapping):
            _refuse([Detail(f"{source}.{number}", "is neither a list nor a record")])
        if isinstance(row, Mapping) != records:
            _refuse([Detail(f"{source}.{number}", "lists and records are mixed")])
    names = _names(rows[0], columns)
    if not 1 <= len(names) <= MOST_COLUMNS:
        _refuse([Detail(source, f"has {len(names)} columns; 1 to {MOST_COLUMNS} are possible")])
    problems = list(_shape_problems(rows, source, names, records))
    if problems:
        _refuse(problems)
    values = (
        tuple([row[name] for row in rows] for name in names)  # type: ignore[call-overload]
        if records
        else tuple(zip(*rows, strict=True))
    )
    table = Table(source, names, values, len(rows), named=records or columns is not None)
    for name, column in zip(names, values, strict=True):
        _check_values(table, name, column)
    return table


def stored_table(columns: Sequence[str], values: Sequence[Sequence[Any]], row_count: int) -> Table:
    """Return a reference that was stored by the suite, by column."""
    return Table("reference", tuple(columns), tuple(values), row_count, named=True)


def pair_columns(reference: Table, current: Table) -> list[ColumnPair]:
    """Return the columns of both, in the reference's order.

    Raises
    ------
    InvalidRows
        The columns differ, or a column holds another kind of value than in the reference.
    """
    if reference.named != current.named:
        lists = current.source if reference.named else reference.source
        _refuse([Detail(lists, "send records, as the other side does: lists have no names")])
    missing = [name for name in reference.columns if name not in current.columns]
    unknown = [name for name in current.columns if name not in reference.columns]
    if missing or unknown:
        _refuse(
            [Detail(f"{current.source}.0.{name}", "is missing") for name in missing]
            + [
                Detail(f"{current.source}.0.{name}", "is no column of the reference")
                for name in unknown
            ]
        )
    place = {name: number for number, name in enumerate(current.columns)}
    return [
        _pair(reference, current, name, reference.values[number], current.values[place[name]])
        for number, name in enumerate(reference.columns)
    ]


def _names(first: Row, columns: Sequence[str] | None) -> tuple[str, ...]:
    if columns is not None:
        return tuple(columns)
    if isinstance(first, Mapping):
        return tuple(first)
    return tuple(f"x{number}" for number in range(len(first)))


def _shape_problems(
    rows: Sequence[Row], source: str, names: Sequence[str], records: bool
) -> Iterable[Detail]:
    known = set(names)
    for number, row in enumerate(rows):
        if not records:
            if len(row) != len(names):
                yield Detail(
                    f"{source}.{number}",
                    f"has {len(row)} values instead of {len(names)} ({_listed(names)})",
                )
        elif row.keys() != known:  # type: ignore[union-attr]
            for name in names:
                if name not in row:
                    yield Detail(f"{source}.{number}.{name}", "is missing; null is a missing value")
            for name in row:
                if name not in known:
                    yield Detail(f"{source}.{number}.{name}", f"is no column ({_listed(names)})")


def _check_values(table: Table, name: str, column: Sequence[Any]) -> None:
    kinds = {KIND_OF.get(kind) for kind in set(map(type, column)) - {type(None)}}
    if len(kinds) <= 1 and None not in kinds:
        return
    wanted: Kind | None = None
    for number, value in enumerate(column):
        if value is None:
            continue
        kind = KIND_OF.get(type(value))
        if kind is None:
            _refuse([Detail(table.path(number, name), "is neither number, text, true nor false")])
        if wanted is not None and kind != wanted:
            _refuse(
                [
                    Detail(
                        table.path(number, name),
                        f"is {WORD_OF[kind]}; the column held {WORD_OF[wanted]} before",
                    )
                ]
            )
        wanted = kind


def _pair(
    reference: Table, current: Table, name: str, before: Sequence[Any], now: Sequence[Any]
) -> ColumnPair:
    kinds = _kind(before), _kind(now)
    kind = kinds[1] if kinds[0] == "unknown" else kinds[0]
    if "unknown" not in kinds and kinds[0] != kinds[1]:
        # A boolean that was stored as 0 and 1, or the other way round.
        if set(kinds) != {"number", "boolean"} or not (_is_binary(before) and _is_binary(now)):
            number = next(place for place, value in enumerate(now) if not _is_missing(value))
            _refuse(
                [
                    Detail(
                        current.path(number, name),
                        f"is {WORD_OF[kinds[1]]}; the reference holds {WORD_OF[kinds[0]]}",
                    )
                ]
            )
        kind = "boolean"
    if kind == "text" and _are_times(before) and _are_times(now):
        kind = "datetime"
    return ColumnPair(name, kind, _array(before, kind), _array(now, kind))


def _kind(column: Sequence[Any]) -> Kind:
    if isinstance(column, np.ndarray) and column.dtype != object:
        return "number" if len(column) and not np.isnan(column).all() else "unknown"
    return next((KIND_OF[type(value)] for value in column if not _is_missing(value)), "unknown")


def _is_missing(value: Any) -> bool:
    return value is None or value != value


def _is_binary(column: Sequence[Any]) -> bool:
    return all(_is_missing(value) or value in (0, 1) for value in column)


def _are_times(column: Sequence[Any]) -> bool:
    """Tell whether all texts are dates or times, as those of a column of such are."""
    return all(_is_missing(text) or parse_time(text) is not None for text in column)


def _days(text: str) -> float:
    time = parse_time(text)
    return math.nan if time is None else days_of(time)


def _array(column: Sequence[Any], kind: Kind) -> NDArray[Any]:
    if kind == "datetime":
        return np.array([math.nan if _is_missing(text) else _days(text) for text in column])
    if kind in ("number", "unknown"):
        return np.array(column, dtype=float)
    texts = np.empty(len(column), dtype=object)
    for number, value in enumerate(column):
        if not _is_missing(value):
            texts[number] = str(value) if kind == "text" else ("true" if value else "false")
    return texts


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:5])
    return f"{shown}, ..." if len(names) > 5 else shown


def _refuse(problems: Sequence[Detail]) -> NoReturn:
    shown = problems[:MOST_DETAILS]
    text = "; ".join(f"{item.path} {item.problem}" for item in shown[:3])
    raise InvalidRows(f"{text}.", details=shown)
