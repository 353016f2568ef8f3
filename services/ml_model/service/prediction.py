"""Answer an online prediction: choose the slot, predict, commit to the log, then answer."""

import asyncio
import hashlib
import logging
import math
import random
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ml_model.errors import (
    ModelNotInSlot,
    NoModelServing,
    PredictionFailed,
    PredictionLogged,
    PredictionLogUnavailable,
)
from ml_model.prediction_metrics import PredictionMetrics
from ml_model.prediction_rows import answered_lines, failed_lines
from ml_model.repository.prediction_log import LoggedAnswer, SqlPredictionLog
from ml_model.service.group_commit import GroupCommit
from ml_model.service.serving_state import LoadedVersion, ServingSnapshot, ServingState
from ml_model.service.shadowing import Shadow, Shadowing
from modelkit.input_rows import InvalidRows
from modelkit.servable import Predicted, ServableModel
from servicekit.database import Database
from servicekit.errors import DomainError

log = logging.getLogger(__name__)

BULK_ROWS = 256
"""From here on rows are written by themselves: others need not wait for them."""

MOST_TEXT_BYTES = 200

ReadRows = Callable[[ServableModel], Any]
"""Reads the rows of a request against a model's columns; raises `InvalidRows`."""


@dataclass(frozen=True)
class Answer:
    """An answered prediction of n rows.

    `labels` n classes (JSON values) or numbers; `names` n texts, None for regression;
    `probabilities` n rows in the order of the version's classes, or None. `logged` is False only
    where the service may go on without its log.
    """

    slot: str
    version: LoadedVersion
    labels: Sequence[Any]
    names: Sequence[str] | None
    probabilities: Sequence[Sequence[float]] | None
    request_id: str
    logged: bool = True


@dataclass(frozen=True)
class _Prediction:
    slot: str
    version: LoadedVersion
    inputs: Sequence[Sequence[Any]]
    predicted: Predicted
    probabilities: Sequence[Sequence[float]] | None
    began_s: float

    def lines(self, request_id: str) -> str:
        """Return the rows for the prediction log; the latency is that of this moment."""
        return answered_lines(
            request_id,
            self.slot,
            self.version.id,
            self.inputs,
            self.predicted.labels,
            self.probabilities,
            _us_since(self.began_s),
            is_class=self.version.model.task == "classification",
        )


