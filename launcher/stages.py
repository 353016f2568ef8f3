"""`stage`: the lifecycle's parts as commands that leave files, for the stages of dvc.yaml.

Each takes what it needs from params.yaml and from the files of the stages before it, asks the
running services for its part, and writes its results below lifecycle/.
"""

import csv
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from launcher.client import Client
from launcher.errors import LaunchError
from launcher.suite import Suite
from launcher.terminal import step

SETS = ("training", "testing", "production")
ERRORS = ("rmse", "mae", "mape")
"""Metrics that are better when lower."""

MANAGEMENT = "/root/tracking/model_management"
RUNS = "/root/tracking/runs"
DATASETS = "/root/simulator/datasets"


@dataclass(frozen=True)
class Workplace:
    """What a stage works with."""

    client: Client
    params: Mapping[str, Any]
    folder: Path

    def read(self, name: str) -> dict[str, Any]:
        """Return what an earlier stage wrote.

        Raises
        ------
        LaunchError
            It has not run yet.
        """
        path = self.folder / name
        try:
            return dict(json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise LaunchError(
                f"{path} is not there.", "Run the stages before: dvc repro."
            ) from None

    def write(self, name: str, content: Mapping[str, Any]) -> None:
        """Write a result as JSON, the same for the same content."""
        text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        (self.folder / name).write_text(text, encoding="utf-8")

    def write_table(self, name: str, header: list[str], rows: list[list[Any]]) -> None:
        """Write a plot's data as CSV."""
        with (self.folder / name).open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(header)
            writer.writerows(rows)


def run_stage(suite: Suite, name: str, root: Path) -> int:
    """Run one stage; `load` also starts the suite where it does not run.

    Raises
    ------
    LaunchError
        params.yaml cannot be used, an earlier stage is missing, or a service refused.
    """
    params = read_params(root / "params.yaml")
    if name == "load":
        suite.up()
    folder = root / "lifecycle"
    folder.mkdir(exist_ok=True)
    STAGES[name](Workplace(Client(suite), params, folder))
    return 0


def read_params(path: Path) -> dict[str, Any]:
    """Return the parameters, read as DVC reads them (YAML 1.2).

    Raises
    ------
    LaunchError
        The file is missing, is no YAML, or lacks a section or a value that the stages need.
    """
    try:
        found = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, YAMLError) as error:
        raise LaunchError(f"{path} cannot be read.", "Put it right.", str(error)) from None
    needed = {
        "dataset": ("name",),
        "sets": ("seed", "scenario"),
        "search": ("experiment_name", "models", "scoring", "cv", "choose_by"),
    }
    for section, names in needed.items():
        held = found.get(section) if isinstance(found, dict) else None
        missing = [name for name in names if not isinstance(held, dict) or held.get(name) is None]
        if missing:
            raise LaunchError(
                f"{path} has no {section}.{missing[0]}.", "The repository's own shows all of them."
            )
    return dict(found)


def _load(work: Workplace) -> None:
    """Store the table and cut its sets; what is there already is stored and cut once."""
    client, wanted, sets = work.client, work.params["dataset"], work.params["sets"]
    with step("Store the dataset") as notes:
        dataset = _stored(client, wanted)
        notes.append(f"{dataset['dataset_name']} version {dataset['dataset_version']}")
    identity = {key: dataset[key] for key in ("dataset_name", "dataset_version")}
    rows = {}
    for set_name in SETS:
        body = {"set_name": set_name, "seed": sets["seed"], **identity}
        if set_name == "production":
            body["scenario"] = sets["scenario"]
        with step(f"Cut the {set_name} set") as notes:
            rows[set_name] = client.ask("POST", "simulator", "/root/simulator", body)["rows"]
            notes.append(f"{rows[set_name]} rows")
    where = f"{DATASETS}/{dataset['dataset_name']}"
    version = f"version={dataset['dataset_version']}"
    with step("Export it as Parquet"):
        path = f"{where}/export?format=parquet&{version}"
        with (
            client.send("GET", "simulator", path, stream=True) as answer,
            (work.folder / "dataset.parquet").open("wb") as file,
        ):
            for chunk in answer.iter_content(1 << 20):
                file.write(chunk)
    about = client.ask("GET", "simulator", f"{where}?{version}")
    # With the time at which this suite stored it: on another suite the later stages run again.
    kept = ("task", "target", "rows", "classes", "content_hash", "origin", "created_at")
    sets_cut = {"seed": sets["seed"], "scenario": sets["scenario"], "rows": rows}
    work.write("dataset.json", identity | {key: about[key] for key in kept} | {"sets": sets_cut})


