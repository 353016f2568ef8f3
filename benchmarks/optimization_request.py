"""The walk-through's optimization request against bare scikit-learn fits of the same search.

    python benchmarks/optimization_request.py [--rounds 5] [--request postman/optimization.json]

Starts Postgres, MLflow, the simulator and tracking as processes, sends the request over HTTP, and
fits the same candidates on the same folds with nothing around them, turn by turn in one run, so
that other load on the machine strikes both. Prints the ratio of the medians; to reach: at most 2.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import requests

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "services")]

import numpy as np  # noqa: E402 - the suite's own packages are found by the line above
from sklearn.model_selection import ParameterGrid, StratifiedKFold  # noqa: E402

from benchmarks.small_suite import SmallSuite  # noqa: E402
from modelkit.pipeline import build_pipeline  # noqa: E402
from tracking.service.folds import SEED  # noqa: E402

REACH = 2.0


def bare_search(request: dict[str, Any], rows: Any, labels: Any) -> float:
    """Return the seconds that the bare fits, predictions and final fits of the search take."""
    began = time.perf_counter()
    folds = StratifiedKFold(request["cv"], shuffle=True, random_state=SEED)
    for model in request["models"]:
        best: tuple[float, dict[str, Any]] = (-1.0, {})
        for candidate in ParameterGrid(request["hyperparameters"].get(model, {})):
            scores = []
            for train, test in folds.split(rows, labels):
                pipeline = build_pipeline(model, candidate, list(rows.columns))
                pipeline.fit(rows.iloc[train], labels[train])
                scores.append(np.mean(pipeline.predict(rows.iloc[test]) == labels[test]))
            best = max(best, (float(np.mean(scores)), candidate), key=lambda item: item[0])
        build_pipeline(model, best[1], list(rows.columns)).fit(rows, labels)
    return time.perf_counter() - began


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each kind")
    parser.add_argument(
        "--request",
        type=Path,
        default=ROOT / "postman" / "optimization.json",
        help="body of the optimization request",
    )
    options = parser.parse_args()
    request = json.loads(options.request.read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory(prefix="cellar-bench-") as folder:
        suite = SmallSuite.start_in(Path(folder))
        try:
            rows, labels = suite.training_rows()
            url = f"{suite.tracking_url}/root/tracking/model_management"
            bare, whole = [], []
            for turn in range(options.rounds + 1):
                bare_s = bare_search(request, rows, labels)
                began = time.perf_counter()
                answer = requests.post(url, json=request, timeout=600)
                whole_s = time.perf_counter() - began
                assert answer.status_code == 201, answer.text
                # The first turn loads what later ones find loaded, on both sides.
                if turn:
                    bare.append(bare_s)
                    whole.append(whole_s)
                kind = f"turn {turn}" if turn else "first turn, not counted"
                print(f"{kind}: bare fits {bare_s:.2f} s, request {whole_s:.2f} s", flush=True)
        finally:
            suite.close()
    ratio = statistics.median(whole) / statistics.median(bare)
    print(
        f"bare fits {statistics.median(bare):.2f} s, request {statistics.median(whole):.2f} s "
        f"(medians of {options.rounds}): ratio {ratio:.2f}, to reach: at most {REACH:g}"
    )


if __name__ == "__main__":
    main()
