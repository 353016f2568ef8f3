"""How often the retraining rule is right: every production scenario, model and seed, counted.

    python benchmarks/retraining_rule.py [--seeds 100] [--dataset wine | diabetes]

For each seed the dataset is split, the model fitted on the training rows, production fouled by each
scenario of the simulator, and the monitoring rule asked. `clean` must hardly ever ask for
retraining (the false-alarm rate), the others should. Beside it stands what `all_passed` of a naive
rule would say: any feature with a Kolmogorov-Smirnov p-value below 0.05.
"""

import argparse
import sys
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "services"))

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline

from modelkit.pipeline import build_pipeline
from monitoring.service.comparison import PREDICTION, Comparison
from monitoring.service.retraining_rule import feature_drift, judge
from monitoring.service.retraining_signals import RetrainingRule
from simulator.builtin_datasets import SourceDataset, read_builtin
from simulator.service.scenarios import SCENARIOS, foul
from simulator.service.splitting import split_places

MODELS: dict[str, dict[str, dict[str, Any]]] = {
    "wine": {
        "LogisticRegression": {"solver": "liblinear"},
        "RandomForest": {"n_estimators": 50},
        "SVC": {},
    },
    "diabetes": {
        "Ridge": {"alpha": 10},
        "RandomForestRegressor": {"n_estimators": 50},
        "SVR": {"C": 100},
    },
}
NAIVE_P_VALUE = 0.05


def split(source: SourceDataset, seed: int) -> dict[str, pd.DataFrame]:
    """Return the rows of each set, stratified by class where there are classes."""
    strata = source.rows[source.target.name].to_numpy() if source.classes else None
    places = split_places(len(source.rows), strata, seed)
    return {name: source.rows.iloc[at] for name, at in places.items()}


def compare(
    source: SourceDataset, names: list[str], pipeline: Pipeline, sets: Any, scenario: str, seed: int
) -> Comparison:
    """Return the testing and the fouled production set, scored."""
    deviations = source.rows[names].to_numpy().std(axis=0)
    production = sets["production"].reset_index(drop=True)
    production[names] = foul(production[names].to_numpy(), deviations, scenario, seed)
    frames = []
    for rows in (sets["testing"].reset_index(drop=True), production):
        frame = rows.assign(**{PREDICTION: pipeline.predict(rows[names])})
        if source.classes:
            answers = [source.target.name, PREDICTION]
            frame = frame.astype(dict.fromkeys(answers, str))
            frame = frame.astype(dict.fromkeys(answers, object))
        frames.append(frame)
    return Comparison(
        reference=frames[0],
        current=frames[1],
        numerical=names,
        categorical=[],
        target=source.target.name,
        prediction=PREDICTION,
        classes=[str(label) for label in source.classes],
        task="classification" if source.classes else "regression",
    )


def main() -> None:
    """Print one line per scenario and model."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=100, help="splits to look at (default 100)")
    parser.add_argument("--dataset", choices=list(MODELS), default="wine")
    given = parser.parse_args()
    seeds, source = given.seeds, read_builtin(given.dataset)
    names = [column.name for column in source.features]
    rule = RetrainingRule()
    print(f"{'scenario':10} {'model':20} {'retrain':>8} {'naive':>6}  {'worse':>9}  signals")
    for model, hyperparameters in MODELS[given.dataset].items():
        asked: Counter[str] = Counter()
        naive: Counter[str] = Counter()
        signals: dict[str, Counter[str]] = {name: Counter() for name in SCENARIOS}
        lost: dict[str, list[float]] = {name: [] for name in SCENARIOS}
        for seed in range(seeds):
            sets = split(source, seed)
            training = sets["training"]
            pipeline = build_pipeline(model, hyperparameters, names)
            pipeline.fit(training[names], training[source.target.name])
            for scenario in SCENARIOS:
                comparison = compare(source, names, pipeline, sets, scenario, seed)
                verdict = judge(comparison, rule)
                asked[scenario] += verdict.retraining_needed
                signals[scenario].update(item.name for item in verdict.signals if item.fired)
                size = verdict.signals[2].value or 0.0
                # Of classes the rows that are lost, of numbers how much larger the error is.
                lost[scenario].append(size * (len(comparison.current) if source.classes else 1))
                naive[scenario] += any(
                    (feature_drift(comparison, name) or (0.0, 1.0))[1] < NAIVE_P_VALUE
                    for name in names
                )
        for scenario in SCENARIOS:
            print(
                f"{scenario:10} {model:20} {asked[scenario] / seeds:8.0%} "
                f"{naive[scenario] / seeds:6.0%}  {np.median(lost[scenario]):9.1f}  "
                + ", ".join(f"{name} {n / seeds:.0%}" for name, n in signals[scenario].items()),
                flush=True,
            )


if __name__ == "__main__":
    main()
