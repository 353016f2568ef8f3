"""Names of the advisory locks that more than one service takes, and how one is taken."""

from sqlalchemy import Executable, func, select

SLOT_LOCK = "cellar.slot.current"
"""The lock of whoever changes what serves, or deletes what may serve."""


def take_lock(name: str) -> Executable:
    """Return the statement that waits for a lock; it is held until the transaction ends."""
    return select(func.pg_advisory_xact_lock(func.hashtextextended(name, 0)))
