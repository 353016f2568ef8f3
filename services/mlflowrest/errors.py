"""What MLflow can answer instead of what was asked for."""

from servicekit.errors import Impossible, NotFound, Unavailable


class MlflowUnavailable(Unavailable):
    """MLflow does not answer."""

    advice = "The MLflow server is not reachable right now; try again in a moment."


class MlflowNotFound(NotFound):
    """Not found in MLflow."""

    advice = "MLflow has no such experiment, run, model version or file."


class MlflowRefused(Impossible):
    """MLflow refuses the request.

    `code` is MLflow's own name for the reason, e.g. `RESOURCE_ALREADY_EXISTS`.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
