"""What the live page shows, from its peers and our own tables: gathered once for everyone."""

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
from monitoring.service.searches import SEARCHES_PATH, listed_searches, looked_at, one_search
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
    """One call to a peer whose answer is a section of the page, as `shown` has shortened it.

    `{newest}` in the path is the id that `newest` finds in the answer of the section `list_of`.
    """

    section: str
    path: str
    every_s: float
    peer: str = "ml_model"
    list_of: str = ""
    newest: Callable[[Any], int | None] = lambda _answer: None
    shown: Callable[[Any], Any] = lambda answer: answer


def newest_rollout(answer: Any) -> int | None:
    """Return the id of the newest roll-out; None where there is none."""
    known = answer.get("rollouts")
    return known[0]["rollout_id"] if known else None


CALLS: Sequence[Call] = (
    Call("slots", "/slots", 1.0),
    Call("metrics", "/metrics", 1.0),
    Call("jobs", "/jobs", 1.0),
    Call("rollouts", "/rollouts?limit=20", 1.0),
    Call("rollout", "/rollouts/{newest}", 1.0, list_of="rollouts", newest=newest_rollout),
    Call("history", "/predictions/history?limit=25", 2.0),
    Call("deployments", "/deployments?limit=25", 2.0),
    Call("versions", "/versions", 5.0),
    Call("quality", "/quality", 5.0),
    Call("training", "/training_data", 5.0),
    Call("searches", f"{SEARCHES_PATH}?limit=12", 1.0, "tracking", shown=listed_searches),
    Call(
        *("search", f"{SEARCHES_PATH}/{{newest}}", 1.0, "tracking"),
        list_of="searches",
        newest=looked_at,
        shown=one_search,
    ),
)
"""The paths are those that the page offers as commands."""


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
    peers : the services that are asked, by name; their time limits should be short.
    own_sections : reads a section from our own tables; called inside a transaction.
    """

    def __init__(
        self,
        database: Database,
        peers: Mapping[str, ServiceClient],
        own_sections: Mapping[str, Callable[[], Any]],
    ) -> None:
        self._database = database
        self._peers = peers
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
                self._ask_peers(now_s)
                self._read_own(now_s)
                self._round_s = time.monotonic()
            return {name: looked.section for name, looked in self._looked.items()}

    def _ask_peers(self, now_s: float) -> None:
        # A little early is better than a whole round late.
        due = [
            call
            for call in CALLS
            if now_s - self._looked[call.section].looked_s >= call.every_s - ROUND_S / 10
        ]
        away: set[str] = set()
        for call in sorted(due, key=lambda call: self._looked[call.section].looked_s):
            if time.monotonic() - now_s > ROUND_LIMIT_S:
                return
            if call.peer in away:
                continue
            path = self._path(call)
            if path is None:
                self._note(call.section, now_s)
                continue
            try:
                answer = self._peers[call.peer].get(path)
            except Unavailable as error:
                # Nobody is asked in vain eight times; whoever was not asked is away as well.
                away.add(call.peer)
                for other in CALLS:
                    if other.peer == call.peer:
                        self._note(other.section, now_s, error=error.message)
                continue
            data, problem = _read(self._peers[call.peer].name, answer)
            self._note(call.section, now_s, None if problem else call.shown(data), problem)

    def _path(self, call: Call) -> str | None:
        """Return the path to ask for, None where there is nothing to ask about yet."""
        if not call.list_of:
            return call.path
        newest = call.newest(self._looked[call.list_of].section.data or {})
        return None if newest is None else call.path.format(newest=newest)

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
    """Passes what a button of the page asks for on to the peer that does it."""

    def __init__(self, peers: Mapping[str, ServiceClient]) -> None:
        self._peers = peers

    def act(self, peer: str, path: str, body: Mapping[str, Any]) -> tuple[Any, int]:
        """POST `body` to a path of a peer; return the JSON and status of its answer.

        Raises
        ------
        Unavailable
            The peer does not answer, or not in JSON.
        """
        client = self._peers[peer]
        answer = client.post(path, dict(body))
        try:
            return answer.json(), answer.status_code
        except requests.JSONDecodeError:
            raise Unavailable(
                f"The {client.name} service's answer is not JSON; look at its log."
            ) from None


def _read(name: str, answer: requests.Response) -> tuple[Any, str | None]:
    """Return an answer's data, or None and what is wrong with it."""
    try:
        data = answer.json()
    except requests.JSONDecodeError:
        return None, f"The {name} service's answer is not JSON."
    if answer.status_code == 200:
        return data, None
    message = data.get("message") if isinstance(data, dict) else None
    return None, f"{answer.status_code}: {message or 'no reason given'}"
