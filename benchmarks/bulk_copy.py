"""Rows into PostgreSQL and out of it: ours against the naive way, ADBC, and the limit.

    python benchmarks/bulk_copy.py [--rows 1000000] [--rounds 5]

Starts Postgres. *Limit* in: COPY of the same bytes, ready in memory; out: COPY to nowhere. *Naive*
is CSV by pandas. *ADBC* reads into Arrow, and makes of that a frame of the types that ours has.
Tables: 13 numbers; and 13 columns of all types, three of them text, most of them 5 % NULL. Each
round runs all ways in turn, in another order. Figures are of each way's fastest round: what else
the machine does can only slow one down. To reach: in at most 1.5 times the limit; out at most 1.2
times ADBC; else the exit code is 1.
"""

import argparse
import gc
import io
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "services")]

import numpy as np  # noqa: E402 - found by the line above
import pandas as pd  # noqa: E402
import pyarrow as pa  # noqa: E402
from adbc_driver_postgresql import dbapi  # noqa: E402
from psycopg2 import sql  # noqa: E402
from psycopg2.extensions import connection as PgConnection  # noqa: E402, N812

from schema.binary_copy import copy_in, copy_out  # noqa: E402
from schema.binary_rows import Cells, FieldType, encode  # noqa: E402
from tests.support.databases import DatabaseServer, TestDatabase  # noqa: E402

Columns = dict[str, tuple[FieldType, Cells]]

MOST_IN, MOST_OUT = 1.5, 1.2
WAYS = {"in": ("limit", "ours", "naive"), "out": ("limit", "ours", "naive", "arrow", "adbc")}
NULLS = 0.05
ARROW_TYPES: dict[Any, Any] = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}
PANDAS_TYPES = {"float8": "float64", "int8": "Int64", "text": "object", "bool": "object"}


def numbers(n_rows: int) -> Columns:
    """Return a key and 13 columns of numbers."""
    draw = np.random.default_rng(0)
    columns: Columns = {"key": ("int8", np.arange(n_rows))}
    return columns | {f"x{place}": ("float8", draw.normal(size=n_rows)) for place in range(13)}


def mixed(n_rows: int) -> Columns:
    """Return a key and 13 columns of all types, with NULLs in nine of them."""
    draw = np.random.default_rng(0)

    def gaps(values: Any, type_: str) -> Any:
        cells = pd.Series(values).astype(type_)
        cells[draw.random(n_rows) < NULLS] = None
        return cells.values

    words = np.array(["red", "white", "rosé", "sparkling"], dtype=object)
    names = [f"bottle {number}" for number in draw.integers(0, 10**7, n_rows)]
    return {
        "key": ("int8", np.arange(n_rows)),
        **{
            f"x{place}": ("float8", gaps(draw.normal(size=n_rows), "float64")) for place in range(6)
        },
        "year": ("int8", pd.array(draw.integers(1900, 2026, n_rows), "Int64")),
        "stock": ("int8", gaps(draw.integers(0, 1000, n_rows), "Int64")),
        "organic": ("bool", gaps(draw.random(n_rows) < 0.5, "boolean")),
        "screw_cap": ("bool", draw.random(n_rows) < 0.5),
        "colour": ("text", gaps(words[draw.integers(0, 4, n_rows)], "object")),
        "sweetness": ("text", words[draw.integers(0, 2, n_rows)]),
        "name": ("text", np.array(names, dtype=object)),
    }


def seconds(work: Callable[[], Any]) -> float:
    """Return how long `work` takes."""
    gc.collect()
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


