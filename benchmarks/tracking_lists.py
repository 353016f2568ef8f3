"""Tracking's lists and statistics against the loop over runs, at 10, 200 and 10,000 runs.

    python benchmarks/tracking_lists.py [--runs 10 200 10000] [--sample 300]

Starts Postgres and MLflow, puts the runs into MLflow's tables by SQL, asks tracking in process and
counts its SQL statements. The loop asks MLflow for each run by itself, as a client without tracking
would; of many runs it asks for a sample and scales up. To reach at 10,000 runs: at least 50 times
faster, under 200 ms, the same number of statements throughout.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "services")]

from mlflow import MlflowClient  # noqa: E402 - found by the line above
from sqlalchemy import Engine, event  # noqa: E402

from benchmarks.small_suite import SmallSuite  # noqa: E402

REPEATS = 5
QUESTIONS: tuple[tuple[str, str, dict[str, Any] | None], ...] = (
    ("experiments", "/experiments", None),
    ("runs", "/runs?experiment_id={id}", None),
    ("general", "/experiments", {"request_information": "general"}),
    (
        "best_model",
        "/experiments",
        {"request_information": "best_model", "filter": ["model_accuracy", "model_f1_score"]},
    ),
    ("statistics", "/experiments", {"request_information": "statistics", "filter": ["all"]}),
)

SEED_RUNS = """
    WITH made AS (
        INSERT INTO runs (run_uuid, name, source_type, source_name, entry_point_name,
            source_version, user_id, status, start_time, end_time, lifecycle_stage, experiment_id,
            artifact_uri)
        SELECT md5('%(id)d/' || n), 'run ' || n, 'LOCAL', '', '', '', 'ada',
            'FINISHED', n, n + 1000 + n %% 7,
            'active', %(id)d, 'mlflow-artifacts:/' || n
        FROM generate_series(1, %(count)d) AS n RETURNING run_uuid, start_time
    ), measured AS (
        INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid)
        SELECT key, (start_time * place %% 97) / 97.0, 0, 0, false, run_uuid FROM made,
            unnest(ARRAY['model_accuracy', 'model_f1_score', 'model_precision', 'model_recall',
                'system_cpu_usage', 'system_execution_time']) WITH ORDINALITY AS m(key, place)
    ), described AS (
        INSERT INTO params (key, value, run_uuid)
        SELECT 'model_' || n, n, run_uuid FROM made, generate_series(1, 8) AS n
    )
    INSERT INTO tags (key, value, run_uuid)
    SELECT key, value, run_uuid FROM made,
        (VALUES ('model_type', 'SVC'), ('experiment_type', 'GridSearch_CrossValidation'),
            ('cellar.search_id', '1'), ('mlflow.runName', 'run')) AS t(key, value)
"""


def timed(work: Callable[[], Any]) -> float:
    """Return the seconds `work` takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def loop_over_runs(client: MlflowClient, run_ids: list[str]) -> None:
    """Ask for each run by itself."""
    for run_id in run_ids:
        client.get_run(run_id)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, nargs="+", default=[10, 200, 10_000])
    parser.add_argument("--sample", type=int, default=300, help="runs the loop really asks for")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cellar-bench-") as folder:
        suite = SmallSuite.start_in(Path(folder))
        try:
            measure(suite, options.runs, options.sample)
        finally:
            suite.close()


def measure(suite: SmallSuite, sizes: list[int], sample: int) -> None:
    """Print one line per question and size."""
    from tracking.app import create_app
    from tracking.settings import Settings

    web = create_app(suite.settings(Settings)).test_client()
    client = MlflowClient(tracking_uri=suite.mlflow_url)
    statements: list[str] = []
    event.listen(Engine, "before_cursor_execute", lambda *sent: statements.append(sent[2]))
    print(print("  runs  question     statements  median ms    the loop  ratio"))
    for size in sizes:
        experiment_id = str(client.create_experiment(f"{size} runs"))
        suite.postgres.execute(
            SEED_RUNS % {"id": int(experiment_id), "count": size}, database="mlflow"
        )
        suite.postgres.execute("ANALYZE", database="mlflow")
        asked = min(size, sample)
        run_ids = [
            name
            for (name,) in suite.rows(
                "SELECT run_uuid FROM runs WHERE experiment_id = %s LIMIT %s",
                int(experiment_id),
                asked,
                database="mlflow",
            )
        ]
        loop_s = timed(lambda ids=run_ids: loop_over_runs(client, ids)) * size / asked
        for name, path, body in QUESTIONS:
            url = "/root/tracking" + path.format(id=experiment_id)
            sent = None if body is None else {**body, "experiment_id": experiment_id}

            def ask(url: str = url, sent: Any = sent) -> None:
                answer = web.get(url) if sent is None else web.post(url, json=sent)
                assert answer.status_code == 200, answer.get_json()

            ask()
            statements.clear()
            times = [timed(ask) for _ in range(REPEATS)]
            median_s = statistics.median(times)
            print(
                f"{size:>6}  {name:<12} {len(statements) / REPEATS:>10g} {median_s * 1000:>10.1f}"
                f" {loop_s:>9.2f} s {loop_s / median_s:>6.0f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
