"""Tracking's jobs: searches, what they have tried, and their rows in `searches`."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session, scoped_session

from jobkit.queue_identity import QueueIdentity
from jobkit.repository.jobs import SqlJobs
from schema.tables import SEARCHES_SCHEMA, SearchCandidateRow, SearchRow

if TYPE_CHECKING:
    from tracking.domain import Candidate

KIND = "search"

IDENTITY = QueueIdentity(
    name="tracking",
    schema=SEARCHES_SCHEMA,
    kinds=(KIND,),
    leader_lock=0x43454C5345415243,  # "CELSEARC"
    listed_at="/root/tracking/jobs",
)


@dataclass(frozen=True)
class KeptCandidate:
    """A candidate that was tried, and the scores that a search can go on from."""

    model_name: str
    key: str
    candidate: "Candidate"
    scores: Mapping[str, Any]


@dataclass(frozen=True)
class SearchOfJob:
    """The row of `searches` of a job."""

    id: int
    experiment_id: str


class SearchJobs(SqlJobs):
    """Reads and writes tracking's jobs. Never commits."""

    def __init__(self, session: "scoped_session[Session]") -> None:
        super().__init__(session, IDENTITY)

    def begin_search(
        self, job_id: int, experiment_id: str, request: Mapping[str, Any]
    ) -> SearchOfJob:
        """Enter the search of a job as running, and return the one that an earlier attempt did."""
        statement = insert(SearchRow).values(
            job_id=job_id, experiment_id=experiment_id, request=dict(request), state="running"
        )
        self._session.execute(statement.on_conflict_do_nothing(index_elements=["job_id"]))
        found = self.find_search(job_id)
        if found is None:
            raise RuntimeError(f"the search of job {job_id} was deleted")
        return found

    def find_search(self, job_id: int) -> SearchOfJob | None:
        """Return the search of a job; None before it has begun."""
        query = select(SearchRow.id, SearchRow.experiment_id).where(SearchRow.job_id == job_id)
        row = self._session.execute(query).first()
        return None if row is None else SearchOfJob(row.id, row.experiment_id)

    def end_search(self, job_id: int, state: str, reason: str | None = None) -> None:
        """Write how a search ended, `finished`, `failed` or `cancelled`; drop what it tried."""
        self._session.execute(
            update(SearchRow)
            .where(SearchRow.job_id == job_id, SearchRow.state == "running")
            .values(state=state, reason=reason, finished_at=func.now())
        )
        self._session.execute(delete(SearchCandidateRow).where(SearchCandidateRow.job_id == job_id))

    def add_candidates(self, job_id: int, candidates: Iterable[KeptCandidate]) -> None:
        """Keep candidates; one that is kept already stays as it is."""
        rows = [
            {
                "job_id": job_id,
                "model_name": kept.model_name,
                "key": digest(kept.key),
                "candidate": {**asdict(kept.candidate), "key": kept.key},
                "scores": dict(kept.scores),
            }
            for kept in candidates
        ]
        if rows:
            self._session.execute(insert(SearchCandidateRow).on_conflict_do_nothing(), rows)

    def list_candidates(self, job_id: int) -> list[KeptCandidate]:
        """Return what a job's search has tried, the first first."""
        # numpy comes with it, which the program that runs the jobs does without.
        from tracking.domain import Candidate

        query = (
            select(SearchCandidateRow)
            .where(SearchCandidateRow.job_id == job_id)
            .order_by(SearchCandidateRow.finished_at, SearchCandidateRow.key)
        )
        found = []
        for row in self._session.scalars(query):
            values = dict(row.candidate)
            key = values.pop("key")
            found.append(KeptCandidate(row.model_name, key, Candidate(**values), row.scores))
        return found


def digest(key: str) -> str:
    """Return a key at a length that an index takes: it may hold all of a candidate's values."""
    return hashlib.sha256(key.encode()).hexdigest()
