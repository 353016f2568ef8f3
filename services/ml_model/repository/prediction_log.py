"""The prediction log: rows in by COPY, each call one transaction of its own; rows out by request.

Writing has a connection to itself, so that it needs neither a request's session nor Flask.
"""

import io
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg2
from psycopg2.errors import UniqueViolation
from psycopg2.extensions import connection as PgConnection  # noqa: N812 - the driver's own name
from sqlalchemy import select
from sqlalchemy.orm import Session, scoped_session

from ml_model.errors import PredictionLogged, PredictionLogUnavailable
from ml_model.prediction_rows import COLUMNS
from ml_model.repository.cut_off import CutOff
from schema.tables import PredictionLogRow
from servicekit.database import is_outage

COPY = f"COPY prediction_log ({', '.join(COLUMNS)}) FROM STDIN"

RETRY_AFTER_S = 0.5
"""After a failed connection others are refused at once for so long, instead of waiting for it."""


class PredictionLogWriter:
    """Appends lines of `ml_model.prediction_rows`; one caller at a time, the others wait.

    `connect` opens a driver connection in autocommit mode, in which a COPY is a transaction;
    `cut_off` ends one that never ends.
    """

    def __init__(self, connect: Callable[[], PgConnection], cut_off: CutOff) -> None:
        self._connect = connect
        self._cut_off = cut_off
        self._connection: PgConnection | None = None
        self._lock = threading.Lock()
        self._refused_until_s = 0.0

    def write(self, lines: str) -> None:
        """Append lines; when this returns they are committed.

        Raises
        ------
        PredictionLogged
            A row of this request id and number is there already; nothing of `lines` is stored.
        PredictionLogUnavailable
            PostgreSQL did not take them; whether they are stored is unknown only if it went away
            in the middle.
        """
        with self._lock:
            kept = self._connection
            try:
                self._copy(lines)
            except PredictionLogUnavailable:
                if kept is None:
                    raise
                # PostgreSQL may have come back while the connection lay idle. What the lost one
                # did store after all is there already, and is said to be.
                try:
                    self._copy(lines)
                except PredictionLogUnavailable:
                    # It went away just now: the next caller may find it back.
                    self._refused_until_s = 0.0
                    raise

    def _copy(self, lines: str) -> None:
        connection = self._connected()
        try:
            with connection.cursor() as cursor, self._cut_off.watching(connection):
                cursor.copy_expert(COPY, io.StringIO(lines))
        except UniqueViolation as error:
            raise PredictionLogged() from error
        except psycopg2.Error as error:
            if not is_outage(error) and not connection.closed:
                raise
            self.close()
            raise PredictionLogUnavailable() from error

    def close(self) -> None:
        """Close the connection; the next call opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connected(self) -> PgConnection:
        if self._connection is not None and not self._connection.closed:
            return self._connection
        if time.monotonic() < self._refused_until_s:
            raise PredictionLogUnavailable()
        try:
            self._connection = self._connect()
        except psycopg2.Error as error:
            self._refused_until_s = time.monotonic() + RETRY_AFTER_S
            raise PredictionLogUnavailable() from error
        return self._connection


@dataclass(frozen=True)
class LoggedAnswer:
    """A row of a request that was answered before."""

    slot: str
    model_version_id: int
    inputs: Sequence[Any]
    predicted_class: str | None
    predicted_value: float | None
    probabilities: Sequence[float] | None


class SqlPredictionLog:
    """Reads what was answered. Never commits."""

    def __init__(self, session: "scoped_session[Session]") -> None:
        self._session = session

    def find_answered(self, request_id: str) -> list[LoggedAnswer]:
        """Return the answered rows of a request in their order, [] if it was never answered."""
        rows = self._session.execute(
            select(
                PredictionLogRow.slot,
                PredictionLogRow.model_version_id,
                PredictionLogRow.inputs,
                PredictionLogRow.predicted_class,
                PredictionLogRow.predicted_value,
                PredictionLogRow.probabilities,
            )
            .where(
                PredictionLogRow.request_id == request_id,
                PredictionLogRow.slot != "shadow",
                PredictionLogRow.error.is_(None),
            )
            .order_by(PredictionLogRow.row_number)
        )
        return [LoggedAnswer(*row) for row in rows]
