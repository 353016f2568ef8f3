"""The predictions of `/inference` in the prediction log, in the caller's transaction."""

import io
from collections.abc import Sequence
from typing import Any, cast

from psycopg2.errors import UniqueViolation
from psycopg2.extensions import connection as PgConnection  # noqa: N812 - the driver's own name
from sqlalchemy.orm import Session, scoped_session

from ml_model.errors import PredictionLogged
from ml_model.prediction_rows import answered_lines
from ml_model.repository.prediction_log import COPY

SLOT = "inference"


class SqlInferenceLog:
    """Appends predicted rows by COPY. Never commits."""

    def __init__(self, session: "scoped_session[Session]") -> None:
        self._session = session

    def add(
        self,
        request_id: str,
        model_version_id: int,
        inputs: Sequence[Sequence[Any]],
        labels: Sequence[Any],
        probabilities: Sequence[Sequence[float]] | None,
        latency_us: int,
        *,
        is_class: bool,
    ) -> None:
        """Store n rows with their predictions.

        Raises
        ------
        PredictionLogged
            A row of this request id is there already; the transaction has to end.
        """
        lines = answered_lines(
            request_id,
            SLOT,
            model_version_id,
            inputs,
            labels,
            probabilities,
            latency_us,
            is_class=is_class,
        )
        connection = cast(PgConnection, self._session.connection().connection.driver_connection)
        try:
            with connection.cursor() as cursor:
                cursor.copy_expert(COPY, io.StringIO(lines))
        except UniqueViolation as error:
            raise PredictionLogged() from error
