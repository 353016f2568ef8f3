"""Where it is plain what happened, the counted verdict is that of Evidently's drift preset."""

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest

import monitoring.app
import monitoring.settings
from contracts.vocabulary import BUILTIN_DATASETS
from schema.samples import Column
from simulator.builtin_datasets import SourceDataset, read_builtin
from tests.support.databases import TestDatabase
from tests.support.scored_tables import ScoredTable

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

ROWS = 1500
MOST_COLUMNS = 8
"""Evidently takes near half a second for each."""

SHARE = 0.25
"""Of the columns, for both: the default of the retraining rule."""


def names_of(source: SourceDataset) -> list[str]:
    """Return features from the whole width of the dataset."""
    names = [column.name for column in source.features]
    # One more than would do: a step of 8 would take a border of the digits, which never changes.
    return names[:: len(names) // MOST_COLUMNS + 1]


def drawn(source: SourceDataset, seed: int) -> pd.DataFrame:
    """Return rows of the dataset, drawn with replacement."""
    places = np.random.default_rng(seed).integers(0, len(source.rows), ROWS)
    rows: pd.DataFrame = source.rows.iloc[places].reset_index(drop=True)
    rows = rows[[*names_of(source), source.target.name]]
    return rows.astype(dict.fromkeys(names_of(source), "float64"))


def changed(rows: pd.DataFrame, source: SourceDataset, case: str) -> pd.DataFrame:
    """Return production as the case has it."""
    draw = np.random.default_rng(9)
    rows = rows.copy()
    # A column with one value alone cannot move by its deviation.
    names = names_of(source)
    varied = [name for name in names if source.rows[name].nunique() > 5]
    moved = {"one column": varied[:1], "half of the columns": varied[: -(-len(varied) // 2)]}
    for name in moved.get(case, []):
        rows[name] += 1.5 * source.rows[name].std()
    if case == "missing values":
        rows[names] = rows[names].mask(draw.random((len(rows), len(names))) < 0.25)
    if case == "label noise":
        target = source.target.name
        rows[target] = draw.permutation(rows[target].to_numpy())
    return rows


def by_evidently(reference: pd.DataFrame, current: pd.DataFrame) -> tuple[bool, set[str]]:
    """Return whether the dataset has drifted, and the columns that have."""
    definition = DataDefinition(numerical_columns=list(reference))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = Report([DataDriftPreset(drift_share=SHARE)]).run(
            Dataset.from_pandas(current, definition), Dataset.from_pandas(reference, definition)
        )
    share, drifted = 0.0, set()
    for metric in found.dict()["metrics"]:
        if "share" in (metric["value"] if isinstance(metric["value"], dict) else {}):
            share = metric["value"]["share"]
        elif metric["value"] >= metric["config"].get("threshold", 0.1):
            drifted.add(metric["config"]["column"])
    return share >= SHARE, drifted


@pytest.mark.parametrize(
    "case", ["none", "one column", "half of the columns", "missing values", "label noise"]
)
@pytest.mark.parametrize("name", BUILTIN_DATASETS)
def test_dataset_drift_is_the_same(cellar_database: TestDatabase, name: str, case: str) -> None:
    source = read_builtin(name)
    names = names_of(source)
    reference, current = drawn(source, 0), changed(drawn(source, 1), source, case)
    columns = [Column(feature, "number") for feature in names]
    table = ScoredTable(
        name,
        [*columns, source.target],
        source.target.name,
        source.task,
        list(source.classes),
        {
            "testing": (reference, drawn(source, 0)[source.target.name].to_numpy()),
            "production": (current, drawn(source, 1)[source.target.name].to_numpy()),
        },
    )
    with cellar_database.connection("cellar_simulator") as connection:
        table.store(connection)
    settings = cellar_database.settings(monitoring.settings.Settings, retraining_read_max_rows=100)
    client = monitoring.app.create_app(settings).test_client()
    answer: Any = client.post("/root/monitoring", json={"metric": "verdict", "dataset_name": name})
    assert answer.status_code == 200, answer.text
    signals = {signal["name"]: signal for signal in answer.get_json()["signals"]}
    drift, drifted = by_evidently(reference[names], current[names])
    assert signals["data_drift"]["fired"] is drift
    assert drift is (case == "half of the columns") or case == "one column"
    assert set(signals["data_drift"]["columns"]) == drifted
    fired = {signal for signal, found in signals.items() if found["fired"]}
    worse = "error_growth" if source.task == "regression" else "accuracy_drop"
    assert fired - {"data_drift"} == {
        "missing values": {"missing_values"},
        "label noise": {worse},
    }.get(case, set())
