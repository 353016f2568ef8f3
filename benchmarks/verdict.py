"""The verdict on a long production set over HTTP, against Evidently's presets on the same frames.

    python benchmarks/verdict.py [--rows 1000000] [--table numbers | mixed]
                                 [--task classification | regression] [--rounds 3] [--alone]

Starts Postgres and the monitoring service, and writes a scored testing and a scored production set
of so many rows: 13 numbers (`numbers`), or 30 columns of all types with gaps (`mixed`). *First* is
the first question, for which both sets are counted. *Verdict* is the question about other
production rows against the reference that is stored by then. *Summary* is the same with Evidently's
test presets on a sample, *Evidently* its report's presets on all rows, in this process, with
nothing around it, once. To reach: a verdict (median) at least 50 times faster than Evidently, and
no more than 1 GiB for the service's processes together; else the exit code is 1. `--alone` leaves
out Evidently on all rows, which ten million of them are too many for. *Windows* is a verdict on
production in twelve windows as well.
"""

import argparse
import os
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "services")]

import numpy as np  # noqa: E402 - found by the line above
import pandas as pd  # noqa: E402
import requests  # noqa: E402
from sqlalchemy import URL, create_engine  # noqa: E402
from sqlalchemy.orm import scoped_session, sessionmaker  # noqa: E402
from sqlalchemy.pool import NullPool  # noqa: E402

from benchmarks.monitoring_report import bare_report  # noqa: E402
from monitoring.repository.scored_sets import ScoredSetsRepository  # noqa: E402
from monitoring.service.comparison import Comparison  # noqa: E402
from schema.samples import Column  # noqa: E402
from tests.support.running_suite import OwnSuite, Postgres, free_ports  # noqa: E402
from tests.support.scored_tables import ScoredTable  # noqa: E402

FASTER, MOST_MIB = 50.0, 1024.0
NAME, READY_S, ANSWER_S = "cellar", 120.0, 1200.0


def numbers(n_rows: int, seed: int, moved: float) -> tuple[list[Column], pd.DataFrame]:
    """Return 13 columns of numbers; `moved` shifts each by so many deviations."""
    draw = np.random.default_rng(seed)
    names = [f"x{place}" for place in range(13)]
    rows = pd.DataFrame({name: draw.normal(moved, 1.0, n_rows) for name in names})
    return [Column(name, "number") for name in names], rows


def mixed(n_rows: int, seed: int, moved: float) -> tuple[list[Column], pd.DataFrame]:
    """Return 18 columns of numbers, 4 of whole ones, 3 of truth values, 5 of texts, with gaps."""
    draw = np.random.default_rng(seed)
    words = np.array([f"word {place}" for place in range(50)], dtype=object)
    columns: list[Column] = []
    cells: dict[str, Any] = {}
    for place in range(18):
        columns.append(Column(f"number {place}", "number"))
        cells[columns[-1].name] = pd.Series(draw.normal(moved, 1.0, n_rows))
    for place in range(4):
        columns.append(Column(f"integer {place}", "integer"))
        whole = draw.poisson(20 * (1 + moved), n_rows)
        cells[columns[-1].name] = pd.Series(whole).astype("Int64")
    for place in range(3):
        columns.append(Column(f"boolean {place}", "boolean"))
        cells[columns[-1].name] = pd.Series(draw.random(n_rows) < 0.5 + moved / 4).astype("boolean")
    for place in range(5):
        columns.append(Column(f"text {place}", "text"))
        chosen = draw.integers(0, 10 * (place + 1), n_rows)
        cells[columns[-1].name] = pd.Series(words[chosen])
    for name in list(cells)[::3]:
        cells[name][draw.random(n_rows) < 0.05] = None
    return columns, pd.DataFrame(cells)


def table_of(make: Any, task: str, n_rows: int) -> ScoredTable:
    """Return the two sets: three classes or a number, predicted worse in production."""
    sets = {}
    for seed, (set_name, moved, wrong) in enumerate(
        (("testing", 0.0, 0.1), ("production", 0.5, 0.2))
    ):
        columns, rows = make(n_rows, seed, moved)
        draw = np.random.default_rng(100 + seed)
        if task == "regression":
            truth = draw.normal(moved, 1.0, n_rows)
            predicted = truth + draw.normal(0.0, wrong, n_rows)
        else:
            truth = draw.integers(0, 3, n_rows)
            predicted = np.where(draw.random(n_rows) < wrong, (truth + 1) % 3, truth)
        sets[set_name] = (rows.assign(target=truth), predicted)
    columns = [*columns, Column("target", "number" if task == "regression" else "integer")]
    classes = [] if task == "regression" else [0, 1, 2]
    return ScoredTable(NAME, columns, "target", task, classes, sets)


def start(folder: Path) -> OwnSuite:
    """Start Postgres and monitoring, which needs nobody else for its verdicts."""
    names = ("ml_model", "mlflow", "postgres", "tracking", "simulator", "monitoring")
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    urls = {name: f"http://127.0.0.1:{port}" for name, port in ports.items() if name != "postgres"}
    suite = OwnSuite(urls, folder, Postgres(folder / "postgres", ports["postgres"]))
    try:
        suite.postgres.create()
        suite._migrate()
        suite.programs["monitoring"] = suite._program("monitoring", ports)
        suite.programs["monitoring"].start()
        deadline = time.monotonic() + READY_S
        while not _is_up(suite) and time.monotonic() < deadline:
            suite.assert_alive("monitoring")
            time.sleep(0.2)
    except BaseException:
        suite.close()
        raise
    return suite


