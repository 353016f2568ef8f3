"""A stored set scored and its predictions stored: ours against its three parts added up.

    python benchmarks/bulk_scoring.py [--rows 1000000] [--rounds 3] [--only-ours]

Starts Postgres; 13 numbers, three classes, LogisticRegression and a RandomForest of 100 trees. The
parts, one after the other: *read* is COPY of the set to nowhere; *predict* is scikit-learn's
`predict_proba` of the whole frame, on all cores; *write* is COPY of the predictions, ready as bytes
in memory, into their table. *Ours* is what a job does, in a process of its own, whose peak of
resident memory is printed. Figures are of each one's fastest round. To reach: ours at most 1.5
times the sum, and less than 1 GiB; else the exit code is 1. With `--only-ours` the parts are left
out, which need memory for the whole set.
"""

import argparse
import gc
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "services")]

import joblib  # noqa: E402 - found by the line above
import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
from psycopg2 import sql  # noqa: E402
from sklearn.pipeline import Pipeline  # noqa: E402

from ml_model.domain import ModelVersion  # noqa: E402
from ml_model.repository.scorings import SqlScorings  # noqa: E402
from ml_model.repository.sets import SqlSets  # noqa: E402
from ml_model.service.bulk_scoring import BulkScore, BulkScoring  # noqa: E402
from ml_model.settings import Settings  # noqa: E402
from modelkit.pipeline import build_pipeline  # noqa: E402
from schema import samples  # noqa: E402
from schema.binary_copy import copy_out  # noqa: E402
from schema.binary_rows import encode  # noqa: E402
from schema.samples import Column  # noqa: E402
from servicekit.background import bind_outside_requests  # noqa: E402
from servicekit.database import Database  # noqa: E402
from tests.support.databases import DatabaseServer, TestDatabase  # noqa: E402

MOST_TIME, MOST_MIB = 1.5, 1024
FITTED_ROWS = 20_000
FEATURES = [f"x{place}" for place in range(13)]
CLASSES = ["low", "middle", "high"]
COLUMNS = [*(Column(name, "number") for name in FEATURES), Column("target", "text")]
MODELS: dict[str, dict[str, Any]] = {
    "LogisticRegression": {},
    "RandomForest": {"n_estimators": 100, "max_depth": 12},
}


def make_rows(draw: np.random.Generator, n_rows: int) -> pd.DataFrame:
    """Return features and target."""
    numbers = draw.normal(size=(n_rows, len(FEATURES)))
    value = numbers[:, :4].sum(axis=1) + draw.normal(size=n_rows)
    rows = pd.DataFrame(numbers, columns=FEATURES)
    rows["target"] = np.array(CLASSES, dtype=object)[np.digitize(value, [-1.0, 1.0])]
    return rows


def fill(database: TestDatabase, n_rows: int) -> tuple[int, int]:
    """Store a loaded testing set and a model version, and return the ids of dataset and version."""
    columns = ", ".join(f'{{"name": "{c.name}", "type": "{c.type}"}}' for c in COLUMNS)
    [(dataset_id,)] = database.rows(
        "SELECT nextval(pg_get_serial_sequence('datasets', 'id'))::bigint"
    )
    database.execute(
        "INSERT INTO datasets (id, name, version, content_hash, task, target, columns, classes,"
        " origin) OVERRIDING SYSTEM VALUE"
        " VALUES (%s, 'bench', 1, 'h', 'classification', 'target', %s, %s, 'benchmark')",
        (dataset_id, f"[{columns}]", str(CLASSES).replace("'", '"')),
    )
    database.execute(
        "INSERT INTO set_loads (dataset_id, set_name, seed, scenario, content_hash, row_count)"
        " VALUES (%s, 'testing', 0, 'clean', 'h', %s)",
        (dataset_id, n_rows),
    )
    database.execute(
        "INSERT INTO model_versions (registered_name, version, model_name, hyperparameters,"
        " training_run_id, dataset_id, model_uri) VALUES ('m', 1, 'm', '{}', 'r', %s, 'u')",
        (dataset_id,),
    )
    draw = np.random.default_rng(0)
    with database.connection("cellar_simulator") as connection:
        samples.create_table(connection, "bench", 1, COLUMNS)
        for first in range(0, n_rows, samples.CHUNK_ROWS):
            rows = make_rows(draw, min(samples.CHUNK_ROWS, n_rows - first))
            numbers = np.arange(first, first + len(rows))
            samples.append_rows(connection, "bench", 1, "testing", 1, COLUMNS, numbers, rows)
        connection.commit()
    database.execute("GRANT SELECT ON samples.bench_v1 TO cellar_ml_model")
    [(version_id,)] = database.rows("SELECT id FROM model_versions")
    return int(dataset_id), int(version_id)