class PredictionService:
    """Predicts with what serves. Every answer is in the log first."""

    def __init__(
        self,
        database: Database,
        state: ServingState,
        commits: GroupCommit,
        answered: SqlPredictionLog,
        metrics: PredictionMetrics,
        *,
        write_now: Callable[[str], None],
        write_unseen: Callable[[str], None],
        may_go_unlogged: bool,
    ) -> None:
        self._database = database
        self.state = state
        self._commits = commits
        self._answered = answered
        self._metrics = metrics
        self._write_now = write_now
        self._write_unseen = write_unseen
        self._may_go_unlogged = may_go_unlogged
        self._shadowing = Shadowing(self._predict_shadow)

    def predict(
        self,
        read: ReadRows,
        request_id: str,
        *,
        routing_key: str | None = None,
        only: LoadedVersion | None = None,
    ) -> Answer:
        """Predict in a thread of its own and answer once it is committed.

        Parameters
        ----------
        routing_key : requests with the same key go to the same slot while the split stands.
        only : predict with this version instead of choosing a slot.

        A request id that was answered before with the same rows gets the same answer again, and
        the log keeps one; with other rows it gets an id of its own, which the answer names.

        Raises
        ------
        NoModelServing
            No slot holds a model.
        InvalidRows
            The rows are not what the model takes.
        PredictionFailed
            The model raised, and no other slot could answer; the failure is in the log.
        PredictionLogUnavailable
            The log cannot be written, and the service may not go on without.
        """
        began_s = time.perf_counter()
        snapshot = self._snapshot()
        slot, version = (
            self.choose(snapshot, routing_key) if only is None else (_slot_of(snapshot, only), only)
        )
        fallback = snapshot.current if only is None else None
        made = self._made(slot, version, fallback, read, request_id, began_s)
        lines = made.lines(request_id)
        try:
            if len(made.inputs) >= BULK_ROWS:
                self._write_now(lines)
            else:
                self._commits.submit(lines).result()
        except PredictionLogged:
            return self._answer_again(made, snapshot, request_id, began_s)
        except PredictionLogUnavailable:
            if not self._may_go_unlogged:
                raise
            return self._finish(made, snapshot, request_id, began_s, logged=False)
        return self._finish(made, snapshot, request_id, began_s)

    async def predict_hot(
        self,
        rows: Sequence[Any],
        request_id: str,
        routing_key: str | None,
        loop: asyncio.AbstractEventLoop,
    ) -> Answer | None:
        """Predict a few rows of numbers on the event loop; None where `predict` must decide.

        That is: this worker is behind the ledger, the version needs scikit-learn, the rows are
        wrong, or the log does not take the prediction.

        Raises
        ------
        PredictionFailed
            As `predict`. Nobody else may try again: chance would choose the slot anew, and a
            canary's failures would be counted by less than they are.
        """
        began_s = time.perf_counter()
        if self.state.is_behind():
            return None
        snapshot = self.state.snapshot
        try:
            slot, version = self.choose(snapshot, routing_key)
            if not version.hot:
                return None
            made = self._made(
                slot,
                version,
                snapshot.current,
                lambda model: model.rows_from_lists(rows),
                request_id,
                began_s,
                rows,
            )
            await self._commits.submit_async(made.lines(request_id), loop)
        except PredictionFailed:
            raise
        except DomainError:
            return None
        except Exception:  # noqa: BLE001 - tried again where failures are logged
            return None
        return self._finish(made, snapshot, request_id, began_s)

    def choose(
        self, snapshot: ServingSnapshot, routing_key: str | None
    ) -> tuple[str, LoadedVersion]:
        """Return the slot that answers, and its version; raises `NoModelServing`."""
        current, following = snapshot.current, snapshot.next
        if current is None or following is None:
            if current is not None:
                return "current", current
            if following is not None:
                return "next", following
            raise NoModelServing()
        share = random.random() if routing_key is None else routing_position(routing_key)  # noqa: S311
        return ("current", current) if share < snapshot.canary_probability else ("next", following)

    def check(self) -> None:
        """Raise `NoModelServing` unless a slot holds a model."""
        self.choose(self.state.fresh(), None)

    def serving_versions(self, name: str, version: str | None) -> list[LoadedVersion]:
        """Return the versions of a registered model that the slots hold, `current` first.

        Raises
        ------
        ModelNotInSlot
            No slot holds it, or not that version.
        """
        snapshot = self.state.fresh()
        found: dict[int, LoadedVersion] = {}
        for held in (snapshot.current, snapshot.next):
            if held is None or held.registered_name != name:
                continue
            if version in (None, str(held.version)):
                found.setdefault(held.id, held)
        if not found:
            raise ModelNotInSlot()
        return list(found.values())

    def _snapshot(self) -> ServingSnapshot:
        try:
            return self.state.fresh()
        except Exception as error:
            if self._may_go_unlogged and self.state.snapshot.deployment_id:
                return self.state.snapshot
            if isinstance(error, DomainError):
                raise
            raise PredictionLogUnavailable() from error

    def _made(
        self,
        slot: str,
        version: LoadedVersion,
        fallback: LoadedVersion | None,
        read: ReadRows,
        request_id: str,
        began_s: float,
        inputs: Sequence[Any] | None = None,
    ) -> _Prediction:
        """Predict with the slot that was chosen; where `next` fails, with the fallback.

        `inputs` are the rows for the log, where they are at hand as lists.
        """
        try:
            return self._attempt(slot, version, read, request_id, began_s, inputs)
        except PredictionFailed:
            if slot == "next" and fallback is not None:
                # A canary never costs a request.
                return self._made("current", fallback, None, read, request_id, began_s, inputs)
            self._metrics.failed(slot)
            raise

    def _attempt(
        self,
        slot: str,
        version: LoadedVersion,
        read: ReadRows,
        request_id: str,
        began_s: float,
        inputs: Sequence[Any] | None,
    ) -> _Prediction:
        rows = read(version.model)
        if inputs is None:
            inputs = version.model.json_rows(rows)
        try:
            return _predicted(slot, version, rows, inputs, began_s)
        except InvalidRows:
            raise
        except Exception as error:
            why = _in_one_line(error)
            log.warning("Version %d in %s failed to predict: %s", version.id, slot, why)
            self._log_unseen(
                failed_lines(request_id, slot, version.id, inputs, why, _us_since(began_s)),
                len(inputs),
            )
            raise PredictionFailed(
                f"The model could not predict: {why[:MOST_TEXT_BYTES]}"
            ) from error

    def _log_unseen(self, lines: str, row_count: int) -> None:
        """Log what nobody waits for, and so that nobody has to wait for it."""
        if row_count < BULK_ROWS:
            self._commits.submit_unseen(lines)
            return
        try:
            self._write_unseen(lines)
        except DomainError as error:
            log.warning("%d rows could not be logged: %s", row_count, error)

    def _finish(
        self,
        made: _Prediction,
        snapshot: ServingSnapshot,
        request_id: str,
        began_s: float,
        *,
        logged: bool = True,
    ) -> Answer:
        if snapshot.shadow and made.slot == "current" and snapshot.next is not None and logged:
            shadow = Shadow(snapshot.next, request_id, made.inputs)
            if not self._shadowing.put(shadow):
                self._metrics.shadow_dropped()
        answer = Answer(
            made.slot,
            made.version,
            made.predicted.labels,
            names_of(made.version.model, made.predicted.labels),
            made.probabilities,
            request_id,
            logged,
        )
        self._metrics.answered(made.slot, answer, time.perf_counter() - began_s)
        return answer

    def _answer_again(
        self, made: _Prediction, snapshot: ServingSnapshot, request_id: str, began_s: float
    ) -> Answer:
        with self._database.transaction():
            earlier = self._answered.find_answered(request_id)
        # Compared as the log holds them: null where a value is missing.
        if [_logged(row.inputs) for row in earlier] == [_logged(row) for row in made.inputs]:
            return self._as_before(earlier, snapshot, request_id)
        fresh_id = uuid.uuid4().hex
        self._write_now(made.lines(fresh_id))
        return self._finish(made, snapshot, fresh_id, began_s)

    def _as_before(
        self, earlier: Sequence[LoggedAnswer], snapshot: ServingSnapshot, request_id: str
    ) -> Answer:
        version = self.state.version(earlier[0].model_version_id)
        model = version.model
        if model.task == "classification":
            by_text = {str(label): label for label in model.classes}
            labels = [by_text[row.predicted_class or ""] for row in earlier]
        else:
            labels = [row.predicted_value for row in earlier]
        shares = [row.probabilities or () for row in earlier]
        return Answer(
            earlier[0].slot,
            version,
            labels,
            names_of(model, labels),
            shares if any(shares) else None,
            request_id,
        )

    def _predict_shadow(self, shadow: Shadow) -> None:
        began_s = time.perf_counter()
        version, inputs = shadow.version, shadow.inputs
        try:
            rows = version.model.rows_from_lists(
                [[_missing_as_none(value) for value in row] for row in inputs]
            )
            lines = _predicted("shadow", version, rows, inputs, began_s).lines(shadow.request_id)
        except Exception as error:  # noqa: BLE001 - a shadow's failure is a figure, no more
            lines = failed_lines(
                shadow.request_id,
                "shadow",
                version.id,
                inputs,
                _in_one_line(error),
                _us_since(began_s),
            )
        self._log_unseen(lines, len(inputs))


