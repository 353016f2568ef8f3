"""Rows to compare a model's two forms on, where held-out ones are none or too tame."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from modelkit.input_rows import InputColumn
from servicekit.iso_times import text_of_days

DRAWN_ROWS = 200
MISSING_SHARE = 0.05
SEED = 42


def draw_rows(columns: Sequence[InputColumn], example: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """Return the example's rows and `DRAWN_ROWS` drawn around them, always the same ones.

    Numbers are the example's, moved by a normal deviate of the column's own spread in the example
    (of half the value where all are alike); without an example they spread around 0 by 1, 10 and
    100. Texts, truth values and times are drawn from the example and the categories; times, without
    an example, from the years 1970 to 2069. Every twentieth value of a column that may be missing
    is.
    """
    generator = np.random.default_rng(SEED)
    drawn = [
        _column(generator, column, [row[place] for row in example])
        for place, column in enumerate(columns)
    ]
    return [list(row) for row in example] + [list(row) for row in zip(*drawn, strict=True)]


def unlucky_rows(columns: Sequence[InputColumn], rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """Return what the rows may lack: a gap in each column that allows one, and in all; new texts.

    Each is the first of the rows (at least one) but for what is changed. Columns with categories
    get no new text, since they refuse it.
    """
    unlucky = []
    for place, column in enumerate(columns):
        seen = {row[place] for row in rows}
        changes: list[str | None] = [] if column.required else [None]
        if column.type == "string" and column.categories is None:
            new = "new"
            while new in seen:
                new += "_"
            changes += ["", new]
        unlucky += [[*rows[0][:place], change, *rows[0][place + 1 :]] for change in changes]
    empty = [
        None if not column.required else value
        for column, value in zip(columns, rows[0], strict=True)
    ]
    return [*unlucky, empty]


def _column(generator: np.random.Generator, column: InputColumn, seen: list[Any]) -> list[Any]:
    known = [value for value in seen if value is not None]
    if column.categories is not None or column.type in ("string", "boolean"):
        own = [False, True] if column.type == "boolean" else ["a", "b"]
        choice = list(column.categories or known or own)
        values = [choice[place] for place in generator.integers(len(choice), size=DRAWN_ROWS)]
    elif column.type == "datetime":
        own_days = generator.uniform(0, 36_524, size=DRAWN_ROWS).tolist()
        choice = known or [text_of_days(days) for days in own_days]
        values = [choice[place] for place in generator.integers(len(choice), size=DRAWN_ROWS)]
    else:
        values = _numbers(generator, column, known)
    if column.required:
        return values
    missing = generator.random(DRAWN_ROWS) < MISSING_SHARE
    return [None if gone else value for value, gone in zip(values, missing, strict=True)]


def _numbers(generator: np.random.Generator, column: InputColumn, known: list[Any]) -> list[Any]:
    if known:
        base = generator.choice(np.asarray(known, dtype=np.float64), size=DRAWN_ROWS)
        spread = float(np.std(known)) or abs(float(known[0])) / 2 or 1.0
        numbers = base + spread * generator.standard_normal(DRAWN_ROWS)
        if min(known) >= 0:
            # What is never negative in the example may be a length or a count.
            numbers = np.abs(numbers)
    else:
        scale = generator.choice([1.0, 10.0, 100.0], size=DRAWN_ROWS)
        numbers = scale * generator.standard_normal(DRAWN_ROWS)
    if column.type == "integer":
        return [int(number) for number in np.rint(numbers)]
    return [float(number) for number in numbers]
