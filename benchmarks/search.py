"""A search of 60 forests against scikit-learn's own `GridSearchCV` of the same candidates.

    python benchmarks/search.py [--rounds 3] [--rows 2000]

Both on all processors, in processes that each starts anew, turn by turn in one run, so that other
load on the machine strikes both; and checks that both find the same. Prints the ratio of the
medians; to reach: at most 1.15.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "services")]

import joblib  # noqa: E402 - the suite's own packages are found by the line above
import pandas as pd  # noqa: E402
from joblib.externals.loky import get_reusable_executor  # noqa: E402
from sklearn.datasets import make_classification  # noqa: E402
from sklearn.model_selection import GridSearchCV, StratifiedKFold  # noqa: E402

from modelkit.features import feature_frame  # noqa: E402
from modelkit.pipeline import build_pipeline  # noqa: E402
from tracking.domain import SearchOutcome, SearchPlan, TrainingSet  # noqa: E402
from tracking.service.folds import SEED  # noqa: E402
from tracking.service.search import search  # noqa: E402

REACH = 1.15
FOLDS = 5
GRID = {
    "n_estimators": [10, 20, 30, 40, 50],
    "max_depth": [3, 6, None],
    "min_samples_leaf": [1, 5],
    "max_features": ["sqrt", 0.5],
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each kind")
    parser.add_argument("--rows", type=int, default=2_000, help="rows of 13 numbers, three classes")
    options = parser.parse_args()
    values, labels = make_classification(
        options.rows, 13, n_informative=8, n_classes=3, random_state=1
    )
    rows = feature_frame(pd.DataFrame(values, columns=[f"x{number}" for number in range(13)]))
    training_set = TrainingSet("made", 1, "0" * 64, rows, labels, (0, 1, 2))

    def own() -> SearchOutcome:
        return search(SearchPlan("RandomForest", GRID, "accuracy", FOLDS), training_set, None)

    def bare() -> Any:
        return GridSearchCV(
            build_pipeline("RandomForest", {}, list(rows.columns)),
            {f"model__{name}": choices for name, choices in GRID.items()},
            cv=StratifiedKFold(FOLDS, shuffle=True, random_state=SEED),
            n_jobs=-1,
        ).fit(rows, labels)

    took: dict[str, list[float]] = {"bare": [], "own": []}
    found: dict[str, Any] = {}
    for turn in range(options.rounds):
        kinds = [("bare", bare), ("own", own)]
        for name, work in kinds if turn % 2 == 0 else reversed(kinds):
            get_reusable_executor().shutdown(wait=True)
            began = time.perf_counter()
            found[name] = work()
            took[name].append(time.perf_counter() - began)
        print(
            f"turn {turn + 1}: GridSearchCV {took['bare'][-1]:.1f} s, ours {took['own'][-1]:.1f} s",
            flush=True,
        )
    scores = [item.mean_score for item in found["own"].candidates]
    assert scores == found["bare"].cv_results_["mean_test_score"].tolist()
    ratio = statistics.median(took["own"]) / statistics.median(took["bare"])
    print(
        f"{len(scores)} forests, {FOLDS} folds, {options.rows} rows, {joblib.cpu_count()} "
        f"processors: ratio {ratio:.2f} (medians of {options.rounds}), to reach: at most {REACH:g}"
    )


if __name__ == "__main__":
    main()