def _predicted(
    slot: str,
    version: LoadedVersion,
    rows: Any,
    inputs: Sequence[Sequence[Any]],
    began_s: float,
) -> _Prediction:
    predicted = version.model.predict(rows)
    shares = None if predicted.probabilities is None else predicted.probabilities.tolist()
    numbers = predicted.labels if version.model.task == "regression" else map(sum, shares or ())
    if not math.isfinite(sum(numbers)):
        # Values near the end of the floats' range: scikit-learn's own models raise there as well.
        raise ValueError("the outcome is no finite number")
    return _Prediction(slot, version, inputs, predicted, shares, began_s)


def _in_one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


def routing_position(routing_key: str) -> float:
    """Return where a key lies between 0 and 1: always the same, evenly spread over keys."""
    digest = hashlib.blake2b(routing_key.encode(), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64


def names_of(model: ServableModel, labels: Sequence[Any]) -> Sequence[str] | None:
    """Return people's names for labels, None for regression."""
    if model.task != "classification":
        return None
    names: Mapping[Any, str] = model.name_of
    return [names[label] for label in labels]


def _slot_of(snapshot: ServingSnapshot, version: LoadedVersion) -> str:
    for slot, held in (("current", snapshot.current), ("next", snapshot.next)):
        if held is not None and held.id == version.id:
            return slot
    return "inference"


def _us_since(began_s: float) -> int:
    return int((time.perf_counter() - began_s) * 1e6)


def _missing_as_none(value: Any) -> Any:
    return None if value != value else value


def _logged(row: Sequence[Any]) -> list[Any]:
    """Return a row so that it can be compared: JSON gives 1e23 back as a whole number."""
    return [
        float(value)
        if isinstance(value, int | float) and not isinstance(value, bool)
        else _missing_as_none(value)
        for value in (_missing_as_none(value) for value in row)
    ]
