"""Whether something may be deleted in MLflow: not while it serves, is set or is rolled out."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from schema.locks import SLOT_LOCK, take_lock
from tracking.domain import Deletion, InUse
from tracking.errors import still_used
from tracking.repository.deployments import Deployments
from tracking.repository.mlflow_links import MlflowLinks

LOGGED = "models:/m-"
URI = "models:/"
LOCK_PATIENCE_MS = 10_000

Places = Mapping[str, Sequence[str]]


class DeletionCheck:
    """Looks a deletion up in the ledger and holds what serves still until it is done."""

    def __init__(self, datasets: Engine, mlflow: Engine) -> None:
        self._datasets = datasets
        self._mlflow = mlflow

    @contextmanager
    def holding(self, deletion: Deletion) -> Iterator[None]:
        """Let a deletion happen inside the block; nobody changes a slot meanwhile.

        Raises
        ------
        StillDeployed
            It would take something that is in use; the text says what and where.
        sqlalchemy.exc.DBAPIError
            A database cannot be asked, or a change of a slot takes longer than 10 s.
        """
        with Session(self._datasets) as session:
            session.execute(text(f"SET LOCAL lock_timeout = {LOCK_PATIENCE_MS}"))
            session.execute(take_lock(SLOT_LOCK))
            in_use = Deployments(session).in_use()
            with self._mlflow.connect() as connection:
                held = _held(deletion, in_use, MlflowLinks(connection))
            if held:
                raise still_used(held)
            yield


def _held(deletion: Deletion, in_use: InUse, links: MlflowLinks) -> Places:
    """Return what of the deletion is in use, in words, and where."""
    match deletion.kind:
        case "run":
            return _runs([deletion.id], in_use)
        case "experiment":
            number = _number(deletion.id)
            if number is None:
                return {}
            models = _logged_models(in_use, links)
            found = links.logged_models_in(number, models)
            return {
                **_runs(links.runs_in(number, in_use.runs.keys()), in_use),
                **{f"model {model_id}": models[model_id] for model_id in found},
            }
        case "logged model":
            models = _logged_models(in_use, links)
            if deletion.id in models:
                return {f"model {deletion.id}": models[deletion.id]}
            run_id = links.run_of(deletion.id)
            return _runs([run_id] if run_id else [], in_use)
        case "registered model" | "model version":
            number = _number(deletion.version)
            return {
                f"version {version.version} of {version.registered_name}": version.places
                for version in in_use.versions
                if version.version > 0
                and version.registered_name == deletion.id
                and (deletion.kind == "registered model" or version.version == number)
            }


def _runs(run_ids: Sequence[str], in_use: InUse) -> Places:
    return {f"run {run_id}": in_use.runs[run_id] for run_id in run_ids if run_id in in_use.runs}


def _logged_models(in_use: InUse, links: MlflowLinks) -> Places:
    """Return the logged models behind the versions in use, by id."""
    places: dict[str, list[str]] = {}
    for version in in_use.versions:
        uris = [version.model_uri]
        if version.version > 0:
            uris.append(links.source_of(version.registered_name, version.version) or "")
        for uri in uris:
            if uri.startswith(LOGGED):
                places.setdefault(uri.removeprefix(URI), []).extend(version.places)
    return places


def _number(digits: str) -> int | None:
    """Return what MLflow reads as a number; None where it refuses them."""
    try:
        return int(digits)
    except ValueError:
        return None
