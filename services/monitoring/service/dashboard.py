"""What the live page shows, from the ML service and our own tables: gathered once for everyone."""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import requests
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from monitoring.service.drift_checks import DriftCheckService
from servicekit.clients import ServiceClient
from servicekit.database import Database, DatabaseUnavailable
from servicekit.errors import Unavailable

log = logging.getLogger(__name__)

ROUND_S = 1.0
"""A worker gathers at most once in so many seconds, however many look."""

ROUND_LIMIT_S = 5.0
"""What was not asked for in this time waits for the next round: a slow peer must not stop all."""


SHOWN_OF_COLUMN = ("name", "drift", "test", "statistic", "distance", "p_value", "threshold")


@dataclass(frozen=True)
class Call:
    """One call to the ML service whose answer is a section of the page."""

    section: str
    path: str
    every_s: float


CALLS: Sequence[Call] = (
    Call("slots", "/slots", 1.0),
    Call("metrics", "/metrics", 1.0),
    Call("jobs", "/jobs", 1.0),
    Call("rollouts", "/rollouts?limit=20", 1.0),
    Call("rollout", "/rollouts/{newest}", 1.0),
    Call("history", "/predictions/history?limit=25", 2.0),
    Call("deployments", "/deployments?limit=25", 2.0),
    Call("versions", "/versions", 5.0),
    Call("quality", "/quality", 5.0),
    Call("training", "/training_data", 5.0),
)
"""The paths are those that the page offers as commands; `{newest}` is the newest roll-out's id."""


@dataclass(frozen=True)
class Section:
    """One part of the state.

    `data` is the newest answer there was, from the time `at`; `error` says why the newest look
    failed, None when it did not. `change` grows with every change of one of the two.
    """

    data: Any = None
    error: str | None = None
    at: datetime | None = None
    change: int = 0


@dataclass
class _Looked:
    """When a section was last looked at (monotonic seconds), and what was seen."""

    section: Section = field(default_factory=Section)
    looked_s: float = float("-inf")


class DashboardService:
    """Keeps the newest state of everything the page shows.

    Parameters
    ----------
    database : for the transaction in which our own tables are read.
    ml_model : the ML service; its time limits should be short.
    own_sections : reads a section from our own tables; called inside a transaction.
    """

    def __init__(
        self,
        database: Database,
        ml_model: ServiceClient,
        own_sections: Mapping[str, Callable[[], Any]],
    ) -> None:
        self._database = database
        self._ml_model = ml_model
        self._own_sections = own_sections
        self._turn = threading.Lock()
        self._round_s = float("-inf")
        names = (*(call.section for call in CALLS), *own_sections)
        self._looked: dict[str, _Looked] = {name: _Looked() for name in names}

    def sections(self) -> Mapping[str, Section]:
        """Return every section by name, at most a second old.

        Never raises because a peer is away: the sections say so and keep what they had.
        """
        with self._turn:
            now_s = time.monotonic()
            if now_s - self._round_s >= ROUND_S:
                self._ask_ml_model(now_s)
                self._read_own(now_s)
                self._round_s = time.monotonic()
            return {name: looked.section for name, looked in self._looked.items()}

    def _ask_ml_model(self, now_s: float) -> None:
        # A little early is better than a whole round late.
        due = [
            call
            for call in CALLS
            if now_s - self._looked[call.section].looked_s >= call.every_s - ROUND_S / 10
        ]
        for call in sorted(due, key=lambda call: self._looked[call.section].looked_s):
            if time.monotonic() - now_s > ROUND_LIMIT_S:
                return
            path = self._path(call)
            if path is None:
                self._note(call.section, now_s)
                continue
            try:
                answer = self._ml_model.get(path)
            except Unavailable as error:
                # Nobody is asked in vain eight times; whoever was not asked is away as well.
                for other in CALLS:
                    self._note(other.section, now_s, error=error.message)
                return
            data, problem = _read(answer)
            self._note(call.section, now_s, data, problem)

    def _path(self, call: Call) -> str | None:
        """Return the path to ask for, None where there is nothing to ask about yet."""
        if "{newest}" not in call.path:
            return call.path
        known = (self._looked["rollouts"].section.data or {}).get("rollouts")
        return call.path.format(newest=known[0]["rollout_id"]) if known else None

    def _read_own(self, now_s: float) -> None:
        for name, read in self._own_sections.items():
            try:
                with self._database.transaction():
                    data = read()
            except (DBAPIError, PoolTimeout) as error:
                log.warning("The section %s could not be read: %s", name, type(error).__name__)
                self._note(name, now_s, error=DatabaseUnavailable().message)
            else:
                self._note(name, now_s, data)

    def _note(self, name: str, now_s: float, data: Any = None, error: str | None = None) -> None:
        looked = self._looked[name]
        before = looked.section
        if error is None:
            changed = data != before.data or before.error is not None
            at: datetime | None = datetime.now(UTC)
        else:
            data, at = before.data, before.at
            changed = error != before.error
        looked.looked_s = now_s
        looked.section = Section(data, error, at, before.change + changed)


def drift_time_line(checks: DriftCheckService, limit: int) -> dict[str, Any]:
    """Return the newest drift checks as `GET /drift-checks` does, each with its columns."""
    return {
        "drift_checks": [
            {
                "id": check.id,
                "created_at": check.created_at.isoformat(),
                "verdict": check.verdict,
                "share_drifted": check.share_drifted,
                "rows": check.row_count,
                "reference": check.reference,
                "registered_model_name": check.registered_name,
                "model_version": None if check.version is None else str(check.version),
                "columns": [
                    {name: column[name] for name in SHOWN_OF_COLUMN}
                    for column in check.result["columns"]
                ],
            }
            for check in checks.list(limit, None)
        ]
    }


class ActionService:
    """Passes what a button of the page asks for on to the ML service."""

    def __init__(self, ml_model: ServiceClient) -> None:
        self._ml_model = ml_model

    def act(self, path: str, body: Mapping[str, Any]) -> tuple[Any, int]:
        """POST `body` to a path of the ML service; return the JSON and status of its answer.

        Raises
        ------
        Unavailable
            The ML service does not answer, or not in JSON.
        """
        answer = self._ml_model.post(path, dict(body))
        try:
            return answer.json(), answer.status_code
        except requests.JSONDecodeError:
            raise Unavailable("The ML service's answer is not JSON; look at its log.") from None


def _read(answer: requests.Response) -> tuple[Any, str | None]:
    """Return an answer's data, or None and what is wrong with it."""
    try:
        data = answer.json()
    except requests.JSONDecodeError:
        return None, "The ML service's answer is not JSON."
    if answer.status_code == 200:
        return data, None
    message = data.get("message") if isinstance(data, dict) else None
    return None, f"{answer.status_code}: {message or 'no reason given'}"
