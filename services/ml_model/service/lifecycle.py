"""What is due before a model can be trained or used."""

import json

from contracts.vocabulary import DEFAULT_DATASET
from ml_model.domain import CURRENT_SLOT, Deployment
from ml_model.errors import ModelNotSet
from ml_model.repository.ledger import SqlLedger
from modelkit.registry import registry


def get_deployment(ledger: SqlLedger) -> Deployment:
    """Return what is set now; raises `ModelNotSet`."""
    found = ledger.find_newest(CURRENT_SLOT)
    if found is None:
        raise ModelNotSet()
    return found


def get_trainable(ledger: SqlLedger) -> Deployment:
    """Return what is set now; `ModelNotSet` also where it came from outside and has no recipe."""
    found = get_deployment(ledger)
    if found.model_name not in registry():
        raise ModelNotSet(
            f"The model that serves, {found.model_name}, was not made here and cannot be trained."
            f" {ModelNotSet.advice}"
        )
    return found


def training_call(dataset_name: str, dataset_version: int | None) -> str:
    """Return the call that trains on a dataset, as a person would send it."""
    body: dict[str, object] = {"dataset": "training"}
    if dataset_name != DEFAULT_DATASET:
        body["dataset_name"] = dataset_name
    if dataset_version is not None:
        body["dataset_version"] = dataset_version
    return f"POST /root/ml {json.dumps(body)}"
