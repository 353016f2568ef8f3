"""Sets that are needed here, loaded by the simulator where they are not."""

import json
from typing import Any

from contracts.vocabulary import SET_NAMES, SetName
from ml_model.repository.sets import SqlSets
from schema.sets import DatasetNotFound, SetLoad, SetNotLoaded
from servicekit.clients import ServiceClient, ServiceUnavailable
from servicekit.database import Database
from servicekit.errors import Conflict, Invalid


class DatasetLoading:
    """Asks the simulator over REST; a dataset that it does not know is unknown."""

    def __init__(self, database: Database, sets: SqlSets, simulator: ServiceClient) -> None:
        self._database = database
        self._sets = sets
        self._simulator = simulator

    def ensure(
        self, set_name: SetName, dataset_name: str, dataset_version: int | None = None
    ) -> SetLoad:
        """Return what is loaded as that set, having it loaded first if nothing is.

        It is then cut with the split and the seed of the sets that are loaded, so that no row is
        in two.

        Raises
        ------
        DatasetNotFound
            Neither is such a dataset stored nor does the simulator know it.
        ServiceUnavailable
            It has to be loaded and the simulator does not answer.
        """
        try:
            return self._find(set_name, dataset_name, dataset_version)
        except SetNotLoaded:
            self._load(set_name, dataset_name, dataset_version)
            return self._find(set_name, dataset_name, dataset_version)

    def _find(self, set_name: SetName, dataset_name: str, version: int | None) -> SetLoad:
        with self._database.transaction():
            return self._sets.get_load(set_name, dataset_name, version)

    def _loaded(self, dataset_name: str, version: int | None) -> SetLoad | None:
        """Return the training set, else another set that is loaded, if one is."""
        with self._database.transaction():
            loads = [self._sets.find_load(name, dataset_name, version) for name in SET_NAMES]
        return next((load for load in loads if load is not None), None)

    def _load(self, set_name: SetName, dataset_name: str, version: int | None) -> None:
        body: dict[str, Any] = {"set_name": set_name, "dataset_name": dataset_name}
        if version is not None:
            body["dataset_version"] = version
        loaded = self._loaded(dataset_name, version)
        if loaded is not None:
            body |= {"seed": loaded.seed, "split": loaded.split}
        answer = self._simulator.post("/root/simulator", body)
        if answer.status_code == 200:
            return
        message = _message(answer.text)
        if answer.status_code == 404:
            raise DatasetNotFound(message)
        if answer.status_code == 400:
            raise Invalid(message)
        if answer.status_code == 409:
            raise Conflict(message)
        raise ServiceUnavailable(
            f"The simulator could not load the {set_name} set of {dataset_name}: {message}"
        )


def _message(body: str) -> str:
    try:
        return str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        return "its answer could not be read"