def _stored(client: Client, wanted: Mapping[str, Any]) -> dict[str, Any]:
    if not wanted.get("file"):
        body = {"builtin": wanted["name"]}
        return dict(client.ask("POST", "simulator", DATASETS, body))
    path = Path(wanted["file"])
    if not wanted.get("target"):
        raise LaunchError("dataset.file has no dataset.target.", "Name the column to predict.")
    # As the request has them: types as JSON, the time column, and so on.
    form = {
        "dataset_name" if name == "name" else name: (
            json.dumps(value) if isinstance(value, dict | bool) else value
        )
        for name, value in wanted.items()
        if name != "file" and value is not None
    }
    try:
        with path.open("rb") as file:
            files = {"file": (path.name, file)}
            return dict(client.send("POST", "simulator", DATASETS, data=form, files=files).json())
    except OSError as error:
        raise LaunchError(
            f"{path} cannot be read.",
            "dataset.file is meant from the repository; dvc pull?",
            str(error),
        ) from None


def _tune(work: Workplace) -> None:
    """Search, compare the runs, choose one."""
    client, search, dataset = work.client, work.params["search"], work.read("dataset.json")
    # What else params.yaml says (strategy, time_budget_s, ...) is the request's own.
    own = {name: value for name, value in search.items() if name not in ("models", "choose_by")}
    body = {
        "request_information": "optimization",
        "experiment_description": "",
        "experiment_owner": "",
        **own,
        "models": list(search["models"]),
        "hyperparameters": {model: grid for model, grid in search["models"].items() if grid},
        "dataset_name": dataset["dataset_name"],
        "dataset_version": dataset["dataset_version"],
    }
    with step(f"Tune {', '.join(search['models'])}"):
        found = client.ask("POST", "tracking", MANAGEMENT, body)["data"]
    metrics = {
        model: _run(client, found["experiment_id"], run_id, "metrics")
        for model, run_id in found["run_ids"].items()
    }
    chosen = _best(metrics, search["choose_by"])
    run_id = found["run_ids"][chosen]
    candidates: list[list[Any]] = []
    for model, its_run in found["run_ids"].items():
        candidates += _candidates(client, model, its_run)
    work.write("search.json", metrics)
    work.write_table("candidates.csv", ["model", "candidate", "score", "deviation"], candidates)
    work.write(
        "chosen.json",
        {
            "model": chosen,
            "run_id": run_id,
            "experiment_id": found["experiment_id"],
            "hyperparameters": _run(client, found["experiment_id"], run_id, "parameters"),
            "dataset_name": dataset["dataset_name"],
            "dataset_version": dataset["dataset_version"],
        },
    )


def _best(metrics: Mapping[str, Mapping[str, float]], by: str) -> str:
    having = {model: values[by] for model, values in metrics.items() if by in values}
    if not having:
        known = ", ".join(sorted({name for values in metrics.values() for name in values}))
        raise LaunchError(f"No run has the metric {by}.", f"search.choose_by can be {known}.")
    return (min if by in ERRORS else max)(having, key=having.__getitem__)


def _run(client: Client, experiment_id: str, run_id: str, what: str) -> dict[str, Any]:
    body = {"experiment_id": experiment_id, "run_id": run_id, "type": "model"}
    answer = client.ask("POST", "tracking", RUNS, {**body, "request_information": what})
    return dict(answer["data"])


