"""What the deployment ledger says, as values."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ml_model.domain import CURRENT_SLOT

NEXT_SLOT = "next"
SPLIT = "split"
"""What an entry changed that changed no slot: the share of requests, or the shadow."""

SET_ACTION = "set"
"""A model was set for training; what serves stays as it was."""

API_ACTOR = "api"


@dataclass(frozen=True)
class ServingRecord:
    """What serves: the versions in the two slots and how requests are shared between them.

    `canary_probability` (0 to 1) is the share of requests that `current` answers; with `shadow`
    `next` answers the others too, is logged, and never returned.
    """

    current_version_id: int | None = None
    next_version_id: int | None = None
    canary_probability: float = 1.0
    shadow: bool = False

    @property
    def serves(self) -> bool:
        """Whether a slot holds a version."""
        return self.current_version_id is not None or self.next_version_id is not None

    def changed_part(self, after: "ServingRecord") -> str | None:
        """Return what `after` changed, the weightiest first; None where it is the same."""
        if self.current_version_id != after.current_version_id:
            return CURRENT_SLOT
        if self.next_version_id != after.next_version_id:
            return NEXT_SLOT
        return None if self == after else SPLIT


@dataclass(frozen=True)
class Configuration:
    """What an entry of the slot `current` says of training, and the version if it is trained."""

    model_name: str
    hyperparameters: Mapping[str, Any]
    source_run_id: str | None
    model_version_id: int | None = None


@dataclass(frozen=True)
class LedgerEntry:
    """One entry of the ledger, with the whole serving state from then on."""

    id: int
    slot: str
    action: str
    serving: ServingRecord
    actor: str
    reason: str
    request_id: str
    created_at: datetime


@dataclass(frozen=True)
class NamedVersion:
    """A model version by its names in MLflow."""

    id: int
    registered_name: str
    version: int
    model_uri: str
