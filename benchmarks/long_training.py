"""A long set through a training, an evaluation and a search: time, and memory of each program.

    python benchmarks/long_training.py [--rows 1000000] [--fit-max-rows 250000] [--mixed]

Starts the suite on a PostgreSQL of its own and fills a training set inside it; 13 numbers and three
classes, or with `--mixed` 30 columns, 10 of them texts of 8 values. Per model: `POST /root/ml`
training, which fits a sample and scores all rows; the same pipeline fitted to the same sample,
which lies in memory already; `POST /evaluate` of the whole set; `POST /train`; and one search of 2
candidates and 3 folds. Of each program the highest peak of resident memory of one process is
printed, and the highest sum over its processes (pages that they share in their parts). To reach:
each process less than 1 GiB; else the exit code is 1.
"""

import argparse
import contextlib
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "services")]

import numpy as np  # noqa: E402 - found by the line above
import psutil  # noqa: E402
import psycopg2  # noqa: E402
from sqlalchemy import create_engine  # noqa: E402
from sqlalchemy.orm import scoped_session, sessionmaker  # noqa: E402

from ml_model.fitting import features_of  # noqa: E402
from modelkit.features import columns_of  # noqa: E402
from modelkit.pipeline import build_pipeline  # noqa: E402
from schema import samples  # noqa: E402
from schema.samples import Column  # noqa: E402
from schema.sets import LoadedSets  # noqa: E402
from tests.support.running_suite import OwnSuite  # noqa: E402

MOST_MIB = 1024
WAIT_S = 3_600
LOOK_S = 0.25
CHUNK_ROWS = 500_000
CLASSES = ["low", "middle", "high"]
MODELS: dict[str, dict[str, Any]] = {
    "LogisticRegression": {},
    "RandomForest": {"n_estimators": 10, "max_depth": 12},
}
PROGRAMS = ("ml_model", "jobs", "tracking", "searches", "mlflow")


def columns_of_set(mixed: bool) -> list[Column]:
    """Return the features and the target."""
    numbers = [Column(f"x{place}", "number") for place in range(20 if mixed else 13)]
    texts = [Column(f"t{place}", "text") for place in range(10 if mixed else 0)]
    return [*numbers, *texts, Column("target", "text")]


def fill(suite: OwnSuite, n_rows: int, columns: list[Column]) -> None:
    """Store a loaded training set `bench`, made by PostgreSQL itself."""
    listed = ", ".join(f'{{"name": "{c.name}", "type": "{c.type}"}}' for c in columns)
    with contextlib.closing(connect(suite, "cellar_simulator")) as connection:
        samples.create_table(connection, "bench", 1, columns)
        connection.commit()
    classes = str(CLASSES).replace("'", '"')
    suite.postgres.execute(
        "INSERT INTO datasets (name, version, content_hash, task, target, columns, classes, origin)"  # noqa: S608
        f" VALUES ('bench', 1, 'h', 'classification', 'target', '[{listed}]', '{classes}', 'b');"
        "INSERT INTO set_loads (dataset_id, set_name, seed, scenario, content_hash, row_count)"
        f" SELECT id, 'training', 0, 'clean', 'h', {n_rows} FROM datasets WHERE name = 'bench'"
    )
    features = [column for column in columns if column.name != "target"]
    drawn = ", ".join(
        f"random_normal() AS {c.name}"
        if c.type == "number"
        # Of the row, so that it is drawn anew for each.
        else f"'value ' || (hashint4(n + {place}) & 7) AS {c.name}"
        for place, c in enumerate(features)
    )
    names = ", ".join(column.name for column in features)
    for first in range(0, n_rows, CHUNK_ROWS):
        last = min(first + CHUNK_ROWS, n_rows) - 1
        suite.postgres.execute(
            f"SELECT setseed({first / n_rows});"  # noqa: S608
            f"INSERT INTO samples.bench_v1 (set_name, row_number, batch_id, {names}, target)"
            f" SELECT 'training', n, 1, {names}, CASE WHEN value < -1 THEN 'low'"
            "  WHEN value < 1 THEN 'middle' ELSE 'high' END"
            f" FROM (SELECT *, x0 + x1 + x2 + x3 + random_normal() AS value FROM"
            f"  (SELECT n, {drawn} FROM generate_series({first}, {last}) AS n OFFSET 0) AS a"
            "  OFFSET 0) AS b"
        )
    suite.postgres.execute("ANALYZE samples.bench_v1")


def connect(suite: OwnSuite, role: str) -> Any:
    """Return a connection to the dataset database."""
    return psycopg2.connect(
        host="127.0.0.1",
        port=suite.postgres.port,
        user=role,
        password=suite.postgres.passwords[role],
        dbname="cellar",
    )


class Watch:
    """Looks at the memory of every process of every program, a few times a second."""

    def __init__(self, suite: OwnSuite) -> None:
        self._suite = suite
        self._ended = threading.Event()
        self.process_mib = dict.fromkeys(PROGRAMS, 0.0)
        self.together_mib = dict.fromkeys(PROGRAMS, 0.0)
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._ended.wait(LOOK_S):
            for name in PROGRAMS:
                program = self._suite.programs[name].process
                assert program is not None
                with contextlib.suppress(psutil.Error):
                    root = psutil.Process(program.pid)
                    self._note(name, [root, *root.children(recursive=True)])

    def _note(self, name: str, processes: list[psutil.Process]) -> None:
        together = 0.0
        for process in processes:
            with contextlib.suppress(OSError, IndexError, ValueError):
                folder = Path(f"/proc/{process.pid}")
                peak = (folder / "status").read_text().split("VmHWM:")[1].split()[0]
                self.process_mib[name] = max(self.process_mib[name], int(peak) / 1024)
                share = (folder / "smaps_rollup").read_text().split("\nPss:")[1].split()[0]
                together += int(share) / 1024
        self.together_mib[name] = max(self.together_mib[name], together)

    def end(self) -> None:
        """Look no more."""
        self._ended.set()
        self._thread.join()


def seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    """Return how long `work` takes, and what it gives."""
    began = time.perf_counter()
    found = work()
    return time.perf_counter() - began, found


def bare_fit(suite: OwnSuite, name: str, hyperparameters: Any, max_rows: int) -> float:
    """Return the seconds of a fit of the same pipeline to the same rows, in memory already."""
    engine = create_engine("postgresql+psycopg2://", creator=lambda: connect(suite, "postgres"))
    session: Any = scoped_session(sessionmaker(engine))
    sets = LoadedSets(session)
    load = sets.get_load("training", "bench")
    rows = sets.read_fit_rows(load, max_rows).rows
    session.remove()
    engine.dispose()
    features, labels = features_of(rows, "target"), np.asarray(rows["target"].to_list())
    pipeline = build_pipeline(name, hyperparameters, columns_of(features), CLASSES)
    return seconds(lambda: pipeline.fit(features, labels))[0]


def send(suite: OwnSuite, service: str, path: str, body: Any) -> tuple[float, Any]:
    """Send a request that must succeed, wait for the job if it is one; return seconds, answer."""

    def work() -> Any:
        answer = suite.call("POST", service, path, json=body, timeout_s=WAIT_S)
        assert answer.status_code in (200, 201, 202), answer.text[:2000]
        found = answer.json()
        while answer.status_code == 202 and found.get("state") != "succeeded":
            time.sleep(LOOK_S)
            found = suite.ask("GET", service, f"/jobs/{found.get('job_id', found.get('id'))}")
            assert found["state"] not in ("failed", "cancelled"), found
        return found.get("result") or found

    return seconds(work)


def measure(suite: OwnSuite, n_rows: int, max_rows: int) -> dict[str, float]:
    """Print the times; return the peak of each program in MiB."""
    watch = Watch(suite)
    dataset = {"dataset_name": "bench"}
    for name, hyperparameters in MODELS.items():
        model = {"model_name": name, "hyperparameters": hyperparameters}
        suite.ask("POST", "ml_model", "/root/ml/set_model", model)
        took_s, found = send(suite, "ml_model", "/root/ml", {"dataset": "training", **dataset})
        assert found["rows"] == n_rows, found
        bare_s = bare_fit(suite, name, hyperparameters, max_rows)
        evaluated_s, judged = send(
            suite, "ml_model", "/evaluate", {"dataset": "training", **dataset}
        )
        assert judged["rows"] == n_rows and abs(judged["metrics"]["accuracy"] - found["score"]) < (
            1e-3
        ), judged
        trained_s, _ = send(suite, "ml_model", "/train", {**dataset, **model})
        print(
            f"{name}: fitted {found['rows_fitted']} of {found['rows_in_set']}; training"
            f" {took_s:.1f} s, bare fit {bare_s:.1f} s, times {took_s / bare_s:.1f}; evaluation"
            f" {evaluated_s:.1f} s; /train {trained_s:.1f} s; score {found['score']:.4f};"
            f" peaks {shown(watch.process_mib)}",
            flush=True,
        )
    searched_s, _ = send(
        suite,
        "tracking",
        "/root/tracking/model_management",
        {
            "request_information": "optimization",
            "experiment_name": "bench",
            "experiment_description": "",
            "experiment_owner": "",
            "models": ["RandomForest"],
            "hyperparameters": {"RandomForest": {"n_estimators": [5, 10], "max_depth": [12]}},
            "scoring": "accuracy",
            "cv": 3,
            **dataset,
        },
    )
    watch.end()
    print(f"search of 2 candidates x 3 folds: {searched_s:.1f} s")
    print(f"peak MiB of one process: {shown(watch.process_mib)}")
    print(f"peak MiB of all processes together: {shown(watch.together_mib)}")
    return watch.process_mib


def shown(peaks: dict[str, float]) -> str:
    """Return the figures in one line."""
    return ", ".join(f"{name} {peak:.0f}" for name, peak in peaks.items())


def main() -> int:
    """Measure and print; 1 if a target is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the set")
    parser.add_argument("--fit-max-rows", type=int, default=250_000, help="rows that are fitted")
    parser.add_argument("--mixed", action="store_true", help="30 columns, 10 of them texts")
    options = parser.parse_args()
    columns = columns_of_set(options.mixed)
    with tempfile.TemporaryDirectory(prefix="cellar-bench-") as folder:
        limit = {"CELLAR_FIT_MAX_ROWS": str(options.fit_max_rows)}
        variables = dict.fromkeys(PROGRAMS[:4], limit)
        suite = OwnSuite.start_in(Path(folder), variables)
        try:
            fill(suite, options.rows, columns)
            print(f"{options.rows} rows x {len(columns) - 1}", flush=True)
            peaks = measure(suite, options.rows, options.fit_max_rows)
        finally:
            suite.close()
    missed = max(peaks.values()) >= MOST_MIB
    print(f"target: less than {MOST_MIB} MiB each;", "MISSED" if missed else "met")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