def fit(name: str, hyperparameters: dict[str, Any]) -> Pipeline:
    """Return a fitted pipeline."""
    rows = make_rows(np.random.default_rng(1), FITTED_ROWS)
    pipeline = build_pipeline(name, hyperparameters, FEATURES, CLASSES)
    return pipeline.fit(rows[FEATURES], rows["target"].to_numpy())


def score_in_process(values: Any, version: ModelVersion, path: str, answers: Any) -> None:
    """Score as a job's process does; answer with seconds, score and peak in MiB."""
    pipeline = joblib.load(path)
    store: Any = SimpleNamespace(load=lambda _: pipeline)
    database = Database(Settings.model_validate(values))
    scope = bind_outside_requests(database, "benchmark")
    session, found = database.session, []

    def conclude(outcome: BulkScore, make_visible: Callable[[], None]) -> None:
        with database.transaction():
            make_visible()
        found.append(outcome.score.score)

    scoring = BulkScoring(database, SqlSets(session), SqlScorings(session), store)
    with scope():
        took_s = seconds(lambda: scoring.score(version, "testing", lambda *_: None, conclude))
    answers.send((took_s, found[0], peak_mib()))


def peak_mib() -> float:
    """Return this process's peak of resident memory so far."""
    # getrusage would give that of the process it was started by, where that is higher.
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def seconds(work: Callable[[], Any]) -> float:
    """Return how long `work` takes."""
    gc.collect()
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


class Ways:
    """The set, one model, and the ways to measure."""

    def __init__(self, database: TestDatabase, ids: tuple[int, int], pipeline: Pipeline) -> None:
        self._database = database
        self._dataset_id, self._version_id = ids
        self._pipeline = pipeline

    def clear(self) -> None:
        """Take all predictions away."""
        self._database.execute("TRUNCATE predictions, scorings, scoring_parts")

    def ours(self, path: Path) -> tuple[float, float, float]:
        """Return what `score_in_process` answers."""
        settings = self._database.settings(Settings)
        values = settings.model_dump()
        version = ModelVersion(self._version_id, "m", 1, "m", None, self._dataset_id, "bench", 1)
        here, there = multiprocessing.get_context("spawn").Pipe()
        process = multiprocessing.get_context("spawn").Process(
            target=score_in_process, args=(values, version, str(path), there)
        )
        process.start()
        there.close()
        found: tuple[float, float, float] = here.recv()
        process.join()
        return found

    def prepare_parts(self) -> None:
        """Read the set and make what is to be written, in memory."""
        query, types = self._query()
        with self._database.connection() as connection:
            frame = copy_out(connection, query, types, index="sample_id")
        self._features = frame[FEATURES]
        shares = self._pipeline.predict_proba(self._features)
        order = [list(self._pipeline.classes_).index(label) for label in CLASSES]
        predicted = self._pipeline.classes_.take(np.argmax(shares, axis=1)).astype(object)
        self.score = float(np.mean(predicted == frame["target"].to_numpy()))
        ids = frame.index.to_numpy()
        columns = [self._version_id, self._dataset_id, ids, "testing", shares[:, order], predicted]
        types_written: list[Any] = ["int8", "int8", "int8", "text", "float8[]", "text"]
        self._bytes = list(encode(columns, types_written, len(ids)))

    def _query(self) -> tuple[sql.Composable, dict[str, Any]]:
        types = {"sample_id": "int8", **dict.fromkeys(FEATURES, "float8"), "target": "text"}
        names = sql.SQL(", ").join(map(sql.Identifier, types))
        query = sql.SQL("SELECT {} FROM samples.bench_v1 WHERE set_name = 'testing'").format(names)
        return query, types

    def read(self) -> float:
        """Throw the rows away."""
        with self._copying() as (connection, copy):
            query = self._query()[0].as_string(connection)
            file = SimpleNamespace(write=len)
            return seconds(lambda: copy(f"COPY ({query}) TO STDOUT WITH (FORMAT binary)", file))

    def predict(self) -> float:
        """Predict with scikit-learn alone."""
        model = self._pipeline[-1]
        if hasattr(model, "n_jobs") and hasattr(model, "estimators_"):
            model.n_jobs = -1
        return seconds(lambda: self._pipeline.predict_proba(self._features))

    def write(self) -> float:
        """Send bytes that are there."""
        blocks = iter(self._bytes)
        file = SimpleNamespace(read=lambda _: next(blocks, b""))
        statement = (
            "COPY predictions (model_version_id, dataset_id, sample_id, set_name, probabilities,"
            " predicted_class) FROM STDIN WITH (FORMAT binary)"
        )
        with self._copying() as (_, copy):
            return seconds(lambda: copy(statement, file))

    @contextmanager
    def _copying(self) -> Any:
        with self._database.connection() as connection, connection.cursor() as cursor:

            def copy(statement: str, file: Any) -> None:
                cursor.copy_expert(statement, file)
                connection.commit()

            yield connection, copy