def _is_up(suite: OwnSuite) -> bool:
    try:
        return requests.get(suite.monitoring_url + "/health", timeout=5).ok
    except requests.ConnectionError:
        return False


def url_of(suite: OwnSuite, role: str) -> URL:
    """Return the dataset database's URL for a role."""
    return URL.create(
        "postgresql+psycopg2",
        username=role,
        password=suite.postgres.passwords[role],
        host="127.0.0.1",
        port=suite.postgres.port,
        database="cellar",
    )


class PeakMemory:
    """The largest memory of a process group while the block runs: proportional shares, in MiB."""

    def __init__(self, group: int) -> None:
        self._group = group
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.mib = 0.0

    def __enter__(self) -> "PeakMemory":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.1):
            self.mib = max(self.mib, sum(map(self._of, Path("/proc").glob("[0-9]*"))) / 1024)

    def _of(self, process: Path) -> int:
        try:
            if os.getpgid(int(process.name)) != self._group:
                return 0
            lines = (process / "smaps_rollup").read_text().splitlines()
        except (OSError, ProcessLookupError):
            return 0
        return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def ask(suite: OwnSuite, metric: str, **more: Any) -> tuple[float, dict[str, Any]]:
    """Ask, and return the seconds it took with the answer."""
    began = time.perf_counter()
    answer = requests.post(
        suite.monitoring_url + "/root/monitoring",
        json={"metric": metric, "dataset_name": NAME, **more},
        timeout=ANSWER_S,
    )
    took_s = time.perf_counter() - began
    assert answer.status_code == 200, answer.text
    return took_s, answer.json()


def other_rows(suite: OwnSuite, turn: int) -> None:
    """Make everybody believe that production was loaded and scored anew."""
    for table in ("set_loads", "scorings"):
        suite.postgres.execute(
            f"UPDATE {table} SET content_hash = 'turn {turn}' WHERE set_name = 'production'"  # noqa: S608
        )


def frames(suite: OwnSuite) -> Comparison:
    """Return both sets whole, as Evidently takes them."""
    engine = create_engine(url_of(suite, "cellar_monitoring"), poolclass=NullPool)
    session = scoped_session(sessionmaker(engine))
    repository = ScoredSetsRepository(session)
    comparison = repository.compare(repository.get(NAME, None))
    session.remove()
    return comparison


def main() -> int:
    """Measure and print; 1 if a target is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of each set")
    parser.add_argument("--table", choices=["numbers", "mixed"], default="numbers")
    parser.add_argument(
        "--task", choices=["classification", "regression"], default="classification"
    )
    parser.add_argument("--rounds", type=int, default=3, help="verdicts that are measured")
    parser.add_argument("--alone", action="store_true", help="without Evidently on all rows")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cellar-bench-") as folder:
        suite = start(Path(folder))
        try:
            return measure(suite, options)
        finally:
            suite.close()


def measure(suite: OwnSuite, options: argparse.Namespace) -> int:
    """Fill, ask, compare; return the exit code."""
    table, n_rows, rounds = options.table, options.rows, options.rounds
    engine = create_engine(url_of(suite, "cellar_simulator"), poolclass=NullPool)
    connection: Any = engine.raw_connection()
    table_of({"numbers": numbers, "mixed": mixed}[table], options.task, n_rows).store(
        connection.driver_connection
    )
    connection.close()
    print(f"{table}, {options.task}, {n_rows} rows per set", flush=True)
    process = suite.programs["monitoring"].process
    assert process is not None
    with PeakMemory(os.getpgid(process.pid)) as peak:
        first_s, answer = ask(suite, "verdict")
        print(f"first {first_s:.2f} s: {'; '.join(answer['reasons'])}", flush=True)
        took_s = []
        for turn in range(rounds):
            other_rows(suite, turn)
            took_s.append(ask(suite, "verdict")[0])
            print(f"verdict {took_s[-1]:.2f} s", flush=True)
        windows_s, answer = ask(suite, "verdict", windows=12)
        print(f"windows {windows_s:.2f} s, first alarm in {answer['first_alarm']}", flush=True)
        summary_s, answer = ask(suite, "summary")
        print(f"summary {summary_s:.2f} s; {' '.join(answer['notes'])}", flush=True)
    if options.alone:
        print(f"peak memory of the service {peak.mib:.0f} MiB, to reach: {MOST_MIB:.0f}")
        return int(peak.mib > MOST_MIB)
    comparison = frames(suite)
    evidently_s = bare_report(comparison)
    ratio = evidently_s / statistics.median(took_s)
    missed = ratio < FASTER or peak.mib > MOST_MIB
    print(
        f"Evidently {evidently_s:.1f} s, verdict {statistics.median(took_s):.2f} s (median of "
        f"{rounds}): {ratio:.0f} times faster, to reach: {FASTER:.0f}; peak memory of the service "
        f"{peak.mib:.0f} MiB, to reach: {MOST_MIB:.0f}; {'MISSED' if missed else 'met'}"
    )
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
