"""The first monitoring report over HTTP against Evidently alone on the same frames.

    python benchmarks/monitoring_report.py [--rounds 5]

Starts the whole suite, trains a model, and in each round loads and scores another production set,
so that the question is new. Then the same report is made by Evidently in this process, with nothing
around it. Prints the ratio of the medians (to reach: at most 1.2), and what the same question costs
when it is asked again (to reach: under 100 ms).
"""

import argparse
import statistics
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import requests

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "services")]

from sqlalchemy import URL, create_engine  # noqa: E402 - found by the line above
from sqlalchemy.orm import scoped_session, sessionmaker  # noqa: E402

from monitoring.repository.scored_sets import ScoredSetsRepository  # noqa: E402
from monitoring.service.comparison import Comparison  # noqa: E402
from tests.support.running_suite import OwnSuite  # noqa: E402

REACH = 1.2


def prepare(suite: OwnSuite) -> None:
    """Set and train a model and score the testing set."""
    for set_name in ("training", "testing"):
        suite.ask("POST", "simulator", "/root/simulator", {"set_name": set_name})
    model = {"model_name": "LogisticRegression", "hyperparameters": {"solver": "liblinear"}}
    suite.ask("POST", "ml_model", "/root/ml/set_model", model)
    for set_name in ("training", "testing"):
        suite.ask("POST", "ml_model", "/root/ml", {"dataset": set_name})


def frames(suite: OwnSuite) -> Comparison:
    """Return the two scored sets as the service reads them."""
    role = "cellar_monitoring"
    engine = create_engine(
        URL.create(
            "postgresql+psycopg2",
            username=role,
            password=suite.postgres.passwords[role],
            host="127.0.0.1",
            port=suite.postgres.port,
            database="cellar",
        )
    )
    session = scoped_session(sessionmaker(engine))
    repository = ScoredSetsRepository(session)
    comparison = repository.compare(repository.get("wine", None))
    session.remove()
    engine.dispose()
    return comparison


def bare_report(comparison: Comparison) -> float:
    """Return the seconds that Evidently takes for the same presets."""
    from evidently import DataDefinition, Dataset, MulticlassClassification, Regression, Report
    from evidently.metrics import ValueDrift
    from evidently.presets import (
        ClassificationPreset,
        DataDriftPreset,
        DataSummaryPreset,
        RegressionPreset,
    )

    target, prediction = comparison.target, comparison.prediction
    if comparison.task == "regression":
        quality: Any = RegressionPreset()
        definition = DataDefinition(
            numerical_columns=[*comparison.numerical, target, prediction],
            categorical_columns=list(comparison.categorical),
            regression=[Regression(target=target, prediction=prediction)],
        )
    else:
        quality = ClassificationPreset()
        definition = DataDefinition(
            numerical_columns=list(comparison.numerical),
            categorical_columns=[*comparison.categorical, target, prediction],
            classification=[MulticlassClassification(target=target, prediction_labels=prediction)],
        )
    reference, current = comparison.reference.copy(), comparison.current.copy()
    began = time.perf_counter()
    presets: list[Any] = [DataDriftPreset(), DataSummaryPreset(), quality]
    report = Report([*presets, ValueDrift(column=target), ValueDrift(column=prediction)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        report.run(
            Dataset.from_pandas(current, definition), Dataset.from_pandas(reference, definition)
        ).json()
    return time.perf_counter() - began


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each kind")
    rounds = parser.parse_args().rounds
    first, again, bare = [], [], []
    with tempfile.TemporaryDirectory(prefix="cellar-bench-") as folder:
        suite = OwnSuite.start_in(Path(folder))
        try:
            prepare(suite)
            url = f"{suite.monitoring_url}/root/monitoring"
            # The first turns warm every worker and this process; they are not counted.
            for turn in range(-3, rounds):
                production = {"set_name": "production", "seed": 100 + turn}
                suite.ask("POST", "simulator", "/root/simulator", production)
                suite.ask("POST", "ml_model", "/root/ml", {"dataset": "production"})
                seconds = []
                for _ in range(2):
                    began = time.perf_counter()
                    answer = requests.post(url, json={"metric": "report"}, timeout=600)
                    seconds.append(time.perf_counter() - began)
                    assert answer.status_code == 200, answer.text
                bare_s = bare_report(frames(suite))
                if turn >= 0:
                    first.append(seconds[0])
                    again.append(seconds[1])
                    bare.append(bare_s)
                print(
                    f"turn {turn}: Evidently {bare_s:.2f} s, first report {seconds[0]:.2f} s, "
                    f"asked again {seconds[1] * 1000:.0f} ms",
                    flush=True,
                )
        finally:
            suite.close()
    ratio = statistics.median(first) / statistics.median(bare)
    print(
        f"Evidently {statistics.median(bare):.2f} s, report {statistics.median(first):.2f} s "
        f"(medians of {rounds}): ratio {ratio:.2f}, to reach: at most {REACH:g}; "
        f"asked again {statistics.median(again) * 1000:.0f} ms, to reach: under 100 ms"
    )


if __name__ == "__main__":
    main()