def measure(ways: Ways, path: Path, rounds: int, only_ours: bool) -> tuple[dict[str, float], float]:
    """Return the seconds of each way's fastest round, and the highest peak in MiB."""
    found: dict[str, list[float]] = {"read": [], "predict": [], "write": [], "ours": []}
    peaks = []
    if not only_ours:
        ways.prepare_parts()
    for round_ in range(rounds):
        for name in ("parts", "ours") if round_ % 2 else ("ours", "parts"):
            ways.clear()
            if name == "ours":
                took_s, score, peak = ways.ours(path)
                found["ours"].append(took_s)
                peaks.append(peak)
                if not only_ours and score != ways.score:
                    raise SystemExit(f"The score is {score}, not {ways.score}")
            elif not only_ours:
                for part in ("read", "predict", "write"):
                    found[part].append(getattr(ways, part)())
    return {name: min(values, default=0.0) for name, values in found.items()}, max(peaks)


def main() -> int:
    """Measure and print; 1 if a target is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the set")
    parser.add_argument("--rounds", type=int, default=3, help="times that each way is measured")
    parser.add_argument("--only-ours", action="store_true", help="without the three parts")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cellar-bench-") as folder:
        server = DatabaseServer.start_in(Path(folder))
        try:
            with server.new_database() as database:
                missed = compare(database, Path(folder) / "model", options)
        finally:
            server.close()
    print(
        f"targets: at most {MOST_TIME} times the parts, less than {MOST_MIB} MiB;",
        "MISSED" if missed else "met",
    )
    return int(missed)


def compare(database: TestDatabase, path: Path, options: argparse.Namespace) -> bool:
    """Print one line per model; say whether a target is missed."""
    missed = False
    ids = fill(database, options.rows)
    print(f"{options.rows} rows x {len(FEATURES)}, {options.rounds} rounds; seconds of the fastest")
    print(
        f"{'model':<20}{'read':>8}{'predict':>9}{'write':>8}{'ours':>8}{'times':>8}{'peak MiB':>10}"
    )
    for name, hyperparameters in MODELS.items():
        pipeline = fit(name, hyperparameters)
        joblib.dump(pipeline, path)
        ways = Ways(database, ids, pipeline)
        found, peak = measure(ways, path, options.rounds, options.only_ours)
        parts = found["read"] + found["predict"] + found["write"]
        over = found["ours"] / parts if parts else 0.0
        bad = over > MOST_TIME or peak >= MOST_MIB
        missed = missed or bad
        print(
            f"{name:<20}{found['read']:>8.2f}{found['predict']:>9.2f}{found['write']:>8.2f}"
            f"{found['ours']:>8.2f}{over:>8.2f}{peak:>10.0f}{'   missed' if bad else ''}",
            flush=True,
        )
    return missed


if __name__ == "__main__":
    sys.exit(main())
