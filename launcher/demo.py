"""The demonstration: a wine classifier's whole life, over HTTP against the running services."""

import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from launcher.client import Client
from launcher.suite import Suite
from launcher.suite_settings import SERVICES
from launcher.terminal import console, step

EXPERIMENT = "wine_demo"
SEARCH: dict[str, Any] = {
    "request_information": "optimization",
    "experiment_name": EXPERIMENT,
    "experiment_description": "Which classifier tells the three wines apart",
    "experiment_owner": "cellar",
    "models": ["LogisticRegression", "RandomForest", "SVC"],
    "hyperparameters": {
        "LogisticRegression": {"C": [0.1, 1, 10], "solver": ["liblinear"]},
        "RandomForest": {"n_estimators": [50, 100], "max_depth": [None, 5]},
        "SVC": {"C": [0.1, 1, 10], "kernel": ["linear", "rbf"], "class_weight": [None, "balanced"]},
    },
    "scoring": "accuracy",
    "cv": 5,
}
WINES: tuple[tuple[list[float], int], ...] = (
    ([14.23, 1.71, 2.43, 15.6, 127, 2.8, 3.06, 0.28, 2.29, 5.64, 1.04, 3.92, 1065], 0),
    ([12.37, 0.94, 1.36, 10.6, 88, 1.98, 0.57, 0.28, 0.42, 1.95, 1.05, 1.82, 520], 1),
    ([12.86, 1.35, 2.32, 18.0, 122, 1.51, 1.25, 0.21, 0.94, 4.1, 0.76, 1.29, 630], 2),
)
"""A wine of each cultivar, as measured (rows 0, 59 and 130 of the dataset)."""
ONLINE_REQUESTS = 60
MANAGEMENT = "/root/tracking/model_management"
EXPERIMENTS = "/root/tracking/experiments"


@dataclass
class Story:
    """What the services have answered so far."""

    experiment_id: str = ""
    run_ids: dict[str, str] = field(default_factory=dict)
    hyperparameters: dict[str, dict[str, str]] = field(default_factory=dict)
    accuracy: dict[str, float] = field(default_factory=dict)
    chosen: str = ""
    scores: dict[str, float] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    """Counts of Evidently's tests, `retraining_needed` and `reasons`."""
    slots: dict[str, Any] = field(default_factory=dict)
    """What `GET /slots` answered after the canary."""


def run_demo(suite: Suite) -> int:
    """Start the suite if needed, tell the story, show its figures, leave the suite running."""
    began = time.monotonic()
    suite.up()
    started = time.monotonic()
    story = tell(Client(suite), suite.places.demo / "report.html")
    console.print()
    console.print(_figures(story))
    console.print(
        f"\nStarted in {started - began:.1f} s, told in {time.monotonic() - started:.1f} s."
        " The suite goes on running; ./launch.sh down stops it."
    )
    _show_places(suite, story.experiment_id)
    return 0


def tell(client: Client, report_file: Path) -> Story:
    """Walk through the lifecycle; write Evidently's page to `report_file`; return what was said."""
    story = Story()
    _tune(client, story)
    _choose(client, story)
    _deploy_and_score(client, story)
    _monitor(client, story, report_file)
    _serve(client, story)
    return story


def _tune(client: Client, story: Story) -> None:
    with step("Load the training set") as notes:
        notes.append(_load(client, "training"))
    with step(f"Tune {', '.join(SEARCH['models'])} by cross-validated grid search"):
        data = client.ask("POST", "tracking", MANAGEMENT, SEARCH)["data"]
        story.experiment_id, story.run_ids = data["experiment_id"], data["run_ids"]


def _choose(client: Client, story: Story) -> None:
    identity = {"experiment_id": story.experiment_id}
    with step("Look at the experiment and its runs") as notes:
        client.ask("GET", "tracking", EXPERIMENTS)
        question = {**identity, "request_information": "general"}
        runs = client.ask("POST", "tracking", EXPERIMENTS, question)["data"]["experiment_runs"]
        notes.append(f"{runs['completed_runs']} of {runs['number_of_runs']} runs completed")
        for model, run_id in story.run_ids.items():
            about = {**identity, "run_id": run_id}
            story.hyperparameters[model] = client.ask(
                *("POST", "tracking", "/root/tracking/runs"),
                {**about, "request_information": "parameters", "type": "model"},
            )["data"]
            story.accuracy[model] = client.ask(
                *("POST", "tracking", "/root/tracking/runs"),
                {**about, "request_information": "metrics", "type": "model"},
            )["data"]["accuracy"]
    with step("Statistics over the runs") as notes:
        question = {**identity, "request_information": "statistics"}
        accuracy = client.ask("POST", "tracking", EXPERIMENTS, {**question, "filter": ["all"]})[
            "data"
        ]["accuracy"]
        notes.append(f"accuracy {accuracy['min']:.1%} to {accuracy['max']:.1%}")
    with step("Choose the best run") as notes:
        best = client.ask(
            *("POST", "tracking", EXPERIMENTS),
            {
                **identity,
                "request_information": "best_model",
                "filter": ["model_accuracy", "model_f1_score"],
            },
        )["data"]
        story.chosen = best["model"]
        notes.append(f"{best['model']}, {best['metrics']['model_accuracy']:.1%}")
    with step("Deploy it"):
        client.ask(
            *("POST", "tracking", MANAGEMENT),
            {"request_information": "setting", "run_id": best["run_id"]},
        )


