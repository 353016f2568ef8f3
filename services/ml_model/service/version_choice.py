"""Which version answers a request that names one, or none."""

from dataclasses import dataclass

from ml_model.errors import ModelUriUnknown, NothingServes, VersionNotFound, VersionNotServable
from ml_model.ledger_entries import NamedVersion
from ml_model.repository.ledger import SqlLedger
from ml_model.repository.version_lookup import SqlVersionLookup
from ml_model.service.serving_models import ServingModels
from modelkit.servable import ServableModel
from servicekit.database import Database

URI_SCHEMES = ("models:/", "runs:/")


@dataclass(frozen=True)
class ChosenVersion:
    """A version and its model, ready to predict."""

    named: NamedVersion
    model: ServableModel

    @property
    def tags(self) -> dict[str, str]:
        """What a run of this version is tagged with."""
        return {
            "registered_model_name": self.named.registered_name,
            "model_version": str(self.named.version),
        }


class VersionChoice:
    """Finds versions here, and those that are not known here in MLflow."""

    def __init__(
        self,
        database: Database,
        ledger: SqlLedger,
        versions: SqlVersionLookup,
        serving: ServingModels,
    ) -> None:
        self._database = database
        self._ledger = ledger
        self._versions = versions
        self._serving = serving

    def choose(self, name: str | None, version: int | None) -> ChosenVersion:
        """Return the named version; without a name the one that serves.

        Without a number it is the one that serves if it has that name, else the newest known
        here, else MLflow's newest. Not within a transaction.

        Raises
        ------
        NothingServes
            None is named and none serves.
        VersionNotFound
            Neither this service nor MLflow knows it.
        ModelRefused, MlflowUnavailable
            It cannot be made ready to predict.
        """
        with self._database.transaction():
            found = self._known(name, version)
        if found is None:
            if name is None:
                raise NothingServes()
            found = self._from_mlflow(name, version)
        try:
            return ChosenVersion(found, self._serving.load(found.id))
        except VersionNotServable:
            # Trained before versions were prepared for serving.
            prepared = self._serving.prepare(found.model_uri)
            return ChosenVersion(found, self._serving.load(prepared.id))

    def _known(self, name: str | None, version: int | None) -> NamedVersion | None:
        if version is None:
            serving_id = self._ledger.serving().current_version_id
            if serving_id is not None:
                serving = self._versions.get(serving_id)
                if name in (None, serving.registered_name):
                    return serving
        return None if name is None else self._versions.find(name, version)

    def _from_mlflow(self, name: str, version: int | None) -> NamedVersion:
        is_uri = name.startswith(URI_SCHEMES)
        uri = name if is_uri else f"models:/{name}/{'latest' if version is None else version}"
        try:
            prepared = self._serving.prepare(uri)
        except ModelUriUnknown as error:
            raise VersionNotFound() from error
        with self._database.transaction():
            return self._versions.get(prepared.id)