class Table:
    """One table and the ways into it and out of it."""

    def __init__(
        self, connection: PgConnection, adbc: dbapi.Connection, name: str, columns: Columns
    ) -> None:
        self._connection, self._adbc, self._name, self._columns = connection, adbc, name, columns
        self._n_rows = len(columns["key"][1])  # type: ignore[arg-type]
        self._types = {name: type_ for name, (type_, _) in columns.items()}
        self._frame = pd.DataFrame({name: cells for name, (_, cells) in columns.items()})
        self._bytes = list(
            encode(
                [cells for _, cells in columns.values()], list(self._types.values()), self._n_rows
            )
        )
        self._query = sql.SQL("SELECT {} FROM {}").format(
            sql.SQL(", ").join(map(sql.Identifier, columns)), sql.Identifier(name)
        )
        self._run(f"CREATE TABLE {name} ({', '.join(f'{n} {t}' for n, t in self._types.items())})")

    def _run(self, statement: str) -> None:
        with self._connection.cursor() as cursor:
            cursor.execute(statement)
        self._connection.commit()

    def _copy(self, statement: str, file: Any) -> None:
        with self._connection.cursor() as cursor:
            cursor.copy_expert(statement, file)

    def limit_in(self) -> None:
        """Send bytes that are there."""
        blocks = iter(self._bytes)
        file = SimpleNamespace(read=lambda _: next(blocks, b""))
        self._copy(f"COPY {self._name} FROM STDIN WITH (FORMAT binary)", file)

    def ours_in(self) -> None:
        """Send columns as the services do."""
        copy_in(self._connection, sql.Identifier(self._name), self._columns, self._n_rows)

    def naive_in(self) -> None:
        """Send CSV."""
        text = io.StringIO()
        self._frame.to_csv(text, index=False, header=False, na_rep="NULL!")
        text.seek(0)
        self._copy(f"COPY {self._name} FROM STDIN WITH (FORMAT csv, NULL 'NULL!')", text)

    def limit_out(self) -> None:
        """Throw the rows away."""
        query = self._query.as_string(self._connection)
        self._copy(f"COPY ({query}) TO STDOUT WITH (FORMAT binary)", SimpleNamespace(write=len))

    def ours_out(self) -> pd.DataFrame:
        """Make a frame as the services do."""
        return copy_out(self._connection, self._query, self._types, index="key")

    def arrow_out(self) -> pa.Table:
        """Have ADBC read into Arrow."""
        with self._adbc.cursor() as cursor:
            cursor.execute(self._query.as_string(self._connection))
            found = cursor.fetch_arrow_table()
        self._adbc.commit()
        return found

    def adbc_out(self) -> pd.DataFrame:
        """Make a frame of what ADBC reads."""
        return self.arrow_out().to_pandas(types_mapper=ARROW_TYPES.get).set_index("key")

    def naive_out(self) -> pd.DataFrame:
        """Read CSV."""
        text, query = io.StringIO(), self._query.as_string(self._connection)
        self._copy(f"COPY ({query}) TO STDOUT WITH (FORMAT csv, HEADER, NULL 'NULL!')", text)
        text.seek(0)
        types: Any = {name: PANDAS_TYPES[type_] for name, type_ in self._types.items()}
        return pd.read_csv(
            text,
            dtype=types,
            index_col="key",
            na_values=["NULL!"],
            keep_default_na=False,
            float_precision="round_trip",
        )

    def measure(self, way: str, rounds: int) -> dict[str, list[float]]:
        """Return the seconds of each round by the names of the `WAYS`, in or out."""
        found: dict[str, list[float]] = {name: [] for name in WAYS[way]}
        for round_ in range(rounds):
            names, turn = list(found), round_ % len(found)
            for name in names[turn:] + names[:turn]:
                work = getattr(self, f"{name}_{way}")
                if way == "in":
                    self._run(f"TRUNCATE {self._name}")
                found[name].append(seconds(lambda work=work: (work(), self._connection.commit())))
        return found

    def check(self) -> None:
        """Make sure that what came out is what went in."""
        for read in (self.ours_out, self.adbc_out):
            found = read().sort_index().reset_index()
            pd.testing.assert_frame_equal(found, self._frame, check_exact=True, check_dtype=False)


def main() -> int:
    """Measure and print; 1 if a target is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of each table")
    parser.add_argument("--rounds", type=int, default=5, help="times that each way is measured")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cellar-bench-") as folder:
        server = DatabaseServer.start_in(Path(folder))
        try:
            with (
                server.new_database() as database,
                database.connection() as connection,
                closing(dbapi.connect(uri(database))) as adbc,
            ):
                missed = measure(connection, adbc, options.rows, options.rounds)
        finally:
            server.close()
    print(
        "targets: in at most 1.5 times the limit, out at most 1.2 times ADBC;",
        "MISSED" if missed else "met",
    )
    return int(missed)


def uri(database: TestDatabase) -> str:
    """Return what ADBC connects by."""
    server = database.server
    # SQLAlchemy makes a space a plus, which libpq does not take.
    password = quote(server.passwords[server.superuser], safe="")
    return f"postgresql://{server.superuser}:{password}@{server.host}:{server.port}/{database.name}"


def measure(connection: PgConnection, adbc: dbapi.Connection, n_rows: int, rounds: int) -> bool:
    """Print one line per table and way; say whether a target is missed."""
    missed = False
    print(f"{n_rows} rows, {rounds} rounds; seconds of the fastest, and times the limit")
    names = WAYS["out"]
    heads = "".join(f"{name + ' s':>9}" for name in names)
    print(f"{'table':<10}{'way':<5}{heads}{'ours/limit':>12}{'ours/adbc':>11}")
    for make in (numbers, mixed):
        table = Table(connection, adbc, make.__name__, make(n_rows))
        for way, against, most in (("in", "limit", MOST_IN), ("out", "adbc", MOST_OUT)):
            best = {name: min(times) for name, times in table.measure(way, rounds).items()}
            over = best["ours"] / best[against]
            missed = missed or over > most
            figures = "".join(f"{best[name]:>9.2f}" if name in best else " " * 9 for name in names)
            times = f"{best['ours'] / best['limit']:>12.2f}"
            times += f"{best['ours'] / best['adbc']:>11.2f}" if "adbc" in best else " " * 11
            print(
                f"{make.__name__:<10}{way:<5}{figures}{times}{'   missed' if over > most else ''}",
                flush=True,
            )
        table.check()
    return missed


if __name__ == "__main__":
    sys.exit(main())
