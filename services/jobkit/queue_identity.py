"""Whose jobs they are: what tells the jobs of one service from those of another."""

from dataclasses import dataclass


@dataclass(frozen=True)
class QueueIdentity:
    """The jobs of one service, and where they queue.

    `name` is that of the queue and of the service. `schema` of PostgreSQL holds Procrastinate's
    tables, which the service's program makes and owns; no service can see another's queue. `kinds`
    are the service's own rows of the table `jobs`, all others do not exist for it. `leader_lock` is
    the key of the advisory lock that the one program holds which does the housekeeping. `listed_at`
    is the path at which the jobs are listed.
    """

    name: str
    schema: str
    kinds: tuple[str, ...]
    leader_lock: int
    listed_at: str
