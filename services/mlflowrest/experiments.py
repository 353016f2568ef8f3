"""Experiments by name."""

from mlflowrest.errors import MlflowNotFound, MlflowRefused
from mlflowrest.transport import Transport


class Experiments:
    """Finds, makes and restores experiments."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def ensure(self, name: str) -> str:
        """Return the id of the active experiment of that name, made when new.

        A deleted one is restored, since MLflow keeps its name. Safe to call at the same time from
        anywhere.
        """
        found = self._find(name)
        if found is None:
            try:
                made = self._transport.post("experiments/create", {"name": name})
                return str(made["experiment_id"])
            except MlflowRefused as error:
                # Somebody else was faster.
                found = self._find(name)
                if error.code != "RESOURCE_ALREADY_EXISTS" or found is None:
                    raise
        experiment_id, stage = found
        if stage == "deleted":
            self._restore(experiment_id)
        return experiment_id

    def _find(self, name: str) -> tuple[str, str] | None:
        try:
            answer = self._transport.get("experiments/get-by-name", experiment_name=name)
        except MlflowNotFound:
            return None
        experiment = answer["experiment"]
        return str(experiment["experiment_id"]), str(experiment["lifecycle_stage"])

    def _restore(self, experiment_id: str) -> None:
        try:
            self._transport.post("experiments/restore", {"experiment_id": experiment_id})
        except (MlflowNotFound, MlflowRefused):
            # Restoring is refused when somebody else did it meanwhile.
            answer = self._transport.get("experiments/get", experiment_id=experiment_id)
            if answer["experiment"]["lifecycle_stage"] != "active":
                raise
