"""The requests of the lifecycle, as a client would write them."""

from typing import Any

from tests.support.running_suite import RunningSuite

SETS = ("training", "testing", "production")
MANAGEMENT = "/root/tracking/model_management"
EXPERIMENTS = "/root/tracking/experiments"
RUNS = "/root/tracking/runs"

GRIDS: dict[str, dict[str, list[Any]]] = {
    "LogisticRegression": {"C": [0.1, 1], "solver": ["liblinear"]},
    "RandomForest": {"n_estimators": [10, 50], "max_depth": [None, 5]},
    "SVC": {"C": [0.1, 1.0], "kernel": ["linear", "rbf"]},
}


def search(
    name: str, grids: dict[str, dict[str, list[Any]]] = GRIDS, **changes: Any
) -> dict[str, Any]:
    """Return an optimization request; by default the walk-through's."""
    return {
        "request_information": "optimization",
        "experiment_name": name,
        "experiment_description": "Which classifier tells the three wines apart",
        "experiment_owner": "cellar",
        "models": list(grids),
        "hyperparameters": grids,
        "scoring": "accuracy",
        "cv": 5,
    } | changes


class Client:
    """The steps of the lifecycle by name; each must succeed."""

    def __init__(self, suite: RunningSuite) -> None:
        self.suite = suite

    def load(self, set_name: str, **more: Any) -> dict[str, Any]:
        """Load a set."""
        body = {"set_name": set_name} | more
        return dict(self.suite.ask("POST", "simulator", "/root/simulator", body))

    def load_all(self) -> None:
        """Load the three sets as they are by default."""
        for name in SETS:
            self.load(name)

    def search(self, name: str, *arguments: Any, **changes: Any) -> dict[str, Any]:
        """Run an optimization and return its `data`."""
        body = search(name, *arguments, **changes)
        answer = self.suite.ask("POST", "tracking", MANAGEMENT, body, status=201)
        return dict(answer["data"])

    def deploy(self, run_id: str) -> dict[str, Any]:
        """Set the model that a run found."""
        body = {"request_information": "setting", "run_id": run_id}
        return dict(self.suite.ask("POST", "tracking", MANAGEMENT, body))

    def set_model(self, name: str, **hyperparameters: Any) -> dict[str, Any]:
        """Set a model by hand."""
        body = {"model_name": name, "hyperparameters": hyperparameters}
        return dict(self.suite.ask("POST", "ml_model", "/root/ml/set_model", body))

    def score(self, set_name: str) -> float:
        """Train on or score a set."""
        answer = self.suite.ask("POST", "ml_model", "/root/ml", {"dataset": set_name})
        return float(answer["score"])

    def monitor(self, metric: str, **more: Any) -> Any:
        """Ask monitoring and return its `message`."""
        body = {"metric": metric} | more
        return self.suite.ask("POST", "monitoring", "/root/monitoring", body)["message"]

    def experiment(self, experiment_id: str, information: str, **more: Any) -> Any:
        """Ask about an experiment and return its `data`."""
        body = {"experiment_id": experiment_id, "request_information": information} | more
        return self.suite.ask("POST", "tracking", EXPERIMENTS, body)["data"]

    def runs(self, experiment_id: str) -> list[dict[str, Any]]:
        """Return the runs of an experiment."""
        path = f"{RUNS}?experiment_id={experiment_id}"
        return list(self.suite.ask("GET", "tracking", path)["data"])

    def delete_experiment(self, experiment_id: str) -> dict[str, Any]:
        """Delete an experiment."""
        path = f"{EXPERIMENTS}?experiment_id={experiment_id}"
        return dict(self.suite.ask("DELETE", "tracking", path))
