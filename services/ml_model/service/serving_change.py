"""The one way in which what serves is changed: under the lock, with an entry in the ledger."""

from ml_model.domain import CURRENT_SLOT
from ml_model.ledger_entries import API_ACTOR, Configuration, ServingRecord
from ml_model.repository.ledger import SqlLedger
from schema.locks import SLOT_LOCK
from servicekit.telemetry import request_id


def lock_serving(ledger: SqlLedger) -> ServingRecord:
    """Wait for whoever else changes what serves and return it; it holds still until the commit."""
    ledger.lock(SLOT_LOCK)
    return ledger.serving()


def write_change(
    ledger: SqlLedger,
    before: ServingRecord,
    after: ServingRecord,
    *,
    action: str,
    reason: str,
    actor: str = API_ACTOR,
) -> int | None:
    """Append `after` to the ledger and return the entry's id; None where it changes nothing.

    `before` comes from `lock_serving` in the same transaction.
    """
    part = before.changed_part(after)
    if part is None:
        return None
    return ledger.add(
        part,
        action,
        serving=after,
        configuration=_configuration(ledger, after) if part == CURRENT_SLOT else None,
        reason=reason,
        request_id=request_id(),
        actor=actor,
    )


def _configuration(ledger: SqlLedger, after: ServingRecord) -> Configuration | None:
    """Return what is set for training once `after` serves.

    It follows the version in `current`, but a model that was set and is not trained yet stays set.
    """
    newest = ledger.find_newest(CURRENT_SLOT)
    if newest is not None and newest.model_version_id is None:
        return Configuration(newest.model_name, newest.hyperparameters, newest.source_run_id)
    if after.current_version_id is None:
        return None
    return ledger.configuration_of(after.current_version_id)