def _candidates(client: Client, model: str, run_id: str) -> list[list[Any]]:
    """Return a run's candidates with what they are called, their score and its deviation."""
    path = f"/get-artifact?run_id={run_id}&path=search/candidates.csv"
    lines = list(csv.DictReader(io.StringIO(client.send("GET", "mlflow", path).text)))
    rows = []
    for line in lines:
        score = next(value for name, value in line.items() if name.startswith("mean_"))
        deviation = next(value for name, value in line.items() if name.startswith("std_"))
        values = [
            f"{name}={value}"
            for name, value in line.items()
            if name not in ("rank", "fit_s") and not name.startswith(("mean_", "std_"))
        ]
        rows.append([model, f"{model} {', '.join(values)}".strip(), score, deviation])
    return rows


def _train(work: Workplace) -> None:
    """Set the chosen model, fit and register it."""
    chosen = work.read("chosen.json")
    with step(f"Set {chosen['model']}"):
        body = {"request_information": "setting", "run_id": chosen["run_id"]}
        work.client.ask("POST", "tracking", MANAGEMENT, body)
    work.write("training.json", _scored(work, chosen, "training"))


def _evaluate(work: Workplace) -> None:
    """Score the testing set, and everything the evaluation knows of it."""
    trained = work.read("training.json")
    scored = _scored(work, trained, "testing")
    with step("Evaluate it"):
        names = ("dataset_name", "dataset_version", "registered_model_name", "model_version")
        body = {"dataset": "testing"} | {name: trained[name] for name in names}
        scored["metrics"] = work.client.ask("POST", "ml_model", "/evaluate", body)["metrics"]
    work.write("testing.json", scored)


def _scored(work: Workplace, before: Mapping[str, Any], set_name: str) -> dict[str, Any]:
    dataset = {key: before[key] for key in ("dataset_name", "dataset_version")}
    with step(f"Score the {set_name} set") as notes:
        answer = work.client.ask("POST", "ml_model", "/root/ml", {"dataset": set_name, **dataset})
        notes.append(f"{answer['score']:.4g}")
    kept = ("score", "metrics", "rows", "registered_model_name", "model_version")
    return dataset | {key: answer[key] for key in kept}


def _monitor(work: Workplace) -> None:
    """Score production; the verdict, the drift of each column, Evidently's page."""
    client, scored = work.client, _scored(work, work.read("testing.json"), "production")
    path = "/root/monitoring"
    dataset = {key: scored[key] for key in ("dataset_name", "dataset_version")}
    with step("Ask whether to retrain") as notes:
        summary = client.ask("POST", "monitoring", path, {"metric": "summary", **dataset})
        notes.append("retrain" if summary["retraining_needed"] else "keep the model")
    with step("Look for drift"):
        body = {"metric": "tests", "tests": {"data_drift": True}, **dataset}
        columns = _drift(client.ask("POST", "monitoring", path, body)["message"]["tests"])
    with step("Evidently's report"):
        body = {"metric": "report", "format": "html", **dataset}
        page = client.send("POST", "monitoring", path, body)
        (work.folder / "report.html").write_bytes(page.content)
    work.write_table("drift.csv", ["column", "score", "threshold", "test", "drift"], columns)
    names = ("total_tests", "success_tests", "failed_tests")
    work.write(
        "production.json",
        scored
        | {"retraining_needed": summary["retraining_needed"], "reasons": summary["reasons"]}
        | {name: summary[name] for name in names}
        | {"drifted_columns": sum(row[-1] for row in columns)},
    )


def _drift(tests: list[dict[str, Any]]) -> list[list[Any]]:
    """Return what Evidently says of each column: its score is a p-value or a distance."""
    return [
        [
            found["column_name"],
            found["score"],
            found["threshold"],
            found["stattest"],
            found["detected"],
        ]
        for found in (test["parameters"] for test in tests)
        if "column_name" in found and "stattest" in found
    ]


STAGES: dict[str, Callable[[Workplace], None]] = {
    "load": _load,
    "tune": _tune,
    "train": _train,
    "evaluate": _evaluate,
    "monitor": _monitor,
}
