"""The way in: one MLflow server and what can be asked of it."""

from mlflowrest.artifacts import Artifacts
from mlflowrest.experiments import Experiments
from mlflowrest.registry import Registry
from mlflowrest.runs import Runs
from mlflowrest.transport import Transport


class Mlflow:
    """An MLflow server by its base URL. Nothing connects before the first call.

    Every call may raise `MlflowUnavailable`; one that names something, `MlflowNotFound`.
    """

    def __init__(
        self, base_url: str, *, connect_timeout_s: float = 3.0, read_timeout_s: float = 30.0
    ) -> None:
        self._transport = Transport(
            base_url, connect_timeout_s=connect_timeout_s, read_timeout_s=read_timeout_s
        )
        self.experiments = Experiments(self._transport)
        self.runs = Runs(self._transport)
        self.registry = Registry(self._transport)
        self.artifacts = Artifacts(self._transport)

    def check(self) -> None:
        """Raise `MlflowUnavailable` unless the server's `/health` answers 200."""
        self._transport.send("GET", "/health")