def _deploy_and_score(client: Client, story: Story) -> None:
    with step("Train and register it") as notes:
        story.scores["training"] = _score(client, "training")
        notes.append(f"{story.scores['training']:.1%} on its own training set")
    for name, what in (("testing", "the testing set"), ("production", "production, fouled")):
        with step(f"Load {what}, and score it") as notes:
            notes.append(_load(client, name))
            story.scores[name] = _score(client, name)
            notes.append(f"{story.scores[name]:.1%}")


def _monitor(client: Client, story: Story, report_file: Path) -> None:
    path = "/root/monitoring"
    with step("Evidently's report") as notes:
        client.ask("POST", "monitoring", path, {"metric": "report"})
        page = client.send("POST", "monitoring", path, {"metric": "report", "format": "html"})
        report_file.parent.mkdir(parents=True, exist_ok=True)
        report_file.write_bytes(page.content)
        notes.append(f"{len(page.content) / 1e6:.1f} MB of HTML")
    with step("Evidently's tests"):
        client.ask("POST", "monitoring", path, {"metric": "tests"})
    with step("Summary and verdict") as notes:
        answer = client.ask("POST", "monitoring", path, {"metric": "summary"})
        # The verdict stands beside the counts as well as in them.
        story.summary = {**answer, **answer["message"]}
        notes.append("retrain" if story.summary["retraining_needed"] else "keep the model")


def _serve(client: Client, story: Story) -> None:
    with step(
        f"Predict {ONLINE_REQUESTS} wines online, each committed before it is answered"
    ) as notes:
        notes.append(_predict_wines(client))
    runner_up = max(
        (model for model in story.run_ids if model != story.chosen), key=story.accuracy.__getitem__
    )
    with step(f"Let {runner_up} answer half of them: a canary") as notes:
        uri = f"models:/{runner_up}/latest"
        client.ask("POST", "ml_model", "/update-model", {"model_uri": uri})
        client.ask("POST", "ml_model", "/set-canary-probability", {"probability": 0.5})
        client.ask("POST", "ml_model", "/set-shadow", {"shadow": True})
        notes.append(_predict_wines(client))
    with step("Compare the two, and send everybody back to current") as notes:
        story.slots = client.ask("GET", "ml_model", "/slots")
        if story.slots["agreement"] is not None:
            notes.append(f"they agree on {story.slots['agreement']:.0%}")
        client.ask("POST", "ml_model", "/set-shadow", {"shadow": False})
        client.ask("POST", "ml_model", "/set-canary-probability", {"probability": 1.0})


def _predict_wines(client: Client) -> str:
    """Predict, tell the truth afterwards, and say how it went."""
    labels, used, right = [], Counter[str](), 0
    for number in range(ONLINE_REQUESTS):
        features, cultivar = WINES[number % len(WINES)]
        answer = client.ask("POST", "ml_model", "/predict", {"features": features})
        used[answer["model_used"]] += 1
        right += answer["prediction"] == cultivar
        labels.append({"request_id": answer["request_id"], "label": cultivar})
    client.ask("POST", "ml_model", "/labels", {"labels": labels})
    return f"{', '.join(f'{slot} {count}' for slot, count in sorted(used.items()))}; {right} right"


def _load(client: Client, set_name: str) -> str:
    answer = client.ask("POST", "simulator", "/root/simulator", {"set_name": set_name})
    missing = f", {answer['missing_cells']} cells missing" if answer["missing_cells"] else ""
    return f"{answer['rows']} rows{missing}"


def _score(client: Client, set_name: str) -> float:
    return float(client.ask("POST", "ml_model", "/root/ml", {"dataset": set_name})["score"])


def _figures(story: Story) -> RenderableType:
    table = Table(title="The wine classifier", title_justify="left")
    table.add_column("model", no_wrap=True)
    table.add_column("best hyperparameters", overflow="fold")
    for name in ("CV accuracy", "testing", "production"):
        table.add_column(name, justify="right", no_wrap=True)
    for model in story.run_ids:
        own = model == story.chosen
        table.add_row(
            f"[bold]{model} *[/]" if own else model,
            _shown(story.hyperparameters[model], SEARCH["hyperparameters"][model]),
            f"{story.accuracy[model]:.1%}",
            f"{story.scores['testing']:.1%}" if own else "",
            f"{story.scores['production']:.1%}" if own else "",
        )
    summary = story.summary
    verdict = "[bold red]yes[/]" if summary["retraining_needed"] else "[bold green]no[/]"
    return Group(
        table,
        "* deployed",
        f"Evidently's tests: {summary['success_tests']} passed, {summary['failed_tests']} failed"
        f" of {summary['total_tests']}",
        f"Retraining needed: {verdict}",
        *(f"  {escape(reason)}" for reason in summary["reasons"]),
    )


def _shown(best: dict[str, str], grid: dict[str, Any]) -> str:
    """The searched ones; an estimator has many more, all at their defaults."""
    return ", ".join(f"{name}={best[name]}" for name in grid if name in best)


def _show_places(suite: Suite, experiment_id: str) -> None:
    url = suite.settings.url
    # Without the parameter MLflow opens an experiment as one of language models.
    runs = f"#/experiments/{experiment_id}/runs?workflowType=machine_learning"
    places = {
        "Dashboard": f"{url('monitoring')}/dashboard",
        "MLflow UI": f"{url('mlflow')}/{runs}",
        **{f"API of {name}": f"{url(name)}/docs" for name in SERVICES},
        "Evidently's report": (suite.places.demo / "report.html").resolve().as_uri(),
    }
    table = Table.grid(padding=(0, 2))
    for name, place in places.items():
        table.add_row(name, f"[link={place}]{place}[/link]")
    console.print(table)
