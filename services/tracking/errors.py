"""What can go wrong in tracking."""

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


class RunWithoutModel(Impossible):
    """Run without a model to set."""


class RunNotFinished(Conflict):
    """Run not finished."""


class StillDeployed(Conflict):
    """Model deployed."""

    advice = (
        "A model of it is deployed. Set another one first: "
        "POST /root/tracking/model_management, 'setting'."
    )


class SearchRunning(Conflict):
    """Search running."""

    advice = "A search is running in it; delete it when the search is over."


class MlflowUnavailable(Unavailable):
    """MLflow unavailable."""

    advice = "The MLflow server or its database does not answer; try again in a moment."


class SearchLost(Unavailable):
    """Search lost."""

    advice = "The database was away during the search; send the request again."
