"""What can go wrong in tracking."""

from collections.abc import Mapping, Sequence

from servicekit.errors import Conflict, Impossible, Invalid, NotFound, Unavailable


class ExperimentNotFound(NotFound):
    """Experiment not found."""

    advice = "Take an id from GET /root/tracking/experiments."


class RunNotFound(NotFound):
    """Run not found."""

    advice = "Take an id from GET /root/tracking/runs?experiment_id=..."


class NoRuns(NotFound):
    """Experiment without runs."""

    advice = "Make some first: POST /root/tracking/model_management, 'optimization'."


class MetricNotLogged(NotFound):
    """No run has that metric."""


class UnknownMetric(Invalid):
    """Unknown metric."""


class InvalidSearch(Invalid):
    """Invalid search."""


class UnknownScoring(Invalid):
    """Unknown scoring."""


class SearchFailed(Impossible):
    """Search failed."""


class NothingFinished(SearchFailed):
    """Search stopped before a candidate finished."""

    advice = "Nothing is kept of it. Let it run for longer."


class RunWithoutModel(Impossible):
    """Run without a model to set."""


class RunNotFinished(Conflict):
    """Run not finished."""


class StillDeployed(Conflict):
    """Model deployed."""


class SearchRunning(Conflict):
    """Search running."""

    advice = "A search is running in it; delete it when the search is over."


class MlflowUnavailable(Unavailable):
    """MLflow unavailable."""

    advice = "The MLflow server or its database does not answer; try again in a moment."


class ArtifactStoreUnavailable(Unavailable):
    """Artifact store unavailable."""

    advice = (
        "MLflow cannot use the folder or bucket of its artifacts. CELLAR_MLFLOW_ARTIFACTS and the "
        "CELLAR_S3_... settings name it, MLflow's log has the reason; then send the request again."
    )


class SearchLost(Unavailable):
    """Search lost."""

    advice = "The database was away during the search; send the request again."


def still_deployed(in_use: Mapping[str, Sequence[str]]) -> StillDeployed:
    """Return the error that says of each run where it is in use, and how to free it."""
    return still_used({f"run {run_id}": where for run_id, where in in_use.items()})


def still_used(in_use: Mapping[str, Sequence[str]]) -> StillDeployed:
    """The same of whatever the keys name."""
    uses = "; ".join(f"{what} by {' and '.join(where)}" for what, where in in_use.items())
    return StillDeployed(
        f"In use: {uses}. Set and train another model first: POST"
        " /root/tracking/model_management, 'setting'; the ML service's GET /slots says what serves,"
        " POST /update-model replaces what is in next."
    )
